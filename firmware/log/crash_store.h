// Crash records on the `log` partition: a ring of the last kCrashSlotCount, each in blocks of its
// own, and what the operator has acknowledged of them.
//
// At the partition's beginning, everything little-endian:
//
//   2 marks of kCrashMarkBytes:  "GHCM" version:16 copy:16 generation:64 acknowledged:64
//   cleared:64,
//                                zeros, CRC-32 of all before it in the last four bytes
//   kCrashSlotCount slots of kCrashSlotBytes: "GHCS" version:16 slot:16 sequence:64 size:32, zeros
//   to
//                                byte 64, the record (hal/rt/crash_record.h), zeros, CRC-32
//                                likewise
//
// A record's sequence number is its name for the operator and never used twice; record n lies in
// slot n mod kCrashSlotCount, so a full ring overwrites its oldest. Of the marks the valid one of
// the higher generation counts, and the other is written: a change is there wholly or not at all.
//
// Fault model: the partition may hold anything. A slot whose checksum, number or place is wrong
// does not exist. A cut while a record is written can cost the record it replaces, the oldest, and
// that record itself, which its board then still has; no other. Calls wait for the disk: at boot,
// and for an operator's command.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "firmware/log/limits.h"
#include "hal/block_device.h"
#include "hal/rt/arena.h"
#include "hal/rt/crash_record.h"

namespace gh::log {

class CrashStore {
 public:
  CrashStore(Arena& arena, hal::BlockDevice& device);
  CrashStore(const CrashStore&) = delete;
  CrashStore& operator=(const CrashStore&) = delete;

  // Reads the partition. kUnsupported: it is too small, or its blocks are of an odd size.
  Result<void> Open();
  // Keeps an encoded record; returns its number. One that is there already, because a cut came
  // before its board forgot it, is not kept again.
  Result<uint64_t> Append(std::span<const uint8_t> encoded);
  // The record as it was given; good until the next call. kNotFound; kCorrupt: it was there at
  // Open() and is so no longer.
  Result<std::span<const uint8_t>> Read(uint64_t number);
  Result<void> Acknowledge();  // all that there are
  Result<void> Clear();        // makes them unreadable; their numbers stay used

  // Numbers of the records, ascending.
  std::span<const uint64_t> numbers() const { return {numbers_.data(), count_}; }
  bool IsAcknowledged(uint64_t number) const { return number <= acknowledged_; }
  uint32_t unacknowledged_count() const;

 private:
  struct Mark {
    uint64_t generation = 0;
    uint64_t acknowledged = 0;
    uint64_t cleared = 0;
  };
  uint64_t BlockOf(uint64_t byte) const { return byte / device_.block_size(); }
  Result<void> ReadMarks();
  Result<void> WriteMark(uint64_t acknowledged, uint64_t cleared);
  // Into buffer_; the record's bytes, or kNotFound.
  Result<std::span<const uint8_t>> ReadSlot(uint32_t slot, uint64_t& number);
  void Insert(uint64_t number);
  void Forget(uint64_t number);

  hal::BlockDevice& device_;
  std::span<uint8_t> buffer_;  // one slot, page-aligned
  std::array<uint64_t, kCrashSlotCount> numbers_ = {};
  uint32_t count_ = 0;
  uint64_t acknowledged_ = 0;
  uint64_t cleared_ = 0;
  uint64_t generation_ = 0;
  uint32_t newest_mark_ = 1;
  bool open_ = false;
};

}  // namespace gh::log
