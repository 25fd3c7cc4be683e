// One configuration for each image: what a start finds in the store after an update, a way back and
// a second way forward; and that a cut or a damaged area never costs the rows that are there.
#include "firmware/upgrade/snapshots.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "board/sim/disk.h"

namespace gh::upgrade {
namespace {

using Rows = std::map<std::string, std::string>;

class MapStore final : public store::Store {
 public:
  Result<void> ForEach(store::EntryVisitor& visitor) override {
    for (const auto& [key, value] : rows) {
      visitor.OnEntry(key, AsBytes(std::string_view(value)));
    }
    return Ok();
  }
  Result<void> Begin() override {
    before_ = rows;
    return Ok();
  }
  Result<void> Put(std::string_view key, std::span<const uint8_t> value) override {
    rows[std::string(key)] = std::string(AsText(value));
    return Ok();
  }
  Result<void> Remove(std::string_view key) override {
    rows.erase(std::string(key));
    return Ok();
  }
  Result<void> RemoveAll() override {
    rows.clear();
    return Ok();
  }
  Result<void> Commit() override {
    if (fails) {
      rows = before_;
      return Error(ErrorCode::kIoError, "disk failed");
    }
    return Ok();
  }
  void Rollback() override { rows = before_; }
  store::StoreStatus status() const override { return {}; }
  // Settings only.
  Rows settings() const {
    Rows out;
    for (const auto& [key, value] : rows) {
      if (!key.starts_with('@')) {
        out[key] = value;
      }
    }
    return out;
  }
  Rows rows;
  bool fails = false;

 private:
  Rows before_;
};

class SnapshotsTest : public testing::Test, public SnapshotObserver {
 protected:
  std::vector<uint8_t> memory_ = std::vector<uint8_t>(1 << 20);
  Arena arena_{memory_};
  sim::SimDisk disk_{"bootstate", sim::Random(3, "state"), 1 << 20};
  BootRecord* record_ = arena_.New<BootRecord>(&disk_);
  Snapshots snapshots_{arena_, *record_, *this};
  MapStore store_;
  std::string said_;

  void OnSnapshotTaken(char slot, uint32_t rows) override {
    said_ += std::string("taken ") + slot + std::to_string(rows) + " ";
  }
  void OnSnapshotRestored(char slot, uint32_t rows) override {
    said_ += std::string("restored ") + slot + std::to_string(rows) + " ";
  }
  void OnSnapshotFailed(char slot, std::string_view reason) override {
    said_ += std::string("failed ") + slot + ": " + std::string(reason) + " ";
  }
  std::string Start(uint32_t slot, const char* build) {
    said_.clear();
    snapshots_.AtStart(store_, slot, build);
    return said_;
  }
};

TEST_F(SnapshotsTest, FactoryStateStaysFactoryState) {
  EXPECT_EQ(Start(0, "one"), "");
  EXPECT_TRUE(store_.rows.empty());
}

TEST_F(SnapshotsTest, GoingBackGivesTheOldConfigurationBack) {
  store_.rows = {{"System Name", "edge"}, {"SIP UDP Port", "5060"}};
  EXPECT_EQ(Start(0, "one"), "");
  EXPECT_EQ(Start(0, "one"), "");
  store_.rows["SIP UDP Port"] = "5070";  // between the upload and the restart
  const Rows at_restart = store_.settings();
  EXPECT_EQ(Start(1, "two"), "taken A3 ");
  EXPECT_EQ(store_.settings(), at_restart);  // the update goes on with it
  store_.rows["SIP UDP Port"] = "6000";
  store_.rows["New Setting"] = "x";
  const Rows of_two = store_.settings();
  EXPECT_EQ(Start(0, "one"), "taken B4 restored A3 ");
  EXPECT_EQ(store_.settings(), at_restart);
  EXPECT_EQ(Start(1, "two"), "taken A3 restored B4 ");
  EXPECT_EQ(store_.settings(), of_two);
}

TEST_F(SnapshotsTest, AnotherBuildInTheSlotStartsWithWhatIsThere) {
  store_.rows = {{"System Name", "edge"}};
  Start(0, "one");
  Start(1, "two");
  store_.rows["System Name"] = "changed";
  Start(0, "one");
  EXPECT_EQ(store_.settings().at("System Name"), "edge");
  EXPECT_EQ(Start(1, "three"), "taken A2 ");
  EXPECT_EQ(store_.settings().at("System Name"), "edge");
}

TEST_F(SnapshotsTest, AnUpdateOverASlotForgetsItsSnapshot) {
  store_.rows = {{"System Name", "edge"}};
  Start(0, "one");
  Start(1, "two");
  store_.rows["System Name"] = "trial";
  Start(0, "one");
  ASSERT_TRUE(snapshots_.Forget(1).ok());
  store_.rows["System Name"] = "newest";
  EXPECT_EQ(Start(1, "two"), "taken A2 ");  // the same build again, sent anew
  EXPECT_EQ(store_.settings().at("System Name"), "newest");
}

TEST_F(SnapshotsTest, ADamagedSnapshotIsNotUsed) {
  store_.rows = {{"System Name", "edge"}};
  Start(0, "one");
  Start(1, "two");
  store_.rows["System Name"] = "later";
  disk_.FlipBit((image::kSnapshotsOffset + 4096 + 6) * 8);
  EXPECT_EQ(Start(0, "one"), "taken B2 ");
  EXPECT_EQ(store_.settings().at("System Name"), "later");
}

TEST_F(SnapshotsTest, AFailingStoreKeepsItsRows) {
  store_.rows = {{"System Name", "edge"}};
  Start(0, "one");
  Start(1, "two");
  const Rows before = store_.rows;
  store_.fails = true;
  EXPECT_EQ(Start(0, "one"), "taken B2 failed A: disk failed ");
  EXPECT_EQ(store_.rows, before);
  store_.fails = false;
  EXPECT_EQ(Start(0, "one"), "taken B2 restored A2 ");
}

TEST_F(SnapshotsTest, WhatDoesNotFitIsToldAndKept) {
  store_.rows = {{"System Name", "edge"}};
  Start(0, "one");
  for (int i = 0; i < 300; ++i) {
    store_.rows["Authentication User " + std::to_string(i)] = std::string(900, 'x');
  }
  const Rows before = store_.settings();
  EXPECT_EQ(Start(1, "two"), "failed A: the configuration is larger than a snapshot may be ");
  EXPECT_EQ(store_.settings(), before);
}

// A power cut at every request of the snapshot: the next start ends where an uncut one does.
TEST_F(SnapshotsTest, EveryCutIsMadeGood) {
  for (uint64_t n = 1; n <= 6; ++n) {
    store_.rows = {{"System Name", "edge"}, {"@image", "A one"}};
    ASSERT_TRUE(snapshots_.Forget(0).ok());
    ASSERT_TRUE(snapshots_.Forget(1).ok());
    const Rows untouched = store_.rows;
    disk_.PlanCut(disk_.io_count() + n, {});
    Start(1, "two");
    if (disk_.cut_happened()) {
      store_.rows = untouched;  // the store lost power with it
      disk_.PowerOn();
    }
    disk_.PlanCut(0, {});
    Start(1, "two");
    store_.rows["System Name"] = "later";
    Start(0, "one");
    EXPECT_EQ(store_.settings().at("System Name"), "edge") << n;
  }
}

}  // namespace
}  // namespace gh::upgrade
