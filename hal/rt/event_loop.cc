#include "hal/rt/event_loop.h"

#include "hal/rt/limits.h"

namespace gh {

EventLoop::EventLoop(hal::Clock& clock) : clock_(clock), now_(clock.Now()), timers_(now_) {}

void EventLoop::Add(Pollable& source) { sources_.PushBack(source); }

void EventLoop::Remove(Pollable& source) {
  if (source_next_ == &source) {
    source_next_ = sources_.Next(source);
  }
  if (source_current_ == &source) {
    source_current_ = nullptr;
  }
  sources_.Remove(source);
}

void EventLoop::Defer(Task& task) {
  if (!task.task_node.linked()) {
    task.round_ = task_round_;
    tasks_.PushBack(task);
  }
}

void EventLoop::Cancel(Task& task) {
  if (task.task_node.linked()) {
    tasks_.Remove(task);
  }
}

bool EventLoop::PollSources() {
  bool more = false;
  Instant before = now_;
  source_current_ = sources_.front();
  while (source_current_ != nullptr) {
    source_next_ = sources_.Next(*source_current_);
    more = source_current_->Poll(now_) || more;
    const Instant after = clock_.Now();
    if (source_current_ != nullptr) {  // else it removed itself, and may be gone
      ++source_current_->poll_count;
      source_current_->poll_busy_ns += static_cast<uint64_t>((after - before).ns);
      source_next_ = sources_.Next(*source_current_);
    }
    before = after;
    source_current_ = source_next_;
  }
  source_next_ = nullptr;
  return more;
}

// Runs what was deferred before this round began; what tasks defer waits for the next turn.
void EventLoop::RunTasks() {
  ++task_round_;
  for (Task* task = tasks_.front(); task != nullptr && task->round_ < task_round_;
       task = tasks_.front()) {
    tasks_.Remove(*task);
    task->callback_(task->context_);  // may destroy the task
  }
}

Instant EventLoop::RunOnce() {
  GH_ASSERT(!running_);
  running_ = true;
  now_ = clock_.Now();
  const bool more = PollSources();
  timers_.Advance(now_, kTimerFirePerTurnMax);
  RunTasks();
  ++turn_count_;
  const Duration spent = clock_.Now() - now_;
  turn_max_ = spent > turn_max_ ? spent : turn_max_;
  running_ = false;
  return more || !tasks_.empty() ? now_ : timers_.NextDeadline();
}

}  // namespace gh
