// Presence: broadcast, directed, and subscriptions (RFC 6121 sections 3 and 4).
//
// A subscription is two records, one in the roster of either side; what a watcher is shown goes by
// the record of the watched. Both sides are asked by address, never by pointer: the other side may
// be another protocol's or server's one day.
#include <charconv>

#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kStart = "<presence";

int8_t PriorityOf(const Node& stanza) {
  const Node* child = stanza.Child("priority", ns::kClient);
  int value = 0;
  if (child != nullptr) {
    const std::string_view text = child->Text();
    (void)std::from_chars(text.data(), text.data() + text.size(), value);
  }
  return static_cast<int8_t>(std::clamp(value, -128, 127));
}

bool IsSubscription(std::string_view type) {
  return type == "subscribe" || type == "subscribed" || type == "unsubscribe" ||
         type == "unsubscribed";
}

// `presence` with an address put in.
void WriteTo(std::span<const uint8_t> presence, std::string_view to, ByteWriter& out) {
  const std::string_view text = AsText(presence);
  GH_ASSERT(text.starts_with(kStart));
  out.Text(kStart);
  WriteAttribute("to", to, out);
  out.Text(text.substr(kStart.size()));
}

}  // namespace

void Engine::OnPresence(Session& session, Node& stanza, const Address* to) {
  const std::string_view type = stanza.Get("type");
  const bool is_state = type.empty() || type == "unavailable";
  if (to == nullptr) {
    if (is_state) {
      OnOwnPresence(session, stanza, type.empty());
    } else {
      AnswerError(session, stanza, "modify", "bad-request");
    }
    return;
  }
  if (!IsLocal(to->domain())) {
    OnPresenceAway(session, stanza, *to);
    return;
  }
  if (is_state) {
    OnDirected(session, stanza, *to, type.empty());
  } else if (IsSubscription(type)) {
    if (!session.is_remote) {  // OnRemote has dealt with those to users there are
      Subscribe(*session.account, *to, type, &stanza);
    }
  } else if (type == "probe") {
    Account* watched = directory_->Find(to->bare());
    if (watched != nullptr && Sees(*session.account, *watched)) {
      SendPresenceOf(*watched, session);
    }
  } else if (type != "error") {
    AnswerError(session, stanza, "modify", "bad-request");
  }
}

void Engine::OnOwnPresence(Session& session, Node& stanza, bool available) {
  uint8_t full_bytes[kAddressMax];
  ByteWriter out(scratch_);
  WriteStanza(stanza, {FullOf(session, full_bytes), {}}, out);
  if (available) {
    StampAvatar(*session.account, out);
  }
  if (!out.ok() || out.size() > kPresenceMax) {
    AnswerError(session, stanza, "modify", "policy-violation");
    return;
  }
  ReleaseReplies(*session.account);
  if (!available) {
    if (session.available) {
      session.available = false;
      chains_.Free(session.presence);
      Broadcast(session, out.written());
    }
    rooms_->OnGone(session);
    SendUnavailable(session);  // to those it was sent to directly
    return;
  }
  const bool was_reachable = session.available && session.priority >= 0;
  const bool is_first = !session.available;
  if (!chains_.Assign(session.presence, out.text())) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  session.available = true;
  session.priority = PriorityOf(stanza);
  Broadcast(session, out.written());
  if (is_first) {
    OnFirstPresence(session);
  }
  if (!was_reachable && session.priority >= 0) {
    SendWaiting(session);
  }
  OnCaps(session, stanza);
}

// It sees its own others and its contacts, and what was asked while it was away.
void Engine::OnFirstPresence(Session& session) {
  Account& account = *session.account;
  SendPresenceOf(account, session);
  for (Contact& contact : account.contacts) {
    uint8_t bytes[kAddressMax];
    const std::string_view address = directory_->AddressOf(contact, bytes);
    if ((contact.state & kTo) != 0) {
      Account* watched = directory_->Find(address);
      if (watched == nullptr) {
        ProbeAway(account, address);
      } else if (Sees(account, *watched)) {
        SendPresenceOf(*watched, session);
      }
    }
    if ((contact.state & kWasAsked) != 0) {
      uint8_t full_bytes[kAddressMax];
      uint8_t stanza_bytes[kAddressMax * 12 + 64];
      ByteWriter out(stanza_bytes);
      out.Text("<presence");
      WriteAttribute("from", address, out);
      WriteAttribute("to", FullOf(session, full_bytes), out);
      out.Text(" type='subscribe'/>");
      SendStanza(session, out.written());
    }
  }
}

// To the account's other sessions, and to all who see it.
void Engine::Broadcast(Session& session, std::span<const uint8_t> presence) {
  Account& account = *session.account;
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (at->available) {  // itself too (RFC 6121 section 4.4.2)
      uint8_t full_bytes[kAddressMax];
      ByteWriter out(scratch2_);
      WriteTo(presence, FullOf(*at, full_bytes), out);
      SendStanza(*at, out.written());
    }
  }
  if (config_.presence) {
    ToWatchers(session, presence);
  }
}

// Whom the session's privacy list does not hide it from.
void Engine::ToWatchers(Session& session, std::span<const uint8_t> presence) {
  Account& account = *session.account;
  const bool has_lists = !account.privacy.empty();
  const auto hides = [&](std::string_view other) {
    const auto address = Address::Parse(other);
    return has_lists && address.ok() && Denies(session, *address, kPrivacyPresenceOut);
  };
  for (Watch& watch : account.watches) {
    if (hides(watch.watcher->account->name.view())) {
      continue;
    }
    uint8_t full_bytes[kAddressMax];
    ByteWriter out(scratch2_);
    WriteTo(presence, FullOf(*watch.watcher, full_bytes), out);
    SendStanza(*watch.watcher, out.written());
  }
  for (Contact& contact : account.contacts) {
    uint8_t bytes[kAddressMax];
    if ((contact.state & kFrom) != 0 && !hides(directory_->AddressOf(contact, bytes))) {
      ToWatcher(account, contact, presence);
    }
  }
}

void Engine::ToWatcher(Account& account, Contact& contact, std::span<const uint8_t> presence) {
  uint8_t bytes[kAddressMax];
  const std::string_view address = directory_->AddressOf(contact, bytes);
  Account* watcher = directory_->Find(address);
  if (watcher == nullptr) {
    PresenceAway(account, address, presence);
    return;
  }
  if (watcher == &account || watcher->sessions == nullptr) {
    return;
  }
  ByteWriter out(scratch2_);
  WriteTo(presence, address, out);
  const auto own = Address::Parse(account.name.view());
  const auto its = Address::Parse(address);
  if (out.ok() && own.ok() && its.ok() && !Blocks(account, *its) && !Blocks(*watcher, *own)) {
    DeliverToAvailable(*watcher, out.written());
  }
}

// Presence is switched on or off for all.
void Engine::ShowAll(bool available) {
  for (uint32_t i = 0; i < sessions_.capacity(); ++i) {
    Session* session = sessions_.At(i);
    if (session == nullptr || !session->available || session->doomed) {
      continue;
    }
    uint8_t full_bytes[kAddressMax];
    uint8_t bytes[kPresenceMax];
    ByteWriter presence(bytes);
    if (available) {
      (void)chains_.Copy(session->presence, 0, presence.Reserve(session->presence.size));
    } else {
      presence.Text("<presence");
      WriteAttribute("from", FullOf(*session, full_bytes), presence);
      presence.Text(" type='unavailable'/>");
    }
    ToWatchers(*session, presence.written());
  }
}

void Engine::DeliverToAvailable(Account& account, std::span<const uint8_t> stanza) {
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (at->available) {
      SendStanza(*at, stanza);
    }
  }
}

bool Engine::IsSubscribed(Account& watcher, Account& watched) {
  if (&watcher == &watched) {
    return true;
  }
  const Contact* contact = directory_->FindContact(watched, watcher.name.view());
  const auto address = Address::Parse(watcher.name.view());
  return contact != nullptr && (contact->state & kFrom) != 0 && address.ok() &&
         !Blocks(watched, *address);
}

// False: there is none.
bool Engine::SendPresenceOf(Account& account, Session& to) {
  bool any = false;
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (!at->available || at == &to || at->doomed || DeniesFrom(*at, to, kPrivacyPresenceOut)) {
      continue;
    }
    uint8_t full_bytes[kAddressMax];
    uint8_t presence_bytes[kPresenceMax];
    const size_t size = chains_.Copy(at->presence, 0, presence_bytes);
    ByteWriter out(scratch2_);
    WriteTo(std::span(presence_bytes).first(size), FullOf(to, full_bytes), out);
    SendStanza(to, out.written());
    any = true;
  }
  return any;
}

// All of the account's presence to somebody who may see it now, or who may not any more.
void Engine::SendPresenceTo(Account& account, std::string_view bare, bool available) {
  if (!config_.presence) {
    return;
  }
  Account* watcher = directory_->Find(bare);
  const auto other = Address::Parse(bare);
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (!at->available || at->doomed || (other.ok() && Denies(*at, *other, kPrivacyPresenceOut))) {
      continue;
    }
    uint8_t presence_bytes[kPresenceMax];
    ByteWriter presence(presence_bytes);
    if (available) {
      const auto kept = presence.Reserve(at->presence.size);
      (void)chains_.Copy(at->presence, 0, kept);
    } else {
      uint8_t full_bytes[kAddressMax];
      presence.Text("<presence");
      WriteAttribute("from", FullOf(*at, full_bytes), presence);
      presence.Text(" type='unavailable'/>");
    }
    if (watcher == nullptr) {
      PresenceAway(account, bare, presence.written());
      continue;
    }
    ByteWriter out(scratch2_);
    WriteTo(presence.written(), bare, out);
    DeliverToAvailable(*watcher, out.written());
  }
}

// --- Directed ------------------------------------------------------------------------------------

void Engine::OnDirected(Session& session, Node& stanza, const Address& to, bool available) {
  Account* account = to.local().empty() ? nullptr : directory_->Find(to.bare());
  if (account == nullptr || (available && !config_.presence)) {
    return;
  }
  uint8_t full_bytes[kAddressMax];
  const std::string_view full = FullOf(session, full_bytes);
  if (const auto from = Address::Parse(full); from.ok() && Blocks(*account, *from)) {
    return;
  }
  ByteWriter out(scratch_);
  WriteStanza(stanza, {full, to.full()}, out);
  if (!out.ok() || out.size() > kPresenceMax) {
    AnswerError(session, stanza, "modify", "policy-violation");
    return;
  }
  // So that they hear when it goes.
  if (available && !RememberDirected(session, to)) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  if (to.has_resource()) {
    if (Session* target = FindSession(*account, to.resource())) {
      SendStanza(*target, out.written());
    }
  } else if (!session.is_remote ||
             !DeliverToWatchersAway(*account, session.account->name.view(), out.written())) {
    DeliverToAvailable(*account, out.written());
  }
}

// The session is over. It is not among its account's sessions any more.
void Engine::SendUnavailable(Session& session) {
  uint8_t full_bytes[kAddressMax];
  uint8_t bytes[kAddressMax * 6 + 64];
  ByteWriter presence(bytes);
  presence.Text("<presence");
  WriteAttribute("from", FullOf(session, full_bytes), presence);
  presence.Text(" type='unavailable'/>");
  if (session.available) {
    session.available = false;
    Broadcast(session, presence.written());
  }
  while (session.directed.size > 2) {
    uint8_t address_bytes[kAddressMax];
    (void)chains_.Copy(session.directed, 0, std::span(address_bytes).first(2));
    const uint32_t size = static_cast<uint32_t>(address_bytes[0]) << 8 | address_bytes[1];
    (void)chains_.Copy(session.directed, 2, std::span(address_bytes).first(size));
    chains_.Drop(session.directed, 2 + size);
    const auto to = Address::Parse(AsText(std::span(address_bytes).first(size)));
    Account* account = to.ok() ? directory_->Find(to->bare()) : nullptr;
    ByteWriter out(scratch2_);
    if (account == nullptr) {
      if (to.ok() && !IsLocal(to->domain())) {
        WriteTo(presence.written(), to->full(), out);
        (void)ToRemote(session.account->name.view(), to->domain(), out.written());
      }
      continue;
    }
    WriteTo(presence.written(), to->full(), out);
    if (!to->has_resource()) {
      DeliverToAvailable(*account, out.written());
    } else if (Session* target = FindSession(*account, to->resource())) {
      SendStanza(*target, out.written());
    }
  }
}

// --- Subscriptions -------------------------------------------------------------------------------

// What `account` says to `to` about subscriptions: its own record first, then the other side's.
void Engine::Subscribe(Account& account, const Address& to, std::string_view type,
                       const Node* stanza) {
  const std::string_view bare = to.bare();
  if (bare == account.name.view() || to.local().empty()) {
    return;
  }
  Contact* contact = directory_->FindContact(account, bare);
  if (type == "subscribe" && contact == nullptr) {
    contact = account.contacts.size() < config_.contacts_per_user
                  ? directory_->AddContact(account, bare)
                  : nullptr;
  }
  if (contact == nullptr) {
    return;
  }
  const uint8_t before = contact->state;
  if (type == "subscribe") {
    const uint8_t wants = (before & kTo) == 0 ? kAsked : uint8_t{0};
    contact->state = static_cast<uint8_t>(before | kInRoster | wants);
  } else if (type == "unsubscribe") {
    contact->state = static_cast<uint8_t>(before & ~(kTo | kAsked));
  } else if (type == "subscribed") {
    if ((before & kWasAsked) == 0) {
      return;  // nobody asked
    }
    contact->state = static_cast<uint8_t>((before & ~kWasAsked) | kFrom | kInRoster);
  } else {
    if ((before & (kFrom | kWasAsked)) == 0) {
      return;
    }
    contact->state = static_cast<uint8_t>(before & ~(kFrom | kWasAsked));
  }
  if (contact->state != before) {
    (void)Changed(account, *contact, ((before | contact->state) & kInRoster) != 0);
  }
  uint8_t bytes[kPresenceMax];
  ByteWriter out(bytes);
  if (stanza != nullptr) {
    WriteStanza(*stanza, {account.name.view(), bare}, out);
  }
  if (stanza == nullptr || !out.ok()) {
    out = ByteWriter(bytes);
    out.Text("<presence");
    WriteAttribute("from", account.name.view(), out);
    WriteAttribute("to", bare, out);
    WriteAttribute("type", type, out);
    out.Text("/>");
  }
  if (type == "unsubscribed" && (before & kFrom) != 0) {
    SendPresenceTo(account, bare, false);
    EndStale(account);
  }
  // Nobody is told whether there is such a user.
  if (!IsLocal(to.domain())) {
    (void)ToRemote(account.name.view(), to.domain(), out.written());
  } else if (Account* other = directory_->Find(bare)) {
    OnSubscriptionFor(*other, account.name.view(), type, out.written());
  }
  if (type == "subscribed") {
    SendPresenceTo(account, bare, true);
    AskPresenceAway(account, bare);
  }
}

// `account` has no place for another watcher.
void Engine::Deny(Account& account, const Address& watcher) {
  uint8_t bytes[kAddressMax * 12 + 64];
  ByteWriter out(bytes);
  out.Text("<presence");
  WriteAttribute("from", account.name.view(), out);
  WriteAttribute("to", watcher.bare(), out);
  out.Text(" type='unsubscribed'/>");
  ++counters_.refused;
  if (!IsLocal(watcher.domain())) {
    (void)ToRemote(account.name.view(), watcher.domain(), out.written());
  } else if (Account* other = directory_->Find(watcher.bare())) {
    OnSubscriptionFor(*other, account.name.view(), "unsubscribed", out.written());
  }
}

// What `from` says to `account`.
void Engine::OnSubscriptionFor(Account& account, std::string_view from, std::string_view type,
                               std::span<const uint8_t> stanza) {
  const auto address = Address::Parse(from);
  if (!address.ok() || Blocks(account, *address)) {
    return;
  }
  Contact* contact = directory_->FindContact(account, from);
  if (type == "subscribe") {
    if ((contact == nullptr || (contact->state & kFrom) == 0) && !MayWatch(account, contact)) {
      Deny(account, *address);
      return;
    }
    if (contact == nullptr && account.contacts.size() < 2 * uint64_t{config_.contacts_per_user}) {
      contact = directory_->AddContact(account, from);
    }
    if (contact == nullptr || (contact->state & kWasAsked) != 0) {
      return;
    }
    if ((contact->state & kFrom) != 0) {  // it may already: the other side has forgotten
      contact->state = static_cast<uint8_t>(contact->state | kWasAsked);
      Subscribe(account, *address, "subscribed", nullptr);
      return;
    }
    const bool is_free = IsAuthorizedAtOnce(account, *contact, *address);
    contact->state = static_cast<uint8_t>(contact->state | kWasAsked);
    if (is_free) {
      Subscribe(account, *address, "subscribed", nullptr);
      return;
    }
    (void)Changed(account, *contact, false);
    DeliverToAvailable(account, stanza);
    return;
  }
  if (contact == nullptr) {
    return;
  }
  const uint8_t before = contact->state;
  uint8_t after = before;
  if (type == "subscribed" && (before & kAsked) != 0) {
    after = static_cast<uint8_t>((before & ~kAsked) | kTo);
  } else if (type == "unsubscribed") {
    after = static_cast<uint8_t>(before & ~(kTo | kAsked));
  } else if (type == "unsubscribe") {
    after = static_cast<uint8_t>(before & ~(kFrom | kWasAsked));
  }
  if (after == before) {
    return;
  }
  contact->state = after;
  (void)Changed(account, *contact, (before & kInRoster) != 0);
  DeliverToAvailable(account, stanza);
  if (type == "unsubscribe" && (before & kFrom) != 0) {
    SendPresenceTo(account, from, false);
    EndStale(account);
  }
}

}  // namespace gh::xmpp
