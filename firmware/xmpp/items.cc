// Rows: a node's is u8 version, u8 access and four bits above it who publishes, u8 whether it is
// private, u16 how many items, its name. An item's first part is u8 parts, u16 size and its name,
// the payload; those behind it are u8 parts and payload.
#include "firmware/xmpp/items.h"

#include <algorithm>

namespace gh::xmpp {
namespace {

constexpr uint8_t kRowVersion = 1;
constexpr uint32_t kPartMax = kRowMax - 1;
constexpr uint8_t kAccessMax = static_cast<uint8_t>(ItemAccess::kRoster);
constexpr uint8_t kPublishMax = static_cast<uint8_t>(PublishModel::kOpen);
constexpr Error kBadRow{ErrorCode::kCorrupt, "a published item is not readable"};

uint64_t NumberOf(const ItemNode& node, uint64_t item) {
  return uint64_t{node.number} << kItemBits | item;
}

}  // namespace

Result<void> Items::LoadNode(Account& account, const RowName& name,
                             std::span<const uint8_t> value) {
  ByteReader reader(value);
  ItemNode* node = nodes_.Allocate();
  if (node == nullptr) {
    return Error{ErrorCode::kExhausted, "more nodes than the profile has room for"};
  }
  const uint8_t version = reader.U8();
  const uint8_t access = reader.U8();
  node->is_private = reader.U8() != 0;
  node->item_max = reader.U16Be();
  node->number = static_cast<uint32_t>(name.number);
  const auto text = reader.Rest();
  if (!reader.ok() || version != kRowVersion || (access & 0xf) > kAccessMax ||
      access >> 4 > kPublishMax || text.empty() || !chains_.Append(node->name, text)) {
    nodes_.Release(node);
    return kBadRow;
  }
  node->access = static_cast<ItemAccess>(access & 0xf);
  node->publish = static_cast<PublishModel>(access >> 4);
  account.nodes.PushBack(*node);
  return Ok();
}

Result<void> Items::Load(Account& account, const RowName& name, std::span<const uint8_t> value) {
  if (name.kind == 'w') {
    return LoadNode(account, name, value);
  }
  ByteReader reader(value);
  const auto number = static_cast<uint32_t>(name.number >> kItemBits);
  ItemNode* node = nullptr;
  for (ItemNode& each : account.nodes) {
    node = each.number == number ? &each : node;
  }
  if (name.kind == 'z') {
    return node != nullptr ? LoadEntity(account, *node, name, value) : Result<void>(kBadRow);
  }
  const uint8_t parts = reader.U8();
  if (node == nullptr || !reader.ok()) {
    return kBadRow;
  }
  if (name.part != 0) {
    return Ok();
  }
  Item* item = items_.Allocate();
  const auto text = reader.Take(reader.U16Be());
  if (item == nullptr || !reader.ok() || !chains_.Append(item->name, text)) {
    if (item != nullptr) {
      items_.Release(item);
    }
    return Error{ErrorCode::kExhausted, "more published items than the profile has room for"};
  }
  item->number = name.number & ((uint64_t{1} << kItemBits) - 1);
  item->parts = parts;
  node->next_item = std::max(node->next_item, item->number + 1);
  node->items.PushBack(*item);
  return Ok();
}

// --- Nodes ---------------------------------------------------------------------------------------

ItemNode* Items::Find(Account& account, std::string_view name, bool is_private) {
  for (ItemNode& node : account.nodes) {
    uint8_t bytes[kNodeNameMax];
    if (node.is_private == is_private && node.name.size == name.size() &&
        NameOf(node, bytes) == name) {
      return &node;
    }
  }
  return nullptr;
}

ItemNode* Items::Make(Account& account, std::string_view name, const ItemNode& from) {
  uint32_t number = 1;
  for (const ItemNode& node : account.nodes) {
    number = std::max(number, node.number + 1);
  }
  const bool fits = account.nodes.size() < kNodesPerUserMax && !name.empty() &&
                    name.size() <= kNodeNameMax && number < (1u << 24);
  ItemNode* node = fits ? nodes_.Allocate() : nullptr;
  if (node == nullptr) {
    return nullptr;
  }
  if (!chains_.Append(node->name, name)) {
    nodes_.Release(node);
    return nullptr;
  }
  node->number = number;
  node->item_max = from.item_max;
  node->access = from.access;
  node->publish = from.publish;
  node->is_private = from.is_private;
  account.nodes.PushBack(*node);
  if (!Keep(account, *node)) {
    RemoveNode(account, *node);
    return nullptr;
  }
  return node;
}

bool Items::Keep(Account& account, ItemNode& node) {
  uint8_t bytes[kNodeNameMax + 16];
  uint8_t name[kNodeNameMax];
  ByteWriter row(bytes);
  row.U8(kRowVersion);
  row.U8(static_cast<uint8_t>(static_cast<uint32_t>(node.publish) << 4 |
                              static_cast<uint32_t>(node.access)));
  row.U8(node.is_private ? 1 : 0);
  row.U16Be(node.item_max);
  row.Text(NameOf(node, name));
  GH_ASSERT(row.ok());
  while (node.items.size() > node.item_max) {
    Remove(account, node, *node.items.front());
  }
  return keeper_.Put(RowKey('w', account.id, node.number), row.written()) != 0;
}

void Items::RemoveNode(Account& account, ItemNode& node) {
  while (Item* item = node.items.front()) {
    Remove(account, node, *item);
  }
  while (NodeEntity* entity = node.entities.front()) {
    RemoveEntity(*entity);
  }
  (void)keeper_.Remove(RowKey('w', account.id, node.number));
  account.nodes.Remove(node);
  chains_.Free(node.name);
  nodes_.Release(&node);
}

void Items::Clear(Account& account) {
  while (ItemNode* node = account.nodes.front()) {
    RemoveNode(account, *node);
  }
}

// --- Items ---------------------------------------------------------------------------------------

Item* Items::Find(ItemNode& node, std::string_view name) {
  for (Item& item : node.items) {
    uint8_t bytes[kItemNameMax];
    if (item.name.size == name.size() && NameOf(item, bytes) == name) {
      return &item;
    }
  }
  return nullptr;
}

Item* Items::Put(Account& account, ItemNode& node, std::string_view name,
                 std::string_view payload) {
  const size_t parts = (2 + name.size() + payload.size() + kPartMax - 1) / kPartMax;
  const bool fits = name.size() <= kItemNameMax && !name.empty() && parts <= kMessagePartsMax;
  Item* item = fits ? items_.Allocate() : nullptr;
  if (item == nullptr) {
    return nullptr;
  }
  item->number = node.next_item++;
  item->parts = static_cast<uint8_t>(parts);
  bool kept = chains_.Append(item->name, name);
  for (uint32_t part = 0; part < parts && kept; ++part) {
    uint8_t bytes[kRowMax];
    ByteWriter row(bytes);
    row.U8(item->parts);
    if (part == 0) {
      row.U16Be(static_cast<uint16_t>(name.size()));
      row.Text(name);
    }
    const size_t take = std::min(row.room(), payload.size());
    row.Text(payload.substr(0, take));
    payload = payload.substr(take);
    kept = keeper_.Put(RowKey('x', account.id, NumberOf(node, item->number), part),
                       row.written()) != 0;
  }
  if (!kept) {
    for (uint32_t part = 0; part < parts; ++part) {
      (void)keeper_.Remove(RowKey('x', account.id, NumberOf(node, item->number), part));
    }
    chains_.Free(item->name);
    items_.Release(item);
    return nullptr;
  }
  if (Item* before = Find(node, name)) {
    Remove(account, node, *before);
  }
  node.items.PushBack(*item);
  while (node.items.size() > std::max<uint32_t>(node.item_max, 1)) {
    Remove(account, node, *node.items.front());
  }
  return item;
}

void Items::Remove(Account& account, ItemNode& node, Item& item) {
  for (uint32_t part = 0; part < item.parts; ++part) {
    (void)keeper_.Remove(RowKey('x', account.id, NumberOf(node, item.number), part));
  }
  node.items.Remove(item);
  chains_.Free(item.name);
  items_.Release(&item);
}

std::string_view Items::Read(const Account& account, const ItemNode& node, const Item& item,
                             std::span<uint8_t> out) {
  size_t used = 0;
  for (uint32_t part = 0; part < item.parts; ++part) {
    uint8_t bytes[kRowMax];
    const size_t size =
        keeper_.Read(RowKey('x', account.id, NumberOf(node, item.number), part), bytes);
    const size_t skip = part == 0 ? 3 + item.name.size : 1;
    if (size < skip || size - skip > out.size() - used) {
      return {};
    }
    std::copy_n(bytes + skip, size - skip, out.begin() + static_cast<std::ptrdiff_t>(used));
    used += size - skip;
  }
  return AsText(out.first(used));
}

}  // namespace gh::xmpp
