// Waiting with HLT.
//
// While the loop is busy no device interrupts it. Before it sleeps, every source arms its interrupt
// and says whether work came in meanwhile; only when none did, the processor halts, with interrupts
// enabled by the very instruction before (no wake-up is lost). The timer is armed for the deadline,
// or for kWakeMax, whichever is first; its interrupt also finds a loop that no longer turns.
#pragma once

#include <array>
#include <cstdint>

#include "board/pc/clock.h"
#include "board/pc/interrupts.h"
#include "hal/idle.h"
#include "hal/rt/wake_flag.h"

namespace gh::pc {

class InterruptSource {
 public:
  // Asks for an interrupt on new work; true when there is work already.
  virtual bool ArmInterrupt() = 0;

 protected:
  ~InterruptSource() = default;
};

class PcIdle final : public hal::Idle {
 public:
  static constexpr Duration kWakeMax = Duration::Seconds(1);
  // Of a machine whose console has no interrupt: a FIFO of 16 bytes lasts 1.4 ms.
  static constexpr Duration kWakePolling = Duration::Milliseconds(2);
  static constexpr uint32_t kSourceMax = 16;

  explicit PcIdle(PcClock& clock) : clock_(clock) {}
  PcIdle(const PcIdle&) = delete;
  PcIdle& operator=(const PcIdle&) = delete;

  void Add(InterruptSource& source);
  void Remove(InterruptSource& source);
  // Another processor has work for this one; true: it sleeps and is to be interrupted.
  bool Post() { return flag_.Post(); }
  // Interrupts are on from here.
  void Start(Duration wake_max);
  void WaitUntil(Instant deadline) override;

  // A loop that does not call NotePet() within `limit` hangs, or turns without doing its work: a
  // crash record with the place it is at, then the reset. Zero: no limit.
  void SetPetLimit(Duration limit);
  void NotePet();

  uint64_t halt_count() const { return halt_count_; }

 private:
  static void OnTimer(const TrapFrame& frame);

  PcClock& clock_;
  std::array<InterruptSource*, kSourceMax> sources_ = {};
  uint32_t source_count_ = 0;
  uint64_t halt_count_ = 0;
  WakeFlag flag_;
};

}  // namespace gh::pc
