// What a search costs by the number of rules (rules.h), and the worst regular expression there can
// be.
#include "tests/bench/dialplan/rules.h"

namespace gh::dialplan {
namespace {

void BenchWorst(Bench& bench) {
  const auto memory = std::make_unique<uint8_t[]>(kMemory);
  Arena arena({memory.get(), kMemory});
  PatternStore store(arena);
  const auto pattern = Pattern::Compile(store, PatternType::kRegex, "(((a?){50})*)*([bc]|d)");
  const std::string alias(kAliasBytesMax, 'a');
  bench.Run("the worst pattern on 256 characters", 200, [&](uint64_t operations) {
    for (uint64_t i = 0; i < operations; ++i) {
      if (!pattern.ok() || pattern->Matches(alias)) {
        std::abort();
      }
    }
  });
}

}  // namespace
}  // namespace gh::dialplan

int main(int argc, char** argv) {
  gh::Bench bench(argc, argv);
  gh::dialplan::BenchRules(bench);
  gh::dialplan::BenchWorst(bench);
  return bench.Finish();
}
