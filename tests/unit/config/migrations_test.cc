// Stored rows brought forward: renamed, removed and rewritten settings, numbers of instances,
// several schemas in one go, a store that fails in between, rows of a newer version.
#include "firmware/config/migrations.h"

#include "tests/unit/config/config_fixture.h"

namespace gh::config {
namespace {

using RowMap = std::map<std::string, std::string>;

// The fixture's store looks at committed rows; a migration reads what it has written itself.
class LiveStore final : public store::Store {
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
    if (puts_left-- == 0) {
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
  Result<void> Commit() override { return Ok(); }
  void Rollback() override { rows = before_; }
  store::StoreStatus status() const override { return {}; }
  RowMap rows;
  int puts_left = -1;

 private:
  RowMap before_;
};

constexpr MigrationStep kSteps[] = {
    {1, "SIP Domain * Name", "SIP Domain * Title"},
    {1, "Console Bell", nullptr},
    {2, "SIP Domain * Title", "Domain * Name"},
    {2, "Console Mode", "Console Mode", "Colour", "Color"},
    {3, "Syslog * Port", "Syslog Server * Port"},
};
const RowMap kOld = {{"@configured", "\1"},       {"@A/Console Bell", "kept"},
                     {"Console Bell", "On"},      {"Console Bell Tone", "High"},
                     {"Console Mode", "Colour"},  {"SIP Domain 1 Name", "a.example"},
                     {"SIP Domain 20 Name", "b"}, {"SIP Domain x Name", "odd"},
                     {"Syslog 1 Port", "514"},    {"System Name", "edge"}};

TEST(Migrations, RenameRemoveRewriteOverSeveralSchemas) {
  LiveStore store;
  store.rows = kOld;
  const auto report = Migrate(store, 3, kSteps);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->from, 1);
  EXPECT_EQ(report->to, 3);
  EXPECT_EQ(report->changed, 6u);
  EXPECT_EQ(store.rows, (RowMap{{"@configured", "\3"},
                                {"@A/Console Bell", "kept"},
                                {"Console Bell Tone", "High"},
                                {"Console Mode", "Color"},
                                {"Domain 1 Name", "a.example"},
                                {"Domain 20 Name", "b"},
                                {"SIP Domain x Name", "odd"},
                                {"Syslog 1 Port", "514"},
                                {"System Name", "edge"}}));
  EXPECT_EQ(Migrate(store, 3, kSteps)->changed, 0u) << "once";
}

TEST(Migrations, WhatIsNewerOrNotThereIsLeftAlone) {
  LiveStore store;
  EXPECT_EQ(Migrate(store, 3, kSteps)->from, 0);
  EXPECT_TRUE(store.rows.empty());
  store.rows = kOld;
  store.rows["@configured"] = "\7";
  const RowMap newer = store.rows;
  EXPECT_EQ(Migrate(store, 3, kSteps)->to, 7);
  EXPECT_EQ(store.rows, newer);
}

TEST(Migrations, AStoreThatFailsKeepsTheRowsAsTheyWere) {
  for (int puts = 0; puts < 6; ++puts) {
    LiveStore store;
    store.rows = kOld;
    store.puts_left = puts;
    EXPECT_FALSE(Migrate(store, 3, kSteps).ok()) << puts;
    EXPECT_EQ(store.rows, kOld) << puts;
    store.puts_left = -1;
    EXPECT_EQ(Migrate(store, 3, kSteps)->changed, 6u);
  }
}

TEST(Migrations, TheProductsOwnStepsAreInOrderAndNotBeyondItsSchema) {
  uint8_t from = 1;
  for (const MigrationStep& step : Migrations()) {
    EXPECT_GE(step.from, from);
    EXPECT_LT(step.from, kSchema);
    EXPECT_EQ(step.old_value == nullptr, step.new_value == nullptr);
    from = step.from;
  }
}

TEST_F(ConfigTest, PresetsAreInForceAtOnceAndStoredWithTheFirstCommit) {
  EXPECT_TRUE(config_->Preset("Network Port 1 IPv4 Address", AsBytes("10.0.2.15")));
  EXPECT_TRUE(config_->Preset("Network IPv4 Gateway", AsBytes("10.0.2.2")));
  EXPECT_FALSE(config_->Preset("Administrator 1 Name", AsBytes("mallory")));
  EXPECT_FALSE(config_->Preset("System Name", AsBytes("edge")));
  EXPECT_FALSE(config_->Preset("Network Port 1 IPv4 Address", AsBytes("no address")));
  EXPECT_FALSE(config_->Preset("No Such Setting", AsBytes("x")));
  EXPECT_EQ(config_->preset_count(), 2u);
  EXPECT_TRUE(config_->is_factory());
  EXPECT_EQ(ValueOf("Network Port 1 IPv4 Address"), "10.0.2.15");
  EXPECT_TRUE(store_.rows.empty());
  Message note;  // provisioning is still taken, and wins
  ASSERT_TRUE(config_
                  ->Provision("xConfiguration Administrator 1 Name: admin\n"
                              "xConfiguration Administrator 1 Password: Correct-Horse-7\n"
                              "xConfiguration Network IPv4 Gateway: 10.0.2.9\n",
                              *this, note)
                  ->committed)
      << note.view();
  EXPECT_EQ(config_->preset_count(), 0u);
  Restart();
  EXPECT_EQ(ValueOf("Network Port 1 IPv4 Address"), "10.0.2.15");
  EXPECT_EQ(ValueOf("Network IPv4 Gateway"), "10.0.2.9");
}

TEST_F(ConfigTest, PresetsThatAreNotWantedAreDropped) {
  EXPECT_TRUE(config_->Preset("Network Port 2 IPv4 Address", AsBytes("10.0.2.15")));
  Message message;
  config_->Begin();
  config_->DropPresets();
  for (const char* line : {"xConfiguration Administrator 1 Name: admin",
                           "xConfiguration Administrator 1 Password: Correct-Horse-7"}) {
    ASSERT_TRUE(config_->Apply(line, message).ok()) << message.view();
  }
  ASSERT_TRUE(config_->Commit(message).ok()) << message.view();
  EXPECT_EQ(ValueOf("Network Port 2 IPv4 Address"), "");
  Restart();
  EXPECT_EQ(ValueOf("Network Port 2 IPv4 Address"), "");
}

}  // namespace
}  // namespace gh::config
