// The recovery console: what is left when no image may be started, or when somebody asks for it.
//
// It works on COM1 (or the firmware's keyboard and screen where there is none). It can put a signed
// image into a slot, choose what is started, reset to factory, and say why the machine is here. It
// starts nothing itself and shows no secret; whoever can use it can also press the reset button.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "boot/chain.h"
#include "boot/limits.h"
#include "boot/uefi/console.h"
#include "boot/uefi/partitions.h"
#include "boot/uefi/report.h"
#include "boot/uefi/services.h"

namespace gh::boot {

// What is known of the security version's hardware counter.
struct CounterStatus {
  const char* name = "none";
  uint64_t value = 0;
};

class Recovery {
 public:
  Recovery(Services& services, Console& console, PartitionDisk& disk, Chain& chain,
           const ConsoleReport& report, const CounterStatus& counter, uint64_t tsc_per_ms)
      : services_(services),
        console_(console),
        disk_(disk),
        chain_(chain),
        report_(report),
        counter_(counter),
        tsc_per_ms_(tsc_per_ms) {}
  Recovery(const Recovery&) = delete;
  Recovery& operator=(const Recovery&) = delete;

  // Returns when images are to be tried again. True: only golden.
  bool Run();

 private:
  enum class Next : uint8_t { kStay, kContinue, kGolden };

  std::string_view ReadLine(std::string_view prompt);
  Next Execute(std::string_view line);
  Next Boot(std::string_view which);
  Next Reset(std::string_view option);
  void Help();
  void ShowState();
  void ShowSlot(uint32_t index);
  void ShowStored(image::PartitionRole role);
  void Tell(const Result<void>& result);

  Services& services_;
  Console& console_;
  PartitionDisk& disk_;
  Chain& chain_;
  const ConsoleReport& report_;
  const CounterStatus& counter_;
  uint64_t tsc_per_ms_;
  std::array<char, kCommandSizeMax> line_;
};

}  // namespace gh::boot
