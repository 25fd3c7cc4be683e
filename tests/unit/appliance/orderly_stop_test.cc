// The end of a system with as many XMPP users as the large profile has: when each was last here is
// kept, in commits of a bounded size, and a disk that fails holds nobody up.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "firmware/capacity.h"
#include "firmware/messaging/limits.h"
#include "firmware/messaging/xmpp_keeper.h"
#include "tests/unit/appliance/counting_store.h"
#include "tests/unit/xmpp/world.h"

namespace gh {
namespace {

using xmpp::test::World;

struct Ending {
  static constexpr int64_t kLeft = 1'790'000'000;

  // Users are loaded as after a start; each has been here since, and has left.
  explicit Ending(uint32_t user_count) : users(user_count) {
    keeper.SetEngine(world.engine());
    world.AddUser("user00000");
    keeper.Flush();
    const std::string row = store.rows.at("a00000001");
    for (uint32_t id = 2; id <= users; ++id) {
      std::string digits = std::to_string(id);
      digits.insert(0, 5 - digits.size(), '0');
      std::string its = row;
      its.replace(its.find("00000@"), 5, digits);
      GH_ASSERT(world.engine().Load(xmpp::RowKey('a', id), AsBytes(its)).ok());
    }
    xmpp::Directory& directory = world.engine().directory();
    for (uint32_t id = 1; id <= users; ++id) {
      directory.OfId(id)->left = kLeft;
      directory.NoteSeen(*directory.OfId(id));
    }
    store.commits = store.changes_max = 0;
  }

  const uint32_t users;
  CountingStore store;
  std::vector<uint8_t> memory = std::vector<uint8_t>(8u << 20);
  Arena arena{{memory.data(), memory.size()}};
  net::test::FakeClock clock;
  EventLoop loop{clock};
  log::Log log{arena, clock, 64};
  alarm::Alarms alarms{log, clock};
  XmppKeeper keeper{arena, loop, clock, store, log, alarms};
  const xmpp::Capacity capacity = xmpp::Capacity::For(users, 8);
  World world{capacity, capacity.ArenaBytes() + (1 << 20), xmpp::test::kDomain, &keeper};
};

TEST(OrderlyStop, KeepsWhenEachOfTheLargeProfileWasHere) {
  const uint32_t users = Capacity::Large().xmpp.directory.accounts;
  ASSERT_EQ(users, 25'000u);
  Ending system(users);
  const auto begun = std::chrono::steady_clock::now();
  system.world.engine().Stop();
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begun;
  RecordProperty("seconds", std::to_string(taken.count()));
  EXPECT_EQ(system.store.CountOf('d'), users);
  EXPECT_EQ(system.keeper.pending_count(), 0u);
  EXPECT_EQ(system.store.changes_max, kXmppChangeMax);
  EXPECT_EQ(system.store.commits, (users + kXmppChangeMax - 1) / kXmppChangeMax);
}

TEST(OrderlyStop, ADiskThatFailsHoldsNobodyUp) {
  Ending system(3 * kXmppChangeMax);
  system.store.fails = true;
  system.world.engine().Stop();
  EXPECT_LE(system.store.commits, 8u);  // what was gathered, tried once more, and no row after it
  EXPECT_EQ(system.store.changes_max, kXmppChangeMax);
}

}  // namespace
}  // namespace gh
