// The second core of this board: a thread of its own for the media plane, kept to a CPU of its own
// where the process may use two; all other threads are kept off that one, which leaves it to the
// kernel and to other processes (--media-priority goes before those too).
//
// It takes no signals but those it causes; a fault of either thread ends the process by its crash
// record. Bells are eventfds, rung only when the other side sleeps.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <array>
#include <atomic>
#include <span>

#include "board/host/idle.h"
#include "board/host/options.h"
#include "hal/media_processor.h"
#include "hal/rt/wake_flag.h"

namespace gh::board {

// CPUs this process may run on, at most `out.size()`.
uint32_t UsableCpus(std::span<uint16_t> out);
// While it lives, this thread and the processes it starts keep off the CPU that the media plane's
// thread takes, where there is another.
class OffMediaCpu {
 public:
  explicit OffMediaCpu(const Options& options);
  OffMediaCpu(const OffMediaCpu&) = delete;
  OffMediaCpu& operator=(const OffMediaCpu&) = delete;
  ~OffMediaCpu();

 private:
  cpu_set_t before_;
  bool is_narrow_ = false;
};

class MediaThread final : public hal::MediaProcessor {
 public:
  // `sources` are the Ethernet ports: they wake `control` until Start, this thread from then on.
  MediaThread(hal::Clock& clock, HostIdle& control, const Options& options);
  void AddPort(PollSource& source);
  // Makes the bells; before the sandbox.
  Result<void> Open();

  Result<void> Start(hal::ProcessorBody& body) override;
  void WakeMedia() override { media_bell_.Ring(); }
  void WakeControl() override { control_bell_.Ring(); }
  const char* name() const override { return name_; }

 private:
  static void* Run(void* self);

  hal::Clock& clock_;
  HostIdle& control_;
  HostIdle idle_;
  WakeBell media_bell_;
  WakeBell control_bell_;
  std::array<PollSource*, hal::kEthernetPortMax> ports_ = {};
  uint32_t port_count_ = 0;
  Fault fault_;
  uint32_t priority_;
  bool is_refused_ = false;  // the priority
  std::array<uint16_t, 2> cpus_ = {};
  uint32_t cpu_count_ = 0;
  hal::ProcessorBody* body_ = nullptr;
  pthread_t thread_ = {};
  std::atomic<bool> is_ready_ = false;
  char name_[24] = {};
};

}  // namespace gh::board
