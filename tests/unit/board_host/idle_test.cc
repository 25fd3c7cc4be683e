// When a wait gathers frames before it looks, and when it looks at once.
#include "board/host/idle.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

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

  // Whether most waits of some windows are as long as a sleep, where so much comes in each: one may
  // always be held up, or be the first after that.
  bool Gathers(uint64_t arrivals) {
    uint32_t count = 0;
    uint32_t delayed = 0;
    const Instant end = clock_.Now() + kSleep * 30;
    for (Instant start = clock_.Now(); start < end; start = clock_.Now()) {
      idle_.WaitUntil(start + Duration::Seconds(10));
      ++count;
      delayed += clock_.Now() - start >= kSleep ? 1 : 0;
      if (source_.count) {
        *source_.count += arrivals;
      }
    }
    return delayed * 2 > count;
  }

  HostClock clock_;
  HostIdle idle_{clock_, 0, 1000};
  ReadySource source_;
};

TEST_F(IdleTest, ManyArrivalsAreGathered) {
  source_.count = 0;
  (void)Gathers(50);  // a window is seen
  EXPECT_TRUE(Gathers(50));
}

TEST_F(IdleTest, FewArrivalsAreTakenAtOnce) {
  source_.count = 0;
  EXPECT_FALSE(Gathers(0));
}

TEST_F(IdleTest, WhoDoesNotCountIsGathered) {
  (void)Gathers(0);
  EXPECT_TRUE(Gathers(0));
}

TEST_F(IdleTest, NothingIsGatheredWithoutModeration) {
  idle_.SetModeration(0);
  source_.count = 0;
  EXPECT_FALSE(Gathers(50));
}

}  // namespace
}  // namespace gh::board
