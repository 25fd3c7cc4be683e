#include "board/host/udp_run.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace gh::board {
namespace {

constexpr uint32_t kEthernetBytes = 14;
constexpr uint32_t kIpv4Bytes = 20;
constexpr uint32_t kIpv6Bytes = 40;
constexpr uint32_t kUdpBytes = 8;
constexpr uint8_t kUdp = 17;
constexpr uint32_t kRunBytesMax = 65000;

void PutU16(uint8_t* at, uint32_t value) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}

bool IsV6(const hal::Frame& frame) { return frame.data()[12] == 0x86; }

// Ethernet, IP without options and UDP, with the checksum left to the device.
bool MayRun(const hal::Frame& frame) {
  if ((frame.flags & hal::kFrameChecksumPartial) == 0 || frame.checksum_offset != 6 ||
      frame.size < frame.checksum_start + kUdpBytes ||
      frame.checksum_start < kEthernetBytes + kIpv4Bytes) {
    return false;
  }
  const uint8_t* at = frame.data();
  const uint32_t type = uint32_t{at[12]} << 8 | at[13];
  if (type == 0x0800) {
    const bool is_whole = (at[20] & 0x3f) == 0 && at[21] == 0;
    return at[14] == 0x45 && at[23] == kUdp && is_whole &&
           frame.checksum_start == kEthernetBytes + kIpv4Bytes;
  }
  return type == 0x86dd && at[20] == kUdp && frame.checksum_start == kEthernetBytes + kIpv6Bytes;
}

// All that the cut segments will have in common: not lengths, identification and checksums.
bool IsSameFlow(const hal::Frame& a, const hal::Frame& b) {
  const uint8_t* x = a.data();
  const uint8_t* y = b.data();
  const auto same = [&](size_t from, size_t count) {
    return std::memcmp(x + from, y + from, count) == 0;
  };
  return IsV6(a) ? same(0, 18) && same(20, 38) : same(0, 16) && same(20, 4) && same(26, 12);
}

// Of the end of the addresses and the ports; a collision costs a run, no more.
uint32_t BucketOf(const hal::Frame& frame) {
  const uint8_t* ports = frame.data() + frame.checksum_start;
  uint64_t value;
  std::memcpy(&value, ports - 4, sizeof(value));
  return static_cast<uint32_t>(value * 0x9e3779b97f4a7c15u >> 58);
}

}  // namespace

void GroupByFlow(std::span<hal::Frame* const> frames, std::span<hal::Frame*> out) {
  constexpr uint8_t kNone = 0xff;
  std::array<uint8_t, kUdpGroupMax> last_of;  // a bucket's newest frame
  std::array<uint8_t, kUdpGroupMax> next;     // of the same flow
  std::array<bool, kUdpGroupMax> leads;
  last_of.fill(kNone);
  const auto count = static_cast<uint8_t>(frames.size());
  for (uint8_t i = 0; i < count; ++i) {
    next[i] = kNone;
    leads[i] = true;
    if (!MayRun(*frames[i])) {
      continue;
    }
    uint8_t& last = last_of[BucketOf(*frames[i])];
    if (last != kNone && IsSameFlow(*frames[last], *frames[i])) {
      next[last] = i;
      leads[i] = false;
    }
    last = i;
  }
  size_t put = 0;
  for (uint8_t first = 0; first < count; ++first) {
    for (uint8_t i = leads[first] ? first : kNone; i != kNone; i = next[i]) {
      out[put++] = frames[i];
    }
  }
}

uint32_t UdpRunLength(std::span<hal::Frame* const> frames) {
  const hal::Frame& first = *frames[0];
  if (!MayRun(first)) {
    return 1;
  }
  const uint32_t headers = first.checksum_start + kUdpBytes;
  uint32_t bytes = first.size;
  uint32_t count = 1;
  const auto limit = std::min<size_t>(frames.size(), kUdpRunMax);
  while (count < limit) {
    const hal::Frame& next = *frames[count];
    // An empty datagram cannot be a segment.
    if (next.size > first.size || next.size <= headers || bytes + next.size > kRunBytesMax ||
        !MayRun(next) || !IsSameFlow(first, next)) {
      break;
    }
    bytes += next.size - headers;
    ++count;
    if (next.size < first.size) {
      break;
    }
  }
  return first.size > headers ? count : 1;
}

uint32_t JoinUdpRun(std::span<hal::Frame* const> run, VirtioNetHeader& header) {
  hal::Frame& first = *run[0];
  const uint32_t headers = first.checksum_start + kUdpBytes;
  uint32_t payload = 0;
  for (const hal::Frame* frame : run) {
    payload += frame->size - headers;
  }
  uint8_t* ip = first.data() + kEthernetBytes;
  uint8_t* udp = first.data() + first.checksum_start;
  const uint32_t udp_bytes = payload + kUdpBytes;
  uint32_t pseudo;
  if (IsV6(first)) {
    PutU16(ip + 4, udp_bytes);
    pseudo = ChecksumSum({ip + 8, 32}, kUdp + udp_bytes);
  } else {
    PutU16(ip + 2, udp_bytes + kIpv4Bytes);
    PutU16(ip + 10, 0);
    PutU16(ip + 10, ~uint32_t{ChecksumSum({ip, kIpv4Bytes})});
    pseudo = ChecksumSum({ip + 12, 8}, kUdp + udp_bytes);
  }
  PutU16(udp + 4, udp_bytes);
  PutU16(udp + 6, pseudo);
  header = HeaderFor(first);
  header.gso_type = kVirtioGsoUdp;
  header.hdr_len = static_cast<uint16_t>(headers);
  header.gso_size = static_cast<uint16_t>(first.size - headers);
  return headers;
}

}  // namespace gh::board
