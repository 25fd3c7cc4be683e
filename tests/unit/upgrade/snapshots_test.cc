// One configuration for each image: what a start finds in the store after an update, a way back and
// a second way forward; and that a failing or full store never costs the rows that are there.
#include "firmware/upgrade/snapshots.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "firmware/config/migrations.h"
#include "hal/rt/bytes.h"

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
    if (rows.size() >= capacity && !rows.contains(std::string(key))) {
      return Error(ErrorCode::kNoSpace, "full");
    }
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
  size_t capacity = SIZE_MAX;
  bool fails = false;

 private:
  Rows before_;
};

class SnapshotsTest : public testing::Test, public SnapshotObserver {
 protected:
  Snapshots snapshots_{*this};
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
  store_.rows = {{"@configured", "\1"}, {"System Name", "edge"}, {"SIP UDP Port", "5060"}};
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
  store_.rows = {{"@configured", "\1"}, {"System Name", "edge"}};
  Start(0, "one");
  Start(1, "two");
  store_.rows["System Name"] = "changed";
  Start(0, "one");
  EXPECT_EQ(store_.settings().at("System Name"), "edge");
  EXPECT_EQ(Start(1, "three"), "taken A2 ");
  EXPECT_EQ(store_.settings().at("System Name"), "edge");
}

TEST_F(SnapshotsTest, AnUpdateOverASlotForgetsItsSnapshot) {
  store_.rows = {{"@configured", "\1"}, {"System Name", "edge"}};
  Start(0, "one");
  Start(1, "two");
  store_.rows["System Name"] = "trial";
  Start(0, "one");
  ASSERT_TRUE(snapshots_.Forget(store_, 1).ok());
  store_.rows["System Name"] = "newest";
  EXPECT_EQ(Start(1, "two"), "taken A2 ");  // the same build again, sent anew
  EXPECT_EQ(store_.settings().at("System Name"), "newest");
}

TEST_F(SnapshotsTest, AFailingStoreKeepsItsRows) {
  store_.rows = {{"@configured", "\1"}, {"System Name", "edge"}};
  Start(0, "one");
  Start(1, "two");
  const Rows before = store_.rows;
  store_.fails = true;
  EXPECT_EQ(Start(0, "one"), "failed B: disk failed ");
  EXPECT_EQ(store_.rows, before);
  store_.fails = false;
  EXPECT_EQ(Start(0, "one"), "taken B2 restored A2 ");
}

// As many users as a large machine has: far beyond what one write of a disk takes.
TEST_F(SnapshotsTest, ALargeConfigurationIsPutAsideWhole) {
  store_.rows = {{"@configured", "\1"}};
  for (int i = 0; i < 700; ++i) {
    store_.rows["Authentication User " + std::to_string(i)] = std::string(1000, 'x');
  }
  Start(0, "one");
  const Rows before = store_.settings();
  EXPECT_EQ(Start(1, "two"), "taken A701 ");
  EXPECT_EQ(store_.settings(), before);
  store_.rows["Authentication User 7"] = "y";
  EXPECT_EQ(Start(0, "one"), "taken B701 restored A701 ");
  EXPECT_EQ(store_.settings(), before);
}

TEST_F(SnapshotsTest, AFullStoreIsToldAndKeepsWhatIsThere) {
  store_.rows = {{"@configured", "\1"}, {"System Name", "edge"}};
  Start(0, "one");
  const Rows before = store_.settings();
  store_.capacity = 5;
  EXPECT_EQ(Start(1, "two"), "failed A: full ");
  EXPECT_EQ(store_.settings(), before);
  EXPECT_EQ(store_.rows.at("@image"), "B two");
}

// The schema goes aside and comes back with the rows it belongs to.
TEST_F(SnapshotsTest, TheSchemaBelongsToTheRows) {
  store_.rows = {{"@configured", "\1"}, {"Old Name", "x"}};
  Start(0, "one");
  Start(1, "two");
  const config::MigrationStep steps[] = {{1, "Old Name", "New Name"}};
  ASSERT_EQ(config::Migrate(store_, 2, steps)->changed, 1u);
  EXPECT_EQ(store_.rows.at("@configured"), "\2");
  EXPECT_EQ(store_.settings(), (Rows{{"New Name", "x"}}));
  EXPECT_EQ(Start(0, "one"), "taken B2 restored A2 ");
  EXPECT_EQ(store_.settings(), (Rows{{"Old Name", "x"}}));
  EXPECT_EQ(store_.rows.at("@configured"), "\1");
  EXPECT_EQ(Start(1, "two"), "taken A2 restored B2 ");
  EXPECT_EQ(store_.settings(), (Rows{{"New Name", "x"}}));
}

}  // namespace
}  // namespace gh::upgrade
