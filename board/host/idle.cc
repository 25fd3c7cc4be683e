#include "board/host/idle.h"

#include <poll.h>

#include <cerrno>
#include <ctime>

#include "hal/rt/assert.h"

namespace gh::board {

void HostIdle::Add(PollSource& source) {
  GH_ASSERT_LT(source_count_, kPollFdsMax);
  sources_[source_count_++] = &source;
}

bool HostIdle::Poll(Duration timeout) {
  pollfd fds[kPollFdsMax];
  nfds_t count = 0;
  for (uint32_t i = 0; i < source_count_; ++i) {
    if (sources_[i]->has_pending()) {
      return true;
    }
    const int fd = sources_[i]->poll_fd();
    if (fd >= 0) {
      fds[count++] = {.fd = fd, .events = sources_[i]->poll_events(), .revents = 0};
    }
  }
  const timespec wait = {.tv_sec = timeout.seconds(), .tv_nsec = timeout.ns % 1'000'000'000};
  const int ready = ppoll(fds, count, &wait, nullptr);
  if (ready < 0) {
    GH_ASSERT_EQ(errno, EINTR);
  }
  return ready != 0;
}

void HostIdle::WaitUntil(Instant deadline) {
  const Instant start = clock_.Now();
  if (deadline <= start) {
    return;
  }
  const Instant spin_end = start + Duration::Microseconds(busy_poll_us_);
  for (Instant now = start; now < spin_end && now < deadline; now = clock_.Now()) {
    if (Poll({})) {
      return;
    }
  }
  const Duration left = deadline - clock_.Now();
  if (left.ns > 0) {
    ++sleep_count_;
    // A day at most, so that the far future is a valid timespec; waking early is allowed.
    (void)Poll(left < Duration::Hours(24) ? left : Duration::Hours(24));
  }
}

}  // namespace gh::board
