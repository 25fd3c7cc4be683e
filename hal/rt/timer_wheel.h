// Hierarchical timer wheel: O(1) arm, cancel and expiry, no allocation, any number of timers.
//
// A Timer is a member of the object it serves. It fires once, at or up to one tick after its
// deadline, never before. Cancelling an idle timer is allowed. A callback may arm, re-arm or cancel
// any timer, and may destroy its own object. Timers of one tick fire in the order of their
// deadlines' ticks; within a tick in arming order, so that a simulation replays exactly.
#pragma once

#include <array>
#include <cstdint>

#include "hal/rt/list.h"
#include "hal/rt/time.h"

namespace gh {

class TimerWheel;

class Timer {
 public:
  using Callback = void (*)(Timer& timer, void* context);

  Timer() = default;
  Timer(Callback callback, void* context) : callback_(callback), context_(context) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer();  // cancels

  void Set(Callback callback, void* context) {
    callback_ = callback;
    context_ = context;
  }
  // Binds a member function: timer.Bind<&Transaction::OnTimerA>(this).
  template <auto Method, typename T>
  void Bind(T* object) {
    Set([](Timer&, void* context) { (static_cast<T*>(context)->*Method)(); }, object);
  }
  bool armed() const { return node_.linked(); }
  Instant deadline() const { return deadline_; }

 private:
  friend class TimerWheel;
  ListNode node_;
  TimerWheel* wheel_ = nullptr;
  Instant deadline_;
  Callback callback_ = nullptr;
  void* context_ = nullptr;
  uint16_t slot_ = 0;
};

// The wheel: kLevels levels of kSlots slots; a tick is 1 ms; deadlines beyond the top level's reach
// (about 2 years at 6 levels of 64 slots) are re-queued until they come near.
class TimerWheel {
 public:
  static constexpr Duration kTick = Duration::Milliseconds(1);
  static constexpr uint32_t kSlotBits = 6;
  static constexpr uint32_t kSlots = 1u << kSlotBits;
  static constexpr uint32_t kLevels = 6;

  explicit TimerWheel(Instant now);
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // (Re-)arms `timer` to fire at `deadline`; a past deadline fires on the next Advance.
  void Arm(Timer& timer, Instant deadline);
  void Arm(Timer& timer, Duration delay) { Arm(timer, now_ + delay); }
  void Cancel(Timer& timer);

  // Fires everything due at `now`, at most `fire_count_max` timers (the rest stay due). Returns how
  // many fired.
  uint32_t Advance(Instant now, uint32_t fire_count_max = UINT32_MAX);
  // A time at or before which Advance should next be called; Instant::Max() when no timer is armed.
  // May be earlier than the next expiry (when a cascade is due), never later.
  Instant NextDeadline() const;

  Instant now() const { return now_; }  // the time of the last Advance
  uint32_t armed_count() const { return armed_count_; }

 private:
  using Slot = List<Timer, &Timer::node_>;

  uint64_t TickOf(Instant t) const;
  void Place(Timer& timer);
  void Cascade(uint32_t level);

  Instant start_;
  Instant now_;
  uint64_t tick_ = 0;  // ticks fully processed since start_
  uint32_t armed_count_ = 0;
  std::array<uint64_t, kLevels> occupied_ = {};  // bit i: slot i of the level is not empty
  std::array<std::array<Slot, kSlots>, kLevels> slots_;
};

}  // namespace gh
