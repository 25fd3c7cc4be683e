// One set of bookmarks, whichever way a client keeps them: each an item of its own (XEP-0402), or
// all in private storage (XEP-0048 by XEP-0049). The items are what is kept; storage is made of
// them, and what is stored becomes items.
//
// What an item says that storage has no words for stays while the rest of it is the same.
#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kNode = "urn:xmpp:bookmarks:1";
constexpr std::string_view kItemStart = "<conference xmlns='urn:xmpp:bookmarks:1'";
constexpr std::string_view kItemEnd = "</conference>";

bool IsTrue(std::string_view value) { return value == "1" || value == "true"; }

// A conference of private storage as the payload of an item, without its last tag.
void WriteBookmark(const Node& conference, ByteWriter& out) {
  out.Text(kItemStart);
  if (!conference.Get("name").empty()) {
    WriteAttribute("name", conference.Get("name"), out);
  }
  if (IsTrue(conference.Get("autojoin"))) {
    WriteAttribute("autojoin", "true", out);
  }
  out.Char('>');
  for (const std::string_view name : {std::string_view("nick"), std::string_view("password")}) {
    const Node* child = conference.Child(name, ns::kBookmarks);
    if (child != nullptr && !child->Text().empty()) {
      out.Char('<');
      out.Text(name);
      out.Char('>');
      WriteEscaped(child->Text(), out);
      out.Text("</");
      out.Text(name);
      out.Char('>');
    }
  }
}

// The room of a bookmark; empty: it is none.
FixedString<kBareMax> RoomOf(const Node& child) {
  const auto room = Address::Parse(child.Get("jid"));
  return child.Is("conference", ns::kBookmarks) && room.ok() ? FixedString<kBareMax>(room->bare())
                                                             : FixedString<kBareMax>();
}

}  // namespace

void Engine::OnBookmarks(Session& session, const Node& stanza, const Node& storage, bool is_set) {
  Account& owner = *session.account;
  ItemNode* node = items_->Find(owner, kNode);
  if (!is_set && node != nullptr) {
    SendBookmarks(session, stanza, *node);
    return;
  }
  if (!is_set) {
    OnStored(session, stanza, "storage storage:bookmarks", storage,
             "<storage xmlns='storage:bookmarks'/>", owner, false);  // of before
    return;
  }
  ItemNode wanted;
  wanted.access = ItemAccess::kWhitelist;
  wanted.item_max = kItemsPerNodeMax;
  node = node != nullptr ? node : items_->Make(owner, kNode, wanted);
  bool kept = node != nullptr;
  for (const Node* child = storage.FirstElement(); child != nullptr && kept;
       child = child->NextElement()) {
    const auto room = RoomOf(*child);
    kept = room.empty() || KeepBookmark(owner, *node, room.view(), *child);
  }
  if (!kept) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  for (Item* item = node->items.front(); item != nullptr;) {
    Item* next = node->items.Next(*item);
    DropBookmark(owner, *node, *item, storage);
    item = next;
  }
  if (ItemNode* before = items_->Find(owner, "storage storage:bookmarks", true)) {
    items_->RemoveNode(owner, *before);
  }
  session.last_commit = std::max(session.last_commit, keeper_.durable() + 1);
  SendResult(session, stanza, "");
}

// One that says what it said is left alone.
bool Engine::KeepBookmark(Account& owner, ItemNode& node, std::string_view room,
                          const Node& conference) {
  ByteWriter event(scratch2_);
  event.Text("<item");
  WriteAttribute("id", room, event);
  event.Char('>');
  const size_t begin = event.size();
  WriteBookmark(conference, event);
  const std::string_view said = event.text().substr(begin);
  const Item* before = items_->Find(node, room);
  const std::string_view had =
      before != nullptr ? items_->Read(owner, node, *before, scratch3_) : std::string_view();
  if (had.starts_with(said) &&
      (had.substr(said.size()).starts_with("<extensions") || had.substr(said.size()) == kItemEnd)) {
    return true;
  }
  event.Text(kItemEnd);
  const size_t end = event.size();
  event.Text("</item>");
  if (!event.ok() ||
      items_->Put(owner, node, room, event.text().substr(begin, end - begin)) == nullptr) {
    return false;
  }
  Notify(owner, node, event.text());
  return true;
}

// Unless storage names it.
void Engine::DropBookmark(Account& owner, ItemNode& node, Item& item, const Node& storage) {
  uint8_t bytes[kItemNameMax];
  const std::string_view name = items_->NameOf(item, bytes);
  for (const Node* child = storage.FirstElement(); child != nullptr; child = child->NextElement()) {
    if (RoomOf(*child) == name) {
      return;
    }
  }
  ByteWriter event(scratch2_);
  event.Text("<retract");
  WriteAttribute("id", name, event);
  event.Text("/>");
  items_->Remove(owner, node, item);
  Notify(owner, node, event.text());
}

void Engine::SendBookmarks(Session& session, const Node& stanza, ItemNode& node) {
  ByteWriter out(scratch2_);
  out.Text("<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>");
  for (const Item& item : node.items) {
    uint8_t bytes[kItemNameMax];
    const std::string_view text = items_->Read(*session.account, node, item, scratch3_);
    if (text.starts_with(kItemStart)) {
      out.Text("<conference");
      WriteAttribute("jid", items_->NameOf(item, bytes), out);
      out.Text(text.substr(kItemStart.size()));
    }
  }
  out.Text("</storage></query>");
  if (!out.ok()) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  SendResult(session, stanza, out.text());
}

}  // namespace gh::xmpp
