// Stored settings of an older version, brought forward to this one's schema.
//
// The row "@configured" holds the schema its rows were written by. Whoever renames, removes or
// splits a setting raises kSchema by one and adds the steps here; they are run in order at the
// start, in one transaction with the row. Going back needs no steps: the older image has its own
// rows put aside (firmware/upgrade/snapshots.h).
//
// Fault model: rows are outside data; a step that finds nothing does nothing. A store that fails in
// between keeps the rows as they were, and the next start begins again.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/store/store.h"
#include "hal/rt/result.h"

namespace gh::config {

// The row that says that there is a configuration, and by which schema: one byte.
inline constexpr std::string_view kMarkerKey = "@configured";
// Of this version's settings.proto. 1: the first.
inline constexpr uint8_t kSchema = 1;

struct MigrationStep {
  uint8_t from;      // brings rows of schema `from` towards `from` + 1
  const char* path;  // as in stored rows; a word "*" stands for an instance's number
  const char* to;    // the new path, its "*" is the same number; nullptr: the setting is gone
  // Of a renamed setting: rows that hold this text get `new_value`. nullptr: values stay.
  const char* old_value = nullptr;
  const char* new_value = nullptr;
};

// This version's steps, in order.
std::span<const MigrationStep> Migrations();

struct MigrationReport {
  uint8_t from = 0;  // 0: there is no configuration
  uint8_t to = 0;
  uint32_t changed = 0;  // rows renamed, rewritten or removed
};

// Brings the rows to `schema`. Rows of a newer schema are left alone.
Result<MigrationReport> Migrate(store::Store& store, uint8_t schema,
                                std::span<const MigrationStep> steps);

// For tests: whether stored path `key` is named by `pattern`; its number as text in `number`.
bool MatchesPattern(std::string_view key, std::string_view pattern, std::string_view& number);

}  // namespace gh::config
