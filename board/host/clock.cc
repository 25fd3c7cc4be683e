#include "board/host/clock.h"

#include <sys/random.h>

#include <cerrno>
#include <ctime>

#include "hal/rt/assert.h"

namespace gh::board {
namespace {

int64_t Read(clockid_t id) {
  timespec t = {};
  GH_ASSERT_EQ(clock_gettime(id, &t), 0);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

}  // namespace

Instant HostClock::Now() { return {Read(CLOCK_MONOTONIC)}; }

WallTime HostClock::Wall() { return {Read(CLOCK_REALTIME) + wall_offset_ns_, true}; }

void HostClock::SetWall(int64_t unix_ns) { wall_offset_ns_ = unix_ns - Read(CLOCK_REALTIME); }

void HostEntropy::Fill(std::span<uint8_t> out) {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = getrandom(out.data() + done, out.size() - done, 0);
    if (got < 0) {
      GH_ASSERT_EQ(errno, EINTR);
      continue;
    }
    done += static_cast<size_t>(got);
  }
}

}  // namespace gh::board
