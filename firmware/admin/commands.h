// What xCommand runs: rooms add commands. "xCommand <path>[: <value>] [Confirm: Yes]".
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/admin/identity.h"
#include "firmware/admin/limits.h"
#include "firmware/admin/terminal.h"
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

  // A command that takes a value ("CrashRecord Show: 3"): what is expected, for help and errors.
  // run_value is called then instead of run; `value` is never empty.
  const char* value_help = "";
  Result<void> (*run_value)(void* context, std::string_view by, std::string_view value,
                            ByteWriter& out) = nullptr;
  // A command that lists: after it ran well, its lines are pulled as those of a status node, with
  // a stop at --More--.
  bool (*next)(void* context, uint64_t& cursor, ByteWriter& out) = nullptr;
  // After the command ran well, this has the terminal until it is done.
  TerminalGuest* guest = nullptr;
  // It only looks: any role may run it.
  bool only_looks = false;

  // Only the role Administrator may run it.
  bool administrator_only = false;
  // The value holds a secret: it is kept from history and audit log.
  bool secret_value = false;
  // It takes tens of milliseconds of the processor: it runs when nothing else is due.
  bool slow = false;
  // A listing that waits for more (ping, follow): when `next` has nothing and this says true, the
  // session asks again later instead of ending it. Ctrl-C and a closed session call `cancel`.
  bool (*pending)(void* context, uint64_t cursor) = nullptr;
  void (*cancel)(void* context) = nullptr;

  Right needs() const {
    return only_looks ? Right::kLook : administrator_only ? Right::kAdminister : Right::kChange;
  }
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
