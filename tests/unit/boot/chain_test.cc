// The loader's decision on a disk in memory: order, tries before the jump, rollback refusal by
// record and counter, fallback, lost records, bad disks. Power cuts: tests/powercut.
#include "boot/chain.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "image/bootstate_changes.h"
#include "tests/unit/image/sample.h"

namespace gh::boot {
namespace {

using image::PartitionRole;
using image::SlotState;
using Bytes = std::vector<uint8_t>;

class Disk final : public ChainDisk {
 public:
  Disk() {
    for (const auto role : {PartitionRole::kSlotA, PartitionRole::kSlotB, PartitionRole::kFactory,
                            PartitionRole::kStore, PartitionRole::kLog}) {
      parts[role].resize(64 * 1024);
    }
    parts[PartitionRole::kBootState].resize(1 << 20);
  }
  uint64_t Size(PartitionRole role) override {
    return parts.contains(role) ? parts[role].size() : 0;
  }
  Result<void> Read(PartitionRole role, uint64_t offset, std::span<uint8_t> out) override {
    std::copy_n(parts[role].begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
    return role == unreadable ? Result<void>(Error(ErrorCode::kIoError, "disk read failed")) : Ok();
  }
  Result<void> Write(PartitionRole role, uint64_t offset, std::span<const uint8_t> data) override {
    if (is_read_only) {
      return Error(ErrorCode::kIoError, "disk write failed");
    }
    std::copy(data.begin(), data.end(), parts[role].begin() + static_cast<ptrdiff_t>(offset));
    return Ok();
  }
  Result<void> Flush() override { return Ok(); }

  void Put(PartitionRole role, uint64_t security_version, const std::string& version) {
    auto package = image::test::SamplePackage();
    package.version = version;
    package.security_version = security_version;
    const auto slot = image::test::Build(package, {key.get()});
    std::copy(slot.begin(), slot.end(), parts[role].begin());
  }
  void Put(const image::BootState& state) {
    for (uint32_t i = 0; i < image::kBootStateCopyCount; ++i) {
      image::EncodeBootState(state, i,
                             std::span(parts[PartitionRole::kBootState])
                                 .subspan(size_t{i} * image::kBootStateCopyStride)
                                 .first<image::kBootStateCopySize>());
    }
  }

  std::map<PartitionRole, Bytes> parts;
  std::unique_ptr<image::tool::SigningKey> key = image::test::MakeKey(1);
  PartitionRole unreadable = PartitionRole::kEsp;
  bool is_read_only = false;
};

class Memory final : public ChainMemory {
 public:
  Result<std::span<uint8_t>> Allocate(uint64_t size) override {
    held_.push_back(std::make_unique<Bytes>(size));
    return std::span<uint8_t>(*held_.back());
  }
  void Release(std::span<uint8_t> memory) override {
    std::erase_if(held_, [&](const auto& one) { return one->data() == memory.data(); });
  }

 private:
  std::vector<std::unique_ptr<Bytes>> held_;
};

class Counter final : public RollbackCounter {
 public:
  Result<uint64_t> Read() override { return value; }
  Result<void> Raise(uint64_t to) override {
    EXPECT_GT(to, value);
    value = to;
    return Ok();
  }
  uint64_t value = 0;
};

class Report final : public ChainReport {
 public:
  void Line(std::string_view line) override { text += std::string(line) + "\n"; }
  void Warning(std::string_view line) override { text += std::string(line) + "\n"; }
  std::string text;
};

class ChainTest : public ::testing::Test {
 protected:
  ChainTest() {
    disk.Put(PartitionRole::kSlotA, 5, "a");
    disk.Put(PartitionRole::kSlotB, 6, "b");
    disk.Put(PartitionRole::kFactory, 5, "g");
    state.sequence = 1;
    state.security_version = 5;
    state.slots[0].state = SlotState::kConfirmed;
    state.slots[0].security_version = 5;
    state.slots[0].install_sequence = 1;
    EXPECT_TRUE(image::InstallTrial(state, 1, 6).ok());
  }
  // What is started, in the order it is offered: "b3 a g", digits are the tries left.
  std::string Starts(RollbackCounter* counter = nullptr, uint32_t count = 9) {
    keys = {disk.key->trusted};
    ChainPolicy policy;
    policy.keys = keys;
    policy.is_reset_button_down = is_button_down;
    Chain chain(disk, memory, counter, report, policy);
    chain.Begin();
    std::string text;
    ChainStart start;
    for (uint32_t i = 0; i < count && chain.Next(start); ++i) {
      text += start.verified.manifest.version;
      text += start.kind == StartKind::kTrial ? std::to_string(start.tries_left) : "";
    }
    state = chain.state();
    history = chain.history();
    return text;
  }

  Disk disk;
  Memory memory;
  Report report;
  image::BootState state;
  ChainHistory history;
  std::vector<image::TrustedKey> keys;
  bool is_button_down = false;
};

TEST_F(ChainTest, ATrialThenTheConfirmedThenGolden) {
  disk.Put(state);
  EXPECT_EQ(Starts(), "b2ag");
}

TEST_F(ChainTest, TriesRunOutAndTheReasonStays) {
  disk.Put(state);
  EXPECT_EQ(Starts(nullptr, 1), "b2");
  EXPECT_EQ(Starts(nullptr, 1), "b1");
  EXPECT_EQ(Starts(nullptr, 1), "b0");
  EXPECT_EQ(Starts(nullptr, 1), "a");
  EXPECT_EQ(state.slots[1].state, SlotState::kBad);
  EXPECT_EQ(state.revert.slot, 1);
  EXPECT_FALSE(state.revert.reason.empty());
}

TEST_F(ChainTest, ATryThatCannotBeWrittenDownIsNotTried) {
  disk.Put(state);
  disk.is_read_only = true;
  EXPECT_EQ(Starts(), "ag");
}

TEST_F(ChainTest, RollbackIsRefusedByRecordAndByCounter) {
  image::Confirm(state, 1, 6);
  disk.Put(state);
  EXPECT_EQ(Starts(), "b") << "a and golden are older";
  disk.Put(state);
  Counter counter;
  EXPECT_EQ(Starts(&counter), "b");
  EXPECT_EQ(counter.value, 6u) << "the counter follows the record";
  counter.value = 7;
  EXPECT_EQ(Starts(&counter), "");
  EXPECT_EQ(state.security_version, 7u) << "and the record the counter";
}

TEST_F(ChainTest, ADamagedSlotIsRememberedAnUnreadableOneIsNot) {
  disk.Put(state);
  disk.parts[PartitionRole::kSlotB][20000] ^= 1;
  EXPECT_EQ(Starts(nullptr, 1), "a");
  EXPECT_EQ(state.slots[1].state, SlotState::kBad);
  EXPECT_NE(report.text.find("slot-b: bad block"), std::string::npos) << report.text;
  disk.unreadable = PartitionRole::kSlotA;
  EXPECT_EQ(Starts(), "g");
  EXPECT_EQ(state.slots[0].state, SlotState::kConfirmed);
}

TEST_F(ChainTest, ALostRecordGivesEachSlotOneTryAndTheHighestFloor) {
  EXPECT_EQ(Starts(nullptr, 1), "b0");
  EXPECT_EQ(history.record, image::RecordStatus::kLost);
  EXPECT_EQ(state.security_version, 6u);
  EXPECT_EQ(Starts(nullptr, 1), "") << "b had its try; a and golden are below the floor";
}

TEST_F(ChainTest, GoldenByTheOperatorsWordOnceAndTheSlotsBehindIt) {
  ASSERT_TRUE(image::SelectGolden(state).ok());
  disk.Put(state);
  EXPECT_EQ(Starts(nullptr, 1), "g");
  EXPECT_EQ(state.started, image::kStartedGolden);
  EXPECT_EQ(state.slots[1].tries_left, image::kTriesDefault) << "no try was spent";
  EXPECT_EQ(Starts(nullptr, 1), "b2") << "only once";
  // A golden image that may not be started does not strand the machine.
  ASSERT_TRUE(image::SelectGolden(state).ok());
  disk.Put(state);
  disk.parts[PartitionRole::kFactory][20000] ^= 1;
  EXPECT_EQ(Starts(nullptr, 1), "b1");
  EXPECT_FALSE(history.failures[2].empty());
}

TEST_F(ChainTest, TwoRootSignersRefuseAListOfOneSignature) {
  const auto root = image::test::MakeKey(11);
  const auto root_two = image::test::MakeKey(12);
  const auto next = image::test::MakeKey(13);
  root->trusted.role = root_two->trusted.role = gatehouse_image_KeyRole_KEY_ROOT;
  const auto starts = [&](std::vector<const image::tool::SigningKey*> signers) {
    auto package = image::test::SamplePackage();
    package.version = "n";
    package.security_version = 6;
    package.key_list = image::tool::BuildKeyList(
        1, 1, std::vector<image::tool::KeyListEntry>{{next->trusted, false}}, signers);
    const auto slot = image::test::Build(package, {next.get()});
    std::copy(slot.begin(), slot.end(), disk.parts[PartitionRole::kSlotB].begin());
    disk.Put(state);
    keys = {disk.key->trusted, root->trusted, root_two->trusted};
    ChainPolicy policy;
    policy.keys = keys;
    policy.root_signature_count_min = 2;
    Chain chain(disk, memory, nullptr, report, policy);
    chain.Begin();
    ChainStart start;
    return chain.Next(start) ? std::string(start.verified.manifest.version) : "";
  };
  EXPECT_EQ(starts({root.get()}), "a");
  EXPECT_NE(report.text.find("not signed by enough trusted root keys"), std::string::npos)
      << report.text;
  EXPECT_EQ(starts({root.get(), root_two.get()}), "n");
}

TEST_F(ChainTest, TheButtonResetsToGolden) {
  state.slots[1] = image::SlotRecord();
  disk.Put(state);
  disk.parts[PartitionRole::kStore][777] = 1;
  is_button_down = true;
  EXPECT_EQ(Starts(nullptr, 1), "g") << "the golden image, from slot a";
  EXPECT_EQ(state.started, 0);
  EXPECT_TRUE(history.was_reset);
  EXPECT_EQ(disk.parts[PartitionRole::kStore], Bytes(64 * 1024));
  EXPECT_EQ(state.reset_intent, image::ResetIntent::kNone);
}

}  // namespace
}  // namespace gh::boot
