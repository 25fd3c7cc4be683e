// A store for tests of what lies between engines and the disk.
#pragma once

#include <algorithm>
#include <map>
#include <string>

#include "firmware/store/store.h"
#include "hal/rt/bytes.h"

namespace gh {

// Rows in memory; each commit is counted, with what is in it.
class CountingStore final : public store::Store {
 public:
  Result<void> ForEach(store::EntryVisitor&) override { return Ok(); }
  Result<void> Begin() override {
    changes = 0;
    return Ok();
  }
  Result<void> Put(std::string_view, std::span<const uint8_t>) override { return Ok(); }
  Result<void> Remove(std::string_view) override { return Ok(); }
  Result<void> RemoveAll() override { return Ok(); }
  Result<void> Commit() override {
    ++commits;
    changes_max = std::max(changes_max, changes);
    return fails ? Result<void>(ErrorCode::kIoError) : Ok();
  }
  void Rollback() override {}
  store::StoreStatus status() const override { return its_status; }
  Result<void> PutIn(store::Table, std::string_view key, std::span<const uint8_t> value) override {
    ++changes;
    rows[std::string(key)] = std::string(AsText(value));
    return Ok();
  }
  Result<void> RemoveIn(store::Table, std::string_view key) override {
    ++changes;
    rows.erase(std::string(key));
    return Ok();
  }
  uint32_t CountOf(char kind) const {
    return static_cast<uint32_t>(
        std::ranges::count_if(rows, [&](const auto& row) { return row.first[0] == kind; }));
  }
  std::map<std::string, std::string> rows;
  uint32_t commits = 0;
  uint32_t changes = 0;
  uint32_t changes_max = 0;
  bool fails = false;
  store::StoreStatus its_status;
};

}  // namespace gh
