// The record of messages, and what clients are asked to observe.
#include <gtest/gtest.h>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

class Book final : public Recorder {
 public:
  bool Record(std::span<const uint8_t> stanza) override {
    lines.emplace_back(AsText(stanza));
    return takes;
  }
  std::vector<std::string> lines;
  bool takes = true;
};

struct ServicesTest : testing::Test {
  ServicesTest() {
    world.AddUser("alice");
    world.AddUser("bob");
    alice.LogIn("alice", "a");
    bob.LogIn("bob", "b");
    alice.Say("<presence/>");
    bob.Say("<presence/>");
    bob.Take();
    world.engine().SetRecorder(&book);
  }
  ~ServicesTest() override { world.engine().SetRecorder(nullptr); }
  std::string Write(const std::string& inside, const std::string& more = "type='chat'") {
    return alice.Say("<message to='bob@example.com' " + more + ">" + inside + "</message>");
  }
  World world;
  Book book;
  Client alice{world, 1};
  Client bob{world, 2};
};

TEST_F(ServicesTest, WhatIsSaidIsRecorded) {
  Write("<body>hello &amp; more</body>");
  ASSERT_EQ(book.lines.size(), 1u);
  EXPECT_EQ(book.lines[0],
            "<message from='alice@example.com/a' to='bob@example.com' type='chat'><body>hello "
            "&amp; more</body></message>");
  Write("<active xmlns='http://jabber.org/protocol/chatstates'/>");
  Write("<received xmlns='urn:xmpp:receipts' id='1'/>");
  Write("<body>no</body>", "type='error'");
  EXPECT_EQ(book.lines.size(), 1u);
  Write("<x xmlns='jabber:x:oob'><url>https://f/1</url></x>");
  EXPECT_EQ(book.lines.size(), 2u);
  alice.Say("<message to='nobody@example.com'><body>into the void</body></message>");
  EXPECT_EQ(book.lines.size(), 3u);  // tried is told as well
  alice.Say(
      "<presence to='lab@rooms.example.com/Al'><x "
      "xmlns='http://jabber.org/protocol/muc'/></presence>");
  alice.Say("<message to='lab@rooms.example.com' type='groupchat'><body>to all</body></message>");
  ASSERT_EQ(book.lines.size(), 4u);
  EXPECT_NE(book.lines[3].find("to='lab@rooms.example.com'"), std::string::npos);
}

TEST_F(ServicesTest, WhatCannotBeRecordedIsRefusedIfItMust) {
  book.takes = false;
  EXPECT_NE(Write("<body>x</body>").find("<resource-constraint"), std::string::npos);
  EXPECT_EQ(bob.Take(), "");
  EXPECT_EQ(Write("<composing xmlns='http://jabber.org/protocol/chatstates'/>"), "");
  book.takes = true;
  EXPECT_EQ(Write("<body>x</body>"), "");
  EXPECT_NE(bob.Take().find("<body>x</body>"), std::string::npos);
}

TEST_F(ServicesTest, ClientsAreToldThePolicy) {
  const auto describe = [&] {
    return alice.Say(
        "<iq type='get' id='d' to='example.com'><query "
        "xmlns='http://jabber.org/protocol/disco#info'/></iq>");
  };
  const std::string before = describe();
  EXPECT_NE(before.find("<value>urn:gatehouse:client-policy</value>"), std::string::npos);
  EXPECT_NE(before.find("<field var='history'><value>1</value>"), std::string::npos);
  EXPECT_NE(before.find("<field var='cut-paste'><value>1</value>"), std::string::npos);
  Config config = World::MakeConfig();
  config.client_history = config.client_cut_paste = false;
  world.engine().Apply(config);
  const std::string after = describe();
  EXPECT_NE(after.find("<field var='history'><value>0</value>"), std::string::npos);
  EXPECT_NE(after.find("<field var='cut-paste'><value>0</value>"), std::string::npos);
}

}  // namespace
}  // namespace gh::xmpp::test
