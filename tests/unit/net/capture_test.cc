// Packet capture: every block well formed, filters, limits, the ring; and our own echo requests.
#include "net/capture.h"

#include <gtest/gtest.h>

#include "tests/unit/net/craft.h"
#include "tests/unit/net/fake_wire.h"

namespace gh::net {
namespace {

using test::Bytes;
using test::Lab;
using test::Node;

const IpAddress kAlice = IpAddress::V4(10, 0, 0, 1);
const IpAddress kBob = IpAddress::V4(10, 0, 0, 2);
const hal::MacAddress kMac = {2, 0, 0, 0, 0, 7};

uint32_t Le32(const Bytes& bytes, size_t at) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, 4);
  return value;
}

struct CaptureTest : testing::Test {
  static constexpr uint32_t kBuffer = 8192;
  static constexpr size_t kSize = 1 << 16;
  test::FakeClock clock;
  std::unique_ptr<uint8_t[]> memory{new uint8_t[kSize + 64]};
  Arena arena{std::span(Node::Aligned(memory.get()), kSize)};
  PacketCapture capture{arena, clock, kBuffer};

  Bytes File(size_t piece = 4096) const {
    Bytes file;
    Bytes buffer(piece);
    while (const size_t count = capture.Read(file.size(), buffer)) {
      file.insert(file.end(), buffer.begin(), buffer.begin() + static_cast<long>(count));
    }
    return file;
  }
  // The packets' bytes; checks every block's two lengths on the way.
  std::vector<Bytes> Packets() const {
    const Bytes file = File();
    EXPECT_EQ(file.size(), capture.file_size());
    std::vector<Bytes> packets;
    size_t at = 0;
    uint32_t interfaces = 0;
    while (at + 12 <= file.size()) {
      const uint32_t size = Le32(file, at + 4);
      EXPECT_EQ(size % 4, 0u);
      if (size < 12 || at + size > file.size() || Le32(file, at + size - 4) != size) {
        ADD_FAILURE() << "block at " << at;
        return packets;
      }
      interfaces += Le32(file, at) == 1 ? 1 : 0;
      if (Le32(file, at) == 6) {
        const auto* data = file.data() + at + 28;
        packets.emplace_back(data, data + Le32(file, at + 20));
        EXPECT_LT(Le32(file, at + 8), interfaces);
      }
      at += size;
    }
    EXPECT_EQ(at, file.size());
    EXPECT_EQ(interfaces, kPortMax);
    EXPECT_EQ(Le32(file, 0), 0x0a0d0d0au);
    return packets;
  }
  void Feed(const Bytes& frame, uint8_t port = 0) {
    capture.OnFrame(port, frame, CaptureDirection::kReceived);
  }
};

TEST_F(CaptureTest, FramesOfEverySizeComeBack) {
  capture.Start({}, kBuffer, WhenFull::kStop);
  std::vector<Bytes> fed;
  for (size_t size : {14u, 15u, 16u, 17u, 60u, 1514u}) {
    fed.push_back(test::Pattern(size));
    Feed(fed.back(), 2);
  }
  EXPECT_EQ(Packets(), fed);
  EXPECT_EQ(File(1), File());  // read in any pieces
  EXPECT_EQ(File(7), File());
}

TEST_F(CaptureTest, StopsWhenFullAndSaysSo) {
  capture.Start({}, kCaptureSizeMin, WhenFull::kStop);
  uint32_t fed = 0;
  for (; capture.active(); ++fed) {
    Feed(Bytes(100));
  }
  EXPECT_TRUE(capture.filled());
  EXPECT_EQ(capture.packet_count(), kCaptureSizeMin / (100 + kCaptureBlockOverhead));
  EXPECT_EQ(Packets().size(), fed - 1);
  EXPECT_EQ(capture.forgotten_count(), 0u);
}

TEST_F(CaptureTest, ARingKeepsTheLatest) {
  capture.Start({}, kCaptureSizeMin + 2, WhenFull::kForget);
  for (uint32_t i = 0; i < 5000; ++i) {
    Feed(test::Pattern(14 + i * 13 % 1500, static_cast<uint8_t>(i)));
  }
  EXPECT_TRUE(capture.active());
  const auto packets = Packets();
  ASSERT_EQ(packets.size(), capture.packet_count());
  EXPECT_EQ(capture.forgotten_count(), 5000u - packets.size());
  for (uint32_t i = 0; i < packets.size(); ++i) {
    const auto number = static_cast<uint32_t>(5000 - packets.size() + i);
    EXPECT_EQ(packets[i], test::Pattern(14 + number * 13 % 1500, static_cast<uint8_t>(number)));
  }
}

TEST_F(CaptureTest, FiltersMustAllFit) {
  const Bytes udp = test::UdpFrame(kMac, {kAlice, 1000}, {kBob, 5060}, Bytes(10));
  const Bytes tcp = test::TcpFrame(kMac, {kBob, 5060}, {kAlice, 2000}, 2, 1, 0);
  const Bytes ping = test::IcmpFrame(kMac, kAlice, kBob, 8, 0, Bytes(12));
  const Bytes arp = test::ArpFrame(kMac, 1, kMac, kAlice, kBob);
  const auto count = [&](const CaptureFilter& filter) {
    capture.Start(filter, kBuffer, WhenFull::kStop);
    for (const Bytes& frame : {udp, tcp, ping, arp}) {
      Feed(frame);
    }
    return capture.packet_count();
  };
  EXPECT_EQ(count({}), 4u);
  EXPECT_EQ(count({2, {}, 0, 0}), 0u);
  EXPECT_EQ(count({0xff, kAlice, 0, 0}), 3u);
  EXPECT_EQ(count({0xff, IpAddress::V4(10, 0, 0, 3), 0, 0}), 0u);
  EXPECT_EQ(count({0xff, {}, 5060, 0}), 2u);
  EXPECT_EQ(count({0xff, {}, 5060, kProtocolUdp}), 1u);
  EXPECT_EQ(count({0xff, {}, 0, kProtocolIcmp}), 1u);
  EXPECT_EQ(count({0xff, kBob, 2000, kProtocolTcp}), 1u);
}

// --- Echo requests of our own -------------------------------------------------------------------

struct EchoRecorder final : EchoObserver {
  void OnEcho(const EchoEvent& event) override { events.push_back(event); }
  std::vector<EchoEvent> events;
};

struct EchoTest : testing::Test {
  EchoTest() : a(lab.Add(1)), b(lab.Add(2)) {
    a.ConfigureStatic(1);
    b.ConfigureStatic(2);
    lab.Run(Duration::Seconds(3));
    a.stack.SetEchoObserver(&recorder, 0x4711);
  }
  Lab lab;
  Node& a;
  Node& b;
  EchoRecorder recorder;
};

TEST_F(EchoTest, AReplyComesBackWithItsSequence) {
  for (const IpAddress& to : {kBob, Node::V6(2)}) {
    recorder.events.clear();
    ASSERT_TRUE(a.stack.SendEcho(to, 7, 64, 100).ok());
    lab.Run(Duration::Seconds(2));
    ASSERT_EQ(recorder.events.size(), 1u);
    EXPECT_EQ(recorder.events[0].outcome, EchoOutcome::kReply);
    EXPECT_EQ(recorder.events[0].from, to);
    EXPECT_EQ(recorder.events[0].sequence, 7);
    EXPECT_EQ(recorder.events[0].size, 100);
  }
  EXPECT_TRUE(a.stack.SendEcho(kBob, 1, 64, kEchoSizeMax).ok());
  EXPECT_FALSE(a.stack.SendEcho(kBob, 1, 64, kEchoSizeMax + 1).ok());
  EXPECT_FALSE(a.stack.SendEcho(IpAddress::V4(224, 0, 0, 1), 1, 64, 10).ok());
}

// An ICMP error about a request of ours, as a router sends it.
Bytes ErrorAbout(const hal::MacAddress& mac, uint8_t type, uint16_t identifier, uint16_t sequence) {
  Bytes body(4);
  const Bytes echo{static_cast<uint8_t>(identifier >> 8), static_cast<uint8_t>(identifier),
                   static_cast<uint8_t>(sequence >> 8), static_cast<uint8_t>(sequence)};
  const Bytes sent = test::IcmpFrame(mac, kAlice, IpAddress::V4(192, 0, 2, 9), 8, 0, echo);
  body.insert(body.end(), sent.begin() + 14, sent.end());
  return test::IcmpFrame(mac, IpAddress::V4(10, 0, 0, 254), kAlice, type, 0, body);
}

TEST_F(EchoTest, ErrorsThatQuoteOurRequestAreTold) {
  a.port.Arrive(ErrorAbout(a.port.mac(), 11, 0x4711, 3));
  a.port.Arrive(ErrorAbout(a.port.mac(), 3, 0x4711, 4));
  a.port.Arrive(ErrorAbout(a.port.mac(), 11, 0x4712, 5));  // another's
  Bytes broken = ErrorAbout(a.port.mac(), 11, 0x4711, 6);
  broken.back() ^= 1;
  a.port.Arrive(broken);
  lab.Run(Duration::Seconds(1));
  ASSERT_EQ(recorder.events.size(), 2u);
  EXPECT_EQ(recorder.events[0].outcome, EchoOutcome::kTimeExceeded);
  EXPECT_EQ(recorder.events[0].sequence, 3);
  EXPECT_EQ(recorder.events[0].from, IpAddress::V4(10, 0, 0, 254));
  EXPECT_EQ(recorder.events[1].outcome, EchoOutcome::kUnreachable);
}

TEST_F(EchoTest, NobodyIsToldOfRepliesNobodyAskedFor) {
  a.stack.SetEchoObserver(nullptr, 0);
  ASSERT_TRUE(a.stack.SendEcho(kBob, 7, 64, 10).ok());
  lab.Run(Duration::Seconds(2));
  EXPECT_TRUE(recorder.events.empty());
  EXPECT_GE(a.stack.firewall().drops(DropReason::kIcmp), 1u);
  EXPECT_EQ(a.frames.free_count(), a.frames.frame_count());
}

}  // namespace
}  // namespace gh::net
