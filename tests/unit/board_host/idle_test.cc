// When a wait gathers frames before it looks, and when it looks at once.
#include "board/host/idle.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "board/host/clock.h"

namespace gh::board {
namespace {

constexpr Duration kSleep = Duration::Milliseconds(1);

// Always ready; counts what the test says, or nothing.
class ReadySource final : public PollSource {
 public:
  ReadySource() : fd_(eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC)) {}
  ReadySource(const ReadySource&) = delete;
  ReadySource& operator=(const ReadySource&) = delete;
  ~ReadySource() { close(fd_); }

  int poll_fd() const override { return fd_; }
  int16_t poll_events() const override { return POLLIN; }
  std::optional<uint64_t> arrivals() const override { return count; }

  std::optional<uint64_t> count;

 private:
  int fd_;
};

class IdleTest : public testing::Test {
 protected:
  IdleTest() { idle_.Add(source_); }

  // The shortest of some waits, in each of which so much comes: one may always be held up.
  Duration Shortest(uint64_t arrivals) {
    Duration shortest = Duration::Seconds(60);
    for (int i = 0; i < 30; ++i) {
      const Instant start = clock_.Now();
      idle_.WaitUntil(start + Duration::Seconds(10));
      shortest = std::min(shortest, clock_.Now() - start);
      if (source_.count) {
        *source_.count += arrivals;
      }
    }
    return shortest;
  }

  HostClock clock_;
  HostIdle idle_{clock_, 0, 1000};
  ReadySource source_;
};

TEST_F(IdleTest, ManyArrivalsAreGathered) {
  source_.count = 0;
  Shortest(50);  // work is seen
  EXPECT_GE(Shortest(50), kSleep);
}

TEST_F(IdleTest, FewArrivalsAreTakenAtOnce) {
  source_.count = 0;
  EXPECT_LT(Shortest(0), kSleep);
}

TEST_F(IdleTest, WhoDoesNotCountIsGathered) {
  Shortest(0);
  EXPECT_GE(Shortest(0), kSleep);
}

TEST_F(IdleTest, NothingIsGatheredWithoutModeration) {
  idle_.SetModeration(0);
  source_.count = 0;
  EXPECT_LT(Shortest(50), kSleep);
}

TEST_F(IdleTest, AWaitThatEndsBeforeTheSleepWouldIsNotDelayed) {
  source_.count = 0;
  Shortest(50);
  const Instant start = clock_.Now();
  for (int i = 0; i < 20; ++i) {
    idle_.WaitUntil(clock_.Now() + kSleep - Duration::Microseconds(1));
  }
  EXPECT_LT(clock_.Now() - start, kSleep * 20);
}

}  // namespace
}  // namespace gh::board
