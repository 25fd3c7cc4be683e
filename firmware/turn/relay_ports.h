// The relay ports of one address: which are free, whose the others are.
//
// A port is free, in use, or resting: a port that was used is not given again for a while, lest a
// stranger's late datagrams reach its next owner. Free ports are picked at random. Invariant: free,
// resting and used ports together are all ports of the range.
#pragma once

#include <cstdint>
#include <span>

#include "crypto/random.h"
#include "hal/rt/arena.h"
#include "hal/rt/result.h"
#include "hal/rt/time.h"

namespace gh::turn {

class RelayPorts {
 public:
  static constexpr uint32_t kNobody = UINT32_MAX;

  RelayPorts(Arena& arena, crypto::Random& random, uint32_t capacity);
  // All ports are free afterwards; nobody may hold one. A range beyond the capacity is cut.
  void SetRange(uint16_t first, uint16_t last, Duration rest);

  // kExhausted: none is free, some may rest.
  Result<uint16_t> Take(Instant now, uint32_t owner);
  // An even port; with `pair` its upper neighbour is free too and taken for `owner` as well.
  Result<uint16_t> TakeEven(Instant now, uint32_t owner, bool pair);
  void Give(Instant now, uint16_t port);
  void SetOwner(uint16_t port, uint32_t owner);
  uint32_t OwnerOf(uint16_t port) const;  // kNobody: not in use, or not of the range

  uint32_t free_count() const { return free_count_; }
  uint32_t resting_count() const { return resting_count_; }
  uint32_t used_count() const { return count_ - free_count_ - resting_count_; }
  uint32_t port_count() const { return count_; }

 private:
  static constexpr uint16_t kNotFree = UINT16_MAX;
  struct Resting {
    uint16_t offset = 0;
    Instant until;
  };
  void Wake(Instant now);
  void MakeFree(uint16_t offset);
  void TakeOffset(uint16_t offset, uint32_t owner);
  bool IsFree(uint32_t offset) const { return offset < count_ && position_[offset] != kNotFree; }

  crypto::Random& random_;
  std::span<uint16_t> free_;      // offsets, in no order
  std::span<uint16_t> position_;  // of an offset in free_, or kNotFree
  std::span<uint32_t> owner_;
  std::span<Resting> resting_;  // a ring, oldest first
  uint16_t first_ = 0;
  uint32_t count_ = 0;
  uint32_t free_count_ = 0;
  uint32_t resting_first_ = 0;
  uint32_t resting_count_ = 0;
  Duration rest_;
};

}  // namespace gh::turn
