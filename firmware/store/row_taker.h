// Copies the one row of a key out of a walk through a table; `size` stays 0 when there is none, or
// when it does not fit.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/store/store.h"

namespace gh::store {

class RowTaker final : public EntryVisitor {
 public:
  RowTaker(std::string_view key, std::span<uint8_t> out) : key_(key), out_(out) {}
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    if (key == key_ && value.size() <= out_.size()) {
      std::ranges::copy(value, out_.begin());
      size = value.size();
    }
  }
  size_t size = 0;

 private:
  std::string_view key_;
  std::span<uint8_t> out_;
};

}  // namespace gh::store
