// Privacy lists (XEP-0016): which stanzas from and to whom a user's list denies. Whether one
// applies is the engine's to say (privacy.cc).
//
// A user's lists lie in one chain of his account, and each in a row: u8 version, u8 size and the
// name, then its items in their order. Fault model: as the directory's: what the keeper does not
// take is refused, and the list stays what it was.
#pragma once

#include <span>
#include <string_view>

#include "firmware/xmpp/directory.h"

namespace gh::xmpp {

// What an item is about; one that names nothing is about everything.
inline constexpr uint8_t kPrivacyMessage = 1;  // that comes in
inline constexpr uint8_t kPrivacyIq = 2;       // that comes in
inline constexpr uint8_t kPrivacyPresenceIn = 4;
inline constexpr uint8_t kPrivacyPresenceOut = 8;
inline constexpr uint8_t kPrivacyRest = 16;  // what else goes out; subscriptions
inline constexpr uint8_t kPrivacyAll = 31;

enum class PrivacyBy : uint8_t { kAnybody, kAddress, kGroup, kSubscription };

// As it is kept: u8 whom it is about, and four above whether it denies; u8 what; u32 order;
// u16 size and the value.
struct PrivacyItem {
  PrivacyBy by = PrivacyBy::kAnybody;
  bool denies = false;
  uint8_t kinds = kPrivacyAll;
  uint32_t order = 0;
  std::string_view value;

  static bool Read(ByteReader& in, PrivacyItem& out);
  void Write(ByteWriter& out) const;
};

// The other side of a stanza, as the user's roster has it.
struct PrivacyPeer {
  const Address& address;
  uint8_t state = 0;                 // of the contact
  std::span<const uint8_t> details;  // of the contact
  bool is_service = false;           // of the server: only items with its address are about it
};

// One list, as it is kept. An empty one allows everything.
struct PrivacyList {
  static bool Read(std::span<const uint8_t> bytes, PrivacyList& out);
  bool Denies(const PrivacyPeer& peer, uint8_t kind) const;
  std::string_view name;
  std::span<const uint8_t> items;
};

// "both", "to", "from"; "none" for whoever is not in the roster, too.
std::string_view PrivacySubscriptionOf(uint8_t state);
bool HasGroup(std::span<const uint8_t> details, std::string_view group);

using PrivacyBytes = std::array<uint8_t, kPrivacyListBytesMax>;

class PrivacyLists {
 public:
  PrivacyLists(Keeper& keeper, ChainPool& chains) : keeper_(keeper), chains_(chains) {}

  // A row as it was kept.
  Result<void> Load(Account& account, const RowName& name, std::span<const uint8_t> value);
  // Numbers count from 1; 0: there is none.
  uint8_t Find(const Account& account, std::string_view name) const;
  // The next one behind `number`, which is 0 for the first.
  uint8_t Next(const Account& account, uint8_t number) const;
  // In `out`; an empty list for 0.
  PrivacyList Read(const Account& account, uint8_t number, PrivacyBytes& out) const;
  // `list`: as it is kept; it replaces the one of its name. kExhausted: a limit.
  Result<void> Put(Account& account, std::span<const uint8_t> list);
  // False: it cannot be done now.
  bool Remove(Account& account, uint8_t number);
  bool SetDefault(Account& account, uint8_t number);
  void RemoveAll(Account& account);
  uint32_t CountOf(const Account& account) const;

 private:
  // Where it begins, and how long it is; false: there is none.
  struct Place {
    uint8_t number = 0;
    uint32_t from = 0;
    uint32_t size = 0;
  };
  bool At(const Account& account, uint32_t from, Place& out) const;
  bool FindPlace(const Account& account, uint8_t number, Place& out) const;
  // The chain without `place` and with `list` in its stead. False: no room.
  bool Build(const Account& account, const Place& place, uint8_t number,
             std::span<const uint8_t> list, Chain& fresh);
  void Take(Account& account, Chain fresh);

  Keeper& keeper_;
  ChainPool& chains_;
};

}  // namespace gh::xmpp
