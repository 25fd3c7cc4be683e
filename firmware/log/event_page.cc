#include "firmware/log/event_page.h"

#include <algorithm>
#include <cstring>

#include "firmware/log/events.gen.h"
#include "hal/rt/crc32.h"

namespace gh::log {
namespace {

constexpr uint32_t kMagic = 0x56454847;  // "GHEV"
constexpr uint16_t kVersion = 1;
constexpr size_t kCrcBytes = 4;
constexpr size_t kHeadBytes = 4 + 2 + 2 + 3 * 8 + kRunIdBytes + kSyslogServerMax * 12;
constexpr size_t kRecordHead = 8 + 8 + 1 + 4 + 4 + 2;
constexpr uint8_t kWallIsSet = 1;
constexpr uint8_t kTruncated = 2;
static_assert(kHeadBytes + kRecordHead + kRecordDataMax + kCrcBytes <= kEventPageBytes);

uint32_t IndexOf(uint32_t id) {
  for (uint32_t i = 0; i < kEventCount; ++i) {
    if (kEvents[i].id == id) {
      return i;
    }
  }
  return kEventCount;
}

}  // namespace

std::string_view EventPage::run_id() const {
  const auto end = std::find(run.begin(), run.end(), uint8_t{0});
  return AsText(std::span(run).first(static_cast<size_t>(end - run.begin())));
}

EventPageWriter::EventPageWriter(std::span<uint8_t> page, const EventPage& head)
    : page_(page), head_(head), size_(kHeadBytes) {
  GH_ASSERT_EQ(page.size(), size_t{kEventPageBytes});
  std::ranges::fill(page_, uint8_t{0});
  head_.count = 0;
}

bool EventPageWriter::Add(const Record& record) {
  if (kRecordHead + record.size > page_.size() - kCrcBytes - size_) {
    return false;
  }
  ByteWriter out(page_.subspan(size_));
  out.U64Le(record.sequence);
  out.U64Le(static_cast<uint64_t>(record.wall.unix_ns));
  out.U8(static_cast<uint8_t>((record.wall.is_set ? kWallIsSet : 0) |
                              (record.truncated ? kTruncated : 0)));
  out.U32Le(kEvents[record.event].id);
  out.U32Le(record.suppressed);
  out.U16Le(record.size);
  out.Bytes(std::span(record.data).first(record.size));
  GH_ASSERT(out.ok());
  size_ += out.size();
  head_.first = head_.count == 0 ? record.sequence : head_.first;
  head_.last = record.sequence;
  ++head_.count;
  return true;
}

void EventPageWriter::Finish() {
  ByteWriter out(page_);
  out.U32Le(kMagic);
  out.U16Le(kVersion);
  out.U16Le(head_.count);
  out.U64Le(head_.number);
  out.U64Le(head_.first);
  out.U64Le(head_.last);
  out.Bytes(head_.run);
  for (const ServerMark& mark : head_.marks) {
    out.U32Le(mark.server);
    out.U64Le(mark.next);
  }
  GH_ASSERT_EQ(out.size(), kHeadBytes);
  const size_t covered = page_.size() - kCrcBytes;
  ByteWriter(page_.subspan(covered)).U32Le(Crc32(page_.first(covered)));
}

Result<EventPage> DecodeEventPage(std::span<const uint8_t> page, uint64_t number) {
  const Error none(ErrorCode::kNotFound, "log: no page");
  if (page.size() != kEventPageBytes) {
    return none;
  }
  const size_t covered = page.size() - kCrcBytes;
  ByteReader in(page);
  EventPage head;
  const bool is_ours = in.U32Le() == kMagic && in.U16Le() == kVersion;
  if (!is_ours || ByteReader(page.subspan(covered)).U32Le() != Crc32(page.first(covered))) {
    return none;
  }
  head.count = in.U16Le();
  head.number = in.U64Le();
  head.first = in.U64Le();
  head.last = in.U64Le();
  in.Copy(head.run);
  for (ServerMark& mark : head.marks) {
    mark.server = in.U32Le();
    mark.next = in.U64Le();
  }
  const bool in_order = head.first <= head.last && head.last < UINT64_MAX && head.first > 0;
  if (head.number == 0 || (number != 0 && head.number != number) || !in_order || head.count == 0) {
    return none;
  }
  return head;
}

bool FindInEventPage(std::span<const uint8_t> page, const EventPage& head, uint64_t sequence,
                     Record& out) {
  ByteReader in(page.subspan(kHeadBytes, page.size() - kHeadBytes - kCrcBytes));
  for (uint32_t i = 0; i < head.count; ++i) {
    out.sequence = in.U64Le();
    out.wall.unix_ns = static_cast<int64_t>(in.U64Le());
    const uint8_t flags = in.U8();
    const uint32_t event = IndexOf(in.U32Le());
    out.suppressed = in.U32Le();
    out.size = in.U16Le();
    if (!in.ok() || out.size > kRecordDataMax || out.size > in.remaining()) {
      return false;
    }
    const auto data = in.Take(out.size);
    if (out.sequence < sequence || event == kEventCount) {
      continue;
    }
    std::memcpy(out.data.data(), data.data(), data.size());
    out.wall.is_set = (flags & kWallIsSet) != 0;
    out.truncated = (flags & kTruncated) != 0;
    out.event = static_cast<uint16_t>(event);
    out.when = {};
    return true;
  }
  return false;
}

}  // namespace gh::log
