// Writes that nobody waits for: they reach the device in the order they were given, and between two
// of them that have a barrier in between lies a flush.
//
// What the device holds at any moment is what it would hold had each write and flush been waited
// for, some of them ago: a power cut finds nothing else, and what mends the one mends the other.
// Reads look here first (Find). A barrier has a number; it is done when its flush is.
//
// Fault model: when a request fails everything behind it is given up, has_failed() stays true and
// nothing more is taken until Reset(); the content is then what the device says.
#pragma once

#include <cstdint>
#include <span>

#include "firmware/store/limits.h"
#include "hal/block_device.h"
#include "hal/rt/arena.h"
#include "hal/rt/result.h"

namespace gh::store {

class WriteQueue {
 public:
  // `unit_count`: of the device.
  WriteQueue(Arena& arena, hal::BlockDevice& device, uint64_t unit_count);
  WriteQueue(const WriteQueue&) = delete;
  WriteQueue& operator=(const WriteQueue&) = delete;

  // Room for the unit's next content, to be filled before Push(). Waits for the device when all
  // room is taken. Empty: the queue has failed.
  std::span<uint8_t> Claim(uint64_t unit);
  void Push();
  // Its number; in order, from 1.
  uint64_t AddBarrier();
  // The content given last for the unit, as long as the device may not have it; else empty.
  std::span<const uint8_t> Find(uint64_t unit) const;

  // Hears the device and gives it what it may have. Never waits.
  void Pump();
  // Waits until the device has it all. kIoError: it has not.
  Result<void> Drain();
  // Waits for what the device holds, forgets everything else.
  void Reset();

  bool is_empty() const { return first_ == end_; }
  // Its memory, for something else as long as nothing is given: whole units.
  std::span<uint8_t> idle_room() const { return is_empty() ? data_ : std::span<uint8_t>(); }
  bool is_long() const { return end_ - first_ > entries_.size() / 4; }
  bool has_failed() const { return failed_; }
  uint64_t barriers_given() const { return barriers_given_; }
  uint64_t barriers_done() const { return barriers_done_; }
  uint64_t failure_count() const { return failure_count_; }
  uint64_t wait_count() const { return wait_count_; }  // times all room was taken

 private:
  struct Entry {
    hal::BlockRequest request;
    WriteQueue* queue = nullptr;
    uint64_t unit = 0;
    uint64_t number = 0;      // its place in the order
    bool is_barrier = false;  // a flush, not a write
    bool waits = false;       // for all before it
    bool is_done = false;
  };
  Entry& At(uint64_t number) { return entries_[number % entries_.size()]; }
  std::span<uint8_t> DataOf(uint64_t number) const;
  bool MakeRoom();
  bool Give(Entry& entry);
  void Fill();
  void OnDone(Entry& entry);
  void Fail();

  hal::BlockDevice& device_;
  std::span<Entry> entries_;
  std::span<uint8_t> data_;
  std::span<uint32_t> newest_;  // by unit: which entry has it, counted from 1
  uint64_t first_ = 0;          // numbers: not done, not given, not there
  uint64_t next_ = 0;
  uint64_t end_ = 0;
  uint64_t claimed_ = 0;  // the entry that Push() means
  uint64_t fence_ = 0;    // entries before it stay as they are
  uint32_t in_flight_ = 0;
  bool flushing_ = false;
  bool failed_ = false;
  uint64_t barriers_given_ = 0;
  uint64_t barriers_done_ = 0;
  uint64_t failure_count_ = 0;
  uint64_t wait_count_ = 0;
};

}  // namespace gh::store
