// The loader's whole decision, pure: which verified image to start, in which order, and what is
// remembered of it. boot/uefi gives it the machine's disk, memory and counter; tests give simulated
// ones.
//
//   Begin()  reads the boot state record (image/bootstate_copies.h), brings record and hardware
//            counter together, takes over a newer key list, and executes a factory reset that was
//            asked for or cut short.
//   Next()   gives the next image to start, read once into memory and verified there; what it must
//            remember (the try, what failed) is durable before it returns. The caller jumps, or
//            calls Refuse() and then Next() again. False: recovery console; nothing may be started.
//
// The order: slots that are confirmed or on trial with tries left, the newest install first (a
// confirmed slot that was started kUnhealthyStartsMax times without being healthy goes last), then
// golden. The operator may ask for golden once: it goes first then, and the record forgets the wish
// by the same write that remembers the start. A trial is not started when its try cannot be written
// down. A slot that fails to verify is remembered as bad, with the reason, unless the disk or the
// memory failed and not the slot.
//
// Rollback: nothing is started whose security version is below the highest of the record, the
// hardware counter and the loader's own minimum. The record rises by confirmation only; the
// hardware counter follows it here. Golden is held to the same rule: a machine that has moved on
// from its golden image ends in the recovery console rather than run old code.
//
// All four copies of the record lost: the slots decide. Each that verifies becomes a trial with one
// try, the highest security version first, so that none is trusted unseen and none can hold the
// machine in a circle; the floor is the highest security version among them and golden and the
// hardware counter, which is never below what was lost.
//
// Factory reset, in this order: the store key is destroyed (a marker in its place says that a reset
// runs, and starts it again even if the record is lost), store, log, snapshots, kept settings
// unless they are to be kept, golden verified and copied to slot a and read back, slot b's header,
// the marker, and at last the intent. Every step can be repeated; each ends with a flush before the
// record says that it is done. Key list and security version stay. When golden may not be started
// (damaged, or too old for the security version) the slots stay as they are: erasing the only image
// that may run would be no reset but a brick.
//
// Fault model: everything on the disk is hostile until verified; reads and writes may fail at any
// point; power may go at any point. UEFI's boot entries are never looked at.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "boot/limits.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"
#include "image/bootstate.h"
#include "image/bootstate_copies.h"
#include "image/partitions.h"
#include "image/slot.h"

namespace gh::boot {

// The disk, by partition. Offsets and sizes are multiples of 4096.
class ChainDisk {
 public:
  // Bytes; 0: the disk has no such partition.
  virtual uint64_t Size(image::PartitionRole role) = 0;
  virtual Result<void> Read(image::PartitionRole role, uint64_t offset, std::span<uint8_t> out) = 0;
  virtual Result<void> Write(image::PartitionRole role, uint64_t offset,
                             std::span<const uint8_t> data) = 0;
  // Everything written before is durable when this returns.
  virtual Result<void> Flush() = 0;

 protected:
  ~ChainDisk() = default;
};

// Room for whole slots.
class ChainMemory {
 public:
  // Exactly `size` bytes, or kExhausted.
  virtual Result<std::span<uint8_t>> Allocate(uint64_t size) = 0;
  virtual void Release(std::span<uint8_t> memory) = 0;

 protected:
  ~ChainMemory() = default;
};

// A counter that cannot be lowered: TPM NV, or an authenticated UEFI variable.
class RollbackCounter {
 public:
  // kNotFound: never written; counts as 0. Any other error is told and counts as 0: the record
  // still holds.
  virtual Result<uint64_t> Read() = 0;
  virtual Result<void> Raise(uint64_t value) = 0;

 protected:
  ~RollbackCounter() = default;
};

// Lines for people, without "loader: " and newline.
class ChainReport {
 public:
  virtual void Line(std::string_view text) = 0;
  virtual void Warning(std::string_view text) = 0;
  // Of a factory reset's long steps; `total` is not 0.
  virtual void Progress(std::string_view /*step*/, uint64_t /*done*/, uint64_t /*total*/) {}

 protected:
  ~ChainReport() = default;
};

struct ChainPolicy {
  std::span<const image::TrustedKey> keys;  // built in: root and release keys
  std::string_view board = "pc";
  uint32_t loader_version = kLoaderVersion;
  uint64_t security_version_min = kSecurityVersionMin;
  uint32_t root_signature_count_min = 1;
  bool is_reset_button_down = false;
};

enum class StartKind : uint8_t { kConfirmed, kTrial, kGolden };

// An image to start. `slot` is the chain's until Refuse() or Next().
struct ChainStart {
  image::PartitionRole role = image::PartitionRole::kFactory;
  char letter = '-';  // 'a', 'b', 'g': as in the hand-over
  StartKind kind = StartKind::kGolden;
  uint8_t tries_left = 0;   // of a trial, after this one
  std::span<uint8_t> slot;  // the whole slot, verified; its metadata first
  image::VerifiedSlot verified;
  std::span<const uint8_t> metadata() const { return slot.first(verified.layout.payload_offset); }
  std::span<const uint8_t> payload() const {
    return slot.subspan(verified.layout.payload_offset, verified.layout.payload_size);
  }
};

// What happened on the way, for the hand-over and the recovery console. Index: a, b, golden.
struct ChainHistory {
  image::RecordStatus record = image::RecordStatus::kUnread;
  bool was_reset = false;         // a factory reset ended in this run
  bool is_record_written = true;  // false: what was to be remembered could not be
  std::array<FixedString<image::kSlotReasonSizeMax>, kSlotCount> failures;  // "" if not refused
};

// About 12 KiB: not for the stack.
class Chain {
 public:
  // `counter` may be null.
  Chain(ChainDisk& disk, ChainMemory& memory, RollbackCounter* counter, ChainReport& report,
        const ChainPolicy& policy);
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;
  ~Chain() { ReleaseSlot(); }

  // Once, first. Never fails as such: what is wrong is told and remembered.
  void Begin();
  bool Next(ChainStart& out);
  // The image that Next() gave could not be placed.
  void Refuse(const ChainStart& start, std::string_view reason);
  // After the recovery console changed something: every slot may be given again.
  void StartOver();
  // Next() gives golden and nothing else: the operator's choice for this start.
  void StartOnlyGolden();
  // The record asks for golden in this start (image::SelectGolden): Next() gives it first.
  bool is_golden_chosen() const { return is_golden_chosen_; }

  // For the recovery console. Changes: image/bootstate_changes.h, then SaveState().
  image::BootState& state() { return state_; }
  const image::BootState& state() const { return state_; }
  Result<void> SaveState();
  // Executes state().reset_intent. Also resumes one.
  Result<void> RunReset();
  // The floor of rollback refusal.
  uint64_t security_floor() const;
  // What an image must satisfy now; for images received by the recovery console.
  image::TrustPolicy TrustNow() const;
  const ChainHistory& history() const { return history_; }

 private:
  class StatePartition final : public image::StateDisk {
   public:
    explicit StatePartition(ChainDisk& disk) : disk_(disk) {}
    Result<void> Read(uint64_t offset, std::span<uint8_t> out) override;
    Result<void> Write(uint64_t offset, std::span<const uint8_t> data) override;
    Result<void> Flush() override;

   private:
    ChainDisk& disk_;
  };

  void LoadRecord();
  void RebuildRecord();
  void JoinCounter();
  void LoadKeyList();
  void StoreKeyList(std::span<const uint8_t> list);
  void CheckResetMarker();
  bool Pick(uint32_t& index) const;
  bool Outranks(uint32_t a, uint32_t b) const;
  Result<void> LoadSlot(image::PartitionRole role, ChainStart& out);
  Result<void> VerifySlot(image::PartitionRole role, ChainStart& out);
  bool Remember(uint32_t index, ChainStart& start);
  void NoteFailure(uint32_t index, const Error& error);
  void ReleaseSlot();

  Result<void> RunResetStep(uint8_t step);
  Result<void> EraseArea(image::PartitionRole role, uint64_t offset, uint64_t size);
  Result<void> WriteMarker();
  Result<void> InstallGolden();
  Result<void> CopyToSlotA(std::span<const uint8_t> slot);
  void FinishReset();
  Result<void> CompareSlotA(std::span<const uint8_t> slot);

  ChainDisk& disk_;
  ChainMemory& memory_;
  RollbackCounter* counter_;
  ChainReport& report_;
  ChainPolicy policy_;
  StatePartition partition_;
  image::BootStateCopies copies_;
  image::BootState state_;
  image::KeyRing ring_;  // the key list in force
  uint64_t counter_value_ = 0;
  bool is_changed_ = false;  // state_ holds what the disk does not
  std::array<bool, kSlotCount> is_tried_ = {};
  bool is_golden_chosen_ = false;
  std::span<uint8_t> slot_;
  ChainHistory history_;
  alignas(16) std::array<uint8_t, 4096> block_ = {};
};

}  // namespace gh::boot
