// Linux clocks and entropy behind the machine's interfaces.
#pragma once

#include "hal/clock.h"
#include "hal/entropy.h"

namespace gh::board {

// SetWall keeps an offset of its own: the system's clock is never touched.
class HostClock final : public hal::Clock {
 public:
  Instant Now() override;
  WallTime Wall() override;
  void SetWall(int64_t unix_ns) override;

 private:
  int64_t wall_offset_ns_ = 0;
};

class HostEntropy final : public hal::Entropy {
 public:
  void Fill(std::span<uint8_t> out) override;
  const char* source() const override { return "getrandom"; }
};

}  // namespace gh::board
