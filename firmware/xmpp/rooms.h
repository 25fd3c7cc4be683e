// Rooms for many (XEP-0045): who is in them, who may do what, what was said.
//
//   rooms.cc          which rooms there are, who has which standing in them, what of it is kept
//   room_presence.cc  entering, leaving, nicks, what occupants see of each other
//   room_messages.cc  messages to all and to one, subjects, invitations, history, moderation
//   room_admin.cc     roles and affiliations: voice, kicks, bans, lists, registration
//   room_form.cc      configuration: the form, its submission, destruction
//   room_queries.cc   what is asked of a room, its host and its occupants
//   room_cards.cc     vCards and avatars
//
// Whoever speaks is known by address, ours by session too: occupants may be another server's.
// Rooms are kept when their configuration says so; ad hoc ones go with the last occupant. An
// occupant's standing is looked up when it changes and kept beside its role.
//
// Fault model: occupants are hostile. Every list is bounded, what cannot be kept is refused, and a
// room whose row the keeper does not take stays in memory as it was.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/legacy.h"
#include "firmware/xmpp/archive.h"
#include "firmware/xmpp/xml.h"

namespace gh::xmpp {

enum class Role : uint8_t { kNone, kVisitor, kParticipant, kModerator };
enum class Affiliation : uint8_t { kOutcast, kNone, kMember, kAdmin, kOwner };

std::string_view ToText(Role role);
std::string_view ToText(Affiliation affiliation);

// What a room's configuration switches; the same bits say what owners may change.
namespace room {
inline constexpr uint32_t kPersistent = 1u << 0;
inline constexpr uint32_t kListed = 1u << 1;
inline constexpr uint32_t kMembersOnly = 1u << 2;
inline constexpr uint32_t kModeratorsInvite = 1u << 3;  // they alone, into rooms for members
inline constexpr uint32_t kSelfRegister = 1u << 4;
inline constexpr uint32_t kShowAbsent = 1u << 5;
inline constexpr uint32_t kGroupchat1 = 1u << 6;
inline constexpr uint32_t kAnonymous = 1u << 7;  // moderators alone see addresses
inline constexpr uint32_t kStripXhtml = 1u << 8;
inline constexpr uint32_t kModerated = 1u << 9;
inline constexpr uint32_t kArchived = 1u << 10;
inline constexpr uint32_t kPassword = 1u << 11;
// Of freedom alone.
inline constexpr uint32_t kInviteRole = 1u << 12;
inline constexpr uint32_t kPrivateRole = 1u << 13;
inline constexpr uint32_t kSubjectRole = 1u << 14;
inline constexpr uint32_t kOccupancy = 1u << 15;
inline constexpr uint32_t kHistory = 1u << 16;
// What is the owners' in any case.
inline constexpr uint32_t kAlwaysFree = kPersistent | kListed | kArchived | kPassword;
}  // namespace room

struct RoomSettings {
  uint32_t flags = room::kListed | room::kArchived;
  Role invite_role = Role::kParticipant;
  Role private_role = Role::kVisitor;
  Role subject_role = Role::kParticipant;
  uint16_t occupant_max = 50;
  uint16_t history = 15;
  friend bool operator==(const RoomSettings&, const RoomSettings&) = default;
};

struct RoomRules {
  bool enabled = false;
  bool persistent = true;             // whether rooms may be
  bool administrators_alone = false;  // make persistent ones
  bool archive = true;                // messages of persistent rooms
  bool archive_joins = false;         // who comes and goes in them
  uint32_t room_max = 16'500;
  uint32_t persistent_max = 1500;
  uint32_t occupant_max = kRoomOccupantMax;
  uint32_t hidden_max = kRoomOccupantMax;
  uint32_t history_max = kRoomHistoryMax;
  uint32_t idle_minutes = 0;
  RoomSettings defaults;
  uint32_t owners_change = room::kAlwaysFree;
  std::array<FixedString<127>, kRoomHostMax> hosts = {};
  uint32_t host_count = 0;
  std::array<FixedString<127>, kRoomAdministratorMax> administrators = {};
  uint32_t administrator_count = 0;
};

struct Room;

struct Occupant {
  ListNode room_node;
  ListNode session_node;  // of our sessions' occupants
  Room* room = nullptr;
  Session* session = nullptr;  // null: another server's
  uint64_t nick_hash = 0;
  uint64_t address_hash = 0;  // of the full address
  Chain nick;
  Chain address;   // full
  Chain presence;  // what is in its presence
  Role role = Role::kNone;
  Affiliation affiliation = Affiliation::kNone;
  bool hidden = false;
};

struct Affiliate {
  ListNode node;
  uint64_t hash = 0;
  Chain address;  // bare, or a domain
  Chain nick;     // that it registered
  Affiliation affiliation = Affiliation::kNone;
};

using RoomAvatar = std::array<uint8_t, crypto::Sha1::kSize>;  // zeros: none

struct Room {
  HashNode name_node;
  FixedString<kRoomNameMax> name;  // room@host
  uint32_t id = 0;
  RoomSettings settings;
  bool locked = false;  // until it is configured
  bool kept = false;    // it has a row
  uint32_t hidden_count = 0;
  int64_t used = 0;  // when, in Unix seconds
  std::array<uint8_t, 16> salt = {};
  uint8_t card_rows = 0;  // of its vCard; 0: none
  uint8_t card_number = 0;
  RoomAvatar avatar = {};
  Chain title, description, password;
  Chain subject;       // text
  Chain subject_nick;  // who set it
  Chain history;       // u32 size and stanza, the oldest first
  uint32_t history_count = 0;
  List<Occupant, &Occupant::room_node> occupants;
  List<Affiliate, &Affiliate::node> affiliates;
  ArchiveLog archive;
};

struct RoomCapacity {
  uint32_t rooms = 0;
  uint32_t occupants = 0;
  uint32_t affiliates = 0;
};

struct RoomCounters {
  uint64_t created = 0;
  uint64_t destroyed = 0;
  uint64_t joins = 0;
  uint64_t refused = 0;
  uint64_t messages = 0;    // to rooms
  uint64_t deliveries = 0;  // to occupants
};

// What rooms ask of the engine.
struct Speaker;

class RoomHost {
 public:
  // To one occupant or asker; `session` null: by address.
  virtual void SendTo(Session* session, std::string_view full, std::span<const uint8_t> stanza) = 0;
  // A message to a user, who may be away.
  virtual void SendToUser(const Address& to, std::span<const uint8_t> stanza) = 0;
  // What `session` sent is acknowledged when this commit is durable.
  virtual void OnKept(Session* session, uint64_t commit) = 0;
  // What goes to him from now on leaves when this commit is durable.
  virtual void HoldUntil(const Speaker& speaker, std::string_view from, uint64_t commit) = 0;
  virtual int64_t RoomTime() = 0;
  // The hash of its user's picture, in `out`; empty: none.
  virtual std::string_view OccupantAvatar(Session& session, std::span<uint8_t> out) = 0;
  // The vCard of a user of ours, in `out`. False: he is none.
  virtual bool CardOf(const Address& user, std::span<uint8_t> out, std::string_view& card) = 0;
  virtual void OnRoomEvent(std::string_view room, std::string_view by, const char* what) = 0;

 protected:
  ~RoomHost() = default;
};

struct RoomInfo {
  std::string_view name;
  uint32_t occupants = 0;
  uint32_t hidden = 0;
  uint32_t affiliates = 0;
  uint64_t archived = 0;
  bool persistent = false;
  bool locked = false;
};

// Who sends a stanza.
struct Speaker {
  Session* session = nullptr;     // when it is ours
  const Address* from = nullptr;  // full
};

class Rooms {
 public:
  Rooms(Arena& arena, const RoomCapacity& capacity, ChainPool& chains, Keeper& keeper,
        Archive& archive, crypto::Random& random, RoomHost& host);
  static uint64_t ArenaBytes(const RoomCapacity& capacity);

  void Apply(const RoomRules& rules);
  const RoomRules& rules() const { return rules_; }
  bool Serves(std::string_view domain) const;
  Result<void> Load(const RowName& name, std::span<const uint8_t> value);

  void AdoptDomains(Adoption& adoption);  // adoption.cc

  // A stanza to a room, an occupant or the host. `stanza` is changed.
  void OnStanza(const Speaker& speaker, Node& stanza, const Address& to);
  // A session is over, or not available any more.
  void OnGone(Session& session);
  bool HasOccupants(const Session& session) const;
  // Its user has another avatar.
  void OnAvatar(Session& session);

  bool NextRoom(uint32_t& cursor, RoomInfo& out);
  // By an operator.
  Result<void> Destroy(std::string_view name, std::string_view reason);
  // Forgets what was said in it.
  Result<void> Purge(std::string_view name);
  // Empty ones that nobody used for the time in the rules; returns how many.
  uint32_t CloseIdle();
  uint32_t room_count() const { return rooms_.used_count(); }
  uint32_t room_capacity() const { return rooms_.capacity(); }
  uint32_t persistent_count() const { return persistent_count_; }
  uint32_t occupant_count() const { return occupants_.used_count(); }
  const RoomCounters& counters() const { return counters_; }

 private:
  struct Traits {
    using Key = std::string_view;
    static Key KeyOf(const Room& room) { return room.name.view(); }
  };
  // What a presence says beside what the occupant sent.
  struct Notice {
    bool gone = false;
    bool entered = false;
    bool created = false;
    uint16_t codes[3] = {};  // to everybody
    std::string_view reason;
    std::string_view new_nick;
    std::string_view actor;
    std::string_view extra;  // inside the x, as it is written
  };
  // An item of an administrator's query.
  struct Change {
    FixedString<kBareMax> address;
    Occupant* occupant = nullptr;
    bool is_role = false;
    Role role = Role::kNone;
    Affiliation affiliation = Affiliation::kNone;
    std::string_view reason;
    std::string_view nick;
  };
  struct NewSettings {
    RoomSettings settings;
    std::string_view title, description, password;
    bool has_title = false, has_description = false, has_password = false;
    const Node* owners = nullptr;  // fields
    const Node* admins = nullptr;
  };

  // rooms.cc
  Room* Find(std::string_view bare) { return by_name_.Find(bare); }
  Room* Create(const Speaker& speaker, const Address& name);
  void Remove(Room& room);
  void RemoveIfEmpty(Room& room);
  bool Keep(Room& room);
  void Forget(Room& room);
  Result<void> LoadRoom(uint32_t id, std::span<const uint8_t> value);
  Result<void> LoadAffiliate(Room& room, std::span<const uint8_t> value);
  bool IsAdministrator(std::string_view bare) const;
  bool Rename(Room& room, std::string_view name);
  void AdoptAffiliates(Room& room, Adoption& adoption);
  Affiliate* FindAffiliate(Room& room, std::string_view address);
  Affiliation AffiliationOf(Room& room, const Address& who);
  bool SetAffiliation(Room& room, std::string_view bare, Affiliation affiliation,
                      std::string_view nick);
  void FreeAffiliate(Room& room, Affiliate& affiliate);
  uint32_t OwnerCount(Room& room);
  Occupant* FindOccupant(Room& room, std::string_view full);
  Occupant* FindOccupant(Room& room, const Speaker& speaker);
  Occupant* FindNick(Room& room, std::string_view nick, const Occupant* except = nullptr);
  std::string_view NickOf(const Occupant& occupant, std::span<uint8_t> out) const {
    return chains_.Text(occupant.nick, out);
  }
  std::string_view AddressOf(const Occupant& occupant, std::span<uint8_t> out) const {
    return chains_.Text(occupant.address, out);
  }
  static bool Has(const Room& room, uint32_t flag) { return (room.settings.flags & flag) != 0; }
  // Something of it is archived: what is said, or who comes and goes.
  bool IsArchived(const Room& room) const {
    return room.kept && archive_.enabled() &&
           ((rules_.archive && Has(room, room::kArchived)) || rules_.archive_joins);
  }
  uint64_t HashOf(std::string_view text) const { return SipHash13(key_, text); }
  void Send(Occupant& to, std::span<const uint8_t> stanza);
  void Send(const Speaker& to, std::span<const uint8_t> stanza) {
    host_.SendTo(to.session, to.from->full(), stanza);
  }
  void Refuse(const Speaker& speaker, const Node& stanza, std::string_view type,
              std::string_view condition, std::string_view text = {});
  void Answer(const Speaker& speaker, const Node& query, std::string_view payload);
  void WriteOccupantId(const Room& room, std::string_view bare, ByteWriter& out) const;

  // room_presence.cc
  void OnPresence(const Speaker& speaker, Node& stanza, const Address& to);
  void OnJoin(const Speaker& speaker, Node& stanza, const Address& to, Room* room);
  const char* MayEnter(const Speaker& speaker, Room& room, const Node* x, Affiliation affiliation,
                       bool hidden);
  Occupant* Enter(const Speaker& speaker, Room& room, const Address& to, Affiliation affiliation,
                  bool hidden);
  bool IsReserved(Room& room, std::string_view nick, std::string_view bare);
  void OnNick(const Speaker& speaker, Node& stanza, Occupant& occupant, const Address& to);
  bool KeepPresence(Occupant& occupant, Node& stanza);
  void ArchivePassage(Occupant& occupant, bool gone);
  void WritePresence(const Occupant& of, const Occupant& to, std::string_view to_address,
                     const Notice& notice, ByteWriter& out);
  void Broadcast(Occupant& of, const Notice& notice);
  void SendPresences(Room& room, Occupant& to);
  void SendAbsent(Room& room, Occupant& to);
  // The occupant is gone when it returns; its room too, when it was the last of an ad hoc one.
  void Leave(Occupant& occupant, const Notice& notice);
  void FreeOccupant(Occupant& occupant);
  Role RoleFor(const Room& room, Affiliation affiliation) const;

  // room_messages.cc
  void OnMessage(const Speaker& speaker, Node& stanza, const Address& to);
  void OnGroupchat(const Speaker& speaker, Node& stanza, Room& room, Occupant& occupant);
  void OnSubject(const Speaker& speaker, const Node& stanza, Occupant& occupant,
                 std::string_view text);
  void OnPrivate(const Speaker& speaker, Node& stanza, Room& room, Occupant& occupant,
                 const Address& to);
  void OnUserX(const Speaker& speaker, const Node& stanza, const Node& x, Room& room,
               Occupant* occupant);
  void Invite(const Speaker& speaker, const Node& stanza, const Node& invite, Room& room,
              Occupant& occupant);
  // To all occupants: a stanza that begins with its name and `from`, `to` is put behind.
  void SendToAll(Room& room, std::span<const uint8_t> stanza, size_t from_end);
  void SendSubject(Room& room, Occupant* to);
  void SendHistory(Room& room, Occupant& to, const Node* x);
  void KeepHistory(Room& room, std::span<const uint8_t> stanza, int64_t unix_seconds);
  void RefillHistory(Room& room);
  void OnVoiceRequest(const Speaker& speaker, const Node& stanza, const Node& form, Room& room,
                      Occupant& occupant);
  void Decline(const Speaker& speaker, const Node& decline, Room& room);
  // What is heard in the room is written to stanza_; where its `from` ends, 0: it is too long.
  size_t WriteHeard(const Node& stanza, const Room& room, std::string_view nick,
                    std::string_view extra);
  void SendStatus(Room& room, std::span<const uint16_t> codes);
  void OnModerate(const Speaker& speaker, const Node& stanza, const Node& moderate, Room& room);

  // room_admin.cc
  void OnAdmin(const Speaker& speaker, const Node& stanza, const Node& query, Room& room);
  void ListAffiliates(const Speaker& speaker, const Node& stanza, const Node& item, Room& room);
  const char* ReadChange(const Node& item, Room& room, Occupant* actor, Affiliation actors,
                         Change& out);
  const char* MayChange(const Change& change, Room& room, Occupant* actor, Affiliation actors);
  void MakeRole(Room& room, const Change& change, std::string_view actor);
  bool MakeAffiliation(Room& room, const Change& change, std::string_view actor);
  void OnRegister(const Speaker& speaker, const Node& stanza, const Node& query, Room& room,
                  bool is_set);

  // room_form.cc
  void OnOwner(const Speaker& speaker, const Node& stanza, const Node& query, Room& room,
               bool is_set);
  void SendForm(const Speaker& speaker, const Node& stanza, Room& room);
  const char* ReadForm(const Node& form, const Room& room, NewSettings& out);
  const char* MayApply(const Speaker& speaker, const Room& room, const NewSettings& wanted);
  void OnSubmit(const Speaker& speaker, const Node& stanza, const Node& form, Room& room);
  void OnSettings(Room& room, const RoomSettings& before);
  bool ApplyList(Room& room, const Node* field, Affiliation affiliation);
  void DestroyRoom(Room& room, std::string_view reason, std::string_view venue,
                   std::string_view password);

  // room_queries.cc
  void OnQuery(const Speaker& speaker, Node& stanza, const Address& to);
  void OnHostQuery(const Speaker& speaker, const Node& stanza, const Node& query);
  void ListRooms(const Speaker& speaker, const Node& stanza, const Node& query);
  void OnRoomQuery(const Speaker& speaker, Node& stanza, const Node& query, Room& room);
  void DescribeRoom(const Speaker& speaker, const Node& stanza, Room& room);
  void OnOccupantQuery(const Speaker& speaker, Node& stanza, Room& room, const Address& to);
  void OnArchiveQuery(const Speaker& speaker, const Node& stanza, const Node& query, Room& room);
  Occupant* FindAnswering(Room& room, const Speaker& speaker, std::string_view type);
  bool AnswerCardOf(const Speaker& speaker, const Node& stanza, const Occupant& own,
                    const Occupant& target);

  // room_cards.cc
  static bool HasAvatar(const Room& room);
  Result<void> LoadCard(Room& room, const RowName& name, std::span<const uint8_t> value);
  void RemoveCardRows(const Room& room, uint8_t number, size_t rows);
  void ForgetCard(Room& room);
  uint64_t KeepCard(Room& room, std::string_view text, const RoomAvatar& avatar);
  std::string_view ReadCard(const Room& room, std::span<uint8_t> out);
  RoomAvatar AvatarIn(const Node& card);
  void OnCard(const Speaker& speaker, const Node& stanza, const Node& card, Room& room,
              bool is_set);
  void WriteOccupantPresence(const Occupant& occupant, Node& stanza, ByteWriter& out);

  ChainPool& chains_;
  Keeper& keeper_;
  Archive& archive_;
  crypto::Random& random_;
  RoomHost& host_;
  SipKey key_;
  Pool<Room> rooms_;
  Pool<Occupant> occupants_;
  Pool<Affiliate> affiliates_;
  HashTable<Room, &Room::name_node, Traits> by_name_;
  std::span<Room*> by_id_;     // id 1 is first
  std::span<uint8_t> stanza_;  // being written to many
  size_t stanza_size_ = 0;
  std::span<uint8_t> copy_;  // one of its copies, or an answer
  std::span<uint8_t> payload_;
  RoomRules rules_;
  uint32_t persistent_count_ = 0;
  RoomCounters counters_;
};

}  // namespace gh::xmpp
