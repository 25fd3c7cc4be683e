#include "board/host/file_block_device.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "board/host/sandbox.h"

namespace gh::board {
namespace {

// Calls of Poll() this close together, so many of them, are somebody who waits.
constexpr int64_t kSpinTurnNs = 1'000;
constexpr uint32_t kSpinTurnMax = 20;
constexpr long kWaitNs = 5'000'000;
constexpr uint64_t kCarriedBytesMax = 16 * 1024;

int64_t MonotonicNs() {
  timespec now = {};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// A new file's name must survive a power cut as its content does.
void SyncFolderOf(const char* path) {
  char folder[4096] = ".";
  const char* slash = std::strrchr(path, '/');
  const size_t size = slash != nullptr ? static_cast<size_t>(slash - path) + 1 : 0;
  if (size >= sizeof(folder)) {
    return;
  }
  if (size > 0) {
    std::memcpy(folder, path, size);
    folder[size] = '\0';
  }
  const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    (void)fsync(fd);
    close(fd);
  }
}

}  // namespace

Result<int> OpenDiskFile(const char* path, uint64_t bytes) {
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return Error(ErrorCode::kPermissionDenied, "cannot open or create the file");
  }
  Error error(ErrorCode::kOk);
  struct stat info = {};
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    error = Error(ErrorCode::kAlreadyExists, "another process uses this file");
  } else if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    error = Error(ErrorCode::kUnsupported, "expected a regular file");
  } else if (info.st_size == 0) {
    // Reserved, not sparse: a full file system must show now, not in a later write.
    if (posix_fallocate(fd, 0, static_cast<off_t>(bytes)) != 0) {
      error = Error(ErrorCode::kNoSpace, "no space to create the file");
    }
    (void)fsync(fd);
    SyncFolderOf(path);
  } else if (info.st_size % 4096 != 0) {
    error = Error(ErrorCode::kCorrupt, "the file's size is not a multiple of 4096");
  }
  if (error.code != ErrorCode::kOk) {
    close(fd);
    return error;
  }
  return fd;
}

bool RequestRing::Push(hal::BlockRequest* request) {
  const uint32_t at = pushed_.load(std::memory_order_relaxed);
  if (at - popped_.load(std::memory_order_acquire) == kSize) {
    return false;
  }
  requests_[at % kSize] = request;
  pushed_.store(at + 1, std::memory_order_release);
  pushed_.notify_one();
  return true;
}

hal::BlockRequest* RequestRing::Pop() {
  const uint32_t at = popped_.load(std::memory_order_relaxed);
  if (at == pushed_.load(std::memory_order_acquire)) {
    return nullptr;
  }
  hal::BlockRequest* request = requests_[at % kSize];
  popped_.store(at + 1, std::memory_order_release);
  return request;
}

bool RequestRing::empty() const {
  return popped_.load(std::memory_order_acquire) == pushed_.load(std::memory_order_acquire);
}

void RequestRing::WaitForPush() { pushed_.wait(popped_.load(std::memory_order_relaxed)); }

FileBlockDevice::FileBlockDevice(const char* name, int fd, uint32_t block_size)
    : name_(name), fd_(fd), block_size_(block_size) {}

FileBlockDevice::~FileBlockDevice() {
  GH_ASSERT_EQ(in_flight_, 0u);
  if (started_) {
    GH_ASSERT(submitted_.Push(&stop_));
    pthread_join(worker_, nullptr);
    close(event_fd_);
  }
}

Result<void> FileBlockDevice::Start() {
  const off_t bytes = lseek(fd_, 0, SEEK_END);
  if (bytes < static_cast<off_t>(kDiskBytesMin)) {
    return Error(ErrorCode::kTruncated, "the file is too small for a partition");
  }
  block_count_ = static_cast<uint64_t>(bytes) / block_size_;
  event_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kDiskThreadStackBytes);
  // Signals are the main thread's: the worker must never run the watchdog or a stop.
  sigset_t all;
  sigset_t previous;
  sigfillset(&all);
  for (int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS, SIGABRT}) {
    sigdelset(&all, fault);
  }
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  started_ = event_fd_ >= 0 && pthread_create(&worker_, &attributes, WorkerMain, this) == 0;
  pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  pthread_attr_destroy(&attributes);
  if (!started_) {
    return Error(ErrorCode::kExhausted, "cannot start the disk's thread");
  }
  // Its own start-up makes calls that the sandbox will not allow any more.
  worker_ready_.wait(false);
  return Ok();
}

Result<void> FileBlockDevice::Submit(hal::BlockRequest& request) {
  GH_ASSERT(started_);
  GH_ASSERT(request.done != nullptr);
  const bool has_range = request.op != hal::BlockOp::kFlush;
  if (has_range &&
      (request.block > block_count_ || request.block_count > block_count_ - request.block)) {
    return Error(ErrorCode::kOutOfRange, "beyond the end of the device");
  }
  if (in_flight_ == kDiskQueueMax) {
    return Error(ErrorCode::kExhausted, "disk queue full");
  }
  const bool is_small = uint64_t{request.block_count} * block_size_ <= kCarriedBytesMax;
  // A flush may take long, and whoever reads waits for what he reads.
  const bool is_quick =
      request.op == hal::BlockOp::kRead || (request.op == hal::BlockOp::kWrite && in_flight_ == 0);
  if (is_quick && is_small) {
    request.status = Carry(request);
    GH_ASSERT(carried_.Push(&request));
  } else {
    GH_ASSERT(submitted_.Push(&request));
  }
  ++in_flight_;
  return Ok();
}

uint32_t FileBlockDevice::Poll() {
  uint32_t count = 0;
  // What is there now; done() may submit more, whose completions are for the next call.
  for (const uint32_t limit = in_flight_; count < limit; ++count) {
    hal::BlockRequest* request = carried_.Pop();
    if (request == nullptr) {
      request = completed_.Pop();
      if (request == nullptr) {
        break;
      }
      ++completed_count_;
    }
    --in_flight_;
    flush_count_ += request->op == hal::BlockOp::kFlush ? 1 : 0;
    request->done(*request);
  }
  // Each completion adds one to event_fd_, perhaps only after we have seen it in the ring.
  uint64_t signals = 0;
  if (completed_count_ != signalled_count_ &&
      read(event_fd_, &signals, sizeof(signals)) == sizeof(signals)) {
    signalled_count_ += signals;
  }
  WaitIfAwaited(count);
  return count;
}

// The synchronous forms call Poll() and do nothing else: a commit that waits for the medium sleeps
// here and burns no processor. An event loop's turns are farther apart, or it sleeps by itself.
void FileBlockDevice::WaitIfAwaited(uint32_t completed) {
  if (completed > 0 || in_flight_ == 0) {
    vain_polls_ = 0;
    return;
  }
  const int64_t now_ns = MonotonicNs();
  vain_polls_ = now_ns - polled_ns_ < kSpinTurnNs ? vain_polls_ + 1 : 0;
  polled_ns_ = now_ns;
  if (vain_polls_ >= kSpinTurnMax) {
    pollfd wanted = {.fd = event_fd_, .events = POLLIN, .revents = 0};
    const timespec at_most = {.tv_sec = 0, .tv_nsec = kWaitNs};
    (void)ppoll(&wanted, 1, &at_most, nullptr);  // of the two, the sandbox allows this one
    polled_ns_ = MonotonicNs();
  }
}

int16_t FileBlockDevice::poll_events() const { return POLLIN; }

void FileBlockDevice::Drain() {
  while (in_flight_ > 0) {
    if (Poll() == 0) {
      (void)usleep(100);
    }
  }
  (void)fdatasync(fd_);
}

void* FileBlockDevice::WorkerMain(void* device) {
  DropCapabilities();
  static_cast<FileBlockDevice*>(device)->worker_ready_.store(true);
  static_cast<FileBlockDevice*>(device)->worker_ready_.notify_one();
  static_cast<FileBlockDevice*>(device)->Work();
  return nullptr;
}

void FileBlockDevice::Work() {
  for (;;) {
    hal::BlockRequest* request = submitted_.Pop();
    if (request == nullptr) {
      submitted_.WaitForPush();
      continue;
    }
    if (request == &stop_) {
      return;
    }
    request->status = Carry(*request);
    GH_ASSERT(completed_.Push(request));
    const uint64_t one = 1;
    GH_ASSERT_EQ(write(event_fd_, &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
  }
}

ErrorCode FileBlockDevice::Carry(const hal::BlockRequest& request) {
  switch (request.op) {
    case hal::BlockOp::kRead:
    case hal::BlockOp::kWrite:
      return Transfer(request);
    case hal::BlockOp::kFlush:
      if (flush_ms_ > 0) {
        (void)usleep(flush_ms_ * 1000);
      }
      return fdatasync(fd_) == 0 ? ErrorCode::kOk : ErrorCode::kIoError;
    case hal::BlockOp::kDiscard: {
      const auto offset = static_cast<off_t>(request.block * block_size_);
      const auto bytes = static_cast<off_t>(uint64_t{request.block_count} * block_size_);
      const int mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
      // Discarding is advice; a file system that cannot do it keeps the old bytes.
      const bool ok = bytes == 0 || fallocate(fd_, mode, offset, bytes) == 0;
      return ok || errno == EOPNOTSUPP ? ErrorCode::kOk : ErrorCode::kIoError;
    }
  }
  return ErrorCode::kUnsupported;
}

ErrorCode FileBlockDevice::Transfer(const hal::BlockRequest& request) {
  const size_t bytes = size_t{request.block_count} * block_size_;
  const auto offset = static_cast<off_t>(request.block * block_size_);
  size_t done = 0;
  while (done < bytes) {
    const auto at = offset + static_cast<off_t>(done);
    const ssize_t moved = request.op == hal::BlockOp::kRead
                              ? pread(fd_, request.data + done, bytes - done, at)
                              : pwrite(fd_, request.data + done, bytes - done, at);
    if (moved < 0 && errno == EINTR) {
      continue;
    }
    if (moved <= 0) {
      return errno == ENOSPC ? ErrorCode::kNoSpace : ErrorCode::kIoError;
    }
    done += static_cast<size_t>(moved);
  }
  return ErrorCode::kOk;
}

}  // namespace gh::board
