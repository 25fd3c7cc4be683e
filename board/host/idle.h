// Waiting: ppoll over the devices' descriptors with a nanosecond deadline, level-triggered, so that
// nothing that was ready before the call is lost. Optionally spins for a while first.
//
// Wake-ups are moderated as a network card moderates interrupts: while frames come in faster than
// wake-ups pay, a short sleep that no arrival ends lets them gather into one batch. A wait after a
// quiet while is never delayed.
#pragma once

#include <array>
#include <cstdint>
#include <ctime>
#include <optional>

#include "board/host/limits.h"
#include "hal/clock.h"
#include "hal/idle.h"
#include "hal/rt/result.h"
#include "hal/rt/wake_flag.h"

namespace gh::board {

// A device that may wake the machine. Asked anew before each wait.
class PollSource {
 public:
  virtual int poll_fd() const = 0;          // -1: nothing to wait for now
  virtual int16_t poll_events() const = 0;  // POLLIN, POLLOUT
  // Work that no descriptor shows, e.g. frames already read; the wait then returns at once.
  virtual bool has_pending() const { return false; }
  // What came so far; nothing: it does not count.
  virtual std::optional<uint64_t> arrivals() const { return std::nullopt; }

 protected:
  ~PollSource() = default;
};

// Ends a wait from another thread: a flag while nobody sleeps, an eventfd when somebody does.
class WakeBell {
 public:
  Result<void> Open();
  void Ring();  // the other thread's
  // Around a wait; false: there is work already.
  bool BeginSleep() { return flag_.BeginSleep(); }
  void EndSleep(bool was_rung);
  int fd() const { return fd_; }

 private:
  WakeFlag flag_;
  int fd_ = -1;
};

class HostIdle final : public hal::Idle {
 public:
  HostIdle(hal::Clock& clock, uint32_t busy_poll_us, uint32_t moderation_us);

  void Add(PollSource& source);
  void Remove(PollSource& source);
  void SetModeration(uint32_t us) { moderation_ = Duration::Microseconds(us); }
  void SetBell(WakeBell& bell) { bell_ = &bell; }
  // Of the calling thread: what a thread that waits here does first.
  static void TightenTimers();
  void WaitUntil(Instant deadline) override;
  uint64_t sleep_count() const { return sleep_count_; }

 private:
  bool PollSources(const timespec& wait);
  // Polls for `timeout`; true when something may have work (or a signal came).
  bool Poll(Duration timeout);
  // Sleeps without looking while the machine is busy; true when there is work then.
  bool Moderate(Instant now, Instant deadline);
  // Whether a sleep would gather anything, by what came lately.
  bool GathersAnything(Instant now);

  hal::Clock& clock_;
  uint32_t busy_poll_us_;
  Duration moderation_;
  Instant last_work_;      // when a wait last ended with work
  Instant counted_since_;  // a window of some sleeps' length,
  uint64_t counted_ = 0;   // what had come when it began,
  bool gathers_ = true;    // and what was found in the one before
  std::array<PollSource*, kPollFdsMax> sources_ = {};
  uint32_t source_count_ = 0;
  uint64_t sleep_count_ = 0;
  WakeBell* bell_ = nullptr;
};

}  // namespace gh::board
