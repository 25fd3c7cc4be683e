// Waiting: ppoll over the devices' descriptors with a nanosecond deadline, level-triggered, so that
// nothing that was ready before the call is lost. Optionally spins for a while first.
//
// Wake-ups are moderated as a network card moderates interrupts: while work comes in faster than
// one wake-up costs, a short sleep that no arrival ends lets frames gather into one batch. A wait
// after a quiet while is never delayed.
#pragma once

#include <array>
#include <cstdint>

#include "board/host/limits.h"
#include "hal/clock.h"
#include "hal/idle.h"

namespace gh::board {

// A device that may wake the machine. Asked anew before each wait.
class PollSource {
 public:
  virtual int poll_fd() const = 0;          // -1: nothing to wait for now
  virtual int16_t poll_events() const = 0;  // POLLIN, POLLOUT
  // Work that no descriptor shows, e.g. frames already read; the wait then returns at once.
  virtual bool has_pending() const { return false; }

 protected:
  ~PollSource() = default;
};

class HostIdle final : public hal::Idle {
 public:
  HostIdle(hal::Clock& clock, uint32_t busy_poll_us, uint32_t moderation_us);

  void Add(PollSource& source);
  void WaitUntil(Instant deadline) override;
  uint64_t sleep_count() const { return sleep_count_; }

 private:
  // Polls for `timeout`; true when something may have work (or a signal came).
  bool Poll(Duration timeout);
  // Sleeps without looking while the machine is busy; true when there is work then.
  bool Moderate(Instant now, Instant deadline);

  hal::Clock& clock_;
  uint32_t busy_poll_us_;
  Duration moderation_;
  Instant last_work_;  // when a wait last ended with work
  std::array<PollSource*, kPollFdsMax> sources_ = {};
  uint32_t source_count_ = 0;
  uint64_t sleep_count_ = 0;
};

}  // namespace gh::board
