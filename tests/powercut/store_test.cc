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

sim::CutDamage DamageOf(uint64_t kind) {
  return {static_cast<sim::Keep>(kind % 3), static_cast<sim::Tear>(kind / 3 % 4),
          static_cast<sim::Flip>(kind / 12 % 3)};
}

// What went wrong, or nothing.
std::string RunCase(std::span<const uint8_t> content, uint64_t io, uint64_t kind, uint64_t seed,
                    uint64_t& cuts) {
  sim::Random random(seed, std::to_string(io * kKindCount + kind));
  sim::SimDisk disk("store", sim::Random(random.Next()), kStoreBytes);
  disk.Restore(content);
  disk.PlanCut(io, DamageOf(kind));
  const size_t acknowledged = CommitAll(disk);
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
  const bool is_last = read == Versions()[acknowledged];
  const bool is_next = acknowledged + 1 < Versions().size() && read == Versions()[acknowledged + 1];
  return is_last || is_next ? "" : "neither the acknowledged content nor the next";
}

TEST(PowerCutStore, EveryIoOfConfigurationCommits) {
  const auto content = PreparedDisk();
  sim::SimDisk probe("store", sim::Random(1), kStoreBytes);
  probe.Restore(content);
  ASSERT_EQ(CommitAll(probe), Versions().size() - 1);
  const char* seeds_text = std::getenv("POWERCUT_SEEDS");
  const uint64_t seeds = seeds_text != nullptr ? std::strtoull(seeds_text, nullptr, 10) : 1;
  uint64_t cuts = 0, failures = 0;
  for (uint64_t io = 1; io <= probe.io_count(); ++io) {
    for (uint64_t kind = 0; kind < kKindCount; ++kind) {
      for (uint64_t seed = 1; seed <= seeds; ++seed) {
        const std::string wrong = RunCase(content, io, kind, seed, cuts);
        if (!wrong.empty() && ++failures <= 5) {
          ADD_FAILURE() << wrong << ": I/O " << io << ", kind " << kind << ", seed " << seed;
        }
      }
    }
  }
  std::printf("configuration-commit           %4llu I/Os  %7llu cuts  failures %llu\n",
              static_cast<unsigned long long>(probe.io_count()),
              static_cast<unsigned long long>(cuts), static_cast<unsigned long long>(failures));
  EXPECT_EQ(failures, 0u);
}

}  // namespace
}  // namespace gh::powercut
