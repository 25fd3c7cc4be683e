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

TEST_F(ServicesTest, TellsTheTimeAndHowLongItHasRun) {
  world.Turn(Duration::Seconds(90));
  EXPECT_NE(alice.Say("<iq type='get' id='l' to='example.com'><query xmlns='jabber:iq:last'/></iq>")
                .find("seconds='90'"),
            std::string::npos);
  const std::string got =
      alice.Say("<iq type='get' id='t' to='example.com'><time xmlns='urn:xmpp:time'/></iq>");
  EXPECT_NE(got.find("<tzo>+00:00</tzo><utc>2026-09-21T14:13:20Z</utc>"), std::string::npos) << got;
}

struct Looking : ServicesTest {
  Looking() {
    for (const char* name : {"bert", "berta", "zoe"}) {
      world.AddUser(name);
    }
    Directory& all = world.engine().directory();
    EXPECT_TRUE(all.SetEmail(*all.Find("zoe@example.com"), "bella@mail.example").ok());
    Switch(true);
  }
  void Switch(bool on) {
    Config config = World::MakeConfig();
    config.search = on;
    world.engine().Apply(config);
  }
  std::string Look(const std::string& inside, const std::string& type = "set") {
    world.Turn(Duration::Milliseconds(kSearchMilliseconds));
    return Ask(inside, type);
  }
  std::string Ask(const std::string& inside, const std::string& type = "set") {
    return alice.Say("<iq type='" + type +
                     "' id='s' to='example.com'><query "
                     "xmlns='jabber:iq:search'>" +
                     inside + "</query></iq>");
  }
  static bool Has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }
};

TEST_F(Looking, FindsUsersByNameAndAddress) {
  EXPECT_TRUE(Has(Look("", "get"), "<nick/><email/>"));
  std::string got = Look("<nick>Ber</nick>");
  EXPECT_TRUE(Has(got, "<item jid='bert@example.com'><nick>bert</nick>")) << got;
  EXPECT_TRUE(Has(got, "berta@example.com"));
  EXPECT_FALSE(Has(got, "bob@"));
  got = Look("<email>Bella@</email>");
  EXPECT_TRUE(Has(got, "<item jid='zoe@example.com'><nick>zoe</nick><email>bella@mail.example"));
  EXPECT_FALSE(Has(Look("<nick>b</nick><email>bella</email>"), "<item"));
  got = Look(
      "<x xmlns='jabber:x:data' type='submit'><field var='nick'><value>bo</value></field></x>");
  EXPECT_TRUE(Has(got, "<field var='jid'><value>bob@example.com</value></field>")) << got;
  EXPECT_TRUE(Has(Look(""), "not-acceptable"));
  EXPECT_TRUE(Has(Look("<nick>a@b</nick>"), "not-acceptable"));
}

TEST_F(Looking, IsForUsersOfTheDomainWhereItIsSwitchedOn) {
  Switch(false);
  EXPECT_TRUE(Has(Look("<nick>b</nick>"), "service-unavailable"));
  Switch(true);
  // Who blocks her, or all strangers, is not there.
  bob.Say(
      "<iq type='set' id='k'><block xmlns='urn:xmpp:blocking'><item jid='alice@example.com'/>"
      "</block></iq>");
  world.engine().directory().Find("bert@example.com")->policy = UserPolicy::kBlock;
  const std::string got = Look("<nick>b</nick>");
  EXPECT_FALSE(Has(got, "bob@") || Has(got, "bert@")) << got;
  EXPECT_TRUE(Has(got, "berta@"));
}

TEST_F(Looking, IsBounded) {
  EXPECT_FALSE(Has(Look("<nick>b</nick>"), "resource-constraint"));
  EXPECT_TRUE(Has(Ask("<nick>b</nick>"), "resource-constraint"));
  World large(2 * kSearchFoundMax, 4);
  for (uint32_t i = 0; i < kSearchFoundMax + 1; ++i) {
    large.AddUser("user" + std::to_string(i));
  }
  Config config = World::MakeConfig();
  config.search = true;
  large.engine().Apply(config);
  Client one(large, 1);
  one.LogIn("user0", "a");
  large.Turn(Duration::Seconds(1));
  const std::string got = one.Say(
      "<iq type='set' id='s'><query xmlns='jabber:iq:search'><nick>user</nick></query></iq>");
  uint32_t count = 0;
  for (size_t at = got.find("<item "); at != std::string::npos; at = got.find("<item ", at + 1)) {
    ++count;
  }
  EXPECT_EQ(count, kSearchFoundMax);
}

}  // namespace
}  // namespace gh::xmpp::test
