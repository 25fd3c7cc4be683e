// What peers that are not authenticated may hold, by the address they come from: places, parsers,
// attempts to log in. Each address has its share; where all is taken, the oldest holder of the
// address that has most gives way to who comes from one with less, so that no host, however
// patient, keeps the others out.
//
// Fault model: a host has one address (IPv6: one /64), or a few. Where each of very many holds as
// little as anybody else, only age decides, and a newcomer waits until the oldest had its time.
#include "firmware/xmpp/engine.h"

namespace gh::xmpp {

// Who of `holders`, oldest first, gives way to one more from `asking`; null: nobody.
template <ListNode Session::*Node>
Session* Engine::Crowder(List<Session, Node>& holders, uint32_t Source::*held,
                         Instant Session::*since, const Source& asking) {
  Session* most = nullptr;
  uint32_t looks = 0;
  for (Session& holder : holders) {
    if (looks++ == kCrowdLooksMax) {
      break;
    }
    if (!holder.doomed && (most == nullptr || holder.source->*held > most->source->*held)) {
      most = &holder;
    }
  }
  if (most == nullptr || most->source->*held <= asking.*held) {
    return nullptr;
  }
  const bool has_had_time = timers_.now() - most->*since >= Duration::Seconds(kCrowdSeconds);
  return most->source->*held > asking.*held + 1 || has_had_time ? most : nullptr;
}

// Whether a stranger may come in; room is made for him. "": he may.
const char* Engine::Admit(const Source& source) {
  const uint32_t all = sessions_.capacity();
  const uint32_t strangers_max = std::max(ShareOf(all, kStrangersPercent), std::min(all, 16u));
  if (source.connections > ShareOf(all, config_.address_percent)) {
    return "too many connections from its address";
  }
  if (source.strangers >= ShareOf(strangers_max, config_.address_strangers_percent)) {
    return "too many from its address have not logged in";
  }
  if (strangers_.size() < strangers_max && sessions_.free_count() > 0) {
    return "";
  }
  Session* crowder = Crowder(strangers_, &Source::strangers, &Session::opened, source);
  if (crowder == nullptr) {
    return "too many streams";
  }
  // Without a word: what waits to be read by a host that does not would keep its connection.
  observer_.OnRefused(crowder->remote, "", "others wanted its place");
  ++counters_.crowded_out;
  Doom(*crowder, "others wanted its place");
  Settle();
  return sessions_.free_count() > 0 ? "" : "too many streams";
}

// False: it has to wait for one.
bool Engine::FreeReaderFor(const Session& session) {
  Session* crowder = session.unproven ? Crowder(reading_strangers_, &Source::readers,
                                                &Session::reading_since, *session.source)
                                      : nullptr;
  if (crowder == nullptr) {
    return false;
  }
  ++counters_.crowded_out;
  StreamError(*crowder, "resource-constraint", "others wanted its parser");
  ReturnReader(*crowder);
  return true;
}

// One of the places for attempts that go on; false: there is none.
bool Engine::BeginAttempt(Session& session) {
  if (session.attempt_node.linked()) {
    return true;
  }
  if (attempts_.size() == logins_.capacity()) {
    Session* crowder =
        Crowder(attempts_, &Source::attempts, &Session::attempt_since, *session.source);
    if (crowder == nullptr) {
      return false;
    }
    ++counters_.crowded_out;
    RefuseAuth(*crowder, "temporary-auth-failure", "others wanted its place");
  }
  session.attempt_since = timers_.now();
  attempts_.PushBack(session);
  ++session.source->attempts;
  return true;
}

void Engine::EndAttempt(Session& session) {
  if (session.attempt_node.linked()) {
    attempts_.Remove(session);
    --session.source->attempts;
  }
}

void Engine::EnterAsStranger(Session& session, Source& source) {
  session.source = &source;
  session.opened = timers_.now();
  strangers_.PushBack(session);
  ++source.strangers;
}

void Engine::LeaveStrangers(Session& session) {
  if (session.stranger_node.linked()) {
    strangers_.Remove(session);
    --session.source->strangers;
  }
}

void Engine::NoteReading(Session& session, bool is_reading) {
  if (is_reading && session.unproven) {
    session.reading_since = timers_.now();
    reading_strangers_.PushBack(session);
    ++session.source->readers;
  } else if (!is_reading && session.reading_node.linked()) {
    reading_strangers_.Remove(session);
    --session.source->readers;
  }
}

// Its connection is gone.
void Engine::LeaveSource(Session& session) {
  DropAttempt(session);
  LeaveStrangers(session);
  sources_.Leave(*session.source);
  session.source = nullptr;
}

}  // namespace gh::xmpp
