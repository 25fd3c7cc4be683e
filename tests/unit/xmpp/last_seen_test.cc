// When users were last here (XEP-0012), after a restart too.
#include <gtest/gtest.h>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

constexpr const char* kAsk =
    "<iq type='get' id='l' to='bob@example.com'><query xmlns='jabber:iq:last'/></iq>";

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

size_t Rows(const std::map<std::string, std::string>& rows) {
  size_t count = 0;
  for (const auto& [key, value] : rows) {
    count += key[0] == 'd' && !value.empty() ? 1 : 0;
  }
  return count;
}

// Bob shows himself to alice.
struct LastSeen : testing::Test {
  LastSeen() {
    for (const char* name : {"alice", "bob"}) {
      world.AddUser(name);
    }
    Directory& directory = world.engine().directory();
    Account& owner = *directory.Find("bob@example.com");
    Contact* contact = directory.AddContact(owner, "alice@example.com");
    contact->state = kFrom;
    directory.KeepContact(owner, *contact, true);
    alice.LogIn("alice", "a");
    bob.LogIn("bob", "b");
    Wait();
  }
  void Wait() {
    world.Turn(Duration::Seconds(kSeenSeconds));
    world.Commit();
  }
  // What alice hears of bob where the disk is as it is now.
  std::string AfterRestart(int64_t unix_seconds) {
    World after;
    after.unix_seconds = unix_seconds;
    for (const auto& [key, value] : world.disk) {
      EXPECT_TRUE(after.engine().Load(key, AsBytes(value)).ok()) << key;
    }
    Client again(after, 1);
    again.LogIn("alice", "a");
    return again.Say(kAsk);
  }
  World world;
  Client alice{world, 1}, bob{world, 2};
};

TEST_F(LastSeen, SurvivesARestart) {
  const int64_t left = world.unix_seconds += 1000;
  bob.Break();
  EXPECT_EQ(Rows(world.pending), 0u);  // nobody waits for it
  EXPECT_TRUE(Has(AfterRestart(left + 5), "<service-unavailable"));
  Wait();
  EXPECT_EQ(Rows(world.disk), 1u);
  EXPECT_TRUE(Has(AfterRestart(left + 90), "seconds='90'"));
  // He is back: a row that says otherwise goes, and a power cut leaves no old time behind.
  Client again(world, 3);
  again.LogIn("bob", "b");
  Wait();
  EXPECT_EQ(Rows(world.disk), 0u);
  EXPECT_TRUE(Has(AfterRestart(left + 900), "<service-unavailable"));
  // Who comes and goes in between costs a row, or none.
  again.Break();
  Client third(world, 4);
  third.LogIn("bob", "b");
  world.Turn(Duration::Seconds(kSeenSeconds));
  EXPECT_EQ(world.pending.size(), 0u);
}

TEST_F(LastSeen, AnOrderlyStopKeepsAll) {
  const int64_t left = world.unix_seconds += 1000;
  world.engine().Stop();
  EXPECT_EQ(Rows(world.disk), 2u);
  EXPECT_TRUE(Has(AfterRestart(left + 7), "seconds='7'"));
}

TEST_F(LastSeen, IsNotKnownWhereTheClockIsNotSet) {
  const int64_t set = world.unix_seconds;
  // It is set back, or not set yet after a restart.
  bob.Break();
  Wait();
  EXPECT_TRUE(Has(AfterRestart(set - 1), "<service-unavailable"));
  EXPECT_TRUE(Has(AfterRestart(100), "<service-unavailable"));
  // Not set when he left: it may be told until it is set, and is not kept.
  Client again(world, 3);
  again.LogIn("bob", "b");
  world.unix_seconds = 100;
  again.Break();
  world.unix_seconds = 130;
  EXPECT_TRUE(Has(alice.Say(kAsk), "seconds='30'"));
  world.unix_seconds = kTimeIsSet;
  EXPECT_TRUE(Has(alice.Say(kAsk), "<service-unavailable"));
  Wait();
  EXPECT_EQ(Rows(world.disk), 0u);
}

TEST_F(LastSeen, GoesWithTheAccount) {
  bob.Break();
  Wait();
  EXPECT_TRUE(world.engine().RemoveUser("bob@example.com").ok());
  world.Commit();
  EXPECT_EQ(Rows(world.disk), 0u);
  Account* next = world.AddUser("bob");
  EXPECT_EQ(next->left, 0);
  for (const std::string bad : {"", "\x01", "\x01zzzz", "\x02zzzzzzzz"}) {
    EXPECT_FALSE(world.engine().Load("d00000001", AsBytes(bad)).ok());
  }
}

TEST_F(LastSeen, WaitsWhileNothingIsKept) {
  bob.Break();
  world.keeper_full = true;
  Wait();
  EXPECT_EQ(Rows(world.disk), 0u);
  world.keeper_full = false;
  world.Turn(Duration::Seconds(1));
  world.Commit();
  EXPECT_EQ(Rows(world.disk), 1u);
}

// A storm of log-outs is written some at a time.
TEST(ManySeen, ComeInShares) {
  Capacity capacity = Capacity::For(4, 8);
  capacity.directory.accounts = kSeenWalkMax + 2;
  World world(capacity, capacity.ArenaBytes() + (1 << 20));
  Directory& directory = world.engine().directory();
  const Verifier verifier;
  std::vector<Account*> all;
  for (uint32_t i = 0; i < kSeenWalkMax + 2; ++i) {
    all.push_back(*directory.Add("u" + std::to_string(i) + "@example.com", verifier));
    all.back()->left = world.unix_seconds;
  }
  world.Commit();
  for (uint32_t i = 0; i <= kSeenRowsMax; ++i) {
    directory.NoteSeen(*all[i]);
  }
  EXPECT_FALSE(directory.KeepSeen(kSeenWalkMax, kSeenRowsMax));
  EXPECT_EQ(Rows(world.pending), kSeenRowsMax);
  EXPECT_TRUE(directory.KeepSeen(kSeenWalkMax, kSeenRowsMax));
  EXPECT_EQ(Rows(world.pending), kSeenRowsMax + 1);
  // The one before the next to be looked at: a whole turn away.
  directory.NoteSeen(*all[kSeenRowsMax]);
  EXPECT_FALSE(directory.KeepSeen(kSeenWalkMax, kSeenRowsMax));
  EXPECT_TRUE(directory.KeepSeen(kSeenWalkMax, kSeenRowsMax));
}

}  // namespace
}  // namespace gh::xmpp::test
