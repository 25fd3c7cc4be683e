// One avatar by two ways (XEP-0084, XEP-0054 with 0153, XEP-0398), and push (XEP-0357).
#include <gtest/gtest.h>

#include "crypto/legacy.h"
#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

constexpr const char* kPubsub = "http://jabber.org/protocol/pubsub";

std::string HashOf(const std::string& picture) {
  uint8_t bytes[64];
  ByteWriter out(bytes);
  out.HexBytes(crypto::Sha1::Of(AsBytes(picture)));
  return std::string(out.text());
}

struct AvatarTest : testing::Test {
  AvatarTest() {
    world.AddUser("alice");
    world.AddUser("bob");
    alice.LogIn("alice", "a");
    bob.LogIn("bob", "b");
    alice.Say("<presence/>");
    bob.Say("<presence/>");
    bob.Say("<presence type='subscribe' to='alice@example.com'/>");
    alice.Say("<presence type='subscribed' to='bob@example.com'/>");
    bob.Take();
    alice.Take();
  }
  std::string Publish(const std::string& node, const std::string& id, const std::string& payload) {
    return alice.Say("<iq type='set' id='p'><pubsub xmlns='" + std::string(kPubsub) +
                     "'><publish node='" + node + "'><item id='" + id + "'>" + payload +
                     "</item></publish></pubsub></iq>");
  }
  void PublishAvatar(const std::string& picture) {
    const std::string hash = HashOf(picture);
    Publish("urn:xmpp:avatar:data", hash,
            "<data xmlns='urn:xmpp:avatar:data'>" + Base64Of(picture) + "</data>");
    Publish("urn:xmpp:avatar:metadata", hash,
            "<metadata xmlns='urn:xmpp:avatar:metadata'><info bytes='3' type='image/png' id='" +
                hash + "'/></metadata>");
  }
  std::string SetCard(const std::string& inside) {
    return alice.Say("<iq type='set' id='c'><vCard xmlns='vcard-temp'>" + inside + "</vCard></iq>");
  }
  std::string CardOf(Client& client) {
    return client.Say(
        "<iq type='get' id='g' to='alice@example.com'><vCard xmlns='vcard-temp'/></iq>");
  }
  std::string ItemsOf(Client& client, const std::string& node) {
    return client.Say("<iq type='get' id='i' to='alice@example.com'><pubsub xmlns='" +
                      std::string(kPubsub) + "'><items node='" + node + "'/></pubsub></iq>");
  }
  World world;
  Client alice{world, 1};
  Client bob{world, 2};
};

TEST_F(AvatarTest, APublishedPictureIsInTheCardAndInPresence) {
  SetCard("<FN>Alice</FN>");
  PublishAvatar("abc");
  const std::string stamp =
      "<x xmlns='vcard-temp:x:update'><photo>" + HashOf("abc") + "</photo></x></presence>";
  EXPECT_NE(bob.Take().find(stamp), std::string::npos);  // told at once
  const std::string card = CardOf(bob);
  EXPECT_NE(card.find("<FN>Alice</FN>"), std::string::npos);
  EXPECT_NE(
      card.find("<PHOTO><TYPE>image/png</TYPE><BINVAL>" + Base64Of("abc") + "</BINVAL></PHOTO>"),
      std::string::npos)
      << card;
  alice.Say("<presence><show>away</show></presence>");
  EXPECT_NE(bob.Take().find("<show>away</show>" + stamp), std::string::npos);
  // What a client claims itself is replaced.
  alice.Say("<presence><x xmlns='vcard-temp:x:update'><photo>feed</photo></x></presence>");
  const std::string replaced = bob.Take();
  EXPECT_NE(replaced.find(stamp), std::string::npos);
  EXPECT_EQ(replaced.find("feed"), std::string::npos);
  alice.Say("<presence><x xmlns='vcard-temp:x:update'/><status>s</status></presence>");
  EXPECT_NE(bob.Take().find("</x><status>s</status></presence>"), std::string::npos);
  // Another, and then none.
  PublishAvatar("xyz");
  EXPECT_NE(bob.Take().find(HashOf("xyz")), std::string::npos);
  const std::string other = CardOf(bob);
  EXPECT_NE(other.find(Base64Of("xyz")), std::string::npos);
  EXPECT_EQ(other.find(Base64Of("abc")), std::string::npos);
  Publish("urn:xmpp:avatar:metadata", HashOf("xyz"),
          "<metadata xmlns='urn:xmpp:avatar:metadata'/>");
  EXPECT_EQ(CardOf(bob).find("PHOTO"), std::string::npos);
  alice.Say("<presence/>");
  EXPECT_EQ(bob.Take().find("<photo>"), std::string::npos);
}

TEST_F(AvatarTest, APictureOfACardIsPublished) {
  const std::string picture(5000, 'p');
  std::string base64 = Base64Of(picture);
  base64.insert(76, "\n  ");
  SetCard("<FN>A</FN><PHOTO><TYPE>image/jpeg</TYPE><BINVAL>" + base64 + "</BINVAL></PHOTO>");
  EXPECT_NE(bob.Take().find("<photo>" + HashOf(picture) + "</photo>"), std::string::npos);
  const std::string metadata = ItemsOf(bob, "urn:xmpp:avatar:metadata");
  EXPECT_NE(metadata.find("<info id='" + HashOf(picture) + "' bytes='5000' type='image/jpeg'/>"),
            std::string::npos)
      << metadata;
  EXPECT_NE(ItemsOf(bob, "urn:xmpp:avatar:data").find(Base64Of(picture)), std::string::npos);
  SetCard("<FN>A</FN>");
  EXPECT_EQ(ItemsOf(bob, "urn:xmpp:avatar:metadata").find("<info"), std::string::npos);
  SetCard("<PHOTO><BINVAL>not base64!</BINVAL></PHOTO>");
  EXPECT_EQ(ItemsOf(bob, "urn:xmpp:avatar:metadata").find("<info"), std::string::npos);
}

TEST_F(AvatarTest, IsToldInTheAccountsDescription) {
  const std::string got = alice.Say(
      "<iq type='get' id='d' to='alice@example.com'><query "
      "xmlns='http://jabber.org/protocol/disco#info'/></iq>");
  EXPECT_NE(got.find("urn:xmpp:pep-vcard-conversion:0"), std::string::npos);
  EXPECT_NE(got.find("urn:xmpp:push:0"), std::string::npos);
}

// --- Push ---

struct PushTest : AvatarTest {
  PushTest() { world.AddUser("push"), push.LogIn("push", "service"); }
  std::string Enable(const std::string& node, const std::string& more = "") {
    return alice.Say(
        "<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' "
        "jid='push@example.com/service' node='" +
        node + "'>" + more + "</enable></iq>");
  }
  void Write(const std::string& body) {
    bob.Say("<message to='alice@example.com' type='chat'><body>" + body + "</body></message>");
  }
  Client push{world, 3};
};

TEST_F(PushTest, WhoIsAwayIsWoken) {
  EXPECT_NE(Enable("n1",
                   "<x xmlns='jabber:x:data' type='submit'><field var='secret'><value>s3</value>"
                   "</field></x>")
                .find("type='result'"),
            std::string::npos);
  Write("seen at once");
  EXPECT_EQ(push.Take(), "");
  alice.Break();
  Write("private words");
  const std::string got = push.Take();
  EXPECT_NE(got.find("<publish node='n1'><item><notification xmlns='urn:xmpp:push:0'>"),
            std::string::npos)
      << got;
  EXPECT_NE(got.find("<field var='message-count'><value>1</value></field>"), std::string::npos);
  EXPECT_NE(got.find("<publish-options><x "), std::string::npos);
  EXPECT_NE(got.find("<value>s3</value>"), std::string::npos);
  EXPECT_EQ(got.find("private words"), std::string::npos);
  EXPECT_EQ(got.find("bob@"), std::string::npos);
  bob.Say(
      "<message to='alice@example.com' type='chat'><active "
      "xmlns='http://jabber.org/protocol/chatstates'/></message>");
  EXPECT_EQ(push.Take(), "");
}

TEST_F(PushTest, ContentsOnlyWhereTheOperatorSaysSo) {
  Config config = World::MakeConfig();
  config.push_contents = true;
  world.engine().Apply(config);
  Enable("n1");
  alice.Break();
  Write("words");
  const std::string got = push.Take();
  EXPECT_NE(got.find("<field var='last-message-sender'><value>bob@example.com</value>"),
            std::string::npos)
      << got;
  EXPECT_NE(got.find("<field var='last-message-body'><value>words</value>"), std::string::npos);
}

TEST_F(PushTest, IsDisabledAndGivenUp) {
  Enable("n1");
  Enable("n2");
  alice.Say(
      "<iq type='set' id='x'><disable xmlns='urn:xmpp:push:0' "
      "jid='push@example.com/service' node='n1'/></iq>");
  alice.Break();
  Write("one");
  const std::string got = push.Take();
  EXPECT_EQ(got.find("n1"), std::string::npos);
  const std::string id = Between(got, " id='", "'");
  const auto answer = [&](const char* type) {
    push.Say("<iq type='error' to='alice@example.com' id='" + id + "'><error type='" +
             std::string(type) +
             "'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>");
  };
  answer("wait");
  Write("two");
  EXPECT_NE(push.Take().find("n2"), std::string::npos);
  bob.Say("<iq type='error' to='alice@example.com' id='" + id +
          "'><error type='cancel'/></iq>");  // he is not the service
  Write("three");
  EXPECT_NE(push.Take().find("n2"), std::string::npos);
  answer("cancel");
  Write("four");
  EXPECT_EQ(push.Take(), "");
}

TEST_F(PushTest, ServicesAreFewAndMayBeOff) {
  for (uint32_t i = 0; i < kPushMax + 3; ++i) {
    EXPECT_NE(Enable("n" + std::to_string(i)).find("type='result'"), std::string::npos);
  }
  alice.Break();
  Write("all");
  const std::string got = push.Take();
  size_t count = 0;
  for (size_t at = 0; (at = got.find("<publish node", at)) != std::string::npos; ++at) {
    ++count;
  }
  EXPECT_EQ(count, kPushMax);
  Config config = World::MakeConfig();
  config.push = false;
  world.engine().Apply(config);
  Write("none");
  EXPECT_EQ(push.Take(), "");
  Client again(world, 9);
  again.LogIn("alice", "z");
  EXPECT_NE(again.Say("<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='p@x.org'/></iq>")
                .find("service-unavailable"),
            std::string::npos);
}

}  // namespace
}  // namespace gh::xmpp::test
