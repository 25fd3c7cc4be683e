// What our users publish, told to those of other servers who may read it and wish to.
#include <gtest/gtest.h>

#include "crypto/legacy.h"
#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

constexpr const char* kBob = "bob@far.org/x";
constexpr const char* kLie = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=";

std::string Features(const std::string& node) { return "<feature var='" + node + "+notify'/>"; }

// What a client that wishes for the node names (XEP-0115 section 5.1).
std::string HashOf(const std::string& node) {
  crypto::Sha1 sha;
  sha.Update(node + "+notify<");
  return Base64Of(AsText(sha.Finish()));
}

std::string Publish(const std::string& node, const std::string& id,
                    const std::string& access = "") {
  const std::string options = access.empty()
                                  ? ""
                                  : "<publish-options><x xmlns='jabber:x:data' type='submit'>"
                                    "<field var='pubsub#access_model'><value>" +
                                        access + "</value></field></x></publish-options>";
  return "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='" +
         node + "'><item id='" + id + "'><t xmlns='urn:t'/></item></publish>" + options +
         "</pubsub></iq>";
}

// The other servers: what is sent to them, and what comes of them.
struct PublishedAway : testing::Test, Remote {
  explicit PublishedAway(const Capacity& capacity = Capacity::For(4, 8))
      : world(capacity, capacity.ArenaBytes() + (1 << 20)),
        memory(4 << 20),
        arena(std::span<uint8_t>(memory)),
        heap(arena, 1 << 20, 1) {
    reader.Init(arena, heap, 0, world.random(), XmlLimits());
    world.engine().SetRemote(this);
    account = world.AddUser("alice");
    alice.emplace(world, 1);
    alice->LogIn("alice", "a");
    alice->Say("<presence/>");
  }
  ~PublishedAway() override { world.engine().SetRemote(nullptr); }
  Taken SendRemote(std::string_view, std::string_view remote,
                   std::span<const uint8_t> stanza) override {
    if (taken == Taken::kYes) {
      sent[std::string(remote)] += AsText(stanza);
    }
    return taken;
  }
  std::string Sent() { return std::exchange(sent["far.org"], ""); }
  // What went to `far.org` after this came from there.
  std::string Come(const std::string& from, const std::string& stanza,
                   const std::string& to = "alice@example.com") {
    reader.Begin(true);
    std::span<const uint8_t> in = AsBytes(stanza);
    EXPECT_EQ(reader.Read(in), XmlEvent::kStanza) << stanza;
    world.engine().OnRemote(*Address::Parse(from), *Address::Parse(to), reader.root());
    return Sent();
  }
  // He sees the user, as if it had been so for long.
  void See(Account& owner, const std::string& who, uint8_t state = kTo | kFrom | kInRoster) {
    Contact* contact = world.engine().directory().AddContact(owner, who);
    ASSERT_NE(contact, nullptr);
    contact->state = state;
    world.engine().directory().KeepContact(owner, *contact, true);
  }
  std::string Show(const std::string& hash, const std::string& who = kBob,
                   const std::string& to = "alice@example.com") {
    return Come(who,
                "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='" +
                    hash + "'/></presence>",
                to);
  }
  std::string Answer(const std::string& asked, const std::string& features,
                     const std::string& who = kBob, const std::string& to = "alice@example.com") {
    return Come(who,
                "<iq type='result' id='" + Between(asked, " id='", "'") +
                    "'><query xmlns='http://jabber.org/protocol/disco#info'>" + features +
                    "</query></iq>",
                to);
  }
  // He is there, and wishes for the node.
  std::string Wish(const std::string& node, const std::string& who = kBob) {
    const std::string asked = Show(HashOf(node), who);
    return Has(asked, "disco#info") ? Answer(asked, Features(node), who) : asked;
  }
  std::string Say(const std::string& text) {
    alice->Say(text);
    return Sent();
  }
  uint32_t Known() { return world.engine().client_away_count(); }

  World world;
  std::vector<uint8_t> memory;
  Arena arena;
  Heap heap;
  XmlReader reader;
  Account* account = nullptr;
  std::optional<Client> alice;
  std::map<std::string, std::string> sent;
  Taken taken = Taken::kYes;
};

TEST_F(PublishedAway, IsToldToThoseWhoWish) {
  See(*account, "bob@far.org");
  Say(Publish("tune", "1"));
  Say(Publish("mood", "1"));
  const std::string asked = Show(HashOf("tune"));
  EXPECT_TRUE(Has(asked, "from='alice@example.com' to='bob@far.org/x'")) << asked;
  EXPECT_TRUE(Has(asked, "node='n#" + HashOf("tune") + "'")) << asked;
  // The last item, at once and once.
  const std::string last = Answer(asked, Features("tune"));
  EXPECT_EQ(last,
            "<message type='headline' from='alice@example.com' to='bob@far.org/x'><event "
            "xmlns='http://jabber.org/protocol/pubsub#event'><items node='tune'><item id='1'>"
            "<t xmlns='urn:t'></t></item></items></event></message>");
  EXPECT_EQ(Answer(asked, Features("tune")), "");
  EXPECT_EQ(Show(HashOf("tune")), "");
  EXPECT_EQ(Come(kBob, "<presence><show>away</show></presence>"), "");
  // What is published by another of her clients, and what becomes of it.
  Client other(world, 2);
  other.LogIn("alice", "b");
  other.Say(Publish("tune", "2"));
  EXPECT_TRUE(Has(Sent(), "<item id='2'>"));
  EXPECT_EQ(Say(Publish("mood", "2")), "");
  EXPECT_TRUE(Has(Say("<iq type='set' id='r'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
                      "<retract node='tune'><item id='2'/></retract></pubsub></iq>"),
                  "<retract id='2'/>"));
  for (const std::string what : {"purge", "delete"}) {
    EXPECT_TRUE(Has(Say("<iq type='set' id='o'><pubsub "
                        "xmlns='http://jabber.org/protocol/pubsub#owner'><" +
                        what + " node='tune'/></pubsub></iq>"),
                    "<" + what + " node='tune'></" + what + "></event>"));
  }
}

TEST_F(PublishedAway, AvatarsGoTheSameWay) {
  See(*account, "bob@far.org");
  Wish("urn:xmpp:avatar:metadata");
  const std::string told =
      Say("<iq type='set' id='v'><vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>"
          "QUJD</BINVAL></PHOTO></vCard></iq>");
  EXPECT_TRUE(Has(told, "<items node='urn:xmpp:avatar:metadata'>")) << told;
  EXPECT_TRUE(Has(told, "to='bob@far.org/x'") && Has(told, "<photo>")) << told;
}

TEST_F(PublishedAway, AHashIsSharedAndALieIsItsTellersOwn) {
  See(*account, "bob@far.org");
  Say(Publish("tune", "1"));
  Wish("tune");
  EXPECT_TRUE(Has(Show(HashOf("tune"), "bob@far.org/y"), "to='bob@far.org/y'><event"));
  // A hash that says something else: it is asked for once, and holds for nobody but him.
  const std::string asked = Show(kLie, "bob@far.org/z");
  EXPECT_TRUE(Has(Answer(asked, Features("tune"), "bob@far.org/z"), "<item id='1'>"));
  EXPECT_EQ(Show(kLie, "bob@far.org/z"), "");
  EXPECT_TRUE(Has(Show(kLie, "bob@far.org/w"), "to='bob@far.org/w'><query"));
  // Another hash of a client's is asked for, and answers to the first are none.
  EXPECT_TRUE(Has(Show(HashOf("mood"), "bob@far.org/z"), "<query"));
  EXPECT_EQ(Answer(asked, Features("tune"), "bob@far.org/z"), "");
  EXPECT_FALSE(Has(Say(Publish("tune", "2")), "to='bob@far.org/z'"));
  // An answer that is for another of her contacts' clients is none either.
  EXPECT_EQ(Answer(asked, Features("tune"), "eve@far.org/z"), "");
}

TEST_F(PublishedAway, IsForThoseWhoMayReadIt) {
  See(*account, "bob@far.org");
  See(*account, "eve@far.org", kTo | kInRoster);  // in her roster, and does not see her
  const auto reads = [&](const std::string& who) {
    return Has(Come(who,
                    "<iq type='get' id='g'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
                    "<items node='tune'/></pubsub></iq>"),
               "<item ");
  };
  Wish("tune");
  EXPECT_EQ(Wish("tune", "eve@far.org/x"), "");
  for (const std::string access : {"presence", "open", "roster", "whitelist"}) {
    const std::string told = Say(Publish("tune", "1", access));
    EXPECT_EQ(Has(told, "to='bob@far.org/x'"), access != "whitelist") << access;
    EXPECT_EQ(reads(kBob), access != "whitelist") << access;
    EXPECT_FALSE(Has(told, "eve@far.org")) << access;
    Say("<iq type='set' id='o'><pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><delete "
        "node='tune'/></pubsub></iq>");
  }
  EXPECT_EQ(Known(), 1u);
}

TEST_F(PublishedAway, WhoMaySeeHerFromNowOnIsAskedToShowHimself) {
  See(*account, "bob@far.org", kTo | kInRoster);
  EXPECT_EQ(Wish("tune"), "");
  // She wants to see him herself: he is let see her at once.
  const std::string let = Come("bob@far.org", "<presence type='subscribe'/>");
  EXPECT_LT(let.find("type='subscribed'"), let.find("to='bob@far.org' type='probe'")) << let;
  EXPECT_EQ(Known(), 0u);
  Wish("tune");
  EXPECT_EQ(Known(), 1u);
  for (const std::string what : {"block", "unblock"}) {
    const std::string said =
        Say("<iq type='set' id='b'><" + what +
            " xmlns='urn:xmpp:blocking'><item jid='bob@far.org'/></" + what + "></iq>");
    EXPECT_EQ(Has(said, "to='bob@far.org' type='probe'"), what == "unblock") << said;
  }
}

// Whatever ends it, nothing is left.
TEST_F(PublishedAway, EndsWithHisPresenceOrHerWord) {
  const uint32_t free = world.engine().chains().free_count();
  const std::string roster = "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item ";
  const std::function<void()> ends[] = {
      [&] { Come(kBob, "<presence type='unavailable'/>"); },
      [&] { Come("bob@far.org", "<presence type='unavailable'/>"); },
      [&] { Come("bob@far.org", "<presence type='error'/>"); },
      [&] { Come(kBob, "<message type='error'/>"); },
      [&] { Come("bob@far.org", "<presence type='unsubscribe'/>"); },
      [&] { Say("<presence to='bob@far.org' type='unsubscribed'/>"); },
      [&] { Say(roster + "jid='bob@far.org' subscription='remove'/></query></iq>"); },
      [&] {
        Say("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='far.org'/></block>"
            "</iq>");
        Say("<iq type='set' id='b'><unblock xmlns='urn:xmpp:blocking'/></iq>");
      },
      [&] {
        taken = Taken::kForbidden;
        Say(Publish("tune", "2"));
        taken = Taken::kYes;
      },
      [&] { Show(""); },
  };
  for (size_t i = 0; i < std::size(ends); ++i) {
    See(*account, "bob@far.org");
    Say(Publish("tune", "1"));
    EXPECT_TRUE(Has(Wish("tune"), "<event")) << i;
    ASSERT_EQ(Known(), 1u) << i;
    ends[i]();
    EXPECT_EQ(Known(), 0u) << i;
    EXPECT_FALSE(Has(Say(Publish("tune", "3")), "<event")) << i;
    alice->Say(roster + "jid='bob@far.org' subscription='remove'/></query></iq>");
    alice->Say(
        "<iq type='set' id='o'><pubsub xmlns='http://jabber.org/protocol/pubsub#owner'>"
        "<delete node='tune'/></pubsub></iq>");
    Sent();
  }
  See(*account, "bob@far.org");
  Wish("tune");
  EXPECT_TRUE(world.engine().RemoveUser("alice@example.com").ok());
  EXPECT_EQ(Known(), 0u);
  EXPECT_GE(world.engine().chains().free_count() + 4, free);  // the shared hash is still known
}

// A client of his that does not hear is not all of them.
TEST_F(PublishedAway, OneClientGoesAndTheOtherStays) {
  See(*account, "bob@far.org");
  Wish("tune");
  Wish("tune", "bob@far.org/y");
  Come(kBob, "<message type='error'/>");
  EXPECT_TRUE(Has(Say(Publish("tune", "1")), "to='bob@far.org/y'"));
  EXPECT_EQ(Known(), 1u);
  // Not what was sent to a client of hers.
  Come("bob@far.org/y", "<message type='error'/>", "alice@example.com/a");
  EXPECT_EQ(Known(), 1u);
  // What finds no room on the way is not sent, and he is still known.
  taken = Taken::kFull;
  Say(Publish("tune", "2"));
  EXPECT_EQ(world.engine().counters().refused, 1u);
  taken = Taken::kYes;
  EXPECT_TRUE(Has(Say(Publish("tune", "3")), "<item id='3'>"));
}

TEST_F(PublishedAway, ClientsOfOneContact) {
  See(*account, "bob@far.org");
  for (uint32_t i = 0; i <= kClientsAwayPerContact; ++i) {
    EXPECT_EQ(Known(), i);
    Wish("tune", "bob@far.org/" + std::to_string(i));
    Wish("tune", "bob@far.org/0");  // not the longest silent
  }
  EXPECT_EQ(Known(), kClientsAwayPerContact);
  const std::string told = Say(Publish("tune", "1"));
  EXPECT_TRUE(Has(told, "bob@far.org/0'") && !Has(told, "bob@far.org/1'")) << told;
}

struct ManyAway : PublishedAway {
  static Capacity Many(uint32_t clients) {
    Capacity capacity = Capacity::For(4, 8);
    capacity.clients_away = clients;
    return capacity;
  }
  explicit ManyAway(uint32_t clients = kCapsAwayMax + 8) : PublishedAway(Many(clients)) {}
  // The client of the number, of contacts who have as many as they may.
  static std::string At(uint32_t number) {
    return "u" + std::to_string(number / kClientsAwayPerContact) + "@far.org/" +
           std::to_string(number % kClientsAwayPerContact);
  }
  void Fill(Account& owner, uint32_t from, uint32_t to,
            const std::function<std::string(uint32_t)>& hash) {
    for (uint32_t i = from; i < to; ++i) {
      const std::string who = At(i);
      if (i % kClientsAwayPerContact == 0) {
        See(owner, who.substr(0, who.find('/')));
      }
      Show(hash(i), who, std::string(owner.name.view()));
    }
  }
};

TEST_F(ManyAway, ClientsOfAllContacts) {
  const auto same = [](uint32_t) { return HashOf("tune"); };
  Fill(*account, 0, kClientsAwayPerUser, same);
  EXPECT_EQ(Known(), kClientsAwayPerUser);
  Show(same(0), At(0));
  Fill(*account, kClientsAwayPerUser, kClientsAwayPerUser + 1, same);
  EXPECT_EQ(Known(), kClientsAwayPerUser);
  EXPECT_EQ(account->clients_away.front()->hash,
            world.engine().directory().HashOf(At(2)));  // the second gave way
}

TEST_F(ManyAway, HashesFromElsewhere) {
  Account* others[] = {account, world.AddUser("carol"), world.AddUser("dave")};
  const auto each = [](uint32_t i) { return "hash" + std::to_string(i); };
  for (uint32_t i = 0; i < kCapsAwayMax; i += kClientsAwayPerUser) {
    Fill(*others[i / kClientsAwayPerUser], i, i + kClientsAwayPerUser, each);
  }
  EXPECT_EQ(world.engine().caps_away_count(), kCapsAwayMax);
  Fill(*others[2], kCapsAwayMax, kCapsAwayMax + 1, each);
  EXPECT_EQ(Known(), kCapsAwayMax);  // the last is not known
  // Ours have places of their own, and one that nobody names any more is free again.
  EXPECT_TRUE(
      Has(alice->Say("<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' "
                     "ver='mine'/></presence>"),
          "caps-"));
  Come(At(0), "<presence type='unavailable'/>");
  Fill(*others[2], kCapsAwayMax, kCapsAwayMax + 1, each);
  EXPECT_EQ(Known(), kCapsAwayMax);
}

struct FewAway : ManyAway {
  FewAway() : ManyAway(kFew) {}
  static constexpr uint32_t kFew = 12;
};

// Capacity::clients_away: of all, the longest silent.
TEST_F(FewAway, TheLongestSilentOfAllGivesWay) {
  static_assert(Pool<ClientAway>::bytes_per_item() == 104);
  EXPECT_EQ(Capacity::For(100'000, 100'000).clients_away, 16'384u);
  const auto same = [](uint32_t) { return HashOf("tune"); };
  Fill(*account, 0, kFew, same);
  EXPECT_EQ(Known(), kFew);
  Account* carol = world.AddUser("carol");
  See(*carol, "zoe@far.org");
  Show(same(0), At(0));
  Show(same(0), "zoe@far.org/x", "carol@example.com");
  EXPECT_EQ(Known(), kFew);
  EXPECT_EQ(account->clients_away.size(), kFew - 1);
  EXPECT_EQ(account->clients_away.front()->hash, world.engine().directory().HashOf(At(2)));
  EXPECT_EQ(carol->clients_away.size(), 1u);
}

}  // namespace
}  // namespace gh::xmpp::test
