// Power cuts, at every I/O of everything that decides what the machine starts next.
//
// For each scenario: run it once and count its I/Os; then run it again for each of them, for each
// kind of damage and for some seeds, with the power going at that I/O. The disk keeps any subset of
// what was not flushed, in any order, with one sector torn (its beginning, its end, or noise) and
// one bit flipped afterwards (board/sim/disk.h). Then the machine is started until it rests; every
// other run loses its power a second time on the way, at a random I/O, with damage of its own.
// scene.h says what must hold.
//
//   POWERCUT_SEEDS=16    seeds per I/O and kind (more cuts)
//   POWERCUT_SEED=1000   the first seed
//   POWERCUT_REPLAY=upgrade:17:5:1003   one case alone: scenario, I/O, kind, seed
// Canaries: faults planted in the machine must be found by the same search.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "tests/powercut/scene.h"

namespace gh::powercut {
namespace {

struct Scenario {
  const char* name;
  Bytes disk;
  std::function<void(Scene&)> run;
  // After the machine has come to rest: what is broken, or nothing. `rest` is empty when nothing
  // is started. `is_flipped`: a bit was flipped, and may have hit an image.
  std::function<std::string(const Scene&, const std::optional<Started>& rest, bool is_flipped)>
      judge;
};

struct Case {
  uint64_t io = 0;
  uint32_t kind = 0;
  uint64_t seed = 0;
};

constexpr uint32_t kKeepCount = 3;
constexpr uint32_t kTearCount = 4;
constexpr uint32_t kFlipCount = 3;
constexpr uint32_t kKindCount = kKeepCount * kTearCount * kFlipCount;
constexpr uint32_t kFailuresShown = 5;
constexpr uint64_t kSeedCount = 3;

sim::CutDamage DamageOf(uint32_t kind) {
  sim::CutDamage damage;
  damage.keep = static_cast<sim::Keep>(kind % kKeepCount);
  damage.tear = static_cast<sim::Tear>(kind / kKeepCount % kTearCount);
  damage.flip = static_cast<sim::Flip>(kind / kKeepCount / kTearCount);
  return damage;
}

uint64_t Setting(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// Not random: nothing is drawn, so that one seed is enough.
bool IsFixed(const sim::CutDamage& damage) {
  return damage.keep != sim::Keep::kSubset && damage.tear == sim::Tear::kNone &&
         damage.flip == sim::Flip::kNone;
}

struct Totals {
  uint64_t ios = 0;
  uint64_t cuts = 0;
  uint64_t second_cuts = 0;
  uint64_t records_lost = 0;
  uint64_t stranded = 0;
  uint64_t failures = 0;
};

class Search {
 public:
  explicit Search(const Scenario& scenario, Planted planted = Planted::kNothing)
      : scenario_(scenario), planted_(planted) {}

  Totals Run(uint64_t first_seed, uint64_t seed_count) {
    totals_.ios = CountIos();
    for (uint64_t io = 1; io <= totals_.ios; ++io) {
      for (uint32_t kind = 0; kind < kKindCount; ++kind) {
        const uint64_t seeds = IsFixed(DamageOf(kind)) ? 1 : seed_count;
        for (uint64_t seed = first_seed; seed < first_seed + seeds; ++seed) {
          RunCase({io, kind, seed});
          if (planted_ != Planted::kNothing && totals_.failures > 0) {
            return totals_;  // a canary need be found once
          }
        }
      }
    }
    return totals_;
  }

  // What went wrong, or nothing.
  std::string RunCase(const Case& one) {
    sim::Random random(one.seed, std::to_string(one.io * kKindCount + one.kind));
    Scene scene(random.Next(), scenario_.disk);
    scene.disk.planted = planted_;
    bool is_flipped = DamageOf(one.kind).flip != sim::Flip::kNone;
    scene.disk.sim.PlanCut(one.io, DamageOf(one.kind));
    scenario_.run(scene);
    if (scene.is_powered()) {
      // Fewer I/Os than when they were counted: cut it now.
      scene.disk.sim.CutPower(DamageOf(one.kind));
    }
    ++totals_.cuts;
    scene.disk.sim.PowerOn();
    if (random.Chance(0.5)) {
      const auto second = DamageOf(static_cast<uint32_t>(random.Below(kKindCount)));
      is_flipped = is_flipped || second.flip != sim::Flip::kNone;
      scene.disk.sim.PlanCut(scene.disk.sim.io_count() + 1 + random.Below(kSecondCutMax), second);
      const bool was_cut = !scene.Settle() && !scene.is_powered();
      if (was_cut) {
        ++totals_.cuts;
        ++totals_.second_cuts;
        scene.disk.sim.PowerOn();
      }
      scene.disk.sim.PlanCut(0, {});
    }
    return Judge(one, scene, is_flipped);
  }

 private:
  static constexpr uint64_t kSecondCutMax = 60;

  uint64_t CountIos() {
    Scene scene(1, scenario_.disk);
    scenario_.run(scene);
    EXPECT_EQ(scene.failure, "") << scenario_.name << " fails without a cut";
    return scene.disk.sim.io_count();
  }

  std::string Judge(const Case& one, Scene& scene, bool is_flipped) {
    const auto rest = scene.Settle();
    totals_.records_lost += scene.is_record_lost ? 1 : 0;
    totals_.stranded += scene.is_stranded ? 1 : 0;
    std::string wrong = scene.failure;
    if (wrong.empty() && !rest && !is_flipped) {
      wrong = "nothing is started";
    }
    if (wrong.empty() && !scene.is_record_lost) {
      wrong = scenario_.judge(scene, rest, is_flipped);
    }
    if (!wrong.empty() && ++totals_.failures <= kFailuresShown && planted_ == Planted::kNothing) {
      std::printf("FAILED %s; replay: POWERCUT_REPLAY=%s:%llu:%u:%llu\n", wrong.c_str(),
                  scenario_.name, static_cast<unsigned long long>(one.io), one.kind,
                  static_cast<unsigned long long>(one.seed));
    }
    return wrong;
  }

  const Scenario& scenario_;
  Planted planted_;
  Totals totals_;
};

using Rest = std::optional<Started>;

std::string Describe(const Rest& rest) {
  return rest ? rest->version + " from " + rest->letter : std::string("nothing");
}

// With a flipped bit any of the images may have been hit; without one it is `version` exactly.
std::string Expect(const Rest& rest, bool is_flipped, const std::string& version, char letter) {
  if (!is_flipped && (!rest || rest->version != version || rest->letter != letter)) {
    return "rests at " + Describe(rest) + ", not at " + version + " from " + letter;
  }
  return "";
}

std::string JudgeReset(const Scene& scene, const Rest& rest, bool is_flipped, bool is_kept,
                       const std::string& version, char letter) {
  const uint32_t secrets = CountSecrets(scene.disk);
  const bool is_done = secrets == 0;
  if (scene.witness.is_reset_acknowledged && !is_done) {
    return "a reset that was acknowledged left " + std::to_string(secrets) + " secrets";
  }
  if (!is_done && secrets != kSecretCount && !is_flipped) {
    return "half a reset: " + std::to_string(secrets) + " secrets are left";
  }
  if (is_done && !is_flipped && HasKeptSettings(scene.disk) != is_kept) {
    return is_kept ? "the network settings were not kept" : "the network settings are left";
  }
  return is_done ? Expect(rest, is_flipped, version, letter) : "";
}

void Reset(Scene& scene, bool keep_network) {
  scene.witness.is_reset_acknowledged = scene.ChangeRecord([&](image::BootState& state) {
    image::RequestReset(state, keep_network);
    return true;
  });
  (void)scene.Boot();
}

Scenario FirstBoot() {
  return {"first-boot", FactoryDisk(), [](Scene& scene) { (void)scene.Settle(); },
          [](const Scene&, const Rest& rest, bool is_flipped) {
            return Expect(rest, is_flipped, "1.0", 'a');
          }};
}

Scenario Upgrade() {
  return {"upgrade", FactoryDisk(),
          [](Scene& scene) {
            if (scene.Settle()) {
              scene.Install(Images().update, 1);
            }
          },
          [](const Scene& scene, const Rest& rest, bool is_flipped) {
            const bool is_new = rest && rest->letter == 'b';
            if (!scene.witness.is_install_acknowledged && !is_new) {
              return Expect(rest, is_flipped, "1.0", 'a');
            }
            return Expect(rest, is_flipped, "2.0", 'b');
          }};
}

Scenario Confirm() {
  return {"confirm", UpdatedDisk(Images().update, false),
          [](Scene& scene) {
            scene.witness.tries[1] = image::kTriesDefault;
            (void)scene.Settle();
          },
          [](const Scene&, const Rest& rest, bool is_flipped) {
            return Expect(rest, is_flipped, "2.0", 'b');
          }};
}

Scenario RefusalToConfirm() {
  return {"refusal-to-confirm", UpdatedDisk(Images().broken, false),
          [](Scene& scene) {
            scene.witness.tries[1] = image::kTriesDefault;
            (void)scene.Settle();
          },
          [](const Scene&, const Rest& rest, bool is_flipped) {
            return Expect(rest, is_flipped, "1.0", 'a');
          }};
}

// An old image, and one that nobody here signed, written over a slot with a record to suit them.
Scenario RollbackTry() {
  return {"rollback-try", UpdatedDisk(Images().update, true),
          [](Scene& scene) {
            scene.witness.floor = 2;
            for (const Image* image : {&Images().golden, &Images().foreign}) {
              const auto role = image::PartitionRole::kSlotA;
              (void)scene.disk.Write(role, 0, image->bytes).ok();
              (void)scene.disk.Flush().ok();
              scene.witness.tries[0] = image::kTriesDefault;
              scene.ChangeRecord([&](image::BootState& state) {
                (void)image::InstallTrial(state, 0, 2).ok();
                return true;
              });
              (void)scene.Settle();
            }
          },
          [](const Scene&, const Rest& rest, bool is_flipped) {
            return Expect(rest, is_flipped, "2.0", 'b');
          }};
}

// An update by a new key, with the key list that revokes the old one: installed, tried, confirmed,
// started again; golden and slot a are then nobody's.
Scenario KeyRotation() {
  return {"key-rotation", FactoryDisk(),
          [](Scene& scene) {
            if (!scene.Settle()) {
              return;
            }
            scene.Install(Images().rotated, 1);
            if (scene.is_powered() && scene.Settle()) {
              (void)scene.Settle();
            }
          },
          [](const Scene& scene, const Rest& rest, bool is_flipped) {
            const bool is_new = rest && rest->letter == 'b';
            if (!scene.witness.is_install_acknowledged && !is_new) {
              return Expect(rest, is_flipped, "1.0", 'a');
            }
            return Expect(rest, is_flipped, "3.0", 'b');
          }};
}

Scenario ResetEverything() {
  return {"factory-reset", FactoryDisk(), [](Scene& scene) { Reset(scene, false); },
          [](const Scene& scene, const Rest& rest, bool is_flipped) {
            return JudgeReset(scene, rest, is_flipped, false, "1.0", 'a');
          }};
}

// After an update whose security version golden has too, with the network settings kept.
Scenario ResetKeepingNetwork() {
  return {"factory-reset-keeping-network", UpdatedDisk(Images().golden, true),
          [](Scene& scene) { Reset(scene, true); },
          [](const Scene& scene, const Rest& rest, bool is_flipped) {
            return JudgeReset(scene, rest, is_flipped, true, "1.0", 'a');
          }};
}

// Golden is older than the security version: the reset keeps the slot that may run.
Scenario ResetWithOldGolden() {
  return {"factory-reset-old-golden", UpdatedDisk(Images().update, true),
          [](Scene& scene) {
            scene.witness.floor = 2;
            Reset(scene, false);
          },
          [](const Scene& scene, const Rest& rest, bool is_flipped) {
            return JudgeReset(scene, rest, is_flipped, false, "2.0", 'b');
          }};
}

Scenario ResetByButton() {
  return {"factory-reset-button", UpdatedDisk(Images().golden, true),
          [](Scene& scene) { (void)scene.Boot(true); },
          [](const Scene& scene, const Rest& rest, bool is_flipped) {
            const char letter = CountSecrets(scene.disk) == 0 ? 'a' : 'b';
            return JudgeReset(scene, rest, is_flipped, false, "1.0", letter);
          }};
}

Scenario RecordUpdate() {
  return {"bootstate-update", FactoryDisk(),
          [](Scene& scene) {
            for (const uint16_t seconds : std::array<uint16_t, 4>{60, 120, 240, 480}) {
              scene.witness.seconds_tried = seconds;
              if (scene.ChangeRecord([&](image::BootState& state) {
                    return image::SetTrial(state, 5, seconds).ok();
                  })) {
                scene.witness.seconds_acknowledged = seconds;
              }
              if (!scene.is_powered()) {
                return;
              }
            }
          },
          [](const Scene& scene, const Rest& rest, bool is_flipped) -> std::string {
            auto& disk = const_cast<SceneDisk&>(scene.disk);
            image::BootStateCopies copies(disk);
            const auto state = copies.Load();
            if (!state.ok() || (state->confirm_seconds != scene.witness.seconds_acknowledged &&
                                state->confirm_seconds != scene.witness.seconds_tried)) {
              return "a setting that was acknowledged is lost";
            }
            return Expect(rest, is_flipped, "1.0", 'a');
          }};
}

// Golden by the operator's word: once, whatever is cut, and never instead of what may run for ever.
Scenario GoldenOnce() {
  return {"golden-once", UpdatedDisk(Images().golden, true),
          [](Scene& scene) {
            const bool is_chosen = scene.ChangeRecord(
                [](image::BootState& state) { return image::SelectGolden(state).ok(); });
            const auto first = scene.Boot();
            if (first && is_chosen && first->letter != 'g') {
              scene.Fail("the choice of golden was acknowledged and lost");
            }
            const auto second = scene.is_powered() ? scene.Boot() : std::nullopt;
            if (first && first->letter == 'g' && second && second->letter == 'g') {
              scene.Fail("golden was started twice");
            }
          },
          [](const Scene& scene, const Rest& rest, bool is_flipped) -> std::string {
            if (!is_flipped && rest && rest->letter == 'g') {
              const auto again = const_cast<Scene&>(scene).Settle();
              return Expect(again, is_flipped, "1.0", 'b');
            }
            return Expect(rest, is_flipped, "1.0", 'b');
          }};
}

std::vector<Scenario> AllScenarios() {
  std::vector<Scenario> all;
  all.push_back(FirstBoot());
  all.push_back(Upgrade());
  all.push_back(Confirm());
  all.push_back(RefusalToConfirm());
  all.push_back(RollbackTry());
  all.push_back(KeyRotation());
  all.push_back(ResetEverything());
  all.push_back(ResetKeepingNetwork());
  all.push_back(ResetWithOldGolden());
  all.push_back(ResetByButton());
  all.push_back(RecordUpdate());
  all.push_back(GoldenOnce());
  return all;
}

bool Replay(const std::vector<Scenario>& scenarios) {
  const char* text = std::getenv("POWERCUT_REPLAY");
  if (text == nullptr) {
    return false;
  }
  char name[64];
  unsigned long long io = 0, seed = 0;
  unsigned kind = 0;
  if (std::sscanf(text, "%63[^:]:%llu:%u:%llu", name, &io, &kind, &seed) != 4) {
    ADD_FAILURE() << "POWERCUT_REPLAY is scenario:io:kind:seed";
    return true;
  }
  for (const Scenario& scenario : scenarios) {
    if (std::string_view(scenario.name) == name) {
      EXPECT_EQ(Search(scenario).RunCase({io, kind % kKindCount, seed}), "");
    }
  }
  return true;
}

TEST(PowerCut, EveryIoOfEveryScenario) {
  const auto scenarios = AllScenarios();
  if (Replay(scenarios)) {
    return;
  }
  const uint64_t first = Setting("POWERCUT_SEED", 1);
  const uint64_t count = Setting("POWERCUT_SEEDS", kSeedCount);
  Totals sum;
  const auto begin = std::chrono::steady_clock::now();
  for (const Scenario& scenario : scenarios) {
    const Totals totals = Search(scenario).Run(first, count);
    std::printf(
        "%-30s %4llu I/Os  %7llu cuts (%6llu second)  record lost %3llu  stranded %3llu  "
        "failures %llu\n",
        scenario.name, static_cast<unsigned long long>(totals.ios),
        static_cast<unsigned long long>(totals.cuts),
        static_cast<unsigned long long>(totals.second_cuts),
        static_cast<unsigned long long>(totals.records_lost),
        static_cast<unsigned long long>(totals.stranded),
        static_cast<unsigned long long>(totals.failures));
    std::fflush(stdout);
    EXPECT_GT(totals.ios, 0u);
    sum.ios += totals.ios;
    sum.cuts += totals.cuts;
    sum.failures += totals.failures;
  }
  const auto end = std::chrono::steady_clock::now();
  std::printf(
      "%llu cut points, %u damage kinds, seeds %llu to %llu: %llu cuts, %llu failures, "
      "%.0f s\n",
      static_cast<unsigned long long>(sum.ios), kKindCount, static_cast<unsigned long long>(first),
      static_cast<unsigned long long>(first + count - 1), static_cast<unsigned long long>(sum.cuts),
      static_cast<unsigned long long>(sum.failures),
      std::chrono::duration<double>(end - begin).count());
  EXPECT_EQ(sum.failures, 0u);
  if (count >= kSeedCount) {
    EXPECT_GT(sum.cuts, 100'000u);
  }
}

// Each planted fault is found, in the scenario that it is about, by the ordinary search.
TEST(PowerCut, CanariesAreFound) {
  const struct {
    Planted planted;
    Scenario scenario;
  } canaries[] = {
      {Planted::kFlushIgnored, Upgrade()},
      {Planted::kFlushIgnored, RefusalToConfirm()},
      {Planted::kTryNotCounted, RefusalToConfirm()},
      {Planted::kStoreNotErased, ResetEverything()},
  };
  for (const auto& canary : canaries) {
    const Totals totals = Search(canary.scenario, canary.planted).Run(1, 1);
    std::printf("canary in %s: found after %llu cuts\n", canary.scenario.name,
                static_cast<unsigned long long>(totals.cuts));
    EXPECT_GT(totals.failures, 0u) << canary.scenario.name;
  }
}

}  // namespace
}  // namespace gh::powercut
