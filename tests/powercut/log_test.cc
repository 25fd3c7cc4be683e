// Power cuts at every I/O of a log flush: crash records on their way to the log partition, marks
// that they were acknowledged, and their clearing.
//
// After a cut, and a second one while the next start reads the partition and writes on, each record
// that was acknowledged is there, byte for byte, unless a later one took its slot; a record is
// whole or not there; numbers are never used twice; and what was cleared stays cleared. A flipped
// bit may cost what it lies in, never bring back anything wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "board/sim/disk.h"
#include "firmware/log/crash_store.h"

namespace gh::powercut {
namespace {

using log::kCrashSlotCount;
using Bytes = std::vector<uint8_t>;

constexpr uint32_t kKindCount = 36;

Bytes Sample(uint64_t number) {
  Bytes bytes(200 + number * 977 % (kCrashRecordBytesMax - 200));
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(number * 31 + i);
  }
  return bytes;
}

// The store in memory of its own: what a machine has between two power cuts.
class Machine {
 public:
  explicit Machine(sim::SimDisk& disk) : memory_(1u << 20), arena_(memory_), store_(arena_, disk) {
    opened = store_.Open().ok();
  }
  log::CrashStore& store() { return store_; }
  bool opened = false;

 private:
  Bytes memory_;
  Arena arena_;
  log::CrashStore store_;
};

// What was acknowledged before the power went.
struct Witness {
  uint64_t last = 0;          // number given out
  uint64_t under_way = 0;     // the record being written at the cut
  uint64_t acknowledged = 0;  // all up to it
  uint64_t cleared = 0;
  uint64_t clearing = 0;
};

// Fills the ring and goes around; acknowledges and clears on the way.
void Work(sim::SimDisk& disk, Witness& witness) {
  Machine machine(disk);
  for (uint64_t i = 0; machine.opened && i < 2 * kCrashSlotCount; ++i) {
    witness.under_way = witness.last + 1;
    const auto number = machine.store().Append(Sample(witness.last + 1));
    if (!number.ok()) {
      return;
    }
    witness.last = *number;
    witness.under_way = 0;
    if (i == 2) {
      if (!machine.store().Acknowledge().ok()) {
        return;
      }
      witness.acknowledged = witness.last;
    }
    if (i == kCrashSlotCount / 2) {
      witness.clearing = witness.last;
      if (!machine.store().Clear().ok()) {
        return;
      }
      witness.cleared = witness.last;
      witness.clearing = 0;
    }
  }
}

std::string Check(Machine& machine, const Witness& witness, bool is_flipped) {
  if (!machine.opened) {
    return "the log partition cannot be opened";
  }
  const auto numbers = machine.store().numbers();
  for (const uint64_t number : numbers) {
    const auto read = machine.store().Read(number);
    const Bytes wanted = Sample(number);
    if (!read.ok() || !std::ranges::equal(*read, wanted)) {
      return "record " + std::to_string(number) + " is not what was written";
    }
    if (number <= witness.cleared && !is_flipped) {
      return "a cleared record is back";
    }
    if (number > witness.last && number != witness.under_way) {
      return "a record that nobody wrote";
    }
  }
  // The record under way may have taken the oldest one's slot already.
  const uint64_t newest = std::max(witness.last, witness.under_way);
  const uint64_t oldest = newest < kCrashSlotCount ? 1 : newest - kCrashSlotCount + 1;
  const uint64_t gone = std::max(witness.cleared, witness.clearing);
  for (uint64_t n = std::max(oldest, gone + 1); n <= witness.last && !is_flipped; ++n) {
    if (std::find(numbers.begin(), numbers.end(), n) == numbers.end()) {
      return "acknowledged record " + std::to_string(n) + " is lost";
    }
  }
  if (!is_flipped && witness.acknowledged != 0 &&
      !machine.store().IsAcknowledged(witness.acknowledged)) {
    return "an acknowledgement is lost";
  }
  return "";
}

sim::CutDamage DamageOf(uint64_t kind) {
  return {static_cast<sim::Keep>(kind % 3), static_cast<sim::Tear>(kind / 3 % 4),
          static_cast<sim::Flip>(kind / 12 % 3)};
}

// What went wrong, or nothing.
std::string RunCase(uint64_t io, uint64_t kind, uint64_t seed, uint64_t& cuts) {
  sim::Random random(seed, std::to_string(io * kKindCount + kind));
  sim::SimDisk disk("log", sim::Random(random.Next()), log::kCrashAreaBytes);
  bool is_flipped = DamageOf(kind).flip != sim::Flip::kNone;
  disk.PlanCut(io, DamageOf(kind));
  Witness witness;
  Work(disk, witness);
  disk.CutPower(DamageOf(kind));
  ++cuts;
  disk.PowerOn();
  if (random.Chance(0.5)) {  // and again, while the next run writes
    const auto second = DamageOf(random.Below(kKindCount));
    is_flipped = is_flipped || second.flip != sim::Flip::kNone;
    Machine recovering(disk);
    if (const std::string wrong = Check(recovering, witness, is_flipped); !wrong.empty()) {
      return wrong;
    }
    const auto numbers = recovering.store().numbers();
    const uint64_t seen = numbers.empty() ? 0 : numbers.back();
    disk.PlanCut(disk.io_count() + 1 + random.Below(8), second);
    const uint64_t next = std::max({seen, witness.last, witness.under_way}) + 1;
    if (seen == std::max(witness.last, witness.under_way)) {
      witness.last = seen;
      witness.under_way = next;
      const auto number = recovering.store().Append(Sample(next));
      if (number.ok()) {
        witness.last = *number;
        witness.under_way = 0;
      }
    }
    disk.CutPower(second);
    ++cuts;
    disk.PowerOn();
  }
  Machine machine(disk);
  return Check(machine, witness, is_flipped);
}

TEST(PowerCutLog, EveryIoOfALogFlush) {
  sim::SimDisk probe("log", sim::Random(1), log::kCrashAreaBytes);
  Witness uncut;
  Work(probe, uncut);
  ASSERT_EQ(uncut.last, 2u * kCrashSlotCount);
  const char* seeds_text = std::getenv("POWERCUT_SEEDS");
  const uint64_t seeds = seeds_text != nullptr ? std::strtoull(seeds_text, nullptr, 10) : 1;
  uint64_t cuts = 0, failures = 0;
  for (uint64_t io = 1; io <= probe.io_count(); ++io) {
    for (uint64_t kind = 0; kind < kKindCount; ++kind) {
      for (uint64_t seed = 1; seed <= seeds; ++seed) {
        const std::string wrong = RunCase(io, kind, seed, cuts);
        if (!wrong.empty() && ++failures <= 5) {
          ADD_FAILURE() << wrong << ": I/O " << io << ", kind " << kind << ", seed " << seed;
        }
      }
    }
  }
  std::printf("log-flush                      %4llu I/Os  %7llu cuts  failures %llu\n",
              static_cast<unsigned long long>(probe.io_count()),
              static_cast<unsigned long long>(cuts), static_cast<unsigned long long>(failures));
  EXPECT_EQ(failures, 0u);
}

}  // namespace
}  // namespace gh::powercut
