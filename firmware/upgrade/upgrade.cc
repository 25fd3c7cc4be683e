#include "firmware/upgrade/upgrade.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "hal/rt/assert.h"

namespace gh::upgrade {

namespace {

using hal::BlockOp;
using image::SlotStream;
using image::SlotStreamStep;
using image::UpdateFault;

char SlotLetter(uint32_t slot) { return slot == 0 ? 'A' : 'B'; }

}  // namespace

const char* PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kIdle:
      return "idle";
    case Phase::kChecking:
      return "checking";
    case Phase::kPreparing:
      return "preparing";
    case Phase::kReceiving:
      return "receiving";
    case Phase::kFinishing:
      return "finishing";
    case Phase::kInstalled:
      return "installed";
    case Phase::kFailed:
      return "failed";
  }
  GH_UNREACHABLE();
}

void FormatProgress(const Status& status, ByteWriter& out) {
  const uint64_t percent = status.total == 0 ? 0 : status.received * 100 / status.total;
  const uint64_t cells = percent * kProgressBarCells / 100;
  out.Char('[');
  for (uint32_t i = 0; i < kProgressBarCells; ++i) {
    out.Char(i < cells ? '#' : '.');
  }
  out.Text("] ");
  out.Decimal(percent);
  out.Text(" %, ");
  out.Decimal(status.bytes_per_s / 1024);
  out.Text(" KiB/s");
  if (status.seconds_left >= 0) {
    out.Text(", ");
    out.SignedDecimal(status.seconds_left / 60);
    out.Text(status.seconds_left % 60 < 10 ? ":0" : ":");
    out.SignedDecimal(status.seconds_left % 60);
    out.Text(" left");
  }
}

Upgrade::Upgrade(const Parts& parts)
    : parts_(parts),
      metadata_(parts.arena.NewArray<uint8_t>(image::kMetadataSizeMax)),
      stream_memory_(
          static_cast<uint8_t*>(parts.arena.Allocate(sizeof(SlotStream), alignof(SlotStream)))) {
  for (auto& block : blocks_) {
    block = parts.arena.NewArray<uint8_t>(image::kBlockSizeMax);
  }
  poll_name = "upgrade";
}

Result<void> Upgrade::Begin(std::string_view source, uint64_t announced,
                            const image::TrustPolicy& policy, hal::BlockDevice* device,
                            uint32_t slot, Instant now) {
  GH_ASSERT_LT(slot, 2u);
  if (active() || in_flight_) {
    return Error(ErrorCode::kWrongState, "an upgrade is on its way already");
  }
  if (device == nullptr) {
    return Error(ErrorCode::kNoDevice, "this machine has no slots to upgrade");
  }
  policy_ = policy;
  device_ = device;
  slot_ = slot;
  filling_ = 0;
  stream_ = new (stream_memory_) SlotStream(metadata_, blocks_[filling_], policy_,
                                            device->block_count() * device->block_size());
  ++run_;
  head_size_ = 0;
  is_key_list_ = false;
  list_sequence_ = 0;
  source_.Assign(source);
  announced_ = announced;
  started_at_ = last_data_ = now_ = now;
  block_waits_ = all_checked_ = io_failed_ = false;
  scan_next_ = blocks_written_ = blocks_kept_ = 0;
  fault_ = UpdateFault::kNone;
  reason_.Clear();
  work_ = Work::kNone;
  phase_ = Phase::kChecking;
  return Ok();
}

// The first bytes say what comes. False: they are not all here yet.
bool Upgrade::TakeHead(std::span<const uint8_t>& bytes) {
  if (head_size_ == head_.size()) {
    return true;
  }
  const size_t count = std::min(bytes.size(), head_.size() - head_size_);
  std::copy_n(bytes.begin(), count, head_.begin() + head_size_);
  head_size_ += static_cast<uint32_t>(count);
  bytes = bytes.subspan(count);
  if (head_size_ < head_.size()) {
    return false;
  }
  is_key_list_ = KeyListBuffer::IsKeyList(head_);
  parts_.observer.OnUpgradeStarted(source_.view(), is_key_list_ ? '-' : SlotLetter(slot_));
  std::span<const uint8_t> head = head_;
  if (is_key_list_) {
    list_.Start(blocks_[0]);
    list_.Feed(head).ignore("shorter than its header");
  } else if (!stream().Feed(head).ok()) {
    FailByStream();
  }
  return true;
}

void Upgrade::TakeListBytes(std::span<const uint8_t>& bytes) {
  if (auto fed = list_.Feed(bytes); !fed.ok()) {
    Fail(UpdateFault::kDamaged, fed.error().what);
    return;
  }
  if (list_.total() != 0 && announced_ > list_.total()) {
    Fail(UpdateFault::kTooLong, "there are bytes behind the end of the key list");
    return;
  }
  if (list_.complete()) {
    all_checked_ = true;
    phase_ = Phase::kFinishing;
  }
}

size_t Upgrade::Offer(std::span<const uint8_t> bytes, Instant now) {
  now_ = now;
  if (!active() || all_checked_) {
    return bytes.size();  // told in status(); what is left of the transfer goes nowhere
  }
  const size_t offered = bytes.size();
  if (!TakeHead(bytes)) {
    last_data_ = now;
    return offered;
  }
  if (is_key_list_ && active()) {
    TakeListBytes(bytes);
    last_data_ = now;
    return offered;
  }
  while (!bytes.empty() && (phase_ == Phase::kChecking || phase_ == Phase::kReceiving) &&
         !block_waits_) {
    const auto step = stream().Feed(bytes);
    if (!step.ok()) {
      FailByStream();
      return offered;
    }
    Handle(*step);
  }
  if (bytes.size() < offered) {
    last_data_ = now;
  }
  return active() ? offered - bytes.size() : offered;
}

void Upgrade::Handle(SlotStreamStep step) {
  switch (step) {
    case SlotStreamStep::kNeedMore:
      return;
    case SlotStreamStep::kHeader:
      if (announced_ > stream().total_size()) {
        Fail(UpdateFault::kTooLong, "there are bytes behind the end of the update");
      } else if (announced_ != 0 && announced_ < stream().total_size()) {
        FailShort();  // now, not after all of it came over a slow line
      }
      return;
    case SlotStreamStep::kManifest:
      phase_ = Phase::kPreparing;
      // Whether the slot has part of this very update: its manifest comes right behind the header.
      Start(Work::kReadOldManifest,
            {BlockOp::kRead, image::kSlotHeaderSize, blocks_[0].data(), image::kManifestSizeMax});
      return;
    case SlotStreamStep::kBlock:
      if (!stream().needs_block()) {
        ++blocks_kept_;
      } else if (work_ == Work::kNone) {
        StartBlockWrite();
      } else {
        block_waits_ = true;
      }
      return;
    case SlotStreamStep::kComplete:
      all_checked_ = true;
      phase_ = Phase::kFinishing;
      return;
  }
}

void Upgrade::End(Instant now) {
  now_ = now;
  if (!active() || all_checked_) {
    return;
  }
  if (is_key_list_) {
    Fail(UpdateFault::kTruncated, "the key list ended too early");
    return;
  }
  if (head_size_ < head_.size()) {
    std::span<const uint8_t> head = std::span(head_).first(head_size_);
    if (!stream().Feed(head).ok()) {
      FailByStream();
      return;
    }
  }
  const bool whole = stream().total_size() != 0 && stream().received() == stream().total_size();
  if (!whole && !stream().End().ok()) {
    FailByStream();
  }
}

void Upgrade::Cancel(const char* why, Instant now) {
  now_ = now;
  if (active()) {
    Fail(UpdateFault::kNone, why);
  }
}

Status Upgrade::status(Instant now) const {
  Status status;
  status.phase = phase_;
  if (phase_ == Phase::kIdle) {
    return status;
  }
  status.slot = is_key_list_ ? '-' : SlotLetter(slot_);
  status.source = source_;
  status.is_key_list = is_key_list_;
  status.received = is_key_list_ ? list_.received() : stream().received();
  status.total = is_key_list_ ? list_.total() : stream().total_size();
  if (is_key_list_) {
    uint8_t bytes[32];
    ByteWriter text(bytes);
    text.Text("key list ");
    if (list_sequence_ != 0) {
      text.Decimal(list_sequence_);
    }
    status.version.Assign(text.text());
  } else if (stream().slot().manifest.version[0] != '\0' && !stream().slot().leaves.empty()) {
    status.version.Assign(stream().slot().manifest.version);
    status.build_id.Assign(stream().slot().manifest.build_id);
  }
  status.blocks_written = blocks_written_;
  status.blocks_kept = blocks_kept_;
  status.elapsed = (active() ? now : ended_at_) - started_at_;
  const int64_t milliseconds = std::max<int64_t>(status.elapsed.milliseconds(), 1);
  status.bytes_per_s = status.received * 1000 / static_cast<uint64_t>(milliseconds);
  if (active() && status.total != 0 && status.bytes_per_s != 0) {
    status.seconds_left =
        static_cast<int64_t>((status.total - status.received) / status.bytes_per_s);
  }
  status.fault = fault_;
  status.reason = reason_;
  return status;
}

// --- Failing
// --------------------------------------------------------------------------------------

void Upgrade::Fail(UpdateFault fault, std::string_view reason) {
  GH_ASSERT(active());
  phase_ = Phase::kFailed;
  ended_at_ = now_;
  fault_ = fault;
  reason_.Assign(reason);
  parts_.observer.OnUpgradeFailed(source_.view(), fault, reason_.view());
}

void Upgrade::FailShort() {
  uint8_t bytes[kReasonMax];
  ByteWriter out(bytes);
  out.Text("the update ended too early: the file has ");
  out.Decimal(announced_);
  out.Text(" of ");
  out.Decimal(stream().total_size());
  out.Text(" bytes");
  Fail(UpdateFault::kTruncated, out.text());
}

void Upgrade::FailByStream() {
  uint8_t bytes[kReasonMax];
  ByteWriter out(bytes);
  stream().Describe(out);
  Fail(stream().fault(), out.text());
}

// --- The disk
// -------------------------------------------------------------------------------------

void Upgrade::Start(Work work, const Io& io) {
  GH_ASSERT(work_ == Work::kNone && !in_flight_);
  work_ = work;
  io_ = io;
}

void Upgrade::StartBlockRead() {
  Start(Work::kReadOldBlock, {BlockOp::kRead, stream().OffsetOf(scan_next_), blocks_[1].data(),
                              stream().slot().manifest.block_size});
}

// The block just checked goes to the disk; the stream fills the other buffer meanwhile.
void Upgrade::StartBlockWrite() {
  const uint32_t full = filling_;
  Start(Work::kWriteBlock, {BlockOp::kWrite, stream().block_offset(), blocks_[full].data(),
                            stream().slot().manifest.block_size});
  filling_ = 1 - full;
  stream().UseBlockBuffer(blocks_[filling_]);
  ++blocks_written_;
}

void Upgrade::Submit() {
  const uint32_t block_size = device_->block_size();
  const uint64_t step = std::min<uint64_t>(io_.size, kTransferBytesMax);
  GH_ASSERT_EQ(io_.offset % block_size, 0u);
  GH_ASSERT_EQ(step % block_size, 0u);
  request_ = {};
  request_.op = io_.op;
  request_.block = io_.offset / block_size;
  request_.block_count = static_cast<uint32_t>(step / block_size);
  request_.data = io_.data;
  request_.context = this;
  request_.done = [](hal::BlockRequest& request) {
    static_cast<Upgrade*>(request.context)->OnRequestDone(request);
  };
  const auto submitted = device_->Submit(request_);
  in_flight_ = submitted.ok();
  // A full queue: again at the next turn.
  io_failed_ = !submitted.ok() && submitted.code() != ErrorCode::kExhausted;
}

void Upgrade::OnRequestDone(hal::BlockRequest& request) {
  in_flight_ = false;
  io_failed_ = request.status != ErrorCode::kOk;
  const uint64_t step = uint64_t{request.block_count} * device_->block_size();
  io_.offset += step;
  io_.data += io_.op == BlockOp::kFlush ? 0 : step;
  io_.size -= std::min(io_.size, step);
  if (io_.size == 0 && !io_failed_) {
    io_.op = BlockOp::kDiscard;  // nothing left: never submitted
  }
}

// Carries the work on by a request. True when there is more to do in this turn.
bool Upgrade::Drive() {
  if (in_flight_) {
    device_->Poll();
    return true;
  }
  if (io_failed_) {
    io_failed_ = false;
    work_ = Work::kNone;
    if (active()) {
      Fail(UpdateFault::kNone, "the slot's disk failed");
    }
    return false;
  }
  if (work_ == Work::kNone) {
    return false;
  }
  if (io_.op == BlockOp::kDiscard) {
    OnWorkDone();
  } else {
    Submit();
  }
  return true;
}

bool Upgrade::Poll(Instant now) {
  now_ = now;
  if (!active()) {
    work_ = Work::kNone;
    if (in_flight_) {
      device_->Poll();  // a request of an upgrade that failed
    }
    return in_flight_;
  }
  bool more = false;
  for (uint32_t i = 0; i < kBlocksPerPollMax && Drive(); ++i) {
    more = true;
    if (!active()) {
      return more;
    }
  }
  if (phase_ == Phase::kReceiving && work_ == Work::kNone && block_waits_) {
    block_waits_ = false;
    StartBlockWrite();
    return true;
  }
  if (phase_ == Phase::kReceiving && !block_waits_ &&
      stream().received() == stream().total_size()) {
    std::span<const uint8_t> none;
    const auto step = stream().Feed(none);
    GH_ASSERT(step.ok());
    Handle(*step);
    more = true;
  }
  if (phase_ == Phase::kFinishing && is_key_list_) {
    FinishKeyList();
    return true;
  }
  if (phase_ == Phase::kFinishing && work_ == Work::kNone) {
    Start(Work::kFlushBlocks, {});
    return true;
  }
  const bool waits_for_source = phase_ == Phase::kChecking || phase_ == Phase::kReceiving;
  if (waits_for_source && now - last_data_ > kSourceSilenceMax) {
    Fail(UpdateFault::kNone, "the source fell silent");
  }
  return more;
}

// --- One after the other
// ----------------------------------------------------------------------------

void Upgrade::OnWorkDone() {
  const Work done = work_;
  work_ = Work::kNone;
  switch (done) {
    case Work::kReadOldManifest:
      OnOldManifest();
      return;
    case Work::kEraseHeader:
      Start(Work::kFlushErase, {});
      return;
    case Work::kFlushErase:
      if (scan_next_ < stream().slot().block_count()) {
        StartBlockRead();
      } else {
        Prepare();
      }
      return;
    case Work::kReadOldBlock:
      OnOldBlock();
      return;
    case Work::kWriteMetadata:
      phase_ = Phase::kReceiving;
      last_data_ = now_;
      return;
    case Work::kNone:
    case Work::kWriteBlock:
      return;
    case Work::kFlushBlocks:
      std::memcpy(blocks_[0].data(), stream().Header().data(), image::kSlotHeaderSize);
      Start(Work::kWriteHeader, {BlockOp::kWrite, 0, blocks_[0].data(), image::kSlotHeaderSize});
      return;
    case Work::kWriteHeader:
      Start(Work::kFlushHeader, {});
      return;
    case Work::kFlushHeader:
      Finish();
      return;
  }
}

void Upgrade::OnOldManifest() {
  const uint32_t size = stream().layout().manifest_size;
  const bool is_same = std::memcmp(blocks_[0].data(), stream().Metadata().data(), size) == 0;
  scan_next_ = is_same ? 0 : stream().slot().block_count();
  if (auto forgotten = parts_.ledger.ForgetSlot(slot_); !forgotten.ok()) {
    Fail(UpdateFault::kNone, forgotten.error().what);
    return;
  }
  std::memset(blocks_[0].data(), 0, image::kSlotHeaderSize);
  Start(Work::kEraseHeader, {BlockOp::kWrite, 0, blocks_[0].data(), image::kSlotHeaderSize});
}

void Upgrade::OnOldBlock() {
  const uint32_t size = stream().slot().manifest.block_size;
  // What does not match is written when it arrives.
  (void)stream().VerifyPresent(scan_next_, std::span(blocks_[1]).first(size));
  if (++scan_next_ < stream().slot().block_count()) {
    StartBlockRead();
    return;
  }
  Prepare();
}

void Upgrade::Prepare() {
  const auto metadata = metadata_.subspan(image::kSlotHeaderSize, stream().Metadata().size());
  Start(Work::kWriteMetadata,
        {BlockOp::kWrite, image::kSlotHeaderSize, metadata.data(), metadata.size()});
}

void Upgrade::FinishKeyList() {
  if (parts_.keys == nullptr) {
    Fail(UpdateFault::kNone, "key lists are not taken here");
    return;
  }
  const auto taken = parts_.keys->TakeKeyList(list_.bytes(), metadata_);
  if (!taken.ok()) {
    const ErrorCode code = taken.code();
    Fail(code == ErrorCode::kUnauthentic ? UpdateFault::kUntrusted
         : code == ErrorCode::kRollback  ? UpdateFault::kRollback
         : code == ErrorCode::kMalformed ? UpdateFault::kDamaged
                                         : UpdateFault::kNone,
         taken.error().what);
    return;
  }
  list_sequence_ = *taken;
  phase_ = Phase::kInstalled;
  ended_at_ = now_;
}

void Upgrade::Finish() {
  const image::Manifest& manifest = stream().slot().manifest;
  if (auto offered = parts_.ledger.OfferTrial(slot_, manifest.security_version); !offered.ok()) {
    Fail(UpdateFault::kNone, offered.error().what);
    return;
  }
  phase_ = Phase::kInstalled;
  ended_at_ = now_;
  parts_.observer.OnUpgradeInstalled(manifest, SlotLetter(slot_), stream().received(),
                                     ended_at_ - started_at_, blocks_kept_);
}

}  // namespace gh::upgrade
