// Where the engine's memory runs short because clients do not read: what clients say is held back,
// and who has not read for the longest time goes. Nobody is held back where nobody is slow: what is
// kept for accounts and rooms has its room in the capacity. Who is too fast is held back as well,
// by himself; and those who may be gone are sent a blank.
#include <algorithm>

#include "firmware/xmpp/engine.h"

namespace gh::xmpp {

// Blocks that others' unsent bytes may not have.
bool Engine::IsShort() const {
  return !slow_.empty() && chains_.free_count() < chains_.capacity() / 4;
}

// Before a stanza of the session's is begun. Who has something to acknowledge is heard for longer:
// that gives memory back.
bool Engine::HoldsBack(Session& session) {
  const bool is_scarce = chains_.free_count() < chains_.capacity() / 8;
  const bool is_pressed = IsShort() && (session.unacknowledged.empty() || is_scarce);
  if (session.state != SessionState::kBound || (!is_pressed && !IsTooFast(session))) {
    return false;
  }
  if (is_pressed && !told_of_pressure_) {
    told_of_pressure_ = true;
    observer_.OnHeldBack(chains_.free_count(), chains_.capacity());
  }
  HoldBack(session, is_pressed ? counters_.held_back : counters_.too_fast);
  return true;
}

void Engine::HoldBack(Session& session, uint64_t& counter) {
  if (!session.held_node.linked()) {
    held_.PushBack(session);
    ++counter;
  }
  if (!pressure_timer_.armed()) {
    timers_.Arm(pressure_timer_, Duration::Milliseconds(kPressureTickMs));
  }
}

void Engine::OnPressure() {
  while (IsShort() &&
         timers_.now() - slow_.front()->unsent_since >= Duration::Seconds(kStalledSeconds)) {
    Shed(*slow_.front());
  }
  Settle();
  if (IsShort()) {
    timers_.Arm(pressure_timer_, Duration::Milliseconds(kPressureTickMs));
  } else {
    told_of_pressure_ = false;
    ReleaseHeld();
  }
}

// Its allowance grows with time, and its stanzas spend it.
bool Engine::IsTooFast(Session& session) {
  const int64_t rate = config_.stanza_rate;
  const int64_t most = rate * kStanzaAllowance * kRateBurstSeconds;
  const Instant now = timers_.now();
  session.allowance =
      session.counted == Instant()
          ? most
          : std::min(most, session.allowance + (now - session.counted).microseconds() * rate);
  session.counted = now;
  return rate != 0 && session.allowance <= 0;
}

// RFC 6120 section 4.6.1: TCP finds who is not there any more when it has something to send.
void Engine::OnKeepAlive() {
  for (uint32_t i = 0; i < sessions_.capacity(); ++i) {
    Session* session = sessions_.At(i);
    if (session != nullptr && session->connected && !session->doomed && !session->closing &&
        session->state == SessionState::kBound && session->framing == Framing::kStream &&
        session->unsent.empty() && timers_.now() - session->written >= config_.keep_alive) {
      Write(*session, " ");
    }
  }
  Settle();
  if (config_.enabled && config_.keep_alive > Duration()) {
    timers_.Arm(keep_alive_timer_, config_.keep_alive / 4);
  }
}

void Engine::ReleaseHeld() {
  while (Session* session = held_.PopFront()) {
    host_.Resume(session->stream);
  }
}

// What it has not acknowledged goes on waiting in the store.
void Engine::Shed(Session& session) {
  ++counters_.shed;
  session.resumable = false;
  host_.Abort(session.stream);
  Detach(session);
  Doom(session, "it does not read");
}

// Queues bytes that the network does not take; false: it has too many, or nobody has waited longer.
bool Engine::QueueUnsent(Session& session, std::span<const uint8_t> bytes) {
  if (session.framing == Framing::kBodies ||  // who frames it has queues of his own
      session.unsent.size + bytes.size() > kUnsentMax) {
    return false;
  }
  while (!chains_.Append(session.unsent, bytes)) {
    Session* stalled = slow_.front();
    if (stalled == nullptr || stalled == &session ||
        timers_.now() - stalled->unsent_since < Duration::Seconds(kStalledSeconds)) {
      return false;
    }
    Shed(*stalled);
  }
  NoteUnsent(session);
  return true;
}

void Engine::NoteUnsent(Session& session) {
  if (!session.unsent_node.linked() && !session.unsent.empty()) {
    slow_.PushBack(session);
    session.unsent_since = timers_.now();
    session.unsent_taken = 0;
  }
}

void Engine::NoteTaken(Session& session, uint32_t count) {
  session.unsent_taken += count;
  if (session.unsent.empty() || session.unsent_taken >= kReadsBytes) {
    slow_.Remove(session);
    NoteUnsent(session);
  }
}

void Engine::ForgetUnsent(Session& session) {
  if (session.unsent_node.linked()) {
    slow_.Remove(session);
  }
  if (session.held_node.linked()) {
    held_.Remove(session);
  }
}

}  // namespace gh::xmpp
