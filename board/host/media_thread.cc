#include "board/host/media_thread.h"

#include <sched.h>
#include <signal.h>

#include <cstdio>

#include "board/host/crash.h"
#include "board/host/inject.h"

namespace gh::board {
namespace {

void KeepTo(uint16_t cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  // Refused by a cgroup that has changed since: it then runs where it may.
  (void)sched_setaffinity(0, sizeof(set), &set);
}

}  // namespace

uint32_t UsableCpus(std::span<uint16_t> out) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) {
    return 0;
  }
  uint32_t count = 0;
  for (uint16_t cpu = 0; cpu < CPU_SETSIZE && count < out.size(); ++cpu) {
    if (CPU_ISSET(cpu, &set)) {
      out[count++] = cpu;
    }
  }
  return count;
}

MediaThread::MediaThread(hal::Clock& clock, HostIdle& control, const Options& options)
    : clock_(clock),
      control_(control),
      idle_(clock, options.busy_poll_us, options.moderation_us),
      fault_(options.fault) {
  cpu_count_ = UsableCpus(cpus_);
}

void MediaThread::AddPort(PollSource& source) { ports_[port_count_++] = &source; }

Result<void> MediaThread::Open() {
  GH_TRY(media_bell_.Open());
  return control_bell_.Open();
}

Result<void> MediaThread::Start(hal::ProcessorBody& body) {
  body_ = &body;
  for (uint32_t i = 0; i < port_count_; ++i) {
    control_.Remove(*ports_[i]);
    idle_.Add(*ports_[i]);
  }
  control_.SetBell(control_bell_);
  idle_.SetBell(media_bell_);
  // The new thread inherits the mask: only what it causes itself reaches it.
  sigset_t mask;
  sigset_t before;
  sigfillset(&mask);
  for (int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS, SIGABRT, SIGTRAP}) {
    sigdelset(&mask, number);
  }
  GH_ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &mask, &before), 0);
  pthread_attr_t attributes;
  GH_ASSERT_EQ(pthread_attr_init(&attributes), 0);
  GH_ASSERT_EQ(pthread_attr_setstacksize(&attributes, kMediaStackBytes), 0);
  const int made = pthread_create(&thread_, &attributes, Run, this);
  GH_ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &before, nullptr), 0);
  if (made != 0) {
    return Error(ErrorCode::kExhausted, "the media plane's thread cannot be made");
  }
  // What it does first the sandbox would forbid.
  while (!is_ready_.load(std::memory_order_acquire)) {
    (void)sched_yield();
  }
  if (cpu_count_ == 2) {
    KeepTo(cpus_[0]);
    std::snprintf(name_, sizeof(name_), "thread on CPU %u", cpus_[1]);
  } else {
    std::snprintf(name_, sizeof(name_), "thread");
  }
  return Ok();
}

void* MediaThread::Run(void* self) {
  auto& thread = *static_cast<MediaThread*>(self);
  UseThreadCrashStack();
  HostIdle::TightenTimers();
  if (thread.cpu_count_ == 2) {
    KeepTo(thread.cpus_[1]);
  }
  thread.is_ready_.store(true, std::memory_order_release);
  if (IsMediaFault(thread.fault_)) {
    const Instant start = thread.clock_.Now();
    while (thread.clock_.Now() - start < Duration::Seconds(1)) {
      thread.idle_.WaitUntil(thread.body_->RunOnce());
    }
    Inject(thread.fault_);
  }
  for (;;) {
    thread.idle_.WaitUntil(thread.body_->RunOnce());
  }
}

}  // namespace gh::board
