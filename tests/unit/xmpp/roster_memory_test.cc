// What lists of contacts take.
#include <gtest/gtest.h>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

std::string Item(int number, const std::string& name) {
  return "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='u" +
         std::to_string(number) + "@example.com' name='" + name +
         "'><group>Colleagues</group></item></query></iq>";
}

TEST(RosterMemory, AContactWithNameAndGroupTakesOneBlock) {
  static_assert(sizeof(Contact) + sizeof(uint32_t) + ChainPool::kBlockBytes <= 176);
  World world;
  world.AddUser("alice");
  Client alice(world, 1);
  alice.LogIn("alice", "a");
  const uint32_t before = world.engine().chains().free_count();
  for (int i = 0; i < 50; ++i) {
    EXPECT_NE(alice.Say(Item(i, "Person called " + std::to_string(i))).find("type='result'"),
              std::string::npos);
  }
  EXPECT_EQ(before - world.engine().chains().free_count(), 50u);
  // What is longer takes more, and address and name stay what they were.
  const std::string name(250, 'n');
  alice.Say(Item(7, name));
  EXPECT_EQ(before - world.engine().chains().free_count(), 52u);
  const std::string listed =
      alice.Say("<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>");
  EXPECT_NE(listed.find("jid='u7@example.com' name='" + name + "'"), std::string::npos) << listed;
  EXPECT_NE(listed.find("jid='u8@example.com' name='Person called 8'"), std::string::npos);
  alice.Say(Item(7, "short"));
  EXPECT_EQ(before - world.engine().chains().free_count(), 50u);
}

}  // namespace
}  // namespace gh::xmpp::test
