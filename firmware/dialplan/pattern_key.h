// What an alias must be, begin or end with so that a pattern can match it at all, in eight bytes:
// of a thousand rules all but a few are ruled out by these alone, which lie side by side.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "firmware/dialplan/limits.h"
#include "hal/rt/ascii.h"

namespace gh::dialplan {

// Letters in either case are the same.
class TextSum {
 public:
  static constexpr uint32_t kFactor = 31;

  void Add(char c) { value_ = value_ * kFactor + static_cast<uint8_t>(AsciiLower(c)); }
  uint32_t value() const { return value_; }

 private:
  uint32_t value_ = 0;
};

struct PatternKey {
  enum class Part : uint8_t { kNothing, kWhole, kHead, kTail };
  uint32_t sum = 0;    // a TextSum
  uint8_t size = 0;    // characters
  uint8_t offset = 0;  // characters before it, of a tail behind it
  Part part = Part::kNothing;
};

// Of all parts of one alias, which has at most kAliasBytesMax characters.
class AliasSums {
 public:
  explicit AliasSums(std::string_view alias) : size_(alias.size()) {
    TextSum sum;
    heads_[0] = 0;
    for (size_t i = 0; i < size_; ++i) {
      sum.Add(alias[i]);
      heads_[i + 1] = sum.value();
    }
  }
  // False: the pattern of that key does not match this alias.
  bool MayMatch(const PatternKey& key) const {
    const size_t least = size_t{key.size} + key.offset;
    if (key.part == PatternKey::Part::kNothing) {
      return true;
    }
    if (least > size_ || (key.part == PatternKey::Part::kWhole && least != size_)) {
      return false;
    }
    const size_t at = key.part == PatternKey::Part::kTail ? size_ - least : key.offset;
    return key.sum == heads_[at + key.size] - heads_[at] * kPowers[key.size];
  }

 private:
  static constexpr std::array<uint32_t, UINT8_MAX + 1> kPowers = [] {
    std::array<uint32_t, UINT8_MAX + 1> powers = {1};
    for (size_t i = 1; i < powers.size(); ++i) {
      powers[i] = powers[i - 1] * TextSum::kFactor;
    }
    return powers;
  }();

  size_t size_;
  std::array<uint32_t, kAliasBytesMax + 1> heads_;  // by their size
};

static_assert(kPatternBytesMax <= UINT8_MAX);

}  // namespace gh::dialplan
