// Packets taken apart, checksums, the firewall's bitmaps, token buckets, SYN cookies.
#include "net/packet.h"

#include <gtest/gtest.h>

#include "net/checksum.h"
#include "net/firewall.h"
#include "net/syn_cookie.h"
#include "net/token_bucket.h"
#include "tests/unit/net/craft.h"

namespace gh::net {
namespace {

using namespace test;

const hal::MacAddress kMac{2, 0, 0, 0, 0, 1};
const Endpoint kFrom{IpAddress::V4(10, 0, 0, 1), 1111};
const Endpoint kTo{IpAddress::V4(10, 0, 0, 2), 2222};
const Endpoint kFrom6{*IpAddress::Parse("fd00::1"), 1111};
const Endpoint kTo6{*IpAddress::Parse("fd00::2"), 2222};

TEST(PacketTest, ReadsUdpAndTcpOfBothFamilies) {
  for (const bool v6 : {false, true}) {
    const Endpoint from = v6 ? kFrom6 : kFrom;
    const Endpoint to = v6 ? kTo6 : kTo;
    PacketView udp;
    const Bytes u = UdpFrame(kMac, from, to, Pattern(10));
    ASSERT_TRUE(ParsePacket(u, udp).ok());
    EXPECT_EQ(udp.protocol, kProtocolUdp);
    EXPECT_EQ(udp.source_port, 1111);
    EXPECT_EQ(udp.destination_port, 2222);
    EXPECT_EQ(udp.l4_size, 18);
    EXPECT_EQ(udp.Source(u.data()), from.address);
    EXPECT_EQ(udp.Destination(u.data()), to.address);
    PacketView tcp;
    ASSERT_TRUE(ParsePacket(TcpFrame(kMac, from, to, kTcpSyn, 1, 0, {}, {2, 4, 5, 180}), tcp).ok());
    EXPECT_EQ(tcp.tcp_flags, kTcpSyn);
    EXPECT_EQ(tcp.tcp_header_size, 24);
  }
}

TEST(PacketTest, EveryCutOfAPacketIsRefused) {
  for (const Bytes& frame : {UdpFrame(kMac, kFrom, kTo, Pattern(10)),
                             TcpFrame(kMac, kFrom6, kTo6, kTcpAck, 1, 1, Pattern(10))}) {
    for (size_t size = 0; size < frame.size(); ++size) {
      PacketView view;
      EXPECT_FALSE(ParsePacket(std::span(frame).first(size), view).ok()) << size;
    }
  }
}

TEST(PacketTest, PaddingIsNotPayload) {
  Bytes frame = UdpFrame(kMac, kFrom, kTo, Pattern(2));
  frame.resize(60, 0xaa);
  PacketView view;
  ASSERT_TRUE(ParsePacket(frame, view).ok());
  EXPECT_EQ(view.l4_size, 10);
}

TEST(PacketTest, LengthsThatContradictEachOtherAreRefused) {
  PacketView view;
  Bytes udp_longer = UdpFrame(kMac, kFrom, kTo, Pattern(4));
  Put16(udp_longer, 14 + 20 + 4, 100);
  EXPECT_EQ(ParsePacket(udp_longer, view).code(), ErrorCode::kMalformed);
  Bytes udp_short = UdpFrame(kMac, kFrom, kTo, Pattern(4));
  Put16(udp_short, 14 + 20 + 4, 7);
  EXPECT_EQ(ParsePacket(udp_short, view).code(), ErrorCode::kMalformed);
  Bytes tcp = TcpFrame(kMac, kFrom, kTo, kTcpAck, 1, 1);
  tcp[14 + 20 + 12] = 0xf0;  // 60 bytes of header in 20
  EXPECT_EQ(ParsePacket(tcp, view).code(), ErrorCode::kMalformed);
  Bytes header = UdpFrame(kMac, kFrom, kTo, Pattern(4));
  header[14] = 0x44;
  EXPECT_EQ(ParsePacket(header, view).code(), ErrorCode::kMalformed);
  header[14] = 0x46;  // an option word
  EXPECT_EQ(ParsePacket(header, view).code(), ErrorCode::kUnsupported);
}

TEST(PacketTest, ExtensionHeadersAreWalkedAndBounded) {
  const auto chain = [](uint32_t count, uint8_t last) {
    Bytes payload;
    for (uint32_t i = 0; i < count; ++i) {
      Bytes header(8, 0);
      header[0] = i + 1 < count ? 60 : last;
      payload.insert(payload.end(), header.begin(), header.end());
    }
    Bytes udp(8, 0);
    Put16(udp, 4, 8);
    payload.insert(payload.end(), udp.begin(), udp.end());
    return IpFrame(kMac, kFrom6.address, kTo6.address, 60, payload, -1);
  };
  PacketView view;
  EXPECT_TRUE(ParsePacket(chain(kExtensionHeaderMax, kProtocolUdp), view).ok());
  EXPECT_EQ(view.l4, 14 + 40 + 8 * kExtensionHeaderMax);
  EXPECT_EQ(ParsePacket(chain(kExtensionHeaderMax + 1, kProtocolUdp), view).code(),
            ErrorCode::kUnsupported);
  EXPECT_EQ(ParsePacket(chain(1, 43), view).code(), ErrorCode::kUnsupported);  // routing header
  PacketView fragment;
  EXPECT_TRUE(ParsePacket(chain(1, kProtocolFragment), fragment).ok());
  EXPECT_TRUE(fragment.is_fragment);
}

TEST(PacketTest, QuotesMayBeCutBehindThePorts) {
  const Bytes frame = TcpFrame(kMac, kFrom, kTo, kTcpSyn, 7, 0);
  PacketView view;
  const std::span<const uint8_t> packet = std::span(frame).subspan(14);
  EXPECT_TRUE(ParseQuotedPacket(packet.first(28), false, view).ok());
  EXPECT_EQ(view.destination_port, 2222);
  EXPECT_FALSE(ParseQuotedPacket(packet.first(23), false, view).ok());
}

TEST(ChecksumTest, AgreesWithTheTextbookAtEverySizeAndOffset) {
  const Bytes data = Pattern(300);
  for (size_t offset = 0; offset < 9; ++offset) {
    for (size_t size = 0; size + offset <= data.size(); ++size) {
      const auto part = std::span(data).subspan(offset, size);
      const uint16_t sum = ChecksumSum(part);
      ASSERT_EQ(std::byteswap(sum) % 0xffff, Sum16(part) % 0xffff) << size;
    }
  }
  const Bytes ones(65535, 0xff);
  EXPECT_EQ(ChecksumSum(std::span(ones).first(65534)), 0xffff);
}

TEST(FirewallTest, StartsClosedAndOpensExactlyWhatIsAllowed) {
  std::vector<uint8_t> memory(1 << 20);
  Arena arena(memory);
  Firewall firewall(arena);
  for (uint32_t port = 0; port < 65536; ++port) {
    ASSERT_FALSE(firewall.Allows(Transport::kUdp, static_cast<uint16_t>(port), 0));
    ASSERT_FALSE(firewall.Allows(Transport::kTcp, static_cast<uint16_t>(port), 1));
  }
  const FirewallRule sip{Transport::kUdp, 5060, 5061, 0b010};
  ASSERT_TRUE(firewall.Allow(sip).ok());
  EXPECT_TRUE(firewall.Allows(Transport::kUdp, 5060, 1));
  EXPECT_TRUE(firewall.Allows(Transport::kUdp, 5061, 1));
  EXPECT_FALSE(firewall.Allows(Transport::kUdp, 5062, 1));
  EXPECT_FALSE(firewall.Allows(Transport::kUdp, 5059, 1));
  EXPECT_FALSE(firewall.Allows(Transport::kUdp, 5060, 0));
  EXPECT_FALSE(firewall.Allows(Transport::kTcp, 5060, 1));
  ASSERT_TRUE(firewall.Allow({Transport::kUdp, 5060, 5060, kAllPorts}).ok());
  firewall.Revoke(sip);
  EXPECT_TRUE(firewall.Allows(Transport::kUdp, 5060, 1));
  EXPECT_FALSE(firewall.Allows(Transport::kUdp, 5061, 1));
  ASSERT_TRUE(firewall.Allow({Transport::kUdp, 24000, 65535, kAllPorts}).ok());
  EXPECT_TRUE(firewall.Allows(Transport::kUdp, 65535, 2));
  firewall.RevokeAll();
  EXPECT_FALSE(firewall.Allows(Transport::kUdp, 65535, 2));
  EXPECT_FALSE(firewall.Allow({Transport::kUdp, 0, 5, kAllPorts}).ok());
  EXPECT_FALSE(firewall.Allow({Transport::kUdp, 6, 5, kAllPorts}).ok());
  for (uint16_t i = 1; i <= kFirewallRuleMax; ++i) {
    ASSERT_TRUE(firewall.Allow({Transport::kTcp, i, i, kAllPorts}).ok());
  }
  EXPECT_EQ(firewall.Allow({Transport::kTcp, 1000, 1000, kAllPorts}).code(), ErrorCode::kExhausted);
}

TEST(TokenBucketTest, GivesTheBurstThenTheRate) {
  TokenBucket bucket(10, 5);
  Instant now{1'000'000'000'000};
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(bucket.Take(now));
  }
  EXPECT_FALSE(bucket.Take(now));
  EXPECT_FALSE(bucket.Take(now + Duration::Milliseconds(99)));
  EXPECT_TRUE(bucket.Take(now + Duration::Milliseconds(100)));
  EXPECT_FALSE(bucket.Take(now + Duration::Milliseconds(150)));
  uint32_t taken = 0;
  for (int i = 0; i < 100; ++i) {
    taken += bucket.Take(now + Duration::Hours(1)) ? 1 : 0;
  }
  EXPECT_EQ(taken, 5u);
}

TEST(SynCookieTest, OnlyTheSameConnectionAndRecentTimeFit) {
  const SynCookies cookies(SipKey{1, 2});
  const SynCookies other(SipKey{1, 3});
  Instant now{500'000'000'000};
  const uint32_t cookie = cookies.Make(kTo, kFrom, 77, 1400, now);
  EXPECT_EQ(cookies.Check(kTo, kFrom, 77, cookie, now).value_or(0), 1400);
  EXPECT_TRUE(cookies.Check(kTo, kFrom, 77, cookie, now + Duration::Seconds(64)).has_value());
  EXPECT_FALSE(cookies.Check(kTo, kFrom, 77, cookie, now + Duration::Seconds(129)).has_value());
  EXPECT_FALSE(cookies.Check(kTo, kFrom, 78, cookie, now).has_value());
  EXPECT_FALSE(cookies.Check(kTo, kFrom, 77, cookie + 1, now).has_value());
  EXPECT_FALSE(cookies.Check(kFrom, kTo, 77, cookie, now).has_value());
  EXPECT_FALSE(other.Check(kTo, kFrom, 77, cookie, now).has_value());
  EXPECT_EQ(cookies.Check(kTo, kFrom, 1, cookies.Make(kTo, kFrom, 1, 1459, now), now).value_or(0),
            1440);
  EXPECT_EQ(cookies.Check(kTo, kFrom, 1, cookies.Make(kTo, kFrom, 1, 10, now), now).value_or(0),
            216);
}

}  // namespace
}  // namespace gh::net
