#include "net/http_exchange.h"

#include <algorithm>
#include <cstring>

#include "hal/rt/bytes.h"

namespace gh::net {
namespace {

constexpr size_t kPlainPiece = 4096;

Error WhyClosed(StreamClose why) {
  switch (why) {
    case StreamClose::kRefused:
      return {ErrorCode::kRefused, "the server refuses the connection"};
    case StreamClose::kTimeout:
      return {ErrorCode::kTimeout, "the server does not answer"};
    case StreamClose::kNoResource:
      return {ErrorCode::kExhausted, "no connection is free"};
    default:
      return {ErrorCode::kTruncated, "the server closed the connection before it had answered"};
  }
}

}  // namespace

HttpExchange::HttpExchange(StreamService& streams, Resolver& resolver, TimerWheel& timers,
                           crypto::TlsEnvironment& environment, crypto::PeerCheck& trust,
                           std::span<uint8_t> room)
    : streams_(streams),
      resolver_(resolver),
      timers_(timers),
      trust_(trust),
      tls_(environment),
      room_(room) {
  timer_.Bind<&HttpExchange::OnTime>(this);
  query_.done = OnAddresses;
  query_.context = this;
  response_.SetFieldTaker(OnField, this);
}

Result<void> HttpExchange::Start(const HttpAsk& ask, HttpExchangeListener& listener) {
  if (active()) {
    return Error(ErrorCode::kWrongState, "a request is under way");
  }
  ask_ = ask;
  listener_ = &listener;
  response_.Reset(ask.method == "HEAD");
  body_size_ = 0;
  is_connected_ = false;
  timers_.Arm(timer_, kExchangeTime);
  auto begun = Begin();
  if (!begun.ok()) {
    Cancel();
  }
  return begun;
}

Result<void> HttpExchange::Begin() {
  GH_TRY(WriteHead());
  const auto address = IpAddress::Parse(ask_.url.host.view());
  return address.ok() ? Connect(address.value()) : Resolve(DnsType::kA);
}

Result<void> HttpExchange::WriteHead() {
  const HttpsUrl& url = ask_.url;
  ByteWriter out(head_);
  out.Text(ask_.method);
  out.Char(' ');
  out.Text(url.target.view());
  out.Text(" HTTP/1.1\r\nHost: ");
  out.Text(url.is_ipv6() ? "[" : "");
  out.Text(url.host.view());
  out.Text(url.is_ipv6() ? "]" : "");
  if (url.port != (url.is_plain ? 80 : 443)) {
    out.Char(':');
    out.Decimal(url.port);
  }
  out.Text("\r\nUser-Agent: Gatehouse\r\nAccept: ");
  out.Text(ask_.accept);
  if (!ask_.authorization.empty()) {
    out.Text("\r\nAuthorization: ");
    out.Text(ask_.authorization);
  }
  if (!ask_.content_type.empty()) {
    out.Text("\r\nContent-Type: ");
    out.Text(ask_.content_type);
    out.Text("\r\nContent-Length: ");
    out.Decimal(ask_.body.size());
  }
  out.Text("\r\nConnection: close\r\n\r\n");
  head_left_ = out.written();
  body_left_ = ask_.body;
  return out.ok() ? Ok() : Result<void>(Error(ErrorCode::kTooLarge, "the URL is too long"));
}

Result<void> HttpExchange::Resolve(DnsType type) {
  asked_ = type;
  auto asked = resolver_.Resolve(ask_.url.host.view(), type, query_);
  is_resolving_ = asked.ok();
  return asked;
}

void HttpExchange::OnAddresses(DnsQuery& query, Result<std::span<const DnsRecord>> records) {
  auto& self = *static_cast<HttpExchange*>(query.context);
  self.is_resolving_ = false;
  if (records.ok()) {
    for (const DnsRecord& record : records.value()) {
      if (record.type == self.asked_) {
        const auto connected = self.Connect(record.address);
        return connected.ok() ? void() : self.End(connected.error());
      }
    }
  }
  if (self.asked_ == DnsType::kA && self.Resolve(DnsType::kAaaa).ok()) {
    return;
  }
  self.End(Error(ErrorCode::kUnreachable, "the server's name has no address"));
}

Result<void> HttpExchange::Connect(const IpAddress& address) {
  GH_TRY_ASSIGN(stream_, streams_.Connect({address, ask_.url.port}, {}, *this));
  has_stream_ = true;
  return Ok();
}

// --- The stream ---------------------------------------------------------------------------------

bool HttpExchange::OnStreamOpen(StreamId id, const StreamInfo&) {
  if (!has_stream_ || id != stream_) {
    return false;
  }
  is_connected_ = true;
  Result<void> begun = Ok();
  if (ask_.url.is_plain) {
    begun = SendRequest();
  } else {
    begun = tls_.Start(ask_.url.host.view(), trust_);
    FlushTls();
  }
  if (!begun.ok()) {
    has_stream_ = false;  // refused below, and not told of again
    End(begun.error());
    return false;
  }
  return true;
}

size_t HttpExchange::OnStreamData(StreamId id, std::span<uint8_t> data) {
  if (!has_stream_ || id != stream_) {
    return data.size();
  }
  const auto read = ask_.url.is_plain ? TakeBody(data) : OpenRecords(data);
  if (!read.ok()) {
    End(read.error());
  } else if (response_.complete()) {
    End(response_.status());
  }
  return data.size();
}

void HttpExchange::OnStreamWritable(StreamId id) {
  if (!has_stream_ || id != stream_) {
    return;
  }
  FlushTls();
  if (ask_.url.is_plain || tls_.is_open()) {
    if (const auto sent = SendRequest(); !sent.ok()) {
      End(sent.error());
    }
  }
}

void HttpExchange::OnStreamClosed(StreamId id, StreamClose why) {
  if (!has_stream_ || id != stream_) {
    return;
  }
  has_stream_ = false;
  // Over TLS the end of a body without a length is told by close_notify alone.
  if (ask_.url.is_plain && why == StreamClose::kByPeer && response_.End().ok()) {
    return End(response_.status());
  }
  End(WhyClosed(is_connected_ && why != StreamClose::kTimeout ? StreamClose::kByPeer : why));
}

// True: all of it is on its way.
Result<bool> HttpExchange::SendPiece(std::span<const uint8_t>& left) {
  while (!left.empty()) {
    // Without room one byte still: its refusal asks to be told when there is some.
    const size_t room = ask_.url.is_plain ? std::max<size_t>(streams_.SendRoom(stream_), 1)
                                          : crypto::kTlsClientWriteMax;
    const auto piece = left.first(std::min({left.size(), room, crypto::kTlsClientWriteMax}));
    const auto sent = ask_.url.is_plain ? streams_.SendStream(stream_, piece) : tls_.Write(piece);
    FlushTls();
    if (!sent.ok()) {
      if (sent.code() == ErrorCode::kWouldBlock) {
        return false;
      }
      return sent.error();
    }
    left = left.subspan(piece.size());
  }
  return true;
}

Result<void> HttpExchange::SendRequest() {
  GH_TRY_ASSIGN(const bool head_sent, SendPiece(head_left_));
  if (head_sent) {
    GH_TRY(SendPiece(body_left_));
  }
  return Ok();
}

void HttpExchange::FlushTls() {
  while (has_stream_ && !tls_.output().empty()) {
    const size_t count = std::min(streams_.SendRoom(stream_), tls_.output().size());
    if (count == 0) {
      // Asks to be told of room.
      streams_.SendStream(stream_, tls_.output()).ignore("told when there is room");
      return;
    }
    if (!streams_.SendStream(stream_, tls_.output().first(count)).ok()) {
      return;
    }
    tls_.ConsumeOutput(count);
  }
}

Result<void> HttpExchange::OpenRecords(std::span<const uint8_t> in) {
  std::array<uint8_t, kPlainPiece> plain;
  while (true) {
    const auto opened = tls_.Read(in, plain);
    FlushTls();
    if (!opened.ok()) {
      const bool is_end = opened.code() == ErrorCode::kClosed && response_.End().ok();
      return is_end || response_.complete() ? Ok() : Result<void>(opened.error());
    }
    if (tls_.is_open()) {
      GH_TRY(SendRequest());
    }
    if (*opened == 0) {
      return Ok();
    }
    GH_TRY(TakeBody(std::span(plain).first(*opened)));
  }
}

Result<void> HttpExchange::TakeBody(std::span<const uint8_t> bytes) {
  while (!bytes.empty() && !response_.complete()) {
    GH_TRY_ASSIGN(const auto piece, response_.Feed(bytes));
    if (piece.size() > room_.size() - body_size_) {
      return Error(ErrorCode::kTooLarge, "the server's answer is too large");
    }
    if (!piece.empty()) {
      std::memcpy(room_.data() + body_size_, piece.data(), piece.size());
      body_size_ += piece.size();
    }
  }
  return Ok();
}

void HttpExchange::OnField(void* self, std::string_view name, std::string_view value) {
  static_cast<HttpExchange*>(self)->listener_->OnHttpField(name, value);
}

// --- The end ------------------------------------------------------------------------------------

void HttpExchange::OnTime() { End(Error(ErrorCode::kTimeout, "the server is too slow")); }

void HttpExchange::End(Result<uint32_t> outcome) {
  HttpExchangeListener* listener = listener_;
  if (has_stream_ && tls_.is_open()) {
    tls_.Close();
    FlushTls();
  }
  Cancel();
  if (listener != nullptr) {
    listener->OnHttpEnd(std::move(outcome), room_.first(body_size_));
  }
}

void HttpExchange::Cancel() {
  Release();
  timers_.Cancel(timer_);
  listener_ = nullptr;
}

void HttpExchange::Release() {
  if (is_resolving_) {
    resolver_.Cancel(query_);
    is_resolving_ = false;
  }
  if (has_stream_) {
    has_stream_ = false;
    streams_.CloseStream(stream_);
  }
  tls_.Reset();
}

}  // namespace gh::net
