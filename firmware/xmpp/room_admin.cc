// Who may do what in a room: roles while they are in it, affiliations for good (XEP-0045 sections
// 5, 8, 9 and 7.10). A query's changes are all looked at before the first is made.
#include <algorithm>

#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kAdminStart = "<query xmlns='http://jabber.org/protocol/muc#admin'>";

std::string_view TypeOf(std::string_view condition) {
  if (condition == "forbidden") {
    return "auth";
  }
  if (condition == "resource-constraint") {
    return "wait";
  }
  return condition == "bad-request" || condition == "jid-malformed" ? "modify" : "cancel";
}

bool ReadRole(std::string_view text, Role& out) {
  for (uint8_t i = 0; i <= static_cast<uint8_t>(Role::kModerator); ++i) {
    if (ToText(static_cast<Role>(i)) == text) {
      out = static_cast<Role>(i);
      return true;
    }
  }
  return false;
}

bool ReadAffiliation(std::string_view text, Affiliation& out) {
  for (uint8_t i = 0; i <= static_cast<uint8_t>(Affiliation::kOwner); ++i) {
    if (ToText(static_cast<Affiliation>(i)) == text) {
      out = static_cast<Affiliation>(i);
      return true;
    }
  }
  return false;
}

}  // namespace

void Rooms::OnAdmin(const Speaker& speaker, const Node& stanza, const Node& query, Room& room) {
  const Node* item = query.FirstElement();
  if (item == nullptr || !item->Is("item", ns::kRoomAdmin)) {
    Refuse(speaker, stanza, "modify", "bad-request");
    return;
  }
  if (stanza.Get("type") == "get") {
    ListAffiliates(speaker, stanza, *item, room);
    return;
  }
  Occupant* actor = FindOccupant(room, speaker);
  const Affiliation actors = AffiliationOf(room, *speaker.from);
  uint32_t count = 0;
  for (const Node* at = item; at != nullptr; at = at->NextElement()) {
    Change change;
    const char* refused = ++count > kRoomChangesMax ? "resource-constraint"
                                                    : ReadChange(*at, room, actor, actors, change);
    if (refused != nullptr) {
      Refuse(speaker, stanza, TypeOf(refused), refused);
      return;
    }
  }
  uint8_t nick_bytes[kResourceMax];
  FixedString<kResourceMax> nick;
  if (actor != nullptr) {
    nick.Assign(NickOf(*actor, nick_bytes));
  }
  const Handle handle = rooms_.HandleOf(room);
  bool kept = true;
  for (const Node* at = item; at != nullptr && rooms_.Resolve(handle) != nullptr && kept;
       at = at->NextElement()) {
    Change change;
    actor = FindOccupant(room, speaker);
    if (ReadChange(*at, room, actor, actors, change) != nullptr) {
      continue;  // a change before it took its ground
    }
    if (change.is_role) {
      MakeRole(room, change, nick.view());
    } else {
      kept = MakeAffiliation(room, change, nick.view());
    }
  }
  if (!kept) {
    Refuse(speaker, stanza, "wait", "resource-constraint");
    return;
  }
  Answer(speaker, stanza, "");
}

// --- Lists ---------------------------------------------------------------------------------------

void Rooms::ListAffiliates(const Speaker& speaker, const Node& stanza, const Node& item,
                           Room& room) {
  Occupant* actor = FindOccupant(room, speaker);
  const Affiliation actors = AffiliationOf(room, *speaker.from);
  Role role = Role::kNone;
  Affiliation wanted = Affiliation::kNone;
  const bool by_role = ReadRole(item.Get("role"), role);
  if (!by_role && !ReadAffiliation(item.Get("affiliation"), wanted)) {
    Refuse(speaker, stanza, "modify", "bad-request");
    return;
  }
  const bool is_open = wanted == Affiliation::kMember && Has(room, room::kMembersOnly) &&
                       !Has(room, room::kAnonymous) && actors >= Affiliation::kMember;
  const bool may = by_role ? actor != nullptr && actor->role == Role::kModerator
                           : actors >= Affiliation::kAdmin || is_open;
  if (!may) {
    Refuse(speaker, stanza, "auth", "forbidden");
    return;
  }
  ByteWriter out(payload_);
  out.Text(kAdminStart);
  for (Occupant& at : room.occupants) {
    uint8_t bytes[kAddressMax];
    uint8_t nick_bytes[kResourceMax];
    if (!by_role || at.role != role || at.hidden) {
      continue;
    }
    out.Text("<item");
    WriteAttribute("affiliation", ToText(at.affiliation), out);
    WriteAttribute("role", ToText(at.role), out);
    WriteAttribute("nick", NickOf(at, nick_bytes), out);
    WriteAttribute("jid", AddressOf(at, bytes), out);
    out.Text("/>");
  }
  for (Affiliate& at : room.affiliates) {
    uint8_t bytes[kAddressMax];
    uint8_t nick_bytes[kResourceMax];
    if (by_role || at.affiliation != wanted) {
      continue;
    }
    out.Text("<item");
    WriteAttribute("affiliation", ToText(at.affiliation), out);
    WriteAttribute("jid", chains_.Text(at.address, bytes), out);
    if (!at.nick.empty()) {
      WriteAttribute("nick", chains_.Text(at.nick, nick_bytes), out);
    }
    out.Text("/>");
  }
  out.Text("</query>");
  if (!out.ok()) {
    Refuse(speaker, stanza, "wait", "resource-constraint");
    return;
  }
  Answer(speaker, stanza, out.text());
}

// --- Changes -------------------------------------------------------------------------------------

const char* Rooms::ReadChange(const Node& item, Room& room, Occupant* actor, Affiliation actors,
                              Change& out) {
  if (!item.Is("item", ns::kRoomAdmin)) {
    return "bad-request";
  }
  const Node* reason = item.Child("reason", ns::kRoomAdmin);
  out.reason = reason != nullptr ? Shortened(reason->Text(), kRoomReasonMax) : "";
  out.nick = item.Get("nick").size() <= kResourceMax ? item.Get("nick") : "";
  out.is_role = item.Find("role") != nullptr;
  if (out.is_role) {
    out.occupant = FindNick(room, out.nick);
    if (!ReadRole(item.Get("role"), out.role)) {
      return "bad-request";
    }
    return out.occupant == nullptr ? "item-not-found" : MayChange(out, room, actor, actors);
  }
  if (!ReadAffiliation(item.Get("affiliation"), out.affiliation)) {
    return "bad-request";
  }
  if (item.Find("jid") == nullptr) {
    out.occupant = FindNick(room, out.nick);
    if (out.occupant == nullptr) {
      return out.nick.empty() ? "bad-request" : "item-not-found";
    }
    uint8_t bytes[kAddressMax];
    out.address.Assign(BareOf(AddressOf(*out.occupant, bytes)));
    out.nick = {};
  } else {
    const auto address = Address::Parse(item.Get("jid"));
    if (!address.ok()) {
      return "jid-malformed";
    }
    out.address.Assign(address->bare());
  }
  return MayChange(out, room, actor, actors);
}

// Null: `actor` may. Section 5.1.2 and 5.2.2 have the tables.
const char* Rooms::MayChange(const Change& change, Room& room, Occupant* actor,
                             Affiliation actors) {
  if (change.is_role) {
    const Occupant& target = *change.occupant;
    if (actor == nullptr || actor->role != Role::kModerator) {
      return "forbidden";
    }
    const bool about_moderators =
        change.role == Role::kModerator || target.role == Role::kModerator;
    if (about_moderators && actors < Affiliation::kAdmin) {
      return "not-allowed";
    }
    const bool is_protected = target.affiliation >= Affiliation::kAdmin;
    if (change.role == Role::kNone) {
      return target.affiliation > actors || (is_protected && target.affiliation == actors)
                 ? "not-allowed"
                 : nullptr;
    }
    return is_protected && change.role != Role::kModerator ? "not-allowed" : nullptr;
  }
  const auto who = Address::Parse(change.address.view());
  const Affiliation before = who.ok() ? AffiliationOf(room, *who) : Affiliation::kNone;
  if (actors < Affiliation::kAdmin) {
    return "forbidden";
  }
  if (actors < Affiliation::kOwner &&
      (before >= Affiliation::kAdmin || change.affiliation >= Affiliation::kAdmin)) {
    return "not-allowed";
  }
  if (IsAdministrator(change.address.view()) && change.affiliation != Affiliation::kOwner) {
    return "not-allowed";
  }
  uint8_t bytes[kAddressMax];
  const bool is_self =
      actor != nullptr && BareOf(AddressOf(*actor, bytes)) == change.address.view();
  if (change.affiliation == Affiliation::kOutcast && is_self) {
    return "conflict";
  }
  const Affiliate* own = FindAffiliate(room, change.address.view());
  const bool is_owner = own != nullptr && own->affiliation == Affiliation::kOwner;
  return is_owner && change.affiliation != Affiliation::kOwner && OwnerCount(room) == 1
             ? "conflict"  // a room has an owner
             : nullptr;
}

void Rooms::MakeRole(Room& room, const Change& change, std::string_view actor) {
  const uint64_t hash = change.occupant->nick_hash;
  const Handle handle = rooms_.HandleOf(room);
  Notice notice;
  notice.reason = change.reason;
  notice.actor = actor;
  if (change.role != Role::kNone) {
    for (Occupant& at : room.occupants) {
      if (at.nick_hash == hash && at.role != change.role) {
        at.role = change.role;
        Broadcast(at, notice);
      }
    }
    return;
  }
  notice.gone = true;
  notice.codes[0] = 307;
  for (Occupant* at = room.occupants.front(); at != nullptr;) {
    Occupant* next = room.occupants.Next(*at);
    if (at->nick_hash == hash) {
      Leave(*at, notice);
    }
    if (rooms_.Resolve(handle) == nullptr) {
      return;
    }
    at = next;
  }
}

bool Rooms::MakeAffiliation(Room& room, const Change& change, std::string_view actor) {
  const std::string_view bare = change.address.view();
  if (!SetAffiliation(room, bare, change.affiliation, change.nick)) {
    return false;
  }
  const Handle handle = rooms_.HandleOf(room);
  const bool is_domain = bare.find('@') == std::string_view::npos;
  for (Occupant* at = room.occupants.front(); at != nullptr;) {
    Occupant* next = room.occupants.Next(*at);
    uint8_t bytes[kAddressMax];
    const std::string_view its = BareOf(AddressOf(*at, bytes));
    if (its == bare || (is_domain && its.substr(its.find('@') + 1) == bare)) {
      const auto who = Address::Parse(its);
      const Affiliation now = who.ok() ? AffiliationOf(room, *who) : Affiliation::kNone;
      const bool is_banned = now == Affiliation::kOutcast;
      Notice notice;
      notice.reason = change.reason;
      notice.actor = actor;
      notice.gone = is_banned || (Has(room, room::kMembersOnly) && now < Affiliation::kMember);
      notice.codes[0] = is_banned ? 301 : notice.gone ? 321 : 0;
      const bool changes = at->affiliation != now;
      at->affiliation = now;
      if (notice.gone) {
        Leave(*at, notice);
      } else if (changes) {
        at->role =
            std::max(RoleFor(room, now), at->role == Role::kModerator && now < Affiliation::kAdmin
                                             ? Role::kParticipant
                                             : Role::kVisitor);
        Broadcast(*at, notice);
      }
    }
    if (rooms_.Resolve(handle) == nullptr) {
      return true;
    }
    at = next;
  }
  return true;
}

// --- Registration (section 7.10) -----------------------------------------------------------------

void Rooms::OnRegister(const Speaker& speaker, const Node& stanza, const Node& query, Room& room,
                       bool is_set) {
  const std::string_view bare = speaker.from->bare();
  const Affiliation now = AffiliationOf(room, *speaker.from);
  if (now == Affiliation::kOutcast) {
    Refuse(speaker, stanza, "auth", "forbidden");
    return;
  }
  if (now < Affiliation::kMember && !Has(room, room::kSelfRegister)) {
    Refuse(speaker, stanza, "cancel", "not-allowed");
    return;
  }
  const Affiliate* own = FindAffiliate(room, bare);
  if (!is_set) {
    uint8_t bytes[kResourceMax];
    ByteWriter out(payload_);
    out.Text("<query xmlns='jabber:iq:register'>");
    if (own != nullptr && !own->nick.empty()) {
      out.Text("<registered/><username>");
      WriteEscaped(chains_.Text(own->nick, bytes), out);
      out.Text("</username>");
    }
    out.Text(
        "<x xmlns='jabber:x:data' type='form'><field type='hidden' var='FORM_TYPE'>"
        "<value>http://jabber.org/protocol/muc#register</value></field>"
        "<field type='text-single' var='muc#register_roomnick' label='Nick'><required/></field>"
        "</x></query>");
    Answer(speaker, stanza, out.text());
    return;
  }
  const bool leaves = query.Child("remove", ns::kRegister) != nullptr;
  FixedString<kResourceMax> nick;
  const Node* form = query.Child("x", ns::kForm);
  for (const Node* field = form != nullptr ? form->FirstElement() : nullptr; field != nullptr;
       field = field->NextElement()) {
    const Node* value = field->Child("value", ns::kForm);
    if (field->Get("var") == "muc#register_roomnick" && value != nullptr) {
      (void)PrepareResource(value->Text(), nick);
    }
  }
  if (!leaves && nick.empty()) {
    Refuse(speaker, stanza, "modify", "not-acceptable");
    return;
  }
  if (!leaves && IsReserved(room, nick.view(), bare)) {
    Refuse(speaker, stanza, "cancel", "conflict");
    return;
  }
  Change change;
  change.address.Assign(bare);
  change.affiliation = leaves ? Affiliation::kNone : std::max(now, Affiliation::kMember);
  change.nick = nick.view();
  if (leaves && now >= Affiliation::kAdmin) {
    Refuse(speaker, stanza, "cancel", "not-allowed");
    return;
  }
  if (!MakeAffiliation(room, change, {})) {
    Refuse(speaker, stanza, "wait", "resource-constraint");
    return;
  }
  Answer(speaker, stanza, "");
}

}  // namespace gh::xmpp
