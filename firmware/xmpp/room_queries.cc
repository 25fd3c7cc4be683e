// What is asked of rooms: by disco, of their archives, of occupants through the room (XEP-0045
// section 6 and 17.4, XEP-0313, XEP-0410).
#include <charconv>

#include "firmware/xmpp/archive_query.h"
#include "firmware/xmpp/engine.h"
#include "firmware/xmpp/row_key.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kInfoStart = "<query xmlns='http://jabber.org/protocol/disco#info'>";
constexpr std::string_view kHostInfo =
    "<query xmlns='http://jabber.org/protocol/disco#info'>"
    "<identity category='conference' type='text' name='Rooms'/>"
    "<feature var='http://jabber.org/protocol/disco#info'/>"
    "<feature var='http://jabber.org/protocol/disco#items'/>"
    "<feature var='http://jabber.org/protocol/muc'/>"
    "<feature var='http://jabber.org/protocol/rsm'/><feature var='urn:xmpp:ping'/>"
    "<feature var='vcard-temp'/>"
    "<feature var='urn:xmpp:occupant-id:0'/></query>";

void WriteFeature(std::string_view name, ByteWriter& out) {
  out.Text("<feature var='");
  out.Text(name);
  out.Text("'/>");
}

// A query of one of several sessions under a nick says in its id which of them asked: the answer
// brings it back. A hash of 16 digits stands between these.
constexpr std::string_view kAskerStart = "asker-";
constexpr size_t kAskerSize = kAskerStart.size() + 16 + 1;
constexpr size_t kAskedIdMax = 256;  // a longer id stays as it is
using AskedId = FixedString<kAskerSize + kAskedIdMax>;

void SetId(Node& stanza, std::string_view id) {
  for (uint32_t i = 0; i < stanza.attribute_count; ++i) {
    Attribute& attribute = stanza.attributes[i];
    if (attribute.space.empty() && attribute.name == "id") {
      attribute.value = id;
    }
  }
}

// `id` has what is written then.
void NameAsker(const Occupant& asker, Node& stanza, AskedId& id) {
  if (stanza.Get("id").size() > kAskedIdMax) {
    return;
  }
  uint8_t bytes[kAskerSize];
  ByteWriter head(bytes);
  head.Text(kAskerStart);
  head.Hex(asker.address_hash, 16);
  head.Char('-');
  id.Assign(head.text());
  id.Append(stanza.Get("id"));
  SetId(stanza, id.view());
}

// Of the sessions under the nick, whose query this answers; its id is the asker's again.
Occupant* TakeAsker(Room& room, const Occupant& first, Node& stanza) {
  const std::string_view id = stanza.Get("id");
  uint64_t hash = 0;
  if (id.size() < kAskerSize || !id.starts_with(kAskerStart) || id[kAskerSize - 1] != '-' ||
      !ReadHex(id.substr(kAskerStart.size(), 16), hash)) {
    return nullptr;
  }
  for (Occupant& each : room.occupants) {
    if (each.nick_hash == first.nick_hash && each.address_hash == hash) {
      SetId(stanza, id.substr(kAskerSize));
      return &each;
    }
  }
  return nullptr;
}

void WriteInfo(std::string_view var, std::string_view value, ByteWriter& out) {
  out.Text("<field");
  WriteAttribute("var", var, out);
  out.Text("><value>");
  WriteEscaped(value, out);
  out.Text("</value></field>");
}

}  // namespace

void Rooms::OnQuery(const Speaker& speaker, Node& stanza, const Address& to) {
  const std::string_view type = stanza.Get("type");
  const bool asks = type == "get" || type == "set";
  const Node* query = stanza.FirstElement();
  if (stanza.Find("id") == nullptr || (asks && query == nullptr) ||
      (!asks && type != "result" && type != "error")) {
    Refuse(speaker, stanza, "modify", "bad-request");
    return;
  }
  Room* room = to.local().empty() ? nullptr : Find(to.bare());
  if (to.has_resource()) {
    if (room != nullptr) {
      OnOccupantQuery(speaker, stanza, *room, to);
    } else {
      Refuse(speaker, stanza, "cancel", "item-not-found");
    }
    return;
  }
  if (!asks) {
    return;
  }
  if (to.local().empty()) {
    OnHostQuery(speaker, stanza, *query);
  } else if (room == nullptr ||
             (room->locked && AffiliationOf(*room, *speaker.from) != Affiliation::kOwner)) {
    Refuse(speaker, stanza, "cancel", "item-not-found");
  } else {
    OnRoomQuery(speaker, stanza, *query, *room);
  }
}

// --- The host ------------------------------------------------------------------------------------

void Rooms::OnHostQuery(const Speaker& speaker, const Node& stanza, const Node& query) {
  const bool is_get = stanza.Get("type") == "get";
  if (is_get && query.Is("query", ns::kInfo) && query.Get("node").empty()) {
    Answer(speaker, stanza, kHostInfo);
  } else if (is_get && query.Is("query", ns::kItems)) {
    ListRooms(speaker, stanza, query);
  } else if (is_get && query.Is("ping", ns::kPing)) {
    Answer(speaker, stanza, "");
  } else {
    Refuse(speaker, stanza, "cancel", "service-unavailable");
  }
}

// Pages by XEP-0059, whose ids are rooms' names.
void Rooms::ListRooms(const Speaker& speaker, const Node& stanza, const Node& query) {
  const auto host = Address::Parse(stanza.Get("to"));
  const Node* set = query.Child("set", ns::kPages);
  const Node* most = set != nullptr ? set->Child("max", ns::kPages) : nullptr;
  const Node* after = set != nullptr ? set->Child("after", ns::kPages) : nullptr;
  uint32_t max = set != nullptr ? kRoomsListedMax / 4 : UINT32_MAX;
  if (most != nullptr) {
    const std::string_view text = most->Text();
    (void)std::from_chars(text.data(), text.data() + text.size(), max);
    max = std::min(max, kRoomsListedMax);
  }
  uint32_t index = 0;
  if (after != nullptr && !after->Text().empty()) {
    const Room* last = Find(after->Text());
    if (last == nullptr) {
      Refuse(speaker, stanza, "cancel", "item-not-found");
      return;
    }
    index = rooms_.IndexOf(*last) + 1;
  }
  ByteWriter out(payload_);
  out.Text("<query xmlns='http://jabber.org/protocol/disco#items'>");
  std::string_view first;
  std::string_view last;
  for (uint32_t count = 0; index < rooms_.capacity() && count < max; ++index) {
    Room* room = rooms_.At(index);
    const std::string_view full_name = room != nullptr ? room->name.view() : "";
    const bool is_here = room != nullptr && host.ok() && !room->locked &&
                         full_name.substr(full_name.find('@') + 1) == host->full();
    if (!is_here || (!Has(*room, room::kListed) &&
                     AffiliationOf(*room, *speaker.from) < Affiliation::kMember)) {
      continue;
    }
    if (out.room() < 6 * (kRoomNameMax + kRoomTitleMax) + 2 * kRoomNameMax + 512) {
      break;  // no more fits into one stanza
    }
    uint8_t title_bytes[kRoomTitleMax];
    const std::string_view name = room->name.view();
    const std::string_view title = chains_.Text(room->title, title_bytes);
    out.Text("<item");
    WriteAttribute("jid", name, out);
    WriteAttribute("name", title.empty() ? name.substr(0, name.find('@')) : title, out);
    out.Text("/>");
    first = first.empty() ? name : first;
    last = name;
    ++count;
  }
  if (set != nullptr) {
    out.Text("<set xmlns='http://jabber.org/protocol/rsm'>");
    if (!first.empty()) {
      out.Text("<first>");
      WriteEscaped(first, out);
      out.Text("</first><last>");
      WriteEscaped(last, out);
      out.Text("</last>");
    }
    out.Text("</set>");
  }
  out.Text("</query>");
  Answer(speaker, stanza, out.text());
}

// --- A room --------------------------------------------------------------------------------------

void Rooms::OnRoomQuery(const Speaker& speaker, Node& stanza, const Node& query, Room& room) {
  const bool is_set = stanza.Get("type") == "set";
  if (query.Is("query", ns::kRoomAdmin)) {
    OnAdmin(speaker, stanza, query, room);
  } else if (query.Is("query", ns::kRoomOwner)) {
    OnOwner(speaker, stanza, query, room, is_set);
  } else if (query.Is("query", ns::kRegister)) {
    OnRegister(speaker, stanza, query, room, is_set);
  } else if (query.space == ns::kArchive) {
    OnArchiveQuery(speaker, stanza, query, room);
  } else if (query.Is("vCard", ns::kVcard)) {
    OnCard(speaker, stanza, query, room, is_set);
  } else if (is_set && query.Is("moderate", ns::kModerate)) {
    OnModerate(speaker, stanza, query, room);
  } else if (!is_set && query.Is("query", ns::kInfo)) {
    DescribeRoom(speaker, stanza, room);
  } else if (!is_set && query.Is("query", ns::kItems)) {
    ByteWriter out(payload_);
    out.Text("<query xmlns='http://jabber.org/protocol/disco#items'>");
    const bool may = FindOccupant(room, speaker) != nullptr;
    for (Occupant& at : room.occupants) {
      uint8_t bytes[kResourceMax];
      if (may && !at.hidden) {
        out.Text("<item jid='");
        WriteEscaped(room.name.view(), out);
        out.Char('/');
        WriteEscaped(NickOf(at, bytes), out);
        out.Text("'/>");
      }
    }
    out.Text("</query>");
    Answer(speaker, stanza, out.text());
  } else if (!is_set && query.Is("ping", ns::kPing)) {
    Answer(speaker, stanza, "");
  } else {
    Refuse(speaker, stanza, "cancel", "service-unavailable");
  }
}

void Rooms::DescribeRoom(const Speaker& speaker, const Node& stanza, Room& room) {
  const Node* query = stanza.FirstElement();
  uint8_t bytes[kRoomDescriptionMax];
  ByteWriter out(payload_);
  if (query->Get("node") == "x-roomuser-item") {  // the asker's registered nick
    const Affiliate* own = FindAffiliate(room, speaker.from->bare());
    out.Text("<query xmlns='http://jabber.org/protocol/disco#info' node='x-roomuser-item'>");
    if (own != nullptr && !own->nick.empty()) {
      out.Text("<identity category='conference' type='text'");
      WriteAttribute("name", chains_.Text(own->nick, bytes), out);
      out.Text("/>");
    }
    out.Text("</query>");
    Answer(speaker, stanza, out.text());
    return;
  }
  if (!query->Get("node").empty()) {
    Refuse(speaker, stanza, "cancel", "item-not-found");
    return;
  }
  out.Text(kInfoStart);
  out.Text("<identity category='conference' type='text'");
  const std::string_view title = chains_.Text(room.title, bytes);
  WriteAttribute(
      "name", title.empty() ? room.name.view().substr(0, room.name.view().find('@')) : title, out);
  out.Text("/>");
  for (std::string_view feature :
       {ns::kRoom, ns::kInfo, ns::kItems, ns::kPing, ns::kRegister, ns::kOccupantId, ns::kVcard,
        std::string_view("http://jabber.org/protocol/muc#stable_id"),
        std::string_view("http://jabber.org/protocol/muc#self-ping-optimization")}) {
    WriteFeature(feature, out);
  }
  if (IsArchived(room)) {
    for (std::string_view feature : {ns::kArchive, ns::kStanzaId, ns::kModerate,
                                     std::string_view("urn:xmpp:mam:2#extended")}) {
      WriteFeature(feature, out);
    }
  }
  WriteFeature(Has(room, room::kPersistent) ? "muc_persistent" : "muc_temporary", out);
  WriteFeature(Has(room, room::kListed) ? "muc_public" : "muc_hidden", out);
  WriteFeature(Has(room, room::kMembersOnly) ? "muc_membersonly" : "muc_open", out);
  WriteFeature(Has(room, room::kModerated) ? "muc_moderated" : "muc_unmoderated", out);
  WriteFeature(Has(room, room::kAnonymous) ? "muc_semianonymous" : "muc_nonanonymous", out);
  WriteFeature(Has(room, room::kPassword) ? "muc_passwordprotected" : "muc_unsecured", out);
  out.Text(
      "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>"
      "<value>http://jabber.org/protocol/muc#roominfo</value></field>");
  WriteInfo("muc#roominfo_description", chains_.Text(room.description, bytes), out);
  WriteInfo("muc#roominfo_subject", chains_.Text(room.subject, bytes), out);
  uint8_t number_bytes[12];
  ByteWriter occupants(number_bytes);
  occupants.Decimal(room.occupants.size() - room.hidden_count);
  WriteInfo("muc#roominfo_occupants", occupants.text(), out);
  if (HasAvatar(room)) {
    uint8_t hash_bytes[2 * crypto::Sha1::kSize];
    ByteWriter hash(hash_bytes);
    hash.HexBytes(room.avatar);
    WriteInfo("muc#roominfo_avatarhash", hash.text(), out);
  }
  ByteWriter history(number_bytes);
  history.Decimal(rules_.history_max);
  WriteInfo("muc#maxhistoryfetch", history.text(), out);
  WriteInfo("muc#roomconfig_changesubject",
            room.settings.subject_role == Role::kModerator ? "0" : "1", out);
  out.Text("</x></query>");
  Answer(speaker, stanza, out.text());
}

// --- Occupants -----------------------------------------------------------------------------------

void Rooms::OnOccupantQuery(const Speaker& speaker, Node& stanza, Room& room, const Address& to) {
  const std::string_view type = stanza.Get("type");
  const Node* query = stanza.FirstElement();
  const Occupant* own = FindAnswering(room, speaker, type);
  if (own == nullptr) {
    Refuse(speaker, stanza, "cancel", "not-acceptable");  // XEP-0410: not in the room
    return;
  }
  uint8_t nick_bytes[kResourceMax];
  const std::string_view nick = NickOf(*own, nick_bytes);
  if (type == "get" && query->Is("ping", ns::kPing) && nick == to.resource()) {
    Answer(speaker, stanza, "");
    return;
  }
  Occupant* target = FindNick(room, to.resource());
  if (target == nullptr || target->hidden) {
    Refuse(speaker, stanza, "cancel", "item-not-found");
    return;
  }
  if (own->hidden || own->role < room.settings.private_role) {
    Refuse(speaker, stanza, "auth", "forbidden");
    return;
  }
  const bool wants_card = type == "get" && query->Is("vCard", ns::kVcard);
  if (wants_card && AnswerCardOf(speaker, stanza, *own, *target)) {
    return;
  }
  FixedString<kRoomNameMax + 1 + kResourceMax> from(room.name.view());
  from.Append('/');
  from.Append(nick);
  AskedId id;
  const std::string_view asked = stanza.Get("id");
  const bool asks = type == "get" || type == "set";
  if (asks && FindNick(room, nick, own) != nullptr) {
    NameAsker(*own, stanza, id);
  } else if (Occupant* asker = asks ? nullptr : TakeAsker(room, *target, stanza)) {
    target = asker;
  }
  uint8_t bytes[kAddressMax];
  std::string_view address = AddressOf(*target, bytes);
  if (wants_card && target->session == nullptr) {
    address = BareOf(address);  // their server has it
  }
  ByteWriter out(stanza_);
  WriteStanza(stanza, {from.view(), address}, out);
  if (!out.ok()) {
    SetId(stanza, asked);
    Refuse(speaker, stanza, "modify", "policy-violation");
    return;
  }
  Send(*target, out.written());
}

// Another server answers for its user by his bare address.
Occupant* Rooms::FindAnswering(Room& room, const Speaker& speaker, std::string_view type) {
  Occupant* own = FindOccupant(room, speaker);
  if (own != nullptr || type == "get" || type == "set" || speaker.from->has_resource()) {
    return own;
  }
  for (Occupant& at : room.occupants) {
    uint8_t bytes[kAddressMax];
    const std::string_view its = AddressOf(at, bytes);
    if (BareOf(its) == speaker.from->full()) {
      return &at;
    }
  }
  return nullptr;
}

// We have the vCard of a user of ours; who may not see his address is left to his client.
bool Rooms::AnswerCardOf(const Speaker& speaker, const Node& stanza, const Occupant& own,
                         const Occupant& target) {
  uint8_t bytes[kAddressMax];
  const auto address = Address::Parse(AddressOf(target, bytes));
  std::string_view card;
  if ((Has(*own.room, room::kAnonymous) && own.role != Role::kModerator) || !address.ok() ||
      !host_.CardOf(*address, payload_, card)) {
    return false;
  }
  Answer(speaker, stanza, card);
  return true;
}

// --- The archive ---------------------------------------------------------------------------------

void Rooms::OnArchiveQuery(const Speaker& speaker, const Node& stanza, const Node& query,
                           Room& room) {
  const Affiliation affiliation = AffiliationOf(room, *speaker.from);
  const bool is_open = !Has(room, room::kMembersOnly) && !Has(room, room::kPassword);
  const bool may = FindOccupant(room, speaker) != nullptr || affiliation >= Affiliation::kMember ||
                   (is_open && affiliation != Affiliation::kOutcast);
  if (!may) {
    Refuse(speaker, stanza, "auth", "forbidden");
    return;
  }
  // What was kept before is still to be had.
  if (!room.kept || (!Has(room, room::kArchived) && !rules_.archive_joins)) {
    Refuse(speaker, stanza, "cancel", "feature-not-implemented");
    return;
  }
  if (stanza.Get("type") == "get") {
    ByteWriter out(stanza_);
    if (query.name == "metadata") {
      WriteArchiveMetadata(archive_, room.archive, payload_, out);
    } else {
      WriteArchiveForm(out);
    }
    Answer(speaker, stanza, out.text());
    return;
  }
  ArchiveQuery wanted;
  ArchivePage page;
  const char* refused = query.name != "query"
                            ? "bad-request"
                            : wanted.Read(query, true, archive_, room.archive, payload_);
  if (refused == nullptr && !page.Find(wanted, archive_, room.archive, payload_)) {
    refused = "item-not-found";
  }
  if (refused != nullptr) {
    Refuse(speaker, stanza, "cancel", refused);
    return;
  }
  // Nobody is shown what may be lost.
  host_.HoldUntil(speaker, room.name.view(), room.archive.commit);
  for (uint64_t number : std::span(page.numbers).first(page.count)) {
    ArchiveEntry entry;
    if (!archive_.Read(room.archive, number, payload_, entry)) {
      continue;
    }
    ByteWriter out(copy_);
    out.Text("<message");
    WriteAttribute("from", room.name.view(), out);
    WriteAttribute("to", speaker.from->full(), out);
    out.Char('>');
    WriteArchiveResult(entry, wanted.query_id, out);
    out.Text("</message>");
    if (out.ok()) {
      Send(speaker, out.written());
    }
  }
  ByteWriter out(stanza_);
  WriteArchiveEnd(page, wanted, room.archive, out);
  Answer(speaker, stanza, out.text());
}

}  // namespace gh::xmpp
