// A profile holds the sessions it promises, each with its list in use. A hundred thousand of them:
// make bench B=xmpp_capacity.
#include <gtest/gtest.h>

#include "tests/unit/xmpp/crowd.h"

namespace gh::xmpp::test {
namespace {

TEST(XmppCapacity, EverySessionOfAProfileHasItsListInUse) {
  constexpr uint32_t kUsers = 3 * Crowd::kGroup;
  Crowd crowd(Capacity::For(kUsers, kUsers), kUsers);
  ASSERT_TRUE(crowd.BringLists());
  for (uint32_t user = 0; user < kUsers; ++user) {
    ASSERT_TRUE(crowd.LogInNext()) << user;
  }
  EXPECT_EQ(crowd.seen(), uint64_t{kUsers} * Crowd::kGroup);
  Engine& engine = crowd.world().engine();
  EXPECT_EQ(engine.session_count(), kUsers);
  EXPECT_EQ(engine.directory().contact_count(), kUsers * Crowd::kContacts);
  EXPECT_FALSE(engine.OnOpen({kUsers, 1}, net::Endpoint(), true));  // one more
  // Room for what waits, rooms and items is left: nobody is near to being held back.
  EXPECT_GT(engine.chains().free_count(), engine.chains().capacity() / 2);
}

}  // namespace
}  // namespace gh::xmpp::test
