// How fast clients' stanzas are taken, and blanks for those who may be gone.
#include <gtest/gtest.h>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

struct Fast {
  Fast() {
    for (uint32_t i = 0; i < 2; ++i) {
      const std::string user = "u" + std::to_string(i);
      world.AddUser(user);
      clients.push_back(std::make_unique<Client>(world, i));
      clients[i]->LogIn(user, "r");
    }
  }
  void Apply(uint32_t rate, int64_t keep_alive) {
    Config config = world.engine().config();
    config.stanza_rate = rate;
    config.keep_alive = Duration::Seconds(keep_alive);
    world.engine().Apply(config);
  }
  static std::string Flood(int count) {
    std::string out;
    for (int i = 0; i < count; ++i) {
      out += "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>";
    }
    return out;
  }

  World world{4, 4};
  std::vector<std::unique_ptr<Client>> clients;
};

TEST(Rate, WhoIsTooFastWaitsByHimself) {
  Fast fast;
  fast.Apply(10, 0);
  std::string flood = Fast::Flood(400);
  const uint64_t before = fast.world.engine().counters().stanzas_in;
  const size_t taken = fast.world.engine().OnData(fast.clients[0]->stream(), AsBytes(flood));
  EXPECT_LT(taken, flood.size());
  // Ten seconds' worth, and what one slice of the parser's holds.
  const uint64_t burst = fast.world.engine().counters().stanzas_in - before;
  EXPECT_GE(burst, 10u * kRateBurstSeconds);
  EXPECT_LT(burst, 10u * kRateBurstSeconds + kParserSlice / 50);
  EXPECT_EQ(fast.world.engine().counters().too_fast, 1u);
  EXPECT_EQ(fast.world.engine().counters().held_back, 0u);
  EXPECT_EQ(fast.clients[1]->Say(Fast::Flood(1)).find("type='result'") != std::string::npos, true);
  // He is heard again, and loses nothing.
  flood = flood.substr(taken);
  uint64_t turns = 0;
  while (!flood.empty() && ++turns < 1000) {
    fast.world.Turn(Duration::Milliseconds(500));
    const size_t more = fast.world.engine().OnData(fast.clients[0]->stream(), AsBytes(flood));
    flood = flood.substr(more);
  }
  EXPECT_TRUE(flood.empty());
  EXPECT_GE(turns, 40u);
  EXPECT_FALSE(fast.world.resumed.empty());
  EXPECT_EQ(fast.world.engine().reader_count(), 0u);
}

TEST(Rate, NoneWhereNoneIsSet) {
  Fast fast;
  fast.Apply(0, 0);
  const std::string flood = Fast::Flood(2000);
  EXPECT_EQ(fast.world.engine().OnData(fast.clients[0]->stream(), AsBytes(flood)), flood.size());
}

TEST(KeepAlive, BlanksForThoseWhoHearNothing) {
  Fast fast;
  fast.Apply(0, 60);
  (void)fast.clients[0]->Take();
  (void)fast.clients[1]->Take();
  fast.world.Turn(Duration::Seconds(59));
  EXPECT_EQ(fast.clients[0]->Take(), "");
  (void)fast.clients[1]->Say(Fast::Flood(1));
  fast.world.Turn(Duration::Seconds(16));
  EXPECT_EQ(fast.clients[0]->Take(), " ");
  EXPECT_EQ(fast.clients[1]->Take(), "");  // he was just answered
  fast.Apply(0, 0);
  fast.world.Turn(Duration::Seconds(600));
  EXPECT_EQ(fast.clients[0]->Take(), "");
}

}  // namespace
}  // namespace gh::xmpp::test
