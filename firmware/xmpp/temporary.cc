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
  if (!config_.temporary || !IsLocal(address->domain())) {
    AnswerError(session, stanza, "cancel", "feature-not-implemented");
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
  uint8_t bytes[kAddressMax * 12 + 160];
  ByteWriter out(bytes);
  out.Text("<watch xmlns='urn:gatehouse:presence:temporary' seconds='");
  out.Decimal(static_cast<uint64_t>(config_.temporary_life.seconds()));
  out.Text("'/>");
  SendResult(session, stanza, out.text());
  if (may_see && SendPresenceOf(*watched, session)) {
    return;
  }
  uint8_t full_bytes[kAddressMax];
  out = ByteWriter(bytes);
  out.Text("<presence");
  WriteAttribute("from", address->bare(), out);
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
    const bool is_full =
        config_.temporary_max != 0 && watches_.used_count() >= config_.temporary_max;
    watch = is_full ? nullptr : watches_.Allocate();
    if (watch == nullptr) {
      ++counters_.refused;
      return false;
    }
    watch->watcher = &session;
    watch->watched = &watched;
    session.watches.PushBack(*watch);
    watched.watches.PushBack(*watch);
    watch->timer.Set(
        [](Timer&, void* context) {
          auto& over = *static_cast<Watch*>(context);
          over.watcher->engine->EndWatch(over);
        },
        watch);
  }
  timers_.Arm(watch->timer, config_.temporary_life);
  return true;
}

void Engine::EndWatch(Watch& watch) {
  timers_.Cancel(watch.timer);
  watch.watcher->watches.Remove(watch);
  watch.watched->watches.Remove(watch);
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
  uint8_t bytes[kAddressMax * 12 + 64];
  for (Watch& watch : watched.watches) {
    Session& watcher = *watch.watcher;
    const auto address = Address::Parse(watcher.account->name.view());
    if (!address.ok() || (address->full() != rule.bare() && address->domain() != rule.full())) {
      continue;
    }
    EndWatch(watch);
    uint8_t full_bytes[kAddressMax];
    ByteWriter out(bytes);
    out.Text("<presence");
    WriteAttribute("from", watched.name.view(), out);
    WriteAttribute("to", FullOf(watcher, full_bytes), out);
    out.Text(" type='unavailable'/>");
    SendStanza(watcher, out.written());
  }
}

}  // namespace gh::xmpp
