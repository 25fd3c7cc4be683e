#include "board/host/media_thread.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>

#include "board/host/crash.h"
#include "board/host/inject.h"

namespace gh::board {
namespace {

// `thread` 0: the one that calls.
void KeepTo(uint16_t cpu, pid_t thread = 0) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  // Refused by a cgroup that has changed since: it then runs where it may.
  (void)sched_setaffinity(thread, sizeof(set), &set);
}

// The disks' workers are threads as well, and would be put where there is least to do.
void KeepAllTo(uint16_t cpu) {
  KeepTo(cpu);
  DIR* threads = opendir("/proc/self/task");
  if (threads == nullptr) {
    return;
  }
  while (const dirent* entry = readdir(threads)) {
    const pid_t thread = std::atoi(entry->d_name);  // "." and "..": 0, which is kept already
    KeepTo(cpu, thread);
  }
  closedir(threads);
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

OffMediaCpu::OffMediaCpu(const Options& options) {
  std::array<uint16_t, 2> cpus;
  CPU_ZERO(&before_);
  if (options.cores == 1 || UsableCpus(cpus) < 2 ||
      sched_getaffinity(0, sizeof(before_), &before_) != 0) {
    return;
  }
  cpu_set_t narrow = before_;
  CPU_CLR(cpus[1], &narrow);
  is_narrow_ = sched_setaffinity(0, sizeof(narrow), &narrow) == 0;
}

OffMediaCpu::~OffMediaCpu() {
  if (is_narrow_) {
    (void)sched_setaffinity(0, sizeof(before_), &before_);
  }
}

MediaThread::MediaThread(hal::Clock& clock, HostIdle& control, const Options& options)
    : clock_(clock),
      control_(control),
      idle_(clock, options.busy_poll_us, options.media_moderation_us),
      fault_(options.fault),
      priority_(options.media_priority) {
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
  if (cpu_count_ == 2) {
    KeepAllTo(cpus_[0]);
  }
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
  if (is_refused_) {
    return Error(ErrorCode::kPermissionDenied,
                 "--media-priority is not permitted here (CAP_SYS_NICE)");
  }
  if (cpu_count_ == 2) {
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
  if (thread.priority_ != 0) {
    const sched_param wanted = {.sched_priority = static_cast<int>(thread.priority_)};
    thread.is_refused_ = sched_setscheduler(0, SCHED_FIFO, &wanted) != 0;
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
