// One avatar, whichever way a client tells of it: published (XEP-0084) or in the vCard (XEP-0054);
// either becomes the other (XEP-0398), and presence names its hash (XEP-0153).
//
// The hash is the name of the metadata's last item, so that presence costs no reading.
#include <algorithm>
#include <cstring>

#include "crypto/legacy.h"
#include "firmware/xmpp/engine.h"
#include "hal/rt/base64.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kData = "urn:xmpp:avatar:data";
constexpr std::string_view kMetadata = "urn:xmpp:avatar:metadata";
constexpr std::string_view kNoAvatar = "none";  // the item of empty metadata
constexpr std::string_view kUpdate = "<x xmlns='vcard-temp:x:update'";

bool IsHash(std::string_view text) {
  return text.size() == 2 * crypto::Sha1::kSize && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// An element we wrote, without the child that begins so, open for another in its place.
struct Opened {
  std::string_view head;
  bool is_empty = false;  // its start tag is to be ended
  std::string_view tail;
};
Opened Open(std::string_view text, std::string_view begin, std::string_view end,
            std::string_view closing) {
  const size_t from = text.find(begin);
  const size_t tag_end = from == text.npos ? text.npos : text.find('>', from);
  const size_t to = tag_end == text.npos ? text.npos : text.find(end, from);
  if (tag_end != text.npos && text[tag_end - 1] == '/') {
    return {text.substr(0, from), false, text.substr(tag_end + 1)};
  }
  if (to != text.npos) {
    return {text.substr(0, from), false, text.substr(to + end.size())};
  }
  if (text.ends_with("/>") && !text.ends_with(closing)) {
    return {text.substr(0, text.size() - 2), true, closing};
  }
  return {text.substr(0, text.rfind('<')), false, closing};
}

}  // namespace

// In lower-case digits; empty: none.
std::string_view Engine::AvatarOf(Account& account, std::span<uint8_t> out) {
  const ItemNode* node = account.nodes.empty() ? nullptr : items_->Find(account, kMetadata);
  const Item* last = node != nullptr ? node->items.front() : nullptr;
  const std::string_view name = last != nullptr ? items_->NameOf(*last, out) : std::string_view();
  return IsHash(name) ? name : std::string_view();
}

// `presence`, which lies in scratch_, names the avatar.
void Engine::StampAvatar(Account& account, ByteWriter& presence) {
  uint8_t bytes[kItemNameMax];
  const std::string_view hash = AvatarOf(account, bytes);
  if (hash.empty() || !presence.ok() || presence.size() > kPresenceMax) {
    return;
  }
  std::memcpy(scratch3_.data(), scratch_.data(), presence.size());
  const Opened around =
      Open(AsText(scratch3_.first(presence.size())), kUpdate, "</x>", "</presence>");
  presence = ByteWriter(scratch_);
  presence.Text(around.head);
  presence.Text(around.is_empty ? ">" : "");
  presence.Text(kUpdate);
  presence.Text("><photo>");
  presence.Text(hash);
  presence.Text("</photo></x>");
  presence.Text(around.tail);
}

// Another avatar: all who see the account are told.
void Engine::TellAvatar(Account& account) {
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (!at->available || at->doomed) {
      continue;
    }
    ByteWriter out(scratch_);
    (void)chains_.Copy(at->presence, 0, out.Reserve(at->presence.size));
    StampAvatar(account, out);
    if (out.ok() && out.size() <= kPresenceMax && chains_.Assign(at->presence, out.text())) {
      Broadcast(*at, out.written());
    }
  }
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (!at->doomed) {
      rooms_->OnAvatar(*at);
    }
  }
}

bool Engine::CardOf(const Address& user, std::span<uint8_t> out, std::string_view& card) {
  Account* account = directory_->Find(user.bare());
  if (account == nullptr) {
    return false;
  }
  ItemNode* node = items_->Find(*account, "vcard", true);
  const Item* item = node != nullptr ? node->items.front() : nullptr;
  card = item != nullptr ? items_->Read(*account, *node, *item, out) : std::string_view();
  card = card.empty() ? "<vCard xmlns='vcard-temp'/>" : card;
  return true;
}

// Metadata were published: the vCard shows the same picture.
void Engine::OnAvatarPublished(Account& owner, std::string_view node_name, const Node* metadata) {
  if (node_name != kMetadata) {
    return;
  }
  const Node* info = metadata != nullptr ? metadata->FirstElement() : nullptr;
  ItemNode* data = items_->Find(owner, kData);
  const Item* picture =
      data != nullptr && info != nullptr ? items_->Find(*data, info->Get("id")) : nullptr;
  ItemNode* node = items_->Find(owner, "vcard", true);
  const Item* item = node != nullptr ? node->items.front() : nullptr;
  ByteWriter card(scratch2_);
  const std::string_view text = item != nullptr ? items_->Read(owner, *node, *item, scratch3_)
                                                : "<vCard xmlns='vcard-temp'></vCard>";
  const Opened around = Open(text, "<PHOTO", "</PHOTO>", "</vCard>");
  card.Text(around.head);
  card.Text(around.is_empty ? ">" : "");
  if (picture != nullptr) {
    const std::string_view payload = items_->Read(owner, *data, *picture, scratch_);
    const size_t begin = payload.find('>') + 1;
    const size_t end = payload.rfind('<');
    card.Text("<PHOTO><TYPE>");
    WriteEscaped(info->Get("type"), card);
    card.Text("</TYPE><BINVAL>");
    card.Text(end > begin && begin != 0 ? payload.substr(begin, end - begin) : "");
    card.Text("</BINVAL></PHOTO>");
  }
  card.Text(around.tail);
  ItemNode wanted;
  wanted.access = ItemAccess::kWhitelist;
  wanted.is_private = true;
  node = node != nullptr ? node : items_->Make(owner, "vcard", wanted);
  if (card.ok() && node != nullptr) {
    (void)items_->Put(owner, *node, "current", card.text());
  }
  TellAvatar(owner);
}

// A vCard was set: its picture is published.
void Engine::OnCardSet(Account& owner, const Node& card) {
  const Node* photo = card.Child("PHOTO", ns::kVcard);
  const Node* binary = photo != nullptr ? photo->Child("BINVAL", ns::kVcard) : nullptr;
  const Node* type = photo != nullptr ? photo->Child("TYPE", ns::kVcard) : nullptr;
  ByteWriter data(scratch3_);
  data.Text("<data xmlns='urn:xmpp:avatar:data'>");
  const size_t begin = data.size();
  for (const char c : binary != nullptr ? binary->Text() : std::string_view()) {
    if (c != '\n' && c != '\r' && c != ' ' && c != '\t') {
      data.Char(c);
    }
  }
  ByteWriter picture(scratch2_);
  const bool is_picture = data.size() > begin && ReadBase64(data.text().substr(begin), picture);
  data.Text("</data>");
  uint8_t hash_bytes[kItemNameMax];
  const std::string_view before = AvatarOf(owner, hash_bytes);
  uint8_t bytes[512];
  ByteWriter hash(bytes);
  if (is_picture) {
    hash.HexBytes(crypto::Sha1::Of(picture.written()));
  }
  if (hash.text() == before) {
    return;
  }
  ItemNode wanted;
  ItemNode* node = items_->Find(owner, kMetadata);
  node = node != nullptr ? node : items_->Make(owner, kMetadata, wanted);
  ItemNode* pictures = items_->Find(owner, kData);
  pictures = pictures != nullptr || !is_picture ? pictures : items_->Make(owner, kData, wanted);
  uint8_t text_bytes[768];
  ByteWriter text(text_bytes);
  text.Text("<metadata xmlns='urn:xmpp:avatar:metadata'>");
  if (is_picture) {
    text.Text("<info");
    WriteAttribute("id", hash.text(), text);
    text.Text(" bytes='");
    text.Decimal(picture.size());
    text.Char('\'');
    WriteAttribute("type", type != nullptr ? type->Text().substr(0, 64) : "image/png", text);
    text.Text("/>");
  }
  text.Text("</metadata>");
  const std::string_view name = is_picture ? hash.text() : kNoAvatar;
  const bool is_kept =
      text.ok() && data.ok() && node != nullptr &&
      (!is_picture ||
       (pictures != nullptr && items_->Put(owner, *pictures, name, data.text()) != nullptr)) &&
      items_->Put(owner, *node, name, text.text()) != nullptr;
  if (!is_kept) {
    return;
  }
  ByteWriter event(scratch2_);
  event.Text("<item");
  WriteAttribute("id", name, event);
  event.Char('>');
  event.Text(text.text());
  event.Text("</item>");
  Notify(owner, *node, event.text());
  TellAvatar(owner);
}

}  // namespace gh::xmpp
