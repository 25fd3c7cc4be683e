#include "firmware/rtp/stream_meter.h"

#include <algorithm>

#include "firmware/rtp/limits.h"
#include "net/packet.h"

namespace gh::rtp {
namespace {

constexpr uint8_t kSenderReport = 200;
constexpr uint8_t kReceiverReport = 201;

void Set(Counter& level, uint64_t value) { level += value - level.value(); }

}  // namespace

uint32_t EstimateMos(uint32_t lost_permille, uint32_t jitter_us) {
  // All in hundredths. Ie-eff = 95 * Ppl / (Ppl + Bpl), Bpl = 25.1 percent.
  const uint32_t lost = std::min(lost_permille, 1000u);
  const int64_t impairment = int64_t{9500} * lost / (lost + 251);
  const int64_t delay_ms = 20 + int64_t{2} * std::min(jitter_us, 1'000'000u) / 1000;
  int64_t rating = 9320 - delay_ms * 24 / 10 - impairment;
  if (delay_ms > 177) {
    rating -= (delay_ms - 177) * 11;
  }
  rating = std::clamp<int64_t>(rating, 0, 10000);
  // 1 + 0.035 R + 7e-6 R (R - 60) (100 - R)
  const int64_t curve = rating * (rating - 6000) / 1000 * (10000 - rating) / 1000 * 7 / 10000;
  const int64_t mos = 100 + rating * 35 / 1000 + curve;
  return static_cast<uint32_t>(std::clamp<int64_t>(mos, 100, 450));
}

void StreamMeter::Start(uint32_t clock_rate) {
  clock_rate_ = clock_rate;
  is_begun_ = false;
}

void StreamMeter::Restart(uint32_t ssrc, uint16_t sequence) {
  counters.senders += is_begun_ && ssrc == ssrc_ ? 0 : 1;
  is_begun_ = true;
  ssrc_ = ssrc;
  highest_ = sequence;
  arrived_at_ = {};
  ++counters.expected;
}

void StreamMeter::OnRtp(std::span<const uint8_t> packet, Instant now) {
  ++counters.received;
  counters.bytes += packet.size();
  const uint16_t sequence = net::LoadBe16(packet.data() + 2);
  const uint32_t timestamp = net::LoadBe32(packet.data() + 4);
  const uint32_t ssrc = net::LoadBe32(packet.data() + 8);
  const auto ahead = static_cast<int16_t>(static_cast<uint16_t>(sequence - highest_));
  const auto type = static_cast<uint8_t>(packet[1] & 0x7f);
  if (!is_begun_ || ssrc != ssrc_ || ahead > static_cast<int32_t>(kNumbersMissedMax) ||
      ahead < -static_cast<int32_t>(kNumbersMissedMax)) {
    Restart(ssrc, sequence);
  } else if (ahead > 0) {
    counters.expected += static_cast<uint64_t>(ahead);
    highest_ = sequence;
  }
  // Of packets of one kind, in order, that tell a time of their own: not of a picture's parts.
  const bool is_next = arrived_at_.ns != 0 && ahead > 0 && type == payload_type_;
  if (clock_rate_ != 0 && is_next && timestamp != timestamp_) {
    const int64_t arrival = (now - arrived_at_).ns / 1000 * clock_rate_ / 1'000'000;
    const auto sent = static_cast<int32_t>(timestamp - timestamp_);
    const int64_t difference = arrival > sent ? arrival - sent : sent - arrival;
    if (difference < int64_t{clock_rate_} * 4) {  // else it is a jump, not jitter
      jitter_16_ += static_cast<uint64_t>(difference) - (jitter_16_ + 8) / 16;
      Set(counters.jitter_us, jitter_16_ * 1'000'000 / 16 / clock_rate_);
    }
  }
  if (ahead > 0 || arrived_at_.ns == 0) {
    arrived_at_ = now;
    timestamp_ = timestamp;
    payload_type_ = type;
  }
}

void StreamMeter::OnRtcp(std::span<const uint8_t> packet) {
  ++counters.rtcp;
  if (packet.size() < 8) {
    return;
  }
  const uint8_t type = packet[1];
  const uint32_t first = type == kSenderReport ? 28 : 8;
  const bool has_report = (packet[0] & 0x1f) != 0 && packet.size() >= first + 24;
  if ((type == kSenderReport || type == kReceiverReport) && has_report) {
    Set(counters.reported_lost, packet[first + 4]);
  }
}

}  // namespace gh::rtp
