// The timer wheel: edge by edge, then random operations against a plain model.
#include "hal/rt/timer_wheel.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <random>
#include <vector>

namespace gh {
namespace {

constexpr Instant At(int64_t ms) { return Instant() + Duration::Milliseconds(ms); }

// Appends its number to a log when it fires.
struct Logged {
  Logged(std::vector<int>& log_in, int number_in) : log(log_in), number(number_in) {
    timer.Bind<&Logged::Fire>(this);
  }
  void Fire() { log.push_back(number); }
  std::vector<int>& log;
  int number;
  Timer timer;
};

TEST(TimerWheelTest, TimerIsSmall) { EXPECT_LE(sizeof(Timer), 48u); }

TEST(TimerWheelTest, FiresOnceNeverEarly) {
  TimerWheel wheel(At(100));
  std::vector<int> log;
  Logged a(log, 1);
  wheel.Arm(a.timer, At(110));
  EXPECT_TRUE(a.timer.armed());
  EXPECT_EQ(a.timer.deadline(), At(110));
  EXPECT_EQ(wheel.NextDeadline(), At(110));
  EXPECT_EQ(wheel.Advance(At(109)), 0u);
  EXPECT_EQ(wheel.Advance(Instant{At(110).ns - 1}), 0u);
  EXPECT_EQ(wheel.Advance(At(110)), 1u);
  EXPECT_FALSE(a.timer.armed());
  EXPECT_EQ(wheel.Advance(At(10'000)), 0u);
  EXPECT_EQ(log, std::vector<int>{1});
  EXPECT_EQ(wheel.NextDeadline(), Instant::Max());
}

TEST(TimerWheelTest, FractionsRoundUpToATick) {
  TimerWheel wheel(Instant{0});
  std::vector<int> log;
  Logged a(log, 1);
  wheel.Arm(a.timer, Instant{5'000'001});
  EXPECT_EQ(wheel.Advance(Instant{5'999'999}), 0u);
  EXPECT_EQ(wheel.Advance(Instant{6'000'000}), 1u);
}

TEST(TimerWheelTest, PastDeadlinesFireOnTheNextAdvanceInArmingOrder) {
  TimerWheel wheel(At(0));
  std::vector<int> log;
  Logged a(log, 1), b(log, 2), c(log, 3), d(log, 4);
  wheel.Advance(At(50));
  wheel.Arm(c.timer, At(51));
  wheel.Arm(a.timer, At(50));
  wheel.Arm(b.timer, At(-1000));
  wheel.Arm(d.timer, Duration());
  EXPECT_EQ(wheel.NextDeadline(), At(50));
  EXPECT_EQ(wheel.Advance(At(50)), 3u);
  EXPECT_EQ(log, (std::vector<int>{1, 2, 4}));
  EXPECT_EQ(wheel.Advance(At(51)), 1u);
}

TEST(TimerWheelTest, ArmingOrderHoldsAcrossCascades) {
  TimerWheel wheel(At(0));
  std::vector<int> log;
  Logged a(log, 1), b(log, 2), c(log, 3);
  wheel.Arm(a.timer, At(300'000));  // three levels up
  wheel.Advance(At(299'000));
  wheel.Arm(b.timer, At(300'000));
  wheel.Advance(At(299'999));
  wheel.Arm(c.timer, At(300'000));  // straight into the lowest level
  wheel.Advance(At(300'000));
  EXPECT_EQ(log, (std::vector<int>{1, 2, 3}));
}

TEST(TimerWheelTest, EveryDistanceFiresInItsTick) {
  // Around every power of two ticks, from starts that make digits carry.
  for (int64_t start :
       {int64_t{0}, int64_t{1}, int64_t{63}, int64_t{4095}, (int64_t{1} << 36) - 1}) {
    for (int bit = 0; bit < 42; ++bit) {
      for (int64_t delta : {-1, 0, 1}) {
        const int64_t distance = (int64_t{1} << bit) + delta;
        if (distance <= 0) {
          continue;
        }
        TimerWheel wheel(At(0));
        wheel.Advance(At(start));
        std::vector<int> log;
        Logged a(log, 1);
        wheel.Arm(a.timer, At(start + distance));
        ASSERT_LE(wheel.NextDeadline(), At(start + distance));
        ASSERT_EQ(wheel.Advance(At(start + distance - 1)), 0u) << start << " " << distance;
        ASSERT_EQ(wheel.Advance(At(start + distance)), 1u) << start << " " << distance;
      }
    }
  }
}

TEST(TimerWheelTest, FollowingNextDeadlineReachesEachTimerInFewSteps) {
  TimerWheel wheel(At(0));
  std::vector<int> log;
  Logged a(log, 1);
  const Instant deadline = At(0) + Duration::Hours(24 * 365 * 5);
  wheel.Arm(a.timer, deadline);
  int steps = 0;
  while (log.empty()) {
    ASSERT_LE(wheel.NextDeadline(), deadline);
    wheel.Advance(wheel.NextDeadline());
    ++steps;
  }
  EXPECT_EQ(wheel.now(), deadline);
  EXPECT_LE(steps, 12);
}

TEST(TimerWheelTest, LongJumpsCostOnlyWhatIsDue) {
  TimerWheel wheel(At(0));
  std::vector<int> log;
  std::vector<std::unique_ptr<Logged>> timers;
  for (int i = 0; i < 100; ++i) {
    timers.push_back(std::make_unique<Logged>(log, i));
    wheel.Arm(timers.back()->timer, At(0) + Duration::Hours(24) * (i + 1));
  }
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(wheel.Advance(At(0) + Duration::Hours(24 * 200)), 100u);  // 17 thousand million ticks
  const auto spent = std::chrono::steady_clock::now() - before;
  EXPECT_LT(spent, std::chrono::milliseconds(100));
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(log[static_cast<size_t>(i)], i);
  }
}

TEST(TimerWheelTest, TheEndOfTimeIsSafe) {
  for (int64_t start : {int64_t{0}, INT64_MIN / 2, INT64_MAX / 2 - 1}) {
    TimerWheel wheel(Instant{start});
    std::vector<int> log;
    Logged a(log, 1), b(log, 2), c(log, 3);
    wheel.Arm(a.timer, Instant::Max());
    wheel.Arm(b.timer, Duration::Max());
    wheel.Arm(c.timer, Duration{INT64_MAX});
    EXPECT_LE(wheel.NextDeadline(), Instant::Max());
    wheel.Arm(c.timer, Duration{INT64_MIN});
    EXPECT_EQ(wheel.NextDeadline(), wheel.now());
    wheel.Advance(wheel.now());
    EXPECT_EQ(log, std::vector<int>{3});
    wheel.Advance(Instant{INT64_MAX});
    EXPECT_EQ(wheel.armed_count(), 0u);
  }
}

TEST(TimerWheelTest, CancelAndReArm) {
  TimerWheel wheel(At(0));
  std::vector<int> log;
  Logged a(log, 1), b(log, 2);
  wheel.Cancel(a.timer);  // idle: allowed
  wheel.Arm(a.timer, At(10));
  wheel.Arm(b.timer, At(10));
  wheel.Arm(a.timer, At(10));  // goes behind b
  EXPECT_EQ(wheel.armed_count(), 2u);
  wheel.Advance(At(10));
  EXPECT_EQ(log, (std::vector<int>{2, 1}));
  for (int64_t ms : {int64_t{11}, int64_t{100}, int64_t{1} << 40}) {
    wheel.Arm(a.timer, At(ms));
    wheel.Cancel(a.timer);
    EXPECT_EQ(wheel.NextDeadline(), Instant::Max()) << ms;
  }
  EXPECT_EQ(wheel.armed_count(), 0u);
}

TEST(TimerWheelTest, DestructionCancelsInBothOrders) {
  std::vector<int> log;
  Logged survivor(log, 2);
  {
    TimerWheel wheel(At(0));
    {
      Logged a(log, 1);
      wheel.Arm(a.timer, At(10));
    }
    EXPECT_EQ(wheel.armed_count(), 0u);
    wheel.Advance(At(20));
    wheel.Arm(survivor.timer, At(30));
  }
  EXPECT_FALSE(survivor.timer.armed());
  EXPECT_TRUE(log.empty());
}

TEST(TimerWheelTest, CallbackMayDestroyItsObjectAndItsNeighbours) {
  struct Object {
    Timer timer;
    std::unique_ptr<Object>* self = nullptr;
    std::unique_ptr<Object>* other = nullptr;
    void Fire() {
      if (other != nullptr) {
        other->reset();
      }
      auto* place = self;
      place->reset();  // cppcheck-suppress nullPointer; destroys this
    }
  };
  TimerWheel wheel(At(0));
  std::unique_ptr<Object> objects[3];
  for (int i = 0; i < 3; ++i) {
    objects[i] = std::make_unique<Object>();
    objects[i]->self = &objects[i];
    objects[i]->timer.Bind<&Object::Fire>(objects[i].get());
    wheel.Arm(objects[i]->timer, At(5));
  }
  objects[0]->other = &objects[1];
  EXPECT_EQ(wheel.Advance(At(5)), 2u);
  EXPECT_EQ(wheel.armed_count(), 0u);
}

TEST(TimerWheelTest, CallbackThatReArmsForNowRunsOnceAnAdvance) {
  struct Eager {
    TimerWheel& wheel;
    Timer timer;
    int count = 0;
    void Fire() {
      ++count;
      wheel.Arm(timer, Duration());
    }
  };
  TimerWheel wheel(At(0));
  Eager eager{wheel, {}, 0};
  eager.timer.Bind<&Eager::Fire>(&eager);
  wheel.Arm(eager.timer, At(1));
  EXPECT_EQ(wheel.Advance(At(1000)), 1u);
  EXPECT_EQ(wheel.NextDeadline(), At(1000));
  EXPECT_EQ(wheel.Advance(At(1000)), 1u);
  EXPECT_EQ(eager.count, 2);
}

TEST(TimerWheelTest, LimitLeavesTheRestDue) {
  TimerWheel wheel(At(0));
  std::vector<int> log;
  std::vector<std::unique_ptr<Logged>> timers;
  for (int i = 0; i < 10; ++i) {
    timers.push_back(std::make_unique<Logged>(log, i));
    wheel.Arm(timers.back()->timer, At(5 + i / 4));
  }
  EXPECT_EQ(wheel.Advance(At(100), 0), 0u);
  EXPECT_EQ(wheel.Advance(At(100), 3), 3u);
  EXPECT_LE(wheel.NextDeadline(), At(100));
  EXPECT_EQ(wheel.armed_count(), 7u);
  EXPECT_EQ(wheel.Advance(At(100), 3), 3u);
  EXPECT_EQ(wheel.Advance(At(100), 100), 4u);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(log[static_cast<size_t>(i)], i);
  }
}

TEST(TimerWheelTest, LimitBoundsMovesBetweenLevelsToo) {
  TimerWheel wheel(At(0));
  std::vector<int> log;
  std::vector<std::unique_ptr<Logged>> timers;
  constexpr int kCount = 1000;
  for (int i = 0; i < kCount; ++i) {
    timers.push_back(std::make_unique<Logged>(log, i));
    wheel.Arm(timers.back()->timer, At(4096 + i % 60));  // one slot of level 2
  }
  uint32_t calls = 0;
  while (wheel.NextDeadline() <= At(5000)) {
    ASSERT_LE(wheel.Advance(At(5000), 10), 10u);
    // A timer armed while the slot is half moved still fires behind the older ones of its tick.
    if (calls == 5) {
      timers.push_back(std::make_unique<Logged>(log, kCount));
      wheel.Arm(timers.back()->timer, At(5001));
    }
    ASSERT_LT(++calls, 200u);
  }
  EXPECT_GE(calls, kCount / 10u);
  ASSERT_EQ(log.size(), size_t{kCount});
  for (size_t i = 1; i < log.size(); ++i) {
    const int a = log[i - 1], b = log[i];
    ASSERT_TRUE(a % 60 < b % 60 || (a % 60 == b % 60 && a < b)) << i;
  }
  EXPECT_EQ(wheel.Advance(At(5001)), 1u);
}

// The same beyond the top level's reach, where the timers wait outside the slots.
TEST(TimerWheelTest, ArmingOrderHoldsWhileFarTimersComeNear) {
  const int64_t reach_ms = int64_t{1} << 36;
  TimerWheel wheel(At(0));
  std::vector<int> log;
  std::vector<std::unique_ptr<Logged>> timers;
  auto arm = [&](int64_t ms) {
    timers.push_back(std::make_unique<Logged>(log, static_cast<int>(timers.size())));
    wheel.Arm(timers.back()->timer, At(ms));
  };
  for (int i = 0; i < 40; ++i) {
    arm(reach_ms + 5000);
  }
  arm(3 * reach_ms);  // still far after the first move
  EXPECT_EQ(wheel.NextDeadline(), At(reach_ms));
  wheel.Advance(At(reach_ms), 2);  // moves eight of them
  arm(reach_ms + 5000);
  EXPECT_EQ(wheel.NextDeadline(), At(reach_ms));
  while (wheel.NextDeadline() <= At(reach_ms + 5000)) {
    wheel.Advance(At(reach_ms + 5000), 2);
  }
  ASSERT_EQ(log.size(), 41u);
  EXPECT_EQ(log[39], 39);
  EXPECT_EQ(log[40], 41);
  EXPECT_EQ(wheel.Advance(At(3 * reach_ms - 1)), 0u);
  EXPECT_EQ(wheel.Advance(At(3 * reach_ms)), 1u);
}

TEST(TimerWheelDeathTest, MisuseIsCaught) {
  TimerWheel wheel(At(10));
  TimerWheel other(At(10));
  Timer unset;
  EXPECT_DEATH(wheel.Arm(unset, At(20)), "callback_");
  EXPECT_DEATH(wheel.Advance(At(9)), "now.ns >= now_.ns");
  Timer timer([](Timer&, void* context) { static_cast<TimerWheel*>(context)->Advance(At(99)); },
              &wheel);
  wheel.Arm(timer, At(20));
  EXPECT_DEATH(other.Cancel(timer), "wheel_ == this");
  EXPECT_DEATH(wheel.Advance(At(20)), "!advancing_");
}

// --- Against a model
// -------------------------------------------------------------------------------

// The contract of the header, in the plainest way: at each firing, search all timers for the one
// that must be next.
class Model {
 public:
  static constexpr size_t kTimerCount = 200;

  explicit Model(uint32_t seed, bool limited) : random_(seed), limited_(limited) {
    for (size_t i = 0; i < kTimerCount; ++i) {
      entries_[i].model = this;
      entries_[i].timer.Bind<&Entry::Fire>(&entries_[i]);
    }
  }
  void Run(int step_count) {
    for (int step = 0; step < step_count && !testing::Test::HasFatalFailure(); ++step) {
      if (Chance(3, 4)) {
        Touch();
      } else {
        Jump();
      }
      ASSERT_EQ(wheel_.armed_count(), armed_count_);
      ASSERT_LE(wheel_.NextDeadline().ns, EarliestNs());
    }
  }
  uint64_t fired_total() const { return fired_total_; }

 private:
  struct Entry {
    Timer timer;
    Model* model = nullptr;
    bool armed = false;
    bool late = false;
    int64_t tick = 0;
    uint64_t order = 0;
    uint64_t late_round = 0;
    void Fire() { model->OnFire(*this); }
  };

  bool Chance(uint32_t n, uint32_t of) { return random_() % of < n; }
  static int64_t TickOf(Instant t) { return t.ns <= 0 ? 0 : (t.ns + 999'999) / 1'000'000; }

  void Touch() {
    Entry& entry = entries_[random_() % kTimerCount];
    if (Chance(1, 4)) {
      wheel_.Cancel(entry.timer);
      armed_count_ -= entry.armed ? 1 : 0;
      entry.armed = false;
      return;
    }
    const int64_t ranges_ns[] = {0,
                                 3'000'000,
                                 70'000'000,
                                 5'000'000'000,
                                 400'000'000'000,
                                 90'000'000'000'000,
                                 9'000'000'000'000'000,
                                 190'000'000'000'000'000};
    const int64_t range = ranges_ns[random_() % std::size(ranges_ns)];
    int64_t offset =
        range == 0 ? 0 : static_cast<int64_t>(random_() % static_cast<uint64_t>(range));
    if (Chance(1, 16)) {
      offset = -offset;
    } else if (Chance(1, 2)) {
      offset = offset / 1'000'000 * 1'000'000;  // many in one tick
    }
    const Instant deadline{wheel_.now().ns + offset};
    wheel_.Arm(entry.timer, deadline);
    armed_count_ += entry.armed ? 0 : 1;
    entry.armed = true;
    entry.tick = TickOf(deadline);
    entry.late = entry.tick <= wheel_.now().ns / 1'000'000;
    entry.late_round = round_;
    entry.order = ++order_;
  }

  void Jump() {
    const int64_t jumps_ns[] = {
        0, 1'000'000, 50'000'000, 4'000'000'000, 300'000'000'000, 80'000'000'000'000};
    const int64_t jump = jumps_ns[random_() % std::size(jumps_ns)];
    const Instant now{
        wheel_.now().ns +
        (jump == 0 ? 0 : static_cast<int64_t>(random_() % static_cast<uint64_t>(jump)))};
    ++round_;
    const uint32_t limit = limited_ ? static_cast<uint32_t>(random_() % 5) : UINT32_MAX;
    const uint64_t before = fired_total_;
    const uint32_t fired = wheel_.Advance(now, limit);
    ASSERT_EQ(fired, fired_total_ - before);
    ASSERT_LE(fired, limit);
    if (!limited_) {
      ASSERT_EQ(Expected(), nullptr);
    } else if (Expected() != nullptr) {
      ASSERT_LE(wheel_.NextDeadline(), now);
    }
  }

  // Unlimited: exactly which timer fires next. Late ones of earlier rounds, then by tick and order.
  Entry* Expected() {
    Entry* best = nullptr;
    for (Entry& entry : entries_) {
      if (!entry.armed || (entry.late && entry.late_round == round_) ||
          entry.tick > wheel_.now().ns / 1'000'000) {
        continue;
      }
      if (best == nullptr || Before(entry, *best)) {
        best = &entry;
      }
    }
    return best;
  }
  static bool Before(const Entry& a, const Entry& b) {
    if (a.late != b.late) {
      return a.late;
    }
    if (a.late || a.tick == b.tick) {
      return a.order < b.order;
    }
    return a.tick < b.tick;
  }
  // Limited: late ones may fall between others, but each kind keeps its order.
  void CheckOrderOfKind(const Entry& fired) {
    for (const Entry& entry : entries_) {
      if (entry.armed && entry.late == fired.late && &entry != &fired) {
        ASSERT_FALSE(Before(entry, fired));
      }
    }
  }
  void OnFire(Entry& entry) {
    ++fired_total_;
    ASSERT_TRUE(entry.armed);
    ASSERT_FALSE(entry.timer.armed());
    ASSERT_LE(entry.tick, wheel_.now().ns / 1'000'000);
    if (limited_) {
      CheckOrderOfKind(entry);
    } else {
      ASSERT_EQ(Expected(), &entry);
    }
    entry.armed = false;
    --armed_count_;
    for (uint64_t i = random_() % 3; i > 0; --i) {
      Touch();
    }
  }
  int64_t EarliestNs() {
    int64_t earliest = Instant::Max().ns;
    for (const Entry& entry : entries_) {
      if (entry.armed) {
        const int64_t due = entry.late ? wheel_.now().ns : entry.tick * 1'000'000;
        earliest = std::min(earliest, due);
      }
    }
    return std::max(earliest, wheel_.now().ns);
  }

  std::mt19937_64 random_;
  bool limited_;
  TimerWheel wheel_{Instant{0}};
  std::array<Entry, kTimerCount> entries_;
  uint32_t armed_count_ = 0;
  uint64_t order_ = 0;
  uint64_t round_ = 0;
  uint64_t fired_total_ = 0;
};

TEST(TimerWheelTest, AgreesWithTheModel) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Model model(seed, false);
    model.Run(5000);
    ASSERT_FALSE(HasFatalFailure());
    EXPECT_GT(model.fired_total(), 1000u);
  }
}

TEST(TimerWheelTest, AgreesWithTheModelUnderALimit) {
  for (uint32_t seed = 101; seed <= 120; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Model model(seed, true);
    model.Run(5000);
    ASSERT_FALSE(HasFatalFailure());
    EXPECT_GT(model.fired_total(), 500u);
  }
}

}  // namespace
}  // namespace gh
