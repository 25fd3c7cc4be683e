// What accounts publish or keep: nodes, and items in them (XEP-0163, XEP-0060), vCards (XEP-0054)
// and private storage (XEP-0049). Names and numbers are in memory, what an item says is in the
// keeper's rows alone.
//
// Fault model: as the directory's: what the keeper does not take is refused. An item is published
// by writing its rows before the one it replaces is forgotten; both are in one commit.
#pragma once

#include <span>
#include <string_view>

#include "firmware/xmpp/directory.h"

namespace gh::xmpp {

struct ItemCapacity {
  uint32_t nodes = 0;
  uint32_t items = 0;
};

class Items {
 public:
  Items(Arena& arena, const ItemCapacity& capacity, ChainPool& chains, Keeper& keeper)
      : chains_(chains),
        keeper_(keeper),
        nodes_(arena, capacity.nodes),
        items_(arena, capacity.items) {}
  static uint64_t ArenaBytes(const ItemCapacity& capacity) {
    return uint64_t{capacity.nodes} * Pool<ItemNode>::bytes_per_item() +
           uint64_t{capacity.items} * Pool<Item>::bytes_per_item() + sizeof(Items) + 128;
  }

  // A row as it was kept; nodes come before their items.
  Result<void> Load(Account& account, const RowName& name, std::span<const uint8_t> value);

  ItemNode* Find(Account& account, std::string_view name, bool is_private = false);
  // Null: a limit. `from` says how it is to be.
  ItemNode* Make(Account& account, std::string_view name, const ItemNode& from);
  bool Keep(Account& account, ItemNode& node);
  void RemoveNode(Account& account, ItemNode& node);
  void Clear(Account& account);

  Item* Find(ItemNode& node, std::string_view name);
  // Replaces the item of that name; the oldest go when the node is full. Null: a limit.
  Item* Put(Account& account, ItemNode& node, std::string_view name, std::string_view payload);
  void Remove(Account& account, ItemNode& node, Item& item);
  // Its payload, in `out`; empty when it cannot be read.
  std::string_view Read(const Account& account, const ItemNode& node, const Item& item,
                        std::span<uint8_t> out);
  std::string_view NameOf(const ItemNode& node, std::span<uint8_t> out) const {
    return chains_.Text(node.name, out);
  }
  std::string_view NameOf(const Item& item, std::span<uint8_t> out) const {
    return chains_.Text(item.name, out);
  }
  uint32_t node_count() const { return nodes_.used_count(); }
  uint32_t item_count() const { return items_.used_count(); }

 private:
  ChainPool& chains_;
  Keeper& keeper_;
  Pool<ItemNode> nodes_;
  Pool<Item> items_;
};

}  // namespace gh::xmpp
