// Completing checksums and cutting oversized packets, against sums done the slow way.
#include "board/host/offload.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "board/host/limits.h"

namespace gh::board {
namespace {

uint16_t SlowSum(std::span<const uint8_t> bytes, uint32_t sum = 0) {
  sum = (sum & 0xffff) + (sum >> 16);
  for (size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? uint32_t{bytes[i]} << 8 : bytes[i];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint16_t>(sum);
}

class Offload : public testing::Test {
 protected:
  Offload() : memory_(4 << 20), arena_(memory_), pool_(arena_, 256) {}
  std::vector<uint8_t> memory_;
  Arena arena_;
  hal::FramePool pool_;
};

constexpr size_t kL4 = 14 + 20;
constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;

// An IPv4 packet as a local sender hands it over: partial checksum, total length of all.
std::vector<uint8_t> BigPacket(uint8_t protocol, size_t payload) {
  const size_t header = protocol == kTcp ? 20 : 8;
  std::vector<uint8_t> packet(kL4 + header + payload);
  packet[12] = 8;
  packet[14] = 0x45;
  packet[18] = 0x12;  // identification 0x12fe
  packet[19] = 0xfe;
  packet[22] = 64;
  packet[23] = protocol;
  packet[26] = 10;
  packet[29] = 1;
  packet[30] = 10;
  packet[33] = 2;
  if (protocol == kTcp) {
    packet[kL4 + 4] = 0xff;  // sequence 0xfffffff0: must wrap
    packet[kL4 + 5] = 0xff;
    packet[kL4 + 6] = 0xff;
    packet[kL4 + 7] = 0xf0;
    packet[kL4 + 12] = 0x50;
    packet[kL4 + 13] = 0x80 | 0x10 | 0x08 | 0x01;  // CWR ACK PSH FIN
  }
  for (size_t i = 0; i < payload; ++i) {
    packet[kL4 + header + i] = static_cast<uint8_t>(i * 31 + i / 256);
  }
  return packet;
}

VirtioNetHeader Gso(uint8_t type, uint16_t size, uint16_t start = kL4) {
  return {.flags = kVirtioNeedsChecksum,
          .gso_type = type,
          .hdr_len = 0,
          .gso_size = size,
          .csum_start = start,
          .csum_offset = static_cast<uint16_t>(type == kVirtioGsoUdp ? 6 : 16)};
}

bool ChecksumsHold(const hal::Frame& frame) {
  const auto bytes = frame.bytes();
  const bool v6 = bytes[12] == 0x86;
  const size_t l4 = v6 ? 54 : kL4;
  const auto l4_bytes = static_cast<uint32_t>(bytes.size() - l4);
  const uint8_t protocol = v6 ? bytes[20] : bytes[23];
  const uint16_t pseudo = v6 ? SlowSum(bytes.subspan(22, 32), protocol + l4_bytes)
                             : SlowSum(bytes.subspan(26, 8), protocol + l4_bytes);
  const bool ip_holds = v6 || SlowSum(bytes.subspan(14, 20)) == 0xffff;
  return ip_holds && SlowSum(bytes.subspan(l4), pseudo) == 0xffff;
}

TEST_F(Offload, SumAgreesWithTheSlowWayAtEveryLengthAndAlignment) {
  std::vector<uint8_t> bytes(80);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(i * 151 + 200);
  }
  for (size_t start = 0; start < 9; ++start) {
    for (size_t size = 0; size + start <= bytes.size(); ++size) {
      const auto part = std::span<const uint8_t>(bytes).subspan(start, size);
      EXPECT_EQ(ChecksumSum(part), SlowSum(part)) << start << " " << size;
      EXPECT_EQ(ChecksumSum(part, 0x12345), SlowSum(part, 0x12345));
    }
  }
}

TEST_F(Offload, PartialChecksumIsCompleted) {
  hal::Frame* frame = pool_.Allocate();
  std::vector<uint8_t> packet = BigPacket(kUdp, 33);
  packet[kL4 + 5] = 8 + 33;
  const uint16_t pseudo = SlowSum(std::span(packet).subspan(26, 8), kUdp + 41);
  packet[kL4 + 6] = static_cast<uint8_t>(pseudo >> 8);
  packet[kL4 + 7] = static_cast<uint8_t>(pseudo);
  std::memcpy(frame->data(), packet.data(), packet.size());
  frame->size = static_cast<uint16_t>(packet.size());
  VirtioNetHeader header = {.flags = kVirtioNeedsChecksum,
                            .gso_type = 0,
                            .hdr_len = 0,
                            .gso_size = 0,
                            .csum_start = kL4,
                            .csum_offset = 6};
  ASSERT_TRUE(AcceptReceived(*frame, header));
  EXPECT_TRUE(frame->flags & hal::kFrameChecksumGood);
  EXPECT_EQ(SlowSum(frame->bytes().subspan(kL4), pseudo), 0xffff);
  header.csum_start = frame->size;
  EXPECT_FALSE(AcceptReceived(*frame, header));
  header.csum_start = 0xffff;
  header.csum_offset = 0xffff;
  EXPECT_FALSE(AcceptReceived(*frame, header));
}

TEST_F(Offload, OnlyTheDevicesWordMakesAChecksumGood) {
  hal::Frame* frame = pool_.Allocate();
  frame->size = 60;
  EXPECT_TRUE(AcceptReceived(*frame, {}));
  EXPECT_FALSE(frame->flags & hal::kFrameChecksumGood);
  VirtioNetHeader valid = {};
  valid.flags = kVirtioDataValid;
  EXPECT_TRUE(AcceptReceived(*frame, valid));
  EXPECT_TRUE(frame->flags & hal::kFrameChecksumGood);
}

TEST_F(Offload, TcpIsCutAsTheWireWouldHaveCarriedIt) {
  const std::vector<uint8_t> packet = BigPacket(kTcp, 3500);
  const uint32_t before = pool_.free_count();
  hal::Frame* first = CutSegments(packet, Gso(kVirtioGsoTcp4, 1448), pool_);
  ASSERT_NE(first, nullptr);
  std::vector<uint8_t> payload;
  uint32_t number = 0;
  for (hal::Frame* frame = first; frame != nullptr; ++number) {
    EXPECT_TRUE(ChecksumsHold(*frame)) << number;
    const uint8_t* data = frame->data();
    const uint32_t sequence = uint32_t{data[kL4 + 4]} << 24 | uint32_t{data[kL4 + 5]} << 16 |
                              uint32_t{data[kL4 + 6]} << 8 | data[kL4 + 7];
    EXPECT_EQ(sequence, 0xfffffff0u + static_cast<uint32_t>(payload.size()));
    EXPECT_EQ(data[19], static_cast<uint8_t>(0xfe + number));
    const bool last = frame->next == nullptr;
    EXPECT_EQ(data[kL4 + 13], (number == 0 ? 0x80 : 0) | 0x10 | (last ? 0x09 : 0));
    payload.insert(payload.end(), data + kL4 + 20, data + frame->size);
    hal::Frame* next = frame->next;
    pool_.Release(frame);
    frame = next;
  }
  EXPECT_EQ(number, 3u);
  EXPECT_EQ(payload, std::vector<uint8_t>(packet.begin() + kL4 + 20, packet.end()));
  EXPECT_EQ(pool_.free_count(), before);
}

TEST_F(Offload, UdpIsCutIntoDatagrams) {
  const std::vector<uint8_t> packet = BigPacket(kUdp, 1000);
  hal::Frame* first = CutSegments(packet, Gso(kVirtioGsoUdp, 300), pool_);
  std::vector<uint16_t> sizes;
  for (hal::Frame* frame = first; frame != nullptr; frame = frame->next) {
    EXPECT_TRUE(ChecksumsHold(*frame));
    sizes.push_back(static_cast<uint16_t>(frame->data()[kL4 + 4] << 8 | frame->data()[kL4 + 5]));
  }
  EXPECT_EQ(sizes, (std::vector<uint16_t>{308, 308, 308, 108}));
}

TEST_F(Offload, Ipv6IsCutToo) {
  std::vector<uint8_t> packet(54 + 20 + 2000, 3);
  packet[12] = 0x86;
  packet[13] = 0xdd;
  packet[14] = 0x60;
  packet[20] = kTcp;
  packet[54 + 12] = 0x50;
  hal::Frame* first = CutSegments(packet, Gso(kVirtioGsoTcp6, 1000, 54), pool_);
  ASSERT_NE(first, nullptr);
  for (hal::Frame* frame = first; frame != nullptr; frame = frame->next) {
    EXPECT_TRUE(ChecksumsHold(*frame));
    EXPECT_EQ(frame->data()[18] << 8 | frame->data()[19], 1020);
  }
}

TEST_F(Offload, OddPacketsAreRefusedAndNothingLeaks) {
  const uint32_t before = pool_.free_count();
  const std::vector<uint8_t> good = BigPacket(kTcp, 3000);
  EXPECT_EQ(CutSegments(good, Gso(kVirtioGsoTcp4, 0), pool_), nullptr);
  EXPECT_EQ(CutSegments(good, Gso(kVirtioGsoTcp4, 1900), pool_), nullptr);  // no frame holds it
  EXPECT_EQ(CutSegments(good, Gso(77, 1000), pool_), nullptr);
  EXPECT_EQ(CutSegments(good, Gso(kVirtioGsoTcp4, 20), pool_), nullptr);  // too many pieces
  EXPECT_EQ(CutSegments(good, Gso(kVirtioGsoTcp4, 1000, 3030), pool_), nullptr);
  EXPECT_EQ(CutSegments(good, Gso(kVirtioGsoTcp4, 1000, 20), pool_), nullptr);
  std::vector<uint8_t> bad = good;
  bad[kL4 + 12] = 0x10;  // TCP header of 4 bytes
  EXPECT_EQ(CutSegments(bad, Gso(kVirtioGsoTcp4, 1000), pool_), nullptr);
  bad = good;
  bad[14] = 0x41;
  EXPECT_EQ(CutSegments(bad, Gso(kVirtioGsoTcp4, 1000), pool_), nullptr);
  bad[12] = 9;
  EXPECT_EQ(CutSegments(bad, Gso(kVirtioGsoTcp4, 1000), pool_), nullptr);
  for (size_t size = 0; size <= kL4 + 20; ++size) {
    EXPECT_EQ(CutSegments(std::span(good).first(size), Gso(kVirtioGsoTcp4, 1000), pool_), nullptr);
  }
  EXPECT_EQ(pool_.free_count(), before);
}

TEST_F(Offload, AnEmptyPoolRefusesTheWholePacket) {
  std::vector<hal::Frame*> held;
  while (pool_.free_count() > 2) {
    held.push_back(pool_.Allocate());
  }
  EXPECT_EQ(CutSegments(BigPacket(kTcp, 3500), Gso(kVirtioGsoTcp4, 1448), pool_), nullptr);
  EXPECT_EQ(pool_.free_count(), 2u);
}

}  // namespace
}  // namespace gh::board
