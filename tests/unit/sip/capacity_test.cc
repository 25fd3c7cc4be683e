// What the large profile is to hold, at its edge: 70,000 registrations over UDP (ten contacts a
// user, that is quicker) and 20,000 over TLS, each on a stream of its own, in pools that were
// carved before the first of them came. One more is refused, those there are go on.
#include <gtest/gtest.h>

#include "tests/unit/sip/phone.h"

namespace gh::sip::test {
namespace {

constexpr uint32_t kUdp = 70'000;
constexpr uint32_t kTls = 20'000;
constexpr uint32_t kContacts = 10;

class LargeProfile : public testing::Test {
 protected:
  static Config MakeConfig() {
    Config config = World::DefaultConfig();
    config.AddListener(TransportKind::kTls, At("192.0.2.1:5061"));
    config.contacts_per_user_max = kContacts;
    return config;
  }
  static std::string HostOf(uint32_t i) {
    return "10." + std::to_string(i >> 16) + "." + std::to_string(i >> 8 & 255) + "." +
           std::to_string(i & 255);
  }
  std::string Request(uint32_t i, int cseq, uint32_t contacts) {
    const std::string user = "u" + std::to_string(i);
    std::string text = "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP " + HostOf(i) +
                       ":5060;rport;branch=z9hG4bK" + user + "x" + std::to_string(cseq) +
                       "\r\nMax-Forwards: 70\r\nFrom: <sip:" + user +
                       "@example.com>;tag=f\r\nTo: <sip:" + user +
                       "@example.com>\r\nCall-ID: " + user + "\r\nCSeq: " + std::to_string(cseq) +
                       " REGISTER\r\nContact: ";
    for (uint32_t k = 0; k < contacts; ++k) {
      text += (k == 0 ? "<sip:" : ",<sip:") + user + "@" + HostOf(i) + ":" +
              std::to_string(5060 + k) + ">";
    }
    return text + "\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n";
  }
  int Status() {
    const Sent answer = world.Take();
    world.Clear();
    world.events.clear();
    return answer.text.empty() ? 0 : answer.Status();
  }
  int RegisterByUdp(uint32_t i, int cseq, uint32_t contacts = kContacts) {
    world.Deliver(At(HostOf(i) + ":5060"), Request(i, cseq, contacts));
    return Status();
  }
  int RegisterByTls(uint32_t i, int cseq) {
    if (i >= streams.size()) {
      streams.push_back(world.Accept(At(HostOf(kUdp + i) + ":5060"), At("192.0.2.1:5061"),
                                     net::StreamKind::kTls));
    }
    std::string text = Request(kUdp + i, cseq, 1);
    text.replace(text.find("/UDP"), 4, "/TLS");
    world.Feed(streams[i], text);
    return Status();
  }

  World world{MakeConfig(), Capacity::For(kUdp + kTls, 25'000, 100, 20), size_t{512} << 20};
  std::vector<net::StreamId> streams;
};

TEST_F(LargeProfile, HoldsItsRegistrationsAndRefusesOneMore) {
  const uint64_t pinned = world.arena_used();
  for (uint32_t i = 0; i < kUdp / kContacts; ++i) {
    ASSERT_EQ(RegisterByUdp(i, 1), 200) << i;
  }
  for (uint32_t i = 0; i < kTls; ++i) {
    ASSERT_EQ(RegisterByTls(i, 1), 200) << i;
  }
  EXPECT_EQ(world.engine().registration_count(), kUdp + kTls);
  EXPECT_EQ(world.engine().stream_count(), kTls);
  EXPECT_EQ(RegisterByUdp(kUdp - 1, 1, 1), 503);
  EXPECT_EQ(RegisterByUdp(0, 2), 200);
  EXPECT_EQ(RegisterByUdp(kUdp / kContacts - 1, 2), 200);
  EXPECT_EQ(RegisterByTls(0, 2), 200);
  EXPECT_EQ(RegisterByTls(kTls - 1, 2), 200);
  // A call from one edge of the pools to the other.
  Phone caller(world, "u0", HostOf(0) + ":5060");
  caller.Send(
      {.method = "INVITE", .uri = "sip:u" + std::to_string(kUdp + kTls - 1) + "@example.com"});
  const Sent invite = world.TakeTo(At(HostOf(kUdp + kTls - 1) + ":5060"));
  EXPECT_EQ(invite.Method(), "INVITE");
  EXPECT_TRUE(invite.stream.valid());
  EXPECT_EQ(world.arena_used(), pinned);
}

}  // namespace
}  // namespace gh::sip::test
