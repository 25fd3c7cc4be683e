// A set of groups of settings: which of them a commit has changed, which of them a room goes by.
#pragma once

#include <cstdint>

#include "firmware/config/settings.gen.h"

namespace gh::config {

class GroupSet {
 public:
  constexpr GroupSet() = default;
  constexpr GroupSet(GroupId group) { Add(static_cast<uint32_t>(group)); }

  static constexpr GroupSet All() {
    GroupSet all;
    for (uint32_t group = 0; group < kGroupCount; ++group) {
      all.Add(group);
    }
    return all;
  }
  constexpr void Add(uint32_t group) { words_[group / 64] |= uint64_t{1} << group % 64; }
  constexpr bool empty() const { return (words_[0] | words_[1]) == 0; }
  // Whether some group is in both.
  constexpr bool Meets(const GroupSet& other) const {
    return ((words_[0] & other.words_[0]) | (words_[1] & other.words_[1])) != 0;
  }
  constexpr GroupSet& operator|=(const GroupSet& other) {
    words_[0] |= other.words_[0];
    words_[1] |= other.words_[1];
    return *this;
  }
  friend constexpr GroupSet operator|(GroupSet a, const GroupSet& b) { return a |= b; }
  friend constexpr bool operator==(const GroupSet&, const GroupSet&) = default;
  // Of the first 64 groups, for a crash record.
  constexpr uint64_t first_word() const { return words_[0]; }

 private:
  uint64_t words_[2] = {};
};
static_assert(kGroupCount <= 128);

// GroupId is an enumeration of another header: `|` of two of them is a set.
constexpr GroupSet operator|(GroupId a, GroupId b) { return GroupSet(a) | GroupSet(b); }

}  // namespace gh::config
