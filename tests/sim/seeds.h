// Which seeds a simulation test runs, and what it says when one fails.
//
//   out/asan/tests/sim_test --gtest_filter=Calls.*             the default set
//   GATEHOUSE_SIM_SEED=17 out/asan/tests/sim_test ...          that seed alone: a replay
//   GATEHOUSE_SIM_SEEDS=1000 out/asan/tests/sim_test ...       so many
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "version.h"

namespace gh::sim {

// `count` seeds by default, from `first` on.
inline std::vector<uint64_t> Seeds(uint64_t count, uint64_t first = 1) {
  if (const char* one = std::getenv("GATEHOUSE_SIM_SEED"); one != nullptr) {
    return {std::strtoull(one, nullptr, 10)};
  }
  if (const char* many = std::getenv("GATEHOUSE_SIM_SEEDS"); many != nullptr) {
    count = std::strtoull(many, nullptr, 10);
  }
  std::vector<uint64_t> seeds;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    seeds.push_back(seed);
  }
  return seeds;
}

// While it lives, every failure says how to replay it.
class SeedTrace {
 public:
  explicit SeedTrace(uint64_t seed)
      : trace_(__FILE__, __LINE__,
               "commit " + std::string(kCommit) + "; replay: GATEHOUSE_SIM_SEED=" +
                   std::to_string(seed) + " out/asan/tests/sim_test --gtest_filter=" + Name()) {}

 private:
  static std::string Name() {
    const testing::TestInfo* info = testing::UnitTest::GetInstance()->current_test_info();
    return std::string(info->test_suite_name()) + "." + info->name();
  }
  testing::ScopedTrace trace_;
};

}  // namespace gh::sim
