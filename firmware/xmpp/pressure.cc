// Where the engine's memory runs short because clients do not read: what clients say is held back,
// and who has not read for the longest time goes. Nobody is held back where nobody is slow: what is
// kept for accounts and rooms has its room in the capacity.
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
  if (session.state != SessionState::kBound || !IsShort() ||
      (!session.unacknowledged.empty() && !is_scarce)) {
    return false;
  }
  if (!session.held_node.linked()) {
    held_.PushBack(session);
    ++counters_.held_back;
  }
  if (!pressure_timer_.armed()) {
    observer_.OnHeldBack(chains_.free_count(), chains_.capacity());
    timers_.Arm(pressure_timer_, Duration::Milliseconds(kPressureTickMs));
  }
  return true;
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
    ReleaseHeld();
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
