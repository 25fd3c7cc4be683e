// Rows, by key: "a<id>" an account, "b<id><hash>" somebody it blocks, "c<id><hash>" a contact,
// "d<id>" when its user was last here, "e<id>" its e-mail address,
// "l<id><hash>" somebody it allows, "o<id>" what holds for others, "m<id><number><part>" a message,
// "v<id>" the roster's version. Numbers are hexadecimal of fixed width, so the store's order is
// theirs, and accounts come before what is theirs.
#include "firmware/xmpp/directory.h"

#include "firmware/xmpp/archive.h"
#include "hal/rt/bytes.h"

namespace gh::xmpp {
namespace {

constexpr uint8_t kRowVersion = 1;
constexpr Error kBadRow{ErrorCode::kCorrupt, "a row of XMPP is not readable"};

SipKey NewKey(crypto::Random& random) {
  std::array<uint8_t, 16> bytes;
  random.Fill(bytes);
  return SipKey::FromBytes(bytes);
}

std::span<const uint8_t> TakeSized(ByteReader& reader) { return reader.Take(reader.U16Be()); }

}  // namespace

Directory::Directory(Arena& arena, const DirectoryCapacity& capacity, ChainPool& chains,
                     Keeper& keeper, crypto::Random& random)
    : chains_(chains),
      keeper_(keeper),
      key_(NewKey(random)),
      accounts_(arena, capacity.accounts),
      contacts_(arena, capacity.contacts),
      blocked_(arena, capacity.blocked),
      waiting_(arena, capacity.waiting),
      by_name_(arena, capacity.accounts, NewKey(random)),
      by_email_(arena, capacity.accounts, NewKey(random)),
      by_id_(arena.NewArray<Account*>(capacity.accounts)) {}

uint64_t Directory::ArenaBytes(const DirectoryCapacity& capacity) {
  return uint64_t{capacity.accounts} * (Pool<Account>::bytes_per_item() + 8 + 32) +
         uint64_t{capacity.contacts} * Pool<Contact>::bytes_per_item() +
         uint64_t{capacity.blocked} * Pool<Blocked>::bytes_per_item() +
         uint64_t{capacity.waiting} * Pool<Waiting>::bytes_per_item() + sizeof(Directory) + 256;
}

// --- Loading -------------------------------------------------------------------------------------

Result<void> Directory::Load(const RowName& name, std::span<const uint8_t> value,
                             Archive& archive) {
  if (name.kind == 'a') {
    return LoadAccount(name.id, value);
  }
  Account* account = OfId(name.id);
  if (account == nullptr) {
    return kBadRow;
  }
  switch (name.kind) {
    case 'b':
      return LoadEntry(account->blocked, value);
    case 'l':
      return LoadEntry(account->allowed, value);
    case 'o':
      if (value.size() != 1 || value[0] > static_cast<uint8_t>(UserPolicy::kBlock)) {
        return kBadRow;
      }
      account->policy = static_cast<UserPolicy>(value[0]);
      return Ok();
    case 'c':
      return LoadContact(*account, value);
    case 'd':
      return LoadSeen(*account, value);
    case 'e':
      return TakeEmail(*account, AsText(value));
    case 'm':
      return LoadMessage(*account, name, value);
    case 'p':
      return LoadArchiveRules(*account, value);
    case 't':
      return archive.Load(account->archive, name, value);
    case 'v': {
      ByteReader reader(value);
      account->roster_version = reader.U32Be();
      return reader.ok() ? Ok() : Result<void>(kBadRow);
    }
    default:
      return kBadRow;
  }
}

Result<void> Directory::LoadEntry(Entries& entries, std::span<const uint8_t> value) {
  Blocked* entry = blocked_.Allocate();
  if (entry == nullptr || !chains_.Append(entry->address, value)) {
    return Error{ErrorCode::kExhausted, "more blocked addresses than the profile has room for"};
  }
  entry->hash = HashOf(AsText(value));
  entries.PushBack(*entry);
  return Ok();
}

Result<void> Directory::LoadAccount(uint32_t id, std::span<const uint8_t> value) {
  ByteReader reader(value);
  const uint8_t version = reader.U8();
  const std::string_view name = AsText(TakeSized(reader));
  Verifier verifier;
  reader.Copy(verifier.salt);
  verifier.iterations = reader.U32Be();
  reader.Copy(verifier.stored_sha256);
  reader.Copy(verifier.server_sha256);
  reader.Copy(verifier.stored_sha1);
  reader.Copy(verifier.server_sha1);
  if (!reader.ok() || version != kRowVersion || id == 0 || name.empty() || name.size() > 127) {
    return kBadRow;
  }
  if (id > by_id_.size() || by_id_[id - 1] != nullptr) {
    return Error{ErrorCode::kExhausted, "more XMPP users than the profile has room for"};
  }
  Account* account = accounts_.Allocate();
  if (account == nullptr) {
    return ErrorCode::kExhausted;
  }
  account->id = account->archive.id = id;
  account->name.Assign(name);
  account->verifier = verifier;
  if (by_name_.Insert(*account) != HashInsert::kInserted) {
    accounts_.Release(account);
    return kBadRow;
  }
  by_id_[id - 1] = account;
  iterations_.Add(verifier.iterations);
  return Ok();
}

Result<void> Directory::LoadContact(Account& account, std::span<const uint8_t> value) {
  ByteReader reader(value);
  const uint8_t version = reader.U8();
  const uint8_t state = reader.U8();
  const std::string_view address = AsText(TakeSized(reader));
  if (!reader.ok() || version != kRowVersion || address.empty()) {
    return kBadRow;
  }
  Contact* contact = AddContact(account, address);
  if (contact == nullptr || !chains_.Append(contact->text, reader.Rest())) {
    return Error{ErrorCode::kExhausted, "more contacts than the profile has room for"};
  }
  contact->state = state;
  return Ok();
}

// The first part tells how many there are; the others are found when they are wanted.
Result<void> Directory::LoadMessage(Account& account, const RowName& name,
                                    std::span<const uint8_t> value) {
  if (name.number == 0 || value.empty()) {
    return kBadRow;
  }
  account.next_message = std::max(account.next_message, name.number + 1);
  if (name.part != 0) {
    return Ok();
  }
  Waiting* waiting = waiting_.Allocate();
  if (waiting == nullptr) {
    return Error{ErrorCode::kExhausted, "more waiting messages than the profile has room for"};
  }
  waiting->number = name.number;
  waiting->parts = value[0];
  account.waiting.PushBack(*waiting);
  return Ok();
}

Result<void> Directory::LoadArchiveRules(Account& account, std::span<const uint8_t> value) {
  if (value.empty() || value[0] > static_cast<uint8_t>(ArchiveDefault::kRoster)) {
    return kBadRow;
  }
  account.archive_default = static_cast<ArchiveDefault>(value[0]);
  return chains_.Append(account.archive_rules, value.subspan(1))
             ? Ok()
             : Result<void>(Error{ErrorCode::kExhausted, "archive preferences have no room"});
}

// --- Accounts ------------------------------------------------------------------------------------

uint64_t Directory::KeepAccount(const Account& account) {
  uint8_t bytes[512];
  ByteWriter row(bytes);
  row.U8(kRowVersion);
  row.U16Be(static_cast<uint16_t>(account.name.size()));
  row.Text(account.name.view());
  row.Bytes(account.verifier.salt);
  row.U32Be(account.verifier.iterations);
  row.Bytes(account.verifier.stored_sha256);
  row.Bytes(account.verifier.server_sha256);
  row.Bytes(account.verifier.stored_sha1);
  row.Bytes(account.verifier.server_sha1);
  GH_ASSERT(row.ok());
  return keeper_.Put(RowKey('a', account.id), row.written());
}

Result<Account*> Directory::Add(std::string_view bare, const Verifier& verifier) {
  if (bare.size() > 127) {
    return Error{ErrorCode::kTooLarge, "a user's address has at most 127 bytes"};
  }
  if (Find(bare) != nullptr) {
    return Error{ErrorCode::kAlreadyExists, "there is such a user already"};
  }
  const auto free = std::ranges::find(by_id_, nullptr);
  Account* account = free != by_id_.end() ? accounts_.Allocate() : nullptr;
  if (account == nullptr) {
    return Error{ErrorCode::kExhausted, "the capacity profile has no room for more XMPP users"};
  }
  account->id = account->archive.id = static_cast<uint32_t>(free - by_id_.begin()) + 1;
  account->name.Assign(bare);
  account->verifier = verifier;
  if (by_name_.Insert(*account) != HashInsert::kInserted) {
    accounts_.Release(account);
    return ErrorCode::kExhausted;
  }
  *free = account;
  iterations_.Add(verifier.iterations);
  if (KeepAccount(*account) == 0) {
    Remove(*account);
    return Error{ErrorCode::kExhausted, "the store is busy; try again"};
  }
  return account;
}

Result<void> Directory::SetVerifier(Account& account, const Verifier& verifier) {
  iterations_.Remove(account.verifier.iterations);
  account.verifier = verifier;
  iterations_.Add(verifier.iterations);
  return KeepAccount(account) != 0
             ? Ok()
             : Result<void>(Error{ErrorCode::kExhausted, "the store is busy; try again"});
}

// A row that the keeper does not take stays behind, and is refused when it is loaded.
void Directory::Remove(Account& account) {
  GH_ASSERT_EQ(account.session_count, 0u);
  while (Contact* contact = account.contacts.front()) {
    contact->state = 0;
    (void)KeepContact(account, *contact, false);
  }
  UnblockAll(account);
  DisallowAll(account);
  (void)SetPolicy(account, UserPolicy::kDefault);
  if (!account.email.empty()) {
    (void)SetEmail(account, {});
  }
  while (Waiting* waiting = account.waiting.front()) {
    RemoveMessage(account, *waiting);
  }
  chains_.Free(account.archive_rules);
  account.left = 0;
  (void)KeepSeen(account);
  (void)keeper_.Remove(RowKey('p', account.id));
  (void)keeper_.Remove(RowKey('v', account.id));
  (void)keeper_.Remove(RowKey('a', account.id));
  iterations_.Remove(account.verifier.iterations);
  by_name_.Remove(account);
  by_id_[account.id - 1] = nullptr;
  accounts_.Release(&account);
}

// --- Contacts ------------------------------------------------------------------------------------

Contact* Directory::FindContact(Account& account, std::string_view bare) {
  const uint64_t hash = HashOf(bare);
  for (Contact& contact : account.contacts) {
    if (contact.hash != hash) {
      continue;
    }
    uint8_t bytes[kAddressMax];
    if (AddressOf(contact, bytes) == bare) {
      return &contact;
    }
  }
  return nullptr;
}

Contact* Directory::AddContact(Account& account, std::string_view bare) {
  Contact* contact = contacts_.Allocate();
  if (contact == nullptr) {
    return nullptr;
  }
  contact->hash = HashOf(bare);
  contact->address_size = static_cast<uint16_t>(bare.size());
  if (!chains_.Append(contact->text, bare)) {
    contacts_.Release(contact);
    return nullptr;
  }
  account.contacts.PushBack(*contact);
  return contact;
}

bool Directory::SetDetails(Contact& contact, std::span<const uint8_t> details) {
  uint8_t bytes[kAddressMax + kContactDetailsMax];
  ByteWriter text(bytes);
  uint8_t address[kAddressMax];
  text.Text(AddressOf(contact, address));
  text.Bytes(details);
  Chain fresh;
  if (!text.ok() || !chains_.Append(fresh, text.written())) {
    return false;
  }
  chains_.Free(contact.text);
  contact.text = fresh;
  return true;
}

void Directory::FreeContact(Account& account, Contact& contact) {
  account.contacts.Remove(contact);
  chains_.Free(contact.text);
  contacts_.Release(&contact);
}

uint64_t Directory::KeepContact(Account& account, Contact& contact, bool new_version) {
  uint8_t bytes[kAddressMax + kContactNameMax + 2 * kContactGroupsMax + 64];
  // A row must be found again after a restart: its key is a digest without a secret. Two addresses
  // of one digest would share a row, and who made them has lost a contact of his own.
  uint8_t address_bytes[kAddressMax];
  const std::string_view address = AddressOf(contact, address_bytes);
  const RowKey key('c', account.id, SipHash13(SipKey{}, address));
  if (new_version) {
    ++account.roster_version;
    uint8_t version_bytes[4];
    ByteWriter version(version_bytes);
    version.U32Be(account.roster_version);
    (void)keeper_.Put(RowKey('v', account.id), version.written());
  }
  if (contact.state == 0) {
    const uint64_t commit = keeper_.Remove(key);
    FreeContact(account, contact);
    return commit;
  }
  ByteWriter row(bytes);
  row.U8(kRowVersion);
  row.U8(contact.state);
  row.U16Be(static_cast<uint16_t>(address.size()));
  row.Text(address);
  const auto details = row.Reserve(contact.text.size - contact.address_size);
  GH_ASSERT(row.ok());
  (void)DetailsOf(contact, details);
  return keeper_.Put(key, row.written());
}

// --- Blocked and allowed -------------------------------------------------------------------------

// The four forms of XEP-0191 section 3.2: the whole address, without resource, the domain with
// resource, the domain.
bool Directory::IsAmong(Entries& entries, const Address& other) {
  if (entries.empty()) {
    return false;
  }
  FixedString<kAddressMax> at_domain(other.domain());
  if (other.has_resource()) {
    at_domain.Append('/');
    at_domain.Append(other.resource());
  }
  for (Blocked& entry : entries) {
    uint8_t bytes[kAddressMax];
    const std::string_view text = AddressOf(entry, bytes);
    if (text == other.full() || text == other.bare() || text == at_domain.view() ||
        text == other.domain()) {
      return true;
    }
  }
  return false;
}

bool Directory::IsListed(Entries& entries, std::string_view address) const {
  for (const Blocked& entry : entries) {
    uint8_t bytes[kAddressMax];
    if (AddressOf(entry, bytes) == address) {
      return true;
    }
  }
  return false;
}

Result<void> Directory::AddEntry(Account& account, Entries& entries, char kind,
                                 std::string_view address) {
  const uint64_t hash = SipHash13(SipKey{}, address);
  if (IsListed(entries, address)) {
    return Ok();
  }
  Blocked* entry = entries.size() < kBlockedMax ? blocked_.Allocate() : nullptr;
  if (entry == nullptr || !chains_.Append(entry->address, address)) {
    if (entry != nullptr) {
      blocked_.Release(entry);
    }
    return ErrorCode::kExhausted;
  }
  entry->hash = hash;
  entries.PushBack(*entry);
  return keeper_.Put(RowKey(kind, account.id, hash), AsBytes(address)) != 0 ? Ok()
                                                                            : ErrorCode::kExhausted;
}

void Directory::RemoveEntry(Account& account, Entries& entries, char kind, Blocked& entry) {
  uint8_t bytes[kAddressMax];
  const std::string_view address = AddressOf(entry, bytes);
  (void)keeper_.Remove(RowKey(kind, account.id, SipHash13(SipKey{}, address)));
  entries.Remove(entry);
  chains_.Free(entry.address);
  blocked_.Release(&entry);
}

Result<void> Directory::Block(Account& account, std::string_view address) {
  return AddEntry(account, account.blocked, 'b', address);
}

bool Directory::Unblock(Account& account, std::string_view address) {
  for (Blocked& blocked : account.blocked) {
    uint8_t bytes[kAddressMax];
    if (AddressOf(blocked, bytes) == address) {
      RemoveEntry(account, account.blocked, 'b', blocked);
      return true;
    }
  }
  return false;
}

void Directory::UnblockAll(Account& account) {
  while (Blocked* blocked = account.blocked.front()) {
    RemoveEntry(account, account.blocked, 'b', *blocked);
  }
}

Result<void> Directory::Allow(Account& account, std::string_view address) {
  return AddEntry(account, account.allowed, 'l', address);
}

void Directory::DisallowAll(Account& account) {
  while (Blocked* allowed = account.allowed.front()) {
    RemoveEntry(account, account.allowed, 'l', *allowed);
  }
}

Result<void> Directory::SetPolicy(Account& account, UserPolicy policy) {
  const auto value = static_cast<uint8_t>(policy);
  const RowKey key('o', account.id);
  account.policy = policy;
  const uint64_t commit =
      policy == UserPolicy::kDefault ? keeper_.Remove(key) : keeper_.Put(key, {&value, 1});
  return commit != 0 ? Ok() : Result<void>(ErrorCode::kExhausted);
}

// --- Messages ------------------------------------------------------------------------------------

Waiting* Directory::KeepMessage(Account& account, std::span<const uint8_t> stanza,
                                uint64_t& commit) {
  constexpr uint32_t kPartMax = kRowMax - 1;
  const size_t parts = (stanza.size() + kPartMax - 1) / kPartMax;
  Waiting* waiting = parts > 0 && parts <= kMessagePartsMax ? waiting_.Allocate() : nullptr;
  if (waiting == nullptr) {
    return nullptr;
  }
  waiting->number = account.next_message++;
  waiting->parts = static_cast<uint8_t>(parts);
  account.waiting.PushBack(*waiting);
  for (uint32_t part = 0; part < parts; ++part) {
    uint8_t bytes[kRowMax];
    ByteWriter row(bytes);
    row.U8(waiting->parts);
    row.Bytes(stanza.subspan(part * kPartMax,
                             std::min<size_t>(kPartMax, stanza.size() - part * kPartMax)));
    commit = keeper_.Put(RowKey('m', account.id, waiting->number, part), row.written());
    if (commit == 0) {
      RemoveMessage(account, *waiting);
      return nullptr;
    }
  }
  return waiting;
}

Waiting* Directory::FindMessage(Account& account, uint64_t number) {
  for (Waiting& waiting : account.waiting) {
    if (waiting.number == number) {
      return &waiting;
    }
  }
  return nullptr;
}

std::span<uint8_t> Directory::ReadMessage(Account& account, const Waiting& message,
                                          std::span<uint8_t> out) {
  size_t used = 0;
  for (uint32_t part = 0; part < message.parts; ++part) {
    uint8_t bytes[kRowMax];
    const size_t size = keeper_.Read(RowKey('m', account.id, message.number, part), bytes);
    if (size < 2 || size - 1 > out.size() - used) {
      return {};
    }
    std::memcpy(out.data() + used, bytes + 1, size - 1);
    used += size - 1;
  }
  return out.first(used);
}

std::string_view Directory::BeginningOf(Account& account, const Waiting& message,
                                        std::span<uint8_t> out) {
  const size_t size = keeper_.Read(RowKey('m', account.id, message.number, 0), out);
  return AsText(out.first(std::min(size, out.size())).subspan(std::min<size_t>(size, 1)));
}

void Directory::RemoveMessage(Account& account, Waiting& message) {
  for (uint32_t part = 0; part < message.parts; ++part) {
    (void)keeper_.Remove(RowKey('m', account.id, message.number, part));
  }
  account.waiting.Remove(message);
  waiting_.Release(&message);
}

}  // namespace gh::xmpp
