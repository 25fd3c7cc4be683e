// Those who have subscribed to nodes, or have an affiliation with them. A row: u8 version, u8
// whether subscribed (1) and of another server (2), u8 affiliation, the bare address.
#include "firmware/xmpp/items.h"

#include <utility>

namespace gh::xmpp {
namespace {

constexpr uint8_t kRowVersion = 1;
constexpr uint8_t kSubscribed = 1;
constexpr uint8_t kAway = 2;

RowKey KeyOf(const NodeEntity& entity) {
  return RowKey('z', entity.owner->id, uint64_t{entity.of->number} << kItemBits | entity.number);
}

}  // namespace

Result<void> Items::LoadEntity(Account& account, ItemNode& node, const RowName& name,
                               std::span<const uint8_t> value) {
  ByteReader reader(value);
  const uint8_t version = reader.U8();
  const uint8_t flags = reader.U8();
  const uint8_t affiliation = reader.U8();
  const std::string_view address = AsText(reader.Rest());
  if (!reader.ok() || version != kRowVersion || address.empty() ||
      affiliation > static_cast<uint8_t>(NodeAffiliation::kOwner)) {
    return Error{ErrorCode::kCorrupt, "a subscriber of a node is not readable"};
  }
  node.next_entity = static_cast<uint32_t>(name.number & ((uint64_t{1} << kItemBits) - 1));
  NodeEntity* entity = AddEntity(account, node, address, (flags & kAway) != 0);
  if (entity == nullptr) {
    return Error{ErrorCode::kExhausted, "more subscribers of nodes than the profile has room for"};
  }
  entity->subscribed = (flags & kSubscribed) != 0;
  entity->affiliation = static_cast<NodeAffiliation>(affiliation);
  return Ok();
}

NodeEntity* Items::FindEntity(ItemNode& node, std::string_view address) {
  if (node.entities.empty()) {
    return nullptr;
  }
  const uint64_t hash = HashOf(address);
  for (NodeEntity& entity : node.entities) {
    uint8_t bytes[kAddressMax];
    if (entity.hash == hash && AddressOf(entity, bytes) == address) {
      return &entity;
    }
  }
  return nullptr;
}

// Other servers have as many users as they like.
bool Items::HasPlace(Account& account, const ItemNode& node, bool is_away) {
  uint32_t of_account = 0;
  for (ItemNode& each : account.nodes) {
    of_account += each.entities.size();
  }
  return node.entities.size() < kEntitiesPerNodeMax && of_account < kEntitiesPerUserMax &&
         (!is_away || away_count_ < uint64_t{entities_.capacity()} * kEntitiesAwayPercent / 100);
}

NodeEntity* Items::AddEntity(Account& account, ItemNode& node, std::string_view address,
                             bool is_away) {
  NodeEntity* entity = HasPlace(account, node, is_away) ? entities_.Allocate() : nullptr;
  if (entity == nullptr) {
    return nullptr;
  }
  if (!chains_.Append(entity->address, address)) {
    entities_.Release(entity);
    return nullptr;
  }
  entity->owner = &account;
  entity->of = &node;
  entity->number = node.next_entity++;
  entity->hash = HashOf(address);
  entity->user_hash = HashOf(BareOf(address));
  entity->is_away = is_away;
  entity->is_full = BareOf(address) != address;
  away_count_ += is_away ? 1 : 0;
  node.entities.PushBack(*entity);
  entity->next_of_user = std::exchange(FirstOf(entity->user_hash), entity);
  return entity;
}

bool Items::KeepEntity(NodeEntity& entity) {
  if (!entity.subscribed && entity.affiliation == NodeAffiliation::kNone) {
    RemoveEntity(entity);
    return true;
  }
  if (entity.is_full) {
    return true;
  }
  uint8_t bytes[kAddressMax + 8];
  uint8_t address[kAddressMax];
  ByteWriter row(bytes);
  row.U8(kRowVersion);
  row.U8(
      static_cast<uint8_t>((entity.subscribed ? kSubscribed : 0) | (entity.is_away ? kAway : 0)));
  row.U8(static_cast<uint8_t>(entity.affiliation));
  row.Text(AddressOf(entity, address));
  GH_ASSERT(row.ok());
  return keeper_.Put(KeyOf(entity), row.written()) != 0;
}

void Items::RemoveEntity(NodeEntity& entity) {
  if (!entity.is_full) {
    (void)keeper_.Remove(KeyOf(entity));
  }
  away_count_ -= entity.is_away ? 1 : 0;
  entity.of->entities.Remove(entity);
  NodeEntity** at = &FirstOf(entity.user_hash);
  while (*at != &entity) {
    at = &(*at)->next_of_user;
  }
  *at = entity.next_of_user;
  chains_.Free(entity.address);
  entities_.Release(&entity);
}

// Whoever has this name next is somebody else.
void Items::RemoveUser(std::string_view bare) {
  const uint64_t hash = HashOf(bare);
  for (NodeEntity *entity = FirstOf(hash), *next = nullptr; entity != nullptr; entity = next) {
    next = entity->next_of_user;
    uint8_t bytes[kAddressMax];
    if (entity->user_hash == hash && BareOf(AddressOf(*entity, bytes)) == bare) {
      RemoveEntity(*entity);
    }
  }
}

void Items::RemoveSession(std::string_view full) {
  const uint64_t hash = HashOf(full);
  for (NodeEntity *entity = FirstOf(HashOf(BareOf(full))), *next = nullptr; entity != nullptr;
       entity = next) {
    next = entity->next_of_user;
    uint8_t bytes[kAddressMax];
    if (entity->hash == hash && AddressOf(*entity, bytes) == full) {
      RemoveEntity(*entity);
    }
  }
}

uint32_t Items::SubscriptionCount(std::string_view bare) {
  const uint64_t hash = HashOf(bare);
  uint32_t count = 0;
  for (const NodeEntity* entity = FirstOf(hash); entity != nullptr; entity = entity->next_of_user) {
    count += entity->user_hash == hash && entity->subscribed ? 1 : 0;
  }
  return count;
}

}  // namespace gh::xmpp
