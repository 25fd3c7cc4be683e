#include "board/host/idle.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "hal/rt/assert.h"

namespace gh::board {

namespace {
constexpr unsigned long kTimerSlackNs = 1000;  // the kernel's 50 us would be half the moderation
constexpr int64_t kWindowSleeps = 4;
constexpr uint64_t kGatheredMin = 2;  // in a sleep: fewer do not pay for the second wake-up
}  // namespace

HostIdle::HostIdle(hal::Clock& clock, uint32_t busy_poll_us, uint32_t moderation_us)
    : clock_(clock),
      busy_poll_us_(busy_poll_us),
      moderation_(Duration::Microseconds(moderation_us)) {
  TightenTimers();
}

void HostIdle::TightenTimers() { (void)prctl(PR_SET_TIMERSLACK, kTimerSlackNs, 0, 0, 0); }

Result<void> WakeBell::Open() {
  fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  return fd_ >= 0 ? Ok() : Result<void>(Error(ErrorCode::kExhausted, "no eventfd"));
}

void WakeBell::Ring() {
  if (flag_.Post()) {
    const uint64_t one = 1;
    // Full only when it was rung 2^64 times: the sleeper wakes all the same.
    [[maybe_unused]] const ssize_t put = write(fd_, &one, sizeof(one));
  }
}

void WakeBell::EndSleep(bool was_rung) {
  flag_.EndSleep();
  if (was_rung) {
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = read(fd_, &count, sizeof(count));
  }
}

void HostIdle::Add(PollSource& source) {
  GH_ASSERT_LT(source_count_, kPollFdsMax);
  sources_[source_count_++] = &source;
}

void HostIdle::Remove(PollSource& source) {
  const auto end = sources_.begin() + source_count_;
  const auto found = std::find(sources_.begin(), end, &source);
  GH_ASSERT(found != end);
  std::copy(found + 1, end, found);
  --source_count_;
}

bool HostIdle::Poll(Duration timeout) {
  const timespec wait = {.tv_sec = timeout.seconds(), .tv_nsec = timeout.ns % 1'000'000'000};
  if (bell_ == nullptr) {
    return PollSources(wait);
  }
  if (!bell_->BeginSleep()) {
    bell_->EndSleep(false);
    return true;
  }
  return PollSources(wait);  // which ends the sleep
}

bool HostIdle::PollSources(const timespec& wait) {
  pollfd fds[kPollFdsMax + 1];
  nfds_t count = 0;
  for (uint32_t i = 0; i < source_count_; ++i) {
    if (sources_[i]->has_pending()) {
      if (bell_ != nullptr) {
        bell_->EndSleep(false);
      }
      return true;
    }
    const int fd = sources_[i]->poll_fd();
    if (fd >= 0) {
      fds[count++] = {.fd = fd, .events = sources_[i]->poll_events(), .revents = 0};
    }
  }
  if (bell_ != nullptr) {
    fds[count++] = {.fd = bell_->fd(), .events = POLLIN, .revents = 0};
  }
  const int ready = ppoll(fds, count, &wait, nullptr);
  if (ready < 0) {
    GH_ASSERT_EQ(errno, EINTR);
  }
  if (bell_ != nullptr) {
    bell_->EndSleep(ready > 0 && fds[count - 1].revents != 0);
  }
  return ready != 0;
}

bool HostIdle::GathersAnything(Instant now) {
  const Duration window = now - counted_since_;
  if (window < moderation_ * kWindowSleeps) {
    return gathers_;
  }
  uint64_t count = 0;
  bool is_counted = false;
  for (uint32_t i = 0; i < source_count_; ++i) {
    const std::optional<uint64_t> arrivals = sources_[i]->arrivals();
    is_counted = is_counted || arrivals;
    count += arrivals.value_or(0);
  }
  const uint64_t sleeps = static_cast<uint64_t>(window.ns / moderation_.ns);
  gathers_ = !is_counted || count - counted_ >= sleeps * kGatheredMin;
  counted_ = count;
  counted_since_ = now;
  return gathers_;
}

bool HostIdle::Moderate(Instant now, Instant deadline) {
  if (moderation_.ns == 0 || !GathersAnything(now) || now - last_work_ > moderation_ * 2 ||
      deadline - now < moderation_) {
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
