// What xCommand runs: rooms add commands.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/admin/limits.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "hal/rt/result.h"

namespace gh::admin {

struct Command {
  const char* path = "";  // "Restart"
  const char* help = "";
  // Asked before it runs; empty: it runs at once. "Confirm: Yes" behind the command answers.
  const char* question = "";
  // Says what it did on `out`. `by` is the administrator.
  Result<void> (*run)(void* context, std::string_view by, ByteWriter& out) = nullptr;
  void* context = nullptr;
};

class CommandTable {
 public:
  void Add(const Command& command) {
    GH_ASSERT_LT(count_, kCommandMax);
    commands_[count_++] = command;
  }
  std::span<const Command> commands() const { return {commands_.data(), count_}; }

 private:
  std::array<Command, kCommandMax> commands_ = {};
  uint32_t count_ = 0;
};

}  // namespace gh::admin
