// A record that only grows: bytes, sealed page by page on a part of a block device, the oldest
// overwritten when it is full.
//
// Page n lies in slot (n - 1) mod slots and is sealed for its slot under the owner's key. Bytes are
// taken into memory and written behind: when a page is full, or a moment after the last of them.
// One page is under way at a time, flushed before the next begins. Reading waits for the disk, one
// page at a time.
//
// Fault model: the part may hold anything; what does not open is not there. A power cut costs the
// bytes that were not written yet and, when the ring is full, its oldest page.
#pragma once

#include <cstdint>
#include <span>

#include "crypto/random.h"
#include "hal/block_device.h"
#include "hal/rt/arena.h"
#include "hal/rt/secret.h"
#include "hal/rt/timer_wheel.h"

namespace gh::files {

inline constexpr uint32_t kPageBytes = 4096;
inline constexpr uint32_t kPageRoom = kPageBytes - 24 - 16 - 24;  // seal, number, offset, sizes
inline constexpr uint64_t kPagesMin = 8;
inline constexpr uint32_t kBehindMax = 256 * 1024;  // bytes that wait for the disk
inline constexpr int64_t kBehindMilliseconds = 500;
inline constexpr int64_t kPageRetryMilliseconds = 2000;

class SealedStream {
 public:
  static constexpr size_t kKeyBytes = 32;
  SealedStream(Arena& arena, TimerWheel& timers, crypto::Random& random, hal::BlockDevice* device,
               uint64_t begin, uint64_t end);
  SealedStream(const SealedStream&) = delete;
  SealedStream& operator=(const SealedStream&) = delete;
  static uint64_t ArenaBytes() { return sizeof(SealedStream) + 4 * kPageBytes + kBehindMax + 256; }

  bool has_room() const { return slots_ > 0; }
  // Finds where the record ends. Waits for the disk.
  void Open(std::span<const uint8_t, kKeyBytes> key);
  bool is_open() const { return is_open_; }
  // All of it, or nothing: too much waits.
  bool Append(std::span<const uint8_t> bytes);
  uint32_t room() const { return kBehindMax - behind_size_; }
  // Places in the record: what can be read, and is on the disk.
  uint64_t begin();
  uint64_t end() const { return stored_; }
  // From `position` on. kWrongState: it was overwritten, or does not open. 0: the end.
  Result<size_t> Read(uint64_t position, std::span<uint8_t> out);
  uint64_t bytes_capacity() const { return slots_ * kPageRoom; }
  // Overwrites all there is. Waits for the disk.
  Result<void> Erase();
  const char* fault() const { return fault_; }  // of the disk, now; ""

 private:
  struct Page {
    uint64_t number = 0;
    uint64_t offset = 0;  // of its first byte in the record
    uint32_t size = 0;
  };
  enum class State : uint8_t { kIdle, kWriting, kFlushing };
  bool Load(uint64_t number, Page& out);  // into read_
  bool LoadSlot(uint64_t slot, Page& out);
  uint64_t oldest() const { return newest_ >= slots_ ? newest_ - slots_ + 2 : 1; }
  void WritePage();
  void Submit(hal::BlockOp op);
  void OnTimer();
  void Arm(int64_t milliseconds);

  TimerWheel& timers_;
  crypto::Random& random_;
  hal::BlockDevice* device_;
  uint64_t begin_;
  uint64_t slots_ = 0;
  SecretBytes<kKeyBytes> key_;
  bool is_open_ = false;
  std::span<uint8_t> write_;
  std::span<uint8_t> read_;
  std::span<uint8_t> behind_;  // a ring
  uint32_t behind_at_ = 0;
  uint32_t behind_size_ = 0;
  uint32_t writing_ = 0;  // bytes of it in the page under way
  Page loaded_;           // in read_; number 0: none
  uint64_t newest_ = 0;
  uint64_t stored_ = 0;
  hal::BlockRequest request_;
  State state_ = State::kIdle;
  bool done_ = false;
  Timer timer_;
  const char* fault_ = "";
};

}  // namespace gh::files
