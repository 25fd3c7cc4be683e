// A room's configuration as its owners see and change it (XEP-0045 section 10), and its end.
//
// What an owner may change beside what is always his is the operator's to say
// (RoomRules::owners_change); a form that changes anything else is refused, one that repeats what
// is there is not.
#include <algorithm>
#include <charconv>

#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kFormType = "http://jabber.org/protocol/muc#roomconfig";

// Switches. Those named `inverse` are on in the form when the flag is off.
struct Switch {
  std::string_view var;
  std::string_view label;
  uint32_t flag;
  bool inverse;
};
constexpr Switch kSwitches[] = {
    {"muc#roomconfig_persistentroom", "The room stays when everybody has left", room::kPersistent,
     false},
    {"muc#roomconfig_publicroom", "The room is in the list of rooms", room::kListed, false},
    {"muc#roomconfig_membersonly", "The room is for members only", room::kMembersOnly, false},
    {"muc#roomconfig_allowinvites", "Members may invite into a room for members",
     room::kModeratorsInvite, true},
    {"gatehouse#roomconfig_selfregister", "Users may make themselves members", room::kSelfRegister,
     false},
    {"gatehouse#roomconfig_showabsent", "Members who are not there are shown", room::kShowAbsent,
     false},
    {"gatehouse#roomconfig_groupchat1", "Clients of Group Chat 1.0 may enter", room::kGroupchat1,
     false},
    {"gatehouse#roomconfig_stripxhtml", "Formatting is removed from messages", room::kStripXhtml,
     false},
    {"muc#roomconfig_moderatedroom", "Visitors need voice to speak", room::kModerated, false},
    {"muc#roomconfig_enablearchiving", "Messages are archived", room::kArchived, false},
    {"muc#roomconfig_passwordprotectedroom", "A password is needed to enter", room::kPassword,
     false},
};

std::string_view ValueOf(const Node& field) {
  const Node* value = field.Child("value", ns::kForm);
  return value != nullptr ? value->Text() : std::string_view();
}

bool IsTrue(std::string_view value) { return value == "1" || value == "true"; }

void StartField(std::string_view type, std::string_view var, std::string_view label,
                ByteWriter& out) {
  out.Text("<field");
  WriteAttribute("type", type, out);
  WriteAttribute("var", var, out);
  if (!label.empty()) {
    WriteAttribute("label", label, out);
  }
  out.Char('>');
}

void WriteField(std::string_view type, std::string_view var, std::string_view label,
                std::string_view value, ByteWriter& out) {
  StartField(type, var, label, out);
  out.Text("<value>");
  WriteEscaped(value, out);
  out.Text("</value></field>");
}

void WriteChoice(std::string_view var, std::string_view label, std::string_view value,
                 std::initializer_list<std::string_view> choices, ByteWriter& out) {
  StartField("list-single", var, label, out);
  out.Text("<value>");
  WriteEscaped(value, out);
  out.Text("</value>");
  for (std::string_view choice : choices) {
    out.Text("<option");
    WriteAttribute("label", choice, out);
    out.Text("><value>");
    out.Text(choice);
    out.Text("</value></option>");
  }
  out.Text("</field>");
}

void WriteNumber(std::string_view var, std::string_view label, uint32_t value, ByteWriter& out) {
  StartField("text-single", var, label, out);
  out.Text("<value>");
  out.Decimal(value);
  out.Text("</value></field>");
}

bool ReadNumber(std::string_view text, uint32_t least, uint32_t most, uint16_t& out) {
  uint32_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size() || value < least || value > most) {
    return false;
  }
  out = static_cast<uint16_t>(value);
  return true;
}

std::string_view PrivateText(Role role) {
  return role == Role::kModerator     ? "moderators"
         : role == Role::kParticipant ? "participants"
                                      : "anyone";
}

}  // namespace

void Rooms::OnOwner(const Speaker& speaker, const Node& stanza, const Node& query, Room& room,
                    bool is_set) {
  if (AffiliationOf(room, *speaker.from) != Affiliation::kOwner) {
    Refuse(speaker, stanza, "auth", "forbidden");
    return;
  }
  if (!is_set) {
    SendForm(speaker, stanza, room);
    return;
  }
  if (const Node* destroy = query.Child("destroy", ns::kRoomOwner)) {
    const Node* reason = destroy->Child("reason", ns::kRoomOwner);
    const Node* password = destroy->Child("password", ns::kRoomOwner);
    Answer(speaker, stanza, "");
    host_.OnRoomEvent(room.name.view(), speaker.from->bare(), "was destroyed");
    DestroyRoom(room, reason != nullptr ? Shortened(reason->Text(), kRoomReasonMax) : "",
                Shortened(destroy->Get("jid"), kAddressMax),
                password != nullptr ? Shortened(password->Text(), kRoomPasswordMax) : "");
    return;
  }
  const Node* form = query.Child("x", ns::kForm);
  if (form == nullptr) {
    Refuse(speaker, stanza, "modify", "bad-request");
  } else if (form->Get("type") == "cancel") {
    Answer(speaker, stanza, "");
    if (room.locked) {
      DestroyRoom(room, "its configuration was cancelled", {}, {});
    }
  } else {
    OnSubmit(speaker, stanza, *form, room);
  }
}

void Rooms::SendForm(const Speaker& speaker, const Node& stanza, Room& room) {
  const RoomSettings& now = room.settings;
  uint8_t bytes[kRoomDescriptionMax];
  ByteWriter out(payload_);
  out.Text(
      "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='form'>"
      "<title>Room configuration</title>");
  WriteField("hidden", "FORM_TYPE", {}, kFormType, out);
  WriteField("text-single", "muc#roomconfig_roomname", "Name", chains_.Text(room.title, bytes),
             out);
  WriteField("text-single", "muc#roomconfig_roomdesc", "Description",
             chains_.Text(room.description, bytes), out);
  for (const Switch& each : kSwitches) {
    WriteField("boolean", each.var, each.label,
               ((now.flags & each.flag) != 0) != each.inverse ? "1" : "0", out);
  }
  WriteField("text-private", "muc#roomconfig_roomsecret", "Password",
             chains_.Text(room.password, bytes), out);
  WriteChoice("muc#roomconfig_whois", "Who sees addresses",
              (now.flags & room::kAnonymous) != 0 ? "moderators" : "anyone",
              {"moderators", "anyone"}, out);
  WriteField("boolean", "muc#roomconfig_changesubject", "Participants may change the subject",
             now.subject_role == Role::kModerator ? "0" : "1", out);
  WriteChoice("muc#roomconfig_allowpm", "Who may send private messages",
              PrivateText(now.private_role), {"anyone", "participants", "moderators"}, out);
  WriteChoice("gatehouse#roomconfig_inviterole", "Lowest role that invites",
              ToText(now.invite_role), {"visitor", "participant", "moderator"}, out);
  WriteNumber("muc#roomconfig_maxusers", "Occupants at a time", now.occupant_max, out);
  WriteNumber("muc#roomconfig_historylength", "Messages shown to who enters", now.history, out);
  for (const Affiliation which : {Affiliation::kAdmin, Affiliation::kOwner}) {
    StartField(
        "jid-multi",
        which == Affiliation::kAdmin ? "muc#roomconfig_roomadmins" : "muc#roomconfig_roomowners",
        which == Affiliation::kAdmin ? "Administrators" : "Owners", out);
    for (Affiliate& affiliate : room.affiliates) {
      uint8_t address[kAddressMax];
      if (affiliate.affiliation == which) {
        out.Text("<value>");
        WriteEscaped(chains_.Text(affiliate.address, address), out);
        out.Text("</value>");
      }
    }
    out.Text("</field>");
  }
  out.Text("</x></query>");
  Answer(speaker, stanza, out.ok() ? out.text() : "");
}

// --- Submission ----------------------------------------------------------------------------------

const char* Rooms::ReadForm(const Node& form, const Room& room, NewSettings& out) {
  out.settings = room.settings;
  RoomSettings& to = out.settings;
  for (const Node* field = form.FirstElement(); field != nullptr; field = field->NextElement()) {
    const std::string_view var = field->Get("var");
    const std::string_view value = ValueOf(*field);
    const auto* found =
        std::ranges::find_if(kSwitches, [&](const Switch& each) { return each.var == var; });
    bool read = true;
    if (found != std::end(kSwitches)) {
      to.flags = IsTrue(value) != found->inverse ? to.flags | found->flag : to.flags & ~found->flag;
    } else if (var == "muc#roomconfig_roomname") {
      out.title = value;
      out.has_title = true;
      read = value.size() <= kRoomTitleMax;
    } else if (var == "muc#roomconfig_roomdesc") {
      out.description = value;
      out.has_description = true;
      read = value.size() <= kRoomDescriptionMax;
    } else if (var == "muc#roomconfig_roomsecret") {
      out.password = value;
      out.has_password = true;
      read = value.size() <= kRoomPasswordMax;
    } else if (var == "muc#roomconfig_whois") {
      read = value == "anyone" || value == "moderators";
      to.flags = value == "anyone" ? to.flags & ~room::kAnonymous : to.flags | room::kAnonymous;
    } else if (var == "muc#roomconfig_changesubject") {
      to.subject_role = IsTrue(value) ? Role::kParticipant : Role::kModerator;
    } else if (var == "muc#roomconfig_allowpm") {
      read = value == "anyone" || value == "participants" || value == "moderators";
      to.private_role = value == "anyone"         ? Role::kVisitor
                        : value == "participants" ? Role::kParticipant
                                                  : Role::kModerator;
    } else if (var == "gatehouse#roomconfig_inviterole") {
      read = value == "visitor" || value == "participant" || value == "moderator";
      to.invite_role = value == "visitor"       ? Role::kVisitor
                       : value == "participant" ? Role::kParticipant
                                                : Role::kModerator;
    } else if (var == "muc#roomconfig_maxusers") {
      read = value.empty() || value == "none" ||
             ReadNumber(value, 1, rules_.occupant_max, to.occupant_max);
    } else if (var == "muc#roomconfig_historylength" || var == "muc#maxhistoryfetch") {
      read = ReadNumber(value, 0, rules_.history_max, to.history);
    } else if (var == "muc#roomconfig_roomowners") {
      out.owners = field;
    } else if (var == "muc#roomconfig_roomadmins") {
      out.admins = field;
    }
    if (!read) {
      return "not-acceptable";
    }
  }
  return nullptr;
}

// Null, or why not.
const char* Rooms::MayApply(const Speaker& speaker, const Room& room, const NewSettings& wanted) {
  const RoomSettings& now = room.settings;
  const RoomSettings& then = wanted.settings;
  const bool is_administrator = IsAdministrator(speaker.from->bare());
  uint32_t changed = now.flags ^ then.flags;
  changed |= now.invite_role != then.invite_role ? room::kInviteRole : 0;
  changed |= now.private_role != then.private_role ? room::kPrivateRole : 0;
  changed |= now.subject_role != then.subject_role ? room::kSubjectRole : 0;
  changed |= now.occupant_max != then.occupant_max ? room::kOccupancy : 0;
  changed |= now.history != then.history ? room::kHistory : 0;
  if (!is_administrator && (changed & ~(rules_.owners_change | room::kAlwaysFree)) != 0) {
    return "the operator does not let owners change this setting";
  }
  if ((changed & then.flags & room::kPersistent) == 0) {
    return nullptr;
  }
  if (!rules_.persistent) {
    return "there are no persistent rooms here";
  }
  if (rules_.administrators_alone && !is_administrator) {
    return "only administrators make persistent rooms";
  }
  return persistent_count_ >= rules_.persistent_max ? "there are as many persistent rooms as may be"
                                                    : nullptr;
}

void Rooms::OnSubmit(const Speaker& speaker, const Node& stanza, const Node& form, Room& room) {
  NewSettings wanted;
  if (const char* refused = ReadForm(form, room, wanted)) {
    Refuse(speaker, stanza, "modify", refused, "a value is out of its bounds");
    return;
  }
  if (const char* why = MayApply(speaker, room, wanted)) {
    Refuse(speaker, stanza, "cancel", "not-allowed", why);
    return;
  }
  const bool has_password = wanted.has_password ? !wanted.password.empty() : !room.password.empty();
  if ((wanted.settings.flags & room::kPassword) != 0 && !has_password) {
    Refuse(speaker, stanza, "modify", "not-acceptable", "a password is needed");
    return;
  }
  const RoomSettings before = room.settings;
  const bool was_kept = room.kept;
  room.settings = wanted.settings;
  const bool fits =
      (!wanted.has_title || chains_.Assign(room.title, wanted.title)) &&
      (!wanted.has_description || chains_.Assign(room.description, wanted.description)) &&
      (!wanted.has_password || chains_.Assign(room.password, wanted.password));
  if (!fits || !Keep(room)) {
    room.settings = before;
    Refuse(speaker, stanza, "wait", "internal-server-error", "it cannot be kept now");
    return;
  }
  if (was_kept && !Has(room, room::kPersistent)) {
    Forget(room);
  }
  const bool was_locked = std::exchange(room.locked, false);
  Answer(speaker, stanza, "");
  const Handle handle = rooms_.HandleOf(room);
  (void)ApplyList(room, wanted.owners, Affiliation::kOwner);
  if (rooms_.Resolve(handle) != nullptr) {
    (void)ApplyList(room, wanted.admins, Affiliation::kAdmin);
  }
  if (rooms_.Resolve(handle) != nullptr && !was_locked) {
    OnSettings(room, before);
  }
  if (rooms_.Resolve(handle) != nullptr) {
    RemoveIfEmpty(room);
  }
}

// What occupants learn of new settings, and who has to go.
void Rooms::OnSettings(Room& room, const RoomSettings& before) {
  const uint32_t changed = before.flags ^ room.settings.flags;
  uint16_t codes[3] = {104};
  uint32_t count = 1;
  if ((changed & room::kArchived) != 0) {
    codes[count++] = Has(room, room::kArchived) ? 170 : 171;
  }
  if ((changed & room::kAnonymous) != 0) {
    codes[count++] = Has(room, room::kAnonymous) ? 173 : 172;
  }
  SendStatus(room, std::span(codes).first(count));
  if ((changed & room::kModerated) != 0) {
    for (Occupant& at : room.occupants) {
      if (at.affiliation == Affiliation::kNone && at.role != Role::kModerator) {
        at.role = RoleFor(room, at.affiliation);
        Broadcast(at, Notice());
      }
    }
  }
  const Handle handle = rooms_.HandleOf(room);
  const bool closes = (changed & room.settings.flags & room::kMembersOnly) != 0;
  for (Occupant* at = closes ? room.occupants.front() : nullptr; at != nullptr;) {
    Occupant* next = room.occupants.Next(*at);
    if (at->affiliation < Affiliation::kMember) {
      Notice notice;
      notice.gone = true;
      notice.codes[0] = 322;
      Leave(*at, notice);
    }
    if (rooms_.Resolve(handle) == nullptr) {
      return;
    }
    at = next;
  }
}

// Owners or administrators, as the form has them; those who are not named lose it.
bool Rooms::ApplyList(Room& room, const Node* field, Affiliation affiliation) {
  if (field == nullptr) {
    return true;
  }
  const auto is_named = [&](std::string_view bare) {
    for (const Node* value = field->FirstElement(); value != nullptr;
         value = value->NextElement()) {
      const auto address = Address::Parse(value->Text());
      if (address.ok() && address->bare() == bare) {
        return true;
      }
    }
    return false;
  };
  const Handle handle = rooms_.HandleOf(room);
  uint32_t count = 0;
  for (const Node* value = field->FirstElement(); value != nullptr && count++ < kRoomChangesMax;
       value = value->NextElement()) {
    const auto address = Address::Parse(value->Text());
    Change change;
    change.affiliation = affiliation;
    if (address.ok() && !address->local().empty() &&
        AffiliationOf(room, *address) != Affiliation::kOwner) {
      change.address.Assign(address->bare());
      (void)MakeAffiliation(room, change, {});
    }
  }
  for (Affiliate* at = room.affiliates.front(); at != nullptr;) {
    Affiliate* next = room.affiliates.Next(*at);
    uint8_t bytes[kAddressMax];
    Change change;
    change.address.Assign(chains_.Text(at->address, bytes));
    change.affiliation =
        affiliation == Affiliation::kOwner ? Affiliation::kAdmin : Affiliation::kNone;
    if (at->affiliation == affiliation && !is_named(change.address.view()) &&
        (affiliation != Affiliation::kOwner || OwnerCount(room) > 1)) {
      (void)MakeAffiliation(room, change, {});
      if (rooms_.Resolve(handle) == nullptr) {
        return true;
      }
    }
    at = next;
  }
  return true;
}

// --- The end -------------------------------------------------------------------------------------

void Rooms::DestroyRoom(Room& room, std::string_view reason, std::string_view venue,
                        std::string_view password) {
  uint8_t bytes[6 * (kRoomReasonMax + kAddressMax + kRoomPasswordMax) + 128];
  ByteWriter extra(bytes);
  extra.Text("<destroy");
  if (!venue.empty()) {
    WriteAttribute("jid", venue, extra);
  }
  extra.Text("><reason>");
  WriteEscaped(reason, extra);
  extra.Text("</reason>");
  if (!password.empty()) {
    extra.Text("<password>");
    WriteEscaped(password, extra);
    extra.Text("</password>");
  }
  extra.Text("</destroy>");
  for (Occupant& at : room.occupants) {
    uint8_t address[kAddressMax];
    Notice notice;
    notice.gone = true;
    notice.codes[0] = 0;
    notice.extra = extra.text();
    chains_.Free(at.presence);
    at.affiliation = Affiliation::kNone;
    ByteWriter out(copy_);
    WritePresence(at, at, AddressOf(at, address), notice, out);
    Send(at, out.written());
  }
  while (Occupant* at = room.occupants.front()) {
    FreeOccupant(*at);
  }
  ++counters_.destroyed;
  Remove(room);
}

}  // namespace gh::xmpp
