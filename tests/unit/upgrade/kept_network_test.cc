// The network settings beside the store: what is kept and what never is, both copies, a cut,
// damage.
#include "firmware/upgrade/kept_network.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "board/sim/disk.h"
#include "firmware/config/configuration.h"
#include "firmware/config/network_settings.h"
#include "firmware/config/tree.h"
#include "firmware/config/value.h"
#include "tests/unit/rt/memory.h"

namespace gh::upgrade {
namespace {

class Rows final : public store::EntryVisitor {
 public:
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    rows[std::string(key)] = std::string(AsText(value));
  }
  std::map<std::string, std::string> rows;
};

class KeptNetworkTest : public testing::Test {
 protected:
  void Set(const char* path, const char* value) {
    config::Message expected;
    const auto line = config::ParsePath(path, expected);
    ASSERT_TRUE(line.ok());
    const auto selector = config::FindSetting(line->path(), settings_, expected);
    ASSERT_TRUE(selector.ok()) << path;
    ASSERT_TRUE(
        config::ParseValue(config::InfoOf(*selector), value, settings_.Field(*selector), expected)
            .ok());
  }
  std::map<std::string, std::string> Kept() {
    Rows rows;
    const auto found = kept_->ForEach(rows);
    EXPECT_TRUE(found.ok());
    EXPECT_EQ(found.value_or(false), !rows.rows.empty());
    return rows.rows;
  }
  gh::test::Memory memory_{4 << 20};
  Arena arena_{memory_};
  sim::SimDisk disk_{"bootstate", sim::Random(3, "state"), 1 << 20};
  BootRecord* record_ = arena_.New<BootRecord>(&disk_);
  KeptNetwork* kept_ = arena_.New<KeptNetwork>(arena_, *record_);
  config::Settings settings_{arena_, 10};
};

TEST_F(KeptNetworkTest, OnlyTheNetworkAndNothingSecret) {
  EXPECT_TRUE(Kept().empty());
  Set("Network Port 1 IPv4 Address", "10.0.2.15");
  Set("Network IPv4 Gateway", "10.0.2.2");
  Set("DNS Server 1 Address", "10.0.2.3");
  Set("System Name", "edge1");
  Set("SIP Domain 1 Name", "example.com");
  Set("Administrator 1 Name", "admin");
  ASSERT_TRUE(kept_->Keep(settings_).ok());
  const std::map<std::string, std::string> wanted = {{"DNS Server 1 Address", "10.0.2.3"},
                                                     {"Network IPv4 Gateway", "10.0.2.2"},
                                                     {"Network Port 1 IPv4 Address", "10.0.2.15"}};
  EXPECT_EQ(Kept(), wanted);
  for (uint32_t s = 0; s < config::kSettingCount; ++s) {
    const config::Selector selector{s, 0};
    EXPECT_FALSE(config::IsNetworkSetting(selector) && config::InfoOf(selector).is_secret());
  }
}

TEST_F(KeptNetworkTest, TheSameIsNotWrittenTwice) {
  Set("Network Port 1 IPv4 Address", "10.0.2.15");
  ASSERT_TRUE(kept_->Keep(settings_).ok());
  const uint64_t writes = disk_.io_count();
  ASSERT_TRUE(kept_->Keep(settings_).ok());
  EXPECT_LE(disk_.io_count() - writes, 4u) << "two reads, no write, no flush";
}

TEST_F(KeptNetworkTest, EveryCutLeavesOldOrNewAndDamageIsSeen) {
  Set("Network Port 1 IPv4 Address", "10.0.2.15");
  ASSERT_TRUE(kept_->Keep(settings_).ok());
  const auto old_rows = Kept();
  Set("Network Port 1 IPv4 Address", "10.9.9.9");
  uint32_t cuts = 0;
  for (uint64_t n = 1;; ++n, ++cuts) {
    disk_.PlanCut(disk_.io_count() + n, {});
    const bool kept = kept_->Keep(settings_).ok();
    if (!disk_.cut_happened()) {
      EXPECT_TRUE(kept);
      break;
    }
    disk_.PowerOn();
    disk_.PlanCut(0, {});
    const auto rows = Kept();
    EXPECT_TRUE(rows == old_rows || rows.at("Network Port 1 IPv4 Address") == "10.9.9.9") << n;
  }
  EXPECT_GE(cuts, 3u);
  disk_.PlanCut(0, {});
  disk_.FlipBit((image::kKeptSettingsOffset + 60) * 8);
  EXPECT_EQ(Kept().at("Network Port 1 IPv4 Address"), "10.9.9.9") << "the second copy";
  disk_.FlipBit((image::kKeptSettingsOffset + KeptNetwork::kCopyBytes + 60) * 8);
  EXPECT_TRUE(Kept().empty());
}

}  // namespace
}  // namespace gh::upgrade
