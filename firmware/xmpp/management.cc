// Stream management (XEP-0198) and client state (XEP-0352).
//
// An acknowledgement promises that what was acknowledged survives a power cut: when a stanza
// brought about something that is not on the disk yet, the <a/> waits until it is.
#include <charconv>

#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

constexpr uint32_t kRecordHead = 12;

bool ReadCount(std::string_view text, uint32_t& out) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out);
  return error == std::errc() && stop == end && !text.empty();
}

bool ReadToken(std::string_view text, uint32_t& index, uint64_t& high, uint64_t& low) {
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos || text.size() - dash - 1 != 32) {
    return false;
  }
  const auto hex = [](std::string_view digits, uint64_t& out) {
    const auto [stop, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), out, 16);
    return error == std::errc() && stop == digits.data() + digits.size();
  };
  return ReadCount(text.substr(0, dash), index) && hex(text.substr(dash + 1, 16), high) &&
         hex(text.substr(dash + 17), low);
}

}  // namespace

// True: it was for here.
bool Engine::OnManagement(Session& session, const Node& stanza) {
  if (stanza.space == ns::kClientState) {
    OnClientState(session, stanza.name == "active");
    return true;
  }
  if (stanza.space != ns::kManagement) {
    return false;
  }
  uint32_t handled = 0;
  if (stanza.name == "r") {
    if (session.managed) {
      Acknowledge(session);
    }
  } else if (stanza.name == "a") {
    session.asked = false;
    if (session.managed &&
        (!ReadCount(stanza.Get("h"), handled) || !OnAcknowledged(session, handled))) {
      session.resumable = false;
      StreamError(session, "undefined-condition", "it acknowledged what was not sent");
    } else if (session.unconfirmed > 0 && session.managed) {
      session.asked = true;
      Write(session, "<r xmlns='urn:xmpp:sm:3'/>");
    }
  } else if (stanza.name == "enable" && !session.managed) {
    OnEnable(session, stanza);
  } else {
    Write(session,
          "<failed xmlns='urn:xmpp:sm:3'><unexpected-request "
          "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>");
  }
  return true;
}

void Engine::OnEnable(Session& session, const Node& stanza) {
  const std::string_view resume = stanza.Get("resume");
  uint8_t bytes[256];
  ByteWriter out(bytes);
  EnableManagement(session, resume == "true" || resume == "1", out);
  Write(session, out.written());
}

// What is said of it goes to `out`. `keeps`: it wants to resume the session one day.
void Engine::EnableManagement(Session& session, bool keeps, ByteWriter& out) {
  session.managed = true;
  session.handled = session.confirmed = 0;
  session.resumable = keeps && config_.resume > Duration();
  out.Text("<enabled xmlns='urn:xmpp:sm:3'");
  if (session.resumable) {
    session.token_high = random_.U64();
    session.token_low = random_.U64();
    out.Text(" resume='true' id='");
    out.Decimal(sessions_.IndexOf(session));
    out.Char('-');
    out.Hex(session.token_high, 16);
    out.Hex(session.token_low, 16);
    out.Text("' max='");
    out.Decimal(static_cast<uint64_t>(config_.resume.milliseconds() / 1000));
    out.Char('\'');
  }
  out.Text("/>");
}

// The client has what we sent, up to the count `handled` (modulo 2^32).
bool Engine::OnAcknowledged(Session& session, uint32_t handled) {
  const uint32_t count = handled - session.confirmed;
  if (count > session.unconfirmed) {
    return false;
  }
  for (uint32_t i = 0; i < count; ++i) {
    uint8_t head[kRecordHead];
    (void)chains_.Copy(session.unacknowledged, 0, head);
    ByteReader record(head);
    const uint32_t size = record.U32Be();
    const uint64_t number = record.U64Be();
    chains_.Drop(session.unacknowledged, kRecordHead + size);
    Waiting* waiting = number != 0 ? directory_->FindMessage(*session.account, number) : nullptr;
    if (waiting != nullptr) {
      directory_->RemoveMessage(*session.account, *waiting);
    }
  }
  session.confirmed = handled;
  session.unconfirmed -= count;
  return true;
}

// What was not acknowledged waits in the store, for the next session.
void Engine::FreeUnacknowledged(Session& session) {
  while (session.unconfirmed > 0) {
    uint8_t head[kRecordHead];
    (void)chains_.Copy(session.unacknowledged, 0, head);
    ByteReader record(head);
    const uint32_t size = record.U32Be();
    const uint64_t number = record.U64Be();
    chains_.Drop(session.unacknowledged, kRecordHead + size);
    --session.unconfirmed;
    Waiting* waiting = number != 0 ? directory_->FindMessage(*session.account, number) : nullptr;
    if (waiting != nullptr && waiting->in_flight > 0 && --waiting->in_flight == 0) {
      for (Session* at = session.account->sessions; at != nullptr; at = at->next_of_account) {
        if (at->available && at->priority >= 0 && at->connected && !at->doomed) {
          SendWaiting(*at);
          break;
        }
      }
    }
  }
}

// --- Ours to them --------------------------------------------------------------------------------

void Engine::Acknowledge(Session& session) {
  session.owed = session.handled;
  session.owed_commit = session.last_commit;
  if (session.owed_commit <= keeper_.durable()) {
    SendOwed(session);
  } else if (!session.owing_node.linked()) {
    owing_.PushBack(session);
  }
}

void Engine::SendOwed(Session& session) {
  uint8_t bytes[64];
  ByteWriter out(bytes);
  out.Text("<a xmlns='urn:xmpp:sm:3' h='");
  out.Decimal(session.owed);
  out.Text("'/>");
  Write(session, out.written());
}

// What is written from now on says, or shows, what must not be lost: it leaves when the commit is
// durable. Who frames answers himself (BOSH), or has much waiting, has the disk waited for.
void Engine::HoldUntil(Session& session, uint64_t commit) {
  if (commit <= keeper_.durable() || !session.connected) {
    return;
  }
  if (session.framing == Framing::kBodies || session.unsent.size > kUnsentMax / 2) {
    keeper_.Flush();
    return;
  }
  session.silent_until = std::max(session.silent_until, commit);
  is_holding_ = true;
}

void Engine::ReleaseSilent() {
  is_holding_ = false;
  for (Session& session : slow_) {
    if (session.silent_until > keeper_.durable()) {
      is_holding_ = true;
    } else if (session.silent_until != 0) {
      session.silent_until = 0;
      OnWritable(session.stream);
    }
  }
}

void Engine::OnDurable() {
  if (is_holding_) {
    ReleaseSilent();
  }
  for (Session& session : owing_) {
    if (session.owed_commit <= keeper_.durable()) {
      owing_.Remove(session);
      SendOwed(session);
    }
  }
  if (remote_ != nullptr) {
    remote_->OnDurable();
  }
  Settle();
}

// --- Resumption ----------------------------------------------------------------------------------

void Engine::OnResumeRequest(Session& session, const Node& stanza) {
  uint32_t handled = 0;
  Session* old = ReadCount(stanza.Get("h"), handled)
                     ? FindResumable(session, stanza.Get("previd"), handled)
                     : nullptr;
  if (old == nullptr) {
    Write(session,
          "<failed xmlns='urn:xmpp:sm:3'><item-not-found "
          "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>");
    return;
  }
  TakeOver(session, *old);
  uint8_t bytes[192];
  ByteWriter out(bytes);
  WriteResumed(*old, stanza.Get("previd"), out);
  Write(*old, out.written());
  Resend(*old);
}

// The session of this user that `previous` names, which has what we sent up to `handled`.
Session* Engine::FindResumable(Session& session, std::string_view previous, uint32_t handled) {
  uint32_t index = 0;
  uint64_t high = 0;
  uint64_t low = 0;
  const bool read = ReadToken(previous, index, high, low);
  Session* old = read && index < sessions_.capacity() ? sessions_.At(index) : nullptr;
  // Numbers are compared whole, whatever the first differs in.
  const bool matches = old != nullptr && old->resumable && !old->doomed &&
                       old->account == session.account &&
                       ((old->token_high ^ high) | (old->token_low ^ low)) == 0;
  return matches && OnAcknowledged(*old, handled) ? old : nullptr;
}

// `session` is a new connection; the old session takes it over, with the reader that holds the
// request, if it still has it.
void Engine::TakeOver(Session& session, Session& old) {
  if (old.connected) {  // it did not know yet that its connection is gone
    host_.Abort(old.stream);
    Detach(old);
  }
  by_stream_.Remove(session);
  session.connected = false;
  ForgetUnsent(session);
  timers_.Cancel(session.timer);
  timers_.Cancel(old.timer);
  old.stream = session.stream;
  old.stream_key = session.stream_key;
  old.remote = session.remote;
  old.secure = session.secure;
  old.framing = session.framing;
  old.source = std::exchange(session.source, nullptr);
  old.unsent = std::exchange(session.unsent, Chain());
  NoteUnsent(old);
  old.reader = std::exchange(session.reader, nullptr);
  old.connected = true;
  old.closing = false;
  HoldUntil(old, old.last_commit);  // we are about to say what we have of its
  old.asked = false;
  old.state = SessionState::kBound;
  const HashInsert inserted = by_stream_.Insert(old);
  GH_ASSERT(inserted == HashInsert::kInserted);
  session.account = nullptr;
  Doom(session, "resumed");
  ++counters_.resumed;
}

void Engine::WriteResumed(const Session& session, std::string_view previous, ByteWriter& out) {
  out.Text("<resumed xmlns='urn:xmpp:sm:3' previd='");
  WriteEscaped(previous, out);
  out.Text("' h='");
  out.Decimal(session.handled);
  out.Text("'/>");
}

// What the client does not have, once more.
void Engine::Resend(Session& session) {
  uint32_t at = 0;
  for (uint32_t i = 0; i < session.unconfirmed && !session.doomed; ++i) {
    uint8_t head[kRecordHead];
    (void)chains_.Copy(session.unacknowledged, at, head);
    ByteReader record(head);
    const uint32_t size = record.U32Be();
    GH_ASSERT_LE(size, scratch3_.size());
    (void)chains_.Copy(session.unacknowledged, at + kRecordHead, scratch3_.first(size));
    Write(session, scratch3_.first(size));
    at += kRecordHead + size;
  }
  if (session.unconfirmed > 0) {
    session.asked = true;
    Write(session, "<r xmlns='urn:xmpp:sm:3'/>");
  }
}

// --- Clients that do not look --------------------------------------------------------------------

void Engine::OnClientState(Session& session, bool active) {
  session.inactive = !active;
  if (active) {
    FlushHeld(session);
  }
}

void Engine::FlushHeld(Session& session) {
  while (!session.held.empty() && !session.doomed) {
    uint8_t head[4];
    (void)chains_.Copy(session.held, 0, head);
    ByteReader record(head);
    const uint32_t size = record.U32Be();
    GH_ASSERT_LE(size, kInactiveHeldMax);
    (void)chains_.Copy(session.held, 4, scratch3_.first(size));
    chains_.Drop(session.held, 4 + size);
    SendNow(session, scratch3_.first(size), 0);
  }
}

}  // namespace gh::xmpp
