// What is said in rooms (XEP-0045 sections 7.4 to 7.9, 8.1): to all, to one, subjects, invitations,
// and what those who come later are shown of it.
#include <algorithm>
#include <charconv>

#include "firmware/xmpp/engine.h"
#include "firmware/xmpp/stamp.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kEnd = "</message>";
constexpr uint32_t kHistoryHead = 12;  // u32 size, u64 when
constexpr uint32_t kRefillLooks = 2 * kRoomHistoryMax;

// Where the `from` of a stanza that was written by WriteStanza ends.
size_t FromEnd(std::string_view stanza) {
  const size_t open = stanza.find('\'');
  const size_t close = open == std::string_view::npos ? open : stanza.find('\'', open + 1);
  return close == std::string_view::npos ? 0 : close + 1;
}

// What rooms alone may say.
void DropForgedParts(Node& stanza, std::string_view room, bool strips_xhtml) {
  for (Node* child = stanza.first; child != nullptr; child = child->next) {
    child->dropped =
        child->dropped || child->Is("x", ns::kRoomUser) || child->space == ns::kOccupantId ||
        (child->Is("stanza-id", ns::kStanzaId) && child->Get("by") == room) ||
        child->Is("delay", ns::kDelay) || (strips_xhtml && child->Is("html", ns::kXhtml));
  }
}

uint64_t NumberOf(std::string_view text, uint64_t otherwise) {
  uint64_t value = otherwise;
  (void)std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string_view FormValue(const Node& form, std::string_view var) {
  for (const Node* field = form.FirstElement(); field != nullptr; field = field->NextElement()) {
    const Node* value = field->Child("value", ns::kForm);
    if (field->Get("var") == var && value != nullptr) {
      return value->Text();
    }
  }
  return {};
}

// An occupant's server says that it is not there any more.
bool IsBounce(const Node& stanza) {
  const Node* error = stanza.Child("error", ns::kClient);
  for (std::string_view condition :
       {"gone", "item-not-found", "recipient-unavailable", "redirect", "remote-server-not-found",
        "remote-server-timeout", "jid-malformed"}) {
    if (error != nullptr && error->Child(condition, ns::kStanzas) != nullptr) {
      return true;
    }
  }
  return false;
}

}  // namespace

void Rooms::OnMessage(const Speaker& speaker, Node& stanza, const Address& to) {
  Room* room = to.local().empty() ? nullptr : Find(to.bare());
  if (room == nullptr) {
    Refuse(speaker, stanza, "cancel",
           to.local().empty() ? "service-unavailable" : "item-not-found");
    return;
  }
  Occupant* occupant = FindOccupant(*room, speaker);
  const std::string_view type = stanza.Get("type");
  if (type == "error") {
    if (occupant != nullptr && IsBounce(stanza)) {
      Notice notice;
      notice.gone = true;
      notice.codes[0] = 333;
      Leave(*occupant, notice);
    }
    return;
  }
  const Node* x = stanza.Child("x", ns::kRoomUser);
  if (x != nullptr && !to.has_resource() && type != "groupchat" && !x->FirstElement()) {
    x = nullptr;
  }
  if (x != nullptr && !to.has_resource() && type != "groupchat") {
    OnUserX(speaker, stanza, *x, *room, occupant);
  } else if (occupant == nullptr) {
    Refuse(speaker, stanza, "modify", "not-acceptable", "only occupants speak in a room");
  } else if (to.has_resource()) {
    OnPrivate(speaker, stanza, *room, *occupant, to);
  } else if (type == "groupchat") {
    OnGroupchat(speaker, stanza, *room, *occupant);
  } else if (const Node* form = stanza.Child("x", ns::kForm)) {
    OnVoiceRequest(speaker, stanza, *form, *room, *occupant);
  } else {
    Refuse(speaker, stanza, "modify", "bad-request");
  }
}

// --- To all --------------------------------------------------------------------------------------

size_t Rooms::WriteHeard(const Node& stanza, const Room& room, std::string_view nick,
                         std::string_view extra) {
  FixedString<kRoomNameMax + 1 + kResourceMax> from(room.name.view());
  from.Append('/');
  from.Append(nick);
  ByteWriter out(stanza_);
  WriteStanza(stanza, {from.view(), {}, extra}, out);
  if (!out.ok()) {
    return 0;
  }
  stanza_size_ = out.size();
  return FromEnd(out.text());
}

void Rooms::OnGroupchat(const Speaker& speaker, Node& stanza, Room& room, Occupant& occupant) {
  const Node* subject = stanza.Child("subject", ns::kClient);
  const bool is_subject = subject != nullptr && stanza.Child("body", ns::kClient) == nullptr &&
                          stanza.Child("thread", ns::kClient) == nullptr;
  if (is_subject) {
    const bool may = occupant.role >= std::max(room.settings.subject_role, Role::kParticipant);
    if (!may || occupant.hidden || subject->Text().size() > kRoomSubjectMax) {
      Refuse(speaker, stanza, may ? "modify" : "auth", may ? "policy-violation" : "forbidden");
      return;
    }
  } else if (occupant.hidden ||
             (Has(room, room::kModerated) && occupant.role < Role::kParticipant)) {
    Refuse(speaker, stanza, "auth", "forbidden");
    return;
  }
  DropForgedParts(stanza, room.name.view(), Has(room, room::kStripXhtml));
  uint8_t nick_bytes[kResourceMax];
  const std::string_view nick = NickOf(occupant, nick_bytes);
  const int64_t now = host_.RoomTime();
  room.used = now;
  uint8_t extra_bytes[kRoomNameMax * 6 + 256];
  ByteWriter extra(extra_bytes);
  if (is_subject) {
    OnSubject(speaker, stanza, occupant, subject->Text());
  }
  if (room.kept && Has(room, room::kArchived) && rules_.archive && archive_.enabled()) {
    FixedString<kRoomNameMax + 1 + kResourceMax> from(room.name.view());
    from.Append('/');
    from.Append(nick);
    ByteWriter kept(payload_);
    WriteStanza(stanza, {from.view(), {}, {}, true}, kept);
    const uint64_t number =
        kept.ok() ? archive_.Append(room.archive, now, nick, kept.written()) : 0;
    if (number != 0) {
      host_.OnKept(speaker.session, room.archive.commit);
      extra.Text("<stanza-id xmlns='urn:xmpp:sid:0'");
      WriteAttribute("by", room.name.view(), extra);
      extra.Text(" id='");
      WriteArchiveId(number, extra);
      extra.Text("'/>");
    }
  }
  WriteOccupantId(room, speaker.from->bare(), extra);
  const size_t from_end = WriteHeard(stanza, room, nick, extra.text());
  if (from_end == 0) {
    Refuse(speaker, stanza, "modify", "policy-violation");
    return;
  }
  ++counters_.messages;
  SendToAll(room, stanza_.first(stanza_size_), from_end);
  if (!is_subject) {
    KeepHistory(room, stanza_.first(stanza_size_), now);
  }
}

void Rooms::SendToAll(Room& room, std::span<const uint8_t> stanza, size_t from_end) {
  for (Occupant& to : room.occupants) {
    uint8_t bytes[kAddressMax];
    ByteWriter out(copy_);
    out.Bytes(stanza.first(from_end));
    WriteAttribute("to", AddressOf(to, bytes), out);
    out.Bytes(stanza.subspan(from_end));
    if (out.ok()) {
      ++counters_.deliveries;
      Send(to, out.written());
    }
  }
}

void Rooms::SendStatus(Room& room, std::span<const uint16_t> codes) {
  ByteWriter out(stanza_);
  out.Text("<message from='");
  WriteEscaped(room.name.view(), out);
  out.Char('\'');
  const size_t from_end = out.size();
  out.Text(" type='groupchat'><x xmlns='http://jabber.org/protocol/muc#user'>");
  for (uint16_t code : codes) {
    out.Text("<status code='");
    out.Decimal(code);
    out.Text("'/>");
  }
  out.Text("</x></message>");
  SendToAll(room, out.written(), from_end);
}

// --- Subjects ------------------------------------------------------------------------------------

void Rooms::OnSubject(const Speaker& speaker, const Node& stanza, Occupant& occupant,
                      std::string_view text) {
  Room& room = *occupant.room;
  uint8_t nick_bytes[kResourceMax];
  if (!chains_.Assign(room.subject, text) ||
      !chains_.Assign(room.subject_nick, NickOf(occupant, nick_bytes)) || !Keep(room)) {
    Refuse(speaker, stanza, "wait", "resource-constraint");
  }
}

// The last thing that is sent to who enters.
void Rooms::SendSubject(Room& room, Occupant* to) {
  uint8_t address_bytes[kAddressMax];
  uint8_t nick_bytes[kResourceMax];
  uint8_t text_bytes[kRoomSubjectMax];
  ByteWriter out(copy_);
  out.Text("<message from='");
  WriteEscaped(room.name.view(), out);
  if (!room.subject_nick.empty()) {
    out.Char('/');
    WriteEscaped(chains_.Text(room.subject_nick, nick_bytes), out);
  }
  out.Char('\'');
  WriteAttribute("to", AddressOf(*to, address_bytes), out);
  out.Text(" type='groupchat'><subject>");
  WriteEscaped(chains_.Text(room.subject, text_bytes), out);
  out.Text("</subject></message>");
  Send(*to, out.written());
}

// --- History -------------------------------------------------------------------------------------

void Rooms::KeepHistory(Room& room, std::span<const uint8_t> stanza, int64_t unix_seconds) {
  const std::string_view text = AsText(stanza);
  GH_ASSERT(text.ends_with(kEnd));
  ByteWriter out(copy_);
  out.U32Be(0);
  out.U64Be(static_cast<uint64_t>(unix_seconds));
  out.Text(text.substr(0, text.size() - kEnd.size()));
  out.Text("<delay xmlns='urn:xmpp:delay'");
  WriteAttribute("from", room.name.view(), out);
  out.Text(" stamp='");
  WriteStamp(unix_seconds, out);
  out.Text("'/>");
  out.Text(kEnd);
  if (!out.ok() || out.size() > kRoomHistoryBytesMax) {
    return;
  }
  ByteWriter size(copy_);
  size.U32Be(static_cast<uint32_t>(out.size() - kHistoryHead));
  const auto drop_oldest = [&] {
    uint8_t head[4];
    (void)chains_.Copy(room.history, 0, head);
    ByteReader record(head);
    chains_.Drop(room.history, kHistoryHead + record.U32Be());
    --room.history_count;
  };
  const uint32_t most = std::min(rules_.history_max, kRoomHistoryMax);
  while (room.history_count > 0 &&
         (room.history_count >= most || room.history.size + out.size() > kRoomHistoryBytesMax)) {
    drop_oldest();
  }
  // History is the first to go when memory is short.
  while (room.history_count > 0 && chains_.free_count() < chains_.capacity() / 8) {
    drop_oldest();
  }
  if (most > 0 && chains_.free_count() >= chains_.capacity() / 8 &&
      chains_.Append(room.history, out.written())) {
    ++room.history_count;
  }
}

// What was said before the last start, out of the archive.
void Rooms::RefillHistory(Room& room) {
  const ArchiveLog& log = room.archive;
  ArchiveEntry entry;
  const auto is_message = [&](uint64_t number) {
    return archive_.Read(log, number, payload_, entry) && entry.stanza.ends_with(kEnd) &&
           FromEnd(entry.stanza) != 0;
  };
  // Who came and went stands between what was said.
  uint64_t first = log.next;
  uint32_t found = 0;
  for (uint32_t looks = 0; first > log.first && found < rules_.history_max && looks < kRefillLooks;
       ++looks) {
    found += is_message(--first) ? 1 : 0;
  }
  for (uint64_t number = first; number < log.next && found > 0; ++number) {
    if (is_message(number)) {
      KeepHistory(room, AsBytes(entry.stanza), entry.unix_seconds);
    }
  }
}

void Rooms::SendHistory(Room& room, Occupant& to, const Node* x) {
  if (room.history_count == 0 && room.kept) {
    RefillHistory(room);
  }
  uint64_t most = room.settings.history;
  uint64_t chars = kRoomHistoryBytesMax;
  int64_t since = INT64_MIN;
  const Node* wanted = x != nullptr ? x->Child("history", ns::kRoom) : nullptr;
  if (wanted != nullptr) {
    const uint64_t all = rules_.history_max;
    most = std::min(NumberOf(wanted->Get("maxstanzas"), wanted->attribute_count > 0 ? all : most),
                    all);
    chars = std::min(NumberOf(wanted->Get("maxchars"), chars), chars);
    if (const uint64_t seconds = NumberOf(wanted->Get("seconds"), UINT32_MAX);
        seconds < UINT32_MAX) {
      since = host_.RoomTime() - static_cast<int64_t>(seconds);
    }
    (void)ReadStamp(wanted->Get("since"), since);
  }
  struct Entry {
    uint32_t at, size;
  } entries[kRoomHistoryMax];
  uint32_t count = 0;
  for (uint32_t at = 0; at < room.history.size && count < kRoomHistoryMax;) {
    uint8_t head[kHistoryHead];
    (void)chains_.Copy(room.history, at, head);
    ByteReader record(head);
    const uint32_t size = record.U32Be();
    if (static_cast<int64_t>(record.U64Be()) >= since) {
      entries[count++] = {at + kHistoryHead, size};
    }
    at += kHistoryHead + size;
  }
  uint32_t first = count;
  while (first > 0 && count - first < most && entries[first - 1].size <= chars) {
    chars -= entries[--first].size;
  }
  uint8_t address_bytes[kAddressMax];
  const std::string_view address = AddressOf(to, address_bytes);
  for (const Entry& entry : std::span(entries).subspan(first, count - first)) {
    const auto bytes = payload_.first(entry.size);
    (void)chains_.Copy(room.history, entry.at, bytes);
    const size_t from_end = FromEnd(AsText(bytes));
    ByteWriter out(copy_);
    out.Bytes(bytes.first(from_end));
    WriteAttribute("to", address, out);
    out.Bytes(bytes.subspan(from_end));
    Send(to, out.written());
  }
}

// --- To one --------------------------------------------------------------------------------------

void Rooms::OnPrivate(const Speaker& speaker, Node& stanza, Room& room, Occupant& occupant,
                      const Address& to) {
  if (stanza.Get("type") == "groupchat") {
    Refuse(speaker, stanza, "modify", "bad-request");
    return;
  }
  if (occupant.role < room.settings.private_role || occupant.hidden) {
    Refuse(speaker, stanza, "auth", "forbidden");
    return;
  }
  const uint64_t hash = HashOf(to.resource());
  const Occupant* target = FindNick(room, to.resource());
  if (target == nullptr || target->hidden) {
    Refuse(speaker, stanza, "cancel", "item-not-found");
    return;
  }
  DropForgedParts(stanza, room.name.view(), Has(room, room::kStripXhtml));
  uint8_t nick_bytes[kResourceMax];
  uint8_t extra_bytes[160];
  ByteWriter extra(extra_bytes);
  extra.Text("<x xmlns='http://jabber.org/protocol/muc#user'/>");
  WriteOccupantId(room, speaker.from->bare(), extra);
  const size_t from_end = WriteHeard(stanza, room, NickOf(occupant, nick_bytes), extra.text());
  if (from_end == 0) {
    Refuse(speaker, stanza, "modify", "policy-violation");
    return;
  }
  for (Occupant& at : room.occupants) {
    if (at.nick_hash == hash && !at.hidden) {
      uint8_t bytes[kAddressMax];
      ByteWriter out(copy_);
      out.Bytes(stanza_.first(from_end));
      WriteAttribute("to", AddressOf(at, bytes), out);
      out.Bytes(stanza_.subspan(from_end, stanza_size_ - from_end));
      Send(at, out.written());
    }
  }
}

// --- Invitations ---------------------------------------------------------------------------------

void Rooms::OnUserX(const Speaker& speaker, const Node& stanza, const Node& x, Room& room,
                    Occupant* occupant) {
  uint32_t count = 0;
  for (const Node* child = x.FirstElement(); child != nullptr; child = child->NextElement()) {
    if (child->Is("decline", ns::kRoomUser)) {
      Decline(speaker, *child, room);
    } else if (child->Is("invite", ns::kRoomUser) && occupant == nullptr) {
      Refuse(speaker, stanza, "modify", "not-acceptable", "only occupants invite");
      return;
    } else if (child->Is("invite", ns::kRoomUser) && count++ < 16) {
      Invite(speaker, stanza, *child, room, *occupant);
    }
  }
}

void Rooms::Invite(const Speaker& speaker, const Node& stanza, const Node& invite, Room& room,
                   Occupant& occupant) {
  const bool is_closed = Has(room, room::kMembersOnly);
  const Role least = is_closed && Has(room, room::kModeratorsInvite) ? Role::kModerator
                                                                     : room.settings.invite_role;
  if (occupant.role < least || occupant.hidden) {
    Refuse(speaker, stanza, "auth", "forbidden");
    return;
  }
  const auto to = Address::Parse(invite.Get("to"));
  if (!to.ok() || to->local().empty()) {
    Refuse(speaker, stanza, "modify", "jid-malformed");
    return;
  }
  if (is_closed && AffiliationOf(room, *to) == Affiliation::kNone &&
      !SetAffiliation(room, to->bare(), Affiliation::kMember, {})) {
    Refuse(speaker, stanza, "wait", "resource-constraint");
    return;
  }
  const Node* reason = invite.Child("reason", ns::kRoomUser);
  const std::string_view why =
      reason != nullptr ? Shortened(reason->Text(), kRoomReasonMax) : std::string_view();
  uint8_t nick_bytes[kResourceMax];
  ByteWriter out(stanza_);
  out.Text("<message");
  WriteAttribute("from", room.name.view(), out);
  WriteAttribute("to", to->full(), out);
  out.Text("><x xmlns='http://jabber.org/protocol/muc#user'><invite from='");
  if (Has(room, room::kAnonymous)) {
    WriteEscaped(room.name.view(), out);
    out.Char('/');
    WriteEscaped(NickOf(occupant, nick_bytes), out);
  } else {
    WriteEscaped(speaker.from->bare(), out);
  }
  out.Text("'><reason>");
  WriteEscaped(why, out);
  out.Text("</reason></invite>");
  if (Has(room, room::kPassword) && !room.password.empty()) {
    uint8_t password_bytes[kRoomPasswordMax];
    out.Text("<password>");
    WriteEscaped(chains_.Text(room.password, password_bytes), out);
    out.Text("</password>");
  }
  out.Text("</x><x xmlns='jabber:x:conference'");
  WriteAttribute("jid", room.name.view(), out);
  WriteAttribute("reason", why, out);
  out.Text("/></message>");
  host_.SendToUser(*to, out.written());
}

// To who invited, if he is still there: nobody else can be written to this way.
void Rooms::Decline(const Speaker& speaker, const Node& decline, Room& room) {
  const auto to = Address::Parse(decline.Get("to"));
  const Node* reason = decline.Child("reason", ns::kRoomUser);
  for (Occupant& occupant : room.occupants) {
    uint8_t bytes[kAddressMax];
    uint8_t nick_bytes[kResourceMax];
    const std::string_view address = AddressOf(occupant, bytes);
    const bool is_meant =
        to.ok() &&
        (BareOf(address) == to->bare() ||
         (to->bare() == room.name.view() && NickOf(occupant, nick_bytes) == to->resource()));
    if (!is_meant) {
      continue;
    }
    ByteWriter out(stanza_);
    out.Text("<message");
    WriteAttribute("from", room.name.view(), out);
    WriteAttribute("to", address, out);
    out.Text("><x xmlns='http://jabber.org/protocol/muc#user'><decline");
    WriteAttribute("from", speaker.from->bare(), out);
    out.Text("><reason>");
    WriteEscaped(reason != nullptr ? Shortened(reason->Text(), kRoomReasonMax) : "", out);
    out.Text("</reason></decline></x></message>");
    Send(occupant, out.written());
  }
}

// A visitor asks for voice (section 7.13), a moderator grants it (section 8.6).
void Rooms::OnVoiceRequest(const Speaker& speaker, const Node& stanza, const Node& form, Room& room,
                           Occupant& occupant) {
  if (FormValue(form, "FORM_TYPE") != "http://jabber.org/protocol/muc#request") {
    Refuse(speaker, stanza, "modify", "bad-request");
    return;
  }
  uint8_t nick_bytes[kResourceMax];
  const std::string_view nick = NickOf(occupant, nick_bytes);
  if (occupant.role == Role::kModerator) {
    const std::string_view allow = FormValue(form, "muc#request_allow");
    Occupant* asker = FindNick(room, FormValue(form, "muc#roomnick"));
    if ((allow == "true" || allow == "1") && asker != nullptr && asker->role == Role::kVisitor) {
      Change change;
      change.occupant = asker;
      change.is_role = true;
      change.role = Role::kParticipant;
      MakeRole(room, change, nick);
    }
    return;
  }
  for (Occupant& at : room.occupants) {
    uint8_t bytes[kAddressMax];
    if (at.role != Role::kModerator || occupant.role != Role::kVisitor) {
      continue;
    }
    ByteWriter out(copy_);
    out.Text("<message");
    WriteAttribute("from", room.name.view(), out);
    WriteAttribute("to", AddressOf(at, bytes), out);
    out.Text(
        "><x xmlns='jabber:x:data' type='form'><title>Voice request</title>"
        "<field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/muc#request</value>"
        "</field><field var='muc#role' type='list-single' label='Requested role'>"
        "<value>participant</value></field><field var='muc#jid' type='jid-single' label='User'>"
        "<value>");
    WriteEscaped(speaker.from->full(), out);
    out.Text("</value></field><field var='muc#roomnick' type='text-single' label='Nick'><value>");
    WriteEscaped(nick, out);
    out.Text(
        "</value></field><field var='muc#request_allow' type='boolean' label='Grant voice?'>"
        "<value>false</value></field></x></message>");
    Send(at, out.written());
  }
}

// --- Moderation (XEP-0425) -----------------------------------------------------------------------

void Rooms::OnModerate(const Speaker& speaker, const Node& stanza, const Node& moderate,
                       Room& room) {
  const Occupant* actor = FindOccupant(room, speaker);
  if (actor == nullptr || actor->role != Role::kModerator) {
    Refuse(speaker, stanza, "auth", "forbidden");
    return;
  }
  uint64_t number = 0;
  ArchiveEntry entry;
  if (moderate.Child("retract", ns::kRetract) == nullptr ||
      !ReadArchiveId(moderate.Get("id"), number) || number < room.archive.first ||
      number >= room.archive.next || !archive_.Read(room.archive, number, payload_, entry) ||
      !entry.stanza.ends_with(kEnd)) {
    Refuse(speaker, stanza, "cancel", "item-not-found");
    return;
  }
  const Node* reason = moderate.Child("reason", ns::kModerate);
  uint8_t nick_bytes[kResourceMax];
  uint8_t moderated_bytes[kRoomReasonMax * 6 + kRoomNameMax * 6 + kResourceMax * 6 + 512];
  ByteWriter moderated(moderated_bytes);
  moderated.Text("<moderated xmlns='urn:xmpp:message-moderate:1' by='");
  WriteEscaped(room.name.view(), moderated);
  moderated.Char('/');
  WriteEscaped(NickOf(*actor, nick_bytes), moderated);
  moderated.Text("'>");
  WriteOccupantId(room, speaker.from->bare(), moderated);
  moderated.Text("</moderated><reason>");
  WriteEscaped(reason != nullptr ? Shortened(reason->Text(), kRoomReasonMax) : "", moderated);
  moderated.Text("</reason>");
  // In the archive a stone stands where it was; history is read again from there.
  ByteWriter stone(copy_);
  stone.Text(entry.stanza.substr(0, FromEnd(entry.stanza)));
  stone.Text(
      " xmlns='jabber:client' type='groupchat'><retracted xmlns='urn:xmpp:message-retract:1'");
  WriteAttribute("id", moderate.Get("id"), stone);
  stone.Text(" stamp='");
  WriteStamp(host_.RoomTime(), stone);
  stone.Text("'>");
  stone.Bytes(moderated.written());
  stone.Text("</retracted></message>");
  entry.stanza = stone.text();
  if (!moderated.ok() || !stone.ok() || !archive_.Replace(room.archive, entry)) {
    Refuse(speaker, stanza, "wait", "resource-constraint");
    return;
  }
  chains_.Free(room.history);
  room.history_count = 0;
  ByteWriter out(stanza_);
  out.Text("<message from='");
  WriteEscaped(room.name.view(), out);
  out.Char('\'');
  const size_t from_end = out.size();
  out.Text(" type='groupchat'><retract xmlns='urn:xmpp:message-retract:1'");
  WriteAttribute("id", moderate.Get("id"), out);
  out.Char('>');
  out.Bytes(moderated.written());
  out.Text("</retract></message>");
  SendToAll(room, out.written(), from_end);
  Answer(speaker, stanza, "");
}

}  // namespace gh::xmpp
