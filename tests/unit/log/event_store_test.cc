// The event log on the disk: what is written is read again, over restarts, laps of the ring, power
// cuts and damage; and the words that filter it.
#include "firmware/log/event_store.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "firmware/log/event_filter.h"
#include "firmware/log/render.h"
#include "tests/unit/rt/memory.h"
#include "tests/unit/store/fake_disk.h"

namespace gh::log {
namespace {

constexpr uint64_t kPages = 20;
constexpr uint64_t kDiskBytes = kCrashAreaBytes + kPages * kEventPageBytes;

// A run: a log in memory and its store, on a disk that outlives it.
class Life {
 public:
  explicit Life(store::FakeDisk& disk, uint32_t ring = 256)
      : memory_(4u << 20), arena_(memory_), log(arena_, clock, ring) {
    events = arena_.New<EventStore>(arena_, disk, log);
    opened = events->Open();
    if (opened.ok()) {
      log.StartAt(events->next_sequence());
    }
  }
  void Emit(const std::string& port) { log.Emit(event::LinkUp{.port = port}); }
  void Steps(int count = 40) {
    for (int i = 0; i < count; ++i) {
      (void)events->Step(clock.now);
      clock.now = clock.now + Duration::Milliseconds(50);
    }
  }
  std::string PortOf(uint64_t sequence) {
    Record record;
    if (!events->Find(sequence, record)) {
      return "none";
    }
    return std::to_string(record.sequence) + "=" + std::string(FieldOf(record, "port"));
  }

 private:
  gh::test::Memory memory_;
  Arena arena_;

 public:
  store::FakeClock clock;
  Log log;
  EventStore* events;
  Result<void> opened;
};

TEST(EventStore, KeepsEventsOverRestartsAndNumbersGoOn) {
  store::FakeDisk disk(512, kDiskBytes / 512);
  {
    Life run(disk);
    ASSERT_TRUE(run.opened.ok());
    run.events->SetRun("first");
    run.Emit("a");
    run.Emit("b");
    run.Steps();
    run.Emit("c");
    run.events->Flush();
  }
  Life run(disk);
  EXPECT_EQ(run.log.next_sequence(), 4u);
  EXPECT_EQ(run.PortOf(1), "1=a");
  EXPECT_EQ(run.events->found_run_id(), "first");
  EXPECT_EQ(run.PortOf(3), "3=c");
  EXPECT_EQ(run.PortOf(4), "none");
  run.Emit("d");
  run.Steps();
  EXPECT_EQ(run.PortOf(4), "4=d");
  EXPECT_EQ(run.PortOf(2), "2=b");
}

// A partition large enough is shared with files. A ring that had it alone is taken over.
TEST(EventStore, AnOldRingsNumbersGoOnInASharedPartition) {
  constexpr uint64_t kShared = (EventBytesOf(kFilesPartitionMin) - kCrashAreaBytes) / 4096;
  store::FakeDisk before(512, kFilesPartitionMin / 512 - 1);  // one block too small to be shared
  before.IgnoreFlushes();
  uint64_t last = 0;
  {
    Life run(before);
    EXPECT_GT(run.events->slot_count(), kShared);
    run.events->SetMark(0, {9, 1000});
    for (; last < kShared + 60; ++last) {
      run.clock.now = run.clock.now + Duration::Seconds(1);  // as many as may be told
      run.Emit("old");
      run.events->Flush();
    }
  }
  store::FakeDisk disk(512, kFilesPartitionMin / 512);
  disk.IgnoreFlushes();
  disk.Put(0, before.raw());
  for (int start = 0; start < 3; ++start) {
    Life run(disk);
    ASSERT_TRUE(run.opened.ok());
    EXPECT_EQ(run.events->slot_count(), kShared);
    EXPECT_EQ(run.log.next_sequence(), last + 1);
    EXPECT_EQ(run.events->MarkOf(9), 1000u);
    EXPECT_EQ(run.events->page_count(), static_cast<uint64_t>(start));
    run.events->SetMark(0, {9, 1000});
    run.Emit("new");
    run.events->Flush();
    ++last;
    EXPECT_EQ(run.PortOf(last), std::to_string(last) + "=new");
    EXPECT_EQ(run.events->first_sequence(), last - static_cast<uint64_t>(start));
  }
}

TEST(EventStore, AFewEventsWaitForCompanyAndGraveOnesDoNot) {
  store::FakeDisk disk(4096, kDiskBytes / 4096);
  Life run(disk);
  run.Emit("a");
  run.Steps(3);
  EXPECT_EQ(run.events->newest_page(), 0u);
  run.log.Emit(event::StoreFailed{.reason = "disk"});
  run.Steps(3);
  EXPECT_EQ(run.events->newest_page(), 1u);
  EXPECT_EQ(run.PortOf(1), "1=a");
}

TEST(EventStore, AFullRingOverwritesItsOldestForManyLaps) {
  store::FakeDisk disk(512, kDiskBytes / 512);
  uint64_t last = 0;
  for (int lap = 0; lap < 7; ++lap) {
    Life run(disk);
    ASSERT_EQ(run.log.next_sequence(), last + 1) << "restart " << lap;
    for (int page = 0; page < 9; ++page) {
      run.Emit("p" + std::to_string(last + 1));
      ++last;
      run.events->Flush();
    }
    const uint64_t oldest = run.events->first_sequence();
    EXPECT_EQ(oldest, last > kPages - 1 ? last - kPages + 2 : 1);
    for (uint64_t at = oldest; at <= last; ++at) {
      EXPECT_EQ(run.PortOf(at), std::to_string(at) + "=p" + std::to_string(at));
    }
    EXPECT_EQ(run.PortOf(1), std::to_string(oldest) + "=p" + std::to_string(oldest));
  }
}

TEST(EventStore, APowerCutCostsNothingThatWasOnTheDisk) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    std::mt19937_64 random(seed);
    store::FakeDisk disk(seed % 2 == 0 ? 512 : 4096, kDiskBytes / (seed % 2 == 0 ? 512 : 4096));
    uint64_t kept = 0;
    uint64_t emitted = 0;
    disk.CutAfter(seed);
    {
      Life run(disk);
      for (int i = 0; i < 60 && run.opened.ok() && !disk.is_off(); ++i) {
        run.Emit("p" + std::to_string(++emitted));
        run.Steps(14);
        kept = run.events->next_sequence() - 1;
      }
    }
    disk.PowerCut(random);
    Life run(disk);
    ASSERT_TRUE(run.opened.ok());
    const uint64_t last = run.log.next_sequence() - 1;
    EXPECT_GE(last, kept) << "seed " << seed;
    EXPECT_LE(last, emitted);
    for (uint64_t at = run.events->first_sequence(); at <= last; ++at) {
      EXPECT_EQ(run.PortOf(at), std::to_string(at) + "=p" + std::to_string(at)) << "seed " << seed;
    }
    run.Emit("after");
    run.events->Flush();
    EXPECT_EQ(run.PortOf(last + 1), std::to_string(last + 1) + "=after");
  }
}

TEST(EventStore, ADamagedPageCostsItsOwnEventsOnly) {
  for (uint64_t damaged = 0; damaged < 12; ++damaged) {
    store::FakeDisk disk(512, kDiskBytes / 512);
    {
      Life run(disk);
      for (int i = 1; i <= 12; ++i) {
        run.Emit("p" + std::to_string(i));
        run.events->Flush();
      }
    }
    disk.FlipBit((kCrashAreaBytes + damaged * kEventPageBytes + 300) * 8);
    Life run(disk);
    const uint64_t last = damaged == 11 ? 11 : 12;
    EXPECT_EQ(run.log.next_sequence(), last + 1) << damaged;
    for (uint64_t at = 1; at <= last; ++at) {
      const uint64_t found = at == damaged + 1 ? at + 1 : at;
      EXPECT_EQ(run.PortOf(at), std::to_string(found) + "=p" + std::to_string(found));
    }
  }
}

TEST(EventStore, ADiskThatFailsIsToldAndTriedAgain) {
  store::FakeDisk disk(512, kDiskBytes / 512);
  Life run(disk);
  disk.FailAt(1, true);
  run.Emit("a");
  run.Steps();
  EXPECT_STRNE(run.events->fault(), "");
  disk.FailAt(0, false);
  run.Steps(200);
  EXPECT_STREQ(run.events->fault(), "");
  EXPECT_EQ(run.PortOf(1), "1=a");
}

TEST(EventStore, MarksOfServersAreKept) {
  store::FakeDisk disk(512, kDiskBytes / 512);
  {
    Life run(disk);
    run.Emit("a");
    run.Emit("b");
    run.Emit("c");
    run.events->SetMark(2, {77, 2});
    run.events->SetMark(3, {79, 41});
    run.events->Flush();
  }
  Life run(disk);
  EXPECT_EQ(run.events->MarkOf(77), 2u);
  // Sent but never stored: the next event, which gets the lost one's number, is still to be sent.
  EXPECT_EQ(run.events->MarkOf(79), run.log.next_sequence());
  EXPECT_EQ(run.events->MarkOf(78), 0u);
  EXPECT_EQ(run.events->MarkOf(0), 0u);
}

TEST(EventStore, EraseLeavesNothing) {
  store::FakeDisk disk(512, kDiskBytes / 512);
  {
    Life run(disk);
    for (int i = 0; i < 30; ++i) {
      run.Emit("planted");
      run.events->Flush();
    }
    ASSERT_TRUE(run.events->Erase().ok());
  }
  const std::string raw(disk.raw().begin(), disk.raw().end());
  EXPECT_EQ(raw.find("planted"), raw.npos);
  EXPECT_EQ(Life(disk).log.next_sequence(), 1u);
}

TEST(EventStore, APartitionTooSmallOrOddIsRefused) {
  store::FakeDisk small(512, (kCrashAreaBytes + (kEventPagesMin - 1) * kEventPageBytes) / 512);
  EXPECT_EQ(Life(small).opened.code(), ErrorCode::kUnsupported);
  store::FakeDisk odd(520, 10000);
  EXPECT_EQ(Life(odd).opened.code(), ErrorCode::kUnsupported);
}

TEST(LogLevels, EventsAboveTheLevelAreNotRecorded) {
  store::FakeDisk disk(512, kDiskBytes / 512);
  Life run(disk);
  run.log.SetLevel(Category::kNetwork, 1);
  run.Emit("notice, level 1");
  EXPECT_EQ(run.log.next_sequence(), 2u);
  run.log.SetLevel(Category::kSip, 1);
  run.log.Emit(event::SipRegistered{});
  const bool is_informational = kEvents[event::SipRegistered::kIndex].level > 1;
  EXPECT_EQ(run.log.next_sequence(), is_informational ? 2u : 3u);
  run.log.SetLevel(Category::kSip, 4);
  run.log.Emit(event::SipRegistered{});
  EXPECT_EQ(run.log.next_sequence(), is_informational ? 3u : 4u);
}

TEST(EventFilter, WordsAndWhatTheyMatch) {
  store::FakeDisk disk(512, kDiskBytes / 512);
  Life run(disk);
  run.clock.wall = {.unix_ns = *ParseTime("2026-11-21T08:30"), .is_set = true};
  run.Emit("LAN1");
  const Record& record = *run.log.Find(1);
  const auto matches = [&](const char* text) {
    const auto filter = ParseEventFilter(text);
    EXPECT_TRUE(filter.ok()) << text;
    return filter.ok() && Matches(*filter, record);
  };
  EXPECT_TRUE(matches("all"));
  EXPECT_TRUE(matches(""));
  EXPECT_TRUE(matches("category=network severity=notice text=lan1"));
  EXPECT_FALSE(matches("category=sip"));
  EXPECT_FALSE(matches("severity=warning"));
  EXPECT_FALSE(matches("text=LAN2"));
  EXPECT_TRUE(matches("since=2026-11-21T08:30 until=2026-11-21T08:30:00Z"));
  EXPECT_FALSE(matches("since=2026-11-21T08:30:01"));
  EXPECT_FALSE(matches("until=2026-11-21T08:29:59"));
  for (const char* wrong : {"categor=sip", "category=none", "severity=", "last=0", "last=10001",
                            "since=yesterday", "since=2026-13-01T00:00", "text=", "x"}) {
    EXPECT_FALSE(ParseEventFilter(wrong).ok()) << wrong;
  }
}

TEST(EventFilter, TimesAreThoseThatAreFormatted) {
  for (int64_t seconds : {int64_t{0}, int64_t{951'782'400}, int64_t{1'709'164'799},
                          int64_t{1'795'248'600}, int64_t{4'102'444'799}}) {
    uint8_t bytes[40];
    ByteWriter out(bytes);
    FormatTimestamp({.unix_ns = seconds * 1'000'000'000, .is_set = true}, out);
    const std::string text(out.text().substr(0, 19));
    ASSERT_TRUE(ParseTime(text).ok()) << text;
    EXPECT_EQ(*ParseTime(text), seconds * 1'000'000'000) << text;
  }
}

}  // namespace
}  // namespace gh::log
