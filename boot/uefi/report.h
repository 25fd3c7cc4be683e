// What the boot chain says: on the console, and kept for the recovery console's `log`.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "boot/chain.h"
#include "boot/limits.h"
#include "boot/uefi/console.h"

namespace gh::boot {

class ConsoleReport final : public ChainReport {
 public:
  explicit ConsoleReport(Console& console) : console_(console) {}
  ConsoleReport(const ConsoleReport&) = delete;
  ConsoleReport& operator=(const ConsoleReport&) = delete;

  void Line(std::string_view text) override;
  void Warning(std::string_view text) override;
  void Progress(std::string_view step, uint64_t done, uint64_t total) override;
  // From the first line on; what has no more room is not kept.
  std::string_view log() const { return {log_.data(), size_}; }

 private:
  void Keep(std::string_view text);
  Console& console_;
  std::array<char, kLogTextMax> log_;
  uint32_t size_ = 0;
  uint64_t shown_percent_ = 0;
};

}  // namespace gh::boot
