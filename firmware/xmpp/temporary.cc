// Watching somebody who is no contact for a while (PRES-04), for clients that show users found by a
// search or met in a room:
//
//   <iq type='set'><watch xmlns='urn:gatehouse:presence:temporary' jid='bob@example.com'/></iq>
//
// is answered with the seconds it lasts, and followed by his presence as his policy shows it to the
// user; <unwatch/> ends it. Whoever is not there, or is not to be seen, looks as if he were away.
#include "firmware/xmpp/engine.h"

namespace gh::xmpp {

void Engine::OnTemporary(Session& session, const Node& stanza, const Node& query) {
  const auto address = Address::Parse(query.Get("jid"));
  const bool begins = query.name == "watch";
  if (!address.ok() || address->local().empty() || (!begins && query.name != "unwatch")) {
    AnswerError(session, stanza, "modify", "bad-request");
    return;
  }
  if (!config_.temporary) {
    AnswerError(session, stanza, "cancel", "feature-not-implemented");
    return;
  }
  if (!IsLocal(address->domain())) {
    OnTemporaryAway(session, stanza, *address, begins);
    return;
  }
  Account* watched = directory_->Find(address->bare());
  if (!begins) {
    if (Watch* watch = watched != nullptr ? FindWatch(session, *watched) : nullptr) {
      EndWatch(*watch);
    }
    SendResult(session, stanza, "");
    return;
  }
  const bool may_see = watched != nullptr && MayWatchForAWhile(session, *watched);
  if (may_see && !IsSubscribed(*session.account, *watched) && !BeginWatch(session, *watched)) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  WriteWatched(session, stanza);
  if (!may_see || !SendPresenceOf(*watched, session)) {
    SendAwayOf(session, address->bare());
  }
}

void Engine::WriteWatched(Session& session, const Node& stanza) {
  uint8_t bytes[128];
  ByteWriter out(bytes);
  out.Text("<watch xmlns='urn:gatehouse:presence:temporary' seconds='");
  out.Decimal(static_cast<uint64_t>(config_.temporary_life.seconds()));
  out.Text("'/>");
  SendResult(session, stanza, out.text());
}

// He is not there, for this session.
void Engine::SendAwayOf(Session& session, std::string_view bare) {
  uint8_t bytes[kAddressMax * 12 + 64];
  uint8_t full_bytes[kAddressMax];
  ByteWriter out(bytes);
  out.Text("<presence");
  WriteAttribute("from", bare, out);
  WriteAttribute("to", FullOf(session, full_bytes), out);
  out.Text(" type='unavailable'/>");
  SendStanza(session, out.written());
}

bool Engine::MayWatchForAWhile(const Session& session, Account& watched) {
  const auto from = Address::Parse(session.account->name.view());
  Contact nobody;
  Contact* contact = directory_->FindContact(watched, session.account->name.view());
  return config_.presence && from.ok() && !Blocks(watched, *from) &&
         (IsSubscribed(*session.account, watched) ||
          IsAuthorizedAtOnce(watched, contact != nullptr ? *contact : nobody, *from));
}

Watch* Engine::FindWatch(Session& session, const Account& watched) {
  for (Watch& watch : session.watches) {
    if (watch.watched == &watched) {
      return &watch;
    }
  }
  return nullptr;
}

bool Engine::BeginWatch(Session& session, Account& watched) {
  Watch* watch = FindWatch(session, watched);
  if (watch == nullptr) {
    watch = NewWatch(session);
    if (watch == nullptr) {
      return false;
    }
    watch->watched = &watched;
    watched.watches.PushBack(*watch);
  }
  timers_.Arm(watch->timer, config_.temporary_life);
  return true;
}

Watch* Engine::NewWatch(Session& session) {
  const bool is_full = config_.temporary_max != 0 && watches_.used_count() >= config_.temporary_max;
  Watch* watch = is_full ? nullptr : watches_.Allocate();
  if (watch == nullptr) {
    ++counters_.refused;
    return nullptr;
  }
  watch->watcher = &session;
  session.watches.PushBack(*watch);
  watch->timer.Set(
      [](Timer&, void* context) {
        auto& over = *static_cast<Watch*>(context);
        over.watcher->engine->EndWatch(over);
      },
      watch);
  return watch;
}

void Engine::EndWatch(Watch& watch) {
  timers_.Cancel(watch.timer);
  watch.watcher->watches.Remove(watch);
  if (watch.watched != nullptr) {
    watch.watched->watches.Remove(watch);
  } else {
    EndWatchAway(watch);
  }
  watches_.Release(&watch);
}

// Of a session that ends.
void Engine::EndWatches(Session& session) {
  while (Watch* watch = session.watches.front()) {
    EndWatch(*watch);
  }
}

// Of whom `watched` blocks from now on: he has gone, for them.
void Engine::EndWatches(Account& watched, const Address& rule) {
  for (Watch& watch : watched.watches) {
    Session& watcher = *watch.watcher;
    const auto address = Address::Parse(watcher.account->name.view());
    if (!address.ok() || (address->full() != rule.bare() && address->domain() != rule.full())) {
      continue;
    }
    EndWatch(watch);
    SendAwayOf(watcher, watched.name.view());
  }
}

}  // namespace gh::xmpp
