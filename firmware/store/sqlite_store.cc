#include "firmware/store/sqlite_store.h"

#include <sqlite3.h>

#include <algorithm>

#include "firmware/store/sqlite_glue.h"
#include "hal/rt/bytes.h"
#include "hal/rt/crc32.h"

namespace gh::store {
namespace {

constexpr const char* kSettings[] = {
    "PRAGMA page_size=4096",     "PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=PERSIST",
    "PRAGMA synchronous=FULL",   "PRAGMA temp_store=MEMORY",      "PRAGMA cache_size=64",
    "PRAGMA cell_size_check=ON", "PRAGMA secure_delete=ON",
};
static_assert(kCachePages == 64);
constexpr const char* kSchema =
    "CREATE TABLE IF NOT EXISTS entry("
    "key TEXT PRIMARY KEY, value BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID";

uint32_t CrcOf(std::string_view key, std::span<const uint8_t> value) {
  const uint8_t separator[] = {0};
  return Crc32(value, Crc32(separator, Crc32(AsBytes(key))));
}

}  // namespace

SqliteStore::SqliteStore(Arena& arena, hal::BlockDevice& device, hal::Clock& clock,
                         uint64_t heap_bytes)
    : clock_(clock), heap_(arena, std::max(heap_bytes, kHeapBytesMin)), files_(arena, device) {}

SqliteStore::~SqliteStore() {
  const SqliteScope scope(heap_, files_);
  Close();
}

Error SqliteStore::ErrorOf(int code) const {
  switch (code & 0xff) {
    case SQLITE_NOMEM:
      return {ErrorCode::kExhausted, "store: its memory is full"};
    case SQLITE_FULL:
      return {ErrorCode::kNoSpace, "store: the partition is full"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {ErrorCode::kCorrupt, "store: the database is damaged"};
    case SQLITE_IOERR:
      return {ErrorCode::kIoError, "store: the disk failed"};
    default:
      return {ErrorCode::kWrongState, "store: SQLite refused the operation"};
  }
}

Result<void> SqliteStore::Open() {
  GH_ASSERT(database_ == nullptr);
  GH_TRY(files_.Open());
  const SqliteScope scope(heap_, files_);
  GH_TRY(InitialiseSqlite());
  auto opened = OpenDatabase();
  if (!opened.ok()) {
    Close();
  }
  return opened;
}

// After a failed disk SQLite holds on to its error: what the disk says now is read afresh.
Result<void> SqliteStore::Reopen() {
  {
    const SqliteScope scope(heap_, files_);
    Close();
  }
  GH_TRY(Open());
  must_reopen_ = false;
  return Ok();
}

Result<void> SqliteStore::Reformat() {
  {
    const SqliteScope scope(heap_, files_);
    Close();
  }
  GH_TRY(files_.Format());
  return Open();
}

Result<void> SqliteStore::OpenDatabase() {
  sqlite3_randomness(0, nullptr);  // starts its generator anew: a replay begins the same
  const int opened = sqlite3_open_v2(kDatabaseName, &database_,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, kVfsName);
  if (opened != SQLITE_OK) {
    return ErrorOf(opened);
  }
  for (const char* setting : kSettings) {
    GH_TRY(Execute(setting));
  }
  GH_TRY(Execute(kSchema));
  GH_TRY(CheckIntegrity());
  GH_TRY(Prepare("BEGIN IMMEDIATE", begin_));
  GH_TRY(Prepare("INSERT OR REPLACE INTO entry(key,value,crc) VALUES(?1,?2,?3)", put_));
  GH_TRY(Prepare("DELETE FROM entry WHERE key=?1", remove_));
  GH_TRY(Prepare("DELETE FROM entry", remove_all_));
  GH_TRY(Prepare("SELECT key,value,crc FROM entry ORDER BY key", select_));
  GH_TRY(Prepare("SELECT key,value,crc FROM entry WHERE key>?1 ORDER BY key LIMIT 1", next_));
  GH_TRY(Prepare("COMMIT", commit_));
  return Prepare("ROLLBACK", rollback_);
}

void SqliteStore::Close() {
  for (sqlite3_stmt** statement :
       {&begin_, &put_, &remove_, &remove_all_, &select_, &next_, &commit_, &rollback_}) {
    sqlite3_finalize(*statement);
    *statement = nullptr;
  }
  sqlite3_close(database_);
  database_ = nullptr;
}

Result<void> SqliteStore::Execute(const char* sql) {
  const int code = sqlite3_exec(database_, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? Ok() : ErrorOf(code);
}

// SQLite's own structures; the rows' contents are checked by their CRC when they are read.
Result<void> SqliteStore::CheckIntegrity() {
  sqlite3_stmt* check = nullptr;
  GH_TRY(Prepare("PRAGMA integrity_check(1)", check));
  const int code = sqlite3_step(check);
  const bool good =
      code == SQLITE_ROW &&
      std::string_view(reinterpret_cast<const char*>(sqlite3_column_text(check, 0))) == "ok";
  sqlite3_finalize(check);
  if (code != SQLITE_ROW) {
    return ErrorOf(code);
  }
  return good ? Ok() : Error{ErrorCode::kCorrupt, "store: the database is damaged"};
}

Result<void> SqliteStore::Prepare(const char* sql, sqlite3_stmt*& statement) {
  const int code =
      sqlite3_prepare_v3(database_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  return code == SQLITE_OK ? Ok() : ErrorOf(code);
}

Result<void> SqliteStore::Step(sqlite3_stmt* statement) {
  const int code = sqlite3_step(statement);
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  must_reopen_ = must_reopen_ || (code & 0xff) == SQLITE_IOERR;
  return code == SQLITE_DONE ? Ok() : ErrorOf(code);
}

Result<void> SqliteStore::ForEach(EntryVisitor& visitor) {
  if (must_reopen_) {
    GH_TRY(Reopen());
  }
  const SqliteScope scope(heap_, files_);
  if (database_ == nullptr) {
    return Error{ErrorCode::kWrongState, "store: not open"};
  }
  int code = SQLITE_ROW;
  bool damaged = false;
  while ((code = sqlite3_step(select_)) == SQLITE_ROW && !damaged) {
    const std::string_view key(reinterpret_cast<const char*>(sqlite3_column_text(select_, 0)),
                               static_cast<size_t>(sqlite3_column_bytes(select_, 0)));
    const std::span<const uint8_t> value(
        static_cast<const uint8_t*>(sqlite3_column_blob(select_, 1)),
        static_cast<size_t>(sqlite3_column_bytes(select_, 1)));
    damaged = CrcOf(key, value) != static_cast<uint32_t>(sqlite3_column_int64(select_, 2));
    if (!damaged) {
      visitor.OnEntry(key, value);
    }
  }
  sqlite3_reset(select_);
  must_reopen_ = must_reopen_ || (code & 0xff) == SQLITE_IOERR;
  if (damaged) {
    return Error{ErrorCode::kCorrupt, "store: a row does not match its checksum"};
  }
  return code == SQLITE_DONE ? Ok() : ErrorOf(code);
}

Result<bool> SqliteStore::Next(std::string_view after, Entry& out) {
  const FixedString<kKeyMax> from(after);  // it may be part of `out`
  const SqliteScope scope(heap_, files_);
  if (database_ == nullptr || must_reopen_) {
    return Error{ErrorCode::kWrongState, "store: not open"};
  }
  if (sqlite3_bind_text(next_, 1, from.c_str(), static_cast<int>(from.size()), SQLITE_STATIC) !=
      SQLITE_OK) {
    return ErrorOf(SQLITE_NOMEM);
  }
  const int code = sqlite3_step(next_);
  bool good = true;
  if (code == SQLITE_ROW) {
    const std::string_view key(reinterpret_cast<const char*>(sqlite3_column_text(next_, 0)),
                               static_cast<size_t>(sqlite3_column_bytes(next_, 0)));
    const std::span<const uint8_t> value(static_cast<const uint8_t*>(sqlite3_column_blob(next_, 1)),
                                         static_cast<size_t>(sqlite3_column_bytes(next_, 1)));
    good = key.size() <= kKeyMax && value.size() <= kValueMax &&
           CrcOf(key, value) == static_cast<uint32_t>(sqlite3_column_int64(next_, 2));
    if (good) {
      out.key.Assign(key);
      out.size = static_cast<uint32_t>(value.size());
      std::copy(value.begin(), value.end(), out.value.begin());
    }
  }
  sqlite3_reset(next_);
  sqlite3_clear_bindings(next_);
  must_reopen_ = must_reopen_ || (code & 0xff) == SQLITE_IOERR;
  if (!good) {
    return Error{ErrorCode::kCorrupt, "store: a row does not match its checksum"};
  }
  if (code != SQLITE_ROW && code != SQLITE_DONE) {
    return ErrorOf(code);
  }
  return code == SQLITE_ROW;
}

Result<void> SqliteStore::Begin() {
  if (must_reopen_) {
    GH_TRY(Reopen());
  }
  const SqliteScope scope(heap_, files_);
  if (database_ == nullptr) {
    return Error{ErrorCode::kWrongState, "store: not open"};
  }
  return Step(begin_);
}

Result<void> SqliteStore::Put(std::string_view key, std::span<const uint8_t> value) {
  GH_ASSERT_LE(key.size(), size_t{kKeyMax});
  GH_ASSERT_LE(value.size(), size_t{kValueMax});
  const SqliteScope scope(heap_, files_);
  const bool bound =
      sqlite3_bind_text(put_, 1, key.data(), static_cast<int>(key.size()), SQLITE_STATIC) ==
          SQLITE_OK &&
      sqlite3_bind_blob(put_, 2, value.empty() ? "" : static_cast<const void*>(value.data()),
                        static_cast<int>(value.size()), SQLITE_STATIC) == SQLITE_OK &&
      sqlite3_bind_int64(put_, 3, CrcOf(key, value)) == SQLITE_OK;
  return bound ? Step(put_) : ErrorOf(SQLITE_NOMEM);
}

Result<void> SqliteStore::Remove(std::string_view key) {
  const SqliteScope scope(heap_, files_);
  const int bound =
      sqlite3_bind_text(remove_, 1, key.data(), static_cast<int>(key.size()), SQLITE_STATIC);
  return bound == SQLITE_OK ? Step(remove_) : ErrorOf(bound);
}

Result<void> SqliteStore::RemoveAll() {
  const SqliteScope scope(heap_, files_);
  return Step(remove_all_);
}

Result<void> SqliteStore::Commit() {
  const Instant start = clock_.Now();
  const SqliteScope scope(heap_, files_);
  auto committed = Step(commit_);
  if (!committed.ok()) {
    if (sqlite3_get_autocommit(database_) == 0) {
      Step(rollback_).ignore("the commit's own error is told");
    }
    return committed;
  }
  ++commit_count_;
  commit_ns_max_ = std::max(commit_ns_max_, (clock_.Now() - start).ns);
  return Ok();
}

void SqliteStore::Rollback() {
  const SqliteScope scope(heap_, files_);
  if (sqlite3_get_autocommit(database_) == 0) {
    Step(rollback_).ignore("SQLite undoes it at the next open at the latest");
  }
}

StoreStatus SqliteStore::status() const {
  StoreStatus status;
  status.kind = "SQLite on the store partition, not sealed";
  status.persistent = database_ != nullptr;
  status.bytes_used = files_.Size(FileId::kDatabase);
  status.bytes_capacity = files_.Capacity(FileId::kDatabase);
  status.heap_used = heap_.used_bytes();
  status.heap_max = heap_.used_bytes_max();
  status.heap_capacity = heap_.capacity();
  status.commit_count = commit_count_;
  status.commit_ns_max = commit_ns_max_;
  return status;
}

}  // namespace gh::store
