#include "firmware/log/log.h"

#include <algorithm>

namespace gh::log {
namespace {

constexpr int64_t kMicro = 1'000'000;
constexpr const char* kSeverityNames[] = {"emergency", "alert",  "critical",      "error",
                                          "warning",   "notice", "informational", "debug"};
constexpr const char* kCategoryNames[] = {"system",  "alarm",    "audit", "store",
                                          "network", "firewall", "sip",   "turn",  "xmpp"};
static_assert(std::size(kCategoryNames) == kCategoryCount);

}  // namespace

const char* SeverityName(Severity severity) {
  return kSeverityNames[static_cast<uint8_t>(severity)];
}
const char* CategoryName(Category category) {
  return kCategoryNames[static_cast<uint8_t>(category)];
}

Log::Log(Arena& arena, hal::Clock& clock, uint32_t record_count)
    : clock_(clock),
      records_(arena.NewArray<Record>(record_count)),
      limiters_(arena.NewArray<Limiter>(kEventCount)) {
  GH_ASSERT_GT(record_count, 0u);
  levels_.fill(kLevelMax);
  for (uint32_t i = 0; i < kEventCount; ++i) {
    limiters_[i].tokens_micro = int64_t{kEvents[i].burst} * kMicro;
    limiters_[i].refilled = clock_.Now();
  }
}

void Log::StartAt(uint64_t sequence) {
  GH_ASSERT_EQ(next_sequence_, start_sequence_);
  GH_ASSERT_GT(sequence, 0u);
  start_sequence_ = next_sequence_ = sequence;
}

bool Log::Admit(uint16_t event, Instant now) {
  Limiter& limiter = limiters_[event];
  const EventInfo& info = kEvents[event];
  const int64_t full = int64_t{info.burst} * kMicro;
  // A refill is bounded before it is multiplied: an hour fills every bucket there is.
  const int64_t elapsed_us =
      std::min((now - limiter.refilled).microseconds(), Duration::Hours(1).microseconds());
  if (elapsed_us > 0) {
    limiter.tokens_micro = std::min(full, limiter.tokens_micro + elapsed_us * info.rate);
    limiter.refilled = now;
  }
  if (limiter.tokens_micro < kMicro) {
    limiter.suppressed_since = limiter.suppressed == 0 ? now : limiter.suppressed_since;
    ++limiter.suppressed;
    ++suppressed_total_;
    return false;
  }
  limiter.tokens_micro -= kMicro;
  return true;
}

Record* Log::Open(uint16_t event) {
  GH_ASSERT_LT(event, kEventCount);
  if (kEvents[event].level > levels_[static_cast<uint8_t>(kEvents[event].category)]) {
    return nullptr;
  }
  const Instant now = clock_.Now();
  if (!Admit(event, now)) {
    return nullptr;
  }
  Record& record = records_[next_sequence_ % records_.size()];
  record.sequence = next_sequence_++;
  record.when = now;
  record.wall = clock_.Wall();
  record.event = event;
  record.size = 0;
  record.truncated = false;
  record.suppressed = limiters_[event].suppressed;
  limiters_[event].suppressed = 0;
  return &record;
}

void Log::ReportSuppressed(Instant now) {
  for (uint16_t i = 0; i < kEventCount; ++i) {
    Limiter& limiter = limiters_[i];
    const bool due = now - limiter.suppressed_since >= Duration::Seconds(kSuppressedReportSeconds);
    if (limiter.suppressed == 0 || !due || i == event::EventsSuppressed::kIndex) {
      continue;
    }
    const uint64_t count = limiter.suppressed;
    limiter.suppressed = 0;
    Emit(event::EventsSuppressed{.event = kEvents[i].name, .count = count});
  }
}

uint64_t Log::first_sequence() const {
  const uint64_t kept = records_.size();
  return next_sequence_ - start_sequence_ > kept ? next_sequence_ - kept : start_sequence_;
}

const Record* Log::Find(uint64_t sequence) const {
  if (sequence < first_sequence() || sequence >= next_sequence_) {
    return nullptr;
  }
  const Record& record = records_[sequence % records_.size()];
  GH_ASSERT_EQ(record.sequence, sequence);
  return &record;
}

}  // namespace gh::log
