// The last searches, each with the explanation of every decision, for `xStatus SIP Search` and
// support. A ring: the oldest goes when a new one comes.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "firmware/dialplan/limits.h"
#include "hal/rt/arena.h"
#include "hal/rt/bytes.h"
#include "hal/rt/time.h"

namespace gh::dialplan {

class SearchHistory {
 public:
  explicit SearchHistory(Arena& arena) : entries_(arena.NewArray<Entry>(kHistoryMax)) {}

  // Room for the explanation of a new search; Finish says how much was written.
  std::span<uint8_t> Start(Instant now) {
    Entry& entry = entries_[count_ % kHistoryMax];
    entry.size = 0;
    entry.at = now;
    return entry.text;
  }
  uint64_t Finish(size_t size) {
    entries_[count_ % kHistoryMax].size = static_cast<uint32_t>(size);
    return ++count_;
  }
  uint64_t count() const { return count_; }
  // The search of that number, 1 being the first ever; empty when it is gone.
  std::string_view Text(uint64_t number) const {
    if (number == 0 || number > count_ || count_ - number >= kHistoryMax) {
      return {};
    }
    const Entry& entry = entries_[(number - 1) % kHistoryMax];
    return AsText({entry.text.data(), entry.size});
  }
  Instant At(uint64_t number) const { return entries_[(number - 1) % kHistoryMax].at; }

 private:
  struct Entry {
    std::array<uint8_t, kHistoryBytes> text = {};
    uint32_t size = 0;
    Instant at;
  };
  std::span<Entry> entries_;
  uint64_t count_ = 0;
};

}  // namespace gh::dialplan
