// Addresses given by the network: DHCP and router advertisements against scripted servers.
#include <gtest/gtest.h>

#include "tests/unit/net/craft.h"

namespace gh::net {
namespace {

using namespace test;

const hal::MacAddress kServerMac{2, 0, 0, 0, 0, 250};
const IpAddress kServer = IpAddress::V4(10, 0, 0, 250);
constexpr size_t kDhcpOptions = 240;

// A DHCP server of one address, with options 3, 6, 42, 51.
struct DhcpServer {
  explicit DhcpServer(Lab& owner) : lab(owner) {
    lab.wire.filter = [this](const Bytes& frame) {
      PacketView view;
      if (ParsePacket(frame, view).ok() && view.destination_port == 67 &&
          frame.size() > view.l4 + 8 + kDhcpOptions) {
        Answer(Bytes(frame.begin() + view.l4 + 8, frame.end()));
      }
      if (view.ether_type == kEtherArp && frame[21] == 1 &&
          std::memcmp(&frame[38], kServer.bytes.data(), 4) == 0) {
        Bytes reply = ArpFrame({}, 2, kServerMac, kServer,
                               IpAddress::V4FromBytes(std::span(frame).subspan(28).first<4>()));
        std::copy_n(frame.begin() + 6, 6, reply.begin());
        std::copy_n(frame.begin() + 6, 6, reply.begin() + 32);
        lab.wire.Send(nullptr, reply);
      }
      return true;
    };
  }
  static int Option(const Bytes& message, uint8_t wanted, Bytes& value) {
    for (size_t at = kDhcpOptions; at + 1 < message.size() && message[at] != 255;) {
      if (message[at] == 0) {
        ++at;
        continue;
      }
      const size_t size = message[at + 1];
      if (message[at] == wanted && at + 2 + size <= message.size()) {
        value.assign(message.begin() + static_cast<long>(at) + 2,
                     message.begin() + static_cast<long>(at + 2 + size));
        return static_cast<int>(size);
      }
      at += 2 + size;
    }
    return -1;
  }
  void Answer(const Bytes& request) {
    Bytes type;
    Bytes value;
    ASSERT_EQ(Option(request, 53, type), 1);
    types.push_back(type[0]);
    if (Option(request, 12, value) > 0) {
      host_name.assign(value.begin(), value.end());
    }
    const uint8_t answer = type[0] == 1 ? 2 : type[0] == 3 ? (refuse ? 6 : 5) : 0;
    if (silent || answer == 0) {
      return;
    }
    Bytes reply(kDhcpOptions, 0);
    reply[0] = 2;
    reply[1] = 1;
    reply[2] = 6;
    std::copy_n(request.begin() + 4, 4, reply.begin() + 4);
    std::copy_n(offered.bytes.begin(), 4, reply.begin() + 16);
    std::copy_n(request.begin() + 28, 16, reply.begin() + 28);
    Put32(reply, 236, 0x63825363);
    const auto add = [&](uint8_t code, Bytes data) {
      reply.push_back(code);
      reply.push_back(static_cast<uint8_t>(data.size()));
      reply.insert(reply.end(), data.begin(), data.end());
    };
    add(53, {answer});
    add(54, {10, 0, 0, 250});
    add(51, {0, 0, static_cast<uint8_t>(lease_s >> 8), static_cast<uint8_t>(lease_s)});
    add(1, {255, 255, 255, 0});
    add(3, {10, 0, 0, 254});
    add(6, {10, 0, 0, 53, 10, 0, 0, 54});
    add(42, {10, 0, 0, 123});
    reply.push_back(255);
    hal::MacAddress client;
    std::copy_n(request.begin() + 28, 6, client.begin());
    lab.wire.Send(nullptr, UdpFrame(client, {kServer, 67}, {offered, 68}, reply));
  }
  Lab& lab;
  IpAddress offered = IpAddress::V4(10, 0, 0, 77);
  uint32_t lease_s = 600;
  bool refuse = false;
  bool silent = false;
  std::vector<uint8_t> types;
  std::string host_name;
};

StackConfig DhcpConfig() {
  StackConfig config;
  config.ports[0].ipv4_mode = Ipv4Mode::kDhcp;
  std::strcpy(config.host_name, "gatehouse-7");
  return config;
}

TEST(DhcpTest, TakesAddressRouterAndServersAndRenews) {
  Lab lab;
  Node& a = lab.Add(1);
  DhcpServer server(lab);
  StackConfig config = DhcpConfig();
  config.dns_servers[0] = IpAddress::V4(192, 0, 2, 53);
  config.dns_server_count = 1;
  ASSERT_TRUE(a.stack.Configure(config).ok());
  EXPECT_FALSE(a.stack.addresses_ready());
  ASSERT_TRUE(
      lab.RunUntil([&] { return a.observer.Has("acquired 0 10.0.0.77"); }, Duration::Seconds(10)));
  EXPECT_TRUE(a.stack.addresses_ready());
  EXPECT_LT((lab.clock.now - Instant{1'000'000'000}).ns, Duration::Seconds(3).ns);
  const PortStatus status = a.stack.port_status(0);
  ASSERT_EQ(status.address_count, 1u);
  EXPECT_EQ(status.addresses[0].prefix_length, 24);
  EXPECT_EQ(status.addresses[0].source, AddressSource::kDhcp);
  EXPECT_EQ(status.ipv4_gateway, IpAddress::V4(10, 0, 0, 254));
  EXPECT_EQ(server.host_name, "gatehouse-7");
  std::array<IpAddress, 8> servers;
  ASSERT_EQ(a.stack.DnsServers(servers), 3u);
  EXPECT_EQ(servers[0], IpAddress::V4(192, 0, 2, 53));
  EXPECT_EQ(servers[1], IpAddress::V4(10, 0, 0, 53));
  ASSERT_EQ(a.stack.LearntNtpServers(servers), 1u);
  EXPECT_EQ(servers[0], IpAddress::V4(10, 0, 0, 123));
  EXPECT_TRUE(a.observer.Has("servers"));
  // Renewed at half the lease, and kept for hours.
  const size_t before = server.types.size();
  lab.Run(Duration::Hours(1));
  EXPECT_GE(server.types.size(), before + 5);
  EXPECT_TRUE(a.stack.addresses_ready());
  EXPECT_FALSE(a.observer.Has("lost 0 10.0.0.77"));
}

TEST(DhcpTest, ALeaseThatIsNotRenewedIsGivenUpAndAnotherTaken) {
  Lab lab;
  Node& a = lab.Add(1);
  DhcpServer server(lab);
  ASSERT_TRUE(a.stack.Configure(DhcpConfig()).ok());
  ASSERT_TRUE(lab.RunUntil([&] { return a.stack.addresses_ready(); }, Duration::Seconds(10)));
  server.silent = true;
  ASSERT_TRUE(
      lab.RunUntil([&] { return a.observer.Has("lost 0 10.0.0.77"); }, Duration::Minutes(20)));
  server.silent = false;
  server.offered = IpAddress::V4(10, 0, 0, 78);
  ASSERT_TRUE(
      lab.RunUntil([&] { return a.observer.Has("acquired 0 10.0.0.78"); }, Duration::Minutes(5)));
}

TEST(DhcpTest, ALateServerIsFoundAndStaticEndsIt) {
  Lab lab;
  Node& a = lab.Add(1);
  DhcpServer server(lab);
  server.silent = true;
  ASSERT_TRUE(a.stack.Configure(DhcpConfig()).ok());
  lab.Run(Duration::Minutes(2));
  EXPECT_GE(server.types.size(), 4u);
  EXPECT_FALSE(a.stack.addresses_ready());
  server.silent = false;
  ASSERT_TRUE(lab.RunUntil([&] { return a.stack.addresses_ready(); }, Duration::Minutes(2)));
  lab.Run(Duration::Minutes(6));  // renewed: the server's hardware address is known
  a.ConfigureStatic(9);
  lab.Run(Duration::Seconds(3));
  EXPECT_TRUE(a.observer.Has("lost 0 10.0.0.77"));
  EXPECT_EQ(server.types.back(), 7);  // released
  EXPECT_TRUE(a.observer.Has("acquired 0 10.0.0.9"));
}

TEST(DhcpTest, ForgedAndBrokenRepliesDoNoHarm) {
  Lab lab;
  Node& a = lab.Add(1);
  ASSERT_TRUE(a.stack.Configure(DhcpConfig()).ok());
  SeededEntropy dice(5);
  for (int i = 0; i < 2000; ++i) {
    Bytes reply(dice.Next() % 400, 0);
    dice.Fill(reply);
    if (reply.size() > kDhcpOptions) {
      reply[0] = 2;
      reply[2] = 6;
      Put32(reply, 236, 0x63825363);
    }
    lab.wire.Send(nullptr, UdpFrame(a.port.mac(), {kServer, 67}, {kServer, 68}, reply));
    lab.Run(Duration::Milliseconds(1));
  }
  EXPECT_FALSE(a.stack.addresses_ready());
}

struct Router {
  explicit Router(Lab& owner) : lab(owner) {
    lab.wire.filter = [this](const Bytes& frame) {
      PacketView view;
      if (ParsePacket(frame, view).ok() && view.protocol == kProtocolIcmpv6 &&
          view.icmp_type == 133) {
        ++solicitations;
        if (answers) {
          Advertise();
        }
      }
      return true;
    };
  }
  // Prefix 2001:db8:1::/64 with autoconfiguration, a DNS server, MTU 1400.
  void Advertise(uint8_t hop_limit = 255, uint32_t preferred_s = 1800) {
    Bytes body{64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0};
    Bytes prefix{3, 4, 64, 0xc0};
    prefix.resize(32, 0);
    Put32(prefix, 4, 3600);
    Put32(prefix, 8, preferred_s);
    std::copy_n(IpAddress::Parse("2001:db8:1::")->bytes.begin(), 16, prefix.begin() + 16);
    Bytes mac{1, 1};
    mac.insert(mac.end(), kServerMac.begin(), kServerMac.end());
    Bytes mtu{5, 1, 0, 0, 0, 0, 0x05, 0x78};
    Bytes dns{25, 3, 0, 0, 0, 0, 0x0e, 0x10};
    const auto server = IpAddress::Parse("2001:db8:1::53")->bytes;
    dns.insert(dns.end(), server.begin(), server.end());
    for (const Bytes& option : {prefix, mac, mtu, dns}) {
      body.insert(body.end(), option.begin(), option.end());
    }
    lab.wire.Send(nullptr, IcmpFrame({0x33, 0x33, 0, 0, 0, 1}, *IpAddress::Parse("fe80::fa"),
                                     *IpAddress::Parse("ff02::1"), 134, 0, body, hop_limit));
  }
  Lab& lab;
  bool answers = true;
  uint32_t solicitations = 0;
};

TEST(SlaacTest, FormsAnAddressTakesRouterMtuAndDnsServer) {
  Lab lab;
  Node& a = lab.Add(1);
  Router router(lab);
  StackConfig config;
  config.ports[0].ipv6_mode = Ipv6Mode::kSlaac;
  ASSERT_TRUE(a.stack.Configure(config).ok());
  ASSERT_TRUE(lab.RunUntil([&] { return a.stack.addresses_ready(); }, Duration::Seconds(20)));
  EXPECT_GE(router.solicitations, 1u);
  lab.Run(Duration::Seconds(2));
  EXPECT_TRUE(a.observer.Has("acquired 0 2001:db8:1::ff:fe00:1"));
  EXPECT_TRUE(a.observer.Has("acquired 0 fe80::ff:fe00:1"));
  std::array<IpAddress, 8> servers;
  ASSERT_EQ(a.stack.DnsServers(servers), 1u);
  EXPECT_EQ(servers[0], *IpAddress::Parse("2001:db8:1::53"));
  // Off-link goes to the router that advertised itself.
  EXPECT_EQ(a.stack.SourceFor(*IpAddress::Parse("2001:db8:9::1")),
            *IpAddress::Parse("2001:db8:1::ff:fe00:1"));
  DatagramRecorder client(a.stack);
  IpAddress any;
  any.family = IpFamily::kIpv6;
  const SocketId id = a.stack.datagrams().OpenDatagram({any, 0}, client).value();
  bool through_router = false;
  lab.wire.filter = [&](const Bytes& frame) {
    PacketView view;
    through_router =
        through_router || (ParsePacket(frame, view).ok() && view.destination_port == 9 &&
                           std::memcmp(frame.data(), kServerMac.data(), 6) == 0);
    return true;
  };
  ASSERT_TRUE(a.stack.datagrams()
                  .SendDatagram(id, {*IpAddress::Parse("2001:db8:9::1"), 9}, Pattern(4))
                  .ok());
  lab.Run(Duration::Milliseconds(10));
  EXPECT_TRUE(through_router);
}

TEST(SlaacTest, AdvertisementsFromBeyondTheLinkOrUnwantedAreIgnored) {
  Lab lab;
  Node& a = lab.Add(1);
  Router router(lab);
  router.answers = false;
  StackConfig config;
  config.ports[0].ipv6_mode = Ipv6Mode::kSlaac;
  ASSERT_TRUE(a.stack.Configure(config).ok());
  lab.Run(Duration::Seconds(3));
  router.Advertise(254);
  lab.Run(Duration::Seconds(3));
  EXPECT_FALSE(a.stack.addresses_ready());
  Node& b = lab.Add(2);
  b.ConfigureStatic(2);
  lab.Run(Duration::Seconds(3));
  router.Advertise();
  lab.Run(Duration::Seconds(3));
  EXPECT_TRUE(a.stack.addresses_ready());
  EXPECT_FALSE(b.observer.Has("acquired 0 2001:db8:1::ff:fe00:2"));
}

TEST(SlaacTest, ADuplicateAddressIsNotUsed) {
  Lab lab;
  Node& a = lab.Add(1);
  Node& twin = lab.Add(1);  // the same hardware address makes the same link-local address
  StackConfig config;
  config.ports[0].ipv6_mode = Ipv6Mode::kStatic;
  config.ports[0].ipv6_address = {Node::V6(9), 64};
  ASSERT_TRUE(a.stack.Configure(config).ok());
  lab.Run(Duration::Seconds(3));
  ASSERT_TRUE(twin.stack.Configure(config).ok());
  lab.Run(Duration::Seconds(3));
  EXPECT_TRUE(a.stack.addresses_ready());
  EXPECT_FALSE(twin.stack.addresses_ready());
}

TEST(PathMtuTest, PacketTooBigIsBelievedOnlyWhenItQuotesUs) {
  Lab lab;
  Node& a = lab.Add(1);
  Node& b = lab.Add(2);
  a.ConfigureStatic(1);
  b.ConfigureStatic(2);
  lab.Run(Duration::Seconds(3));
  b.stack.firewall().Allow({Transport::kTcp, 5060, 5060}).ignore("constant");
  IpAddress any;
  any.family = IpFamily::kIpv6;
  StreamRecorder client(a.stack);
  StreamRecorder server(b.stack);
  ASSERT_TRUE(b.stack.streams().Listen({any, 5060}, {}, server).ok());
  const Endpoint to{Node::V6(2), 5060};
  Bytes segment;
  size_t largest = 0;
  lab.wire.filter = [&](const Bytes& frame) {
    PacketView view;
    if (ParsePacket(frame, view).ok() && view.protocol == kProtocolTcp &&
        view.destination_port == 5060) {
      segment = frame;
      largest = std::max(largest, frame.size());
    }
    return true;
  };
  const StreamId id = a.stack.streams().Connect(to, {}, client).value();
  ASSERT_TRUE(lab.RunUntil([&] { return server.open_count == 1; }, Duration::Seconds(5)));
  const auto too_big = [&](uint16_t port_error) {
    Bytes body{0, 0, 0x05, 0x14};  // 1300
    body.insert(body.end(), segment.begin() + 14, segment.begin() + 14 + 60);
    body[4 + 40 + 1] = static_cast<uint8_t>(body[4 + 40 + 1] + port_error);
    lab.wire.Send(nullptr, IcmpFrame(a.port.mac(), to.address, Node::V6(1), 2, 0, body));
    lab.Run(Duration::Milliseconds(5));
  };
  const uint64_t before = a.stack.firewall().drops(DropReason::kIcmp);
  too_big(1);
  EXPECT_EQ(a.stack.firewall().drops(DropReason::kIcmp), before + 1);
  too_big(0);
  EXPECT_EQ(a.stack.firewall().drops(DropReason::kIcmp), before + 1);
  a.stack.streams().AbortStream(id);
  // The next connection to this peer sends no larger segments.
  const StreamId next = a.stack.streams().Connect(to, {}, client).value();
  ASSERT_TRUE(lab.RunUntil([&] { return server.open_count == 2; }, Duration::Seconds(5)));
  largest = 0;
  ASSERT_TRUE(a.stack.streams().SendStream(next, Pattern(20'000)).ok());
  ASSERT_TRUE(lab.RunUntil([&] { return server.received.size() == 20'000; }, Duration::Seconds(5)));
  EXPECT_EQ(largest, 1300u + 14);
}

}  // namespace
}  // namespace gh::net
