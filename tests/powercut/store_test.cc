// Power cuts at every I/O of configuration commits: the store's SQLite on its partition.
//
// After a cut, and a second one while the store rolls back, what is read is exactly the last
// acknowledged content or the one whose commit was under way; nothing in between, and nothing
// acknowledged is lost. With a flipped bit the store may also say that it is damaged.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "board/sim/disk.h"
#include "firmware/store/sqlite_store.h"
#include "hal/rt/bytes.h"

namespace gh::powercut {
namespace {

using Contents = std::map<std::string, std::string>;

constexpr uint64_t kStoreBytes = 512 * 1024;
constexpr uint32_t kKindCount = 36;

class FixedClock final : public hal::Clock {
 public:
  Instant Now() override { return {}; }
  WallTime Wall() override { return {}; }
  void SetWall(int64_t /*unix_ns*/) override {}
};

class FixedEntropy final : public hal::Entropy {
 public:
  void Fill(std::span<uint8_t> out) override { std::ranges::fill(out, uint8_t{7}); }
  const char* source() const override { return "fixed"; }
};

class Collector final : public store::EntryVisitor {
 public:
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    contents[std::string(key)] = std::string(AsText(value));
  }
  Contents contents;
};

// A store in memory of its own: what a machine has between two power cuts.
class Machine {
 public:
  explicit Machine(sim::SimDisk& disk)
      : memory_(2u << 20), arena_({memory_.data(), memory_.size()}) {
    store_ = arena_.New<store::SqliteStore>(arena_, disk, clock_, 1u << 20,
                                            store::Sealing{random_, wrapper_});
    opened = store_->Open();
  }
  Result<void> Commit(const Contents& contents) {
    GH_TRY(store_->Begin());
    GH_TRY(store_->RemoveAll());
    for (const auto& [key, value] : contents) {
      GH_TRY(store_->Put(key, AsBytes(value)));
    }
    return store_->Commit();
  }
  // The same, and nobody waits for it.
  Result<store::LateCommit> CommitLater(const Contents& contents) {
    GH_TRY(store_->BeginLater());
    GH_TRY(store_->RemoveAll());
    for (const auto& [key, value] : contents) {
      GH_TRY(store_->Put(key, AsBytes(value)));
    }
    return store_->CommitLater();
  }
  void Poll() { (void)store_->Poll(Instant()); }
  bool Has(const store::LateCommit& commit) const {
    return store_->StateOf(commit) == store::CommitState::kDurable;
  }
  Result<void> Read(Contents& out) {
    Collector collector;
    GH_TRY(store_->ForEach(collector));
    out = collector.contents;
    return Ok();
  }
  Result<void> opened;

 private:
  std::vector<uint8_t> memory_;
  Arena arena_;
  FixedClock clock_;
  FixedEntropy entropy_;
  crypto::Random random_{entropy_};
  store::NoWrapper wrapper_;
  store::SqliteStore* store_ = nullptr;  // dropped without a word, as by a power cut
};

const std::vector<Contents>& Versions() {
  static const std::vector<Contents> versions = {
      {{"Network.Address", "192.0.2.1"}, {"System.Name", "edge"}},
      {{"Network.Address", "192.0.2.2"}, {"System.Name", "edge"}, {"Sip.Domain", "example.com"}},
      {{"System.Name", std::string(1000, 'n')}, {"Sip.Domain", "example.org"}},
      {{"System.Name", "last"}},
  };
  return versions;
}

std::vector<uint8_t> PreparedDisk() {
  sim::SimDisk disk("store", sim::Random(1), kStoreBytes);
  Machine machine(disk);
  EXPECT_TRUE(machine.opened.ok() && machine.Commit(Versions()[0]).ok());
  return {disk.durable().begin(), disk.durable().end()};
}

// Commits all versions; the index of the last acknowledged one.
size_t CommitAll(sim::SimDisk& disk) {
  Machine machine(disk);
  size_t acknowledged = 0;
  for (size_t i = 1; machine.opened.ok() && i < Versions().size(); ++i) {
    if (!machine.Commit(Versions()[i]).ok()) {
      break;
    }
    acknowledged = i;
  }
  return acknowledged;
}

// The same without waiting: the second is committed while the first is under way, and so on. The
// index of the last that was told durable; what is there afterwards may be any later one.
size_t CommitAllLater(sim::SimDisk& disk) {
  Machine machine(disk);
  size_t acknowledged = 0;
  std::vector<store::LateCommit> commits;
  for (size_t i = 1; machine.opened.ok() && i < Versions().size(); ++i) {
    const auto commit = machine.CommitLater(Versions()[i]);
    if (!commit.ok()) {
      break;
    }
    commits.push_back(*commit);
    machine.Poll();
  }
  for (int turn = 0; turn < 100; ++turn) {
    while (acknowledged < commits.size() && machine.Has(commits[acknowledged])) {
      ++acknowledged;
    }
    machine.Poll();
  }
  disk.Forget();  // what is under way goes with the machine
  return acknowledged;
}

using Commits = size_t (*)(sim::SimDisk& disk);

sim::CutDamage DamageOf(uint64_t kind) {
  return {static_cast<sim::Keep>(kind % 3), static_cast<sim::Tear>(kind / 3 % 4),
          static_cast<sim::Flip>(kind / 12 % 3)};
}

// What went wrong, or nothing.
std::string RunCase(Commits commit_all, std::span<const uint8_t> content, uint64_t io,
                    uint64_t kind, uint64_t seed, uint64_t& cuts) {
  sim::Random random(seed, std::to_string(io * kKindCount + kind));
  sim::SimDisk disk("store", sim::Random(random.Next()), kStoreBytes);
  disk.Restore(content);
  disk.PlanCut(io, DamageOf(kind));
  const size_t acknowledged = commit_all(disk);
  disk.CutPower(DamageOf(kind));
  ++cuts;
  bool is_flipped = DamageOf(kind).flip != sim::Flip::kNone;
  if (random.Chance(0.5)) {
    disk.PowerOn();
    const auto second = DamageOf(random.Below(kKindCount));
    is_flipped = is_flipped || second.flip != sim::Flip::kNone;
    disk.PlanCut(disk.io_count() + 1 + random.Below(20), second);
    Machine recovering(disk);
    disk.CutPower(second);
    ++cuts;
  }
  disk.PowerOn();
  Machine machine(disk);
  Contents read;
  if (!machine.opened.ok() || !machine.Read(read).ok()) {
    return is_flipped ? "" : "the store cannot be read";
  }
  const size_t ahead = commit_all == CommitAll ? 1 : Versions().size();
  for (size_t i = acknowledged; i < Versions().size() && i <= acknowledged + ahead; ++i) {
    if (read == Versions()[i]) {
      return "";
    }
  }
  return "neither the acknowledged content nor a later one";
}

void CutEverywhere(const char* name, Commits commit_all) {
  const auto content = PreparedDisk();
  sim::SimDisk probe("store", sim::Random(1), kStoreBytes);
  probe.Restore(content);
  ASSERT_EQ(commit_all(probe), Versions().size() - 1);
  const char* seeds_text = std::getenv("POWERCUT_SEEDS");
  const uint64_t seeds = seeds_text != nullptr ? std::strtoull(seeds_text, nullptr, 10) : 1;
  uint64_t cuts = 0, failures = 0;
  for (uint64_t io = 1; io <= probe.io_count(); ++io) {
    for (uint64_t kind = 0; kind < kKindCount; ++kind) {
      for (uint64_t seed = 1; seed <= seeds; ++seed) {
        const std::string wrong = RunCase(commit_all, content, io, kind, seed, cuts);
        if (!wrong.empty() && ++failures <= 5) {
          ADD_FAILURE() << wrong << ": I/O " << io << ", kind " << kind << ", seed " << seed;
        }
      }
    }
  }
  std::printf("%-30s %4llu I/Os  %7llu cuts  failures %llu\n", name,
              static_cast<unsigned long long>(probe.io_count()),
              static_cast<unsigned long long>(cuts), static_cast<unsigned long long>(failures));
  EXPECT_EQ(failures, 0u);
}

TEST(PowerCutStore, EveryIoOfConfigurationCommits) {
  CutEverywhere("configuration-commit", CommitAll);
}

TEST(PowerCutStore, EveryIoOfCommitsNobodyWaitsFor) {
  CutEverywhere("late commits", CommitAllLater);
}

// The judge sees a promise that is broken: a commit told durable before its flush.
TEST(PowerCutStore, ALateCommitToldTooEarlyIsSeen) {
  const auto content = PreparedDisk();
  sim::SimDisk disk("store", sim::Random(1), kStoreBytes);
  disk.Restore(content);
  {
    Machine machine(disk);
    ASSERT_TRUE(machine.CommitLater(Versions()[1]).ok());
    disk.Forget();
  }
  disk.CutPower({});
  disk.PowerOn();
  Machine machine(disk);
  Contents read;
  ASSERT_TRUE(machine.Read(read).ok());
  EXPECT_NE(read, Versions()[1]);
}

}  // namespace
}  // namespace gh::powercut
