#include "board/host/idle.h"

#include <poll.h>
#include <sys/prctl.h>

#include <cerrno>
#include <ctime>

#include "hal/rt/assert.h"

namespace gh::board {

namespace {
constexpr unsigned long kTimerSlackNs = 1000;  // the kernel's 50 us would be half the moderation
}  // namespace

HostIdle::HostIdle(hal::Clock& clock, uint32_t busy_poll_us, uint32_t moderation_us)
    : clock_(clock),
      busy_poll_us_(busy_poll_us),
      moderation_(Duration::Microseconds(moderation_us)) {
  (void)prctl(PR_SET_TIMERSLACK, kTimerSlackNs, 0, 0, 0);
}

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

bool HostIdle::Moderate(Instant now, Instant deadline) {
  if (moderation_.ns == 0 || now - last_work_ > moderation_ * 2 || deadline - now < moderation_) {
    return false;
  }
  ++sleep_count_;
  const timespec wait = {.tv_sec = 0, .tv_nsec = moderation_.ns};
  clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, nullptr);
  return Poll({});
}

void HostIdle::WaitUntil(Instant deadline) {
  const Instant start = clock_.Now();
  if (deadline <= start) {
    return;
  }
  if (Moderate(start, deadline)) {
    last_work_ = clock_.Now();
    return;
  }
  const Instant spin_end = start + Duration::Microseconds(busy_poll_us_);
  for (Instant now = start; now < spin_end && now < deadline; now = clock_.Now()) {
    if (Poll({})) {
      last_work_ = now;
      return;
    }
  }
  const Duration left = deadline - clock_.Now();
  if (left.ns > 0) {
    ++sleep_count_;
    // A day at most, so that the far future is a valid timespec; waking early is allowed.
    if (Poll(left < Duration::Hours(24) ? left : Duration::Hours(24))) {
      last_work_ = clock_.Now();
    }
  }
}

}  // namespace gh::board
