// The event loop: order within a turn, and sources, tasks and timers that come and go in it.
#include "hal/rt/event_loop.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace gh {
namespace {

class FakeClock final : public hal::Clock {
 public:
  Instant Now() override {
    time = time + step;
    return time;
  }
  WallTime Wall() override { return {}; }
  void SetWall(int64_t) override {}
  Instant time{1'000'000};
  Duration step;
};

struct Source final : Pollable {
  explicit Source(std::function<bool()> body_in) : body(std::move(body_in)) {}
  bool Poll(Instant) override { return body(); }
  std::function<bool()> body;
};

struct Call {
  explicit Call(std::function<void()> body_in)
      : body(std::move(body_in)),
        task([](void* context) { static_cast<Call*>(context)->body(); }, this) {}
  std::function<void()> body;
  Task task;
};

class EventLoopTest : public testing::Test {
 protected:
  FakeClock clock_;
  EventLoop loop_{clock_};
  std::string log_;
};

TEST_F(EventLoopTest, SourcesThenTimersThenTasks) {
  Call task([this] { log_ += "task "; });
  Source first([&] {
    log_ += "first ";
    loop_.Defer(task.task);
    loop_.Defer(task.task);  // no effect
    return false;
  });
  Source second([this] {
    log_ += "second ";
    return false;
  });
  Timer timer([](Timer&, void* log) { *static_cast<std::string*>(log) += "timer "; }, &log_);
  loop_.Add(first);
  loop_.Add(second);
  loop_.timers().Arm(timer, clock_.time);
  EXPECT_EQ(loop_.RunOnce(), Instant::Max());
  EXPECT_EQ(log_, "first second timer task ");
  EXPECT_EQ(loop_.turn_count(), 1u);
}

TEST_F(EventLoopTest, ReturnsWhenItWantsToRunAgain) {
  bool more = true;
  Source source([&more] { return more; });
  Source quiet([] { return false; });
  loop_.Add(source);
  loop_.Add(quiet);
  EXPECT_EQ(loop_.RunOnce(), clock_.time);
  more = false;
  EXPECT_EQ(loop_.RunOnce(), Instant::Max());
  Timer timer([](Timer&, void*) {}, nullptr);
  loop_.timers().Arm(timer, clock_.time + Duration::Milliseconds(5));
  EXPECT_EQ(loop_.RunOnce(), clock_.time + Duration::Milliseconds(5));
}

TEST_F(EventLoopTest, TaskThatDefersItselfRunsOnceATurn) {
  int count = 0;
  Call* self = nullptr;
  Call task([&] {
    ++count;
    loop_.Defer(self->task);
  });
  self = &task;
  loop_.Defer(task.task);
  EXPECT_EQ(loop_.RunOnce(), clock_.time);  // there is more
  EXPECT_EQ(count, 1);
  loop_.RunOnce();
  EXPECT_EQ(count, 2);
  loop_.Cancel(task.task);
  loop_.Cancel(task.task);
  EXPECT_EQ(loop_.RunOnce(), Instant::Max());
  EXPECT_EQ(count, 2);
}

TEST_F(EventLoopTest, TaskMayCancelAndDestroyOthers) {
  auto third = std::make_unique<Call>([this] { log_ += "third "; });
  Call second([this] { log_ += "second "; });
  Call fourth([this] { log_ += "fourth "; });
  std::unique_ptr<Call> first;
  first = std::make_unique<Call>([&] {
    log_ += "first ";
    loop_.Cancel(third->task);
    third.reset();
    loop_.Defer(fourth.task);  // next turn
  });
  loop_.Defer(first->task);
  loop_.Defer(second.task);
  loop_.Defer(third->task);
  loop_.RunOnce();
  EXPECT_EQ(log_, "first second ");
  loop_.RunOnce();
  EXPECT_EQ(log_, "first second fourth ");
}

TEST_F(EventLoopTest, SourcesMayComeAndGoWhilePolled) {
  std::vector<std::unique_ptr<Source>> sources;
  auto add = [&](char name, std::function<void()> body) {
    sources.push_back(std::make_unique<Source>([this, name, body] {
      log_ += name;
      body();
      return false;
    }));
  };
  add('a', [&] {
    loop_.Remove(*sources[1]);  // the next one
    sources[1].reset();
  });
  add('b', [] {});
  add('c', [&] {
    loop_.Remove(*sources[2]);  // itself
    loop_.Remove(*sources[0]);  // one before
  });
  add('d', [&] { loop_.Add(*sources[4]); });  // from the end
  add('e', [&] { loop_.Remove(*sources[4]); });
  for (size_t i = 0; i < 4; ++i) {
    loop_.Add(*sources[i]);
  }
  loop_.RunOnce();
  EXPECT_EQ(log_, "acde");
  log_.clear();
  loop_.RunOnce();
  EXPECT_EQ(log_, "de");
}

TEST_F(EventLoopTest, OneTimeForTheWholeTurnAndTimeIsBooked) {
  clock_.step = Duration::Microseconds(10);
  Instant seen;
  Source slow([&] {
    clock_.time = clock_.time + Duration::Milliseconds(3);
    return false;
  });
  Source quick([&] {
    seen = loop_.now();
    return false;
  });
  loop_.Add(slow);
  loop_.Add(quick);
  const Instant before = clock_.time;
  loop_.RunOnce();
  EXPECT_EQ(seen, before + clock_.step);
  EXPECT_EQ(slow.poll_busy_ns, 3'010'000u);
  EXPECT_EQ(quick.poll_busy_ns, 10'000u);
  EXPECT_EQ(slow.poll_count, 1u);
  EXPECT_GE(loop_.turn_max(), Duration::Milliseconds(3));
}

TEST_F(EventLoopTest, TimersOfOneTurnAreBounded) {
  uint32_t fired = 0;
  std::vector<std::unique_ptr<Timer>> timers;
  for (uint32_t i = 0; i < kTimerFirePerTurnMax + 1; ++i) {
    timers.push_back(std::make_unique<Timer>(
        [](Timer&, void* count) { ++*static_cast<uint32_t*>(count); }, &fired));
    loop_.timers().Arm(*timers.back(), clock_.time);
  }
  EXPECT_LE(loop_.RunOnce(), clock_.time);  // at once
  EXPECT_EQ(fired, kTimerFirePerTurnMax);
  EXPECT_EQ(loop_.RunOnce(), Instant::Max());
  EXPECT_EQ(fired, kTimerFirePerTurnMax + 1);
}

TEST_F(EventLoopTest, NotFromWithinItself) {
  Source source([this] {
    loop_.RunOnce();
    return false;
  });
  loop_.Add(source);
  EXPECT_DEATH(loop_.RunOnce(), "running_");
}

}  // namespace
}  // namespace gh
