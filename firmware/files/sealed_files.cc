#include "firmware/files/sealed_files.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "crypto/aead.h"
#include "hal/rt/bytes.h"

namespace gh::files {
namespace {

constexpr uint16_t kFree = UINT16_MAX;
constexpr uint16_t kLast = UINT16_MAX - 1;
constexpr uint32_t kMagic = 0x47484631;  // "GHF1"
constexpr char kHeadKind = 'H';
constexpr char kDataKind = 'D';
constexpr size_t kBlockAlignment = 4096;
static_assert(kChunkMax < kLast);

std::span<uint8_t> Block(Arena& arena) {
  return {static_cast<uint8_t*>(arena.Allocate(kBlockBytes, kBlockAlignment)), kBlockBytes};
}

uint32_t ChunksFor(uint64_t size) {
  const uint64_t blocks = 1 + (size + kPayloadBytes - 1) / kPayloadBytes;
  return static_cast<uint32_t>((blocks + kChunkBlocks - 1) / kChunkBlocks);
}

void OnDone(hal::BlockRequest& request) { *static_cast<bool*>(request.context) = true; }

template <uint32_t N>
void WriteShort(const FixedString<N>& text, ByteWriter& out) {
  out.U8(static_cast<uint8_t>(text.size()));
  out.Text(text.view());
}

template <uint32_t N>
bool ReadShort(ByteReader& in, FixedString<N>& out) {
  const uint8_t size = in.U8();
  return out.Assign(AsText(in.Take(size))) && in.ok();
}

}  // namespace

SealedFiles::SealedFiles(Arena& arena, TimerWheel& timers, crypto::Random& random, const Part& part)
    : part_(part),
      timers_(timers),
      random_(random),
      next_chunk_(arena.NewArray<uint16_t>(kChunkMax)),
      files_(arena, kFileMax),
      by_id_(arena, kFileMax, SipKey{random.U64(), random.U64()}) {
  const uint32_t block = part.device != nullptr ? part.device->block_size() : 0;
  const bool is_even = block != 0 && kBlockBytes % block == 0 && part.begin % block == 0;
  if (is_even && part.end > part.begin) {
    chunk_count_ =
        static_cast<uint32_t>(std::min<uint64_t>((part.end - part.begin) / kChunkBytes, kChunkMax));
  }
  free_chunks_ = chunk_count_;
  std::ranges::fill(next_chunk_, kFree);
  for (Transfer& transfer : transfers_) {
    transfer.block_ = Block(arena);
  }
  own_.block_ = Block(arena);
  timer_.Bind<&SealedFiles::OnTimer>(this);
}

uint64_t SealedFiles::ArenaBytes() {
  return sizeof(SealedFiles) + kChunkMax * sizeof(uint16_t) +
         kFileMax * Pool<File>::bytes_per_item() + decltype(by_id_)::bytes_for(kFileMax) +
         (kTransferMax + 1) * (kBlockBytes + kBlockAlignment) + 256;
}

void SealedFiles::Open(std::span<const uint8_t, kKeyBytes> key) {
  if (state_ != State::kClosed || !has_room()) {
    return;
  }
  key_.Set(key);
  state_ = State::kScanning;
  scanned_ = 0;
  ScanNext();
}

// --- Room ----------------------------------------------------------------------------------------

bool SealedFiles::TakeChunks(File& file) {
  const uint32_t wanted = ChunksFor(file.head.size);
  if (wanted > free_chunks_) {
    return false;
  }
  uint16_t last = kLast;
  for (uint32_t chunk = 0; chunk < chunk_count_ && file.chunk_count < wanted; ++chunk) {
    if (next_chunk_[chunk] != kFree) {
      continue;
    }
    const auto number = static_cast<uint16_t>(chunk);
    next_chunk_[chunk] = kLast;
    (last == kLast ? file.first_chunk : next_chunk_[last]) = number;
    last = number;
    ++file.chunk_count;
    --free_chunks_;
  }
  GH_ASSERT_EQ(file.chunk_count, wanted);
  return true;
}

void SealedFiles::FreeChunks(File& file) {
  uint16_t at = file.first_chunk;
  for (; file.chunk_count > 0; --file.chunk_count) {
    GH_ASSERT_LT(at, chunk_count_);
    at = std::exchange(next_chunk_[at], kFree);
    ++free_chunks_;
  }
}

Result<File*> SealedFiles::Reserve(const FileHead& head) {
  if (!is_open()) {
    return Error{ErrorCode::kWrongState, "there is no room for files"};
  }
  if (head.size == 0 || head.size > kFileBytesMax) {
    return Error{ErrorCode::kTooLarge, "a file of this size is not kept"};
  }
  File* file = files_.Allocate();
  if (file == nullptr) {
    return Error{ErrorCode::kExhausted, "there are too many files"};
  }
  file->head = head;
  if (!TakeChunks(*file) || by_id_.Insert(*file) != HashInsert::kInserted) {
    FreeChunks(*file);
    files_.Release(file);
    return Error{ErrorCode::kExhausted, "there is no room left for files"};
  }
  return file;
}

void SealedFiles::Release(File& file) {
  FreeChunks(file);
  files_.Release(&file);
}

void SealedFiles::Remove(File& file) {
  if (file.state == FileState::kLeaving) {
    return;
  }
  ++counters_.removed;
  by_id_.Remove(file);
  file.state = FileState::kLeaving;
  if (!file.has_head && file.transfers == 0) {
    Release(file);
    return;
  }
  leaving_.PushBack(file);
  EraseNext();
}

void SealedFiles::Expire(int64_t now_s) {
  for (uint32_t i = 0; i < files_.capacity(); ++i) {
    File* file = files_.At(i);
    if (file != nullptr && file->state != FileState::kLeaving && file->head.ends_s <= now_s) {
      ++counters_.expired;
      Remove(*file);
    }
  }
}

// --- Transfers -----------------------------------------------------------------------------------

Transfer* SealedFiles::Begin(File& file, TransferOwner* owner, bool writes) {
  Transfer* free = nullptr;
  for (Transfer& transfer : transfers_) {
    free = free == nullptr && transfer.file_ == nullptr ? &transfer : free;
  }
  if (free == nullptr || !is_open()) {
    return nullptr;
  }
  free->file_ = &file;
  free->owner = owner;
  free->is_writing_ = writes;
  free->is_abandoned_ = free->in_flight_ = free->finished_ = false;
  free->step_ = Transfer::Step::kIdle;
  free->position_ = 0;
  free->index_ = 1;
  free->chunk_ = file.first_chunk;
  free->used_ = free->taken_ = 0;
  ++file.transfers;
  return free;
}

Transfer* SealedFiles::Write(File& file, TransferOwner& owner) {
  if (file.state != FileState::kReserved) {
    return nullptr;
  }
  Transfer* transfer = Begin(file, &owner, true);
  if (transfer != nullptr) {
    file.state = FileState::kWriting;
  }
  return transfer;
}

Transfer* SealedFiles::Read(File& file, TransferOwner& owner) {
  Transfer* transfer = file.state == FileState::kWhole ? Begin(file, &owner, false) : nullptr;
  if (transfer != nullptr) {
    ReadNext(*transfer);
  }
  return transfer;
}

size_t SealedFiles::Give(Transfer& transfer, std::span<const uint8_t> bytes) {
  size_t given = 0;
  while (given < bytes.size() && transfer.step_ == Transfer::Step::kIdle && transfer.left() > 0) {
    const size_t count =
        std::min<uint64_t>({bytes.size() - given, kPayloadBytes - transfer.used_, transfer.left()});
    std::memcpy(transfer.block_.data() + kBlockBytes - kPayloadBytes + transfer.used_,
                bytes.data() + given, count);
    transfer.used_ += static_cast<uint32_t>(count);
    transfer.position_ += count;
    given += count;
    if (transfer.used_ == kPayloadBytes || transfer.left() == 0) {
      WriteBlock(transfer);
    }
  }
  return given;
}

std::span<const uint8_t> SealedFiles::Peek(Transfer& transfer) {
  if (transfer.step_ != Transfer::Step::kIdle) {
    return {};
  }
  return transfer.block_.subspan(kBlockBytes - kPayloadBytes + transfer.taken_,
                                 transfer.used_ - transfer.taken_);
}

void SealedFiles::Take(Transfer& transfer, size_t count) {
  GH_ASSERT_LE(count, transfer.used_ - transfer.taken_);
  transfer.taken_ += static_cast<uint32_t>(count);
  transfer.position_ += count;
  if (transfer.taken_ == transfer.used_ && transfer.left() > 0) {
    ReadNext(transfer);
  }
}

void SealedFiles::Close(Transfer& transfer) {
  transfer.owner = nullptr;
  if (transfer.in_flight_) {
    transfer.is_abandoned_ = true;  // until the device has given the block back
    return;
  }
  File& file = *transfer.file_;
  SecureZero(transfer.block_);
  transfer.file_ = nullptr;
  --file.transfers;
  if (file.state == FileState::kWriting) {
    file.state = FileState::kReserved;
  }
  if (file.state == FileState::kLeaving) {
    EraseNext();
  }
}

// --- Blocks --------------------------------------------------------------------------------------

uint64_t SealedFiles::BlockOf(uint16_t chunk, uint32_t index) const {
  return (part_.begin + uint64_t{chunk} * kChunkBytes +
          uint64_t{index % kChunkBlocks} * kBlockBytes) /
         part_.device->block_size();
}

// A place as it is authenticated: kind, file, number.
void SealedFiles::Seal(std::span<uint8_t> block, const Place& place) {
  uint8_t bytes[25];
  ByteWriter with(bytes);
  with.Char(place.kind);
  with.U64Be(place.id.high);
  with.U64Be(place.id.low);
  with.U64Be(place.number);
  const auto nonce = block.first<crypto::kAeadNonceSize>();
  const auto tag = block.subspan<crypto::kAeadNonceSize, crypto::kAeadTagSize>();
  random_.Fill(nonce);
  crypto::AeadSeal(key_.Expose(), nonce, with.written(), block.last(kPayloadBytes), tag);
}

bool SealedFiles::Unseal(std::span<uint8_t> block, const Place& place) {
  uint8_t bytes[25];
  ByteWriter with(bytes);
  with.Char(place.kind);
  with.U64Be(place.id.high);
  with.U64Be(place.id.low);
  with.U64Be(place.number);
  const auto nonce = block.first<crypto::kAeadNonceSize>();
  const auto tag = block.subspan<crypto::kAeadNonceSize, crypto::kAeadTagSize>();
  return crypto::AeadOpen(key_.Expose(), nonce, with.written(), block.last(kPayloadBytes), tag)
      .ok();
}

void SealedFiles::Submit(Transfer& transfer, hal::BlockOp op, uint16_t chunk) {
  hal::BlockRequest& request = transfer.request_;
  const bool is_flush = op == hal::BlockOp::kFlush;
  request = {};
  request.op = op;
  request.block = is_flush ? 0 : BlockOf(chunk, transfer.index_);
  request.block_count = is_flush ? 0 : kBlockBytes / part_.device->block_size();
  request.data = is_flush ? nullptr : transfer.block_.data();
  request.done = OnDone;
  request.context = &transfer.finished_;
  transfer.in_flight_ = true;
  transfer.finished_ = false;
  if (!part_.device->Submit(request).ok()) {
    request.status = ErrorCode::kIoError;
    transfer.finished_ = true;
  }
  Arm(kPollMilliseconds);
}

void SealedFiles::WriteBlock(Transfer& transfer) {
  std::memset(transfer.block_.data() + kBlockBytes - kPayloadBytes + transfer.used_, 0,
              kPayloadBytes - transfer.used_);
  if (transfer.index_ % kChunkBlocks == 0) {
    transfer.chunk_ = next_chunk_[transfer.chunk_];
  }
  Seal(transfer.block_, {kDataKind, transfer.file_->head.id, transfer.index_});
  transfer.step_ = Transfer::Step::kBlock;
  Submit(transfer, hal::BlockOp::kWrite, transfer.chunk_);
}

void SealedFiles::WriteHead(Transfer& transfer) {
  File& file = *transfer.file_;
  std::ranges::fill(transfer.block_, uint8_t{0});
  ByteWriter out(transfer.block_.last(kPayloadBytes));
  out.U32Be(kMagic);
  out.U64Be(file.head.id.high);
  out.U64Be(file.head.id.low);
  out.U64Be(file.head.size);
  out.U64Be(static_cast<uint64_t>(file.head.made_s));
  out.U64Be(static_cast<uint64_t>(file.head.ends_s));
  WriteShort(file.head.owner, out);
  WriteShort(file.head.name, out);
  WriteShort(file.head.type, out);
  out.U16Be(file.chunk_count);
  for (uint16_t at = file.first_chunk; at != kLast; at = next_chunk_[at]) {
    out.U16Be(at);
  }
  GH_ASSERT(out.ok());
  Seal(transfer.block_, {kHeadKind, {}, file.first_chunk});
  transfer.index_ = 0;
  transfer.step_ = Transfer::Step::kHead;
  file.has_head = true;
  Submit(transfer, hal::BlockOp::kWrite, file.first_chunk);
}

void SealedFiles::ReadNext(Transfer& transfer) {
  transfer.used_ = transfer.taken_ = 0;
  if (transfer.index_ % kChunkBlocks == 0) {
    transfer.chunk_ = next_chunk_[transfer.chunk_];
  }
  transfer.step_ = Transfer::Step::kBlock;
  Submit(transfer, hal::BlockOp::kRead, transfer.chunk_);
}

void SealedFiles::OnRead(Transfer& transfer) {
  if (!Unseal(transfer.block_, {kDataKind, transfer.file_->head.id, transfer.index_})) {
    Fail(transfer, "a block of a file does not open");
    return;
  }
  ++transfer.index_;
  transfer.used_ = static_cast<uint32_t>(std::min<uint64_t>(kPayloadBytes, transfer.left()));
  transfer.step_ = Transfer::Step::kIdle;
  counters_.read += transfer.used_ == transfer.left() ? 1 : 0;
}

void SealedFiles::Fail(Transfer& transfer, const char* why) {
  ++counters_.faults;
  fault_ = why;
  transfer.step_ = Transfer::Step::kFailed;
}

// What its request brought about.
void SealedFiles::Step(Transfer& transfer) {
  using Step = Transfer::Step;
  transfer.in_flight_ = transfer.finished_ = false;
  if (transfer.is_abandoned_) {
    Close(transfer);
    return;
  }
  if (transfer.request_.status != ErrorCode::kOk) {
    Fail(transfer, transfer.is_writing_ ? "the log partition cannot be written"
                                        : "the log partition cannot be read");
  } else if (!transfer.is_writing_) {
    OnRead(transfer);
  } else if (transfer.file_->state == FileState::kLeaving) {
    transfer.step_ = Step::kFailed;
  } else if (transfer.step_ == Step::kBlock) {
    ++transfer.index_;
    transfer.used_ = 0;
    transfer.step_ = transfer.left() > 0 ? Step::kIdle : Step::kFlush;
    if (transfer.step_ == Step::kFlush) {
      Submit(transfer, hal::BlockOp::kFlush, 0);
      return;
    }
  } else if (transfer.step_ == Step::kFlush) {
    WriteHead(transfer);
    return;
  } else if (transfer.step_ == Step::kHead) {
    transfer.step_ = Step::kHeadFlush;
    Submit(transfer, hal::BlockOp::kFlush, 0);
    return;
  } else {
    transfer.step_ = Step::kDone;
    transfer.file_->state = FileState::kWhole;
    ++counters_.written;
    fault_ = "";
  }
  if (transfer.owner != nullptr) {
    transfer.owner->OnTransfer(transfer);
  }
}

// --- What is there already -----------------------------------------------------------------------

void SealedFiles::ScanNext() {
  own_.index_ = 0;
  Submit(own_, hal::BlockOp::kRead, static_cast<uint16_t>(scanned_));
}

void SealedFiles::OnScanned() {
  const auto chunk = static_cast<uint16_t>(scanned_);
  if (own_.request_.status != ErrorCode::kOk) {
    ++counters_.faults;
    fault_ = "the log partition cannot be read";
  } else if (Unseal(own_.block_, {kHeadKind, {}, chunk})) {
    counters_.faults += Adopt(own_.block_.last(kPayloadBytes), chunk) ? 0 : 1;
  }
  if (++scanned_ < chunk_count_) {
    ScanNext();
    return;
  }
  state_ = State::kOpen;
  EraseNext();
}

// We wrote it; what does not fit to the rest all the same is not there.
bool SealedFiles::Adopt(std::span<const uint8_t> payload, uint16_t chunk) {
  ByteReader in(payload);
  FileHead head;
  const bool is_ours = in.U32Be() == kMagic;
  head.id.high = in.U64Be();
  head.id.low = in.U64Be();
  head.size = in.U64Be();
  head.made_s = static_cast<int64_t>(in.U64Be());
  head.ends_s = static_cast<int64_t>(in.U64Be());
  const bool is_read =
      ReadShort(in, head.owner) && ReadShort(in, head.name) && ReadShort(in, head.type) && is_ours;
  const uint16_t count = in.U16Be();
  if (!is_read || head.size == 0 || head.size > kFileBytesMax || count != ChunksFor(head.size)) {
    return false;
  }
  ByteReader again = in;
  for (uint16_t i = 0; i < count; ++i) {
    const uint16_t at = again.U16Be();
    if (!again.ok() || at >= chunk_count_ || next_chunk_[at] != kFree || (i == 0 && at != chunk)) {
      return false;
    }
  }
  File* file = files_.Allocate();
  if (file == nullptr) {
    return false;
  }
  file->head = head;
  file->state = FileState::kWhole;
  file->has_head = true;
  if (by_id_.Insert(*file) != HashInsert::kInserted) {
    files_.Release(file);
    return false;
  }
  uint16_t last = kLast;
  for (uint16_t i = 0; i < count; ++i) {
    const uint16_t at = in.U16Be();
    (last == kLast ? file->first_chunk : next_chunk_[last]) = at;
    next_chunk_[at] = kLast;
    last = at;
    file->chunk_count = static_cast<uint16_t>(i + 1);
    --free_chunks_;
  }
  return true;
}

// --- Erasing -------------------------------------------------------------------------------------

void SealedFiles::EraseNext() {
  if (!is_open() || own_.in_flight_) {
    return;
  }
  for (File& file : leaving_) {
    if (file.transfers > 0) {
      continue;
    }
    if (!file.has_head) {
      leaving_.Remove(file);
      Release(file);
      continue;
    }
    own_.file_ = &file;
    own_.index_ = 0;
    erases_ = true;
    std::ranges::fill(own_.block_, uint8_t{0});
    Submit(own_, hal::BlockOp::kWrite, file.first_chunk);
    return;
  }
}

void SealedFiles::OnErased() {
  File& file = *own_.file_;
  if (own_.request_.status != ErrorCode::kOk) {
    ++counters_.faults;
    fault_ = "the log partition cannot be written";
    own_.file_ = nullptr;
    Arm(kRetryMilliseconds);
    return;
  }
  if (erases_) {
    erases_ = false;
    Submit(own_, hal::BlockOp::kFlush, 0);
    return;
  }
  own_.file_ = nullptr;
  leaving_.Remove(file);
  Release(file);
  EraseNext();
}

// --- Time ----------------------------------------------------------------------------------------

void SealedFiles::Arm(int64_t milliseconds) {
  if (!timer_.armed()) {
    timers_.Arm(timer_, Duration::Milliseconds(milliseconds));
  }
}

void SealedFiles::OnTimer() {
  (void)part_.device->Poll();
  for (Transfer& transfer : transfers_) {
    if (transfer.in_flight_ && transfer.finished_) {
      Step(transfer);
    }
  }
  if (own_.in_flight_ && own_.finished_) {
    own_.in_flight_ = own_.finished_ = false;
    if (state_ == State::kScanning) {
      OnScanned();
    } else {
      OnErased();
    }
  } else if (!own_.in_flight_) {
    EraseNext();
  }
  bool is_busy = own_.in_flight_;
  for (const Transfer& transfer : transfers_) {
    is_busy = is_busy || transfer.in_flight_;
  }
  if (is_busy) {
    Arm(kPollMilliseconds);
  }
}

}  // namespace gh::files
