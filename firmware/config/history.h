// The history of the configuration: each commit with who, when and every setting's old and new
// value, kept in the store in the same transaction as the settings themselves.
//
// Rows in Table::kHistory, little-endian:
//   "%08x"       u8 version | i64 unix ns | u8 clock was set | u32 changes | u32 kept | author
//   "%08x:%06x"  u8 version | u16 size | path | u16 size | old | u16 size | new
// Values are in stored form (value.h); a size of 0xffff means the default. Secrets are kept as the
// store keeps them (hashes) and are never shown.
//
// Bounded: the last kHistoryCommitMax commits, kHistoryRowMax changes in all and
// kHistoryChangeMax of one commit; of a larger commit (a first provisioning of thousands of users)
// the beginning is kept, and going back behind it is refused. Rows are outside data.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/config/limits.h"
#include "firmware/store/store.h"
#include "hal/clock.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::config {

struct CommitInfo {
  uint32_t number = 0;  // from 1
  WallTime wall;
  uint32_t change_count = 0;
  uint32_t kept_count = 0;  // of them
  FixedString<kAuthorMax> author;
};

// One side of a change.
struct StoredValue {
  bool is_default = false;
  std::span<const uint8_t> bytes;
};

struct ChangeRow {
  std::string_view path;
  StoredValue before;
  StoredValue after;
};

Result<CommitInfo> DecodeCommit(std::string_view key, std::span<const uint8_t> value);
Result<ChangeRow> DecodeChange(std::span<const uint8_t> value);

class ChangeVisitor {
 public:
  virtual void OnChange(const ChangeRow& row) = 0;

 protected:
  ~ChangeVisitor() = default;
};

class History {
 public:
  History(store::Store& store, hal::Clock& clock) : store_(store), clock_(clock) {}
  History(const History&) = delete;
  History& operator=(const History&) = delete;

  Result<void> Load();
  uint32_t first() const { return count_ == 0 ? next_ : commits_[0].number; }
  uint32_t next() const { return next_; }  // number of the next commit

  // Inside the store's transaction.
  Result<void> Begin();
  Result<void> Add(std::string_view path, const StoredValue& before, const StoredValue& after);
  Result<void> Finish(std::string_view author);
  // When the transaction is durable. Otherwise nothing has happened.
  void Commit();

  // kNotFound: no such commit, or not any more.
  Result<CommitInfo> Read(uint32_t number);
  Result<void> ForEachChange(uint32_t number, ChangeVisitor& visitor);

 private:
  class Scan;
  struct Kept {
    uint32_t number = 0;
    uint32_t rows = 0;
  };
  Result<void> RemoveCommit(const Kept& kept);

  store::Store& store_;
  hal::Clock& clock_;
  std::array<Kept, kHistoryCommitMax> commits_ = {};
  uint32_t count_ = 0;
  uint32_t rows_ = 0;
  uint32_t next_ = 1;
  uint32_t changes_ = 0;  // of the commit being written
  uint32_t kept_ = 0;
  uint32_t removed_ = 0;  // oldest commits that go with it
};

}  // namespace gh::config
