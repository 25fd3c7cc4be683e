// Who may see a user's presence and write to him, as he says himself (AUTH-04 to AUTH-08): whom he
// blocks (XEP-0191), whom he allows, and what holds for others: ask him, allow, or block.
//
// Entries are addresses or whole domains; a block wins. Who is blocked is answered as if nobody
// were there and is never told (polite blocking). Contacts in the user's roster are not among those
// a policy of Block shuts out. How users say so: commands.cc.
#include "firmware/xmpp/engine.h"

namespace gh::xmpp {

// Whether `other` is to find nobody there.
bool Engine::Blocks(Account& account, const Address& other) {
  if (directory_->IsBlocked(account, other) || DeniesAll(account, other, kPrivacyRest)) {
    return true;
  }
  const UserPolicy policy =
      account.policy == UserPolicy::kDefault ? config_.policy : account.policy;
  if (policy != UserPolicy::kBlock || other.bare() == account.name.view() ||
      directory_->IsAllowed(account, other)) {
    return false;
  }
  const Contact* contact = directory_->FindContact(account, other.bare());
  return contact == nullptr || (contact->state & kInRoster) == 0;
}

// Nobody is asked about whom he wants to see himself (AUTH-05), whom he allows, or, where the
// operator says so, users of ours (AUTH-01). What the operator allows to all is for ours alone:
// strangers need the user's own word (AUTH-07).
bool Engine::IsAuthorizedAtOnce(Account& account, const Contact& contact, const Address& from) {
  const bool is_open = config_.auto_authorization || (account.policy == UserPolicy::kDefault &&
                                                      config_.policy == UserPolicy::kAllow);
  return (contact.state & (kTo | kAsked)) != 0 || account.policy == UserPolicy::kAllow ||
         directory_->IsAllowed(account, from) || (is_open && IsLocal(from.domain()));
}

// RFC 6121 section 3.1.3; none for whom there is no place (PRES-07, PRES-09).
bool Engine::MayWatch(Account& account, const Contact* contact) {
  uint32_t listed = 0;
  uint32_t watchers = 0;
  for (const Contact& each : account.contacts) {
    listed += (each.state & kInRoster) != 0 ? 1 : 0;
    watchers += (each.state & kFrom) != 0 ? 1 : 0;
  }
  const bool is_listed = contact != nullptr && (contact->state & kInRoster) != 0;
  return (is_listed || listed < config_.contacts_per_user) && watchers < config_.watchers_per_user;
}

// To watchers whom the entry `rule` is about: that the user is there again, or has gone.
void Engine::TellWatchers(Account& account, const Address& rule, bool available) {
  for (const Contact& contact : account.contacts) {
    uint8_t bytes[kAddressMax];
    const auto address = Address::Parse(directory_->AddressOf(contact, bytes));
    if ((contact.state & kFrom) == 0 || !address.ok() ||
        (address->full() != rule.bare() && address->domain() != rule.full()) ||
        Blocks(account, *address)) {
      continue;
    }
    SendPresenceTo(account, address->full(), available);
    if (available) {
      AskPresenceAway(account, address->full());
    }
  }
}

Result<void> Engine::Block(Account& account, const Address& rule) {
  TellWatchers(account, rule, false);
  EndWatches(account, rule);
  const auto blocked = directory_->Block(account, rule.full());
  ForgetBlockedAway(account);
  EndStale(account);
  return blocked;
}

bool Engine::Unblock(Account& account, const Address& rule) {
  const bool was_there = directory_->Unblock(account, rule.full());
  if (was_there) {
    TellWatchers(account, rule, true);
  }
  return was_there;
}

void Engine::UnblockAll(Account& account) {
  while (Blocked* blocked = account.blocked.front()) {
    uint8_t bytes[kAddressMax];
    const auto rule = Address::Parse(directory_->AddressOf(*blocked, bytes));
    if (!rule.ok() || !Unblock(account, *rule)) {
      directory_->UnblockAll(account);  // a row nobody could have written
    }
  }
}

}  // namespace gh::xmpp
