// lwIP's pools and heap over the arena, and the functions lwIP calls for them.
#include <cstring>

#include "net/limits.h"
#include "net/lwip_port.h"

extern "C" {
#include "lwip/etharp.h"
#include "lwip/icmp.h"
#include "lwip/ip4_frag.h"
#include "lwip/ip6_frag.h"
#include "lwip/mem.h"
#include "lwip/memp.h"
#include "lwip/mld6.h"
#include "lwip/pbuf.h"
#include "lwip/priv/nd6_priv.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/raw.h"
#include "lwip/tcp.h"
#include "lwip/udp.h"
}

namespace gh::net {
namespace {

constexpr uint32_t kReassemblyMax = 32;
constexpr uint32_t kFragmentPbufMax = 128;
constexpr uint32_t kPendingPacketMax = 128;  // waiting for an address resolution, all together
constexpr uint32_t kMulticastGroupMax = 64;
constexpr uint32_t kReferencePbufMax = 256;

struct PoolShape {
  uint32_t type;
  const char* name;
  uint32_t item_size;
};

constexpr PoolShape kShapes[] = {
#define LWIP_MEMPOOL(name, num, size, desc) {MEMP_##name, #name, static_cast<uint32_t>(size)},
#include "lwip/priv/memp_std.h"
};
static_assert(MEMP_MAX <= LwipMemory::kPoolMax);

uint32_t CountFor(uint32_t type, const Capacity& c) {
  switch (type) {
    case MEMP_UDP_PCB:
      return c.datagram_socket_count + c.dns_query_count + 4;  // DHCP's own
    case MEMP_TCP_PCB:
      return c.connection_count + c.time_wait_count + c.half_open_count;
    case MEMP_TCP_PCB_LISTEN:
      return kListenerMax;
    case MEMP_TCP_SEG:
      return c.segment_count;
    case MEMP_REASSDATA:
    case MEMP_IP6_REASSDATA:
      return kReassemblyMax;
    case MEMP_FRAG_PBUF:
      return kFragmentPbufMax;
    case MEMP_ARP_QUEUE:
    case MEMP_ND6_QUEUE:
      return kPendingPacketMax;
    case MEMP_MLD6_GROUP:
      return kMulticastGroupMax;
    case MEMP_PBUF:
      return kReferencePbufMax;
    default:
      return 4;
  }
}

}  // namespace

LwipMemory::LwipMemory(Arena& arena, const Capacity& capacity)
    : heap_(arena, capacity.buffer_bytes) {
  for (const PoolShape& shape : kShapes) {
    Pool& pool = pools_[shape.type];
    pool.name = shape.name;
    pool.item_size = (shape.item_size + 15) & ~15u;
    pool.item_count = CountFor(shape.type, capacity);
    pool.free_count = pool.free_count_min = pool.item_count;
    auto* memory =
        static_cast<uint8_t*>(arena.Allocate(size_t{pool.item_size} * pool.item_count, 16));
    for (uint32_t i = pool.item_count; i > 0; --i) {
      uint8_t* item = memory + size_t{i - 1} * pool.item_size;
      std::memcpy(item, &pool.free_list, sizeof(void*));
      pool.free_list = item;
    }
  }
}

void* LwipMemory::Allocate(uint32_t type) {
  Pool& pool = pools_[type];
  if (pool.free_list == nullptr) {
    ++pool.refused_count;
    return nullptr;
  }
  void* item = pool.free_list;
  std::memcpy(&pool.free_list, item, sizeof(void*));
  --pool.free_count;
  pool.free_count_min =
      pool.free_count < pool.free_count_min ? pool.free_count : pool.free_count_min;
  return item;
}

void LwipMemory::Release(uint32_t type, void* item) {
  Pool& pool = pools_[type];
  GH_ASSERT_LT(pool.free_count, pool.item_count);
  std::memcpy(item, &pool.free_list, sizeof(void*));
  pool.free_list = item;
  ++pool.free_count;
}

std::span<const LwipMemory::Pool> LwipMemory::pools() const {
  return std::span(pools_).first(MEMP_MAX);
}

}  // namespace gh::net

namespace {
gh::net::LwipMemory& ActiveMemory() {
  GH_ASSERT(gh::net::internal::g_lwip_active.instance != nullptr);
  return gh::net::internal::g_lwip_active.instance->memory();
}
}  // namespace

extern "C" {

void memp_init(void) {}
void* memp_malloc(memp_t type) { return ActiveMemory().Allocate(type); }
void memp_free(memp_t type, void* item) {
  if (item != nullptr) {
    ActiveMemory().Release(type, item);
  }
}
int gh_lwip_memp_available(int type) {
  return ActiveMemory().pool(static_cast<uint32_t>(type)).free_count > 0 ? 1 : 0;
}

void mem_init(void) {}
void* mem_malloc(mem_size_t size) { return ActiveMemory().heap().Allocate(size); }
void* mem_calloc(mem_size_t count, mem_size_t size) {
  return ActiveMemory().heap().AllocateZeroed(count, size);
}
void mem_free(void* memory) { ActiveMemory().heap().Free(memory); }
void* mem_trim(void* memory, mem_size_t) { return memory; }

}  // extern "C"
