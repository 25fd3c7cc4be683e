// Our rooms with users of other servers in them.
#include <gtest/gtest.h>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// The other servers: what is sent to them, and what comes of them.
struct RemoteRooms : testing::Test, Remote {
  RemoteRooms() : memory(4 << 20), arena(std::span<uint8_t>(memory)), heap(arena, 1 << 20, 1) {
    reader.Init(arena, heap, 0, world.random(), XmlLimits());
    world.engine().SetRemote(this);
    world.AddUser("alice");
    alice.emplace(world, 1);
    alice->LogIn("alice", "a");
    alice->Say(
        "<presence to='lab@rooms.example.com/Al'><x xmlns='http://jabber.org/protocol/muc'/>"
        "</presence>");
    alice->Say(
        "<iq type='set' id='c' to='lab@rooms.example.com'>"
        "<query xmlns='http://jabber.org/protocol/muc#owner'>"
        "<x xmlns='jabber:x:data' type='submit'/></query></iq>");
  }
  ~RemoteRooms() override { world.engine().SetRemote(nullptr); }
  Taken SendRemote(std::string_view local, std::string_view remote,
                   std::span<const uint8_t> stanza) override {
    EXPECT_EQ(local, kRooms);
    sent[std::string(remote)] += AsText(stanza);
    return Taken::kYes;
  }
  // What went to `far.org` after this came from there.
  std::string Come(const std::string& from, const std::string& to, const std::string& stanza) {
    reader.Begin(true);
    std::span<const uint8_t> in = AsBytes(stanza);
    EXPECT_EQ(reader.Read(in), XmlEvent::kStanza) << stanza;
    world.engine().OnRemote(*Address::Parse(from), *Address::Parse(to), reader.root());
    return std::exchange(sent["far.org"], "");
  }
  std::string Enter() {
    return Come("bob@far.org/x", "lab@rooms.example.com/Bo",
                "<presence from='bob@far.org/x' to='lab@rooms.example.com/Bo'>"
                "<x xmlns='http://jabber.org/protocol/muc'/></presence>");
  }

  World world{World::FewCapacity(), World::FewBytes()};
  std::vector<uint8_t> memory;
  Arena arena;
  Heap heap;
  XmlReader reader;
  std::optional<Client> alice;
  std::map<std::string, std::string> sent;
};

TEST_F(RemoteRooms, TheyComeSpeakAndGo) {
  const std::string entered = Enter();
  EXPECT_TRUE(Has(entered, "from='lab@rooms.example.com/Al'")) << entered;
  EXPECT_TRUE(Has(entered, "<status code='110'/>")) << entered;
  EXPECT_TRUE(Has(entered, "to='bob@far.org/x'")) << entered;
  EXPECT_TRUE(Has(alice->Take(), "from='lab@rooms.example.com/Bo'"));
  const std::string heard =
      Come("bob@far.org/x", "lab@rooms.example.com",
           "<message from='bob@far.org/x' to='lab@rooms.example.com' type='groupchat'>"
           "<body>from afar</body></message>");
  EXPECT_TRUE(Has(heard, "from='lab@rooms.example.com/Bo' to='bob@far.org/x'")) << heard;
  EXPECT_TRUE(Has(alice->Take(), "<body>from afar</body>"));
  alice->Say(
      "<message to='lab@rooms.example.com' type='groupchat'><subject>Both</subject>"
      "</message>");
  EXPECT_TRUE(Has(std::exchange(sent["far.org"], ""), "<subject>Both</subject>"));
  alice->Say("<message to='lab@rooms.example.com/Bo' type='chat'><body>aside</body></message>");
  EXPECT_TRUE(Has(std::exchange(sent["far.org"], ""), "<body>aside</body>"));
  const std::string left =
      Come("bob@far.org/x", "lab@rooms.example.com/Bo",
           "<presence from='bob@far.org/x' to='lab@rooms.example.com/Bo' type='unavailable'/>");
  EXPECT_TRUE(Has(left, "<status code='110'/>")) << left;
  EXPECT_TRUE(Has(alice->Take(), "type='unavailable'"));
  EXPECT_EQ(world.engine().rooms().occupant_count(), 1u);
}

TEST_F(RemoteRooms, TheyAreKickedAndBanned) {
  Enter();
  alice->Say(
      "<iq type='set' id='k' to='lab@rooms.example.com'>"
      "<query xmlns='http://jabber.org/protocol/muc#admin'>"
      "<item nick='Bo' role='none'/></query></iq>");
  EXPECT_TRUE(Has(std::exchange(sent["far.org"], ""), "<status code='307'/>"));
  alice->Say(
      "<iq type='set' id='o' to='lab@rooms.example.com'>"
      "<query xmlns='http://jabber.org/protocol/muc#admin'>"
      "<item jid='bob@far.org' affiliation='outcast'/></query></iq>");
  EXPECT_TRUE(Has(Enter(), "<forbidden"));
  EXPECT_EQ(world.engine().rooms().occupant_count(), 1u);
}

// What is sent to a server that is lost comes back as an error (RFC 6120 section 10.4).
TEST_F(RemoteRooms, WhoseServerIsLostIsOutOfTheRoom) {
  Enter();
  alice->Take();
  Come("bob@far.org/x", "lab@rooms.example.com/Al",
       "<message from='bob@far.org/x' to='lab@rooms.example.com/Al' type='error'>"
       "<error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
       "</error></message>");
  const std::string seen = alice->Take();
  EXPECT_TRUE(Has(seen, "type='unavailable'")) << seen;
  EXPECT_EQ(world.engine().rooms().occupant_count(), 1u);
}

TEST_F(RemoteRooms, NobodySpeaksForAnother) {
  Enter();
  const std::string got =
      Come("eve@far.org/y", "lab@rooms.example.com",
           "<message from='eve@far.org/y' to='lab@rooms.example.com' type='groupchat'>"
           "<body>I am not in</body></message>");
  EXPECT_TRUE(Has(got, "type='error'")) << got;
  EXPECT_FALSE(Has(alice->Take(), "I am not in"));
}

}  // namespace
}  // namespace gh::xmpp::test
