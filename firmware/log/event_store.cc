#include "firmware/log/event_store.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace gh::log {
namespace {

constexpr Duration kBatchDelay = Duration::Milliseconds(kEventBatchMilliseconds);
constexpr Duration kRetryDelay = Duration::Seconds(5);
constexpr uint64_t kDamagedPagesMax = 16;  // passed over when the newest page is looked for

std::span<uint8_t> Page(Arena& arena) {
  return {static_cast<uint8_t*>(arena.Allocate(kEventPageBytes, kEventPageBytes)), kEventPageBytes};
}

}  // namespace

EventStore::EventStore(Arena& arena, hal::BlockDevice& device, Log& log)
    : device_(device), log_(log), write_page_(Page(arena)), read_page_(Page(arena)) {
  request_.done = OnDone;
  request_.context = this;
}

uint64_t EventStore::BlockOf(uint64_t number) const {
  const uint64_t byte = kCrashAreaBytes + (number - 1) % slot_count_ * kEventPageBytes;
  return byte / device_.block_size();
}

// The page that is being written next takes the oldest's slot.
uint64_t EventStore::oldest() const {
  return std::max(newest_ >= slot_count_ ? newest_ - slot_count_ + 2 : 1, floor_);
}

Result<void> EventStore::Open() {
  const uint32_t block = device_.block_size();
  if (block == 0 || kEventPageBytes % block != 0) {
    return Error(ErrorCode::kUnsupported, "the log partition has blocks of an odd size");
  }
  const uint64_t bytes = device_.block_count() * block;
  if (bytes < kCrashAreaBytes + kEventPagesMin * uint64_t{kEventPageBytes}) {
    return Error(ErrorCode::kUnsupported, "the log partition has no room for events");
  }
  const uint64_t alone = (bytes - kCrashAreaBytes) / kEventPageBytes;
  const uint64_t shared = (EventBytesOf(bytes) - kCrashAreaBytes) / kEventPageBytes;
  const uint64_t before = alone != shared ? FindNewest(alone) : 0;
  newest_ = FindNewest(shared);
  if (before > newest_) {
    TakeOver(before);
  } else if (newest_ != 0) {
    FindFloor();
    const auto head = ReadPage(newest_);
    if (head.ok()) {
      disk_head_ = *head;
      stored_next_ = head->last + 1;
      // What was sent and never stored is lost with the power; its number is used again.
      for (ServerMark& mark : disk_head_.marks) {
        mark.next = std::min(mark.next, stored_next_);
      }
      head_.marks = disk_head_.marks;
    }
  }
  writing_next_ = stored_next_;
  return Ok();
}

// The last page of a ring that had the partition alone: what is known of it is kept, and this ring
// begins a lap above it.
void EventStore::TakeOver(uint64_t before) {
  const uint64_t shared =
      std::exchange(slot_count_, (device_.block_count() * device_.block_size() - kCrashAreaBytes) /
                                     kEventPageBytes);
  if (const auto head = ReadPage(before); head.ok()) {
    stored_next_ = head->last + 1;
    head_.marks = disk_head_.marks = head->marks;
    disk_head_.number = head->number;
  }
  slot_count_ = shared;
  read_head_ = {};
  newest_ = (before + shared - 1) / shared * shared;
  floor_ = newest_ + 1;
}

// The lap before the newest's may be of a ring that was taken over.
void EventStore::FindFloor() {
  const uint64_t base = (newest_ - 1) / slot_count_ * slot_count_ + 1;
  bool is_there = base == 1;
  for (uint64_t back = 1; back <= kDamagedPagesMax && back < base && !is_there; ++back) {
    is_there = IsPage(base - back);
  }
  floor_ = is_there ? 1 : base;
}

bool EventStore::IsPage(uint64_t number) { return ReadPage(number).ok(); }

// The largest number from `low` on whose page is there, when those of the same lap are there from
// `low` to it: what is being written goes from slot to slot.
uint64_t EventStore::LastOf(uint64_t base, uint64_t low) {
  uint64_t high = base + slot_count_ - 1;
  while (low < high) {
    const uint64_t middle = low + (high - low + 1) / 2;
    if (IsPage(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

// Of a ring of so many slots; 0: there is none.
uint64_t EventStore::FindNewest(uint64_t slot_count) {
  slot_count_ = slot_count;
  uint64_t base = 0;
  uint64_t at = 0;
  // The first slots say which lap it is; one may be torn or damaged.
  for (uint64_t slot = 0; slot < kDamagedPagesMax && base == 0; ++slot) {
    if (!hal::ReadBlocks(device_, BlockOf(slot + 1), read_page_).ok()) {
      continue;
    }
    const auto head = DecodeEventPage(read_page_, 0);
    if (head.ok() && (head->number - 1) % slot_count_ == slot) {
      base = head->number - slot;
      at = head->number;
    }
  }
  read_head_ = {};
  if (base == 0) {
    return 0;
  }
  uint64_t newest = LastOf(base, at);
  // A damaged page in between ends the search too soon.
  for (uint64_t ahead = 1; ahead <= kDamagedPagesMax; ++ahead) {
    if (newest + ahead < base + slot_count_ && IsPage(newest + ahead)) {
      newest = LastOf(base, newest + ahead);
      ahead = 0;
    }
  }
  // The lap's first page was under way: the lap before is whole. Its page 0 is torn then, and base
  // came from a page of that lap, whose newest is its last.
  return newest;
}

Result<EventPage> EventStore::ReadPage(uint64_t number) {
  if (read_head_.number == number && number != 0) {
    return read_head_;
  }
  read_head_ = {};
  GH_TRY(hal::ReadBlocks(device_, BlockOf(number), read_page_));
  GH_TRY_ASSIGN(read_head_, DecodeEventPage(read_page_, number));
  return read_head_;
}

uint64_t EventStore::MarkOf(uint32_t server) const {
  for (const ServerMark& mark : disk_head_.marks) {
    if (disk_head_.number != 0 && server != 0 && mark.server == server) {
      return mark.next;
    }
  }
  return 0;
}

void EventStore::SetRun(std::string_view run_id) {
  head_.run = {};
  std::copy_n(run_id.begin(), std::min<size_t>(run_id.size(), head_.run.size()), head_.run.begin());
}

// --- Writing ------------------------------------------------------------------------------------

bool EventStore::IsDue(Instant now) const {
  const Record* oldest = log_.Find(std::max(writing_next_, log_.first_sequence()));
  if (oldest == nullptr || now < retry_at_) {
    return false;
  }
  const Record* newest = log_.Find(log_.next_sequence() - 1);
  return now - oldest->when >= kBatchDelay ||
         log_.next_sequence() - writing_next_ >= kEventBatchMax ||
         kEvents[newest->event].severity <= Severity::kError;
}

void EventStore::Build() {
  if (writing_next_ < log_.first_sequence()) {
    lost_ += log_.first_sequence() - writing_next_;
    writing_next_ = log_.first_sequence();
  }
  head_.number = newest_ + 1;
  EventPageWriter page(write_page_, head_);
  const Record* record = log_.Find(writing_next_);
  while (record != nullptr && page.Add(*record)) {
    record = log_.Find(++writing_next_);
  }
  GH_ASSERT_GT(page.count(), 0);
  page.Finish();
  if (read_head_.number != 0 && read_head_.number + slot_count_ == head_.number) {
    read_head_ = {};
  }
}

void EventStore::OnDone(hal::BlockRequest& request) {
  static_cast<EventStore*>(request.context)->done_ = true;
}

void EventStore::Submit(hal::BlockOp op) {
  request_.op = op;
  request_.block = op == hal::BlockOp::kWrite ? BlockOf(head_.number) : 0;
  request_.block_count = op == hal::BlockOp::kWrite ? kEventPageBytes / device_.block_size() : 0;
  request_.data = op == hal::BlockOp::kWrite ? write_page_.data() : nullptr;
  done_ = false;
  if (!device_.Submit(request_).ok()) {
    request_.status = ErrorCode::kIoError;
    done_ = true;
  }
}

void EventStore::Complete() {
  if (request_.status != ErrorCode::kOk) {
    fault_ = "the log partition cannot be written";
    writing_next_ = stored_next_;  // the same page again
    state_ = State::kIdle;
    retry_at_ = log_.now() + kRetryDelay;
    return;
  }
  if (state_ == State::kWriting) {
    state_ = State::kFlushing;
    Submit(hal::BlockOp::kFlush);
    return;
  }
  state_ = State::kIdle;
  newest_ = head_.number;
  stored_next_ = writing_next_;
  fault_ = "";
}

Instant EventStore::Step(Instant now) {
  if (!is_open()) {
    return Instant::Max();
  }
  if (state_ != State::kIdle) {
    device_.Poll();
    if (done_) {
      Complete();
    }
  }
  if (state_ == State::kIdle && IsDue(now)) {
    Build();
    state_ = State::kWriting;
    Submit(hal::BlockOp::kWrite);
  }
  if (state_ != State::kIdle) {
    return now + Duration::Milliseconds(1);
  }
  return log_.Find(writing_next_) == nullptr ? Instant::Max() : now + kBatchDelay;
}

void EventStore::Flush() {
  // Bounded: the ring in memory holds so many pages at most.
  for (uint32_t turn = 0; is_open() && turn < kFlushTurnsMax; ++turn) {
    if (state_ == State::kIdle) {
      if (log_.Find(std::max(writing_next_, log_.first_sequence())) == nullptr) {
        return;
      }
      Build();
      state_ = State::kWriting;
      Submit(hal::BlockOp::kWrite);
    }
    device_.Poll();
    if (done_) {
      const bool failed = request_.status != ErrorCode::kOk;
      Complete();
      if (failed) {
        return;
      }
    }
  }
}

Result<void> EventStore::Erase() {
  if (!is_open() || newest_ == 0) {
    return Ok();
  }
  std::ranges::fill(read_page_, uint8_t{0});
  read_head_ = {};
  const uint64_t first = newest_ >= slot_count_ ? newest_ - slot_count_ + 1 : 1;
  for (uint64_t number = first; number <= newest_; ++number) {
    GH_TRY(hal::WriteBlocks(device_, BlockOf(number), read_page_));
  }
  newest_ = 0;
  return hal::FlushBlocks(device_);
}

// --- Reading ------------------------------------------------------------------------------------

// The page that holds it, by halves: pages are in the order of their sequences. A damaged page
// counts as what comes after it.
bool EventStore::Find(uint64_t sequence, Record& out) {
  if (!is_open() || newest_ == 0 || sequence >= stored_next_) {
    return false;
  }
  if (read_head_.number != 0 && sequence >= read_head_.first && sequence <= read_head_.last &&
      FindInEventPage(read_page_, read_head_, sequence, out)) {
    return true;
  }
  uint64_t low = oldest();
  uint64_t high = newest_;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    uint64_t at = middle;
    while (at < high && !ReadPage(at).ok()) {
      ++at;
    }
    if (at < high && read_head_.number == at && read_head_.last < sequence) {
      low = at + 1;
    } else {
      high = middle;
    }
  }
  for (uint64_t at = low; at <= newest_; ++at) {
    if (ReadPage(at).ok() && FindInEventPage(read_page_, read_head_, sequence, out)) {
      return true;
    }
  }
  return false;
}

uint64_t EventStore::first_sequence() {
  Record record;
  return Find(1, record) ? record.sequence : stored_next_;
}

}  // namespace gh::log
