// The store on SQLite, its file system on the `store` partition.
//
// SQLite runs with one connection, rollback journal, synchronous FULL, no threads, no files but
// the two of BlockFiles, and a heap of its own carved from the arena: when that is full, the one
// operation fails. SQLite's few globals (configuration, file system) know no instance: each call
// enters through a scope that says whose heap and files are meant, so several stores can live in
// one process, and one may be dropped without a word (a simulated power cut).
//
// Fault model: as BlockFiles; and each row carries a CRC-32 over key and value, because a flipped
// bit inside a value is no fault to SQLite.
//
// Not here yet: sealing (encryption and authentication) of what is on the partition. Until it is,
// whoever takes the disk can read it; that holds digests and hashes, no clear passwords.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/store/block_files.h"
#include "firmware/store/store.h"
#include "hal/block_device.h"
#include "hal/clock.h"
#include "hal/rt/arena.h"
#include "hal/rt/heap.h"

struct sqlite3;
struct sqlite3_stmt;

namespace gh::store {

class SqliteStore final : public Store {
 public:
  SqliteStore(Arena& arena, hal::BlockDevice& device, hal::Clock& clock, uint64_t heap_bytes);
  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;
  ~SqliteStore();

  // Rolls back what a power cut left half done, checks the database, makes it when there is none.
  // kCorrupt: what is there is damaged; Reformat() is the way out.
  Result<void> Open();
  // Empties the partition, whatever it holds, and opens it.
  Result<void> Reformat();
  bool is_open() const { return database_ != nullptr; }

  Result<void> ForEach(EntryVisitor& visitor) override;
  Result<void> Begin() override;
  Result<void> Put(std::string_view key, std::span<const uint8_t> value) override;
  Result<void> Remove(std::string_view key) override;
  Result<void> RemoveAll() override;
  Result<bool> Next(std::string_view after, Entry& out) override;
  Result<void> Commit() override;
  void Rollback() override;
  StoreStatus status() const override;

 private:
  Result<void> OpenDatabase();
  Result<void> Reopen();
  void Close();
  Result<void> Execute(const char* sql);
  Result<void> CheckIntegrity();
  Result<void> Prepare(const char* sql, sqlite3_stmt*& statement);
  Result<void> Step(sqlite3_stmt* statement);
  Error ErrorOf(int code) const;

  hal::Clock& clock_;
  Heap heap_;
  BlockFiles files_;
  sqlite3* database_ = nullptr;
  sqlite3_stmt* begin_ = nullptr;
  sqlite3_stmt* put_ = nullptr;
  sqlite3_stmt* remove_ = nullptr;
  sqlite3_stmt* remove_all_ = nullptr;
  sqlite3_stmt* select_ = nullptr;
  sqlite3_stmt* next_ = nullptr;
  sqlite3_stmt* commit_ = nullptr;
  sqlite3_stmt* rollback_ = nullptr;
  bool must_reopen_ = false;
  uint64_t commit_count_ = 0;
  int64_t commit_ns_max_ = 0;
};

}  // namespace gh::store
