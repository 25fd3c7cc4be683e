// The presence server: publications with their tags, watchers and what they are told, who may,
// limits at their edges, what becomes of it all in the end.
#include <gtest/gtest.h>

#include "firmware/presence/limits.h"
#include "tests/unit/sip/phone.h"

namespace gh::sip::test {
namespace {

constexpr std::string_view kPidf = "Content-Type: application/pidf+xml\n";
constexpr std::string_view kEvent = "Event: presence\n";

std::string Document(const std::string& basic, const std::string& more = {}) {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
         "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"pres:bob@example.com\">"
         "<tuple id=\"t1\"><status><basic>" +
         basic + "</basic></status></tuple>" + more + "</presence>";
}

Config PresenceOn() {
  Config config = World::DefaultConfig();
  config.presence.is_on = true;
  config.presence.notify_interval = Duration::Seconds(5);
  config.presence.expires_min_s = 60;
  config.presence.expires_max_s = 600;
  config.presence.publications_max = 2;
  config.presence.watchers_max = 3;
  return config;
}

class Presence : public testing::Test {
 protected:
  explicit Presence(const Config& config = PresenceOn(),
                    const Capacity& capacity = World::SmallCapacity())
      : world(config, capacity) {}
  void TearDown() override {
    world.Advance(Duration::Hours(2));
    world.Clear();
    EXPECT_EQ(world.Busy(), "");
  }
  Sent Publish(Phone& phone, const std::string& body, const std::string& headers = {},
               int expires = 300) {
    Phone::Spec spec{.method = "PUBLISH", .uri = phone.uri()};
    spec.call_id = "pub-" + std::to_string(++number_);
    spec.headers = std::string(kEvent) + "Expires: " + std::to_string(expires) + "\n" +
                   (body.empty() ? "" : std::string(kPidf)) + headers;
    spec.body = body;
    phone.Send(spec);
    return phone.Take();
  }
  static std::string Match(const Sent& answer) {
    return "SIP-If-Match: " + answer.Header("SIP-ETag") + "\n";
  }
  // The answer; the NOTIFY that follows waits.
  Sent Subscribe(Phone& phone, const std::string& uri, int expires = 300,
                 const std::string& headers = {}) {
    watch_ = {.method = "SUBSCRIBE", .uri = uri};
    watch_.call_id = "watch-" + std::to_string(++number_);
    watch_.headers = std::string(kEvent) + "Expires: " + std::to_string(expires) + "\n" + headers;
    phone.Send(watch_);
    return phone.Take();
  }
  Sent Resubscribe(Phone& phone, const Sent& answer, int expires) {
    watch_.to = watch_.uri;
    watch_.to_tag = ParamOf(answer.Header("To"), "tag");
    const std::string contact = answer.Header("Contact");
    watch_.uri = contact.substr(1, contact.size() - 2);
    ++watch_.cseq;
    watch_.headers = std::string(kEvent) + "Expires: " + std::to_string(expires) + "\n";
    phone.Send(watch_);
    watch_.uri = watch_.to;
    return phone.Take();
  }
  // What comes within a second, answered.
  Sent Notified(Phone& phone, int status = 200) {
    world.Advance(Duration::Milliseconds(50));
    const Sent notify = phone.Take();
    if (notify.Method() == "NOTIFY") {
      phone.Respond(notify, status);
    }
    return notify;
  }
  static std::string StateOf(const Sent& notify) {
    const bool open = notify.Body().find("<basic>open</basic>") != std::string::npos;
    const bool closed = notify.Body().find("<basic>closed</basic>") != std::string::npos;
    return std::string(open ? "open" : "") + (closed ? "closed" : "");
  }

  World world;
  Engine& engine = world.engine();
  Phone alice{world, "alice", "192.0.2.20:5060"};
  Phone bob{world, "bob", "192.0.2.30:5060"};
  Phone::Spec watch_;
  int number_ = 0;
};

TEST_F(Presence, APublicationIsToldToWatchersAndEndsWithItsTag) {
  const Sent made = Publish(bob, Document("open"));
  ASSERT_EQ(made.Status(), 200);
  EXPECT_EQ(made.Header("Expires"), "300");
  EXPECT_EQ(made.Header("SIP-ETag").size(), 16u);
  const Sent answer = Subscribe(alice, bob.uri());
  ASSERT_EQ(answer.Status(), 200);
  EXPECT_EQ(answer.Header("Expires"), "300");
  Sent notify = Notified(alice);
  ASSERT_EQ(notify.Method(), "NOTIFY");
  EXPECT_EQ(StateOf(notify), "open");
  EXPECT_EQ(notify.Header("Event"), "presence");
  EXPECT_EQ(notify.Header("Content-Type"), "application/pidf+xml");
  EXPECT_TRUE(notify.Header("Subscription-State").starts_with("active;expires=29"));
  EXPECT_NE(notify.Body().find("entity='sip:bob@example.com'"), std::string::npos);
  EXPECT_NE(notify.Body().find("id='p1.t1'"), std::string::npos);
  EXPECT_EQ(ParamOf(notify.Header("From"), "tag"), ParamOf(answer.Header("To"), "tag"));

  const Sent changed = Publish(bob, Document("closed"), Match(made));
  ASSERT_EQ(changed.Status(), 200);
  EXPECT_NE(changed.Header("SIP-ETag"), made.Header("SIP-ETag"));
  world.Advance(Duration::Seconds(5));
  notify = Notified(alice);
  EXPECT_EQ(StateOf(notify), "closed");
  EXPECT_EQ(notify.Header("CSeq"), "2 NOTIFY");
  // The old tag is worth nothing any more (RFC 3903 6).
  EXPECT_EQ(Publish(bob, Document("open"), Match(made)).Status(), 412);
  const Sent removed = Publish(bob, {}, Match(changed), 0);
  EXPECT_EQ(removed.Status(), 200);
  EXPECT_EQ(removed.Header("SIP-ETag"), "");
  EXPECT_EQ(Publish(bob, {}, Match(changed), 0).Status(), 412);
  EXPECT_TRUE(world.HasEvent("published bob@example.com"));
  EXPECT_TRUE(world.HasEvent("withdrawn bob@example.com removed"));
}

TEST_F(Presence, ARefreshKeepsWhatWasPublishedAndTellsNobody) {
  const Sent made = Publish(bob, Document("open"));
  Subscribe(alice, bob.uri(), 600);
  EXPECT_EQ(StateOf(Notified(alice)), "open");
  world.Advance(Duration::Seconds(200));
  const Sent refreshed = Publish(bob, {}, Match(made));
  EXPECT_EQ(refreshed.Status(), 200);
  world.Advance(Duration::Seconds(200));  // beyond the first expiry
  EXPECT_EQ(Notified(alice).Method(), "");
  EXPECT_EQ(engine.presence().store().publication_count(), 1u);
  world.Advance(Duration::Seconds(101));
  EXPECT_EQ(StateOf(Notified(alice)), "closed");
  EXPECT_TRUE(world.HasEvent("withdrawn bob@example.com expired"));
}

TEST_F(Presence, ARepeatedPublishIsAnsweredAgainAndPublishesOnce) {
  Phone::Spec spec{.method = "PUBLISH", .uri = bob.uri()};
  spec.headers = std::string(kEvent) + std::string(kPidf);
  spec.body = Document("open");
  const std::string text = bob.Send(spec);
  const Sent first = bob.Take();
  bob.Deliver(text);
  const Sent again = bob.Take();
  EXPECT_EQ(first.Header("SIP-ETag"), again.Header("SIP-ETag"));
  EXPECT_EQ(engine.presence().store().publication_count(), 1u);
}

TEST_F(Presence, SeveralDevicesAreToldTogetherUpToTheLimit) {
  ASSERT_EQ(Publish(bob, Document("closed")).Status(), 200);
  const std::string person =
      "<note>out</note><p:person xmlns:p=\"urn:ietf:params:xml:ns:pidf:data-model\" id=\"me\">"
      "<r:activities xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\"><r:away/></r:activities>"
      "</p:person>";
  ASSERT_EQ(Publish(bob, Document("open", person)).Status(), 200);
  EXPECT_EQ(Publish(bob, Document("open")).Status(), 403);
  Subscribe(alice, bob.uri());
  const std::string body = Notified(alice).Body();
  EXPECT_NE(body.find("<tuple id='p2.t1'><status><basic>open</basic></status></tuple>"
                      "<tuple id='p1.t1'><status><basic>closed</basic></status></tuple>"
                      "<note>out</note><dm:person id='p2.me'><rpid:activities><rpid:away>"
                      "</rpid:away></rpid:activities></dm:person></presence>"),
            std::string::npos)
      << body;
}

TEST_F(Presence, WhatCannotBePublishedIsRefusedByItsStatus) {
  EXPECT_EQ(Publish(bob, Document("open"), {}, 59).Status(), 423);
  EXPECT_EQ(Publish(bob, Document("open"), {}, 60).Status(), 200);
  EXPECT_EQ(Publish(bob, {}).Status(), 400);
  EXPECT_EQ(Publish(bob, Document("open"), {}, 0).Status(), 400);
  EXPECT_EQ(Publish(bob, "<presence/>").Status(), 400);
  EXPECT_EQ(Publish(bob, Document("open", std::string(8192, ' '))).Status(), 413);
  EXPECT_EQ(Publish(bob, Document("open"), "SIP-If-Match: 0123\n").Status(), 412);
  const Sent other = Publish(bob, Document("open"));
  EXPECT_EQ(other.Header("SIP-ETag").size(), kEntityTagDigits);
  EXPECT_EQ(
      Publish(bob, Document("open"), "SIP-If-Match: 0" + other.Header("SIP-ETag") + "\n").Status(),
      412);
  Phone::Spec spec{.method = "PUBLISH", .uri = bob.uri()};
  spec.call_id = "odd";
  spec.headers = "Event: dialog\n" + std::string(kPidf);
  spec.body = Document("open");
  bob.Send(spec);
  const Sent odd = bob.Take();
  EXPECT_EQ(odd.Status(), 489);
  EXPECT_EQ(odd.Header("Allow-Events"), "presence");
  spec.call_id = "type";
  spec.headers = std::string(kEvent) + "Content-Type: text/plain\n";
  bob.Send(spec);
  const Sent type = bob.Take();
  EXPECT_EQ(type.Status(), 415);
  EXPECT_EQ(type.Header("Accept"), "application/pidf+xml");
  // For somebody else; for nobody we know.
  spec = {.method = "PUBLISH", .uri = bob.uri()};
  spec.headers = std::string(kEvent) + std::string(kPidf);
  spec.body = Document("open");
  alice.Send(spec);
  EXPECT_EQ(alice.Take().Status(), 403);
  Phone carol{world, "carol", "192.0.2.40:5060"};
  EXPECT_EQ(Publish(carol, Document("open")).Status(), 480);
}

TEST_F(Presence, LongestExpiryIsTheOperators) {
  EXPECT_EQ(Publish(bob, Document("open"), {}, 100000).Header("Expires"), "600");
  EXPECT_EQ(Subscribe(alice, bob.uri(), 100000).Header("Expires"), "600");
  EXPECT_EQ(Subscribe(alice, bob.uri(), 59).Status(), 423);
  Notified(alice);
}

TEST_F(Presence, WithoutPublicationsRegistrationDecides) {
  Subscribe(alice, bob.uri());
  EXPECT_EQ(StateOf(Notified(alice)), "closed");
  world.Advance(Duration::Seconds(6));
  ASSERT_EQ(bob.Register().Status(), 200);
  EXPECT_EQ(StateOf(Notified(alice)), "open");
  world.Advance(Duration::Seconds(6));
  ASSERT_EQ(bob.Register(0, 2).Status(), 200);
  EXPECT_EQ(StateOf(Notified(alice)), "closed");
}

TEST_F(Presence, ChangesAreToldNoOftenerThanTheInterval) {
  Sent made = Publish(bob, Document("open"));
  Subscribe(alice, bob.uri());
  Notified(alice);
  const uint64_t before = engine.statistics().notifications;
  for (int i = 0; i < 40; ++i) {
    made = Publish(bob, Document(i % 2 == 0 ? "closed" : "open"), Match(made));
    ASSERT_EQ(made.Status(), 200);
    Notified(alice);
    world.Advance(Duration::Milliseconds(200));
  }
  EXPECT_LE(engine.statistics().notifications - before, 3u);
  world.Advance(Duration::Seconds(5));
  const Sent last = Notified(alice);
  EXPECT_TRUE(last.Method().empty() || StateOf(last) == "open");
}

TEST_F(Presence, ASubscriptionIsRefreshedAndEnded) {
  ASSERT_EQ(Publish(bob, Document("open"), {}, 600).Status(), 200);
  const Sent answer = Subscribe(alice, bob.uri());
  Notified(alice);
  world.Advance(Duration::Seconds(100));
  const Sent refreshed = Resubscribe(alice, answer, 600);
  ASSERT_EQ(refreshed.Status(), 200);
  EXPECT_EQ(StateOf(Notified(alice)), "open");  // a refresh gets the state, too
  world.Advance(Duration::Seconds(300));        // beyond the first
  EXPECT_EQ(engine.presence().subscription_count(), 1u);
  ASSERT_EQ(Resubscribe(alice, answer, 0).Status(), 200);
  const Sent last = Notified(alice);
  EXPECT_EQ(last.Header("Subscription-State"), "terminated;reason=timeout");
  EXPECT_EQ(engine.presence().subscription_count(), 0u);
  EXPECT_EQ(Resubscribe(alice, answer, 300).Status(), 481);
  EXPECT_TRUE(world.HasEvent("watch-began alice@example.com bob@example.com allowed"));
  EXPECT_TRUE(world.HasEvent("watch-ended alice@example.com bob@example.com timeout"));
}

TEST_F(Presence, ASubscriptionThatNobodyRefreshesEndsWithAWord) {
  Subscribe(alice, bob.uri(), 60);
  Notified(alice);
  world.Advance(Duration::Seconds(60));
  EXPECT_EQ(Notified(alice).Header("Subscription-State"), "terminated;reason=timeout");
  EXPECT_EQ(engine.presence().subscription_count(), 0u);
}

TEST_F(Presence, AFetchIsOneNotify) {
  ASSERT_EQ(Publish(bob, Document("open")).Status(), 200);
  EXPECT_EQ(Subscribe(alice, bob.uri(), 0).Header("Expires"), "0");
  const Sent notify = Notified(alice);
  EXPECT_EQ(StateOf(notify), "open");
  EXPECT_EQ(notify.Header("Subscription-State"), "terminated;reason=timeout");
  EXPECT_EQ(engine.presence().subscription_count(), 0u);
}

TEST_F(Presence, TheIdOfASubscriptionHasALargestSize) {
  const auto with_id = [&](size_t size) {
    Phone::Spec spec{.method = "SUBSCRIBE", .uri = bob.uri()};
    spec.call_id = "id-" + std::to_string(size);
    const std::string id(size, 'i');
    spec.headers = "Event: presence;id=" + id + "\nExpires: 0\n";
    alice.Send(spec);
    return std::pair(alice.Take().Status(), "presence;id=" + id);
  };
  const auto [status, event] = with_id(kEventIdBytesMax);
  EXPECT_EQ(status, 200);
  EXPECT_EQ(Notified(alice).Header("Event"), event);
  EXPECT_EQ(with_id(kEventIdBytesMax + 1).first, 400);
}

TEST_F(Presence, AWatcherThatKnowsNothingOfItIsNone) {
  Subscribe(alice, bob.uri());
  Notified(alice, 481);
  EXPECT_EQ(engine.presence().subscription_count(), 0u);
  Subscribe(alice, bob.uri());
  world.Advance(Duration::Seconds(40));  // no answer at all
  EXPECT_EQ(engine.presence().subscription_count(), 0u);
  EXPECT_TRUE(world.HasEvent("watch-ended alice@example.com bob@example.com no answer"));
}

TEST_F(Presence, WatchersOfOneUserAreLimited) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Subscribe(alice, bob.uri()).Status(), 200);
    Notified(alice);
  }
  EXPECT_EQ(Subscribe(alice, bob.uri()).Status(), 503);
  EXPECT_EQ(engine.presence().subscription_count(), 3u);
}

TEST_F(Presence, ChangesAreToldToSoManyInAMillisecond) {
  Config config = PresenceOn();
  config.presence.watchers_max = 3 * kNotifyPerMillisecond;
  engine.Apply(config);
  for (uint32_t i = 0; i < config.presence.watchers_max; ++i) {
    Subscribe(alice, bob.uri());
    Notified(alice);
  }
  world.Advance(Duration::Seconds(6));
  ASSERT_EQ(Publish(bob, Document("open")).Status(), 200);
  // Those who are due at once and those a millisecond later may come in one tick.
  uint32_t told = 0;
  uint32_t ticks = 0;
  for (int i = 0; i < 20; ++i) {
    uint32_t count = 0;
    for (Sent sent = alice.Take(); sent.Method() == "NOTIFY"; sent = alice.Take()) {
      alice.Respond(sent, 200);
      ++count;
    }
    EXPECT_LE(count, 2 * kNotifyPerMillisecond);
    told += count;
    ticks += count != 0 ? 1 : 0;
    world.Advance(Duration::Milliseconds(1));
  }
  EXPECT_EQ(told, config.presence.watchers_max);
  EXPECT_GE(ticks, 2u);
}

// All that is published of a user is one document; more than it holds is not told, and he is
// closed.
TEST_F(Presence, TheLargestDocumentIsToldAndNoLarger) {
  Config config = PresenceOn();
  config.presence.publications_max = 10;
  engine.Apply(config);
  const auto noted = [](size_t size) {
    return Document("open", "<note>" + std::string(size, 'n') + "</note>");
  };
  const size_t whole = presence::kPartsBytesMax - 100;
  for (size_t i = 0; i < kNotifyBodyBytesMax / presence::kPartsBytesMax - 1; ++i) {
    ASSERT_EQ(Publish(bob, noted(whole), {}, 600).Status(), 200) << i;
  }
  Sent last = Publish(bob, noted(10), {}, 600);
  Subscribe(alice, bob.uri(), 600);
  const size_t around = Notified(alice).Body().size() - 10;
  ASSERT_LT(kNotifyBodyBytesMax - around, presence::kPartsBytesMax);
  const auto told = [&](size_t size) {
    world.Clear();  // repetitions of what was told before
    last = Publish(bob, noted(size), Match(last), 600);
    EXPECT_EQ(last.Status(), 200);
    world.Advance(Duration::Seconds(6));
    return Notified(alice);
  };
  const Sent largest = told(kNotifyBodyBytesMax - around);
  EXPECT_EQ(largest.Body().size(), kNotifyBodyBytesMax);
  EXPECT_EQ(StateOf(largest), "open");
  EXPECT_EQ(StateOf(told(kNotifyBodyBytesMax - around + 1)), "closed");
}

TEST_F(Presence, PoolsAtTheirEdgesRefuseAndKeepWhatIsThere) {
  std::vector<std::unique_ptr<Phone>> phones;
  uint32_t taken = 0;
  Sent last;
  for (uint32_t i = 0; i <= World::SmallCapacity().publications; ++i) {
    const std::string name = "u" + std::to_string(i);
    world.users[name] = "x";
    phones.push_back(
        std::make_unique<Phone>(world, name, "192.0.2.50:" + std::to_string(6000 + i)));
    last = Publish(*phones.back(), Document("open"), {}, 600);
    taken += last.Status() == 200 ? 1 : 0;
    world.Advance(Duration::Seconds(1));
  }
  EXPECT_EQ(taken, World::SmallCapacity().publications);
  EXPECT_EQ(last.Status(), 503);
  EXPECT_EQ(engine.presence().store().count(), taken);
}

class FewSubscriptions : public Presence {
 protected:
  static constexpr uint32_t kCount = 2;
  static Capacity OfFew() {
    Capacity capacity = World::SmallCapacity();
    capacity.subscriptions = kCount;
    return capacity;
  }
  FewSubscriptions() : Presence(PresenceOn(), OfFew()) {}
};

TEST_F(FewSubscriptions, OneThatHasNoRoomIsRefusedAndALaterOneTaken) {
  constexpr uint32_t kShared = kCount * (kDialogChunksEach - kDialogChunksOwn);
  const std::string route = std::string((kDialogChunksOwn + kShared / 2) * kDialogChunkBytes, 'r');
  const std::string by_proxy = "Record-Route: <sip:" + route + "@192.0.2.20;lr>\n";
  EXPECT_EQ(Subscribe(alice, bob.uri(), 300, by_proxy).Status(), 200);
  EXPECT_EQ(Notified(alice).Header("Route"), "<sip:" + route + "@192.0.2.20;lr>");
  EXPECT_EQ(Subscribe(alice, bob.uri(), 300, by_proxy).Status(), 503);
  EXPECT_EQ(engine.presence().subscription_count(), 1u);
  const Sent brief = Subscribe(alice, bob.uri());
  EXPECT_EQ(brief.Status(), 200);
  Notified(alice);
  world.Advance(Duration::Seconds(340));  // both are over
  world.Clear();
  EXPECT_EQ(Subscribe(alice, bob.uri(), 300, by_proxy).Status(), 200);
  EXPECT_EQ(Notified(alice).Method(), "NOTIFY");
}

TEST_F(Presence, TheOperatorsRulesComeFirst) {
  dialplan::PresenceRule rule;
  rule.watcher.Assign("alice@.*");
  rule.user.Assign("bob@example\\.com");
  rule.action = dialplan::PresenceAction::kPoliteBlock;
  engine.plan().Begin();
  ASSERT_TRUE(engine.plan().Add(rule).ok());
  rule.watcher.Assign("bob@.*");
  rule.user.Clear();
  rule.action = dialplan::PresenceAction::kBlock;
  ASSERT_TRUE(engine.plan().Add(rule).ok());
  engine.plan().Commit();
  ASSERT_EQ(Publish(bob, Document("open")).Status(), 200);
  ASSERT_EQ(Subscribe(alice, bob.uri()).Status(), 200);
  EXPECT_EQ(StateOf(Notified(alice)), "closed");  // whatever he publishes
  EXPECT_TRUE(world.HasEvent("watch-began alice@example.com bob@example.com polite-block"));
  EXPECT_EQ(Subscribe(bob, alice.uri()).Status(), 403);
  EXPECT_EQ(Subscribe(bob, bob.uri()).Status(), 200);  // himself
  EXPECT_EQ(StateOf(Notified(bob)), "open");
}

TEST_F(Presence, StrangersAreNoWatchersUnlessAllAre) {
  Phone::Spec spec{.method = "SUBSCRIBE", .uri = bob.uri()};
  spec.from = "sip:eve@elsewhere.example";
  spec.headers = kEvent;
  Config config = PresenceOn();
  config.accept_foreign_senders = true;
  engine.Apply(config);
  spec.call_id = "one";
  alice.Send(spec);
  EXPECT_NE(alice.Take().Status(), 200);
  config.presence.watchers = PresenceConfig::Watchers::kAll;
  engine.Apply(config);
  spec.call_id = "two";
  alice.Send(spec);
  EXPECT_EQ(alice.Take().Status(), 200);
  Notified(alice);
}

TEST_F(Presence, OtherEventsAreThePhonesOwn) {
  ASSERT_EQ(bob.Register().Status(), 200);
  Phone::Spec spec{.method = "SUBSCRIBE", .uri = bob.uri()};
  spec.headers = "Event: dialog\n";
  alice.Send(spec);
  const Sent carried = bob.Take();
  EXPECT_EQ(carried.Method(), "SUBSCRIBE");
  bob.Respond(carried, 489);
  EXPECT_EQ(alice.Take().Status(), 489);
  spec.headers = std::string(kEvent) + "Accept: text/plain\n";
  spec.call_id = "accept";
  alice.Send(spec);
  EXPECT_EQ(alice.Take().Status(), 406);
}

TEST_F(Presence, SwitchedOffItEndsAndIsCarried) {
  ASSERT_EQ(Publish(bob, Document("open")).Status(), 200);
  Subscribe(alice, bob.uri());
  Notified(alice);
  engine.Apply(World::DefaultConfig());
  EXPECT_EQ(Notified(alice).Header("Subscription-State"), "terminated;reason=deactivated");
  EXPECT_EQ(engine.presence().store().count(), 0u);
  ASSERT_EQ(bob.Register().Status(), 200);
  Phone::Spec spec{.method = "SUBSCRIBE", .uri = bob.uri()};
  spec.call_id = "carried";
  spec.headers = kEvent;
  alice.Send(spec);
  const Sent carried = bob.Take();
  EXPECT_EQ(carried.Method(), "SUBSCRIBE");
  bob.Respond(carried, 200);
}

TEST_F(Presence, AWatcherBehindAStreamIsToldOverIt) {
  alice.UseTcp();
  Subscribe(alice, bob.uri());
  world.Advance(Duration::Milliseconds(50));
  const Sent notify = alice.Take();
  EXPECT_EQ(notify.stream.index, alice.stream().index);
  alice.Respond(notify, 200);
  world.Hangup(alice.stream());
  world.Advance(Duration::Seconds(6));
  bob.Register();
  world.Advance(Duration::Milliseconds(50));
  const Sent other = alice.Take();  // where her Contact says
  EXPECT_EQ(other.Method(), "NOTIFY");
  EXPECT_FALSE(other.stream.valid());
  world.Deliver(alice.at(), alice.Response(other, 200));
  world.unreachable[World::Key(alice.at())] = true;
  world.Advance(Duration::Seconds(6));
  bob.Register(0, 2);
  world.Advance(Duration::Milliseconds(50));
  EXPECT_EQ(engine.presence().subscription_count(), 0u);
}

TEST_F(Presence, RoutesOfTheSubscriptionAreThoseOfItsNotify) {
  const Sent answer =
      Subscribe(alice, bob.uri(), 300, "Record-Route: <sip:192.0.2.77;lr>\nEvent: x\n");
  ASSERT_EQ(answer.Status(), 400);  // two Events
  const Sent good = Subscribe(alice, bob.uri(), 300, "Record-Route: <sip:192.0.2.77;lr>\n");
  ASSERT_EQ(good.Status(), 200);
  EXPECT_EQ(good.Header("Record-Route"), "<sip:192.0.2.77;lr>");
  EXPECT_EQ(Notified(alice).Header("Route"), "<sip:192.0.2.77;lr>");
}

Config PresenceWithPasswords() {
  Config config = PresenceOn();
  config.authenticate_requests = true;
  return config;
}
class PresenceByPassword : public Presence {
 protected:
  PresenceByPassword() : Presence(PresenceWithPasswords()) {}
};

TEST_F(PresenceByPassword, BothAreAskedForThePassword) {
  Phone::Spec spec{.method = "PUBLISH", .uri = bob.uri()};
  spec.headers = std::string(kEvent) + std::string(kPidf);
  spec.body = Document("open");
  bob.Send(spec);
  const Sent challenge = bob.Take();
  ASSERT_EQ(challenge.Status(), 407);
  EXPECT_EQ(engine.presence().store().count(), 0u);
  spec.cseq = 2;
  spec.headers += bob.Authorization(challenge, "PUBLISH", spec.uri, "builder");
  bob.Send(spec);
  EXPECT_EQ(bob.Take().Status(), 200);
  Phone::Spec watch{.method = "SUBSCRIBE", .uri = bob.uri()};
  watch.headers = kEvent;
  alice.Send(watch);
  const Sent asked = alice.Take();
  ASSERT_EQ(asked.Status(), 407);
  watch.cseq = 2;
  watch.headers += alice.Authorization(asked, "SUBSCRIBE", watch.uri, "wonderland");
  alice.Send(watch);
  EXPECT_EQ(alice.Take().Status(), 200);
  EXPECT_EQ(StateOf(Notified(alice)), "open");
}

}  // namespace
}  // namespace gh::sip::test
