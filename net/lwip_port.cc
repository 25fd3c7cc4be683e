// Switching lwIP's state between instances. The hooks lwIP calls are in net/lwip_hooks.cc.
#include "net/lwip_port.h"

#include <cstring>

extern "C" {
// The linker makes these for a section whose name is a C identifier.
extern uint8_t __start_lwip_state[];
extern uint8_t __stop_lwip_state[];
}

namespace gh::net {
namespace internal {
LwipActive g_lwip_active;
}

namespace {

// lwIP's state as the image was loaded with it, kept from the first switch on: the start of every
// later instance. A process with one instance never fills it.
constexpr uint64_t kStateBytesMax = 128 * 1024;

struct Pristine {
  alignas(16) uint8_t bytes[kStateBytesMax];
  bool is_kept = false;
};
Pristine g_pristine;
uint64_t g_switch_count = 0;

std::span<uint8_t> State() {
  return {__start_lwip_state, static_cast<size_t>(__stop_lwip_state - __start_lwip_state)};
}

}  // namespace

LwipInstance::LwipInstance(Arena& arena, const Capacity& capacity, Stack& owner)
    : memory_(arena, capacity), owner_(owner), saved_(arena.NewArray<uint8_t>(State().size())) {
  GH_ASSERT_LE(State().size(), kStateBytesMax);
  if (!g_pristine.is_kept) {
    GH_ASSERT(internal::g_lwip_active.instance == nullptr);
    std::memcpy(g_pristine.bytes, State().data(), State().size());
    g_pristine.is_kept = true;
  }
  std::memcpy(saved_.data(), g_pristine.bytes, saved_.size());
}

LwipInstance::~LwipInstance() {
  if (internal::g_lwip_active.instance == this) {
    GH_ASSERT_EQ(internal::g_lwip_active.depth, 0u);
    internal::g_lwip_active.instance = nullptr;
  }
}

uint64_t LwipInstance::state_bytes() { return State().size(); }
uint64_t LwipInstance::switch_count() { return g_switch_count; }

void LwipScope::Switch(LwipInstance* to) {
  LwipInstance*& active = internal::g_lwip_active.instance;
  if (active != nullptr) {
    std::memcpy(active->saved_.data(), State().data(), State().size());
  }
  if (to != nullptr) {
    std::memcpy(State().data(), to->saved_.data(), State().size());
  }
  active = to;
  ++g_switch_count;
}

}  // namespace gh::net
