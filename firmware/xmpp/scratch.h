// Bytes of an arena, which are zeros already: a loop over them would take most of the time of a
// fuzz target that makes a new engine for each input.
#pragma once

#include <cstdint>
#include <span>

#include "hal/rt/arena.h"

namespace gh::xmpp {

template <typename Byte = uint8_t>
std::span<Byte> NewBytes(Arena& arena, size_t count) {
  static_assert(sizeof(Byte) == 1);
  return {static_cast<Byte*>(arena.Allocate(count, 1)), count};
}

}  // namespace gh::xmpp
