#include "firmware/config/migrations.h"

#include <algorithm>
#include <array>

#include "hal/rt/bytes.h"
#include "hal/rt/fixed_string.h"

namespace gh::config {
namespace {

std::string_view TakeWord(std::string_view& text) {
  const size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

// `pattern` with its "*" replaced.
bool Expand(std::string_view pattern, std::string_view number, FixedString<store::kKeyMax>& out) {
  out.Clear();
  size_t size = 0;
  while (!pattern.empty()) {
    const std::string_view word = TakeWord(pattern);
    const std::string_view piece = word == "*" ? number : word;
    size += piece.size() + 1;
    out.Append(out.empty() ? "" : " ");
    out.Append(piece);
  }
  return size <= store::kKeyMax;
}

class MarkerReader final : public store::EntryVisitor {
 public:
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    if (key == kMarkerKey && value.size() == 1) {
      schema = value[0];
    }
  }
  uint8_t schema = 0;
};

// One row that a step is for; false: it needs no change.
Result<bool> ChangeRow(store::Store& store, const MigrationStep& step, const store::Entry& entry,
                       std::string_view number) {
  FixedString<store::kKeyMax> to;
  if (step.to != nullptr && !Expand(step.to, number, to)) {
    return false;
  }
  const bool is_rewritten = step.old_value != nullptr && AsText(entry.bytes()) == step.old_value;
  if (to == entry.key && !is_rewritten) {
    return false;
  }
  GH_TRY(store.Remove(entry.key.view()));
  if (!to.empty()) {
    const auto value = is_rewritten ? AsBytes(std::string_view(step.new_value)) : entry.bytes();
    GH_TRY(store.Put(to.view(), value));
  }
  return true;
}

Result<uint32_t> RunStep(store::Store& store, const MigrationStep& step) {
  uint32_t changed = 0;
  store::Entry entry;
  for (;;) {
    GH_TRY_ASSIGN(const bool found, store.Next(entry.key.view(), entry));
    if (!found) {
      return changed;
    }
    std::string_view number;
    if (!entry.key.view().starts_with('@') && MatchesPattern(entry.key.view(), step.path, number)) {
      GH_TRY_ASSIGN(const bool is_changed, ChangeRow(store, step, entry, number));
      changed += is_changed ? 1 : 0;
    }
  }
}

}  // namespace

std::span<const MigrationStep> Migrations() { return {}; }  // there is one schema so far

bool MatchesPattern(std::string_view key, std::string_view pattern, std::string_view& number) {
  number = {};
  while (!pattern.empty() && !key.empty()) {
    const std::string_view wanted = TakeWord(pattern);
    const std::string_view word = TakeWord(key);
    if (wanted == "*") {
      const bool is_number = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
        return c >= '0' && c <= '9';
      });
      if (!is_number) {
        return false;
      }
      number = word;
    } else if (wanted != word) {
      return false;
    }
  }
  return pattern.empty() && key.empty();
}

Result<MigrationReport> Migrate(store::Store& store, uint8_t schema,
                                std::span<const MigrationStep> steps) {
  MarkerReader marker;
  GH_TRY(store.ForEach(marker));
  MigrationReport report{.from = marker.schema, .to = marker.schema};
  if (marker.schema == 0 || marker.schema >= schema) {
    return report;
  }
  const auto run_all = [&]() -> Result<void> {
    for (uint8_t from = marker.schema; from < schema; ++from) {
      for (const MigrationStep& step : steps) {
        if (step.from == from) {
          GH_TRY_ASSIGN(const uint32_t changed, RunStep(store, step));
          report.changed += changed;
        }
      }
    }
    const uint8_t value[] = {schema};
    return store.Put(kMarkerKey, value);
  };
  GH_TRY(store.Begin());
  if (auto done = run_all(); !done.ok()) {
    store.Rollback();
    return done.error();
  }
  GH_TRY(store.Commit());
  report.to = schema;
  return report;
}

}  // namespace gh::config
