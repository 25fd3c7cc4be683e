// A configuration over a store in a map, for tests.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "crypto/init.h"
#include "firmware/config/configuration.h"
#include "hal/entropy.h"
#include "tests/unit/rt/memory.h"

namespace gh::config {

class MapStore final : public store::Store {
 public:
  Result<void> ForEach(store::EntryVisitor& visitor) override {
    for (const auto& [key, value] : rows) {
      visitor.OnEntry(key, AsBytes(value));
    }
    return Ok();
  }
  Result<void> Begin() override {
    staged = rows;
    staged_history = history;
    return Ok();
  }
  Result<void> Put(std::string_view key, std::span<const uint8_t> value) override {
    staged[std::string(key)] = std::string(AsText(value));
    return Ok();
  }
  Result<void> Remove(std::string_view key) override {
    staged.erase(std::string(key));
    return Ok();
  }
  Result<void> RemoveAll() override {
    staged.clear();
    return Ok();
  }
  // The history's rows.
  Result<void> PutIn(store::Table table, std::string_view key,
                     std::span<const uint8_t> value) override {
    EXPECT_EQ(table, store::Table::kHistory);
    staged_history[std::string(key)] = std::string(AsText(value));
    return Ok();
  }
  Result<void> RemoveIn(store::Table, std::string_view key) override {
    EXPECT_EQ(staged_history.erase(std::string(key)), 1u) << key;
    return Ok();
  }
  Result<uint32_t> ForEachIn(store::Table, std::string_view after, uint32_t limit,
                             store::EntryVisitor& visitor) override {
    uint32_t count = 0;
    for (auto at = history.upper_bound(std::string(after)); at != history.end() && count < limit;
         ++at, ++count) {
      visitor.OnEntry(at->first, AsBytes(at->second));
    }
    return count;
  }
  Result<void> Commit() override {
    if (fail_commit) {
      return Error{ErrorCode::kIoError, "the disk failed"};
    }
    rows = staged;
    history = staged_history;
    ++commits;
    return Ok();
  }
  void Rollback() override {}
  store::StoreStatus status() const override { return {}; }

  std::map<std::string, std::string> rows;
  std::map<std::string, std::string> staged;
  std::map<std::string, std::string> history;
  std::map<std::string, std::string> staged_history;
  bool fail_commit = false;
  int commits = 0;
};

class CountingEntropy final : public hal::Entropy {
 public:
  void Fill(std::span<uint8_t> out) override {
    for (uint8_t& byte : out) {
      byte = next++;
    }
  }
  const char* source() const override { return "counting"; }
  uint8_t next = 1;
};

class FixedClock final : public hal::Clock {
 public:
  Instant Now() override { return {}; }
  WallTime Wall() override { return {.unix_ns = 1'795'248'605'000'000'000, .is_set = true}; }
  void SetWall(int64_t) override {}
};

class ConfigTest : public ::testing::Test, public ChangeListener, public LineReporter {
 protected:
  static constexpr uint32_t kUsers = 50;
  ConfigTest() : memory_(4u << 20), arena_(memory_) {
    crypto::Initialise();
    hasher_ = arena_.New<crypto::PasswordHasher>(arena_, crypto::PasswordCost{64, 1});
    random_ = std::make_unique<crypto::Random>(entropy_);
    Restart();
  }
  // What a restart of the machine does to the configuration.
  void Restart() {
    config_memory_.emplace_back(std::make_unique<gh::test::Memory>(4u << 20));
    arenas_.emplace_back(std::make_unique<Arena>(
        std::span<uint8_t>(config_memory_.back()->data(), config_memory_.back()->size())));
    history_ = arenas_.back()->New<History>(store_, clock_);
    config_ = arenas_.back()->New<Configuration>(
        *arenas_.back(), kUsers, Configuration::Parts{store_, *hasher_, *random_, history_});
    load_ = config_->Load().value_or({});
    config_->SetListener(this);
  }
  // One line as an operator types it: "" when it is in force, else what was expected.
  std::string Set(std::string_view line) {
    Message message;
    config_->Begin();
    if (!config_->Apply(line, message).ok()) {
      config_->Abort();
      return std::string(message.view());
    }
    return config_->Commit(message).ok() ? "" : std::string(message.view());
  }
  void MakeUsable() {
    Message message;
    ASSERT_TRUE(config_
                    ->Provision("xConfiguration Administrator 1 Name: admin\n"
                                "xConfiguration Administrator 1 Password: Correct-Horse-7\n"
                                "xConfiguration SIP Domain 1 Name: example.com\n",
                                *this, message)
                    ->committed)
        << message.view();
    changes_.clear();
  }
  void OnSettingChanged(Selector selector, std::string_view before,
                        std::string_view after) override {
    uint8_t bytes[kPathTextMax];
    ByteWriter path(bytes);
    FormatPath(selector, path);
    changes_.push_back(std::string(path.text()) + ": " + std::string(before) + " -> " +
                       std::string(after));
  }
  void OnCommitted(const GroupSet& groups, bool restart_needed) override {
    groups_ = groups;
    restart_ = restart_needed;
  }
  std::string_view Author() const override { return "alice"; }
  void OnCommitFailed(const Error& error) override { failure_ = error.what; }
  void OnLine(uint32_t number, bool accepted, std::string_view message) override {
    lines_.push_back(std::to_string(number) + (accepted ? " OK" : " " + std::string(message)));
  }
  std::string ValueOf(std::string_view path_text) {
    Message message;
    const auto line = ParsePath(path_text, message);
    const auto selector = FindSettingFor(*line);
    uint8_t bytes[256];
    ByteWriter out(bytes);
    FormatFor(*selector, out);
    return std::string(out.text());
  }
  Result<Selector> FindSettingFor(const Line& line);
  void FormatFor(Selector selector, ByteWriter& out);

  gh::test::Memory memory_;
  Arena arena_;
  CountingEntropy entropy_;
  crypto::PasswordHasher* hasher_ = nullptr;
  std::unique_ptr<crypto::Random> random_;
  MapStore store_;
  std::vector<std::unique_ptr<gh::test::Memory>> config_memory_;
  std::vector<std::unique_ptr<Arena>> arenas_;
  FixedClock clock_;
  History* history_ = nullptr;
  Configuration* config_ = nullptr;
  LoadReport load_;
  std::vector<std::string> changes_;
  std::vector<std::string> lines_;
  std::string failure_;
  GroupSet groups_;
  bool restart_ = false;
};

}  // namespace gh::config
