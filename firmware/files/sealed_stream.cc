#include "firmware/files/sealed_stream.h"

#include <algorithm>
#include <cstring>

#include "crypto/aead.h"
#include "hal/rt/bytes.h"

namespace gh::files {
namespace {

constexpr size_t kSealBytes = crypto::kAeadNonceSize + crypto::kAeadTagSize;
constexpr size_t kHeadBytes = 24;
constexpr uint64_t kDamagedMax = 16;  // pages passed over when the newest is looked for
static_assert(kPageRoom == kPageBytes - kSealBytes - kHeadBytes);

std::span<uint8_t> MakePage(Arena& arena) {
  return {static_cast<uint8_t*>(arena.Allocate(kPageBytes, kPageBytes)), kPageBytes};
}

// What a page is sealed for.
struct Place {
  explicit Place(uint64_t slot) {
    out.Char('S');
    out.U64Be(slot);
  }
  uint8_t bytes[9] = {};
  ByteWriter out{bytes};
};

}  // namespace

SealedStream::SealedStream(Arena& arena, TimerWheel& timers, crypto::Random& random,
                           hal::BlockDevice* device, uint64_t begin, uint64_t end)
    : timers_(timers),
      random_(random),
      device_(device),
      begin_(begin),
      write_(MakePage(arena)),
      read_(MakePage(arena)),
      behind_(arena.NewArray<uint8_t>(kBehindMax)) {
  const uint32_t block = device != nullptr ? device->block_size() : 0;
  const bool is_even = block != 0 && kPageBytes % block == 0 && begin % block == 0;
  const uint64_t slots = end > begin ? (end - begin) / kPageBytes : 0;
  slots_ = is_even && slots >= kPagesMin ? slots : 0;
  timer_.Bind<&SealedStream::OnTimer>(this);
}

bool SealedStream::LoadSlot(uint64_t slot, Page& out) {
  loaded_ = {};
  const uint64_t block = (begin_ + slot * kPageBytes) / device_->block_size();
  if (!hal::ReadBlocks(*device_, block, read_).ok()) {
    return false;
  }
  const Place place(slot);
  if (!crypto::AeadOpen(key_.Expose(), read_.first<crypto::kAeadNonceSize>(), place.out.written(),
                        read_.subspan(kSealBytes),
                        read_.subspan<crypto::kAeadNonceSize, crypto::kAeadTagSize>())
           .ok()) {
    return false;
  }
  ByteReader in(read_.subspan(kSealBytes));
  out.number = in.U64Be();
  out.offset = in.U64Be();
  out.size = in.U32Be();
  if (out.number == 0 || (out.number - 1) % slots_ != slot || out.size > kPageRoom) {
    return false;
  }
  loaded_ = out;
  return true;
}

bool SealedStream::Load(uint64_t number, Page& out) {
  if (loaded_.number == number) {
    out = loaded_;
    return true;
  }
  return number != 0 && LoadSlot((number - 1) % slots_, out) && out.number == number;
}

// The first slots say which lap it is; its last page is found by halves.
void SealedStream::Open(std::span<const uint8_t, kKeyBytes> key) {
  if (is_open_ || !has_room()) {
    return;
  }
  key_.Set(key);
  is_open_ = true;
  Page page;
  uint64_t base = 0;
  uint64_t low = 0;
  for (uint64_t slot = 0; slot < std::min(kDamagedMax, slots_) && base == 0; ++slot) {
    if (LoadSlot(slot, page)) {
      base = page.number - slot;
      low = page.number;
    }
  }
  if (base == 0) {
    return;
  }
  uint64_t high = base + slots_ - 1;
  while (low < high) {
    const uint64_t middle = low + (high - low + 1) / 2;
    if (Load(middle, page)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  if (Load(low, page)) {
    newest_ = low;
    stored_ = page.offset + page.size;
  }
}

bool SealedStream::Append(std::span<const uint8_t> bytes) {
  if (!is_open_ || bytes.size() > kBehindMax - behind_size_) {
    return false;
  }
  const uint32_t at = (behind_at_ + behind_size_) % kBehindMax;
  const size_t first = std::min<size_t>(bytes.size(), kBehindMax - at);
  std::copy_n(bytes.begin(), first, behind_.begin() + at);
  std::copy(bytes.begin() + static_cast<ptrdiff_t>(first), bytes.end(), behind_.begin());
  behind_size_ += static_cast<uint32_t>(bytes.size());
  if (state_ == State::kIdle && behind_size_ >= kPageRoom && fault_[0] == '\0') {
    timers_.Cancel(timer_);
    WritePage();
  }
  Arm(kBehindMilliseconds);
  return true;
}

void SealedStream::WritePage() {
  writing_ = std::min(behind_size_, kPageRoom);
  const uint64_t slot = newest_ % slots_;
  if (loaded_.number != 0 && (loaded_.number - 1) % slots_ == slot) {
    loaded_ = {};
  }
  std::ranges::fill(write_, uint8_t{0});
  ByteWriter out(write_.subspan(kSealBytes));
  out.U64Be(newest_ + 1);
  out.U64Be(stored_);
  out.U32Be(writing_);
  out.U32Be(0);
  const uint32_t first = std::min(writing_, kBehindMax - behind_at_);
  out.Bytes(behind_.subspan(behind_at_, first));
  out.Bytes(behind_.first(writing_ - first));
  GH_ASSERT(out.ok());
  const auto nonce = write_.first<crypto::kAeadNonceSize>();
  random_.Fill(nonce);
  const Place place(slot);
  crypto::AeadSeal(key_.Expose(), nonce, place.out.written(), write_.subspan(kSealBytes),
                   write_.subspan<crypto::kAeadNonceSize, crypto::kAeadTagSize>());
  state_ = State::kWriting;
  Submit(hal::BlockOp::kWrite);
}

void SealedStream::Submit(hal::BlockOp op) {
  const bool is_flush = op == hal::BlockOp::kFlush;
  request_ = {};
  request_.op = op;
  request_.block = is_flush ? 0 : (begin_ + newest_ % slots_ * kPageBytes) / device_->block_size();
  request_.block_count = is_flush ? 0 : kPageBytes / device_->block_size();
  request_.data = is_flush ? nullptr : write_.data();
  request_.done = [](hal::BlockRequest& request) { *static_cast<bool*>(request.context) = true; };
  request_.context = &done_;
  done_ = false;
  if (!device_->Submit(request_).ok()) {
    request_.status = ErrorCode::kIoError;
    done_ = true;
  }
  Arm(1);
}

void SealedStream::Arm(int64_t milliseconds) {
  if (!timer_.armed()) {
    timers_.Arm(timer_, Duration::Milliseconds(milliseconds));
  }
}

void SealedStream::OnTimer() {
  (void)device_->Poll();
  if (state_ == State::kIdle) {
    if (behind_size_ > 0) {
      WritePage();
    }
    return;
  }
  if (!done_) {
    Arm(1);
    return;
  }
  if (request_.status != ErrorCode::kOk) {
    fault_ = "the log partition cannot be written";
    state_ = State::kIdle;  // the same page again
    Arm(kPageRetryMilliseconds);
    return;
  }
  if (state_ == State::kWriting) {
    state_ = State::kFlushing;
    Submit(hal::BlockOp::kFlush);
    return;
  }
  fault_ = "";
  state_ = State::kIdle;
  ++newest_;
  stored_ += writing_;
  behind_at_ = (behind_at_ + writing_) % kBehindMax;
  behind_size_ -= writing_;
  if (behind_size_ >= kPageRoom) {
    WritePage();
  } else if (behind_size_ > 0) {
    Arm(kBehindMilliseconds);
  }
}

Result<void> SealedStream::Erase() {
  if (!is_open_ || state_ != State::kIdle) {
    return Error{ErrorCode::kWrongState, "it is being written, or is not there: try again"};
  }
  timers_.Cancel(timer_);
  loaded_ = {};
  std::ranges::fill(write_, uint8_t{0});
  for (uint64_t slot = 0; slot < slots_; ++slot) {
    GH_TRY(
        hal::WriteBlocks(*device_, (begin_ + slot * kPageBytes) / device_->block_size(), write_));
  }
  newest_ = stored_ = 0;
  behind_size_ = 0;
  return hal::FlushBlocks(*device_);
}

// --- Reading -------------------------------------------------------------------------------------

uint64_t SealedStream::begin() {
  Page page;
  for (uint64_t number = oldest(); number <= newest_ && number <= oldest() + kDamagedMax;
       ++number) {
    if (Load(number, page)) {
      return page.offset;
    }
  }
  return stored_;
}

Result<size_t> SealedStream::Read(uint64_t position, std::span<uint8_t> out) {
  if (!is_open_ || position >= stored_ || newest_ == 0) {
    return size_t{0};
  }
  Page page = loaded_;
  if (page.number == 0 || position < page.offset || position >= page.offset + page.size) {
    uint64_t low = oldest();
    uint64_t high = newest_;
    while (low < high) {  // the last page that begins at or before it
      const uint64_t middle = low + (high - low + 1) / 2;
      if (!Load(middle, page) || page.offset > position) {
        high = middle - 1;
      } else {
        low = middle;
      }
    }
    if (!Load(low, page) || position < page.offset || position >= page.offset + page.size) {
      return Error{ErrorCode::kWrongState, "it was overwritten, or is damaged"};
    }
  }
  const auto bytes = read_.subspan(kSealBytes + kHeadBytes, page.size)
                         .subspan(static_cast<size_t>(position - page.offset));
  const size_t count = std::min(bytes.size(), out.size());
  std::copy_n(bytes.begin(), count, out.begin());
  return count;
}

}  // namespace gh::files
