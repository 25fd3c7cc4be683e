// The machine as this board finds it: what exists, in the order it comes up.
//
// Built once, in the arena, after the page tables are ours. A device that does not answer is said
// so on the console and left out; what the appliance cannot do without (time, entropy, an interrupt
// controller) ends the boot with a crash record.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "board/pc/acpi.h"
#include "board/pc/boot_control.h"
#include "board/pc/clock.h"
#include "board/pc/entropy.h"
#include "board/pc/fw_cfg.h"
#include "board/pc/idle.h"
#include "board/pc/media_processor.h"
#include "board/pc/memory_map.h"
#include "board/pc/paging.h"
#include "board/pc/pci.h"
#include "board/pc/tpm_crb.h"
#include "board/pc/uart.h"
#include "board/pc/virtio_block.h"
#include "board/pc/virtio_console.h"
#include "board/pc/virtio_net.h"
#include "board/pc/watchdog.h"
#include "boot/handover.h"
#include "hal/frame.h"
#include "hal/machine.h"
#include "hal/rt/arena.h"
#include "image/gpt.h"

namespace gh::pc {

class PcMachine {
 public:
  PcMachine(Arena& arena, PageTables& pages, const MemoryMap& memory,
            const boot::Handover& handover, const PreviousRun& previous);
  PcMachine(const PcMachine&) = delete;
  PcMachine& operator=(const PcMachine&) = delete;

  hal::Machine& machine() { return machine_; }
  PcIdle& idle() { return idle_; }
  PcClock& clock() { return clock_; }
  PcWatchdog& watchdog() { return watchdog_; }
  // For tests: the second processor ends its work at once and for ever.
  void StopMedia() { media_.Stop(); }
  // A development image's test command (fw_cfg opt/gatehouse/selftest), "" if none.
  std::string_view self_test() const { return self_test_; }

 private:
  // Lets an input byte end the sleep.
  class ConsoleSource final : public InterruptSource {
   public:
    bool ArmInterrupt() override {
      console_uart.Poll();
      return console_uart.has_input();
    }
  };

  void StartProcessor();
  void StartTime();
  void FindDevices();
  void AddVirtio(const PciDevice& device);
  void AddPort(const PciDevice& device);
  void AddDisk(const PciDevice& device);
  void StartConsole();
  void StartEntropy();
  void StartMedia();
  void BindPartitions();
  void FindProvision();
  void Describe();
  uint8_t NextVector();

  Arena& arena_;
  PageTables& pages_;
  const MemoryMap& memory_;
  const boot::Handover& handover_;
  AcpiInfo acpi_;
  PcClock clock_;
  PcIdle idle_;
  MediaProcessor media_{clock_, idle_};
  Pci pci_;
  FwCfg fw_cfg_;
  hal::FramePool frames_;
  PcEntropy entropy_;
  PcBootControl boot_;
  PcWatchdog watchdog_;
  ConsoleSource console_source_;
  VirtioEntropy virtio_entropy_;
  bool has_virtio_entropy_ = false;
  VirtioConsole token_;
  TpmCrb tpm_{clock_};
  bool has_token_ = false;
  std::array<VirtioBlock*, kBlockDiskMax> disks_ = {};
  uint32_t disk_count_ = 0;
  uint32_t boot_disk_ = UINT32_MAX;
  uint32_t port_count_ = 0;
  uint8_t vector_count_ = 0;
  BlockView store_;
  BlockView log_;
  BlockView boot_state_;
  std::array<BlockView, 2> slots_;
  BlockView factory_;
  std::span<uint8_t> gpt_scratch_;
  char description_[128] = {};
  std::string_view self_test_;
  hal::Machine machine_;
};

}  // namespace gh::pc
