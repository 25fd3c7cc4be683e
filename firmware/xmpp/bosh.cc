// BOSH (XEP-0124, XEP-0206): a stream in bodies of HTTP. A client asks, and is answered when there
// is something for it, or after a while; requests are numbered, and taken in their order. One that
// comes too early waits in its connection; the last answer is kept for who did not get it.
#include <algorithm>
#include <charconv>

#include "firmware/xmpp/web.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kBody = "http://jabber.org/protocol/httpbind";
constexpr std::string_view kXbosh = "urn:xmpp:xbosh";
constexpr uint64_t kRidMax = uint64_t{1} << 53;

bool ReadNumber(std::string_view text, uint64_t& out, int base = 10) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out, base);
  return error == std::errc() && stop == end && !text.empty();
}

bool IsTrue(const Node& body, std::string_view name) {
  return std::ranges::any_of(
      std::span(body.attributes, body.attribute_count), [&](const Attribute& one) {
        return one.space == kXbosh && one.name == name && (one.value == "true" || one.value == "1");
      });
}

// The session's name, before anything is parsed: who is known may say more than a stranger.
std::string_view SidIn(std::string_view body) {
  constexpr std::string_view kName = " sid=";
  const std::string_view tag = body.substr(0, body.find('>'));
  const size_t at = tag.find(kName);
  if (at == tag.npos || tag.size() - at <= kName.size()) {
    return {};
  }
  const std::string_view value = tag.substr(at + kName.size());
  return value.substr(1, value.find(value[0], 1) - 1);
}

}  // namespace

// --- Requests ------------------------------------------------------------------------------------

size_t Web::TakeBody(Connection& connection, const net::HttpRequest& request, size_t head_size,
                     std::span<uint8_t> data) {
  if (!request.has_length || request.length > kWebMessageMax) {
    Refuse(connection, request.has_length ? "413 Content Too Large" : "411 Length Required",
           "a body beyond the limit");
    return data.size();
  }
  const auto size = static_cast<size_t>(request.length);
  if (data.size() - head_size < size) {
    return 0;
  }
  // What strangers send is read by a parser of their own.
  std::span<const uint8_t> in = data.subspan(head_size, size);
  const Bosh* known = FindBosh(SidIn(AsText(in)));
  if (known != nullptr && !parts_.engine.MayTakeMessage(known->stream)) {
    connection.paused = known->stream;  // memory is short, or no parser is free
    return 0;
  }
  const bool is_proven =
      known != nullptr && parts_.engine.MessageMax(known->stream) > kUnprovenBytes;
  XmlReader& reader = is_proven ? reader_ : unproven_reader_;
  reader.Begin(true);
  const uint32_t left =
      known != nullptr ? parts_.engine.ElementsLeft(known->stream) : kUnprovenElements;
  reader.SetElementsLeft(left);
  const XmlEvent event = reader.Read(in);
  ++counters_.requests;
  if (event != XmlEvent::kStanza || !reader.root().Is("body", kBody)) {
    if (event == XmlEvent::kTooLarge && known != nullptr) {
      parts_.engine.Spend(known->stream, size, kUnprovenElements + 1);  // which ends a stranger
    }
    Refuse(connection, "400 Bad Request", "not a body of BOSH");
    return data.size();
  }
  OnBody(connection, reader.root(), {size, left - reader.elements_left()});
  return connection.early != nullptr ? 0 : head_size + size;  // 0: its turn is to come
}

Web::Bosh* Web::FindBosh(std::string_view sid) {
  const size_t dash = sid.find('-');
  uint64_t index = 0, high = 0, low = 0;
  if (dash == sid.npos || sid.size() - dash - 1 != 32 || !ReadNumber(sid.substr(0, dash), index) ||
      !ReadNumber(sid.substr(dash + 1, 16), high, 16) ||
      !ReadNumber(sid.substr(dash + 17), low, 16) || index >= boshes_.capacity()) {
    return nullptr;
  }
  Bosh* bosh = boshes_.At(static_cast<uint32_t>(index));
  const bool matches =
      bosh != nullptr && ((bosh->token_high ^ high) | (bosh->token_low ^ low)) == 0;
  return matches ? bosh : nullptr;
}

Web::Bosh* Web::FindBosh(net::StreamId stream) {
  const uint32_t index = stream.index & ~kOurs;
  Bosh* bosh = Owns(stream) && index < boshes_.capacity() ? boshes_.At(index) : nullptr;
  return bosh != nullptr && bosh->stream == stream ? bosh : nullptr;
}

void Web::OnBody(Connection& connection, Node& body, const Spent& spent) {
  if (Bosh* waited_for = std::exchange(connection.early, nullptr)) {
    waited_for->early = nullptr;
  }
  const std::string_view sid = body.Get("sid");
  if (sid.empty()) {
    OpenBosh(connection, body, spent);
    return;
  }
  Bosh* bosh = FindBosh(sid);
  uint64_t rid = 0;
  if (bosh == nullptr || !ReadNumber(body.Get("rid"), rid)) {
    Terminate(connection, "item-not-found");
    return;
  }
  if (!TakeTurn(connection, *bosh, rid)) {
    return;
  }
  bosh->next_rid = rid + 1;
  parts_.engine.Spend(bosh->stream, spent.bytes, spent.elements);
  if (IsTrue(body, "restart")) {
    OpenStream(*bosh);
  }
  for (Node* child = body.first; child != nullptr; child = child->next) {
    if (!child->is_text()) {
      parts_.engine.OnElement(bosh->stream, *child);
    }
  }
  if (body.Get("type") == "terminate") {
    EndStream(*bosh);
  }
  if (bosh->held != nullptr) {
    AnswerHeld(*bosh);  // one request is held at most
  }
  Hold(connection, *bosh, rid);
  if (Connection* early = bosh->early; early != nullptr) {
    bosh->early = nullptr;
    early->early = nullptr;
    parts_.streams.ResumeStream(early->stream);
  }
}

// False: the request was dealt with, or waits.
bool Web::TakeTurn(Connection& connection, Bosh& bosh, uint64_t rid) {
  if (rid == bosh.next_rid) {
    return true;
  }
  if (rid > bosh.next_rid && rid < bosh.next_rid + kBoshRequests && bosh.early == nullptr) {
    bosh.early = &connection;
    connection.early = &bosh;
    return false;
  }
  if (rid < bosh.next_rid && bosh.last_rid == rid) {  // the answer was lost
    Chain again;
    uint8_t piece[4096];
    for (uint32_t at = 0; at < bosh.last.size;) {
      const size_t count = chains_.Copy(bosh.last, at, piece);
      if (!chains_.Append(again, std::span(piece).first(count))) {
        chains_.Free(again);
        Terminate(connection, "internal-server-error");
        return false;
      }
      at += static_cast<uint32_t>(count);
    }
    SendAnswer(connection, again);
    return false;
  }
  if (rid + 1 == bosh.next_rid) {  // its connection was lost
    if (bosh.held != nullptr) {
      bosh.held->bosh = nullptr;
      bosh.held->is_over = true;
      parts_.streams.CloseStream(bosh.held->stream);
      bosh.held = nullptr;
    }
    Hold(connection, bosh, rid);
    return false;
  }
  bosh.condition = "item-not-found";
  EndStream(bosh);
  Terminate(connection, "item-not-found");
  parts_.loop.Defer(task_);
  return false;
}

// --- Sessions ------------------------------------------------------------------------------------

// Whether the client's address has less than its share of sessions.
bool Web::MayOpenBosh(const net::Endpoint& remote) {
  const net::IpAddress source = Sources::KeyOf(remote.address);
  uint32_t count = 0;
  for (uint32_t i = 0; i < boshes_.capacity(); ++i) {
    const Bosh* bosh = boshes_.At(i);
    count += bosh != nullptr && Sources::KeyOf(bosh->remote.address) == source ? 1 : 0;
  }
  return count < ShareOf(boshes_.capacity(), parts_.engine.config().address_percent);
}

void Web::OpenBosh(Connection& connection, const Node& body, const Spent& spent) {
  uint64_t rid = 0;
  uint64_t wait = 0;
  uint64_t hold = 0;
  const bool is_told = ReadNumber(body.Get("rid"), rid) && rid > 0 && rid < kRidMax &&
                       ReadNumber(body.Get("wait"), wait) && ReadNumber(body.Get("hold"), hold);
  FixedString<kDomainMax> domain;
  if (!is_told || !PrepareDomain(body.Get("to"), domain).ok()) {
    Terminate(connection, is_told ? "improper-addressing" : "bad-request");
    return;
  }
  Bosh* bosh = MayOpenBosh(connection.remote) ? boshes_.Allocate() : nullptr;
  if (bosh == nullptr) {
    Terminate(connection, "internal-server-error");
    return;
  }
  bosh->web = this;
  bosh->token_high = parts_.random.U64();
  bosh->token_low = parts_.random.U64();
  // The generation is the session's, so that a late answer of the engine's finds nobody else.
  bosh->stream = {boshes_.IndexOf(*bosh) | kOurs, static_cast<uint32_t>(bosh->token_low)};
  bosh->remote = connection.remote;
  bosh->next_rid = rid + 1;
  bosh->wait_s = static_cast<uint32_t>(std::min<uint64_t>(wait, kBoshWaitMax));
  bosh->holds = hold > 0 && wait > 0;
  bosh->domain.Assign(domain.view());
  bosh->timer.Set(
      [](Timer&, void* context) {
        auto& fired = *static_cast<Bosh*>(context);
        fired.web->OnBoshTime(fired);
      },
      bosh);
  ++counters_.bosh_sessions;
  if (!parts_.engine.OnOpen(bosh->stream, connection.remote, true, Framing::kBodies)) {
    boshes_.Release(bosh);
    Terminate(connection, "internal-server-error");
    return;
  }
  parts_.engine.Spend(bosh->stream, spent.bytes, spent.elements);
  OpenStream(*bosh);
  Hold(connection, *bosh, rid);
}

// The engine takes the stream's header as an element.
void Web::OpenStream(Bosh& bosh) {
  Attribute attributes[] = {{"", "to", bosh.domain.view()}, {"", "version", "1.0"}};
  Node open;
  open.name = "open";
  open.space = ns::kFraming;
  open.attributes = attributes;
  open.attribute_count = 2;
  parts_.engine.OnElement(bosh.stream, open);
}

void Web::EndStream(Bosh& bosh) {
  Node close;
  close.name = "close";
  close.space = ns::kFraming;
  parts_.engine.OnElement(bosh.stream, close);
  bosh.ended = true;
}

// From the engine: also in the middle of what it is told here.
Result<void> Web::Send(net::StreamId stream, std::span<const uint8_t> bytes) {
  Bosh* bosh = FindBosh(stream);
  if (bosh == nullptr || bosh->out.size + bytes.size() > kBoshOutMax ||
      !chains_.Append(bosh->out, bytes)) {
    return ErrorCode::kWouldBlock;
  }
  if (AsText(bytes).starts_with("<stream:error")) {
    bosh->condition = "remote-stream-error";
  }
  parts_.loop.Defer(task_);
  return Ok();
}

void Web::Close(net::StreamId stream) {
  if (Bosh* bosh = FindBosh(stream); bosh != nullptr) {
    bosh->ended = true;
    parts_.loop.Defer(task_);
  }
}

// The engine takes more of this session's.
void Web::Resume(net::StreamId stream) {
  for (uint32_t i = 0; i < connections_.capacity(); ++i) {
    Connection* connection = connections_.At(i);
    if (connection != nullptr && connection->paused == stream) {
      connection->paused = {};
      parts_.streams.ResumeStream(connection->stream);
    }
  }
}

// What the engine had to say in this turn goes out together; sessions that are over go.
void Web::RunTask() {
  for (uint32_t i = 0; i < boshes_.capacity(); ++i) {
    Bosh* bosh = boshes_.At(i);
    if (bosh == nullptr) {
      continue;
    }
    if (bosh->held != nullptr && (bosh->ended || !bosh->out.empty())) {
      AnswerHeld(*bosh);
    }
  }
}

// --- Answers -------------------------------------------------------------------------------------

void Web::Hold(Connection& connection, Bosh& bosh, uint64_t rid) {
  parts_.loop.timers().Cancel(connection.timer);
  connection.bosh = &bosh;
  bosh.held = &connection;
  bosh.held_rid = rid;
  if (bosh.ended || !bosh.out.empty() || bosh.is_new || !bosh.holds) {
    AnswerHeld(bosh);
    return;
  }
  parts_.loop.timers().Arm(bosh.timer, Duration::Seconds(bosh.wait_s));
}

void Web::WriteBodyTag(Bosh& bosh, ByteWriter& out) {
  out.Text("<body xmlns='http://jabber.org/protocol/httpbind'");
  if (bosh.ended) {
    out.Text(" type='terminate'");
    if (*bosh.condition != '\0') {
      WriteAttribute("condition", bosh.condition, out);
    }
  }
  if (!std::exchange(bosh.is_new, false)) {
    return;
  }
  out.Text(
      " xmlns:xmpp='urn:xmpp:xbosh' xmpp:version='1.0' xmpp:restartlogic='true' ver='1.6' sid='");
  out.Decimal(boshes_.IndexOf(bosh));
  out.Char('-');
  out.Hex(bosh.token_high, 16);
  out.Hex(bosh.token_low, 16);
  out.Text("' wait='");
  out.Decimal(bosh.wait_s);
  out.Text("' hold='");
  out.Decimal(bosh.holds ? 1 : 0);
  out.Text("' requests='");
  out.Decimal(kBoshRequests);
  out.Text("' inactivity='");
  out.Decimal(static_cast<uint64_t>(kBoshInactivitySeconds));
  out.Char('\'');
  WriteAttribute("from", bosh.domain.view(), out);
}

// The request that is held gets all there is. The session may be gone after it.
void Web::AnswerHeld(Bosh& bosh) {
  Connection& connection = *std::exchange(bosh.held, nullptr);
  connection.bosh = nullptr;
  uint8_t tag_bytes[1024];
  ByteWriter tag(tag_bytes);
  WriteBodyTag(bosh, tag);
  tag.Char('>');
  constexpr std::string_view kEnd = "</body>";
  uint8_t head_bytes[384];
  ByteWriter head(head_bytes);
  head.Text(
      "HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\n"
      "Access-Control-Allow-Origin: *\r\nCache-Control: no-store\r\n"
      "X-Content-Type-Options: nosniff\r\n");
  head.Text(connection.closes ? "Connection: close\r\n" : "");
  head.Text("Content-Length: ");
  head.Decimal(tag.size() + bosh.out.size + kEnd.size());
  head.Text("\r\n\r\n");
  GH_ASSERT(tag.ok() && head.ok());
  chains_.Free(bosh.last);
  Chain answer;
  bool done = true;
  const auto add = [&](std::span<const uint8_t> bytes) {
    done = done && chains_.Append(answer, bytes) && chains_.Append(bosh.last, bytes);
  };
  add(head.written());
  add(tag.written());
  uint8_t piece[4096];
  while (!bosh.out.empty()) {
    const size_t count = chains_.Copy(bosh.out, 0, piece);
    chains_.Drop(bosh.out, static_cast<uint32_t>(count));
    add(std::span(piece).first(count));
  }
  add(AsBytes(kEnd));
  bosh.last_rid = bosh.held_rid;
  if (!done) {
    chains_.Free(answer);
    parts_.streams.AbortStream(connection.stream);
    bosh.ended = true;
  } else {
    SendAnswer(connection, answer);
  }
  if (bosh.ended) {
    EndBosh(bosh);
  } else {
    parts_.loop.timers().Arm(bosh.timer, Duration::Seconds(kBoshInactivitySeconds));
  }
}

// An answer to a request of no session.
void Web::Terminate(Connection& connection, const char* condition) {
  ++counters_.refused;
  parts_.observer.OnRefused(connection.remote, "", condition);
  uint8_t bytes[192];
  ByteWriter out(bytes);
  out.Text("<body xmlns='http://jabber.org/protocol/httpbind' type='terminate'");
  WriteAttribute("condition", condition, out);
  out.Text("/>");
  GH_ASSERT(out.ok());
  Answer(connection, "200 OK", "Content-Type: text/xml; charset=utf-8\r\n", out.text());
}

// Its answers, lost or not, are kept until it would have been away too long.
void Web::EndBosh(Bosh& bosh) {
  if (!bosh.is_gone) {
    bosh.is_gone = true;
    parts_.engine.OnClosed(bosh.stream);
  }
  parts_.loop.timers().Arm(bosh.timer, Duration::Seconds(kBoshInactivitySeconds));
}

// Nothing to say for as long as was agreed, or nothing asked.
void Web::OnBoshTime(Bosh& bosh) {
  if (bosh.held != nullptr) {
    AnswerHeld(bosh);
    return;
  }
  if (!bosh.is_gone) {
    bosh.is_gone = true;
    parts_.engine.OnClosed(bosh.stream);
  }
  if (bosh.early != nullptr) {
    bosh.early->early = nullptr;
    parts_.streams.ResumeStream(bosh.early->stream);
  }
  chains_.Free(bosh.out);
  chains_.Free(bosh.last);
  boshes_.Release(&bosh);
}

}  // namespace gh::xmpp
