// Runs of datagrams: what may leave together, in which order, and that a run cut again is what went
// into it. Frames here are our own; hostile input does not reach this code.
#include "board/host/udp_run.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "board/host/limits.h"

namespace gh::board {
namespace {

class UdpRun : public testing::Test {
 protected:
  UdpRun() : memory_(4 << 20), arena_(memory_), pool_(arena_, 256) {}

  // A datagram of `payload` bytes to `port`, its checksum left to the device.
  hal::Frame* Datagram(uint16_t port, size_t payload, bool is_v6 = false) {
    hal::Frame* frame = pool_.Allocate();
    const size_t ip = is_v6 ? 40 : 20;
    uint8_t* at = frame->data();
    std::memset(at, 0, 14 + ip + 8);
    at[5] = 9;
    Put(at + 12, is_v6 ? 0x86dd : 0x0800);
    Put(at + (is_v6 ? 18 : 16), payload + 8 + (is_v6 ? 0 : ip));
    at[14] = is_v6 ? 0x60 : 0x45;
    at[is_v6 ? 20 : 23] = 17;
    at[is_v6 ? 21 : 22] = 64;
    at[is_v6 ? 22 : 26] = 10;
    uint8_t* udp = at + 14 + ip;
    Put(udp, 3478);
    Put(udp + 2, port);
    Put(udp + 4, payload + 8);
    Put(udp + 6, ChecksumSum({at + (is_v6 ? 22 : 26), is_v6 ? 32u : 8u},
                             static_cast<uint32_t>(17 + payload + 8)));
    for (size_t i = 0; i < payload; ++i) {
      udp[8 + i] = static_cast<uint8_t>(i * 7 + made_);
    }
    ++made_;
    frame->size = static_cast<uint16_t>(14 + ip + 8 + payload);
    frame->flags = hal::kFrameChecksumPartial;
    frame->checksum_start = static_cast<uint16_t>(14 + ip);
    frame->checksum_offset = 6;
    return frame;
  }
  static void Put(uint8_t* at, size_t value) {
    at[0] = static_cast<uint8_t>(value >> 8);
    at[1] = static_cast<uint8_t>(value);
  }

  std::vector<uint8_t> memory_;
  Arena arena_;
  hal::FramePool pool_;
  uint32_t made_ = 0;
};

TEST_F(UdpRun, OneFlowOneSizeAndAShorterLast) {
  std::vector<hal::Frame*> frames = {Datagram(5, 100), Datagram(5, 100), Datagram(5, 60),
                                     Datagram(5, 60)};
  EXPECT_EQ(UdpRunLength(frames), 3u);
  EXPECT_EQ(UdpRunLength(std::span(frames).subspan(2)), 2u);
  frames[1] = Datagram(5, 101);
  EXPECT_EQ(UdpRunLength(frames), 1u);
  frames[1] = Datagram(6, 100);
  EXPECT_EQ(UdpRunLength(frames), 1u);
}

TEST_F(UdpRun, OnlyWholePlainDatagramsLeaveTogether) {
  const auto pair_with = [&](auto&& change) {
    std::vector<hal::Frame*> frames = {Datagram(5, 100), Datagram(5, 100)};
    for (hal::Frame* frame : frames) {
      change(*frame);
    }
    return UdpRunLength(frames);
  };
  EXPECT_EQ(pair_with([](hal::Frame&) {}), 2u);
  EXPECT_EQ(pair_with([](hal::Frame& f) { f.flags = 0; }), 1u);
  EXPECT_EQ(pair_with([](hal::Frame& f) { f.data()[20] = 0x20; }), 1u);  // a fragment
  EXPECT_EQ(pair_with([](hal::Frame& f) { f.data()[21] = 1; }), 1u);
  EXPECT_EQ(pair_with([](hal::Frame& f) { f.data()[20] = 0x40; }), 2u);  // DF
  EXPECT_EQ(pair_with([](hal::Frame& f) { f.data()[14] = 0x46; }), 1u);  // options
  EXPECT_EQ(pair_with([](hal::Frame& f) { f.data()[23] = 6; }), 1u);     // TCP
  EXPECT_EQ(pair_with([](hal::Frame& f) { f.data()[12] = 0x81; }), 1u);  // VLAN
}

TEST_F(UdpRun, WhateverTheKernelLooksAtSeparates) {
  // MACs, traffic class, time to live, addresses, ports; but not lengths, identification, sums.
  for (const bool is_v6 : {false, true}) {
    const size_t headers = 14 + (is_v6 ? 40 : 20) + 8;
    for (size_t at = 0; at < headers; ++at) {
      std::vector<hal::Frame*> frames = {Datagram(5, 100, is_v6), Datagram(5, 100, is_v6)};
      frames[1]->data()[at] ^= 1;
      const bool is_v4_own = at >= 16 && at < 20;
      const bool is_ip_own = is_v6 ? at == 18 || at == 19 : is_v4_own || at == 24 || at == 25;
      const bool is_own = is_ip_own || at >= headers - 4;
      EXPECT_EQ(UdpRunLength(frames), is_own ? 2u : 1u) << at << (is_v6 ? " of IPv6" : " of IPv4");
      pool_.Release(frames[0]);
      pool_.Release(frames[1]);
    }
  }
}

TEST_F(UdpRun, ARunHasAnEnd) {
  std::vector<hal::Frame*> frames;
  for (uint32_t i = 0; i < kUdpGroupMax; ++i) {
    frames.push_back(Datagram(5, 1472));
  }
  const uint32_t long_ones = UdpRunLength(frames);
  EXPECT_LE(size_t{14 + 28} + size_t{long_ones} * 1472, 65535u + 14);
  EXPECT_GE(long_ones, 43u);
  for (hal::Frame*& frame : frames) {
    pool_.Release(frame);
    frame = Datagram(5, 20);
  }
  EXPECT_EQ(UdpRunLength(frames), kUdpRunMax);
}

TEST_F(UdpRun, WhatIsCutAgainIsWhatWentIn) {
  for (const bool is_v6 : {false, true}) {
    std::vector<hal::Frame*> frames;
    std::vector<std::string> payloads;
    const size_t headers = 14 + (is_v6 ? 40 : 20) + 8;
    for (const size_t size : {300, 300, 300, 17}) {
      frames.push_back(Datagram(5, size, is_v6));
      payloads.emplace_back(reinterpret_cast<char*>(frames.back()->data()) + headers, size);
    }
    ASSERT_EQ(UdpRunLength(frames), 4u);
    VirtioNetHeader header;
    ASSERT_EQ(JoinUdpRun(frames, header), headers);
    EXPECT_EQ(header.gso_size, 300);
    EXPECT_EQ(header.hdr_len, headers);
    std::vector<uint8_t> whole(frames[0]->data(), frames[0]->data() + frames[0]->size);
    for (size_t i = 1; i < frames.size(); ++i) {
      whole.insert(whole.end(), frames[i]->data() + headers, frames[i]->data() + frames[i]->size);
    }
    hal::Frame* segment = CutSegments(whole, header, pool_);
    for (const std::string& payload : payloads) {
      ASSERT_NE(segment, nullptr);
      const auto bytes = segment->bytes();
      EXPECT_EQ(std::string(bytes.begin() + static_cast<ptrdiff_t>(headers), bytes.end()), payload);
      const auto udp = bytes.subspan(headers - 8);
      const auto addresses = bytes.subspan(is_v6 ? 22 : 26, is_v6 ? 32 : 8);
      const uint32_t pseudo = ChecksumSum(addresses, static_cast<uint32_t>(17 + udp.size()));
      EXPECT_EQ(ChecksumSum(udp, pseudo), 0xffff);
      segment = segment->next;
    }
    EXPECT_EQ(segment, nullptr);
  }
}

TEST_F(UdpRun, FlowsAreGroupedAndKeepTheirOrder) {
  std::vector<hal::Frame*> frames;
  for (uint32_t i = 0; i < kUdpGroupMax; ++i) {
    frames.push_back(Datagram(static_cast<uint16_t>(100 + i % 3), 10 + i));
  }
  frames[30]->flags = 0;  // cannot be grouped, must not be lost
  std::vector<hal::Frame*> out(frames.size());
  GroupByFlow(frames, out);
  std::vector<hal::Frame*> sorted_in = frames;
  std::vector<hal::Frame*> sorted_out = out;
  std::sort(sorted_in.begin(), sorted_in.end());
  std::sort(sorted_out.begin(), sorted_out.end());
  EXPECT_EQ(sorted_in, sorted_out);
  size_t last[3] = {};
  for (const hal::Frame* frame : out) {
    if (frame->flags != 0) {
      size_t& before = last[(frame->size - 52) % 3];
      EXPECT_GT(frame->size, before);
      before = frame->size;
    }
  }
  EXPECT_EQ(out[0], frames[0]);
  EXPECT_EQ(out[1], frames[3]);
}

}  // namespace
}  // namespace gh::board
