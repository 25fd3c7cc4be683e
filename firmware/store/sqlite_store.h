// The store on SQLite, its file system on the `store` partition.
//
// SQLite runs with one connection, rollback journal, synchronous FULL, no threads, no files but
// the two of BlockFiles, and a heap of its own carved from the arena: when that is full, the one
// operation fails. SQLite's few globals (configuration, file system) know no instance: each call
// enters through a scope that says whose heap and files are meant, so several stores can live in
// one process, and one may be dropped without a word (a simulated power cut).
//
// What is on the partition is sealed (sealed_units.h) by a key that a factory reset destroys first
// (key_record.h). A store from before sealing is emptied, and Open() says so.
//
// A late commit (store.h) leaves its writes and flushes in a queue (write_queue.h) that the loop
// moves on; a commit that is waited for waits for those before it too. When the disk fails under
// the queue, the next call reads afresh what there is.
//
// Fault model: as BlockFiles; and each row carries a CRC-32 over key and value. When the database
// is damaged, Recover() goes back to the last good copy of all tables but the history, which the
// store makes by itself, some rows a turn, a while after a commit (StepCopy). XMPP's rows come last
// and may change meanwhile: there each row of the copy is as it was when its turn came.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/store/block_files.h"
#include "firmware/store/good_copy.h"
#include "firmware/store/key_record.h"
#include "firmware/store/sealed_units.h"
#include "firmware/store/store.h"
#include "hal/block_device.h"
#include "hal/clock.h"
#include "hal/rt/arena.h"
#include "hal/rt/event_loop.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/heap.h"

struct sqlite3;
struct sqlite3_stmt;

namespace gh::store {

// Where the store's key lies and who wraps it. No device: in the store partition itself.
struct Sealing {
  crypto::Random& random;
  KeyWrapper& wrapper;  // of new keys
  hal::BlockDevice* key_device = nullptr;
  uint64_t key_offset = kKeyOffsetInStore;
  KeyOpeners openers = {};  // of keys that an operator had wrapped
};

enum class StoreOrigin : uint8_t { kThere, kNew, kWasUnsealed, kRecovered };

class SqliteStore final : public Store, public Pollable {
 public:
  SqliteStore(Arena& arena, hal::BlockDevice& device, hal::Clock& clock, uint64_t heap_bytes,
              const Sealing& sealing);
  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;
  ~SqliteStore();

  // Rolls back what a power cut left half done, checks the database, makes it when there is none.
  // kCorrupt: what is there is damaged; Reformat() is the way out.
  Result<void> Open();
  // Moves on what late commits have left to write.
  bool Poll(Instant now) override;
  // Destroys the key, empties the partition, whatever it holds, and opens it.
  Result<void> Reformat();
  // After kCorrupt: makes the database anew from the last good copy. kNotFound: there is none.
  Result<void> Recover();
  bool is_open() const { return database_ != nullptr; }
  StoreOrigin origin() const { return origin_; }
  // For what other rooms keep outside the store; open stores only.
  void DeriveKey(std::string_view purpose, KeyBytes& out) const { key_.Derive(purpose, out); }
  // The store's key itself, to be wrapped by somebody else.
  StoreKey& key() { return key_; }
  const CopyHeader* good_copy() const { return copy_.newest(); }
  const char* copy_fault() const { return copy_fault_; }  // why the last was not made; ""
  // Now and then, never in a transaction: keeps the good copy behind the commits. True: there is
  // more to do soon.
  bool StepCopy(Instant now);

  Result<void> ForEach(EntryVisitor& visitor) override;
  Result<void> Begin() override;
  Result<void> Put(std::string_view key, std::span<const uint8_t> value) override;
  Result<void> Remove(std::string_view key) override;
  Result<void> RemoveAll() override;
  Result<bool> Next(std::string_view after, Entry& out) override;
  Result<void> Commit() override;
  void Rollback() override;
  Result<void> BeginLater() override;
  Result<LateCommit> CommitLater() override;
  CommitState StateOf(const LateCommit& commit) const override;
  void Drain() override;
  const WriteQueue& queue() const { return units_.queue(); }
  StoreStatus status() const override;
  Result<void> PutIn(Table table, std::string_view key, std::span<const uint8_t> value) override;
  Result<void> RemoveIn(Table table, std::string_view key) override;
  Result<uint32_t> ForEachIn(Table table, std::string_view after, uint32_t limit,
                             EntryVisitor& visitor) override;
  Result<void> RemoveEverything() override;

 private:
  class CopyReader;
  class CopyWriter;
  Result<void> OpenFiles();
  Result<void> MakeNew(bool new_key);
  Result<void> StepCopyRows();
  Duration CopyRest() const;
  Result<void> OpenDatabase();
  Result<void> Reopen();
  bool must_reopen() const { return must_reopen_ || units_.queue().has_failed(); }
  Result<void> BeginAny();
  void WaitFromNowOn();
  void Close();
  Result<void> Execute(const char* sql);
  Result<void> CheckIntegrity();
  Result<void> Prepare(const char* sql, sqlite3_stmt*& statement);
  Result<void> Step(sqlite3_stmt* statement);
  void CountFreePages();
  Error ErrorOf(int code) const;

  hal::Clock& clock_;
  Heap heap_;
  StoreKey key_;
  SealedUnits units_;
  BlockFiles files_;
  GoodCopy copy_;
  sqlite3* database_ = nullptr;
  sqlite3_stmt* begin_ = nullptr;
  sqlite3_stmt* put_ = nullptr;
  sqlite3_stmt* remove_ = nullptr;
  sqlite3_stmt* remove_all_ = nullptr;
  sqlite3_stmt* remove_everything_ = nullptr;
  sqlite3_stmt* select_ = nullptr;
  sqlite3_stmt* commit_ = nullptr;
  sqlite3_stmt* rollback_ = nullptr;
  sqlite3_stmt* free_pages_ = nullptr;
  bool must_reopen_ = false;
  uint64_t failures_before_ = 0;  // of the queue, as the transaction began
  uint64_t commit_count_ = 0;
  int64_t commit_ns_max_ = 0;
  uint64_t free_page_count_ = 0;  // of the database, to be used again
  StoreOrigin origin_ = StoreOrigin::kThere;
  // The good copy: which commit it is of, and how far it has come.
  uint64_t copied_commit_ = UINT64_MAX;
  uint64_t copying_commit_ = UINT64_MAX;
  uint8_t copy_table_ = 0;
  FixedString<kKeyMax> copy_after_;
  Instant copy_due_;
  Instant copy_latest_;
  Instant copy_rests_until_;
  const char* copy_fault_ = "";
};

}  // namespace gh::store
