// The control plane's loop: poll sources in turn, run due timers, run deferred tasks; to
// completion.
//
// Single-threaded. Each source does bounded work per poll and says whether it has more. RunOnce
// returns the time by which it wants to be called again: now, if any source has more work.
#pragma once

#include <cstdint>

#include "hal/clock.h"
#include "hal/rt/list.h"
#include "hal/rt/timer_wheel.h"

namespace gh {

class Pollable {
 public:
  // Does a bounded batch of work; true when more is waiting.
  virtual bool Poll(Instant now) = 0;
  ListNode poll_node;
  const char* poll_name = "";
  uint64_t poll_busy_ns = 0;  // time spent, for xStatus
  uint64_t poll_count = 0;

 protected:
  ~Pollable() = default;
};

// A deferred call, run once after the sources of this turn: breaks re-entrancy between rooms.
class Task {
 public:
  using Callback = void (*)(void* context);
  Task(Callback callback, void* context) : callback_(callback), context_(context) {}
  ListNode task_node;

 private:
  friend class EventLoop;
  Callback callback_;
  void* context_;
  uint64_t round_ = 0;  // the task round before which it was deferred
};

class EventLoop {
 public:
  explicit EventLoop(hal::Clock& clock);

  // Sources are polled in the order they were added. A source may add or remove any source, itself
  // too, while it is polled.
  void Add(Pollable& source);
  void Remove(Pollable& source);
  void Defer(Task& task);  // no effect when already deferred; from a task: runs in the next turn
  void Cancel(Task& task);
  TimerWheel& timers() { return timers_; }
  Instant now() const { return now_; }  // the time of this turn; the same for all its callbacks

  // One turn. Returns when to call next, at the latest. Fires at most kTimerFirePerTurnMax timers.
  Instant RunOnce();

  uint64_t turn_count() const { return turn_count_; }
  Duration turn_max() const { return turn_max_; }

 private:
  bool PollSources();
  void RunTasks();

  hal::Clock& clock_;
  Instant now_;
  TimerWheel timers_;
  List<Pollable, &Pollable::poll_node> sources_;
  List<Task, &Task::task_node> tasks_;
  Pollable* source_current_ = nullptr;  // while polling; Remove() keeps both valid
  Pollable* source_next_ = nullptr;
  uint64_t task_round_ = 0;
  bool running_ = false;
  uint64_t turn_count_ = 0;
  Duration turn_max_;
};

}  // namespace gh
