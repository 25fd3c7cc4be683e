// Random numbers of a simulation: one seed, and from it an independent stream for each thing that
// draws, so that adding a draw in one place does not change what another place sees.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "hal/rt/assert.h"
#include "hal/rt/time.h"

namespace gh::sim {

// Two rounds of a 64-bit mix (splitmix64's finaliser): small, and good enough to tell runs apart.
constexpr uint64_t Mix(uint64_t a, uint64_t b) {
  uint64_t x = a + 0x9e3779b97f4a7c15 + b * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

constexpr uint64_t MixText(uint64_t a, std::string_view text) {
  for (char c : text) {
    a = Mix(a, static_cast<uint8_t>(c));
  }
  return Mix(a, text.size());
}

class Random {
 public:
  explicit Random(uint64_t seed) : state_(Mix(seed, 0x6761746568)) {}
  Random(uint64_t seed, std::string_view entity) : Random(MixText(seed, entity)) {}

  uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15;
    return Mix(state_, 0);
  }
  // 0 to bound-1.
  uint64_t Below(uint64_t bound) {
    GH_ASSERT_GT(bound, 0u);
    return Next() % bound;  // the bias is below bound / 2^64
  }
  // From min to max, both included.
  int64_t Between(int64_t min, int64_t max) {
    return min + static_cast<int64_t>(Below(static_cast<uint64_t>(max - min) + 1));
  }
  Duration Between(Duration min, Duration max) { return {Between(min.ns, max.ns)}; }
  bool Chance(double probability) {
    return static_cast<double>(Next() >> 11) * 0x1.0p-53 < probability;
  }
  void Fill(std::span<uint8_t> out) {
    for (uint8_t& byte : out) {
      byte = static_cast<uint8_t>(Next() >> 32);
    }
  }

 private:
  uint64_t state_;
};

}  // namespace gh::sim
