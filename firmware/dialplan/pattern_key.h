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
  void Add(char c) { value_ = value_ * 31 + static_cast<uint8_t>(AsciiLower(c)); }
  uint32_t value() const { return value_; }

 private:
  uint32_t value_ = 0;
};

struct PatternKey {
  enum class Part : uint8_t { kNothing, kWhole, kHead, kTail };
  uint32_t sum = 0;   // a TextSum; of a tail from its end to its beginning
  uint16_t size = 0;  // characters
  Part part = Part::kNothing;
};

// Of all heads and tails of one alias, which has at most kAliasBytesMax characters.
class AliasSums {
 public:
  explicit AliasSums(std::string_view alias) : size_(alias.size()) {
    TextSum head;
    TextSum tail;
    heads_[0] = tails_[0] = 0;
    for (size_t i = 0; i < size_; ++i) {
      head.Add(alias[i]);
      tail.Add(alias[size_ - 1 - i]);
      heads_[i + 1] = head.value();
      tails_[i + 1] = tail.value();
    }
  }
  // False: the pattern of that key does not match this alias.
  bool MayMatch(const PatternKey& key) const {
    if (key.size > size_) {
      return false;
    }
    switch (key.part) {
      case PatternKey::Part::kWhole:
        return key.size == size_ && key.sum == heads_[key.size];
      case PatternKey::Part::kHead:
        return key.sum == heads_[key.size];
      case PatternKey::Part::kTail:
        return key.sum == tails_[key.size];
      case PatternKey::Part::kNothing:
        break;
    }
    return true;
  }

 private:
  size_t size_;
  std::array<uint32_t, kAliasBytesMax + 1> heads_;  // by their size
  std::array<uint32_t, kAliasBytesMax + 1> tails_;
};

}  // namespace gh::dialplan
