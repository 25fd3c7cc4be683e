// The history of commits: who, when and what; going back; its bounds; rows that are damaged.
#include "firmware/config/history.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/config/config_fixture.h"

namespace gh::config {
namespace {

class HistoryTest : public ConfigTest {
 protected:
  HistoryTest() { MakeUsable(); }
  class Rows final : public ChangeVisitor {
   public:
    void OnChange(const ChangeRow& row) override {
      const auto text = [](const StoredValue& value) {
        return value.is_default ? std::string("default") : std::string(AsText(value.bytes));
      };
      rows.push_back(std::string(row.path) + ": " + text(row.before) + " -> " + text(row.after));
    }
    std::vector<std::string> rows;
  };
  std::vector<std::string> ChangesOf(uint32_t number) {
    Rows rows;
    EXPECT_TRUE(history_->ForEachChange(number, rows).ok()) << number;
    return rows.rows;
  }
  std::string Revert(uint32_t number) {
    Message message;
    config_->Begin();
    if (!config_->StageRevert(number, message).ok()) {
      config_->Abort();
      return std::string(message.view());
    }
    return config_->Commit(message).ok() ? "" : std::string(message.view());
  }
  std::string Set(const std::string& setting) {
    return ConfigTest::Set("xConfiguration " + setting);
  }
  std::string Name() { return std::string(config_->active().system().name.view()); }
};

TEST_F(HistoryTest, SaysWhoWhenAndWhat) {
  EXPECT_EQ(Set("System Name: edge1"), "");
  EXPECT_EQ(Set("System Name: edge2"), "");
  ASSERT_EQ(history_->next(), 4u);  // the provisioning was the first
  const auto info = history_->Read(3);
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->author.view(), "alice");
  EXPECT_EQ(info->wall.unix_seconds(), 1'795'248'605);
  EXPECT_EQ(info->change_count, 1u);
  EXPECT_EQ(ChangesOf(3), std::vector<std::string>{"System Name: edge1 -> edge2"});
  EXPECT_EQ(ChangesOf(2), std::vector<std::string>{"System Name: default -> edge1"});
  EXPECT_EQ(history_->Read(4).code(), ErrorCode::kNotFound);
  EXPECT_EQ(history_->Read(0).code(), ErrorCode::kNotFound);
}

TEST_F(HistoryTest, GoesBackAndForthPasswordsIncluded) {
  EXPECT_EQ(Set("System Name: edge1"), "");
  const std::string hash(config_->active().administrator()[0].password.hash.view());
  EXPECT_EQ(Set("Administrator 1 Password: Another-Horse-8"), "");
  EXPECT_EQ(Set("System Name: edge2"), "");
  EXPECT_EQ(Set("SIP UDP Port: 5070"), "");
  EXPECT_EQ(Revert(2), "");
  EXPECT_EQ(Name(), "edge1");
  EXPECT_EQ(config_->active().sip_udp().port, 5060);
  EXPECT_EQ(config_->active().administrator()[0].password.hash.view(), hash);
  // Going back is a commit like others, and can itself be gone back from.
  EXPECT_EQ(history_->next(), 7u);
  EXPECT_EQ(Revert(5), "");
  EXPECT_EQ(Name(), "edge2");
  EXPECT_EQ(config_->active().sip_udp().port, 5070);
  Restart();
  EXPECT_EQ(Name(), "edge2");
  EXPECT_EQ(history_->next(), 8u);
  EXPECT_EQ(Revert(1), "");
  EXPECT_EQ(Name(), "gatehouse");
}

TEST_F(HistoryTest, WhatIsNotKeptCannotBeGoneBackTo) {
  EXPECT_NE(Revert(7), "");
  EXPECT_NE(Revert(0), "");
  EXPECT_EQ(Revert(1), "");  // the newest: nothing to do
  EXPECT_EQ(history_->next(), 2u);
}

TEST_F(HistoryTest, ARefusedCommitLeavesNoTrace) {
  store_.fail_commit = true;
  EXPECT_NE(Set("System Name: edge1"), "");
  EXPECT_EQ(failure_, "the disk failed");
  store_.fail_commit = false;
  EXPECT_EQ(history_->next(), 2u);
  EXPECT_EQ(Set("System Name: edge2"), "");
  EXPECT_EQ(ChangesOf(2), std::vector<std::string>{"System Name: default -> edge2"});
}

TEST_F(HistoryTest, KeepsTheLastCommitsOnly) {
  for (uint32_t i = 0; i < kHistoryCommitMax + 20; ++i) {
    ASSERT_EQ(Set("SIP UDP Port: " + std::to_string(6000 + i)), "");
    if (i == 150) {
      Restart();
    }
  }
  const uint32_t first = history_->first();
  EXPECT_EQ(history_->next() - first, kHistoryCommitMax);
  EXPECT_FALSE(history_->Read(first - 1).ok());
  EXPECT_TRUE(history_->Read(first).ok());
  EXPECT_NE(Revert(first - 2), "");
  EXPECT_EQ(Revert(first - 1), "");
  uint32_t commits = 0;
  for (const auto& [key, value] : store_.history) {
    commits += key.size() == 8 ? 1 : 0;
  }
  EXPECT_EQ(commits, kHistoryCommitMax);
}

TEST_F(HistoryTest, OfAVeryLargeCommitTheBeginningIsKept) {
  ASSERT_TRUE(history_->Begin().ok());
  ASSERT_TRUE(store_.Begin().ok());
  for (uint32_t i = 0; i < kHistoryChangeMax + 5; ++i) {
    ASSERT_TRUE(history_->Add("System Name", {true, {}}, {false, AsBytes("x")}).ok());
  }
  ASSERT_TRUE(history_->Finish("alice").ok());
  ASSERT_TRUE(store_.Commit().ok());
  history_->Commit();
  EXPECT_EQ(history_->Read(2)->change_count, kHistoryChangeMax + 5);
  EXPECT_EQ(ChangesOf(2).size(), kHistoryChangeMax);
  EXPECT_NE(Revert(1), "");
}

TEST_F(HistoryTest, ManyChangesPushOldCommitsOut) {
  for (uint32_t commit = 0; commit < 8; ++commit) {
    ASSERT_TRUE(store_.Begin().ok());
    ASSERT_TRUE(history_->Begin().ok());
    for (uint32_t i = 0; i < kHistoryChangeMax; ++i) {
      ASSERT_TRUE(history_->Add("System Name", {true, {}}, {false, AsBytes("x")}).ok());
    }
    ASSERT_TRUE(history_->Finish("alice").ok());
    ASSERT_TRUE(store_.Commit().ok());
    history_->Commit();
  }
  EXPECT_EQ(history_->next() - history_->first(), kHistoryRowMax / kHistoryChangeMax);
  EXPECT_LE(store_.history.size(), kHistoryRowMax + kHistoryCommitMax);
}

TEST_F(HistoryTest, DamagedRowsAreToldNotUsed) {
  EXPECT_EQ(Set("System Name: edge1"), "");
  store_.history["00000002:000000"] = "nonsense";
  EXPECT_NE(Revert(1) + "x", "x");
  EXPECT_EQ(Name(), "edge1");
  store_.history["00000002"] = "nonsense";
  store_.history["zz"] = "";
  Restart();
  EXPECT_FALSE(history_->Read(2).ok());
  EXPECT_EQ(Set("System Name: edge2"), "");
}

}  // namespace
}  // namespace gh::config
