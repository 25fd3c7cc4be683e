// Who there is: accounts, their contacts, whom they block, and the messages that wait for them.
// In memory as a whole, kept by a Keeper row by row.
//
// A change is made in memory and given to the keeper at once; the number the keeper answers with
// says when it is durable, and nothing is acknowledged to anybody before. Fault model: a keeper
// that takes no more makes the change fail, and the client is told.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/xmpp/address.h"
#include "firmware/xmpp/chain.h"
#include "firmware/xmpp/limits.h"
#include "firmware/xmpp/row_key.h"
#include "firmware/xmpp/scram.h"
#include "hal/rt/arena.h"
#include "hal/rt/hash_table.h"
#include "hal/rt/list.h"
#include "hal/rt/pool.h"
#include "hal/rt/result.h"
#include "hal/rt/siphash.h"
#include "hal/rt/timer_wheel.h"

namespace gh::xmpp {

// What is used of the place where rows are kept, by all who keep something there, in bytes.
struct KeeperRoom {
  uint64_t used = 0;
  uint64_t capacity = UINT64_MAX;
};

// Where rows are kept; a few words wide. Rows given between two commits are committed together.
class Keeper {
 public:
  // The number of the commit the change will be in; 0: it cannot be taken now.
  virtual uint64_t Put(std::string_view key, std::span<const uint8_t> value) = 0;
  virtual uint64_t Remove(std::string_view key) = 0;
  // Every change with this number or a lower one is on the disk.
  virtual uint64_t durable() const = 0;
  // The number of the commit that what is put now will be in.
  virtual uint64_t gathering() const { return durable() + 1; }
  // Makes what was given durable now, and waits for the disk: for an operator.
  virtual void Flush() = 0;
  // A row as last given; its size, 0 when there is none.
  virtual size_t Read(std::string_view key, std::span<uint8_t> out) = 0;
  virtual KeeperRoom room() const { return {}; }

 protected:
  ~Keeper() = default;
};

// What a contact is to its owner (RFC 6121 section 2.1.2.5 and appendix A).
inline constexpr uint8_t kTo = 1;         // the owner sees the contact's presence
inline constexpr uint8_t kFrom = 2;       // the contact sees the owner's
inline constexpr uint8_t kAsked = 4;      // the owner asked to see
inline constexpr uint8_t kWasAsked = 8;   // the contact asked, nobody has answered
inline constexpr uint8_t kInRoster = 16;  // else only remembered for having asked

struct Account;
struct Caps;
struct Session;
class Archive;

// One thing an account has published, or keeps (items.h).
struct Item {
  ListNode node;
  uint64_t number = 0;
  uint8_t parts = 0;
  Chain name;
};

enum class ItemAccess : uint8_t { kPresence, kOpen, kWhitelist, kRoster };
// Who may publish besides its owners and its publishers (XEP-0060 section 4.6).
enum class PublishModel : uint8_t { kPublishers, kSubscribers, kOpen };
// What somebody is to a node (XEP-0060 section 4.1); kNone: what its access model says.
enum class NodeAffiliation : uint8_t { kNone, kOutcast, kMember, kPublisher, kOwner };

struct ItemNode;

// Somebody who has subscribed to a node, or has an affiliation with it.
struct NodeEntity {
  ListNode node;
  Account* owner = nullptr;
  ItemNode* of = nullptr;
  uint64_t hash = 0;       // of the address
  uint64_t user_hash = 0;  // of the bare one
  NodeEntity* next_of_user = nullptr;
  Chain address;
  uint32_t number = 0;
  NodeAffiliation affiliation = NodeAffiliation::kNone;
  bool subscribed = false;
  bool is_away = false;  // of another server
  bool is_full = false;  // one session: not kept
};

struct ItemNode {
  ListNode node;
  uint32_t number = 0;
  uint32_t next_entity = 1;
  uint64_t next_item = 1;
  uint16_t item_max = 1;
  ItemAccess access = ItemAccess::kPresence;
  PublishModel publish = PublishModel::kPublishers;
  bool is_private = false;  // not for the protocol: vCards, private storage
  Chain name;
  List<Item, &Item::node> items;
  List<NodeEntity, &NodeEntity::node> entities;
};

struct Contact {
  ListNode node;
  uint64_t hash = 0;  // of the address
  Chain text;         // the address, then the details: u16 size and name, u16 size and each group
  uint16_t address_size = 0;
  uint8_t state = 0;
};

// An entry of the user's lists of those he blocks and of those he allows.
struct Blocked {
  ListNode node;
  uint64_t hash = 0;
  Chain address;
};

// Somebody who is shown an account's presence for a while (temporary.cc).
struct Watch {
  ListNode session_node;
  ListNode account_node;
  Session* watcher = nullptr;
  Account* watched = nullptr;  // null: a user of another server
  Chain away;                  // his address
  Timer timer;
};

// A client of another server's user who sees an account, and what it wishes to be told of what the
// account publishes (pubsub_away.cc).
struct ClientAway {
  ListNode account_node;
  ListNode age_node;
  Account* owner = nullptr;  // whose publications these are
  Caps* caps = nullptr;
  uint64_t hash = 0;       // of its full address
  uint64_t user_hash = 0;  // of the bare one
  uint64_t named = 0;      // a hash of the hash it named last
  Chain address;
  bool told = false;  // what there was when its wishes became known
};

// What holds for whom a user neither blocks nor allows (policy.cc).
enum class UserPolicy : uint8_t { kDefault, kAsk, kAllow, kBlock };

// A message that waits in the store.
struct Waiting {
  ListNode node;
  uint64_t number = 0;
  uint32_t in_flight = 0;  // sessions it was sent to that have not acknowledged it
  uint8_t parts = 0;
};

// An archive's ends (archive.h): entries have the numbers from `first` on, below `next`.
struct ArchiveLog {
  char kind = 't';
  uint32_t id = 0;
  uint64_t first = 1;
  uint64_t next = 1;
  uint64_t commit = 0;          // of the last entry
  int64_t oldest = 0;           // the first entry is not older, in Unix seconds
  uint32_t place = UINT32_MAX;  // among archives that are not empty
};

// What of a user's messages is archived when no address is named (XEP-0313 section 6).
enum class ArchiveDefault : uint8_t { kAlways, kNever, kRoster };

// A domain of users' e-mail addresses.
struct EmailDomain {
  FixedString<127> name;
  uint32_t users = 0;
};

struct Account {
  HashNode name_node;
  HashNode email_node;
  FixedString<127> name;   // user@domain, prepared
  FixedString<127> email;  // what other servers know him by, prepared; "": his name
  uint32_t id = 0;
  uint32_t roster_version = 1;
  uint64_t next_message = 1;
  Verifier verifier;
  List<Contact, &Contact::node> contacts;
  List<Blocked, &Blocked::node> blocked;
  List<Blocked, &Blocked::node> allowed;
  UserPolicy policy = UserPolicy::kDefault;
  List<Watch, &Watch::account_node> watches;
  List<ClientAway, &ClientAway::account_node> clients_away;  // the longest silent first
  List<Waiting, &Waiting::node> waiting;
  List<ItemNode, &ItemNode::node> nodes;
  ArchiveLog archive;
  ArchiveDefault archive_default = ArchiveDefault::kAlways;
  bool has_seen_row = false;    // which says when he left
  bool is_seen_unkept = false;  // he has come or gone since
  Chain tokens;                 // u64 the number of each (tokens.h), oldest first
  Chain archive_rules;          // u8 1: always, 0: never; u8 size and the address
  Chain privacy;                // lists (privacy_lists.h): u8 number, u16 size and the list, each
  uint8_t privacy_default = 0;  // the number of the one that applies; 0: none
  int64_t left = 0;             // when the last session ended; 0: not known
  Session* sessions = nullptr;  // the engine's: the first of a list
  uint32_t session_count = 0;
};

// What was found in an older form at the start (adoption.cc).
struct Adoption {
  void Note(bool is_taken) { ++(is_taken ? taken : left); }
  uint64_t taken = 0;  // rows that have today's form now
  uint64_t left = 0;   // that could not be had: there is one of that name, or no room
};

struct DirectoryCapacity {
  uint32_t accounts = 0;
  uint32_t contacts = 0;
  uint32_t blocked = 0;
  uint32_t waiting = 0;
};

// A name of letters, digits, hyphens and dots: no label begins with a hyphen, the last one not with
// a digit (EMAIL-015).
bool IsEmailDomain(std::string_view text);

class Directory {
 public:
  Directory(Arena& arena, const DirectoryCapacity& capacity, ChainPool& chains, Keeper& keeper,
            crypto::Random& random);
  static uint64_t ArenaBytes(const DirectoryCapacity& capacity);

  // One row, as it was kept; in the order of keys.
  Result<void> Load(const RowName& name, std::span<const uint8_t> value, Archive& archive);

  // Null: there is none.
  Account* OfId(uint32_t id) { return id >= 1 && id <= by_id_.size() ? by_id_[id - 1] : nullptr; }
  Account* Find(std::string_view bare) { return by_name_.Find(bare); }
  Result<Account*> Add(std::string_view bare, const Verifier& verifier);
  Result<void> SetVerifier(Account& account, const Verifier& verifier);
  // With all that is his. Sessions are ended before, by the engine.
  void Remove(Account& account);
  const IterationShares& iterations() const { return iterations_; }
  Account* At(uint32_t index) { return accounts_.At(index); }

  // --- Last activity (last_seen.cc) ---
  // He has come or gone; a row of it is for KeepSeen.
  void NoteSeen(Account& account);
  // Looks at so many accounts and writes so many rows. False: there are more.
  bool KeepSeen(uint32_t accounts_max, uint32_t rows_max);

  // What of this account was kept in an older form (adoption.cc).
  void AdoptDomains(Account& account, Adoption& adoption);

  // --- E-mail addresses (emails.cc) ---
  // Null: nobody has it.
  Account* FindEmail(std::string_view email) { return by_email_.Find(email); }
  // "": none any more. kAlreadyExists: it is another's; kExhausted: too many domains.
  Result<void> SetEmail(Account& account, std::string_view email);
  std::span<const EmailDomain> email_domains() const {
    return std::span(email_domains_).first(email_domain_count_);
  }
  bool HasEmailDomain(std::string_view domain) const;
  uint32_t capacity() const { return accounts_.capacity(); }
  uint32_t account_count() const { return accounts_.used_count(); }
  uint32_t contact_count() const { return contacts_.used_count(); }
  uint32_t waiting_count() const { return waiting_.used_count(); }

  Contact* FindContact(Account& account, std::string_view bare);
  // Null: no room. Not kept before KeepContact.
  Contact* AddContact(Account& account, std::string_view bare);
  bool SetDetails(Contact& contact, std::span<const uint8_t> details);
  // 0: the keeper takes no more. A contact without state is removed.
  uint64_t KeepContact(Account& account, Contact& contact, bool new_version);
  std::string_view AddressOf(const Contact& contact, std::span<uint8_t> out) const {
    return chains_.Text(contact.text, out.first(contact.address_size));
  }
  std::span<const uint8_t> DetailsOf(const Contact& contact, std::span<uint8_t> out) const {
    return out.first(chains_.Copy(contact.text, contact.address_size, out));
  }

  bool IsBlocked(Account& account, const Address& other) { return IsAmong(account.blocked, other); }
  bool IsAllowed(Account& account, const Address& other) { return IsAmong(account.allowed, other); }
  Result<void> Allow(Account& account, std::string_view address);
  void DisallowAll(Account& account);
  Result<void> SetPolicy(Account& account, UserPolicy policy);
  Result<void> Block(Account& account, std::string_view address);
  bool Unblock(Account& account, std::string_view address);
  void UnblockAll(Account& account);
  std::string_view AddressOf(const Blocked& blocked, std::span<uint8_t> out) const {
    return chains_.Text(blocked.address, out);
  }

  // Keeps a message; null: no room. `commit`: when it is durable.
  Waiting* KeepMessage(Account& account, std::span<const uint8_t> stanza, uint64_t& commit);
  Waiting* FindMessage(Account& account, uint64_t number);
  // Its bytes, in `out`; empty when it cannot be read.
  std::span<uint8_t> ReadMessage(Account& account, const Waiting& message, std::span<uint8_t> out);
  // The first part alone, which has its address.
  std::string_view BeginningOf(Account& account, const Waiting& message, std::span<uint8_t> out);
  void RemoveMessage(Account& account, Waiting& message);

  const SipKey& key() const { return key_; }
  uint64_t HashOf(std::string_view text) const { return SipHash13(key_, text); }

 private:
  struct AccountTraits {
    using Key = std::string_view;
    static Key KeyOf(const Account& account) { return account.name.view(); }
  };
  struct EmailTraits {
    using Key = std::string_view;
    static Key KeyOf(const Account& account) { return account.email.view(); }
  };
  using Entries = List<Blocked, &Blocked::node>;
  static Result<void> LoadSeen(Account& account, std::span<const uint8_t> value);
  bool KeepSeen(Account& account);
  Result<void> TakeEmail(Account& account, std::string_view email);
  void DropEmail(Account& account);
  uint64_t KeepAccount(const Account& account);
  bool Rename(Account& account, std::string_view name);
  bool Readdress(Account& account, Contact& contact, std::string_view address);
  bool IsListed(Entries& entries, std::string_view address) const;
  void AdoptEntries(Account& account, Entries& entries, char kind, Adoption& adoption);
  bool IsAmong(Entries& entries, const Address& other);
  Result<void> AddEntry(Account& account, Entries& entries, char kind, std::string_view address);
  void RemoveEntry(Account& account, Entries& entries, char kind, Blocked& entry);
  Result<void> LoadEntry(Entries& entries, std::span<const uint8_t> value);
  void FreeContact(Account& account, Contact& contact);
  Result<void> LoadAccount(uint32_t id, std::span<const uint8_t> value);
  Result<void> LoadContact(Account& account, std::span<const uint8_t> value);
  Result<void> LoadMessage(Account& account, const RowName& name, std::span<const uint8_t> value);
  Result<void> LoadArchiveRules(Account& account, std::span<const uint8_t> value);

  ChainPool& chains_;
  Keeper& keeper_;
  SipKey key_;
  Pool<Account> accounts_;
  Pool<Contact> contacts_;
  Pool<Blocked> blocked_;
  Pool<Waiting> waiting_;
  HashTable<Account, &Account::name_node, AccountTraits> by_name_;
  HashTable<Account, &Account::email_node, EmailTraits> by_email_;
  std::array<EmailDomain, kEmailDomainMax> email_domains_;
  uint32_t email_domain_count_ = 0;
  IterationShares iterations_;
  uint32_t seen_unkept_count_ = 0;  // accounts whose last activity is not in its row
  uint32_t seen_at_ = 0;            // the next one to be looked at
  std::span<Account*> by_id_;       // id 1 is first
};

}  // namespace gh::xmpp
