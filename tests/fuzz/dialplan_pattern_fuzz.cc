// Patterns and aliases, hostile both: line 1 is the pattern, line 2 the replacement, the rest the
// alias. Compiling and matching end within the limits; what is applied did match, and fits; what
// matches is not ruled out by its key.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "firmware/dialplan/pattern.h"

namespace {

using namespace gh::dialplan;

std::string_view TakeLine(std::string_view& text) {
  const size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static uint8_t memory[1 << 20];
  static gh::Arena arena({memory, sizeof(memory)});
  static PatternStore store(arena, 4096, 256);
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view pattern_text = TakeLine(text);
  const std::string_view replacement = TakeLine(text);
  for (const PatternType type :
       {PatternType::kExact, PatternType::kPrefix, PatternType::kSuffix, PatternType::kRegex}) {
    store.Clear();
    const auto pattern = Pattern::Compile(store, type, pattern_text);
    if (!pattern.ok()) {
      continue;
    }
    const bool matches = pattern->Matches(text);
    if (matches && !AliasSums(text).MayMatch(pattern->Key())) {
      std::abort();
    }
    for (const PatternBehavior behavior :
         {PatternBehavior::kStrip, PatternBehavior::kLeave, PatternBehavior::kReplace}) {
      gh::FixedString<kAliasBytesMax> out;
      if (pattern->Apply(text, behavior, replacement, out) && (!matches || out.truncated())) {
        std::abort();
      }
    }
  }
  return 0;
}
