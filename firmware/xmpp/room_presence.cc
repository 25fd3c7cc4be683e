// Entering and leaving rooms, and what occupants see of each other (XEP-0045 section 7).
//
// A user may be in a room with several sessions under one nick: others see one occupant that goes
// when the last of them goes.
#include <algorithm>

#include "firmware/xmpp/engine.h"
#include "hal/rt/secret.h"

namespace gh::xmpp {
namespace {

std::string_view TypeOf(std::string_view condition) {
  if (condition == "forbidden" || condition == "not-authorized" ||
      condition == "registration-required") {
    return "auth";
  }
  if (condition == "service-unavailable" || condition == "resource-constraint") {
    return "wait";
  }
  return condition == "jid-malformed" || condition == "policy-violation" ? "modify" : "cancel";
}

void DropRoomParts(Node& stanza) {
  for (Node* child = stanza.first; child != nullptr; child = child->next) {
    child->dropped = child->dropped || child->Is("x", ns::kRoom) || child->Is("x", ns::kRoomUser) ||
                     child->space == ns::kOccupantId || child->Is("delay", ns::kDelay);
  }
}

}  // namespace

Occupant* Rooms::FindOccupant(Room& room, const Speaker& speaker) {
  if (speaker.session == nullptr) {
    return FindOccupant(room, speaker.from->full());
  }
  for (Occupant& occupant : speaker.session->rooms) {
    if (occupant.room == &room) {
      return &occupant;
    }
  }
  return nullptr;
}

bool Rooms::HasOccupants(const Session& session) const { return session.rooms.size() > 0; }

Role Rooms::RoleFor(const Room& room, Affiliation affiliation) const {
  if (affiliation >= Affiliation::kAdmin) {
    return Role::kModerator;
  }
  return affiliation == Affiliation::kNone && Has(room, room::kModerated) ? Role::kVisitor
                                                                          : Role::kParticipant;
}

void Rooms::OnPresence(const Speaker& speaker, Node& stanza, const Address& to) {
  const std::string_view type = stanza.Get("type");
  Room* room = to.local().empty() ? nullptr : Find(to.bare());
  Occupant* occupant = room != nullptr ? FindOccupant(*room, speaker) : nullptr;
  if (type == "unavailable" || type == "error") {
    if (occupant != nullptr) {
      (void)KeepPresence(*occupant, stanza);
      Notice notice;
      notice.gone = true;
      notice.codes[0] = type == "error" ? 333 : 0;
      Leave(*occupant, notice);
    }
    return;
  }
  if (!type.empty()) {
    return;  // nobody subscribes to rooms
  }
  if (occupant == nullptr) {
    OnJoin(speaker, stanza, to, room);
    return;
  }
  uint8_t bytes[kResourceMax];
  if (!to.has_resource()) {
    Refuse(speaker, stanza, "modify", "jid-malformed");
  } else if (NickOf(*occupant, bytes) != to.resource()) {
    OnNick(speaker, stanza, *occupant, to);
  } else {
    const Node* x = stanza.Child("x", ns::kRoom);
    if (!KeepPresence(*occupant, stanza)) {
      Refuse(speaker, stanza, "modify", "policy-violation");
      return;
    }
    Notice notice;
    if (x != nullptr) {  // it has forgotten that it is here
      SendPresences(*room, *occupant);
      notice.entered = true;
    }
    Broadcast(*occupant, notice);
    if (x != nullptr) {
      SendHistory(*room, *occupant, x);
      SendSubject(*room, occupant);
    }
  }
}

// --- Entering ------------------------------------------------------------------------------------

// Null: it may.
const char* Rooms::MayEnter(const Speaker& speaker, Room& room, const Node* x,
                            Affiliation affiliation, bool hidden) {
  if (affiliation == Affiliation::kOutcast) {
    return "forbidden";
  }
  if (room.locked && affiliation != Affiliation::kOwner) {
    return "item-not-found";
  }
  if (Has(room, room::kMembersOnly) && affiliation < Affiliation::kMember) {
    return "registration-required";
  }
  if (Has(room, room::kPassword) && !room.password.empty()) {
    const Node* password = x != nullptr ? x->Child("password", ns::kRoom) : nullptr;
    uint8_t bytes[kRoomPasswordMax];
    const std::string_view wanted = chains_.Text(room.password, bytes);
    if (password == nullptr || !ConstantTimeEqual(AsBytes(password->Text()), AsBytes(wanted))) {
      return "not-authorized";
    }
  }
  if (x == nullptr && !Has(room, room::kGroupchat1)) {
    return "not-acceptable";  // Group Chat 1.0 is not spoken here
  }
  const bool is_above = affiliation >= Affiliation::kAdmin;  // they may when it is full
  const uint32_t most = is_above
                            ? rules_.occupant_max
                            : std::min<uint32_t>(room.settings.occupant_max, rules_.occupant_max);
  if (room.occupants.size() >= most || (hidden && room.hidden_count >= rules_.hidden_max)) {
    return "service-unavailable";
  }
  if (hidden && !IsAdministrator(speaker.from->bare())) {
    return "forbidden";
  }
  if (speaker.session != nullptr && speaker.session->rooms.size() >= kRoomsOfSessionMax) {
    return "resource-constraint";
  }
  return nullptr;
}

void Rooms::OnJoin(const Speaker& speaker, Node& stanza, const Address& to, Room* room) {
  const Node* x = stanza.Child("x", ns::kRoom);
  if (to.local().empty() || !to.has_resource()) {
    Refuse(speaker, stanza, "modify", "jid-malformed");
    return;
  }
  const bool is_new = room == nullptr;
  if (is_new) {
    if (x == nullptr && (rules_.defaults.flags & room::kGroupchat1) == 0) {
      Refuse(speaker, stanza, "cancel", "item-not-found");  // presence to a room that went
      return;
    }
    room = Create(speaker, to);
    if (room == nullptr) {
      Refuse(speaker, stanza, "wait", "resource-constraint", "there is no room for more rooms");
      return;
    }
    room->locked = x != nullptr;
  }
  const Affiliation affiliation = AffiliationOf(*room, *speaker.from);
  const bool hidden = x != nullptr && x->Child("hidden", ns::kHidden) != nullptr;
  const char* refused =
      is_new && !hidden ? nullptr : MayEnter(speaker, *room, x, affiliation, hidden);
  Occupant* occupant = nullptr;
  if (refused == nullptr) {
    const Occupant* namesake = FindNick(*room, to.resource());
    uint8_t bytes[kAddressMax];
    const auto its = namesake != nullptr ? Address::Parse(AddressOf(*namesake, bytes))
                                         : Result<Address>(ErrorCode::kNotFound);
    const bool is_taken = its.ok() && its->bare() != speaker.from->bare();
    refused =
        is_taken || IsReserved(*room, to.resource(), speaker.from->bare()) ? "conflict" : nullptr;
  }
  if (refused == nullptr) {
    occupant = Enter(speaker, *room, to, affiliation, hidden);
    refused = occupant == nullptr ? "resource-constraint" : nullptr;
  }
  if (refused == nullptr && !KeepPresence(*occupant, stanza)) {
    FreeOccupant(*occupant);
    refused = "policy-violation";
  }
  if (refused != nullptr) {
    RemoveIfEmpty(*room);
    Refuse(speaker, stanza, TypeOf(refused), refused);
    return;
  }
  ++counters_.joins;
  room->used = host_.RoomTime();
  if (is_new) {
    host_.OnRoomEvent(room->name.view(), speaker.from->bare(), "was made");
  }
  SendPresences(*room, *occupant);
  Notice notice;
  notice.entered = true;
  notice.created = is_new;
  Broadcast(*occupant, notice);
  ArchivePassage(*occupant, false);
  if (Has(*room, room::kShowAbsent)) {
    SendAbsent(*room, *occupant);
  }
  SendHistory(*room, *occupant, x);
  SendSubject(*room, occupant);
}

// A nick that somebody registered is his.
bool Rooms::IsReserved(Room& room, std::string_view nick, std::string_view bare) {
  for (Affiliate& affiliate : room.affiliates) {
    uint8_t nick_bytes[kResourceMax];
    uint8_t address_bytes[kAddressMax];
    if (affiliate.nick.size == nick.size() && !nick.empty() &&
        chains_.Text(affiliate.nick, nick_bytes) == nick &&
        chains_.Text(affiliate.address, address_bytes) != bare) {
      return true;
    }
  }
  return false;
}

Occupant* Rooms::Enter(const Speaker& speaker, Room& room, const Address& to,
                       Affiliation affiliation, bool hidden) {
  Occupant* occupant = occupants_.Allocate();
  if (occupant == nullptr) {
    return nullptr;
  }
  if (!chains_.Append(occupant->nick, to.resource()) ||
      !chains_.Append(occupant->address, speaker.from->full())) {
    chains_.Free(occupant->nick);
    occupants_.Release(occupant);
    return nullptr;
  }
  occupant->room = &room;
  occupant->session = speaker.session;
  occupant->nick_hash = HashOf(to.resource());
  occupant->address_hash = HashOf(speaker.from->full());
  occupant->affiliation = affiliation;
  occupant->role = RoleFor(room, affiliation);
  occupant->hidden = hidden;
  room.hidden_count += hidden ? 1 : 0;
  room.occupants.PushBack(*occupant);
  if (speaker.session != nullptr) {
    speaker.session->rooms.PushBack(*occupant);
  }
  return occupant;
}

// --- Nicks ---------------------------------------------------------------------------------------

void Rooms::OnNick(const Speaker& speaker, Node& stanza, Occupant& occupant, const Address& to) {
  Room& room = *occupant.room;
  uint8_t address_bytes[kAddressMax];
  const Occupant* namesake = FindNick(room, to.resource(), &occupant);
  const auto its = namesake != nullptr ? Address::Parse(AddressOf(*namesake, address_bytes))
                                       : Result<Address>(ErrorCode::kNotFound);
  if ((its.ok() && its->bare() != speaker.from->bare()) ||
      IsReserved(room, to.resource(), speaker.from->bare())) {
    Refuse(speaker, stanza, "cancel", "conflict");
    return;
  }
  if (!KeepPresence(occupant, stanza)) {
    Refuse(speaker, stanza, "modify", "policy-violation");
    return;
  }
  Chain nick;
  if (!chains_.Append(nick, to.resource())) {
    Refuse(speaker, stanza, "wait", "resource-constraint");
    return;
  }
  Notice gone;
  gone.gone = true;
  gone.codes[0] = 303;
  gone.new_nick = to.resource();
  Broadcast(occupant, gone);
  ArchivePassage(occupant, true);
  chains_.Free(occupant.nick);
  occupant.nick = nick;
  occupant.nick_hash = HashOf(to.resource());
  Broadcast(occupant, Notice());
  ArchivePassage(occupant, false);
}

// --- Presence ------------------------------------------------------------------------------------

bool Rooms::KeepPresence(Occupant& occupant, Node& stanza) {
  DropRoomParts(stanza);
  ByteWriter out(payload_);
  WriteOccupantPresence(occupant, stanza, out);
  return out.ok() && out.size() <= kRoomPresenceMax &&
         chains_.Assign(occupant.presence, out.text());
}

void Rooms::WritePresence(const Occupant& of, const Occupant& to, std::string_view to_address,
                          const Notice& notice, ByteWriter& out) {
  const Room& room = *of.room;
  uint8_t nick_bytes[kResourceMax];
  uint8_t address_bytes[kAddressMax];
  const std::string_view nick = NickOf(of, nick_bytes);
  const std::string_view address = AddressOf(of, address_bytes);
  const bool is_self = of.nick_hash == to.nick_hash;
  out.Text("<presence from='");
  WriteEscaped(room.name.view(), out);
  out.Char('/');
  WriteEscaped(nick, out);
  out.Char('\'');
  WriteAttribute("to", to_address, out);
  out.Text(notice.gone ? " type='unavailable'>" : ">");
  if (!notice.gone || notice.codes[0] == 0) {
    (void)chains_.Copy(of.presence, 0, out.Reserve(of.presence.size));
  }
  out.Text("<x xmlns='http://jabber.org/protocol/muc#user'><item");
  WriteAttribute("affiliation", ToText(of.affiliation), out);
  const bool is_out = notice.gone && notice.codes[0] != 303;
  WriteAttribute("role", ToText(is_out ? Role::kNone : of.role), out);
  if (!Has(room, room::kAnonymous) || to.role == Role::kModerator || is_self) {
    WriteAttribute("jid", address, out);
  }
  if (!notice.new_nick.empty()) {
    WriteAttribute("nick", notice.new_nick, out);
  }
  out.Char('>');
  if (!notice.actor.empty()) {
    out.Text("<actor");
    WriteAttribute("nick", notice.actor, out);
    out.Text("/>");
  }
  if (!notice.reason.empty()) {
    out.Text("<reason>");
    WriteEscaped(notice.reason, out);
    out.Text("</reason>");
  }
  out.Text("</item>");
  const auto status = [&](uint32_t code) {
    out.Text("<status code='");
    out.Decimal(code);
    out.Text("'/>");
  };
  for (uint16_t code : notice.codes) {
    if (code != 0) {
      status(code);
    }
  }
  if (is_self) {
    status(110);
  }
  if (is_self && notice.entered) {
    if (!Has(room, room::kAnonymous)) {
      status(100);
    }
    if (IsArchived(room)) {
      status(170);
    }
    if (notice.created) {
      status(201);
    }
  }
  out.Text(notice.extra);
  out.Text("</x>");
  WriteOccupantId(room, BareOf(address), out);
  out.Text("</presence>");
}

// To everybody, itself last.
void Rooms::Broadcast(Occupant& of, const Notice& notice) {
  Room& room = *of.room;
  uint8_t nick_bytes[kResourceMax];
  const bool stays = notice.gone && FindNick(room, NickOf(of, nick_bytes), &of) != nullptr &&
                     notice.codes[0] != 303;
  for (Occupant& to : room.occupants) {
    if (&to == &of || of.hidden || stays) {
      continue;
    }
    uint8_t bytes[kAddressMax];
    ByteWriter out(copy_);
    WritePresence(of, to, AddressOf(to, bytes), notice, out);
    Send(to, out.written());
  }
  uint8_t bytes[kAddressMax];
  ByteWriter out(copy_);
  WritePresence(of, of, AddressOf(of, bytes), notice, out);
  Send(of, out.written());
}

// Of those who are there, to one who enters.
void Rooms::SendPresences(Room& room, Occupant& to) {
  uint8_t bytes[kAddressMax];
  const std::string_view address = AddressOf(to, bytes);
  for (Occupant& of : room.occupants) {
    if (&of == &to || of.hidden || of.nick_hash == to.nick_hash) {
      continue;
    }
    ByteWriter out(copy_);
    WritePresence(of, to, address, Notice(), out);
    Send(to, out.written());
  }
}

// Members and administrators who are not there.
void Rooms::SendAbsent(Room& room, Occupant& to) {
  uint8_t to_bytes[kAddressMax];
  const std::string_view to_address = AddressOf(to, to_bytes);
  for (Affiliate& affiliate : room.affiliates) {
    uint8_t bytes[kAddressMax];
    uint8_t nick_bytes[kResourceMax];
    const std::string_view bare = chains_.Text(affiliate.address, bytes);
    bool is_here = false;
    for (const Occupant& at : room.occupants) {
      uint8_t its_bytes[kAddressMax];
      const std::string_view its = AddressOf(at, its_bytes);
      is_here = is_here || BareOf(its) == bare;
    }
    if (affiliate.affiliation < Affiliation::kMember || is_here) {
      continue;
    }
    const std::string_view nick = affiliate.nick.empty() ? bare.substr(0, bare.find('@'))
                                                         : chains_.Text(affiliate.nick, nick_bytes);
    ByteWriter out(copy_);
    out.Text("<presence type='unavailable' from='");
    WriteEscaped(room.name.view(), out);
    out.Char('/');
    WriteEscaped(nick, out);
    out.Char('\'');
    WriteAttribute("to", to_address, out);
    out.Text("><x xmlns='http://jabber.org/protocol/muc#user'><item role='none'");
    WriteAttribute("affiliation", ToText(affiliate.affiliation), out);
    if (!Has(room, room::kAnonymous) || to.role == Role::kModerator) {
      WriteAttribute("jid", bare, out);
    }
    out.Text("/></x></presence>");
    Send(to, out.written());
  }
}

// Who comes and goes in a persistent room, where the operator wants it archived. Several sessions
// of one user are one occupant, and hidden ones are none.
void Rooms::ArchivePassage(Occupant& occupant, bool gone) {
  Room& room = *occupant.room;
  uint8_t nick_bytes[kResourceMax];
  uint8_t address_bytes[kAddressMax];
  const std::string_view nick = NickOf(occupant, nick_bytes);
  const std::string_view address = AddressOf(occupant, address_bytes);
  if (!room.kept || !rules_.archive_joins || !archive_.enabled() || occupant.hidden ||
      FindNick(room, nick, &occupant) != nullptr) {
    return;
  }
  ByteWriter out(copy_);
  out.Text("<presence from='");
  WriteEscaped(room.name.view(), out);
  out.Char('/');
  WriteEscaped(nick, out);
  out.Text("' xmlns='jabber:client'");
  out.Text(gone ? " type='unavailable'>" : ">");
  out.Text("<x xmlns='http://jabber.org/protocol/muc#user'><item");
  WriteAttribute("affiliation", ToText(occupant.affiliation), out);
  WriteAttribute("role", ToText(gone ? Role::kNone : occupant.role), out);
  out.Text("/></x>");
  WriteOccupantId(room, BareOf(address), out);
  out.Text("</presence>");
  if (out.ok() && archive_.Append(room.archive, host_.RoomTime(), nick, out.written()) != 0 &&
      !gone) {
    host_.OnKept(occupant.session, room.archive.commit);
  }
}

// --- Leaving -------------------------------------------------------------------------------------

void Rooms::Leave(Occupant& occupant, const Notice& notice) {
  Room& room = *occupant.room;
  room.used = host_.RoomTime();
  Broadcast(occupant, notice);
  ArchivePassage(occupant, true);
  const bool abandons = room.locked && occupant.affiliation == Affiliation::kOwner;
  FreeOccupant(occupant);
  if (abandons && room.occupants.empty()) {
    room.settings.flags &= ~room::kPersistent;
    Forget(room);
  }
  RemoveIfEmpty(room);
}

void Rooms::FreeOccupant(Occupant& occupant) {
  Room& room = *occupant.room;
  room.hidden_count -= occupant.hidden ? 1 : 0;
  room.occupants.Remove(occupant);
  if (occupant.session != nullptr) {
    occupant.session->rooms.Remove(occupant);
  }
  chains_.Free(occupant.nick);
  chains_.Free(occupant.address);
  chains_.Free(occupant.presence);
  occupants_.Release(&occupant);
}

void Rooms::OnGone(Session& session) {
  while (Occupant* occupant = session.rooms.front()) {
    chains_.Free(occupant->presence);
    Notice notice;
    notice.gone = true;
    Leave(*occupant, notice);
  }
}

}  // namespace gh::xmpp
