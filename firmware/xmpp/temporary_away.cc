// Watching a user of another server for a while (PRES-04). XMPP has no such thing between servers:
// he is asked as for a subscription, of which our user's roster has nothing, and told that it is
// over when the last of the user's watches ends. What his server sends meanwhile is for the
// sessions that watch alone.
//
// Fault model: where this server ends without a word, his goes on until he or our user says so.
#include "firmware/xmpp/engine.h"

namespace gh::xmpp {

void Engine::OnTemporaryAway(Session& session, const Node& stanza, const Address& whom,
                             bool begins) {
  Watch* watch = FindWatchAway(session, whom.bare());
  if (!begins) {
    if (watch != nullptr) {
      EndWatch(*watch);
    }
    SendResult(session, stanza, "");
    return;
  }
  Account& account = *session.account;
  const Contact* contact = directory_->FindContact(account, whom.bare());
  const bool is_contact = contact != nullptr && (contact->state & kTo) != 0;
  bool is_full = false;
  if (watch != nullptr || is_contact) {
    if (watch != nullptr) {
      timers_.Arm(watch->timer, config_.temporary_life);
    }
    WriteWatched(session, stanza);
    ProbeAway(account, whom.bare());
  } else if (BeginWatchAway(session, whom, is_full) || !is_full) {
    WriteWatched(session, stanza);
    SendAwayOf(session, whom.bare());  // until his server says more
  } else {
    AnswerError(session, stanza, "wait", "resource-constraint");
  }
}

// False: there is no room, or no way to him.
bool Engine::BeginWatchAway(Session& session, const Address& whom, bool& is_full) {
  Account& account = *session.account;
  if (!config_.presence || remote_ == nullptr || Blocks(account, whom)) {
    return false;
  }
  const bool is_watched = IsWatchedAway(account, whom.bare());
  Watch* watch = NewWatch(session);
  is_full = watch == nullptr || !chains_.Assign(watch->away, whom.bare());
  if (watch == nullptr) {
    return false;
  }
  const Remote::Taken taken =
      is_full ? Remote::Taken::kFull
              : SayAway(account, whom.bare(), is_watched ? "probe" : "subscribe");
  if (taken == Remote::Taken::kYes) {
    timers_.Arm(watch->timer, config_.temporary_life);
    return true;
  }
  is_full = taken == Remote::Taken::kFull;
  chains_.Free(watch->away);  // nobody was asked
  EndWatch(*watch);
  return false;
}

Watch* Engine::FindWatchAway(Session& session, std::string_view bare) {
  for (Watch& watch : session.watches) {
    uint8_t bytes[kAddressMax];
    if (watch.watched == nullptr && watch.away.size == bare.size() &&
        AsText(std::span(bytes).first(chains_.Copy(watch.away, 0, bytes))) == bare) {
      return &watch;
    }
  }
  return nullptr;
}

bool Engine::IsWatchedAway(Account& account, std::string_view bare) {
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (FindWatchAway(*at, bare) != nullptr) {
      return true;
    }
  }
  return false;
}

Remote::Taken Engine::SayAway(const Account& account, std::string_view bare,
                              std::string_view type) {
  uint8_t bytes[kAddressMax * 12 + 64];
  ByteWriter out(bytes);
  out.Text("<presence");
  WriteAttribute("from", account.name.view(), out);
  WriteAttribute("to", bare, out);
  WriteAttribute("type", type, out);
  out.Text("/>");
  return ToRemote(account.name.view(), bare, out.written());
}

// It is none of its session's any more. The last one: he is told.
void Engine::EndWatchAway(Watch& watch) {
  uint8_t bytes[kAddressMax];
  const auto bare = AsText(std::span(bytes).first(chains_.Copy(watch.away, 0, bytes)));
  chains_.Free(watch.away);
  Account& account = *watch.watcher->account;
  const Contact* contact = bare.empty() ? nullptr : directory_->FindContact(account, bare);
  const bool is_wanted = contact != nullptr && (contact->state & (kTo | kAsked)) != 0;
  if (!bare.empty() && !is_wanted && !IsWatchedAway(account, bare)) {
    (void)SayAway(account, bare, "unsubscribe");
  }
}

// He does not want to be seen.
void Engine::EndWatchesAway(Account& account, std::string_view bare) {
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (Watch* watch = FindWatchAway(*at, bare)) {
      chains_.Free(watch->away);
      EndWatch(*watch);
      SendAwayOf(*at, bare);
    }
  }
}

// False: nobody watches him, or he is a contact, whom all may see.
bool Engine::DeliverToWatchersAway(Account& account, std::string_view bare,
                                   std::span<const uint8_t> presence) {
  const Contact* contact = directory_->FindContact(account, bare);
  if (watches_.used_count() == 0 || (contact != nullptr && (contact->state & kTo) != 0)) {
    return false;
  }
  bool any = false;
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (FindWatchAway(*at, bare) != nullptr) {
      SendStanza(*at, presence);
      any = true;
    }
  }
  return any;
}

}  // namespace gh::xmpp
