// A block device in a file. A worker thread does the system calls, so that a slow disk or a flush
// never holds up a turn of the appliance; a flush is fdatasync, nothing less. A few blocks, while
// the worker has nothing to do, are a copy from or to the kernel's cache: they are carried at once,
// as handing them over would cost ten times as much. Completions come from Poll() all the same.
//
// Fault model: as hal/block_device.h. A failed flush is reported for that flush; the kernel may
// have dropped the dirty pages, so the store must treat it as loss (it does: it stops).
#pragma once

#include <pthread.h>

#include <array>
#include <atomic>

#include "board/host/idle.h"
#include "hal/block_device.h"

namespace gh::board {

// Opens or creates `path` (bytes long, space reserved) and locks it against a second process.
Result<int> OpenDiskFile(const char* path, uint64_t bytes);

// Two fixed-size lists of requests between two threads, each with one writer and one reader.
class RequestRing {
 public:
  bool Push(hal::BlockRequest* request);
  hal::BlockRequest* Pop();  // null when empty
  bool empty() const;
  // Blocks the reader until something was pushed.
  void WaitForPush();

 private:
  static constexpr uint32_t kSize = kDiskQueueMax * 2;
  static_assert((kSize & (kSize - 1)) == 0);
  std::array<hal::BlockRequest*, kSize> requests_ = {};
  std::atomic<uint32_t> pushed_ = 0;
  std::atomic<uint32_t> popped_ = 0;
};

class FileBlockDevice final : public hal::BlockDevice, public PollSource {
 public:
  FileBlockDevice(const char* name, int fd, uint32_t block_size);
  FileBlockDevice(const FileBlockDevice&) = delete;
  FileBlockDevice& operator=(const FileBlockDevice&) = delete;
  ~FileBlockDevice();  // waits for the worker; requests in flight must be done

  // Starts the worker. Before the seal.
  Result<void> Start();

  uint32_t block_size() const override { return block_size_; }
  uint64_t block_count() const override { return block_count_; }
  const char* name() const override { return name_; }
  Result<void> Submit(hal::BlockRequest& request) override;
  uint32_t Poll() override;
  // With nothing in flight there is nothing to wake for; a wake-up that came after its completion
  // was seen stays for the next Poll() to take, and must not keep the machine from sleeping.
  int poll_fd() const override { return in_flight_ > 0 ? event_fd_ : -1; }
  int16_t poll_events() const override;
  bool has_pending() const override { return !completed_.empty() || !carried_.empty(); }

  // A slow disk, for tests: every flush takes so much longer. Before Start().
  void SlowDown(uint32_t flush_ms) { flush_ms_ = flush_ms; }
  uint32_t in_flight() const { return in_flight_; }
  uint64_t flush_count() const { return flush_count_; }
  // Runs completions until nothing is in flight, then flushes; for an orderly end.
  void Drain();

 private:
  static void* WorkerMain(void* device);
  void Work();
  ErrorCode Carry(const hal::BlockRequest& request);
  ErrorCode Transfer(const hal::BlockRequest& request);
  void WaitIfAwaited(uint32_t completed);

  const char* name_;
  int fd_;
  uint32_t block_size_;
  uint64_t block_count_ = 0;
  uint32_t flush_ms_ = 0;
  int event_fd_ = -1;
  pthread_t worker_ = {};
  bool started_ = false;
  std::atomic<bool> worker_ready_ = false;
  RequestRing submitted_;
  RequestRing completed_;
  RequestRing carried_;     // without the worker: both ends are the caller's
  hal::BlockRequest stop_;  // pushed last; the worker leaves when it meets it
  uint32_t in_flight_ = 0;
  uint64_t completed_count_ = 0;  // completions run
  uint64_t signalled_count_ = 0;  // completions whose wake-up was taken from event_fd_
  uint64_t flush_count_ = 0;
  int64_t polled_ns_ = 0;    // the last Poll() that found nothing
  uint32_t vain_polls_ = 0;  // of them, close together
};

}  // namespace gh::board
