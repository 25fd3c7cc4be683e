// The second processor (INIT, SIPI, SIPI; Intel SDM volume 3, 9.4.4) as the media plane's.
//
// It is brought up at boot and waits in our code, with tables, stacks, shadow stacks and interrupts
// of its own, until the appliance gives it a body; then the Ethernet ports interrupt it and no
// longer the boot processor. Either processor wakes the other by an interrupt, sent only to one
// that sleeps. A crash of either stops the other first (board/pc/crash.cc). What is wrong with the
// second processor (it does not start, its clock is another one) leaves the machine with one.
#pragma once

#include <array>
#include <atomic>

#include "board/pc/acpi.h"
#include "board/pc/clock.h"
#include "board/pc/idle.h"
#include "board/pc/memory_map.h"
#include "board/pc/paging.h"
#include "board/pc/virtio_net.h"
#include "hal/machine.h"
#include "hal/rt/wake_flag.h"

namespace gh::pc {

class MediaProcessor final : public hal::MediaProcessor {
 public:
  MediaProcessor(PcClock& clock, PcIdle& control) : clock_(clock), control_(control) {}
  MediaProcessor(const MediaProcessor&) = delete;
  MediaProcessor& operator=(const MediaProcessor&) = delete;

  // kNoDevice: there is no other processor. Takes at most about 30 ms.
  Result<void> BringUp(PageTables& pages, const MemoryMap& memory, const MadtInfo& madt);
  void AddPort(VirtioNet& port);
  void Stop();  // for ever

  Result<void> Start(hal::ProcessorBody& body) override;
  void WakeMedia() override;
  void WakeControl() override;
  const char* name() const override { return name_; }

  // The processor's own.
  [[noreturn]] void Run();

 private:
  Result<void> SendStart(uint64_t page);
  Result<void> CompareClocks();
  void Sleep(Instant deadline);

  PcClock& clock_;
  PcIdle& control_;
  WakeFlag media_flag_;
  uint32_t boot_id_ = 0;
  uint32_t apic_id_ = 0;
  std::array<VirtioNet*, hal::kEthernetPortMax> ports_ = {};
  uint32_t port_count_ = 0;
  std::atomic<bool> is_up_ = false;
  std::atomic<uint64_t> clock_asked_ = 0;  // by the boot processor: answer with your TSC
  std::atomic<uint64_t> clock_told_ = 0;
  std::atomic<hal::ProcessorBody*> body_ = nullptr;
  char name_[32] = {};
};

}  // namespace gh::pc
