// Boot services in the shapes the loader wants: pages, the random seed, tables, the way out.
#pragma once

#include <cstdint>
#include <span>

#include "boot/handover.h"
#include "boot/memory_map.h"
#include "boot/uefi/efi.h"
#include "hal/rt/result.h"

namespace gh::boot {

class Services {
 public:
  explicit Services(efi::SystemTable& system, efi::Handle image)
      : system_(system), boot_(*system.boot), image_(image) {}

  efi::BootServices& boot() { return boot_; }
  efi::Handle image() const { return image_; }
  // At least `size` bytes in whole pages. kExhausted when the machine has no such memory.
  Result<std::span<uint8_t>> AllocatePages(uint64_t size, efi::MemoryType type);
  // As AllocatePages, at an address drawn at random from free memory (boot/place.h); where UEFI
  // puts it when the map cannot be read or every address drawn is refused.
  Result<std::span<uint8_t>> AllocateAnywhere(uint64_t size, efi::MemoryType type,
                                              std::span<uint8_t> map_buffer);
  void FreePages(std::span<uint8_t> pages);
  bool ReserveAt(uint64_t address, uint64_t size);
  // TSC ticks per millisecond, measured against the firmware's timer.
  uint64_t MeasureTscPerMs();
  void DisableWatchdog();
  [[noreturn]] void ResetMachine(efi::ResetType type);

  // The parts of the hand-over that only the firmware knows.
  void DescribeFirmware(Handover& handover);
  // Fills in the memory map and leaves boot services. On an error they are still there.
  Result<void> Leave(std::span<uint8_t> map_buffer, std::span<const MemoryMark> marks,
                     Handover& handover);

 private:
  uint64_t Random64();
  bool FillRandom(std::span<uint8_t> out);
  uint64_t FindRsdp() const;
  bool IsSecureBoot() const;

  efi::SystemTable& system_;
  efi::BootServices& boot_;
  efi::Handle image_;
};

}  // namespace gh::boot
