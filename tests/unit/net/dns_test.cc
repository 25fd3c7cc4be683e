// DNS messages and the resolver against a scripted server.
#include <gtest/gtest.h>

#include "net/dns_message.h"
#include "net/dns_resolver.h"
#include "tests/unit/net/fake_wire.h"

namespace gh::net {
namespace {

using test::Bytes;
using test::Lab;
using test::Node;

// Writes answers; names are written out in full unless `pointer` is used.
struct Message {
  explicit Message(std::span<const uint8_t> query, uint16_t flags = 0x8180) {
    // Header and question as they came, without the OPT record.
    size_t end = 12;
    while (query[end] != 0) {
      end += query[end] + size_t{1};
    }
    end += 5;
    bytes.assign(query.begin(), query.begin() + static_cast<long>(end));
    bytes[2] = static_cast<uint8_t>(flags >> 8);
    bytes[3] = static_cast<uint8_t>(flags);
    bytes[10] = bytes[11] = 0;
  }
  static Bytes Name(std::string_view name) {
    Bytes out;
    while (!name.empty()) {
      const size_t dot = std::min(name.find('.'), name.size());
      out.push_back(static_cast<uint8_t>(dot));
      out.insert(out.end(), name.begin(), name.begin() + static_cast<long>(dot));
      name.remove_prefix(std::min(dot + 1, name.size()));
    }
    out.push_back(0);
    return out;
  }
  Message& Add(const Bytes& owner, uint16_t type, uint32_t ttl, const Bytes& data,
               bool authority = false) {
    bytes.insert(bytes.end(), owner.begin(), owner.end());
    for (uint32_t v :
         {uint32_t{type}, 1u, ttl >> 16, ttl & 0xffff, static_cast<uint32_t>(data.size())}) {
      bytes.push_back(static_cast<uint8_t>(v >> 8));
      bytes.push_back(static_cast<uint8_t>(v));
    }
    bytes.insert(bytes.end(), data.begin(), data.end());
    ++bytes[authority ? 9 : 7];
    return *this;
  }
  Bytes bytes;
};

const Bytes kPointerToQuestion{0xc0, 12};
constexpr std::array<uint8_t, 32> kNoCase = {};

Bytes Query(std::string_view name, DnsType type, uint16_t id = 0x1234,
            const std::array<uint8_t, 32>& bits = kNoCase) {
  Bytes out(kDnsQuerySizeMax);
  out.resize(BuildDnsQuery(out, id, name, type, bits, true));
  return out;
}

struct Parsed {
  Result<void> result = Ok();
  DnsAnswer answer;
};
std::unique_ptr<Parsed> Parse(const Bytes& message, const Bytes& query, DnsType type) {
  auto parsed = std::make_unique<Parsed>();
  parsed->result = ParseDnsResponse(message, query, type, parsed->answer);
  return parsed;
}

TEST(DnsNameTest, NormalizesAndRefuses) {
  DnsName name;
  ASSERT_TRUE(NormalizeDnsName("WwW.Example.COM.", name).ok());
  EXPECT_EQ(name.view(), "www.example.com");
  const std::string label63(63, 'a');
  EXPECT_TRUE(NormalizeDnsName(label63 + ".x", name).ok());
  const std::string longest = label63 + "." + label63 + "." + label63 + "." + std::string(61, 'b');
  EXPECT_EQ(longest.size(), 253u);
  EXPECT_TRUE(NormalizeDnsName(longest, name).ok());
  Bytes out(kDnsQuerySizeMax);
  EXPECT_NE(BuildDnsQuery(out, 1, name.view(), DnsType::kA, kNoCase, true), 0u);
  for (const std::string& bad :
       {std::string(), std::string("."), std::string("a..b"), std::string(".a"), label63 + "a",
        longest + "c", std::string("a b"), std::string("a\0b", 3), std::string("\xc3\xa4")}) {
    EXPECT_FALSE(NormalizeDnsName(bad, name).ok()) << bad;
  }
}

TEST(DnsMessageTest, ReadsAddressesServicesAndNaptr) {
  const Bytes q = Query("sip.example.com", DnsType::kA);
  Message m(q);
  m.Add(kPointerToQuestion, 1, 300, {192, 0, 2, 1}).Add(kPointerToQuestion, 1, 60, {192, 0, 2, 2});
  auto p = Parse(m.bytes, q, DnsType::kA);
  ASSERT_TRUE(p->result.ok());
  ASSERT_EQ(p->answer.record_count, 2u);
  EXPECT_EQ(p->answer.records[1].address, IpAddress::V4(192, 0, 2, 2));
  EXPECT_EQ(p->answer.ttl_s, 60u);

  const Bytes sq = Query("_sip._udp.example.com", DnsType::kSrv);
  Message s(sq);
  Bytes data{0, 10, 0, 20, 0x13, 0xc4, 3, 's', 'i', 'p', 0xc0, 12 + 10};
  s.Add(kPointerToQuestion, 33, 100, data);
  p = Parse(s.bytes, sq, DnsType::kSrv);
  ASSERT_EQ(p->answer.record_count, 1u);
  EXPECT_EQ(p->answer.records[0].priority, 10);
  EXPECT_EQ(p->answer.records[0].weight, 20);
  EXPECT_EQ(p->answer.records[0].port, 5060);
  EXPECT_EQ(p->answer.records[0].target, "sip.example.com");

  const Bytes nq = Query("example.com", DnsType::kNaptr);
  Message n(nq);
  Bytes naptr{0, 1, 0, 2, 1, 's', 7, 'S', 'I', 'P', '+', 'D', '2', 'U', 0};
  const Bytes replacement = Message::Name("_sip._udp.example.com");
  naptr.insert(naptr.end(), replacement.begin(), replacement.end());
  n.Add(kPointerToQuestion, 35, 100, naptr);
  p = Parse(n.bytes, nq, DnsType::kNaptr);
  ASSERT_EQ(p->answer.record_count, 1u);
  EXPECT_EQ(p->answer.records[0].flags, "s");
  EXPECT_EQ(p->answer.records[0].service, "SIP+D2U");
  EXPECT_EQ(p->answer.records[0].target, "_sip._udp.example.com");
}

TEST(DnsMessageTest, FollowsChainsInAnyOrderButNotRoundInCircles) {
  const Bytes q = Query("a.example", DnsType::kA);
  Message m(q);
  m.Add(Message::Name("c.example"), 1, 500, {192, 0, 2, 3})
      .Add(Message::Name("b.example"), 5, 400, Message::Name("c.example"))
      .Add(kPointerToQuestion, 5, 300, Message::Name("B.Example"))
      .Add(Message::Name("other.example"), 1, 1, {6, 6, 6, 6});
  auto p = Parse(m.bytes, q, DnsType::kA);
  ASSERT_EQ(p->answer.record_count, 1u);
  EXPECT_EQ(p->answer.records[0].address, IpAddress::V4(192, 0, 2, 3));
  EXPECT_EQ(p->answer.ttl_s, 300u);
  Message circle(q);
  circle.Add(kPointerToQuestion, 5, 9, Message::Name("b.example"))
      .Add(Message::Name("b.example"), 5, 9, Message::Name("a.example"));
  p = Parse(circle.bytes, q, DnsType::kA);
  EXPECT_TRUE(p->result.ok());
  EXPECT_EQ(p->answer.record_count, 0u);
  Message open(q);
  open.Add(kPointerToQuestion, 5, 9, Message::Name("away.example"));
  p = Parse(open.bytes, q, DnsType::kA);
  EXPECT_TRUE(p->answer.chain_open);
  EXPECT_EQ(p->answer.chain_end.view(), "away.example");
}

TEST(DnsMessageTest, OnlyTheAnswerToTheQuestionIsBelieved) {
  std::array<uint8_t, 32> bits;
  bits.fill(0x55);
  const Bytes q = Query("www.example.com", DnsType::kA, 7, bits);
  EXPECT_NE(q, Query("www.example.com", DnsType::kA, 7));
  Message good(q);
  good.Add(kPointerToQuestion, 1, 60, {1, 2, 3, 4});
  EXPECT_TRUE(Parse(good.bytes, q, DnsType::kA)->result.ok());
  Bytes wrong = good.bytes;
  wrong[1] ^= 1;
  EXPECT_EQ(Parse(wrong, q, DnsType::kA)->result.code(), ErrorCode::kUnauthentic);
  wrong = good.bytes;
  wrong[13] ^= 0x20;  // the case of a letter
  EXPECT_EQ(Parse(wrong, q, DnsType::kA)->result.code(), ErrorCode::kUnauthentic);
  wrong = good.bytes;
  wrong[2] &= 0x7f;
  EXPECT_EQ(Parse(wrong, q, DnsType::kA)->result.code(), ErrorCode::kUnauthentic);
  wrong = good.bytes;
  wrong[5] = 2;
  EXPECT_EQ(Parse(wrong, q, DnsType::kA)->result.code(), ErrorCode::kUnauthentic);
}

TEST(DnsMessageTest, EveryCutAndEveryLoopIsRefused) {
  const Bytes q = Query("www.example.com", DnsType::kA);
  Message m(q);
  m.Add(kPointerToQuestion, 1, 60, {1, 2, 3, 4});
  for (size_t size = 0; size < m.bytes.size(); ++size) {
    const Bytes cut(m.bytes.begin(), m.bytes.begin() + static_cast<long>(size));
    EXPECT_FALSE(Parse(cut, q, DnsType::kA)->result.ok()) << size;
  }
  Message self(q);
  const auto at = static_cast<uint8_t>(self.bytes.size());
  self.Add({0xc0, at}, 1, 60, {1, 2, 3, 4});  // a pointer to itself
  EXPECT_EQ(Parse(self.bytes, q, DnsType::kA)->result.code(), ErrorCode::kMalformed);
  Message forward(q);
  forward.Add({0xc0, static_cast<uint8_t>(at + 2)}, 1, 60, {1, 2, 3, 4});
  EXPECT_EQ(Parse(forward.bytes, q, DnsType::kA)->result.code(), ErrorCode::kMalformed);
  Message wrong_size(q);
  wrong_size.Add(kPointerToQuestion, 1, 60, {1, 2, 3});
  EXPECT_EQ(Parse(wrong_size.bytes, q, DnsType::kA)->answer.record_count, 0u);
  Message many(q);
  for (uint32_t i = 0; i < kDnsRecordMax + 5; ++i) {
    many.Add(kPointerToQuestion, 1, 60, {1, 2, 3, static_cast<uint8_t>(i)});
  }
  EXPECT_EQ(Parse(many.bytes, q, DnsType::kA)->answer.record_count, kDnsRecordMax);
}

TEST(DnsMessageTest, NegativeAnswersLastAsTheSoaSays) {
  const Bytes q = Query("no.example.com", DnsType::kA);
  Message m(q, 0x8183);
  Bytes soa = Message::Name("ns.example.com");
  const Bytes rest = Message::Name("root.example.com");
  soa.insert(soa.end(), rest.begin(), rest.end());
  soa.resize(soa.size() + 16, 0);
  soa.insert(soa.end(), {0, 0, 0, 90});
  m.Add(Message::Name("example.com"), 6, 600, soa, true);
  auto p = Parse(m.bytes, q, DnsType::kA);
  ASSERT_TRUE(p->result.ok());
  EXPECT_EQ(p->answer.code, DnsCode::kNameError);
  EXPECT_EQ(p->answer.negative_ttl_s, 90u);
}

// --- Resolver ------------------------------------------------------------------------------------

// A DNS server on UDP and TCP whose behaviour is a function.
struct Server final : DatagramHandler, StreamHandler {
  Server(Stack& on, std::function<Bytes(std::span<const uint8_t>, bool)> answers)
      : stack(on), reply(std::move(answers)) {
    stack.firewall().Allow({Transport::kUdp, 53, 53}).ignore("constant");
    stack.firewall().Allow({Transport::kTcp, 53, 53}).ignore("constant");
    const Endpoint any{IpAddress::V4(0, 0, 0, 0), 53};
    socket = stack.datagrams().OpenDatagram(any, *this).value();
    EXPECT_TRUE(stack.streams().Listen(any, {}, *this).ok());
  }
  void OnDatagram(const DatagramInfo& info, std::span<uint8_t> data) override {
    ports.push_back(info.remote.port);
    ++udp_count;
    const Bytes answer = reply(data, false);
    if (!answer.empty()) {
      stack.datagrams().SendDatagram(socket, info.remote, answer).ignore("test");
    }
  }
  bool OnStreamOpen(StreamId, const StreamInfo&) override { return true; }
  size_t OnStreamData(StreamId id, std::span<uint8_t> data) override {
    ++tcp_count;
    Bytes answer = reply(data.subspan(2), true);
    Bytes framed{static_cast<uint8_t>(answer.size() >> 8), static_cast<uint8_t>(answer.size())};
    framed.insert(framed.end(), answer.begin(), answer.end());
    // In two parts, to be put together.
    stack.streams().SendStream(id, std::span(framed).first(1)).ignore("test");
    stack.streams().SendStream(id, std::span(framed).subspan(1)).ignore("test");
    return data.size();
  }
  void OnStreamWritable(StreamId) override {}
  void OnStreamClosed(StreamId, StreamClose) override {}

  Stack& stack;
  std::function<Bytes(std::span<const uint8_t>, bool)> reply;
  SocketId socket;
  uint32_t udp_count = 0;
  uint32_t tcp_count = 0;
  std::vector<uint16_t> ports;
};

struct Asked {
  Asked() {
    query.context = this;
    query.done = [](DnsQuery& q, Result<std::span<const DnsRecord>> records) {
      auto& self = *static_cast<Asked*>(q.context);
      ++self.done_count;
      self.code = records.code();
      self.addresses.clear();
      if (records.ok()) {
        for (const DnsRecord& r : *records) {
          self.addresses.push_back(r.address);
          self.targets.emplace_back(r.target);
          self.ttl_s = r.ttl_s;
        }
      }
    };
  }
  DnsQuery query;
  uint32_t done_count = 0;
  ErrorCode code = ErrorCode::kOk;
  std::vector<IpAddress> addresses;
  std::vector<std::string> targets;
  uint32_t ttl_s = 0;
};

struct DnsLab : Lab {
  DnsLab() : a(Add(1)), b(Add(2)), c(Add(3)) {
    a.ConfigureStatic(1);
    b.ConfigureStatic(2);
    c.ConfigureStatic(3);
    StackConfig config = a.stack.config();
    config.dns_servers = {IpAddress::V4(10, 0, 0, 2), IpAddress::V4(10, 0, 0, 3)};
    config.dns_server_count = 2;
    GH_ASSERT(a.stack.Configure(config).ok());
    Run(Duration::Seconds(3));
  }
  DnsResolver& resolver() { return a.stack.resolver(); }
  void Ask(Asked& asked, std::string_view name, DnsType type = DnsType::kA,
           Duration at_most = Duration::Seconds(30)) {
    const uint32_t before = asked.done_count;
    ASSERT_TRUE(resolver().Resolve(name, type, asked.query).ok());
    EXPECT_EQ(asked.done_count, before) << "done() ran within Resolve";
    RunUntil([&] { return asked.done_count > before; }, at_most);
  }
  static Bytes Address(std::span<const uint8_t> q, uint8_t last, uint32_t ttl = 60) {
    return Message(q).Add(kPointerToQuestion, 1, ttl, {192, 0, 2, last}).bytes;
  }
  Node& a;
  Node& b;
  Node& c;
};

TEST(DnsResolverTest, AsksOncePerTtlFromUnpredictablePorts) {
  DnsLab lab;
  uint8_t last = 1;
  Server server(lab.b.stack, [&](auto q, bool) { return DnsLab::Address(q, last++); });
  Asked asked;
  lab.Ask(asked, "Phone.Example.COM");
  ASSERT_EQ(asked.addresses, std::vector<IpAddress>{IpAddress::V4(192, 0, 2, 1)});
  lab.Run(Duration::Seconds(20));
  lab.Ask(asked, "phone.example.com.");
  EXPECT_EQ(asked.addresses, std::vector<IpAddress>{IpAddress::V4(192, 0, 2, 1)});
  EXPECT_LE(asked.ttl_s, 40u);
  EXPECT_EQ(server.udp_count, 1u);
  lab.Run(Duration::Seconds(41));
  lab.Ask(asked, "phone.example.com");
  EXPECT_EQ(server.udp_count, 2u);
  for (int i = 0; i < 10; ++i) {
    lab.Ask(asked, "n" + std::to_string(i) + ".example.com");
  }
  std::sort(server.ports.begin(), server.ports.end());
  EXPECT_EQ(std::unique(server.ports.begin(), server.ports.end()), server.ports.end());
}

TEST(DnsResolverTest, ADomainsServerIsAskedForItsNamesAndNobodyElse) {
  DnsLab lab;
  Server everybody(lab.b.stack, [&](auto q, bool) { return DnsLab::Address(q, 1); });
  Server inside(lab.c.stack, [&](auto q, bool) { return DnsLab::Address(q, 2); });
  StackConfig config = lab.a.stack.config();
  config.dns_server_count = 1;
  ASSERT_TRUE(lab.a.stack.Configure(config).ok());
  ASSERT_TRUE(lab.resolver().AddDomainServer("Corp.example", IpAddress::V4(10, 0, 0, 3)).ok());
  lab.Run(Duration::Seconds(1));
  Asked asked;
  const auto last = [&](std::string_view name) {
    lab.Ask(asked, name);
    return asked.addresses.empty() ? 0 : asked.addresses[0].bytes[3];
  };
  EXPECT_EQ(last("phone.corp.example"), 2);
  EXPECT_EQ(last("corp.example"), 2);
  EXPECT_EQ(last("xcorp.example"), 1);
  EXPECT_EQ(last("www.example"), 1);
  // A longer domain decides, and a domain's silence is not made up for by others.
  ASSERT_TRUE(lab.resolver().AddDomainServer("lab.corp.example", IpAddress::V4(10, 0, 0, 9)).ok());
  const uint32_t before = everybody.udp_count + inside.udp_count;
  EXPECT_EQ(last("x.lab.corp.example"), 0);
  EXPECT_EQ(everybody.udp_count + inside.udp_count, before);
  lab.resolver().ClearDomainServers();
  EXPECT_EQ(last("other.corp.example"), 1);
  EXPECT_FALSE(lab.resolver().AddDomainServer("", IpAddress::V4(10, 0, 0, 9)).ok());
  for (uint32_t i = 0; i < DnsResolver::kDomainServerMax; ++i) {
    EXPECT_TRUE(lab.resolver().AddDomainServer("a.b", IpAddress::V4(10, 0, 0, 9)).ok());
  }
  EXPECT_EQ(lab.resolver().AddDomainServer("a.b", IpAddress::V4(10, 0, 0, 9)).code(),
            ErrorCode::kExhausted);
}

TEST(DnsResolverTest, TheSameQuestionGoesOutOnceAndACancelledOneStaysSilent) {
  DnsLab lab;
  Server server(lab.b.stack, [&](auto q, bool) { return DnsLab::Address(q, 9); });
  std::array<Asked, 5> asked;
  for (Asked& one : asked) {
    ASSERT_TRUE(lab.resolver().Resolve("x.example", DnsType::kA, one.query).ok());
  }
  lab.resolver().Cancel(asked[0].query);
  lab.Run(Duration::Seconds(1));
  EXPECT_EQ(server.udp_count, 1u);
  EXPECT_EQ(asked[0].done_count, 0u);
  for (size_t i = 1; i < asked.size(); ++i) {
    EXPECT_EQ(asked[i].done_count, 1u);
    EXPECT_EQ(asked[i].addresses.size(), 1u);
  }
}

TEST(DnsResolverTest, FailsOverAndAvoidsTheSilentServer) {
  DnsLab lab;
  Server dead(lab.b.stack, [&](auto, bool) { return Bytes(); });
  Server live(lab.c.stack, [&](auto q, bool) { return DnsLab::Address(q, 3); });
  Asked asked;
  lab.Ask(asked, "one.example");
  EXPECT_EQ(asked.addresses.size(), 1u);
  const Instant before = lab.clock.now;
  lab.Ask(asked, "two.example");
  EXPECT_EQ(asked.addresses.size(), 1u);
  EXPECT_LT((lab.clock.now - before).ns, Duration::Milliseconds(100).ns);
  EXPECT_EQ(dead.udp_count, 1u);
  // Both silent: an error, in bounded time.
  live.reply = [&](auto, bool) { return Bytes(); };
  lab.Ask(asked, "three.example");
  EXPECT_EQ(asked.code, ErrorCode::kTimeout);
  EXPECT_LT((lab.clock.now - before).ns, Duration::Seconds(15).ns);
}

TEST(DnsResolverTest, ServerFailureGoesToTheNextAndFormatErrorDropsEdns) {
  DnsLab lab;
  Server bad(lab.b.stack, [&](auto q, bool) { return Message(q, 0x8182).bytes; });
  Server old(lab.c.stack, [&](auto q, bool) {
    return q[11] != 0 ? Message(q, 0x8181).bytes : DnsLab::Address(q, 4);
  });
  Asked asked;
  lab.Ask(asked, "one.example");
  EXPECT_EQ(asked.addresses, std::vector<IpAddress>{IpAddress::V4(192, 0, 2, 4)});
  EXPECT_EQ(old.udp_count, 2u);
}

TEST(DnsResolverTest, TruncatedAnswersComeOverTcp) {
  DnsLab lab;
  Server server(lab.b.stack, [&](std::span<const uint8_t> q, bool tcp) {
    if (!tcp) {
      return Message(q, 0x8380).bytes;
    }
    Message m(q);
    for (uint8_t i = 0; i < 16; ++i) {
      m.Add(kPointerToQuestion, 1, 60, {192, 0, 2, i});
    }
    return m.bytes;
  });
  Asked asked;
  lab.Ask(asked, "big.example");
  EXPECT_EQ(asked.addresses.size(), 16u);
  EXPECT_EQ(server.tcp_count, 1u);
  lab.Run(Duration::Seconds(60));
  EXPECT_EQ(lab.a.stack.status().connection_count, 0u);
}

TEST(DnsResolverTest, ChainsAcrossAnswersAreAskedOn) {
  DnsLab lab;
  Server server(lab.b.stack, [&](std::span<const uint8_t> q, bool) {
    if (q[13] == 'a' || q[13] == 'A') {
      return Message(q).Add(kPointerToQuestion, 5, 30, Message::Name("b.example")).bytes;
    }
    return DnsLab::Address(q, 8, 600);
  });
  Asked asked;
  lab.Ask(asked, "a.example");
  EXPECT_EQ(asked.addresses, std::vector<IpAddress>{IpAddress::V4(192, 0, 2, 8)});
  lab.Run(Duration::Seconds(31));
  lab.Ask(asked, "a.example");
  EXPECT_EQ(server.udp_count, 4u);  // the alias held for 30 s only
}

TEST(DnsResolverTest, ForgeriesAreIgnoredAndTheTrueAnswerStillCounts) {
  DnsLab lab;
  Server server(lab.b.stack, [&](auto q, bool) { return DnsLab::Address(q, 1); });
  Asked asked;
  server.reply = [&](std::span<const uint8_t> q, bool) {
    Bytes forged = DnsLab::Address(q, 66);
    forged[0] ^= 0x55;
    return forged;
  };
  lab.Ask(asked, "x.example");
  EXPECT_NE(asked.code, ErrorCode::kOk);
  EXPECT_GE(lab.resolver().status().rejected_count, 2u);
}

TEST(DnsResolverTest, NegativeAnswersAreRememberedLiteralsAndHostsNeedNoServer) {
  DnsLab lab;
  Server server(lab.b.stack, [&](auto q, bool) { return Message(q, 0x8183).bytes; });
  Asked asked;
  lab.Ask(asked, "no.example");
  EXPECT_EQ(asked.code, ErrorCode::kNotFound);
  lab.Ask(asked, "no.example");
  EXPECT_EQ(asked.code, ErrorCode::kNotFound);
  EXPECT_EQ(server.udp_count, 1u);
  lab.Ask(asked, "192.0.2.77");
  EXPECT_EQ(asked.addresses, std::vector<IpAddress>{IpAddress::V4(192, 0, 2, 77)});
  ASSERT_TRUE(lab.resolver().AddStaticHost("Gate.Local", *IpAddress::Parse("fd00::7")).ok());
  lab.Ask(asked, "gate.local", DnsType::kAaaa);
  EXPECT_EQ(asked.addresses, std::vector<IpAddress>{*IpAddress::Parse("fd00::7")});
  lab.Ask(asked, "gate.local", DnsType::kA);
  EXPECT_EQ(asked.code, ErrorCode::kNotFound);
  EXPECT_EQ(server.udp_count, 1u);
  EXPECT_EQ(lab.resolver().Resolve("bad..name", DnsType::kA, asked.query).code(),
            ErrorCode::kMalformed);
}

TEST(DnsResolverTest, CacheAndPendingQuestionsAreBounded) {
  DnsLab lab;
  Server server(lab.b.stack, [&](auto q, bool) { return DnsLab::Address(q, 1, 86400); });
  Asked asked;
  for (uint32_t i = 0; i < Capacity().dns_cache_count + 20; ++i) {
    lab.Ask(asked, "n" + std::to_string(i) + ".example");
    ASSERT_EQ(asked.code, ErrorCode::kOk);
  }
  EXPECT_EQ(lab.resolver().status().cache_count, Capacity().dns_cache_count);
  const uint32_t sent = server.udp_count;
  lab.Ask(asked, "n0.example");  // the least recently used went
  EXPECT_EQ(server.udp_count, sent + 1);
  std::vector<std::unique_ptr<Asked>> many;
  for (uint32_t i = 0; i < Capacity().dns_query_count; ++i) {
    many.push_back(std::make_unique<Asked>());
    ASSERT_TRUE(lab.resolver()
                    .Resolve("m" + std::to_string(i) + ".example", DnsType::kA, many.back()->query)
                    .ok());
  }
  EXPECT_EQ(lab.resolver().Resolve("one.more", DnsType::kA, asked.query).code(),
            ErrorCode::kExhausted);
  lab.Run(Duration::Seconds(20));
  for (const auto& one : many) {
    EXPECT_EQ(one->done_count, 1u);
    EXPECT_EQ(one->code, ErrorCode::kOk);
  }
  EXPECT_EQ(lab.resolver().status().pending_count, 0u);
}

}  // namespace
}  // namespace gh::net
