// Power cuts at every I/O of a server for chat: the engine, its keeper and the store's SQLite on
// its partition.
//
// After a cut, what was acknowledged to its sender (XEP-0198) waits for the user it is for, once,
// in the order it was sent, and is in the archives of both; so is what an archive has shown, of a
// user or of a room.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "board/sim/disk.h"
#include "firmware/messaging/xmpp_keeper.h"
#include "firmware/store/sqlite_store.h"
#include "tests/unit/xmpp/world.h"

namespace gh::powercut {
namespace {

using xmpp::test::Between;
using xmpp::test::Client;

constexpr uint64_t kStoreBytes = 1024 * 1024;
constexpr uint32_t kMessageCount = 4;
constexpr size_t kContactBytes = 400;  // of the name of a contact's group
constexpr const char* kRoom = "lab@rooms.example.com";
// A third of the ways that a disk may be left in, another third for each I/O.
constexpr uint32_t kKindCount = 36;
constexpr uint32_t kKindStep = 3;

// A machine between two power cuts.
class Site {
 public:
  explicit Site(sim::SimDisk& disk)
      : disk_(disk),
        memory_(8u << 20),
        arena_({memory_.data(), memory_.size()}),
        log_(arena_, clock_, 64),
        alarms_(log_, clock_) {
    store_ = arena_.New<store::SqliteStore>(arena_, disk, clock_, 1u << 20,
                                            store::Sealing{random_, wrapper_});
    opened = store_->Open();
    keeper_ = arena_.New<XmppKeeper>(arena_, loop_, clock_, *store_, log_, alarms_);
    world = std::make_unique<xmpp::test::World>(xmpp::test::World::FewCapacity(),
                                                xmpp::test::World::FewBytes(), xmpp::test::kDomain,
                                                keeper_);
    keeper_->SetEngine(world->engine());
    loop_.Add(*store_);
    if (opened.ok()) {
      keeper_->Load();
    }
    world->settle = [this] { Settle(); };
  }
  ~Site() {
    world.reset();  // its sessions write nothing more than a power cut would let them
    disk_.Forget();
  }
  // Until what is gathered is durable, or cannot be.
  void Settle() {
    for (int turn = 0; turn < 3 || (turn < 40 && keeper_->pending_count() > 0); ++turn) {
      clock_.now = clock_.now + Duration::Milliseconds(25);
      (void)loop_.RunOnce();
    }
  }
  store::StoreStatus stored() const { return store_->status(); }
  const XmppKeeper& keeper() const { return *keeper_; }
  bool is_damaged() const { return log_.next_sequence() != log_.first_sequence(); }

  Result<void> opened;
  std::unique_ptr<xmpp::test::World> world;

 private:
  sim::SimDisk& disk_;
  std::vector<uint8_t> memory_;
  Arena arena_;
  net::test::FakeClock clock_;
  net::test::SeededEntropy entropy_{3};
  crypto::Random random_{entropy_};
  store::NoWrapper wrapper_;
  EventLoop loop_{clock_};
  log::Log log_;
  alarm::Alarms alarms_;
  store::SqliteStore* store_ = nullptr;  // dropped without a word, as by a power cut
  XmppKeeper* keeper_ = nullptr;
};

std::string Body(uint32_t number) { return "<body>message " + std::to_string(number) + "<"; }

// Bodies of the messages in what a client got, in their order.
std::vector<std::string> BodiesOf(std::string_view text) {
  std::vector<std::string> out;
  for (size_t at = text.find("<body>"); at != std::string_view::npos;
       at = text.find("<body>", at + 1)) {
    out.emplace_back(text.substr(at, text.find('<', at + 1) + 1 - at));
  }
  return out;
}

std::vector<std::string> Archived(Client& client, const std::string& of = "") {
  return BodiesOf(
      client.Say("<iq type='set' id='q'" + of + "><query xmlns='urn:xmpp:mam:2'/></iq>"));
}

// What its room has of it, for one who enters.
std::vector<std::string> RoomArchived(Client& client, const std::string& nick) {
  client.Say(
      "<presence to='" + (kRoom + ("/" + nick)) +
      "'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>");
  return Archived(client, std::string(" to='") + kRoom + "'");
}

// What alice was promised before the power went.
struct Promise {
  uint32_t acknowledged = 0;          // messages to bob, who is away
  std::vector<std::string> archived;  // as her archive has shown it
  std::vector<std::string> in_room;   // as the room's has
};

Promise Chat(sim::SimDisk& disk) {
  Promise promise;
  Site site(disk);
  if (!site.opened.ok() || site.world->engine().directory().account_count() != 2) {
    return promise;
  }
  Client alice(*site.world, 1);
  alice.LogIn("alice", "a");
  alice.Say("<enable xmlns='urn:xmpp:sm:3'/>");
  for (uint32_t i = 0; i < kMessageCount; ++i) {
    alice.Say("<message to='bob@example.com' type='chat'>" + Body(i) +
              "/body></message><r xmlns='urn:xmpp:sm:3'/>");
    site.Settle();
    const std::string answer = Between(alice.Take(), " h='", "'");
    promise.acknowledged =
        answer.empty() ? promise.acknowledged : static_cast<uint32_t>(std::stoul(answer));
  }
  promise.archived = Archived(alice);
  (void)RoomArchived(alice, "al");
  alice.Say("<message to='" + std::string(kRoom) + "' type='groupchat'>" + Body(100) +
            "/body></message>");
  promise.in_room = Archived(alice, std::string(" to='") + kRoom + "'");
  if (disk.cut_happened()) {
    promise.in_room.clear();
    promise.archived.clear();  // what it said without power was heard by nobody
  }
  return promise;
}

std::vector<uint8_t> PreparedDisk() {
  sim::SimDisk disk("store", sim::Random(1), kStoreBytes);
  Site site(disk);
  EXPECT_TRUE(site.opened.ok());
  site.world->AddUser("alice");
  site.world->AddUser("bob");
  Client alice(*site.world, 1);
  alice.LogIn("alice", "a");
  (void)RoomArchived(alice, "al");
  alice.Say("<iq type='set' id='o' to='" + std::string(kRoom) +
            "'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' "
            "type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig"
            "</value></field><field var='muc#roomconfig_persistentroom'><value>1</value></field>"
            "</x></query></iq>");
  EXPECT_EQ(site.world->engine().rooms().persistent_count(), 1u);
  site.Settle();
  return {disk.durable().begin(), disk.durable().end()};
}

sim::CutDamage DamageOf(uint64_t kind) {
  return {static_cast<sim::Keep>(kind % 3), static_cast<sim::Tear>(kind / 3 % 4),
          static_cast<sim::Flip>(kind / 12 % 3)};
}

// What went wrong, or nothing.
std::string RunCase(std::span<const uint8_t> content, uint64_t io, uint64_t kind) {
  sim::Random random(7, std::to_string(io * kKindCount + kind));
  sim::SimDisk disk("store", sim::Random(random.Next()), kStoreBytes);
  disk.Restore(content);
  disk.PlanCut(io, DamageOf(kind));
  const Promise promise = Chat(disk);
  disk.CutPower(DamageOf(kind));
  disk.PowerOn();
  Site site(disk);
  const bool is_flipped = DamageOf(kind).flip != sim::Flip::kNone;
  if (!site.opened.ok() || site.is_damaged()) {
    return is_flipped ? "" : "the store cannot be read";
  }
  Client alice(*site.world, 1), bob(*site.world, 2);
  alice.LogIn("alice", "a");
  bob.LogIn("bob", "b");
  const auto waited = BodiesOf(bob.Say("<presence/>"));
  if (waited.size() < promise.acknowledged) {
    return "an acknowledged message is lost";
  }
  for (uint32_t i = 0; i < waited.size(); ++i) {
    if (waited[i] != Body(i)) {
      return "not the messages that were sent, once and in their order";
    }
  }
  const auto of_alice = Archived(alice), of_bob = Archived(bob);
  if (of_alice.size() < promise.acknowledged || of_bob.size() < promise.acknowledged) {
    return "an acknowledged message is not in the archives";
  }
  const bool is_kept =
      promise.archived.size() <= of_alice.size() &&
      std::equal(promise.archived.begin(), promise.archived.end(), of_alice.begin());
  if (!is_kept) {
    return "what an archive has shown is not there";
  }
  return RoomArchived(alice, "al").size() >= promise.in_room.size()
             ? ""
             : "what a room's archive has shown is not there";
}

TEST(PowerCutXmpp, EveryIoOfMessagesThatWait) {
  const auto content = PreparedDisk();
  sim::SimDisk probe("store", sim::Random(1), kStoreBytes);
  probe.Restore(content);
  const Promise whole = Chat(probe);
  ASSERT_EQ(whole.acknowledged, kMessageCount);
  ASSERT_EQ(whole.archived.size(), kMessageCount);
  ASSERT_EQ(whole.in_room.size(), 1u);
  uint64_t cuts = 0, failures = 0;
  for (uint64_t io = 1; io <= probe.io_count(); ++io) {
    for (uint64_t kind = io % kKindStep; kind < kKindCount; kind += kKindStep, ++cuts) {
      const std::string wrong = RunCase(content, io, kind);
      if (!wrong.empty() && ++failures <= 5) {
        ADD_FAILURE() << wrong << ": I/O " << io << ", kind " << kind;
      }
    }
  }
  std::printf("messages that wait             %4llu I/Os  %7llu cuts  failures %llu\n",
              static_cast<unsigned long long>(probe.io_count()),
              static_cast<unsigned long long>(cuts), static_cast<unsigned long long>(failures));
  EXPECT_EQ(failures, 0u);
}

// Its commits take as long as it is told.
class SlowStore final : public store::Store {
 public:
  explicit SlowStore(net::test::FakeClock& clock) : clock_(clock) {}
  Result<void> ForEach(store::EntryVisitor&) override { return Ok(); }
  Result<void> Begin() override { return Ok(); }
  Result<void> Put(std::string_view, std::span<const uint8_t>) override { return Ok(); }
  Result<void> Remove(std::string_view) override { return Ok(); }
  Result<void> RemoveAll() override { return Ok(); }
  Result<void> Commit() override {
    clock_.now = clock_.now + commit_time;
    return Ok();
  }
  void Rollback() override {}
  store::StoreStatus status() const override { return {}; }
  Duration commit_time = Duration::Milliseconds(1);

 private:
  net::test::FakeClock& clock_;
};

TEST(XmppKeeper, ASlowDiskHoldsAQuarterOfTheTimeAtMost) {
  std::vector<uint8_t> memory(8u << 20);
  Arena arena({memory.data(), memory.size()});
  net::test::FakeClock clock;
  EventLoop loop(clock);
  log::Log log(arena, clock, 64);
  alarm::Alarms alarms(log, clock);
  SlowStore slow(clock);
  auto* keeper = arena.New<XmppKeeper>(arena, loop, clock, slow, log, alarms);
  xmpp::test::World world(xmpp::test::World::FewCapacity(), xmpp::test::World::FewBytes(),
                          xmpp::test::kDomain, keeper);
  keeper->SetEngine(world.engine());
  const uint8_t row[] = {1};
  // Whether what is put now is durable after so long.
  const auto kept_after = [&](int64_t ms) {
    (void)loop.RunOnce();  // the wheel's time is the last commit's beginning
    (void)loop.RunOnce();
    const uint64_t commit = keeper->Put("m00000001", row);
    const Instant end = clock.now + Duration::Milliseconds(ms);
    while (clock.now < end && keeper->durable() < commit) {
      clock.now = clock.now + Duration::Milliseconds(1);
      (void)loop.RunOnce();
    }
    const bool kept = keeper->durable() >= commit;
    keeper->Flush();
    return kept;
  };
  EXPECT_TRUE(kept_after(25));
  EXPECT_EQ(keeper->gather(), Duration::Milliseconds(20));
  slow.commit_time = Duration::Milliseconds(40);
  EXPECT_TRUE(kept_after(25));
  EXPECT_EQ(keeper->gather(), Duration::Milliseconds(120));
  EXPECT_FALSE(kept_after(110));
  EXPECT_TRUE(kept_after(125));
  slow.commit_time = Duration::Seconds(2);
  (void)keeper->Put("m00000001", row);
  keeper->Flush();
  EXPECT_EQ(keeper->gather(), Duration::Milliseconds(300));
  slow.commit_time = Duration::Milliseconds(1);
  EXPECT_TRUE(kept_after(305));
  EXPECT_EQ(keeper->gather(), Duration::Milliseconds(20));
}

// Its commits are under way until they are told durable, or lost.
class LateStore final : public store::Store {
 public:
  Result<void> ForEach(store::EntryVisitor&) override { return Ok(); }
  Result<void> Begin() override { return Ok(); }
  Result<void> Put(std::string_view, std::span<const uint8_t>) override { return Ok(); }
  Result<void> Remove(std::string_view) override { return Ok(); }
  Result<void> RemoveAll() override { return Ok(); }
  Result<void> Commit() override { return Ok(); }
  void Rollback() override {}
  store::StoreStatus status() const override { return {}; }
  Result<void> PutIn(store::Table, std::string_view key, std::span<const uint8_t>) override {
    rows += std::string(key) + " ";
    return Ok();
  }
  Result<void> RemoveIn(store::Table, std::string_view key) override {
    rows += "-" + std::string(key) + " ";
    return Ok();
  }
  Result<store::LateCommit> CommitLater() override { return store::LateCommit{++commits, losses}; }
  store::CommitState StateOf(const store::LateCommit& commit) const override {
    return commit.failures != losses   ? store::CommitState::kLost
           : commit.barrier <= durable ? store::CommitState::kDurable
                                       : store::CommitState::kUnderWay;
  }
  void Drain() override {
    ++drains;
    durable = commits;
  }
  std::string rows;
  uint64_t commits = 0, durable = 0, losses = 0, drains = 0;
};

class KeeperTest : public ::testing::Test {
 protected:
  KeeperTest() { keeper_->SetEngine(world_.engine()); }
  void Wait(int64_t ms) {
    for (const Instant end = clock_.now + Duration::Milliseconds(ms); clock_.now < end;) {
      clock_.now = clock_.now + Duration::Milliseconds(1);
      (void)loop_.RunOnce();
    }
  }
  std::vector<uint8_t> memory_ = std::vector<uint8_t>(12u << 20);
  Arena arena_{{memory_.data(), memory_.size()}};
  net::test::FakeClock clock_;
  EventLoop loop_{clock_};
  log::Log log_{arena_, clock_, 64};
  alarm::Alarms alarms_{log_, clock_};
  LateStore late_;
  XmppKeeper* keeper_ = arena_.New<XmppKeeper>(arena_, loop_, clock_, late_, log_, alarms_);
  xmpp::test::World world_{xmpp::test::World::FewCapacity(), xmpp::test::World::FewBytes(),
                           xmpp::test::kDomain, keeper_};
  const uint8_t row_[1] = {1};
};

TEST_F(KeeperTest, WhileOneBatchIsOnItsWayTheNextIsGathered) {
  const uint64_t first = keeper_->Put("m1", row_);
  Wait(25);
  EXPECT_EQ(late_.rows, "m1 ");
  const uint64_t second = keeper_->Put("m2", row_);
  EXPECT_EQ(second, first + 1);
  EXPECT_EQ(keeper_->gathering(), second);
  uint8_t out[8];
  EXPECT_EQ(keeper_->Read("m1", out), 1u);  // on its way
  EXPECT_EQ(keeper_->Read("m2", out), 1u);
  Wait(500);
  EXPECT_EQ(late_.rows, "m1 ");  // one at a time
  EXPECT_LT(keeper_->durable(), first);
  late_.durable = 1;
  Wait(1);
  EXPECT_EQ(keeper_->durable(), first);
  Wait(25);
  EXPECT_EQ(late_.rows, "m1 m2 ");
  EXPECT_EQ(late_.drains, 0u);
  late_.durable = 2;
  Wait(1);
  EXPECT_EQ(keeper_->durable(), second);
  EXPECT_EQ(keeper_->pending_count(), 0u);
}

// A message that is on its way has to be removed again; one that is gathered was never there.
TEST_F(KeeperTest, WhatIsOnItsWayIsRemovedByTheNext) {
  (void)keeper_->Put("m1", row_);
  Wait(25);
  (void)keeper_->Put("m2", row_);
  const uint64_t gone = keeper_->Remove("m1");
  EXPECT_EQ(keeper_->Remove("m2"), gone);
  late_.durable = 1;
  Wait(25);
  EXPECT_EQ(late_.rows, "m1 -m1 ");
  uint8_t out[8];
  EXPECT_EQ(keeper_->Read("m1", out), 0u);
  late_.durable = 2;
  Wait(1);
  EXPECT_EQ(keeper_->durable(), gone);
}

TEST_F(KeeperTest, ALostBatchIsSentAgain) {
  const uint64_t first = keeper_->Put("m1", row_);
  Wait(25);
  ++late_.losses;
  Wait(1);
  EXPECT_TRUE(alarms_.IsRaised(log::AlarmId::kXmppStore));
  EXPECT_NE(keeper_->Put("m2", row_), 0u);
  Wait(1100);
  EXPECT_EQ(late_.rows, "m1 m1 ");
  EXPECT_LT(keeper_->durable(), first);
  late_.durable = late_.commits;
  Wait(1);
  EXPECT_EQ(keeper_->durable(), first);
  EXPECT_FALSE(alarms_.IsRaised(log::AlarmId::kXmppStore));
  Wait(25);
  EXPECT_EQ(late_.rows, "m1 m1 m2 ");
}

// Nothing is refused before both batches are full, and then the disk is waited for.
TEST_F(KeeperTest, TwoFullBatchesWaitForTheDisk) {
  const auto fill = [&](int from, int count) {
    for (int i = from; i < from + count; ++i) {
      ASSERT_NE(keeper_->Put("m" + std::to_string(i), row_), 0u);
    }
  };
  fill(0, 2048);
  Wait(25);
  EXPECT_EQ(late_.commits, 1u);
  fill(2048, 2048);
  EXPECT_EQ(late_.drains, 0u);
  fill(4096, 1);
  EXPECT_EQ(late_.drains, 1u);
  EXPECT_EQ(late_.commits, 2u);
  keeper_->Flush();
  EXPECT_EQ(keeper_->pending_count(), 0u);
  EXPECT_EQ(late_.commits, 3u);
}

// A store of 26 pages: archives give way to each other and to what waits; what is acknowledged is
// there, what is refused is not, and nothing is ever kept back.
TEST(FullXmppStore, NothingAcknowledgedIsLost) {
  const auto content = PreparedDisk();
  sim::SimDisk disk("store", sim::Random(1), kStoreBytes);
  disk.Restore(content);
  const std::string pad(500, 'x');
  uint32_t kept = 0, sent = 0;
  {
    Site site(disk);
    xmpp::Config config = xmpp::test::World::MakeConfig();
    config.messages_per_user = 1000;
    site.world->engine().Apply(config);
    Client alice(*site.world, 1);
    alice.LogIn("alice", "a");
    {
      Client bob(*site.world, 2);
      bob.LogIn("bob", "b");
      bob.Say("<presence/>");
      for (; sent < 300; ++sent) {
        alice.Say("<message to='bob@example.com' type='chat'>" + Body(sent) + "/body><subject>" +
                  pad + "</subject></message>");
        ASSERT_NE(bob.Take().find(Body(sent)), std::string::npos);
        site.Settle();
      }
      bob.Break();
    }
    EXPECT_FALSE(site.is_damaged());
    EXPECT_GT(site.world->engine().archive().pruned_count(), 300u);
    EXPECT_EQ(site.world->engine().archive().refused_count(), 0u);
    EXPECT_LE(site.stored().bytes_used, site.stored().bytes_capacity * 3 / 4);
    const auto last_page = BodiesOf(alice.Say(
        "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'><set "
        "xmlns='http://jabber.org/protocol/rsm'><max>3</max><before/></set></query></iq>"));
    ASSERT_EQ(last_page.size(), 3u);
    EXPECT_EQ(last_page.back(), Body(sent - 1));
    // Now he is away.
    std::string answer;
    for (; answer.find("service-unavailable") == std::string::npos && kept < 1000; ++kept) {
      answer = alice.Say("<message to='bob@example.com' type='chat'>" + Body(sent + kept) +
                         "/body><subject>" + pad + "</subject></message>");
      site.Settle();
    }
    --kept;
    EXPECT_GT(kept, 20u);
    EXPECT_GT(site.keeper().refused_count(), 0u);
    EXPECT_EQ(site.keeper().pending_count(), 0u);
    EXPECT_FALSE(site.is_damaged());
  }
  Site site(disk);
  ASSERT_TRUE(site.opened.ok());
  Client bob(*site.world, 2);
  bob.LogIn("bob", "b");
  const auto waited = BodiesOf(bob.Say("<presence/>"));
  ASSERT_EQ(waited.size(), kept);
  EXPECT_EQ(waited.front(), Body(sent));
  EXPECT_EQ(waited.back(), Body(sent + kept - 1));
}

// Lists stop before the configuration's share begins: what was answered with a result is there
// after a restart, and the rest was refused in RFC 6120's words.
TEST(FullXmppStore, ListsAreRefusedAndNothingOfThemIsLost) {
  const auto content = PreparedDisk();
  sim::SimDisk disk("store", sim::Random(1), kStoreBytes);
  disk.Restore(content);
  const std::string pad(kContactBytes, 'x');
  uint32_t kept = 0;
  {
    Site site(disk);
    Client alice(*site.world, 1);
    alice.LogIn("alice", "a");
    std::string answer;
    for (; kept < 1000; ++kept) {
      answer = alice.Say("<iq type='set' id='l'><query xmlns='jabber:iq:roster'><item jid='friend" +
                         std::to_string(kept) + "@example.com'><group>" + pad +
                         "</group></item></query></iq>");
      site.Settle();
      if (answer.find("type='result'") == std::string::npos) {
        break;
      }
    }
    EXPECT_NE(answer.find("<error type='wait'><resource-constraint"), std::string::npos) << answer;
    EXPECT_GT(kept, 50u);
    EXPECT_GT(site.keeper().refused_count(), 0u);
    EXPECT_LE(site.stored().bytes_used, site.stored().bytes_capacity * 95 / 100);
    EXPECT_FALSE(site.is_damaged());
    // What makes room is taken.
    alice.Say(
        "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='"
        "friend0@example.com' subscription='remove'/></query></iq>");
    site.Settle();
  }
  Site site(disk);
  ASSERT_TRUE(site.opened.ok());
  EXPECT_EQ(site.world->engine().directory().contact_count(), kept - 1);
  EXPECT_FALSE(site.is_damaged());
}

// The judge sees a promise that is broken: commits that never reach the medium.
TEST(PowerCutXmpp, ALostMessageIsSeen) {
  const auto content = PreparedDisk();
  sim::SimDisk disk("store", sim::Random(1), kStoreBytes);
  disk.Restore(content);
  const Promise promise = Chat(disk);
  ASSERT_GT(promise.acknowledged, 0u);
  disk.CutPower({});
  disk.Restore(content);  // as if nothing had been written
  disk.PowerOn();
  Site site(disk);
  Client bob(*site.world, 2);
  bob.LogIn("bob", "b");
  EXPECT_LT(BodiesOf(bob.Say("<presence/>")).size(), promise.acknowledged);
}

}  // namespace
}  // namespace gh::powercut
