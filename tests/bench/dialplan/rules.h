// What one search costs by the number of rules, when the last of them is the one that matches:
// exact, suffix and regular expressions.
#pragma once

#include <memory>
#include <string>

#include "firmware/dialplan/dial_plan.h"
#include "tests/bench/bench.h"

namespace gh::dialplan {

inline constexpr size_t kMemory = 8 << 20;

class PlanBench {
 public:
  PlanBench() {
    Zone zone;
    zone.name.Assign("East");
    zone.type = ZoneType::kNeighbour;
    (void)plan_.Add(kFirstZone, zone);
  }
  void Fill(uint32_t count, PatternType type) {
    for (uint32_t i = 0; i < count; ++i) {
      SearchRule rule;
      rule.number = static_cast<uint16_t>(i + 1);
      rule.mode = RuleMode::kAliasPattern;
      rule.pattern.type = type;
      rule.pattern.behavior = PatternBehavior::kLeave;
      const std::string number = std::to_string(10'000 + (i + 1 == count ? 0 : i + 1));
      rule.pattern.text.Assign(type == PatternType::kSuffix ? "@a" + number + ".example.com"
                               : type == PatternType::kExact
                                   ? "bob@a" + number + ".example.com"
                                   : "(.*)@a" + number + ".example.com");
      rule.target_name.Assign("East");
      if (!plan_.Add(rule).ok()) {
        std::abort();
      }
    }
    plan_.Commit();
  }
  void Find(std::string_view alias) {
    plan_.Find({alias, "alice@example.com", kLocalZone, true, 0}, search_, nullptr);
    if (search_.count != 1) {
      std::abort();
    }
  }

 private:
  std::unique_ptr<uint8_t[]> memory_{new uint8_t[kMemory]};
  Arena arena_{{memory_.get(), kMemory}};
  DialPlan plan_{arena_};
  Search search_;
};

inline void BenchRules(Bench& bench) {
  struct Kind {
    PatternType type;
    const char* name;
  };
  for (const Kind kind : {Kind{PatternType::kExact, "exact"}, Kind{PatternType::kSuffix, "suffix"},
                          Kind{PatternType::kRegex, "regular expression"}}) {
    for (const uint32_t count : {1u, 10u, 100u, 1000u}) {
      PlanBench plan;
      plan.Fill(count, kind.type);
      const std::string name = "search, " + std::to_string(count) + " rules, " + kind.name;
      const uint64_t rounds = (kind.type == PatternType::kRegex ? 20'000 : 200'000) / count + 10;
      bench.Run(name, rounds, [&](uint64_t operations) {
        for (uint64_t i = 0; i < operations; ++i) {
          plan.Find("bob@a10000.example.com");
        }
      });
    }
  }
}

}  // namespace gh::dialplan
