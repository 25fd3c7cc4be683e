// Power cuts after every write and flush of runs of commits, and again while the store mends
// itself: thousands of them, without sanitizers, which see the same code in tests/unit/store.
#include "tests/unit/store/store_machine.h"

namespace gh::store {
namespace {

// A run of commits with the power cut after the Nth write, then a second cut during recovery.
// Returns false when the run ended before the cut.
bool CutOnce(uint64_t n, uint64_t seed, bool again) {
  std::mt19937_64 random(seed * 1000003 + n);
  FakeDisk disk(n % 2 == 0 ? 512 : 4096, kDiskBytes / (n % 2 == 0 ? 512 : 4096));
  Contents acknowledged;
  Contents attempted;
  disk.CutAfter(n);
  {
    Machine machine(disk);
    for (int i = 0; i < 6 && machine.opened.ok() && !disk.is_off(); ++i) {
      attempted = acknowledged;
      Contents put;
      for (int k = 0; k < 20; ++k) {
        const std::string key = "key" + std::to_string((i * 7 + k) % 40);
        put[key] = std::string(static_cast<size_t>(50 + i * 100), static_cast<char>('a' + i));
        attempted[key] = put[key];
      }
      if (machine.Write(put).ok()) {
        acknowledged = attempted;
      }
    }
    machine.Drop();
  }
  const bool cut = disk.is_off();
  disk.PowerCut(random);
  if (again) {
    disk.CutAfter(random() % 8);
    Machine machine(disk);
    machine.Drop();
    disk.PowerCut(random);
  }
  Machine machine(disk);
  EXPECT_TRUE(machine.opened.ok()) << "cut after " << n << " seed " << seed << ": "
                                   << (machine.opened.ok() ? "" : machine.opened.error().what);
  if (machine.opened.ok()) {
    const Contents now = machine.Read();
    EXPECT_TRUE(now == acknowledged || now == attempted) << "cut after " << n << " seed " << seed;
    EXPECT_TRUE(machine.Write({{"later", "works"}}).ok());
  }
  return cut;
}

TEST(PowerCutSqlite, CutAfterAnyWriteLosesNothingAcknowledged) {
  uint64_t cuts = 0;
  for (uint64_t seed = 0; seed < 3; ++seed) {
    for (uint64_t n = 0; CutOnce(n, seed, false) && !HasFailure(); ++n) {
      ++cuts;
    }
  }
  EXPECT_GT(cuts, 150u);
}

TEST(PowerCutSqlite, SecondCutDuringRecoveryLosesNothingEither) {
  uint64_t cuts = 0;
  for (uint64_t seed = 10; seed < 13; ++seed) {
    for (uint64_t n = 0; CutOnce(n, seed, true) && !HasFailure(); ++n) {
      ++cuts;
    }
  }
  EXPECT_GT(cuts, 150u);
}

}  // namespace
}  // namespace gh::store
