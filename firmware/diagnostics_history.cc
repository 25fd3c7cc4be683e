// Counters over time: what is read each second, and how it is shown.
#include "firmware/diagnostics.h"
#include "firmware/rooms.h"

namespace gh {
namespace {

constexpr const char* kPeriodNames[] = {"Second", "Minute", "Hour"};

}  // namespace

void Diagnostics::TakeReading() {
  Reading now;
  uint64_t received[3] = {};
  uint64_t sent[3] = {};
  for (uint8_t i = 0; i < net::kPortMax; ++i) {
    const hal::EthernetCounters counters = rooms_.stack->port_status(i).counters;
    received[0] += counters.rx_frames;
    received[1] += counters.rx_bytes;
    sent[0] += counters.tx_frames;
    sent[1] += counters.tx_bytes;
  }
  uint64_t drops = 0;
  for (uint32_t i = 0; i < static_cast<uint32_t>(net::DropReason::kCount); ++i) {
    drops += rooms_.stack->firewall().drops(static_cast<net::DropReason>(i));
  }
  const sip::Statistics& sip = rooms_.sip->statistics();
  const net::StackStatus stack = rooms_.stack->status();
  const hal::FramePool& frames = rooms_.machine.frames;
  const uint64_t busy_ns =
      rooms_.stack->poll_busy_ns + rooms_.syslog->poll_busy_ns + rooms_.sessions->poll_busy_ns;
  now.sums = {busy_ns / 1000,  received[0],      received[1],
              sent[0],         sent[1],          drops,
              sip.messages_in, sip.messages_out, rooms_.log.next_sequence()};
  now.levels = {frames.frame_count() - frames.free_count(), stack.connection_count,
                stack.buffer_bytes_used, rooms_.sip->registration_count(),
                rooms_.sip->call_count()};
  history_->Take(now);
}

Result<void> Diagnostics::ChooseHistory(std::string_view value) {
  for (const Period period : {Period::kSeconds, Period::kMinutes, Period::kHours}) {
    FixedString<16> name(kPeriodNames[static_cast<size_t>(period)]);
    name.Append("s");
    if (config::EqualsIgnoreCase(value, name.view())) {
      if (history_->count(period) == 0) {
        return Error(ErrorCode::kNotFound, "none is complete yet");
      }
      listed_ = period;
      return Ok();
    }
  }
  return Error(ErrorCode::kInvalidArgument, "expected Seconds, Minutes or Hours");
}

void Diagnostics::WriteReading(const char* unit, uint64_t age, const Reading& reading,
                               ByteWriter& out) const {
  const auto tell = [&](const char* name, uint64_t value) {
    out.Char(' ');
    out.Text(name);
    out.Char('=');
    out.Decimal(value);
  };
  out.Text("History ");
  out.Text(unit);
  out.Text(" -");
  out.Decimal(age);
  out.Char(':');
  for (uint32_t i = 0; i < Reading::kSums; ++i) {
    tell(kSumNames[i], reading.sums[i]);
  }
  for (uint32_t i = 0; i < Reading::kLevels; ++i) {
    tell(kLevelNames[i], reading.levels[i]);
  }
}

bool Diagnostics::NextHistoryLine(uint64_t& cursor, ByteWriter& out) const {
  return NextHistoryLineOf(listed_, cursor, out);
}

bool Diagnostics::NextHistoryLineOf(Period period, uint64_t& cursor, ByteWriter& out) const {
  if (cursor >= history_->count(period)) {
    return false;
  }
  const auto age = static_cast<uint32_t>(cursor++);
  WriteReading(kPeriodNames[static_cast<size_t>(period)], age + 1, history_->at(period, age), out);
  return true;
}

bool Diagnostics::NextHistoryStatus(uint64_t& cursor, ByteWriter& out) {
  while (cursor < std::size(kPeriodNames)) {
    const auto period = static_cast<Period>(cursor++);
    if (history_->count(period) > 0) {
      WriteReading(kPeriodNames[static_cast<size_t>(period)], 1, history_->at(period, 0), out);
      return true;
    }
  }
  return false;
}

}  // namespace gh
