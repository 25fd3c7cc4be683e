#include "hal/rt/timer_wheel.h"

#include <bit>
#include <type_traits>

namespace gh {

static_assert(sizeof(Timer) <= 48 || sizeof(void*) > 8);
static_assert(std::is_standard_layout_v<Timer>);

Timer::~Timer() {
  if (armed()) {
    wheel_->Cancel(*this);
  }
}

TimerWheel::TimerWheel(Instant now) : start_(now), now_(now) {
  for (auto& level : slots_) {
    for (ListNode& slot : level) {
      Reset(slot);
    }
  }
  Reset(far_);
  Reset(late_);
  Reset(moving_);
  Reset(firing_);
}

TimerWheel::~TimerWheel() {
  GH_ASSERT(!advancing_);
  for (auto& level : slots_) {
    for (ListNode& slot : level) {
      Disarm(slot);
    }
  }
  Disarm(far_);
  Disarm(late_);
  Disarm(moving_);
  Disarm(firing_);
}

// --- Lists: as List<Timer>, but a node can be unlinked without knowing which list it is in
// ---------

Timer& TimerWheel::TimerOf(ListNode& node) {
  return reinterpret_cast<Timer&>(node);  // standard layout, first member
}

void TimerWheel::PushBack(ListNode& head, ListNode& node) {
  node.previous = head.previous;
  node.next = &head;
  head.previous->next = &node;
  head.previous = &node;
}

// A linked node has both neighbours, which the analyzer cannot know.
void TimerWheel::Unlink(ListNode& node) {
  node.previous->next = node.next;      // NOLINT(clang-analyzer-core.NullDereference)
  node.next->previous = node.previous;  // NOLINT(clang-analyzer-core.NullDereference)
  node.previous = node.next = nullptr;
}

void TimerWheel::SpliceBack(ListNode& from, ListNode& to) {
  if (IsEmpty(from)) {
    return;
  }
  from.next->previous = to.previous;
  from.previous->next = &to;
  to.previous->next = from.next;
  to.previous = from.previous;
  Reset(from);
}

void TimerWheel::Disarm(ListNode& head) {
  while (!IsEmpty(head)) {
    Unlink(*head.next);
  }
}

// --- Ticks
// -----------------------------------------------------------------------------------------

// The difference of two int64 values always fits uint64; no overflow whatever the arguments.
uint64_t TimerWheel::TickAtOrAfter(Instant t) const {
  if (t <= start_) {
    return 0;
  }
  const uint64_t ns = static_cast<uint64_t>(t.ns) - static_cast<uint64_t>(start_.ns);
  constexpr auto kTickNs = static_cast<uint64_t>(kTick.ns);
  return ns / kTickNs + (ns % kTickNs != 0 ? 1 : 0);
}

uint64_t TimerWheel::TickAtOrBefore(Instant t) const {
  GH_ASSERT_GE(t.ns, start_.ns);
  const uint64_t ns = static_cast<uint64_t>(t.ns) - static_cast<uint64_t>(start_.ns);
  return ns / static_cast<uint64_t>(kTick.ns);
}

Instant TimerWheel::InstantOf(uint64_t tick) const {
  uint64_t ns = 0;
  int64_t sum = 0;
  if (__builtin_mul_overflow(tick, static_cast<uint64_t>(kTick.ns), &ns) ||
      __builtin_add_overflow(start_.ns, ns, &sum) || sum > Instant::Max().ns) {
    return Instant::Max();
  }
  return {sum};
}

// --- Arming
// ----------------------------------------------------------------------------------------

void TimerWheel::Arm(Timer& timer, Instant deadline) {
  GH_ASSERT(timer.callback_ != nullptr);
  Cancel(timer);
  timer.wheel_ = this;
  timer.deadline_ = deadline;
  ++armed_count_;
  const uint64_t tick = TickAtOrAfter(deadline);
  if (tick <= now_tick_) {
    PushBack(late_, timer.node_);
    return;
  }
  Place(timer, tick);
}

void TimerWheel::Arm(Timer& timer, Duration delay) {
  int64_t sum = 0;
  const bool overflow = __builtin_add_overflow(now_.ns, delay.ns, &sum);
  Arm(timer, overflow && delay.ns > 0 ? Instant::Max() : Instant{overflow ? start_.ns : sum});
}

void TimerWheel::Place(Timer& timer, uint64_t tick) {
  GH_ASSERT_GE(tick, tick_);
  if (!IsEmpty(moving_) && tick < move_tick_end_) {
    PushBack(moving_, timer.node_);  // behind the older ones of its slot
    return;
  }
  if (tick == tick_) {
    PushBack(firing_, timer.node_);  // the first tick of a slot taken apart
    return;
  }
  const auto bits = static_cast<uint32_t>(std::bit_width(tick ^ tick_));
  if (bits > kReachBits) {
    PushBack(far_, timer.node_);
    return;
  }
  const uint32_t level = (bits - 1) / kSlotBits;
  const uint32_t digit = DigitOf(tick, level);
  PushBack(slots_[level][digit], timer.node_);
  occupied_[level] |= uint64_t{1} << digit;
}

void TimerWheel::Cancel(Timer& timer) {
  if (!timer.armed()) {
    return;
  }
  GH_ASSERT(timer.wheel_ == this);
  GH_ASSERT_GT(armed_count_, 0u);
  --armed_count_;
  ListNode* const neighbour = timer.node_.next;
  Unlink(timer.node_);
  // The last one of a list leaves only the head, and the head's address says which slot it is.
  const ListNode* first = slots_.front().data();
  const auto offset = reinterpret_cast<uintptr_t>(neighbour) - reinterpret_cast<uintptr_t>(first);
  if (IsEmpty(*neighbour) && offset < sizeof(slots_)) {
    const size_t index = offset / sizeof(ListNode);
    occupied_[index / kSlots] &= ~(uint64_t{1} << (index % kSlots));
  }
}

// --- Time
// ------------------------------------------------------------------------------------------

// The earliest occupied slot: levels are in order of time, so it is the first one of the lowest
// level in use. `tick` is the first tick of the slot; for far_ (level kLevels) the end of our
// reach.
bool TimerWheel::NextOccupied(uint32_t* level, uint64_t* tick) const {
  for (uint32_t i = 0; i < kLevels; ++i) {
    if (occupied_[i] != 0) {
      const auto digit = static_cast<uint64_t>(std::countr_zero(occupied_[i]));
      GH_ASSERT_GT(digit, uint64_t{DigitOf(tick_, i)});
      const uint32_t shift = i * kSlotBits;
      *level = i;
      *tick = (tick_ >> (shift + kSlotBits) << (shift + kSlotBits)) | digit << shift;
      return true;
    }
  }
  *level = kLevels;
  *tick = ((tick_ >> kReachBits) + 1) << kReachBits;
  return !IsEmpty(far_);
}

// Goes to the next occupied slot not after `target` and queues its timers for firing (level 0) or
// for moving (above). False: there is none, and the wheel is at `target`.
bool TimerWheel::Step(uint64_t target) {
  GH_ASSERT(IsEmpty(moving_) && IsEmpty(firing_));
  uint32_t level = 0;
  uint64_t tick = 0;
  if (!NextOccupied(&level, &tick) || tick > target) {
    tick_ = target;
    return false;
  }
  GH_ASSERT_GT(tick, tick_);
  tick_ = tick;
  if (level == 0) {
    const uint32_t digit = DigitOf(tick, 0);
    SpliceBack(slots_[0][digit], firing_);
    occupied_[0] &= ~(uint64_t{1} << digit);
    return true;
  }
  if (level == kLevels) {
    SpliceBack(far_, moving_);
    move_tick_end_ = UINT64_MAX;
    return true;
  }
  const uint32_t digit = DigitOf(tick, level);
  SpliceBack(slots_[level][digit], moving_);
  occupied_[level] &= ~(uint64_t{1} << digit);
  move_tick_end_ = tick + (uint64_t{1} << (level * kSlotBits));
  return true;
}

// Takes the slot in moving_ apart, in order. far_ may hand timers back to far_: they are out of
// moving_ by then, and Place() must not put them behind those still in it.
void TimerWheel::MoveSome() {
  ListNode rest;
  Reset(rest);
  SpliceBack(moving_, rest);
  while (!IsEmpty(rest) && move_left_ > 0) {
    Timer& timer = TimerOf(*rest.next);
    Unlink(timer.node_);
    Place(timer, TickAtOrAfter(timer.deadline_));
    --move_left_;
  }
  SpliceBack(rest, moving_);
}

void TimerWheel::FireSome() {
  while (!IsEmpty(firing_) && fire_left_ > 0) {
    Timer& timer = TimerOf(*firing_.next);
    GH_ASSERT_LE(TickAtOrAfter(timer.deadline_), now_tick_);  // never early
    Unlink(timer.node_);
    --armed_count_;
    --fire_left_;
    timer.callback_(timer, timer.context_);  // may destroy the timer: not touched after this
  }
}

uint32_t TimerWheel::Advance(Instant now, uint32_t fire_count_max) {
  GH_ASSERT(!advancing_);
  GH_ASSERT_GE(now.ns, now_.ns);
  advancing_ = true;
  now_ = now;
  now_tick_ = TickAtOrBefore(now);
  fire_left_ = fire_count_max;
  move_left_ =
      fire_count_max == UINT32_MAX ? UINT64_MAX : uint64_t{fire_count_max} * kTimerMovePerFireMax;
  SpliceBack(late_, firing_);
  do {
    MoveSome();
    FireSome();
  } while (fire_left_ > 0 && IsEmpty(moving_) && Step(now_tick_));
  advancing_ = false;
  return fire_count_max - fire_left_;
}

Instant TimerWheel::NextDeadline() const {
  if (!IsEmpty(firing_) || !IsEmpty(moving_) || !IsEmpty(late_)) {
    return now_;
  }
  uint32_t level = 0;
  uint64_t tick = 0;
  return NextOccupied(&level, &tick) ? InstantOf(tick) : Instant::Max();
}

}  // namespace gh
