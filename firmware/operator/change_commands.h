// xCommand Configuration History, Show, Compare and Revert: the history of changes for an operator.
// Defaults: a group of settings as it came.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/admin/commands.h"
#include "firmware/config/configuration.h"
#include "firmware/log/log.h"
#include "firmware/log/time_zone.h"
#include "hal/rt/arena.h"

namespace gh {

class ChangeCommands {
 public:
  ChangeCommands(Arena& arena, config::Configuration& configuration, config::History& history,
                 log::Log& log, const log::TimeZone& zone);
  ChangeCommands(const ChangeCommands&) = delete;
  ChangeCommands& operator=(const ChangeCommands&) = delete;

  void AddTo(admin::CommandTable& commands);

 private:
  static constexpr uint32_t kTextBytes = 64 * 1024;

  Result<void> Show(std::string_view value, ByteWriter& out);
  Result<void> Compare(std::string_view value, ByteWriter& out);
  Result<void> Revert(std::string_view by, std::string_view value, ByteWriter& out);
  Result<void> Defaults(std::string_view value, ByteWriter& out);
  bool NextCommit(uint64_t& cursor, ByteWriter& out);
  bool NextLine(uint64_t& cursor, ByteWriter& out);
  void BeginText();
  void AddLine(std::string_view path, std::string_view before, std::string_view after);
  void EndText();

  config::Configuration& configuration_;
  config::History& history_;
  log::Log& log_;
  const log::TimeZone& zone_;
  std::span<uint8_t> text_;  // of the answer being shown, whole lines
  size_t text_size_ = 0;
  uint32_t left_out_ = 0;
  uint64_t generation_ = 0;  // of the text: another session may ask meanwhile
};

}  // namespace gh
