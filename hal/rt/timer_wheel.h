// Hierarchical timer wheel: O(1) arm, cancel and expiry, no allocation, any number of timers.
//
// A Timer is a member of the object it serves. It fires once, at or up to one tick after its
// deadline, never before. Cancelling an idle timer is allowed. A callback may arm, re-arm or cancel
// any timer, and may destroy its own object. Timers of one tick fire in the order of their
// deadlines' ticks; within a tick in arming order, so that a simulation replays exactly.
//
// A deadline that is already past when it is armed is late: late timers fire first in the next
// Advance, in arming order, never in the Advance whose callback armed them. So no callback can keep
// an Advance from ending.
//
// Invariants: a timer's level is the highest 6-bit digit in which its tick differs from tick_, its
// slot that digit of its tick. So everything on a level is due before anything above it, digits
// in use are greater than tick_'s own, and slots are FIFO in arming order even across cascades.
// Jumps of the clock skip empty slots by their bitmaps; they cost what is due, not what time
// passed.
#pragma once

#include <array>
#include <cstdint>

#include "hal/rt/limits.h"
#include "hal/rt/list.h"
#include "hal/rt/time.h"

namespace gh {

class TimerWheel;

// 48 bytes on 64-bit machines.
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
  Instant deadline() const { return deadline_; }  // as last armed

 private:
  friend class TimerWheel;
  ListNode node_;  // first: TimerWheel goes from node to timer
  TimerWheel* wheel_ = nullptr;
  Instant deadline_;
  Callback callback_ = nullptr;
  void* context_ = nullptr;
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
  ~TimerWheel();  // disarms whatever is left; O(timers)

  // (Re-)arms `timer` to fire at `deadline`; a past deadline fires on the next Advance.
  void Arm(Timer& timer, Instant deadline);
  // From the time of the last Advance; a sum beyond the range of Instant is Instant::Max().
  void Arm(Timer& timer, Duration delay);
  // `timer` is idle or armed in this wheel.
  void Cancel(Timer& timer);

  // Fires everything due at `now`, at most `fire_count_max` timers (the rest stay due). Returns how
  // many fired. With a limit it also moves at most kTimerMovePerFireMax times as many timers
  // between levels, and may so return less than the limit while timers are still due:
  // NextDeadline() is then not after `now`. `now` never goes back. Not from a callback.
  uint32_t Advance(Instant now, uint32_t fire_count_max = UINT32_MAX);
  // A time at or before which Advance should next be called; Instant::Max() when no timer is armed.
  // May be earlier than the next expiry (when a cascade is due), never later.
  Instant NextDeadline() const;

  Instant now() const { return now_; }  // the time of the last Advance
  uint32_t armed_count() const { return armed_count_; }

 private:
  static constexpr uint32_t kReachBits = kSlotBits * kLevels;

  static uint32_t DigitOf(uint64_t tick, uint32_t level) {
    return static_cast<uint32_t>(tick >> (level * kSlotBits)) & (kSlots - 1);
  }
  static Timer& TimerOf(ListNode& node);
  static void Reset(ListNode& head) { head.previous = head.next = &head; }
  static bool IsEmpty(const ListNode& head) { return head.next == &head; }
  static void PushBack(ListNode& head, ListNode& node);
  static void Unlink(ListNode& node);
  static void SpliceBack(ListNode& from, ListNode& to);
  static void Disarm(ListNode& head);

  uint64_t TickAtOrAfter(Instant t) const;
  uint64_t TickAtOrBefore(Instant t) const;
  Instant InstantOf(uint64_t tick) const;
  void Place(Timer& timer, uint64_t tick);
  bool NextOccupied(uint32_t* level, uint64_t* tick) const;
  bool Step(uint64_t target);
  void MoveSome();
  void FireSome();

  Instant start_;
  Instant now_;
  uint64_t tick_ = 0;      // all slots of ticks up to this one have been emptied
  uint64_t now_tick_ = 0;  // tick of now_; ahead of tick_ while a limited Advance has left work
  uint64_t move_tick_end_ = 0;  // one past the last tick of the slot in moving_
  uint32_t armed_count_ = 0;
  uint32_t fire_left_ = 0;  // budgets of the running Advance
  uint64_t move_left_ = 0;
  bool advancing_ = false;
  std::array<uint64_t, kLevels> occupied_ = {};  // bit i: slot i of the level is not empty
  std::array<std::array<ListNode, kSlots>, kLevels> slots_;
  ListNode far_;     // beyond the reach of the top level
  ListNode late_;    // armed past their deadline since the last Advance began
  ListNode moving_;  // a slot of a higher level being taken apart
  ListNode firing_;  // due at tick_ or late
};

}  // namespace gh
