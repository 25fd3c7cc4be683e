#include "board/host/watchdog.h"

#include <signal.h>
#include <sys/time.h>

#include <atomic>
#include <ctime>

#include "board/host/crash.h"
#include "hal/rt/assert.h"

namespace gh::board {
namespace {

// Shared with the signal handler, which has no object to go by.
std::atomic<int64_t> timeout_ns = 0;  // 0: disarmed
std::atomic<int64_t> petted_ns = 0;
static_assert(std::atomic<int64_t>::is_always_lock_free);

int64_t NowNs() {
  timespec t = {};
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

void OnAlarm(int /*number*/, siginfo_t* /*info*/, void* context) {
  const int64_t timeout = timeout_ns.load();
  if (timeout > 0 && NowNs() - petted_ns.load() > timeout) {
    EndWithRecord("the loop has not turned", context, kExitWatchdog);
  }
}

void SetTimer(Duration period) {
  itimerval timer = {};
  timer.it_interval.tv_sec = period.seconds();
  timer.it_interval.tv_usec = period.microseconds() % 1'000'000;
  timer.it_value = timer.it_interval;
  GH_ASSERT_EQ(setitimer(ITIMER_REAL, &timer, nullptr), 0);
}

}  // namespace

void HostWatchdog::Arm(Duration timeout) {
  if (!present_) {
    return;
  }
  GH_ASSERT_GT(timeout.ns, 0);
  Pet();
  timeout_ns.store(timeout.ns);
  struct sigaction action = {};
  action.sa_sigaction = OnAlarm;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  sigfillset(&action.sa_mask);
  GH_ASSERT_EQ(sigaction(SIGALRM, &action, nullptr), 0);
  SetTimer(std::max(timeout / 4, Duration::Milliseconds(10)));
}

void HostWatchdog::Pet() { petted_ns.store(NowNs(), std::memory_order_relaxed); }

void HostWatchdog::Disarm() {
  if (present_) {
    timeout_ns.store(0);
    SetTimer({});
  }
}

}  // namespace gh::board
