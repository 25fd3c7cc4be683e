// What was kept when domains stood in DNS's form is found under their own letters, and both forms
// lead to the same rows.
#include <gtest/gtest.h>

#include "tests/unit/xmpp/room_scene.h"

namespace gh::xmpp::test {
namespace {

using Rows = std::map<std::string, std::string>;

constexpr const char* kNow = "b\u00FCcher.example";
constexpr const char* kOnce = "xn--bcher-kva.example";

Config ConfigOf() {
  Config config = World::MakeConfig();
  config.domains[0].Assign(kNow);
  config.rooms.hosts[0].Assign(std::string("rooms.") + kNow);
  return config;
}

// A server with these rows, as it is before it adopts any.
struct Library {
  explicit Library(const Rows& rows = {}) {
    world.engine().Apply(ConfigOf());
    for (const auto& [key, value] : rows) {
      EXPECT_TRUE(world.engine().Load(key, AsBytes(value)).ok()) << key;
    }
    world.disk = rows;
  }
  World world{20, 20, 0, kNow};
};

std::string At(const std::string& text, const std::string& domain = kNow) {
  std::string out = text;
  for (size_t at = out.find("$"); at != out.npos; at = out.find("$")) {
    out.replace(at, 1, domain);
  }
  return out;
}

// `form`: how his client says the domain.
void LogIn(Client& client, const std::string& user, const std::string& form) {
  const std::string header =
      At("<?xml version='1.0'?><stream:stream to='$' version='1.0' xmlns='jabber:client' "
         "xmlns:stream='http://etherx.jabber.org/streams'>",
         form);
  client.Say(header);
  ASSERT_TRUE(Has(client.Authenticate(user, "secret"), "<success"));
  client.Say(header);
  client.Say(
      "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource>"
      "</bind></iq>");
  client.Say("<presence/>");
}

// Something of every kind that has an address in it.
Rows Everything() {
  Library library;
  library.world.AddUser("alice");
  library.world.AddUser("bob");
  Directory& directory = library.world.engine().directory();
  Account& owner = *directory.Find(At("alice@$"));
  EXPECT_TRUE(directory.Allow(owner, At("carol@$")).ok());
  Client alice(library.world, 1), bob(library.world, 2);
  LogIn(alice, "alice", kNow);
  LogIn(bob, "bob", kNow);
  alice.Say(
      At("<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='bob@$' name='Bob'>"
         "<group>Friends</group></item></query></iq>"));
  alice.Say(
      At("<iq type='set' id='2'><block xmlns='urn:xmpp:blocking'><item jid='eve@$'/></block>"
         "</iq>"));
  alice.Say(
      At("<iq type='set' id='3'><prefs xmlns='urn:xmpp:mam:2' default='roster'><always/>"
         "<never><jid>eve@$</jid></never></prefs></iq>"));
  const std::string pubsub = "<pubsub xmlns='http://jabber.org/protocol/pubsub'>";
  EXPECT_TRUE(Has(alice.Say("<iq type='set' id='4'>" + pubsub +
                            "<publish node='n'><item id='1'><t xmlns='urn:t'/></item></publish>"
                            "<publish-options><x xmlns='jabber:x:data' type='submit'>"
                            "<field var='FORM_TYPE' type='hidden'><value>http://jabber.org/"
                            "protocol/pubsub#publish-options</value></field>"
                            "<field var='pubsub#access_model'><value>open</value></field></x>"
                            "</publish-options></pubsub></iq>"),
                  "type='result'"));
  EXPECT_TRUE(Has(bob.Say(At("<iq type='set' id='5' to='alice@$'>") + pubsub +
                          At("<subscribe node='n' jid='bob@$'/></pubsub></iq>")),
                  "subscribed"));
  alice.Say(
      At("<presence to='lab@rooms.$/a'><x xmlns='http://jabber.org/protocol/muc'/>"
         "</presence>"));
  alice.Say(
      At("<iq type='set' id='6' to='lab@rooms.$'><query "
         "xmlns='http://jabber.org/protocol/muc#owner'>"
         "<x xmlns='jabber:x:data' type='submit'><field "
         "var='muc#roomconfig_persistentroom'><value>1</value></field></x></query></iq>"));
  alice.Say(
      At("<iq type='set' id='7' to='lab@rooms.$'><query "
         "xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' "
         "jid='bob@$'/></query></iq>"));
  library.world.Commit();
  Rows rows = library.world.disk;
  std::erase_if(rows, [](const auto& row) { return row.first[0] == 'd'; });
  return rows;
}

std::string Sized(const std::string& text) {
  return std::string{static_cast<char>(text.size() >> 8), static_cast<char>(text.size())} + text;
}

// An address where it stands in a row, as it was once.
std::string OnceOf(const std::string& address) {
  const size_t at = address.find(kNow);
  return at == address.npos
             ? address
             : address.substr(0, at) + kOnce + address.substr(at + std::string(kNow).size());
}

// The rows as the old system kept them.
Rows OnceOf(const Rows& rows, uint32_t& count) {
  Rows out;
  for (const auto& [key, value] : rows) {
    const size_t before = std::string("aprx").find(key[0]) != std::string::npos ? 1 : 2;
    const bool is_whole = key[0] == 'b' || key[0] == 'l' || key[0] == 'z';
    const size_t from = is_whole ? (key[0] == 'z' ? 3 : 0) : before + (key[0] == 'p' ? 1 : 0);
    if (std::string("abclprsz").find(key[0]) == std::string::npos) {
      out[key] = value;
      continue;
    }
    const size_t size =
        is_whole ? value.size() - from : static_cast<uint8_t>(value[from + 1]) + size_t{0};
    const size_t start = is_whole ? from : from + 2;
    const std::string address = value.substr(start, size);
    const std::string once = OnceOf(address);
    EXPECT_NE(once, address) << key;
    ++count;
    const std::string row =
        value.substr(0, from) + (is_whole ? once : Sized(once)) + value.substr(start + size);
    const bool by_address = std::string("bcls").find(key[0]) != std::string::npos;
    const uint32_t id = static_cast<uint32_t>(std::stoul(key.substr(1, 8), nullptr, 16));
    out[by_address ? std::string(RowKey(key[0], id, SipHash13(SipKey{}, once))) : key] = row;
  }
  return out;
}

// Versions of rosters and the numbers of a node's entities go on.
Rows Comparable(const Rows& rows) {
  Rows out;
  for (const auto& [key, value] : rows) {
    if (key[0] != 'v') {
      out[key[0] == 'z' ? "z" : key] = value;
    }
  }
  return out;
}

TEST(XmppAdoption, EveryRowOfTheOldFormIsTakenOver) {
  const Rows now = Everything();
  for (const char kind : std::string("abclprsz")) {
    EXPECT_TRUE(std::ranges::any_of(now, [&](const auto& row) { return row.first[0] == kind; }))
        << kind;
  }
  uint32_t count = 0;
  const Rows once = OnceOf(now, count);
  Library library(once);
  EXPECT_EQ(library.world.engine().directory().Find(At("alice@$")), nullptr);
  const Adoption adoption = library.world.engine().AdoptDomains();
  EXPECT_EQ(adoption.taken, count);
  EXPECT_EQ(adoption.left, 0u);
  library.world.Commit();
  EXPECT_EQ(Comparable(library.world.disk), Comparable(now));
  // Next time there is nothing to do.
  Library next(library.world.disk);
  EXPECT_EQ(next.world.engine().AdoptDomains().taken, 0u);
  EXPECT_TRUE(next.world.pending.empty());
}

// Kept in the old form or in today's, said in the old form or in today's: it is the same.
TEST(XmppAdoption, BothFormsFindTheSameRows) {
  const Rows now = Everything();
  uint32_t count = 0;
  for (const Rows& rows : {now, OnceOf(now, count)}) {
    for (const char* form : {kNow, kOnce}) {
      Library library(rows);
      (void)library.world.engine().AdoptDomains();
      Client alice(library.world, 1), bob(library.world, 2);
      LogIn(alice, "alice", form);
      LogIn(bob, "bob", form);
      const std::string roster =
          alice.Say("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
      EXPECT_TRUE(Has(roster, At("jid='bob@$'"))) << roster;
      EXPECT_TRUE(Has(roster, "name='Bob'") && Has(roster, "<group>Friends</group>")) << roster;
      alice.Say(At("<message to='bob@$' type='chat'><body>hello</body></message>", form));
      EXPECT_TRUE(Has(bob.Take(), "<body>hello</body>"));
      const std::string unblocked = alice.Say(
          At("<iq type='set' id='u'><unblock xmlns='urn:xmpp:blocking'><item jid='eve@$'/>"
             "</unblock></iq>",
             form));
      EXPECT_TRUE(Has(unblocked, "type='result'")) << unblocked;
      EXPECT_TRUE(library.world.engine().directory().Find(At("alice@$"))->blocked.empty());
      const std::string joined = bob.Say(
          At("<presence to='lab@rooms.$/b'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
             form));
      EXPECT_TRUE(Has(joined, "affiliation='member'")) << joined;
    }
  }
}

// Whoever was made again under today's form stays who he is.
TEST(XmppAdoption, TheNewerOfTwoIsNobodyElse) {
  Library library;
  Directory& directory = library.world.engine().directory();
  const auto verifier = MakeVerifier("old", 16, library.world.random());
  ASSERT_TRUE(directory.Add(At("alice@$", kOnce), *verifier).ok());
  library.world.AddUser("alice");
  Account& bob = *library.world.AddUser("bob");
  for (const char* form : {kOnce, kNow}) {
    Contact* contact = directory.AddContact(bob, At("alice@$", form));
    contact->state = form == kNow ? kTo | kInRoster : kInRoster;
    ASSERT_NE(directory.KeepContact(bob, *contact, true), 0u);
    ASSERT_TRUE(directory.Block(bob, At("eve@$", form)).ok());
  }
  library.world.Commit();
  Library next(library.world.disk);
  const Adoption adoption = next.world.engine().AdoptDomains();
  EXPECT_EQ(adoption.left, 2u);   // she and the contact
  EXPECT_EQ(adoption.taken, 1u);  // blocked is blocked
  Directory& after = next.world.engine().directory();
  EXPECT_EQ(after.Find(At("alice@$"))->id, 2u);
  EXPECT_EQ(after.FindContact(*after.Find(At("bob@$")), At("alice@$"))->state, kTo | kInRoster);
  EXPECT_EQ(after.Find(At("bob@$"))->blocked.size(), 1u);
  next.world.Commit();
  EXPECT_EQ(next.world.disk.size(), library.world.disk.size() - 1);
  Client alice(next.world, 1);
  LogIn(alice, "alice", kNow);
}

// Where nothing can be kept nothing is lost: the next start has all of it.
TEST(XmppAdoption, AFullStoreLosesNothing) {
  uint32_t count = 0;
  const Rows once = OnceOf(Everything(), count);
  Library library(once);
  library.world.keeper_full = true;
  EXPECT_GT(library.world.engine().AdoptDomains().left, 0u);
  EXPECT_TRUE(std::ranges::none_of(library.world.pending, [](const auto& row) {
    return std::string("abclrsz").find(row.first[0]) != std::string::npos;
  }));
}

}  // namespace
}  // namespace gh::xmpp::test
