#include "board/host/offload.h"

#include <cstring>

#include "board/host/limits.h"

namespace gh::board {
namespace {

constexpr size_t kEthernetBytes = 14;
constexpr size_t kIpv6Bytes = 40;
constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;

void PutU16(uint8_t* at, uint32_t value) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}
uint32_t GetU16(const uint8_t* at) { return static_cast<uint32_t>(at[0]) << 8 | at[1]; }
uint32_t GetU32(const uint8_t* at) { return GetU16(at) << 16 | GetU16(at + 2); }

// The shape of an oversized packet: where its headers are and how its payload is divided.
struct Shape {
  bool is_v6 = false;
  uint8_t protocol = 0;
  size_t transport = 0;     // offset of the TCP or UDP header
  size_t header_bytes = 0;  // Ethernet to the end of the transport header
  size_t segment_bytes = 0;
};

bool Measure(std::span<const uint8_t> packet, const VirtioNetHeader& header, Shape& shape) {
  const uint8_t kind = header.gso_type & static_cast<uint8_t>(~kVirtioGsoEcn);
  shape.transport = header.csum_start;
  shape.segment_bytes = header.gso_size;
  if (packet.size() < kEthernetBytes + 20 || packet.size() > kGsoBytesMax ||
      shape.segment_bytes == 0) {
    return false;
  }
  shape.is_v6 = GetU16(&packet[12]) == 0x86dd;
  const size_t ip_bytes = shape.is_v6 ? kIpv6Bytes : (packet[kEthernetBytes] & 0xfu) * 4;
  if ((!shape.is_v6 && GetU16(&packet[12]) != 0x0800) || ip_bytes < 20 ||
      shape.transport < kEthernetBytes + ip_bytes || packet.size() < shape.transport + 20) {
    return false;
  }
  if (kind == kVirtioGsoTcp4 || kind == kVirtioGsoTcp6) {
    shape.protocol = kTcp;
    shape.header_bytes = shape.transport + size_t{packet[shape.transport + 12]} / 16 * 4;
  } else if (kind == kVirtioGsoUdp) {
    shape.protocol = kUdp;
    shape.header_bytes = shape.transport + 8;
  } else {
    return false;
  }
  const bool header_fits =
      shape.header_bytes >= shape.transport + 8 && shape.header_bytes < packet.size();
  return header_fits &&
         shape.header_bytes + shape.segment_bytes <= hal::kFrameBufferSize - hal::kFrameHeadroom;
}

// Fills lengths, identification and checksums of one cut segment.
void FinishSegment(std::span<uint8_t> bytes, const Shape& shape, uint32_t number) {
  uint8_t* ip = bytes.data() + kEthernetBytes;
  uint8_t* transport = bytes.data() + shape.transport;
  const auto transport_bytes = static_cast<uint32_t>(bytes.size() - shape.transport);
  uint32_t sum = shape.protocol + transport_bytes;
  if (shape.is_v6) {
    PutU16(ip + 4, static_cast<uint32_t>(bytes.size() - kEthernetBytes - kIpv6Bytes));
    sum += ChecksumSum({ip + 8, 32});
  } else {
    const size_t ip_bytes = (ip[0] & 0xfu) * 4;
    PutU16(ip + 2, static_cast<uint32_t>(bytes.size() - kEthernetBytes));
    PutU16(ip + 4, GetU16(ip + 4) + number);
    PutU16(ip + 10, 0);
    PutU16(ip + 10, ~static_cast<uint32_t>(ChecksumSum({ip, ip_bytes})));
    sum += ChecksumSum({ip + 12, 8});
  }
  uint8_t* checksum = transport + (shape.protocol == kTcp ? 16 : 6);
  if (shape.protocol == kUdp) {
    PutU16(transport + 4, transport_bytes);
  }
  PutU16(checksum, 0);
  uint32_t value = ~static_cast<uint32_t>(ChecksumSum({transport, transport_bytes}, sum)) & 0xffff;
  if (value == 0 && shape.protocol == kUdp) {
    value = 0xffff;
  }
  PutU16(checksum, value);
}

// Sequence number and flags of TCP segment `number`, whose payload starts at `offset`.
void FinishTcp(uint8_t* tcp, size_t offset, bool is_first, bool is_last) {
  constexpr uint8_t kFin = 0x01;
  constexpr uint8_t kPush = 0x08;
  constexpr uint8_t kCwr = 0x80;
  const uint32_t sequence = GetU32(tcp + 4) + static_cast<uint32_t>(offset);
  PutU16(tcp + 4, sequence >> 16);
  PutU16(tcp + 6, sequence & 0xffff);
  if (!is_last) {
    tcp[13] = static_cast<uint8_t>(tcp[13] & ~(kFin | kPush));
  }
  if (!is_first) {
    tcp[13] = static_cast<uint8_t>(tcp[13] & ~kCwr);
  }
}

void ReleaseAll(hal::Frame* first, hal::FramePool& pool) {
  while (first != nullptr) {
    hal::Frame* next = first->next;
    first->next = nullptr;
    pool.Release(first);
    first = next;
  }
}

}  // namespace

uint16_t ChecksumSum(std::span<const uint8_t> bytes, uint32_t initial) {
  uint64_t sum = 0;
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    sum += (word >> 32) + (word & 0xffffffff);
  }
  for (; left >= 2; left -= 2, at += 2) {
    uint16_t word;
    std::memcpy(&word, at, 2);
    sum += word;
  }
  if (left == 1) {
    sum += *at;  // the odd byte is the high half of a big endian word
  }
  while (sum >> 16 != 0) {
    sum = (sum >> 16) + (sum & 0xffff);
  }
  // Summed in machine order (little endian): swap once, then add the caller's part.
  uint32_t total = (static_cast<uint32_t>(sum) >> 8 | (static_cast<uint32_t>(sum) & 0xff) << 8);
  for (total += initial; total >> 16 != 0;) {
    total = (total >> 16) + (total & 0xffff);
  }
  return static_cast<uint16_t>(total);
}

bool AcceptReceived(hal::Frame& frame, const VirtioNetHeader& header) {
  if ((header.flags & kVirtioNeedsChecksum) == 0) {
    if ((header.flags & kVirtioDataValid) != 0) {
      frame.flags |= hal::kFrameChecksumGood;
    }
    return true;
  }
  const size_t start = header.csum_start;
  const size_t place = start + header.csum_offset;
  if (place + 2 > frame.size) {
    return false;
  }
  // The field holds the pseudo-header sum; it takes part in the sum, as a device would do it.
  const auto sum = ChecksumSum(frame.bytes().subspan(start));
  uint32_t value = ~static_cast<uint32_t>(sum) & 0xffff;
  if (value == 0 && header.csum_offset == 6) {
    value = 0xffff;  // UDP: zero would mean "no checksum"
  }
  PutU16(frame.data() + place, value);
  frame.flags |= hal::kFrameChecksumGood;
  return true;
}

VirtioNetHeader HeaderFor(const hal::Frame& frame) {
  VirtioNetHeader header = {};
  if ((frame.flags & hal::kFrameChecksumPartial) != 0) {
    header.flags = kVirtioNeedsChecksum;
    header.csum_start = frame.checksum_start;
    header.csum_offset = frame.checksum_offset;
  }
  return header;
}

hal::Frame* CutSegments(std::span<const uint8_t> packet, const VirtioNetHeader& header,
                        hal::FramePool& pool) {
  Shape shape;
  if (!Measure(packet, header, shape)) {
    return nullptr;
  }
  const auto payload = packet.subspan(shape.header_bytes);
  const size_t count = (payload.size() + shape.segment_bytes - 1) / shape.segment_bytes;
  if (count > kGsoSegmentsMax) {
    return nullptr;
  }
  hal::Frame* first = nullptr;
  hal::Frame** tail = &first;
  for (uint32_t number = 0; number < count; ++number) {
    hal::Frame* frame = pool.Allocate();
    if (frame == nullptr) {
      ReleaseAll(first, pool);
      return nullptr;
    }
    const size_t offset = number * shape.segment_bytes;
    const size_t bytes = std::min(shape.segment_bytes, payload.size() - offset);
    std::memcpy(frame->data(), packet.data(), shape.header_bytes);
    std::memcpy(frame->data() + shape.header_bytes, payload.data() + offset, bytes);
    frame->size = static_cast<uint16_t>(shape.header_bytes + bytes);
    if (shape.protocol == kTcp) {
      FinishTcp(frame->data() + shape.transport, offset, number == 0, number + 1 == count);
    }
    FinishSegment(frame->bytes(), shape, number);
    frame->flags |= hal::kFrameChecksumGood;
    frame->next = nullptr;
    *tail = frame;
    tail = &frame->next;
  }
  return first;
}

}  // namespace gh::board
