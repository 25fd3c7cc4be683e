// vCards of rooms (XEP-0054) with the hash of their picture (XEP-0486), those of occupants through
// the room, and the avatar in occupants' presence (XEP-0153).
//
// A room's card is rows of the keeper, so only persistent rooms have one; memory holds the hash. A
// new card is written beside the old one, which goes when all of it was taken. The first row: u8
// version, u8 rows, 20 bytes of hash or zeros, then text; the others are text.
#include <algorithm>

#include "crypto/legacy.h"
#include "firmware/xmpp/engine.h"
#include "hal/rt/base64.h"

namespace gh::xmpp {
namespace {

constexpr uint8_t kCardVersion = 1;
constexpr size_t kCardHead = 2 + crypto::Sha1::kSize;
constexpr std::string_view kUpdate = "<x xmlns='vcard-temp:x:update'";
constexpr Error kBadCard{ErrorCode::kCorrupt, "a row of a room's vCard is not readable"};

size_t CardParts(size_t bytes) { return (bytes + kCardHead + kRowMax - 1) / kRowMax; }
static_assert(kRoomCardMax + kCardHead <= 255 * kRowMax);

}  // namespace

bool Rooms::HasAvatar(const Room& room) {
  return room.card_rows > 0 &&
         !std::ranges::all_of(room.avatar, [](uint8_t byte) { return byte == 0; });
}

Result<void> Rooms::LoadCard(Room& room, const RowName& name, std::span<const uint8_t> value) {
  if (name.part != 0) {
    return Ok();
  }
  ByteReader reader(value);
  const uint8_t version = reader.U8();
  const uint8_t rows = reader.U8();
  reader.Copy(room.avatar);
  if (!reader.ok() || version != kCardVersion || rows == 0 || name.number > 1) {
    return kBadCard;
  }
  room.card_rows = rows;
  room.card_number = static_cast<uint8_t>(name.number);
  return Ok();
}

void Rooms::RemoveCardRows(const Room& room, uint8_t number, size_t rows) {
  for (uint32_t part = 0; part < rows; ++part) {
    (void)keeper_.Remove(RowKey('y', room.id, number, part));
  }
}

void Rooms::ForgetCard(Room& room) {
  RemoveCardRows(room, room.card_number, room.card_rows);
  room.card_rows = 0;
  room.avatar = {};
}

// `text` empty: no card any more. The commit it is in; 0: the keeper takes no more, all is as it
// was.
uint64_t Rooms::KeepCard(Room& room, std::string_view text, const RoomAvatar& avatar) {
  if (text.empty()) {
    ForgetCard(room);
    return keeper_.durable() + 1;
  }
  uint64_t commit = 0;
  const auto number = static_cast<uint8_t>(1 - room.card_number);
  const size_t rows = CardParts(text.size());
  for (uint32_t part = 0; part < rows; ++part) {
    uint8_t bytes[kRowMax];
    ByteWriter row(bytes);
    if (part == 0) {
      row.U8(kCardVersion);
      row.U8(static_cast<uint8_t>(rows));
      row.Bytes(avatar);
    }
    const std::string_view piece = text.substr(0, row.room());
    row.Text(piece);
    text.remove_prefix(piece.size());
    GH_ASSERT(row.ok());
    commit = keeper_.Put(RowKey('y', room.id, number, part), row.written());
    if (commit == 0) {
      RemoveCardRows(room, number, part);
      return 0;
    }
  }
  GH_ASSERT(text.empty());
  ForgetCard(room);
  room.card_number = number;
  room.card_rows = static_cast<uint8_t>(rows);
  room.avatar = avatar;
  return commit;
}

// Its text, in `out`; empty: none, or it cannot be read.
std::string_view Rooms::ReadCard(const Room& room, std::span<uint8_t> out) {
  size_t size = 0;
  for (uint32_t part = 0; part < room.card_rows; ++part) {
    if (out.size() - size < kRowMax) {
      return {};
    }
    const size_t count =
        keeper_.Read(RowKey('y', room.id, room.card_number, part), out.subspan(size));
    const size_t head = part == 0 ? kCardHead : 0;
    if (count <= head) {
      return {};
    }
    std::copy(out.begin() + static_cast<ptrdiff_t>(size + head),
              out.begin() + static_cast<ptrdiff_t>(size + count),
              out.begin() + static_cast<ptrdiff_t>(size));
    size += count - head;
  }
  return AsText(out.first(size));
}

// Of the picture in a card (XEP-0153); zeros: there is none. Uses stanza_ and copy_.
RoomAvatar Rooms::AvatarIn(const Node& card) {
  RoomAvatar out = {};
  const Node* photo = card.Child("PHOTO", ns::kVcard);
  const Node* binary = photo != nullptr ? photo->Child("BINVAL", ns::kVcard) : nullptr;
  ByteWriter text(stanza_);
  for (const char c : binary != nullptr ? binary->Text() : std::string_view()) {
    if (c != '\n' && c != '\r' && c != ' ' && c != '\t') {
      text.Char(c);
    }
  }
  ByteWriter picture(copy_);
  if (text.size() > 0 && text.ok() && ReadBase64(text.text(), picture)) {
    out = crypto::Sha1::Of(picture.written());
  }
  return out;
}

void Rooms::OnCard(const Speaker& speaker, const Node& stanza, const Node& card, Room& room,
                   bool is_set) {
  if (!is_set) {
    const std::string_view text = ReadCard(room, payload_);
    Answer(speaker, stanza, text.empty() ? "<vCard xmlns='vcard-temp'/>" : text);
    return;
  }
  if (AffiliationOf(room, *speaker.from) != Affiliation::kOwner) {
    Refuse(speaker, stanza, "auth", "forbidden", "only owners set a room's vCard");
    return;
  }
  if (!room.kept) {
    Refuse(speaker, stanza, "cancel", "not-allowed", "only persistent rooms have a vCard");
    return;
  }
  const RoomAvatar avatar = AvatarIn(card);
  ByteWriter text(payload_);
  if (card.FirstElement() != nullptr) {
    WriteElement(card, {}, text);
  }
  if (!text.ok() || text.size() > kRoomCardMax) {
    Refuse(speaker, stanza, "modify", "policy-violation", "the vCard is too large");
    return;
  }
  const uint64_t commit = KeepCard(room, text.text(), avatar);
  if (commit == 0) {
    Refuse(speaker, stanza, "wait", "internal-server-error", "it cannot be kept now");
    return;
  }
  host_.OnKept(speaker.session, commit);
  Answer(speaker, stanza, "");
  const uint16_t changed[] = {104};
  SendStatus(room, changed);
}

// --- Of occupants --------------------------------------------------------------------------------

// What an occupant's presence says, in payload_, with the hash of its user's avatar whatever its
// client said; that of users of other servers is as their server left it.
void Rooms::WriteOccupantPresence(const Occupant& occupant, Node& stanza, ByteWriter& out) {
  uint8_t bytes[kItemNameMax];
  const bool is_here = stanza.Get("type").empty() && occupant.session != nullptr;
  const std::string_view hash =
      is_here ? host_.OccupantAvatar(*occupant.session, bytes) : std::string_view();
  for (Node* child = stanza.first; child != nullptr && is_here; child = child->next) {
    child->dropped = child->dropped || child->Is("x", ns::kVcardUpdate);
  }
  WriteChildren(stanza, out);
  if (!hash.empty()) {
    out.Text(kUpdate);
    out.Text("><photo>");
    out.Text(hash);
    out.Text("</photo></x>");
  }
}

// A user has another avatar: the rooms a session of his is in are told.
void Rooms::OnAvatar(Session& session) {
  uint8_t bytes[kItemNameMax];
  const std::string_view hash = host_.OccupantAvatar(session, bytes);
  for (Occupant& occupant : session.rooms) {
    uint8_t text_bytes[kRoomPresenceMax];
    const std::string_view text = chains_.Text(occupant.presence, text_bytes);
    ByteWriter out(payload_);
    // The hash we wrote comes last.
    out.Text(text.substr(0, text.rfind(kUpdate)));
    out.Text(kUpdate);
    out.Text("><photo>");
    out.Text(hash);
    out.Text("</photo></x>");
    if (out.size() <= kRoomPresenceMax && chains_.Assign(occupant.presence, out.text())) {
      Broadcast(occupant, Notice());
    }
  }
}

}  // namespace gh::xmpp
