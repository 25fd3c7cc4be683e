// What accounts publish or keep: nodes, and items in them (XEP-0163, XEP-0060), vCards (XEP-0054)
// and private storage (XEP-0049). Names and numbers are in memory, what an item says is in the
// keeper's rows alone.
//
// Entities are those who have subscribed to a node, or have an affiliation with it. Bare addresses
// are kept in rows of their own; one with a resource is subscribed for as long as it is there.
//
// Fault model: as the directory's: what the keeper does not take is refused. An item is published
// by writing its rows before the one it replaces is forgotten; both are in one commit.
#pragma once

#include <bit>
#include <span>
#include <string_view>

#include "firmware/xmpp/directory.h"

namespace gh::xmpp {

struct ItemCapacity {
  uint32_t nodes = 0;
  uint32_t items = 0;
  uint32_t entities = 0;
};

// What is a node's has its number above these bits of its own in the row's.
inline constexpr uint32_t kItemBits = 40;

class Items {
 public:
  Items(Arena& arena, const ItemCapacity& capacity, ChainPool& chains, Keeper& keeper,
        const SipKey& key)
      : chains_(chains),
        keeper_(keeper),
        key_(key),
        nodes_(arena, capacity.nodes),
        items_(arena, capacity.items),
        entities_(arena, capacity.entities),
        by_user_(arena.NewArray<NodeEntity*>(std::bit_ceil(capacity.entities))) {}
  static uint64_t ArenaBytes(const ItemCapacity& capacity) {
    return uint64_t{capacity.nodes} * Pool<ItemNode>::bytes_per_item() +
           uint64_t{capacity.items} * Pool<Item>::bytes_per_item() +
           uint64_t{capacity.entities} * Pool<NodeEntity>::bytes_per_item() +
           uint64_t{std::bit_ceil(capacity.entities)} * sizeof(NodeEntity*) + sizeof(Items) + 192;
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
  // --- Entities (entities.cc) ---
  NodeEntity* FindEntity(ItemNode& node, std::string_view address);
  // Null: a limit. It has neither subscription nor affiliation yet, and is not kept.
  NodeEntity* AddEntity(Account& account, ItemNode& node, std::string_view address, bool is_away);
  // One that is nothing to the node any more goes. False: the keeper takes no more.
  bool KeepEntity(NodeEntity& entity);
  void RemoveEntity(NodeEntity& entity);
  // All that this user's addresses are to nodes of others, or what one of his sessions is.
  void RemoveUser(std::string_view bare);
  void RemoveSession(std::string_view full);
  void AdoptDomains(Account& account, Adoption& adoption);  // adoption.cc
  // Of one user, whoever's the nodes are.
  uint32_t SubscriptionCount(std::string_view bare);
  std::string_view AddressOf(const NodeEntity& entity, std::span<uint8_t> out) const {
    return chains_.Text(entity.address, out);
  }
  uint32_t entity_count() const { return entities_.used_count(); }
  uint32_t entity_capacity() const { return entities_.capacity(); }
  uint32_t node_count() const { return nodes_.used_count(); }
  uint32_t item_count() const { return items_.used_count(); }

 private:
  Result<void> LoadNode(Account& account, const RowName& name, std::span<const uint8_t> value);
  Result<void> LoadEntity(Account& account, ItemNode& node, const RowName& name,
                          std::span<const uint8_t> value);
  // The first of those whose user's hash shares a place in the table; next_of_user leads on.
  NodeEntity*& FirstOf(uint64_t user_hash) { return by_user_[user_hash & (by_user_.size() - 1)]; }
  bool HasPlace(Account& account, const ItemNode& node, bool is_away);
  uint64_t HashOf(std::string_view text) const { return SipHash13(key_, text); }

  ChainPool& chains_;
  Keeper& keeper_;
  const SipKey key_;
  Pool<ItemNode> nodes_;
  Pool<Item> items_;
  Pool<NodeEntity> entities_;
  std::span<NodeEntity*> by_user_;
  uint32_t away_count_ = 0;  // entities of other servers
};

}  // namespace gh::xmpp
