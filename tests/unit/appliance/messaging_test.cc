// What lies between XMPP's engine and the disk: the record of messages, what each kind of row may
// have of the store, and the alarms that tell when one of them does not do what was switched on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/init.h"
#include "firmware/messaging/xmpp_compliance.h"
#include "firmware/messaging/xmpp_keeper.h"
#include "tests/unit/appliance/counting_store.h"
#include "tests/unit/appliance/fake_machine.h"
#include "tests/unit/net/fake_wire.h"
#include "tests/unit/xmpp/world.h"

namespace gh {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using xmpp::test::World;

// --- The record ---

struct Compliance : testing::Test {
  static constexpr uint64_t kBytes = 64 * files::kPageBytes;

  Compliance() {
    crypto::Initialise();
    stream.Open(std::array<uint8_t, files::SealedStream::kKeyBytes>{});
    record.Apply(true, false);
  }
  bool Record(const std::string& stanza) { return record.Record(AsBytes(stanza)); }
  void Write() {
    for (int64_t i = 0; i < 2000; i += 5) {
      clock.now = clock.now + Duration::Milliseconds(5);
      timers.Advance(clock.now);
    }
  }
  std::string All() {
    admin::FileReading reading;
    EXPECT_TRUE(record.OpenRead("messages.txt", reading).ok());
    std::string out;
    while (out.size() < reading.size) {
      uint8_t bytes[1000];
      reading.offset = out.size();
      const auto count = record.Read("messages.txt", reading, bytes);
      if (!count.ok() || *count == 0) {
        break;
      }
      out += AsText(std::span(bytes).first(*count));
    }
    return out;
  }

  store::FakeDisk disk{512, kBytes / 512};
  gh::test::Memory memory{files::SealedStream::ArenaBytes() + 65536};
  Arena arena{memory};
  net::test::FakeClock clock;
  TimerWheel timers{clock.now};
  net::test::SeededEntropy entropy{3};
  crypto::Random random{entropy};
  files::SealedStream stream{arena, timers, random, &disk, 0, kBytes};
  XmppCompliance record{stream, clock};
};

TEST_F(Compliance, IsALineForEachMessage) {
  const std::string long_body(2000, 'x');  // more than is written at a time
  EXPECT_TRUE(Record("<message><body>one\ntwo\r\nthree</body></message>"));
  EXPECT_TRUE(Record("<message><body>" + long_body + "\n</body></message>"));
  Write();
  const std::string all = All();
  EXPECT_EQ(std::ranges::count(all, '\n'), 2);
  EXPECT_THAT(all, HasSubstr("Z <message><body>one&#10;two&#13;&#10;three</body></message>\n"));
  EXPECT_THAT(all, HasSubstr("<body>" + long_body + "&#10;</body></message>\n"));
  EXPECT_EQ(record.recorded(), 2u);
  EXPECT_EQ(record.missed(), 0u);
}

// The whole line or none; whether the message goes on is the operator's to say.
TEST_F(Compliance, WhatCannotBeRecordedIsCounted) {
  const std::string most(files::kBehindMax - 64, 'x');  // all that may wait for the disk
  EXPECT_TRUE(Record(most + "x"));
  EXPECT_EQ(record.missed(), 1u);
  record.Apply(true, true);
  EXPECT_FALSE(Record(most + "x"));
  EXPECT_FALSE(Record(most.substr(3) + "\n"));  // five bytes in the record
  EXPECT_EQ(record.missed(), 3u);
  EXPECT_EQ(record.recorded(), 0u);
  EXPECT_TRUE(Record(most));
  EXPECT_FALSE(Record(most));
  Write();
  EXPECT_TRUE(Record(most));  // it was written meanwhile
  EXPECT_EQ(record.missed(), 4u);
  record.Apply(false, true);  // switched off, nothing is refused
  EXPECT_TRUE(Record(most + most));
  EXPECT_EQ(record.recorded(), 2u);
}

// --- The store ---

struct KeeperShare : testing::Test {
  // Looks at a keeper that was loaded when so much of the store is used.
  auto With(uint64_t used, auto look) {
    gh::test::Memory memory(8u << 20);
    Arena arena(memory);
    net::test::FakeClock clock;
    EventLoop loop{clock};
    log::Log log{arena, clock, 64};
    alarm::Alarms alarms{log, clock};
    CountingStore store;
    store.its_status.persistent = true;
    store.its_status.bytes_used = used;
    store.its_status.bytes_capacity = kCapacity;
    XmppKeeper keeper{arena, loop, clock, store, log, alarms};
    World world{World::FewCapacity(), World::FewBytes(), xmpp::test::kDomain, &keeper};
    keeper.SetEngine(world.engine());
    keeper.Load();
    return look(keeper);
  }
  // Whether a row is taken then; what waits, as the first start's secret, counts as used.
  bool Takes(const char* key, uint64_t used) {
    const uint64_t waits = With(0, [](XmppKeeper& keeper) { return keeper.room().used; });
    return With(used - waits, [key](XmppKeeper& keeper) {
      return keeper.Put(key, AsBytes(std::string_view("row"))) != 0;
    });
  }
  static constexpr uint64_t kCapacity = 1'000'000;
};

TEST_F(KeeperShare, OfMessagesAndOfEverythingElse) {
  const uint64_t messages = kCapacity / 100 * xmpp::kMessageStorePercent;
  for (const char* key : {"m0000000100000001", "t0000000100000001", "u0000000100000001"}) {
    EXPECT_TRUE(Takes(key, messages)) << key;
    EXPECT_FALSE(Takes(key, messages + 1)) << key;
  }
  const uint64_t rows = kCapacity / 100 * xmpp::kRowStorePercent;
  for (const char* key : {"a00000001", "c0000000100000001"}) {
    EXPECT_TRUE(Takes(key, rows)) << key;
    EXPECT_FALSE(Takes(key, rows + 1)) << key;
  }
}

// --- Alarms ---

// A machine without an address, and without a log partition.
struct MessagingAlarms : testing::Test {
  MessagingAlarms() {
    machine.boot.provision =
        "xConfiguration System Name: edge1\n"
        "xConfiguration Administrator 1 Name: admin\n"
        "xConfiguration Administrator 1 Password: Correct-Horse-7\n"
        "xConfiguration SIP Domain 1 Name: example.com\n"
        "xConfiguration XMPP Domain 1 Name: example.com\n";
    GH_ASSERT(machine.Start().ok());
    machine.Line("admin");
    machine.Line("Correct-Horse-7", 1);
  }
  // What was switched on, and its alarm in words.
  void RaisedAndCleared(const std::vector<std::string>& on, const std::string& off,
                        const std::string& title) {
    EXPECT_THAT(machine.Line("xStatus Alarm"), Not(HasSubstr(title)));
    for (const std::string& each : on) {
      EXPECT_THAT(machine.Line("xConfiguration " + each, 2), HasSubstr("OK")) << each;
    }
    EXPECT_THAT(machine.Line("xStatus Alarm", 2), HasSubstr(title));
    EXPECT_THAT(machine.Line("xConfiguration " + off, 2), HasSubstr("OK"));
    EXPECT_THAT(machine.Line("xStatus Alarm", 2), Not(HasSubstr(title)));
  }
  store::FakeDisk disk{512, (2u << 20) / 512};
  FakeMachine machine{&disk};
};

TEST_F(MessagingAlarms, OfWhoDoesNotServe) {
  RaisedAndCleared({"XMPP Mode: On"}, "XMPP Mode: Off", "XMPP is on but does not serve");
  RaisedAndCleared({"XMPP Mode: On", "XMPP Federation Mode: On"}, "XMPP Federation Mode: Off",
                   "XMPP federation is on but does not serve");
}

TEST_F(MessagingAlarms, OfFilesAndTheRecordWithoutADisk) {
  machine.Line("xConfiguration XMPP Mode: On");
  RaisedAndCleared({"XMPP Upload Mode: On"}, "XMPP Upload Mode: Off", "XMPP files are not kept");
  RaisedAndCleared({"XMPP Compliance Mode: On"}, "XMPP Compliance Mode: Off",
                   "XMPP messages are not recorded");
  const std::string log = machine.Line("xCommand Log Show: text=compliance-failed", 1);
  EXPECT_THAT(log, HasSubstr("xmpp-compliance-failed"));
  EXPECT_THAT(log, HasSubstr("there is no room for it"));
}

}  // namespace
}  // namespace gh
