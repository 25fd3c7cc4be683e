// What is counted of one direction of a stream: packets, loss and jitter by RFC 3550 (6.4.1, A.1,
// A.8), and what the other end reports about what it received. Written by whoever relays, read by
// anybody.
#pragma once

#include <cstdint>
#include <span>

#include "hal/rt/counter.h"
#include "hal/rt/time.h"

namespace gh::rtp {

struct StreamCounters {
  Counter received;       // RTP packets
  Counter bytes;          // of RTP
  Counter expected;       // by their numbers
  Counter rtcp;           // RTCP packets
  Counter jitter_us;      // a level
  Counter unauthentic;    // dropped: SRTP that does not verify
  Counter repeated;       // dropped: SRTP seen before
  Counter malformed;      // dropped
  Counter reported_lost;  // by the one who sends in this direction, about the other: of 256
  Counter senders;        // SSRCs there were
  uint64_t lost() const { return expected > received ? expected - received : 0; }
  uint32_t lost_permille() const {
    return expected == 0 ? 0 : static_cast<uint32_t>(lost() * 1000 / expected);
  }
};

// The E-model's rating cut down to what a relay sees (ITU-T G.107 with the values of G.113 for
// G.711 with concealment): loss, and jitter as buffering delay. As mean opinion score times 100.
uint32_t EstimateMos(uint32_t lost_permille, uint32_t jitter_us);

class StreamMeter {
 public:
  // The clock's rate of the stream's first format; 0: jitter is not known.
  void Start(uint32_t clock_rate);
  void OnRtp(std::span<const uint8_t> packet, Instant now);
  void OnRtcp(std::span<const uint8_t> packet);
  StreamCounters counters;

 private:
  void Restart(uint32_t ssrc, uint16_t sequence);

  uint32_t clock_rate_ = 0;
  bool is_begun_ = false;
  uint32_t ssrc_ = 0;
  uint16_t highest_ = 0;
  uint32_t timestamp_ = 0;
  uint8_t payload_type_ = 0;
  Instant arrived_at_;
  uint64_t jitter_16_ = 0;  // in units of the clock, times 16
};

}  // namespace gh::rtp
