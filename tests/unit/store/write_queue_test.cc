#include "firmware/store/write_queue.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "firmware/store/sqlite_store.h"
#include "hal/rt/bytes.h"
#include "tests/unit/store/fake_disk.h"

namespace gh::store {
namespace {

// What a device was asked, in order; it answers when it is told.
class PatientDisk final : public hal::BlockDevice {
 public:
  explicit PatientDisk(uint64_t units) : data_(units * kUnitSize) {}
  uint32_t block_size() const override { return 512; }
  uint64_t block_count() const override { return data_.size() / 512; }
  const char* name() const override { return "patient"; }
  Result<void> Submit(hal::BlockRequest& request) override {
    if (in_flight.size() == queue_max) {
      return ErrorCode::kExhausted;
    }
    if (request.op == hal::BlockOp::kRead) {  // answered at the next Poll, whatever it holds up
      reads_.push_back(&request);
      return Ok();
    }
    asked += request.op == hal::BlockOp::kFlush
                 ? "F"
                 : std::string(1, static_cast<char>('a' + request.block / 16));
    in_flight.push_back(&request);
    return Ok();
  }
  uint32_t Poll() override {
    for (hal::BlockRequest* read : std::exchange(reads_, {})) {
      std::memcpy(read->data, data_.data() + read->block * 512, read->block_count * 512);
      read->status = ErrorCode::kOk;
      read->done(*read);
    }
    while (allowed > 0 && !in_flight.empty()) {
      --allowed;
      Answer(ErrorCode::kOk);
    }
    return 0;
  }
  // The newest first, when nothing says otherwise.
  void Answer(ErrorCode status) {
    hal::BlockRequest* request = in_flight.back();
    in_flight.pop_back();
    if (request->op == hal::BlockOp::kWrite && status == ErrorCode::kOk) {
      std::memcpy(data_.data() + request->block * 512, request->data, request->block_count * 512);
    }
    flushes += request->op == hal::BlockOp::kFlush ? 1 : 0;
    request->status = status;
    request->done(*request);
  }
  uint8_t At(uint64_t unit) const { return data_[unit * kUnitSize]; }

  std::string asked;
  std::vector<hal::BlockRequest*> in_flight;
  uint64_t allowed = 0;  // answers that Poll() may give
  uint64_t flushes = 0;
  size_t queue_max = 64;

 private:
  std::vector<uint8_t> data_;
  std::vector<hal::BlockRequest*> reads_;
};

class Queue : public ::testing::Test {
 protected:
  void Write(uint64_t unit, uint8_t value) {
    const auto room = queue_.Claim(unit);
    ASSERT_EQ(room.size(), size_t{kUnitSize});
    std::fill(room.begin(), room.end(), value);
    queue_.Push();
  }
  std::vector<uint8_t> memory_ = std::vector<uint8_t>(2u << 20);
  Arena arena_{{memory_.data(), memory_.size()}};
  PatientDisk disk_{160};
  WriteQueue queue_{arena_, disk_, 160};
};

TEST_F(Queue, NothingPassesABarrier) {
  Write(0, 1);
  Write(1, 2);
  EXPECT_EQ(queue_.AddBarrier(), 1u);
  Write(2, 3);
  EXPECT_EQ(queue_.AddBarrier(), 2u);
  EXPECT_EQ(disk_.asked, "ab");
  disk_.Answer(ErrorCode::kOk);  // the second
  EXPECT_EQ(disk_.asked, "ab");
  disk_.Answer(ErrorCode::kOk);
  EXPECT_EQ(disk_.asked, "abF");
  EXPECT_EQ(queue_.barriers_done(), 0u);
  disk_.Answer(ErrorCode::kOk);
  EXPECT_EQ(disk_.asked, "abFc");
  EXPECT_EQ(queue_.barriers_done(), 1u);
  disk_.allowed = 2;
  queue_.Pump();
  queue_.Pump();
  EXPECT_EQ(queue_.barriers_done(), 2u);
  EXPECT_TRUE(queue_.is_empty());
  EXPECT_EQ(disk_.At(0), 1u);
  EXPECT_EQ(disk_.At(1), 2u);
  EXPECT_EQ(disk_.At(2), 3u);
}

TEST_F(Queue, ReadersSeeWhatWasGivenLast) {
  EXPECT_TRUE(queue_.Find(0).empty());
  Write(0, 1);
  EXPECT_EQ(queue_.Find(0)[0], 1u);
  (void)queue_.AddBarrier();
  Write(0, 2);
  EXPECT_EQ(queue_.Find(0)[0], 2u);
  disk_.Answer(ErrorCode::kOk);
  EXPECT_EQ(queue_.Find(0)[0], 2u);
  disk_.allowed = 2;
  ASSERT_TRUE(queue_.Drain().ok());
  EXPECT_TRUE(queue_.Find(0).empty());
  EXPECT_EQ(disk_.At(0), 2u);
}

// Two writes of one unit are never on their way together; one that has not left is replaced.
TEST_F(Queue, OneUnitTwice) {
  Write(0, 1);
  Write(0, 2);
  Write(1, 7);
  EXPECT_EQ(disk_.asked, "a");
  Write(0, 3);
  disk_.Answer(ErrorCode::kOk);
  EXPECT_EQ(disk_.asked, "aab");
  disk_.allowed = 2;
  ASSERT_TRUE(queue_.Drain().ok());
  EXPECT_EQ(disk_.At(0), 3u);
}

TEST_F(Queue, AFullQueueWaitsForTheDisk) {
  constexpr uint64_t kRoom = 160 / kQueueShare;
  static_assert(kRoom >= kQueueUnitsMin);
  for (uint64_t i = 0; i < kRoom; ++i) {
    Write(i, 1);
  }
  EXPECT_EQ(queue_.wait_count(), 0u);
  disk_.allowed = kRoom;
  Write(kRoom, 1);
  EXPECT_EQ(queue_.wait_count(), 1u);
}

TEST_F(Queue, NoMoreAtOnceThanTheDiskTakes) {
  disk_.queue_max = 2;
  for (uint64_t i = 0; i < 5; ++i) {
    Write(i, 1);
  }
  EXPECT_EQ(disk_.asked, "ab");
  disk_.allowed = 5;
  ASSERT_TRUE(queue_.Drain().ok());
  EXPECT_EQ(disk_.asked, "abcde");
}

TEST_F(Queue, AFailureGivesUpWhatIsBehindIt) {
  Write(0, 1);
  (void)queue_.AddBarrier();
  Write(1, 1);
  (void)queue_.AddBarrier();
  disk_.Answer(ErrorCode::kIoError);
  EXPECT_TRUE(queue_.has_failed());
  EXPECT_EQ(queue_.failure_count(), 1u);
  EXPECT_TRUE(queue_.Claim(2).empty());
  EXPECT_FALSE(queue_.Drain().ok());
  EXPECT_EQ(disk_.asked, "a");
  EXPECT_EQ(queue_.barriers_done(), 0u);
  queue_.Reset();
  EXPECT_TRUE(queue_.is_empty());
  Write(2, 5);
  EXPECT_EQ(queue_.AddBarrier(), 3u);
  disk_.allowed = 2;
  ASSERT_TRUE(queue_.Drain().ok());
  EXPECT_EQ(queue_.barriers_done(), 3u);
  EXPECT_EQ(queue_.failure_count(), 1u);
}

class Site {
 public:
  explicit Site(hal::BlockDevice& disk) : arena_({memory_.data(), memory_.size()}) {
    store = arena_.New<SqliteStore>(arena_, disk, clock_, 1u << 20, Sealing{random_, wrapper_});
  }
  ~Site() { store->~SqliteStore(); }
  Result<LateCommit> PutLater(std::string_view key, std::string_view value) {
    GH_TRY(store->BeginLater());
    GH_TRY(store->PutIn(Table::kXmpp, key, AsBytes(value)));
    return store->CommitLater();
  }
  std::string Get(std::string_view wanted) {
    class Taker final : public EntryVisitor {
     public:
      explicit Taker(std::string_view key) : key_(key) {}
      void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
        found = key == key_ ? std::string(AsText(value)) : found;
      }
      std::string found;

     private:
      std::string_view key_;
    } taker(wanted);
    EXPECT_TRUE(store->ForEachIn(Table::kXmpp, "", UINT32_MAX, taker).ok());
    return taker.found;
  }
  SqliteStore* store;

 private:
  class ZeroEntropy final : public hal::Entropy {
   public:
    void Fill(std::span<uint8_t> out) override { std::fill(out.begin(), out.end(), uint8_t{5}); }
    const char* source() const override { return "fake"; }
  };
  std::vector<uint8_t> memory_ = std::vector<uint8_t>(4u << 20);
  Arena arena_;
  FakeClock clock_;
  ZeroEntropy entropy_;
  crypto::Random random_{entropy_};
  NoWrapper wrapper_;
};

// The disk's flush does not end: commits go on, are seen at once, and are durable when it has.
TEST(LateCommits, AFlushThatTakesLongHoldsNobody) {
  PatientDisk disk(1024);
  disk.allowed = UINT64_MAX;
  Site site(disk);
  ASSERT_TRUE(site.store->Open().ok());
  disk.allowed = 0;
  const uint64_t flushes = disk.flushes;
  const auto first = site.PutLater("m1", "one");
  const auto second = site.PutLater("m2", "two");
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(disk.flushes, flushes);
  EXPECT_EQ(site.Get("m1"), "one");
  EXPECT_EQ(site.Get("m2"), "two");
  (void)site.store->Poll(Instant());
  EXPECT_EQ(site.store->StateOf(*first), CommitState::kUnderWay);
  EXPECT_EQ(site.store->queue().wait_count(), 0u);
  while (site.store->StateOf(*first) != CommitState::kDurable) {
    ASSERT_FALSE(disk.in_flight.empty());
    EXPECT_EQ(site.store->StateOf(*second), CommitState::kUnderWay);
    disk.allowed = 1;
    (void)site.store->Poll(Instant());
  }
  EXPECT_GE(disk.flushes, flushes + 3);
  disk.allowed = UINT64_MAX;
  site.store->Drain();
  EXPECT_EQ(site.store->StateOf(*second), CommitState::kDurable);
}

// Whoever waits has all that was committed before him, too.
TEST(LateCommits, ACommitThatIsWaitedForTakesThemAlong) {
  FakeDisk disk(512, (2u << 20) / 512);
  std::mt19937_64 random(1);
  {
    Site site(disk);
    ASSERT_TRUE(site.store->Open().ok());
    const auto late = site.PutLater("m1", "one");
    ASSERT_TRUE(late.ok());
    EXPECT_EQ(site.store->StateOf(*late), CommitState::kUnderWay);
    ASSERT_TRUE(site.store->Begin().ok());
    EXPECT_EQ(site.store->StateOf(*late), CommitState::kDurable);
    ASSERT_TRUE(site.store->Put("a", AsBytes("b")).ok());
    ASSERT_TRUE(site.store->Commit().ok());
  }
  Site site(disk);
  ASSERT_TRUE(site.store->Open().ok());
  EXPECT_EQ(site.Get("m1"), "one");
}

// The disk fails at each of their requests in turn: the commit is lost and says so, what was there
// before it is there, and it can be made again.
TEST(LateCommits, AFailingDiskLosesThemAndSaysSo) {
  bool reached_the_end = false;
  for (uint64_t at = 1; !reached_the_end; ++at) {
    ASSERT_LT(at, 100u);
    FakeDisk disk(512, (1u << 20) / 512);
    Site site(disk);
    ASSERT_TRUE(site.store->Open().ok());
    ASSERT_TRUE(site.PutLater("m1", "one").ok());
    site.store->Drain();
    disk.FailAt(at, false);
    disk.ClearFailed();
    auto late = site.PutLater("m2", "two");
    site.store->Drain();
    reached_the_end = !disk.failed();
    const bool is_durable = late.ok() && site.store->StateOf(*late) == CommitState::kDurable;
    EXPECT_EQ(is_durable, reached_the_end) << at;
    EXPECT_EQ(site.Get("m1"), "one") << at;
    late = site.PutLater("m2", "two");
    ASSERT_TRUE(late.ok()) << at;
    site.store->Drain();
    EXPECT_EQ(site.store->StateOf(*late), CommitState::kDurable) << at;
    EXPECT_EQ(site.Get("m2"), "two") << at;
  }
}

}  // namespace
}  // namespace gh::store
