// The four copies of the boot state record as one: read by quorum, repaired, written in an order
// that no power cut can break.
//
// Reading. A copy counts when its checksum is right and it lies in its own place. Of those the
// highest sequence wins; of two different records of one sequence (the medium brought back a copy
// that could not be read when its number was given out again) the one with more copies, then the
// one of the lowest index. Two copies that agree are a quorum: the record is used as it is. A
// single newest copy is used too, but first written to all the others ("rolled forward"). It is
// either a write that was cut short, which nobody was told had happened and which may become old or
// new, or the last copy of a record that was acknowledged, and then any other answer would be a
// rollback by stale copies. Writing it out before anything acts on it makes the answer final.
// So every acknowledged record outlives the loss of any three copies, whether they are broken,
// misplaced or stale. When all four are lost the loader says so and goes by the slots
// (boot/chain.h).
//
// Writing. First the copies that do not hold the current record, two of them at least; flush; then
// the others; flush; only then is the write acknowledged. At each moment some copies are whole,
// durable and not being written. The sequence is one more than the highest of any copy that could
// be read, so that a number is never used for two records that are on the disk.
// Repair writes only copies that are not the current record.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hal/rt/result.h"
#include "image/bootstate.h"

namespace gh::image {

// Bit i: copy i.
using CopyMask = uint8_t;
inline constexpr CopyMask kAllCopies = (1 << kBootStateCopyCount) - 1;
inline constexpr uint32_t kBootStateQuorum = 2;

struct BootStatePick {
  BootState state;
  CopyMask holders = 0;       // copies that hold exactly `state`
  CopyMask repair = 0;        // all the others
  uint64_t sequence_max = 0;  // of any valid copy
  bool has_quorum() const;    // else: repair before use
};

// `copies[i]` is what copy i decoded to, nullptr if it was lost. kNotFound: all are.
Result<BootStatePick> PickBootState(
    const std::array<const BootState*, kBootStateCopyCount>& copies);

// What to write before the first flush and before the second; each copy is in one of them.
struct BootStateWriteOrder {
  CopyMask first;
  CopyMask second;
};
BootStateWriteOrder OrderBootStateWrite(CopyMask holders);

// The boot state partition, synchronous. Offsets and sizes are multiples of 4096.
class StateDisk {
 public:
  virtual Result<void> Read(uint64_t offset, std::span<uint8_t> out) = 0;
  virtual Result<void> Write(uint64_t offset, std::span<const uint8_t> data) = 0;
  // Everything written before is durable when this returns.
  virtual Result<void> Flush() = 0;

 protected:
  ~StateDisk() = default;
};

enum class RecordStatus : uint8_t {
  kUnread = 0,
  kGood,      // all four copies agreed
  kRepaired,  // some did not, and were written again
  kDamaged,   // some did not, and could not be written
  kLost,      // no copy could be read
};

// The record on its disk. Load first. About 5 KiB.
class BootStateCopies {
 public:
  explicit BootStateCopies(StateDisk& disk) : disk_(disk) {}
  BootStateCopies(const BootStateCopies&) = delete;
  BootStateCopies& operator=(const BootStateCopies&) = delete;

  // Reads, picks and repairs. kNotFound: all copies are lost. When the repair fails status() says
  // kDamaged: the record may be read, but nothing that must be remembered can be.
  Result<BootState> Load();
  // Raises the sequence and writes all copies; durable when it returns ok. After an error the disk
  // holds the old record or the new one.
  Result<void> Save(BootState& state);

  RecordStatus status() const { return status_; }
  // Copies that held the record when it was loaded.
  CopyMask holders_at_load() const { return holders_at_load_; }

 private:
  Result<void> Write(const BootState& state, CopyMask copies);

  StateDisk& disk_;
  RecordStatus status_ = RecordStatus::kUnread;
  CopyMask holders_ = 0;
  CopyMask holders_at_load_ = 0;
  uint64_t sequence_max_ = 0;
  alignas(16) std::array<uint8_t, kBootStateCopySize> buffer_ = {};
};

}  // namespace gh::image
