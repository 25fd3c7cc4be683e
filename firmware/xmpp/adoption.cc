// Rows that were kept when domains stood in DNS's form ("xn--..."): users, contacts, lists, rooms
// and what people are to them go by the form of today (address.h), or nobody would find them.
//
// Once, at the start, before anybody is heard: each row is looked at, only those of the old form
// are written, and the keeper commits so many at a time as it has room for. A power cut in between
// leaves some of each form; the next start goes on. Where both forms are kept as two, the newer one
// stays what it is, and so does the older, which nobody reaches: it is counted as left.
#include "firmware/xmpp/engine.h"

namespace gh::xmpp {

// --- Users, contacts, lists ----------------------------------------------------------------------

bool Directory::Rename(Account& account, std::string_view name) {
  const FixedString<127> before = account.name;
  if (name.size() > before.capacity() || Find(name) != nullptr) {
    return false;
  }
  by_name_.Remove(account);
  account.name.Assign(name);
  if (by_name_.Insert(account) == HashInsert::kInserted) {
    return KeepAccount(account) != 0;
  }
  account.name = before;
  const HashInsert again = by_name_.Insert(account);
  GH_ASSERT(again == HashInsert::kInserted);
  return false;
}

// The new row is put before the old one goes: one of both is there after a power cut.
bool Directory::Readdress(Account& account, Contact& contact, std::string_view address) {
  uint8_t before[kAddressMax];
  const RowKey old('c', account.id, SipHash13(SipKey{}, AddressOf(contact, before)));
  uint8_t bytes[kAddressMax + kContactDetailsMax];
  ByteWriter text(bytes);
  text.Text(address);
  (void)DetailsOf(contact, text.Reserve(contact.text.size - contact.address_size));
  Chain fresh;
  if (FindContact(account, address) != nullptr || !text.ok() ||
      !chains_.Append(fresh, text.written())) {
    return false;
  }
  chains_.Free(contact.text);
  contact.text = fresh;
  contact.address_size = static_cast<uint16_t>(address.size());
  contact.hash = HashOf(address);
  return KeepContact(account, contact, true) != 0 && keeper_.Remove(old) != 0;
}

void Directory::AdoptEntries(Account& account, Entries& entries, char kind, Adoption& adoption) {
  for (Blocked& entry : entries) {
    uint8_t bytes[kAddressMax];
    const std::string_view before = AddressOf(entry, bytes);
    Address now;
    if (!IsOldForm(before, now)) {
      continue;
    }
    const uint64_t hash = SipHash13(SipKey{}, now.full());
    if (IsListed(entries, now.full())) {
      RemoveEntry(account, entries, kind, entry);
      ++adoption.taken;
      continue;
    }
    if (keeper_.Put(RowKey(kind, account.id, hash), AsBytes(now.full())) == 0 ||
        !chains_.Assign(entry.address, now.full())) {
      ++adoption.left;
      continue;
    }
    entry.hash = hash;
    (void)keeper_.Remove(RowKey(kind, account.id, SipHash13(SipKey{}, before)));
    ++adoption.taken;
  }
}

void Directory::AdoptDomains(Account& account, Adoption& adoption) {
  Address now;
  if (IsOldForm(account.name.view(), now)) {
    adoption.Note(Rename(account, now.bare()));
  }
  for (Contact& contact : account.contacts) {
    uint8_t bytes[kAddressMax];
    if (IsOldForm(AddressOf(contact, bytes), now)) {
      adoption.Note(Readdress(account, contact, now.full()));
    }
  }
  AdoptEntries(account, account.blocked, 'b', adoption);
  AdoptEntries(account, account.allowed, 'l', adoption);
}

// --- Nodes ---------------------------------------------------------------------------------------

void Items::AdoptDomains(Account& account, Adoption& adoption) {
  for (ItemNode& node : account.nodes) {
    for (NodeEntity& entity : node.entities) {
      uint8_t bytes[kAddressMax];
      Address now;
      if (!IsOldForm(AddressOf(entity, bytes), now)) {
        continue;
      }
      NodeEntity* fresh = FindEntity(node, now.full()) == nullptr
                              ? AddEntity(account, node, now.full(), entity.is_away)
                              : nullptr;
      if (fresh == nullptr) {
        ++adoption.left;
        continue;
      }
      fresh->subscribed = entity.subscribed;
      fresh->affiliation = entity.affiliation;
      const bool is_kept = KeepEntity(*fresh);
      if (is_kept) {
        RemoveEntity(entity);
      }
      adoption.Note(is_kept);
    }
  }
}

// --- Rooms ---------------------------------------------------------------------------------------

bool Rooms::Rename(Room& room, std::string_view name) {
  const auto before = room.name;
  if (name.size() > kRoomNameMax || Find(name) != nullptr) {
    return false;
  }
  by_name_.Remove(room);
  room.name.Assign(name);
  if (by_name_.Insert(room) == HashInsert::kInserted) {
    return Keep(room);
  }
  room.name = before;
  const HashInsert again = by_name_.Insert(room);
  GH_ASSERT(again == HashInsert::kInserted);
  return false;
}

void Rooms::AdoptAffiliates(Room& room, Adoption& adoption) {
  for (Affiliate& affiliate : room.affiliates) {
    uint8_t bytes[kAddressMax];
    uint8_t nick_bytes[kResourceMax];
    const std::string_view before = chains_.Text(affiliate.address, bytes);
    Address now;
    if (!IsOldForm(before, now)) {
      continue;
    }
    const std::string_view nick = chains_.Text(affiliate.nick, nick_bytes);
    const bool is_kept = FindAffiliate(room, now.full()) == nullptr &&
                         SetAffiliation(room, now.full(), affiliate.affiliation, nick);
    if (is_kept) {
      (void)SetAffiliation(room, before, Affiliation::kNone, {});
    }
    adoption.Note(is_kept);
  }
}

void Rooms::AdoptDomains(Adoption& adoption) {
  for (Room* room : by_id_) {
    if (room == nullptr) {
      continue;
    }
    Address now;
    if (IsOldForm(room->name.view(), now)) {
      adoption.Note(Rename(*room, now.bare()));
    }
    AdoptAffiliates(*room, adoption);
  }
}

// --- Altogether ----------------------------------------------------------------------------------

void Engine::AdoptArchiveRules(Account& account, Adoption& adoption) {
  uint8_t bytes[kArchiveRulesBytesMax];
  const size_t size = chains_.Copy(account.archive_rules, 0, bytes);
  ByteReader rules(std::span<const uint8_t>(bytes, size));
  uint8_t fresh_bytes[kArchiveRulesBytesMax];
  ByteWriter fresh(fresh_bytes);
  bool is_other = false;
  while (!rules.at_end() && rules.ok()) {
    fresh.U8(rules.U8());
    const std::string_view before = AsText(rules.Take(rules.U16Be()));
    Address now;
    const bool is_old = IsOldForm(before, now);
    const std::string_view address = is_old ? now.full() : before;
    fresh.U16Be(static_cast<uint16_t>(address.size()));
    fresh.Text(address);
    is_other = is_other || is_old;
  }
  if (is_other) {
    adoption.Note(rules.ok() && fresh.ok() && chains_.Assign(account.archive_rules, fresh.text()) &&
                  KeepArchiveRules(account));
  }
}

Adoption Engine::AdoptDomains() {
  Adoption adoption;
  for (uint32_t id = 1; id <= directory_->capacity(); ++id) {
    if (Account* account = directory_->OfId(id)) {
      directory_->AdoptDomains(*account, adoption);
      items_->AdoptDomains(*account, adoption);
      AdoptArchiveRules(*account, adoption);
    }
  }
  rooms_->AdoptDomains(adoption);
  return adoption;
}

}  // namespace gh::xmpp
