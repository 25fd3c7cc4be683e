// Which rooms there are, and who stands how to them. A room's row: u8 version, u16 size and name,
// u32 flags, five settings, 16 bytes of salt, then sized title, description, password, subject and
// who set it. An affiliation's: u8 version, u8 which, sized address and nick.
#include "firmware/xmpp/rooms.h"

#include <algorithm>

#include "crypto/digest.h"
#include "crypto/random.h"
#include "firmware/xmpp/scratch.h"

namespace gh::xmpp {
namespace {

constexpr uint8_t kRowVersion = 1;
constexpr Error kBadRow{ErrorCode::kCorrupt, "a row of a room is not readable"};

SipKey NewKey(crypto::Random& random) {
  std::array<uint8_t, 16> bytes;
  random.Fill(bytes);
  return SipKey::FromBytes(bytes);
}

std::string_view TakeSized(ByteReader& reader) { return AsText(reader.Take(reader.U16Be())); }

}  // namespace

std::string_view ToText(Role role) {
  constexpr std::string_view kTexts[] = {"none", "visitor", "participant", "moderator"};
  return kTexts[static_cast<uint8_t>(role)];
}

std::string_view ToText(Affiliation affiliation) {
  constexpr std::string_view kTexts[] = {"outcast", "none", "member", "admin", "owner"};
  return kTexts[static_cast<uint8_t>(affiliation)];
}

Rooms::Rooms(Arena& arena, const RoomCapacity& capacity, ChainPool& chains, Keeper& keeper,
             Archive& archive, crypto::Random& random, RoomHost& host)
    : chains_(chains),
      keeper_(keeper),
      archive_(archive),
      random_(random),
      host_(host),
      key_(NewKey(random)),
      rooms_(arena, capacity.rooms),
      occupants_(arena, capacity.occupants),
      affiliates_(arena, capacity.affiliates),
      by_name_(arena, capacity.rooms, NewKey(random)),
      by_id_(arena.NewArray<Room*>(capacity.rooms)),
      stanza_(NewBytes(arena, kOutputMax)),
      copy_(NewBytes(arena, kOutputMax)),
      payload_(NewBytes(arena, kOutputMax)) {}

uint64_t Rooms::ArenaBytes(const RoomCapacity& capacity) {
  return uint64_t{capacity.rooms} * (Pool<Room>::bytes_per_item() + 8 + 16) +
         uint64_t{capacity.occupants} * Pool<Occupant>::bytes_per_item() +
         uint64_t{capacity.affiliates} * Pool<Affiliate>::bytes_per_item() + 3 * kOutputMax +
         sizeof(Rooms) + 512;
}

bool Rooms::Serves(std::string_view domain) const {
  const auto hosts = std::span(rules_.hosts).first(rules_.host_count);
  return rules_.enabled && std::ranges::any_of(hosts, [&](auto& host) { return host == domain; });
}

// Occupants of rooms that are not served any more are shown out.
void Rooms::Apply(const RoomRules& rules) {
  rules_ = rules;
  for (uint32_t i = 0; i < rooms_.capacity(); ++i) {
    Room* room = rooms_.At(i);
    if (room == nullptr || Serves(room->name.view().substr(room->name.view().find('@') + 1))) {
      continue;
    }
    const Handle handle = rooms_.HandleOf(*room);
    while (rooms_.Resolve(handle) != nullptr && !room->occupants.empty()) {
      Notice notice;
      notice.gone = true;
      notice.codes[0] = 332;  // the service is shut down
      Leave(*room->occupants.front(), notice);
    }
  }
}

// --- Loading -------------------------------------------------------------------------------------

Result<void> Rooms::Load(const RowName& name, std::span<const uint8_t> value) {
  if (name.kind == 'r') {
    return LoadRoom(name.id, value);
  }
  Room* room = name.id >= 1 && name.id <= by_id_.size() ? by_id_[name.id - 1] : nullptr;
  if (room == nullptr) {
    return kBadRow;
  }
  if (name.kind == 'y') {
    return LoadCard(*room, name, value);
  }
  return name.kind == 's' ? LoadAffiliate(*room, value) : archive_.Load(room->archive, name, value);
}

Result<void> Rooms::LoadRoom(uint32_t id, std::span<const uint8_t> value) {
  ByteReader reader(value);
  const uint8_t version = reader.U8();
  const std::string_view name = TakeSized(reader);
  RoomSettings settings;
  settings.flags = reader.U32Be();
  const uint8_t roles[] = {reader.U8(), reader.U8(), reader.U8()};
  settings.occupant_max = reader.U16Be();
  settings.history = reader.U16Be();
  std::array<uint8_t, 16> salt = {};
  reader.Copy(salt);
  std::string_view texts[5];
  for (std::string_view& text : texts) {
    text = TakeSized(reader);
  }
  const auto is_role = [](uint8_t role) { return role <= uint8_t{3}; };
  if (!reader.ok() || version != kRowVersion || id == 0 || name.empty() ||
      name.size() > kRoomNameMax || !std::ranges::all_of(roles, is_role)) {
    return kBadRow;
  }
  Room* room = id <= by_id_.size() && by_id_[id - 1] == nullptr ? rooms_.Allocate() : nullptr;
  if (room == nullptr) {
    return Error{ErrorCode::kExhausted, "more rooms than the profile has room for"};
  }
  settings.invite_role = static_cast<Role>(roles[0]);
  settings.private_role = static_cast<Role>(roles[1]);
  settings.subject_role = static_cast<Role>(roles[2]);
  room->name.Assign(name);
  room->id = id;
  room->settings = settings;
  room->salt = salt;
  room->kept = true;
  room->used = host_.RoomTime();
  room->archive.kind = 'u';
  room->archive.id = id;
  Chain* const chains[] = {&room->title, &room->description, &room->password, &room->subject,
                           &room->subject_nick};
  bool fits = by_name_.Insert(*room) == HashInsert::kInserted;
  for (size_t i = 0; i < 5 && fits; ++i) {
    fits = texts[i].empty() || chains_.Append(*chains[i], texts[i]);
  }
  by_id_[id - 1] = room;
  ++persistent_count_;
  if (!fits) {
    room->kept = false;  // the row stays
    --persistent_count_;
    Remove(*room);
    return Error{ErrorCode::kExhausted, "more rooms than the profile has room for"};
  }
  return Ok();
}

Result<void> Rooms::LoadAffiliate(Room& room, std::span<const uint8_t> value) {
  ByteReader reader(value);
  const uint8_t version = reader.U8();
  const uint8_t which = reader.U8();
  const std::string_view address = TakeSized(reader);
  const std::string_view nick = TakeSized(reader);
  if (!reader.ok() || version != kRowVersion || which > 4 || address.empty()) {
    return kBadRow;
  }
  Affiliate* affiliate = affiliates_.Allocate();
  if (affiliate == nullptr || !chains_.Append(affiliate->address, address) ||
      (!nick.empty() && !chains_.Append(affiliate->nick, nick))) {
    if (affiliate != nullptr) {
      chains_.Free(affiliate->address);
      affiliates_.Release(affiliate);
    }
    return Error{ErrorCode::kExhausted, "more affiliations than the profile has room for"};
  }
  affiliate->hash = HashOf(address);
  affiliate->affiliation = static_cast<Affiliation>(which);
  room.affiliates.PushBack(*affiliate);
  return Ok();
}

// --- Keeping -------------------------------------------------------------------------------------

bool Rooms::Keep(Room& room) {
  if (!Has(room, room::kPersistent)) {
    return true;
  }
  uint8_t bytes[kRowMax];
  ByteWriter row(bytes);
  row.U8(kRowVersion);
  row.U16Be(static_cast<uint16_t>(room.name.size()));
  row.Text(room.name.view());
  row.U32Be(room.settings.flags);
  row.U8(static_cast<uint8_t>(room.settings.invite_role));
  row.U8(static_cast<uint8_t>(room.settings.private_role));
  row.U8(static_cast<uint8_t>(room.settings.subject_role));
  row.U16Be(room.settings.occupant_max);
  row.U16Be(room.settings.history);
  row.Bytes(room.salt);
  for (const Chain* chain :
       {&room.title, &room.description, &room.password, &room.subject, &room.subject_nick}) {
    row.U16Be(static_cast<uint16_t>(chain->size));
    (void)chains_.Copy(*chain, 0, row.Reserve(chain->size));
  }
  GH_ASSERT(row.ok());
  if (keeper_.Put(RowKey('r', room.id), row.written()) == 0) {
    return false;
  }
  if (!room.kept) {
    room.kept = true;
    ++persistent_count_;
    for (Affiliate& affiliate : room.affiliates) {
      uint8_t address[kAddressMax];
      uint8_t nick[kResourceMax];
      (void)SetAffiliation(room, chains_.Text(affiliate.address, address), affiliate.affiliation,
                           chains_.Text(affiliate.nick, nick));
    }
  }
  return true;
}

// It is not persistent any more.
void Rooms::Forget(Room& room) {
  if (!room.kept) {
    return;
  }
  for (Affiliate& affiliate : room.affiliates) {
    uint8_t address[kAddressMax];
    (void)keeper_.Remove(
        RowKey('s', room.id, SipHash13(SipKey{}, chains_.Text(affiliate.address, address))));
  }
  archive_.Clear(room.archive);
  ForgetCard(room);
  (void)keeper_.Remove(RowKey('r', room.id));
  room.kept = false;
  --persistent_count_;
}

// --- Rooms ---------------------------------------------------------------------------------------

Room* Rooms::Create(const Speaker& speaker, const Address& name) {
  const auto free = std::ranges::find(by_id_, nullptr);
  Room* room = free != by_id_.end() && rooms_.used_count() < rules_.room_max &&
                       name.bare().size() <= kRoomNameMax
                   ? rooms_.Allocate()
                   : nullptr;
  if (room == nullptr) {
    return nullptr;
  }
  room->id = static_cast<uint32_t>(free - by_id_.begin()) + 1;
  room->name.Assign(name.bare());
  room->settings = rules_.defaults;
  room->settings.flags &= ~room::kPersistent;
  room->locked = true;
  room->used = host_.RoomTime();
  room->archive.kind = 'u';
  room->archive.id = room->id;
  random_.Fill(room->salt);
  if (by_name_.Insert(*room) != HashInsert::kInserted) {
    rooms_.Release(room);
    return nullptr;
  }
  *free = room;
  if (!SetAffiliation(*room, speaker.from->bare(), Affiliation::kOwner, {})) {
    Remove(*room);
    return nullptr;
  }
  ++counters_.created;
  return room;
}

void Rooms::Remove(Room& room) {
  GH_ASSERT(room.occupants.empty());
  Forget(room);
  while (Affiliate* affiliate = room.affiliates.front()) {
    FreeAffiliate(room, *affiliate);
  }
  for (Chain* chain : {&room.title, &room.description, &room.password, &room.subject,
                       &room.subject_nick, &room.history}) {
    chains_.Free(*chain);
  }
  if (room.name_node.linked) {
    by_name_.Remove(room);
  }
  by_id_[room.id - 1] = nullptr;
  rooms_.Release(&room);
}

void Rooms::RemoveIfEmpty(Room& room) {
  if (room.occupants.empty() && !room.kept) {
    ++counters_.destroyed;
    Remove(room);
  }
}

Result<void> Rooms::Destroy(std::string_view name, std::string_view reason) {
  Room* room = Find(name);
  if (room == nullptr) {
    return Error{ErrorCode::kNotFound, "there is no such room"};
  }
  DestroyRoom(*room, reason, {}, {});
  return Ok();
}

Result<void> Rooms::Purge(std::string_view name) {
  Room* room = Find(name);
  if (room == nullptr) {
    return Error{ErrorCode::kNotFound, "there is no such room"};
  }
  archive_.Clear(room->archive);
  chains_.Free(room->history);
  room->history_count = 0;
  return Ok();
}

uint32_t Rooms::CloseIdle() {
  uint32_t count = 0;
  const int64_t now = host_.RoomTime();
  for (uint32_t i = 0; i < rooms_.capacity(); ++i) {
    Room* room = rooms_.At(i);
    if (room == nullptr) {
      continue;
    }
    const bool is_forgotten = room->locked && now - room->used > kRoomLockSeconds;
    const bool is_idle = rules_.idle_minutes > 0 && now - room->used > rules_.idle_minutes * 60;
    if (is_forgotten || is_idle) {
      DestroyRoom(*room, is_idle ? "the room was idle" : "the room was not configured", {}, {});
      ++count;
    }
  }
  return count;
}

bool Rooms::NextRoom(uint32_t& cursor, RoomInfo& out) {
  for (; cursor < rooms_.capacity(); ++cursor) {
    Room* room = rooms_.At(cursor);
    if (room == nullptr) {
      continue;
    }
    out = {room->name.view(),
           room->occupants.size(),
           room->hidden_count,
           room->affiliates.size(),
           room->archive.next - room->archive.first,
           room->kept,
           room->locked};
    ++cursor;
    return true;
  }
  return false;
}

// --- Standing ------------------------------------------------------------------------------------

bool Rooms::IsAdministrator(std::string_view bare) const {
  const auto all = std::span(rules_.administrators).first(rules_.administrator_count);
  return std::ranges::any_of(all, [&](auto& each) { return each == bare; });
}

Affiliate* Rooms::FindAffiliate(Room& room, std::string_view address) {
  const uint64_t hash = HashOf(address);
  for (Affiliate& affiliate : room.affiliates) {
    uint8_t bytes[kAddressMax];
    if (affiliate.hash == hash && chains_.Text(affiliate.address, bytes) == address) {
      return &affiliate;
    }
  }
  return nullptr;
}

Affiliation Rooms::AffiliationOf(Room& room, const Address& who) {
  if (IsAdministrator(who.bare())) {
    return Affiliation::kOwner;
  }
  if (const Affiliate* own = FindAffiliate(room, who.bare())) {
    return own->affiliation;
  }
  const Affiliate* domains = FindAffiliate(room, who.domain());
  return domains != nullptr ? domains->affiliation : Affiliation::kNone;
}

// Standing `kNone` without a nick is forgotten. False: a limit, or the keeper takes no more.
bool Rooms::SetAffiliation(Room& room, std::string_view bare, Affiliation affiliation,
                           std::string_view nick) {
  const RowKey key('s', room.id, SipHash13(SipKey{}, bare));
  Affiliate* affiliate = FindAffiliate(room, bare);
  if (affiliation == Affiliation::kNone) {
    if (affiliate != nullptr) {
      FreeAffiliate(room, *affiliate);
    }
    return !room.kept || keeper_.Remove(key) != 0;
  }
  if (affiliate == nullptr) {
    affiliate = room.affiliates.size() < kRoomAffiliateMax ? affiliates_.Allocate() : nullptr;
    if (affiliate == nullptr) {
      return false;
    }
    if (!chains_.Append(affiliate->address, bare)) {
      affiliates_.Release(affiliate);
      return false;
    }
    affiliate->hash = HashOf(bare);
    room.affiliates.PushBack(*affiliate);
  }
  affiliate->affiliation = affiliation;
  if (!nick.empty()) {
    (void)chains_.Assign(affiliate->nick, nick);
  }
  if (!room.kept) {
    return true;
  }
  uint8_t nick_bytes[kResourceMax];
  const std::string_view kept_nick = chains_.Text(affiliate->nick, nick_bytes);
  uint8_t bytes[kAddressMax + kResourceMax + 16];
  ByteWriter row(bytes);
  row.U8(kRowVersion);
  row.U8(static_cast<uint8_t>(affiliation));
  row.U16Be(static_cast<uint16_t>(bare.size()));
  row.Text(bare);
  row.U16Be(static_cast<uint16_t>(kept_nick.size()));
  row.Text(kept_nick);
  GH_ASSERT(row.ok());
  return keeper_.Put(key, row.written()) != 0;
}

void Rooms::FreeAffiliate(Room& room, Affiliate& affiliate) {
  room.affiliates.Remove(affiliate);
  chains_.Free(affiliate.address);
  chains_.Free(affiliate.nick);
  affiliates_.Release(&affiliate);
}

uint32_t Rooms::OwnerCount(Room& room) {
  uint32_t count = 0;
  for (const Affiliate& affiliate : room.affiliates) {
    count += affiliate.affiliation == Affiliation::kOwner ? 1 : 0;
  }
  return count;
}

// --- Occupants -----------------------------------------------------------------------------------

Occupant* Rooms::FindOccupant(Room& room, std::string_view full) {
  const uint64_t hash = HashOf(full);
  for (Occupant& occupant : room.occupants) {
    uint8_t bytes[kAddressMax];
    if (occupant.address_hash == hash && AddressOf(occupant, bytes) == full) {
      return &occupant;
    }
  }
  return nullptr;
}

Occupant* Rooms::FindNick(Room& room, std::string_view nick, const Occupant* except) {
  const uint64_t hash = HashOf(nick);
  for (Occupant& occupant : room.occupants) {
    uint8_t bytes[kResourceMax];
    if (&occupant != except && occupant.nick_hash == hash && NickOf(occupant, bytes) == nick) {
      return &occupant;
    }
  }
  return nullptr;
}

// --- Answers -------------------------------------------------------------------------------------

void Rooms::Send(Occupant& to, std::span<const uint8_t> stanza) {
  uint8_t bytes[kAddressMax];
  host_.SendTo(to.session, to.session != nullptr ? "" : AddressOf(to, bytes), stanza);
}

void Rooms::Refuse(const Speaker& speaker, const Node& stanza, std::string_view type,
                   std::string_view condition, std::string_view text) {
  const std::string_view its_type = stanza.Get("type");
  if (its_type == "error" || its_type == "result") {
    return;
  }
  ++counters_.refused;
  ByteWriter out(copy_);
  out.Char('<');
  out.Text(stanza.name);
  if (const auto from = Address::Parse(stanza.Get("to")); from.ok()) {
    WriteAttribute("from", from->full(), out);
  }
  WriteAttribute("to", speaker.from->full(), out);
  if (const Attribute* id = stanza.Find("id")) {
    WriteAttribute("id", id->value, out);
  }
  out.Text(" type='error'>");
  if (stanza.name == "presence") {
    out.Text("<x xmlns='http://jabber.org/protocol/muc'/>");
  }
  out.Text("<error type='");
  out.Text(type);
  out.Text("'><");
  out.Text(condition);
  out.Text(" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>");
  if (!text.empty()) {
    out.Text("<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>");
    WriteEscaped(text, out);
    out.Text("</text>");
  }
  out.Text("</error></");
  out.Text(stanza.name);
  out.Char('>');
  if (out.ok()) {
    Send(speaker, out.written());
  }
}

void Rooms::Answer(const Speaker& speaker, const Node& query, std::string_view payload) {
  ByteWriter out(copy_);
  out.Text("<iq type='result'");
  WriteAttribute("from", query.Get("to"), out);
  WriteAttribute("to", speaker.from->full(), out);
  WriteAttribute("id", query.Get("id"), out);
  out.Char('>');
  out.Text(payload);
  out.Text("</iq>");
  if (!out.ok()) {
    Refuse(speaker, query, "wait", "resource-constraint");
    return;
  }
  Send(speaker, out.written());
}

// XEP-0421: the same for all of one user's nicks and sessions in this room, and for nobody else.
void Rooms::WriteOccupantId(const Room& room, std::string_view bare, ByteWriter& out) const {
  crypto::Sha256 hash;
  hash.Update(room.salt);
  hash.Update(bare);
  const auto digest = hash.Finish();
  out.Text("<occupant-id xmlns='urn:xmpp:occupant-id:0' id='");
  out.HexBytes(std::span(digest).first(16));
  out.Text("'/>");
}

void Rooms::OnStanza(const Speaker& speaker, Node& stanza, const Address& to) {
  if (stanza.name == "presence") {
    OnPresence(speaker, stanza, to);
  } else if (stanza.name == "message") {
    OnMessage(speaker, stanza, to);
  } else {
    OnQuery(speaker, stanza, to);
  }
}

}  // namespace gh::xmpp
