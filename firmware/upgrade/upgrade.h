// An update on its way into the slot that does not run.
//
//   Begin -> Offer ... Offer -> End        by a source: console, HTTPS, a pushing protocol
//                                          (README.md)
// A file that begins as a key list (image/key_list.h) is collected and given to KeyLedger instead;
// no slot is touched by it.
// Bytes are checked as they arrive (image/slot_stream.h) and written as they are checked; at most
// two blocks are held. Nothing on the disk is touched before the manifest is known to be signed and
// fit for this machine. Then, each step durable before the next:
//   1. the boot state forgets the slot, 2. its header is erased, 3. blocks, 4. the header, 5. the
//   boot state names the slot as an update to be tried at the next start.
// A cut anywhere leaves the running slot as it was, and the other one either whole or not a slot.
// What an earlier attempt at the same update has left in the slot is checked and kept.
//
// Fault model: the source gives anything, at any pace; the disk may fail at any request. An update
// that fails says why (status().reason) and leaves the machine as it was. Work in a turn is
// bounded: a few hashes of a block, a request; engines do not notice.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/upgrade/key_list_buffer.h"
#include "firmware/upgrade/limits.h"
#include "hal/block_device.h"
#include "hal/rt/arena.h"
#include "hal/rt/event_loop.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"
#include "image/slot_stream.h"

namespace gh::upgrade {

// What the boot state says of the slots; see boot_record.h.
class SlotLedger {
 public:
  // The slot is about to be overwritten: it is not to be started any more.
  virtual Result<void> ForgetSlot(uint32_t slot) = 0;
  // The slot holds a whole update: to be tried at the next start.
  virtual Result<void> OfferTrial(uint32_t slot, uint64_t security_version) = 0;

 protected:
  ~SlotLedger() = default;
};

// Which release keys count on this machine.
class KeyLedger {
 public:
  // Verifies a whole key list and puts it in force, durably; its sequence. `scratch` holds
  // image::kMetadataSizeMax bytes. An error: the list before stays in force.
  virtual Result<uint64_t> TakeKeyList(std::span<const uint8_t> list,
                                       std::span<uint8_t> scratch) = 0;

 protected:
  ~KeyLedger() = default;
};

class Observer {
 public:
  // Once the first bytes are there. `slot` is '-' for a key list.
  virtual void OnUpgradeStarted(std::string_view source, char slot) = 0;
  virtual void OnUpgradeInstalled(const image::Manifest& manifest, char slot, uint64_t bytes,
                                  Duration took, uint32_t blocks_kept) = 0;
  // `fault` is kNone when it was not the update's.
  virtual void OnUpgradeFailed(std::string_view source, image::UpdateFault fault,
                               std::string_view reason) = 0;

 protected:
  ~Observer() = default;
};

enum class Phase : uint8_t {
  kIdle,
  kChecking,   // header and manifest arrive
  kPreparing,  // the old slot is given up; blocks of an earlier attempt are looked at
  kReceiving,
  kFinishing,  // all is there: flush, header, boot state
  kInstalled,
  kFailed,
};
const char* PhaseName(Phase phase);  // "receiving"

struct Status {
  Phase phase = Phase::kIdle;
  char slot = '-';
  FixedString<32> source;
  bool is_key_list = false;
  FixedString<32> version;  // from the manifest, once it is known; "key list 2"
  FixedString<65> build_id;
  uint64_t received = 0;
  uint64_t total = 0;  // 0: not known yet
  uint32_t blocks_written = 0;
  uint32_t blocks_kept = 0;
  Duration elapsed;
  uint64_t bytes_per_s = 0;
  int64_t seconds_left = -1;  // -1: cannot be told
  image::UpdateFault fault = image::UpdateFault::kNone;
  FixedString<kReasonMax> reason;
};

// "[###########...................]  37 %, 412 KiB/s, 00:04 left"
void FormatProgress(const Status& status, ByteWriter& out);

class Upgrade final : public Pollable {
 public:
  struct Parts {
    Arena& arena;
    SlotLedger& ledger;
    Observer& observer;
    KeyLedger* keys = nullptr;  // null: key lists are refused
  };
  explicit Upgrade(const Parts& parts);
  Upgrade(const Upgrade&) = delete;
  Upgrade& operator=(const Upgrade&) = delete;

  // Starts an update into `slot` (0: a, 1: b) on `device`. `announced`: bytes the source will give,
  // 0 if it does not say. `policy` is copied but for its keys, which stay. kWrongState: one is on
  // its way already. `device` null: kNoDevice.
  Result<void> Begin(std::string_view source, uint64_t announced, const image::TrustPolicy& policy,
                     hal::BlockDevice* device, uint32_t slot, Instant now);
  // Bytes taken off the front; 0: busy with the disk, offer again. An update that has failed or is
  // all there takes and drops everything.
  size_t Offer(std::span<const uint8_t> bytes, Instant now);
  // The source has no more to give.
  void End(Instant now);
  void Cancel(const char* why, Instant now);
  bool active() const { return phase_ >= Phase::kChecking && phase_ <= Phase::kFinishing; }
  Phase phase() const { return phase_; }
  // How many have begun: tells one update from the next.
  uint64_t run() const { return run_; }
  // image::kMetadataSizeMax bytes for others while no update is on its way.
  std::span<uint8_t> scratch() const {
    GH_ASSERT(!active());
    return metadata_;
  }
  // Why the last one failed; until the next begins.
  const char* reason() const { return reason_.c_str(); }
  Status status(Instant now) const;
  // For a source that can go on in the middle, once the manifest was taken (kReceiving).
  uint64_t resume_offset() const { return stream().resume_offset(); }

  bool Poll(Instant now) override;

 private:
  // What the disk does next. One at a time; each ends in OnWorkDone.
  enum class Work : uint8_t {
    kNone,
    kReadOldManifest,
    kEraseHeader,
    kFlushErase,
    kReadOldBlock,
    kWriteMetadata,
    kWriteBlock,
    kFlushBlocks,
    kWriteHeader,
    kFlushHeader,
  };
  struct Io {
    hal::BlockOp op = hal::BlockOp::kFlush;
    uint64_t offset = 0;
    uint8_t* data = nullptr;
    uint64_t size = 0;  // left
  };

  image::SlotStream& stream() const { return *stream_; }
  bool TakeHead(std::span<const uint8_t>& bytes);
  void TakeListBytes(std::span<const uint8_t>& bytes);
  void FinishKeyList();
  void Handle(image::SlotStreamStep step);
  void Start(Work work, const Io& io);
  void StartBlockRead();
  void StartBlockWrite();
  bool Drive();
  void Submit();
  void OnRequestDone(hal::BlockRequest& request);
  void OnWorkDone();
  void OnOldManifest();
  void OnOldBlock();
  void Prepare();
  void Finish();
  void Fail(image::UpdateFault fault, std::string_view reason);
  void FailByStream();
  void FailShort();

  Parts parts_;
  std::span<uint8_t> metadata_;
  std::span<uint8_t> blocks_[2];
  uint8_t* stream_memory_;
  image::SlotStream* stream_ = nullptr;  // in stream_memory_, anew for each update
  image::TrustPolicy policy_;
  hal::BlockDevice* device_ = nullptr;
  uint32_t slot_ = 0;
  Phase phase_ = Phase::kIdle;
  uint64_t run_ = 0;
  std::array<uint8_t, KeyListBuffer::kMagicSize> head_ = {};
  uint32_t head_size_ = 0;
  bool is_key_list_ = false;
  KeyListBuffer list_;  // in blocks_[0]
  uint64_t list_sequence_ = 0;
  FixedString<32> source_;
  uint64_t announced_ = 0;
  Instant started_at_;
  Instant ended_at_;
  Instant last_data_;
  Instant now_;
  uint32_t filling_ = 0;      // the block buffer that the stream fills
  bool block_waits_ = false;  // a block is checked, the disk is busy with the one before it
  bool all_checked_ = false;  // kComplete was seen
  uint32_t scan_next_ = 0;
  uint32_t blocks_written_ = 0;
  uint32_t blocks_kept_ = 0;
  image::UpdateFault fault_ = image::UpdateFault::kNone;
  FixedString<kReasonMax> reason_;

  Work work_ = Work::kNone;
  Io io_;
  hal::BlockRequest request_;
  bool in_flight_ = false;
  bool io_failed_ = false;
};

}  // namespace gh::upgrade
