#include "firmware/store/sqlite_store.h"

#include <sqlite3.h>

#include <algorithm>

#include "firmware/store/sqlite_glue.h"
#include "hal/rt/bytes.h"
#include "hal/rt/crc32.h"

namespace gh::store {
namespace {

constexpr const char* kSettings[] = {
    "PRAGMA page_size=4096",   "PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=PERSIST",
    "PRAGMA synchronous=FULL", "PRAGMA temp_store=MEMORY",      "PRAGMA cell_size_check=ON",
    "PRAGMA secure_delete=ON",
};
constexpr const char* kSchema =
    "CREATE TABLE IF NOT EXISTS entry("
    "room INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, crc INTEGER NOT NULL, "
    "PRIMARY KEY(room, key)) WITHOUT ROWID";

uint32_t CrcOf(Table table, std::string_view key, std::span<const uint8_t> value) {
  const uint8_t head[] = {static_cast<uint8_t>(table)};
  const uint8_t separator[] = {0};
  return Crc32(value, Crc32(separator, Crc32(AsBytes(key), Crc32(head))));
}

}  // namespace

SqliteStore::SqliteStore(Arena& arena, hal::BlockDevice& device, hal::Clock& clock,
                         uint64_t heap_bytes, const Sealing& sealing)
    : clock_(clock),
      heap_(arena, std::max(heap_bytes, kHeapBytesMin)),
      key_(arena, sealing.key_device != nullptr ? *sealing.key_device : device, sealing.key_offset,
           sealing.random, sealing.wrapper, sealing.openers),
      units_(arena, device, sealing.random),
      files_(arena, units_),
      copy_(arena, units_, files_) {}

SqliteStore::~SqliteStore() {
  WaitFromNowOn();
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
  GH_TRY(OpenFiles());
  copy_.Open();
  const SqliteScope scope(heap_, files_);
  GH_TRY(InitialiseSqlite());
  auto opened = OpenDatabase();
  if (!opened.ok()) {
    Close();
  }
  return opened;
}

// Whatever the queue still has is on the disk, or given up.
void SqliteStore::WaitFromNowOn() {
  units_.queue().Drain().ignore("what was lost is told by StateOf");
  units_.queue().Reset();
  units_.SetWaiting(true);
}

// After a failed disk SQLite holds on to its error: what the disk says now is read afresh.
Result<void> SqliteStore::Reopen() {
  WaitFromNowOn();
  {
    const SqliteScope scope(heap_, files_);
    Close();
  }
  copied_commit_ = UINT64_MAX;
  GH_TRY(units_.Flush());  // what is read now stays
  GH_TRY(Open());
  must_reopen_ = false;
  return Ok();
}

Result<void> SqliteStore::Reformat() {
  WaitFromNowOn();
  {
    const SqliteScope scope(heap_, files_);
    Close();
  }
  GH_TRY(units_.Check());
  GH_TRY(MakeNew(true));
  return Open();
}

// The table first: without one and a key, what a cut leaves is an empty partition.
Result<void> SqliteStore::MakeNew(bool new_key) {
  const auto blank = files_.IsBlank();
  if (!blank.ok() || !*blank) {
    GH_TRY(files_.EraseTable());
  }
  if (new_key) {
    GH_TRY(key_.Create());
  }
  GH_TRY(files_.Format(key_));
  if (new_key) {
    GH_TRY(units_.Erase(files_.CopyArea(0).first_unit));
    GH_TRY(units_.Erase(files_.CopyArea(1).first_unit));
    GH_TRY(units_.Flush());
  }
  return Ok();
}

// A partition of zeros is new; one from before sealing is made new; anything else must open.
Result<void> SqliteStore::OpenFiles() {
  GH_TRY(units_.Check());
  const auto loaded = key_.Load();
  if (!loaded.ok() && loaded.code() != ErrorCode::kNotFound) {
    return loaded;
  }
  const auto opened =
      loaded.ok() ? files_.Open(key_) : Error{ErrorCode::kCorrupt, loaded.error().what};
  if (opened.ok() || opened.code() != ErrorCode::kCorrupt) {
    return opened;
  }
  const auto blank = files_.IsBlank();
  if (blank.code() == ErrorCode::kUnsupported) {
    origin_ = StoreOrigin::kWasUnsealed;
  } else if (!blank.ok()) {
    return blank.error();
  } else if (!*blank) {
    return opened;
  } else {
    origin_ = StoreOrigin::kNew;
  }
  GH_TRY(MakeNew(!key_.is_loaded() || origin_ == StoreOrigin::kWasUnsealed));
  return files_.Open(key_);
}

class SqliteStore::CopyWriter final : public EntryVisitor {
 public:
  CopyWriter(SqliteStore& store, Table table) : store_(store), table_(table) {}
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    outcome = outcome.ok() ? store_.copy_.Add(table_, key, value) : outcome;
    store_.copy_after_.Assign(key);
  }
  Result<void> outcome;

 private:
  SqliteStore& store_;
  Table table_;
};

class SqliteStore::CopyReader final : public CopyRows {
 public:
  explicit CopyReader(SqliteStore& store) : store_(store) {}
  Result<void> OnRow(Table table, std::string_view key, std::span<const uint8_t> value) override {
    return store_.PutIn(table, key, value);
  }

 private:
  SqliteStore& store_;
};

Result<void> SqliteStore::Recover() {
  WaitFromNowOn();
  {
    const SqliteScope scope(heap_, files_);
    Close();
  }
  if (key_.is_loaded()) {
    units_.SetKey(key_);
    copy_.Open();
  }
  if (!key_.is_loaded() || copy_.newest() == nullptr) {
    return Error{ErrorCode::kNotFound, "store: there is no good copy"};
  }
  class Nothing final : public CopyRows {
    Result<void> OnRow(Table, std::string_view, std::span<const uint8_t>) override { return Ok(); }
  } nothing;
  GH_TRY(copy_.Read(nothing));  // before anything is given up for it
  GH_TRY(MakeNew(false));
  GH_TRY(Open());
  GH_TRY(Begin());
  CopyReader reader(*this);
  if (auto read = copy_.Read(reader); !read.ok()) {
    Rollback();
    return read;
  }
  GH_TRY(Commit());
  origin_ = StoreOrigin::kRecovered;
  return Ok();
}

bool SqliteStore::StepCopy(Instant now) {
  if (database_ == nullptr || must_reopen() || copied_commit_ == commit_count_) {
    return false;
  }
  const bool may_change = copy_.is_writing() && copy_table_ >= static_cast<uint8_t>(Table::kXmpp);
  if (copying_commit_ != commit_count_ && !may_change) {
    copy_rests_until_ = copy_.is_writing() ? now + CopyRest() : copy_rests_until_;
    copy_.Abandon();
    const bool is_first = copied_commit_ == copying_commit_;
    copy_latest_ = is_first ? now + Duration::Seconds(kCopyLatestSeconds) : copy_latest_;
    copy_due_ = std::max(std::min(now + Duration::Seconds(kCopyPauseSeconds), copy_latest_),
                         copy_rests_until_);
    copying_commit_ = commit_count_;
  }
  if (now < copy_due_) {
    return false;
  }
  if (units_.queue().is_long()) {
    return true;  // the disk is slow: the copy is in no hurry
  }
  units_.SetWaiting(false);
  if (!copy_.is_writing()) {
    copy_table_ = 0;
    copy_after_.Clear();
    copy_.Begin(clock_.Wall());
  }
  const auto stepped = StepCopyRows();
  copy_fault_ = stepped.ok() ? "" : stepped.error().what;
  if (!stepped.ok() || copy_table_ == kTableCount) {
    copy_.Abandon();
    copied_commit_ = copying_commit_;  // a fault is not tried again for the same content
    copy_rests_until_ = now + CopyRest();
    return false;
  }
  return true;
}

// A large store is not written anew for every little change.
Duration SqliteStore::CopyRest() const {
  return Duration::Seconds(static_cast<int64_t>(status().bytes_used / kCopyBytesPerSecond));
}

Result<void> SqliteStore::StepCopyRows() {
  for (uint32_t count = 0; count < kCopyRowsPerTurn;) {
    const auto table = static_cast<Table>(copy_table_);
    const uint32_t room = kCopyRowsPerTurn - count;
    uint32_t given = 0;
    if (table != Table::kHistory) {
      CopyWriter writer(*this, table);
      GH_TRY_ASSIGN(given, ForEachIn(table, copy_after_.view(), room, writer));
      GH_TRY(writer.outcome);
    }
    count += given;
    if (given < room) {
      copy_after_.Clear();
      if (++copy_table_ == kTableCount) {
        GH_TRY(copy_.Finish());
        return files_.Settle();
      }
    }
  }
  return Ok();
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
  char cache[40];
  ByteWriter pragma{std::span(reinterpret_cast<uint8_t*>(cache), sizeof(cache))};
  pragma.Text("PRAGMA cache_size=");
  pragma.Decimal(CachePagesFor(heap_.capacity()));
  pragma.U8(0);
  GH_TRY(Execute(cache));
  GH_TRY(Execute("SELECT count(*) FROM sqlite_schema"));  // mends what a cut left, if it did
  GH_TRY(files_.CheckFreshness());
  GH_TRY(Execute(kSchema));
  if (files_.Size(FileId::kDatabase) <= kCheckedBytesMax) {
    GH_TRY(CheckIntegrity());
  }
  GH_TRY(Prepare("BEGIN IMMEDIATE", begin_));
  GH_TRY(Prepare("INSERT OR REPLACE INTO entry(key,value,crc,room) VALUES(?1,?2,?3,?4)", put_));
  GH_TRY(Prepare("DELETE FROM entry WHERE key=?1 AND room=?2", remove_));
  GH_TRY(Prepare("DELETE FROM entry WHERE room=0", remove_all_));
  GH_TRY(Prepare("DELETE FROM entry", remove_everything_));
  GH_TRY(Prepare("SELECT key,value,crc FROM entry WHERE room=?1 AND key>?2 ORDER BY key LIMIT ?3",
                 select_));
  GH_TRY(Prepare("COMMIT", commit_));
  GH_TRY(Prepare("PRAGMA freelist_count", free_pages_));
  GH_TRY(Prepare("ROLLBACK", rollback_));
  CountFreePages();
  return Ok();
}

void SqliteStore::CountFreePages() {
  if (sqlite3_step(free_pages_) == SQLITE_ROW) {
    free_page_count_ = static_cast<uint64_t>(sqlite3_column_int64(free_pages_, 0));
  }
  sqlite3_reset(free_pages_);
}

void SqliteStore::Close() {
  for (sqlite3_stmt** statement : {&begin_, &put_, &remove_, &remove_all_, &remove_everything_,
                                   &select_, &commit_, &rollback_, &free_pages_}) {
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
  GH_TRY(ForEachIn(Table::kSettings, "", UINT32_MAX, visitor));
  return Ok();
}

Result<uint32_t> SqliteStore::ForEachIn(Table table, std::string_view after, uint32_t limit,
                                        EntryVisitor& visitor) {
  if (must_reopen()) {
    GH_TRY(Reopen());
  }
  if (database_ == nullptr) {
    return Error{ErrorCode::kWrongState, "store: not open"};
  }
  const SqliteScope scope(heap_, files_);
  sqlite3_bind_int(select_, 1, static_cast<int>(table));
  sqlite3_bind_text(select_, 2, after.data(), static_cast<int>(after.size()), SQLITE_TRANSIENT);
  sqlite3_bind_int64(select_, 3, limit);
  int code = SQLITE_ROW;
  bool damaged = false;
  uint32_t count = 0;
  while ((code = sqlite3_step(select_)) == SQLITE_ROW && !damaged) {
    const std::string_view key(reinterpret_cast<const char*>(sqlite3_column_text(select_, 0)),
                               static_cast<size_t>(sqlite3_column_bytes(select_, 0)));
    const std::span<const uint8_t> value(
        static_cast<const uint8_t*>(sqlite3_column_blob(select_, 1)),
        static_cast<size_t>(sqlite3_column_bytes(select_, 1)));
    damaged = CrcOf(table, key, value) != static_cast<uint32_t>(sqlite3_column_int64(select_, 2));
    if (!damaged) {
      ++count;
      visitor.OnEntry(key, value);
    }
  }
  sqlite3_reset(select_);
  sqlite3_clear_bindings(select_);
  must_reopen_ = must_reopen_ || (code & 0xff) == SQLITE_IOERR;
  if (damaged) {
    return Error{ErrorCode::kCorrupt, "store: a row does not match its checksum"};
  }
  if (code != SQLITE_DONE) {
    return ErrorOf(code);
  }
  return count;
}

Result<bool> SqliteStore::Next(std::string_view after, Entry& out) {
  class One final : public EntryVisitor {
   public:
    explicit One(Entry& out) : out_(out) {}
    void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
      fits = key.size() <= kKeyMax && value.size() <= kValueMax;
      if (fits) {
        out_.key.Assign(key);
        out_.size = static_cast<uint32_t>(value.size());
        std::copy(value.begin(), value.end(), out_.value.begin());
      }
    }
    bool fits = true;

   private:
    Entry& out_;
  } one(out);
  GH_TRY_ASSIGN(const uint32_t count, ForEachIn(Table::kSettings, after, 1, one));
  if (!one.fits) {
    return Error{ErrorCode::kCorrupt, "store: a row is too long"};
  }
  return count == 1;
}

Result<void> SqliteStore::Begin() {
  if (!units_.queue().has_failed()) {
    units_.queue().Drain().ignore("the store is read afresh then");
  }
  if (!must_reopen()) {
    units_.SetWaiting(true);
  }
  return BeginAny();
}

Result<void> SqliteStore::BeginLater() {
  if (must_reopen()) {
    GH_TRY(Reopen());
  }
  units_.SetWaiting(false);
  return BeginAny();
}

Result<void> SqliteStore::BeginAny() {
  if (must_reopen()) {
    GH_TRY(Reopen());
  }
  failures_before_ = units_.queue().failure_count();
  const SqliteScope scope(heap_, files_);
  if (database_ == nullptr) {
    return Error{ErrorCode::kWrongState, "store: not open"};
  }
  return Step(begin_);
}

Result<void> SqliteStore::Put(std::string_view key, std::span<const uint8_t> value) {
  return PutIn(Table::kSettings, key, value);
}

Result<void> SqliteStore::PutIn(Table table, std::string_view key, std::span<const uint8_t> value) {
  GH_ASSERT_LE(key.size(), size_t{kKeyMax});
  GH_ASSERT_LE(value.size(), size_t{kValueMax});
  const SqliteScope scope(heap_, files_);
  const bool bound =
      sqlite3_bind_text(put_, 1, key.data(), static_cast<int>(key.size()), SQLITE_STATIC) ==
          SQLITE_OK &&
      sqlite3_bind_blob(put_, 2, value.empty() ? "" : static_cast<const void*>(value.data()),
                        static_cast<int>(value.size()), SQLITE_STATIC) == SQLITE_OK &&
      sqlite3_bind_int64(put_, 3, CrcOf(table, key, value)) == SQLITE_OK &&
      sqlite3_bind_int(put_, 4, static_cast<int>(table)) == SQLITE_OK;
  return bound ? Step(put_) : ErrorOf(SQLITE_NOMEM);
}

Result<void> SqliteStore::Remove(std::string_view key) { return RemoveIn(Table::kSettings, key); }

Result<void> SqliteStore::RemoveIn(Table table, std::string_view key) {
  const SqliteScope scope(heap_, files_);
  int bound =
      sqlite3_bind_text(remove_, 1, key.data(), static_cast<int>(key.size()), SQLITE_STATIC);
  bound = bound == SQLITE_OK ? sqlite3_bind_int(remove_, 2, static_cast<int>(table)) : bound;
  return bound == SQLITE_OK ? Step(remove_) : ErrorOf(bound);
}

Result<void> SqliteStore::RemoveAll() {
  const SqliteScope scope(heap_, files_);
  return Step(remove_all_);
}

Result<void> SqliteStore::RemoveEverything() {
  const SqliteScope scope(heap_, files_);
  return Step(remove_everything_);
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
  CountFreePages();
  ++commit_count_;
  commit_ns_max_ = std::max(commit_ns_max_, (clock_.Now() - start).ns);
  return Ok();
}

Result<LateCommit> SqliteStore::CommitLater() {
  GH_TRY(Commit());
  return LateCommit{units_.queue().barriers_given(), failures_before_};
}

CommitState SqliteStore::StateOf(const LateCommit& commit) const {
  if (commit.failures != units_.queue().failure_count()) {
    return CommitState::kLost;
  }
  return units_.queue().barriers_done() >= commit.barrier ? CommitState::kDurable
                                                          : CommitState::kUnderWay;
}

void SqliteStore::Drain() {
  units_.queue().Drain().ignore("StateOf tells what became of a commit");
}

bool SqliteStore::Poll(Instant) {
  units_.queue().Pump();
  return false;
}

void SqliteStore::Rollback() {
  const SqliteScope scope(heap_, files_);
  if (sqlite3_get_autocommit(database_) == 0) {
    Step(rollback_).ignore("SQLite undoes it at the next open at the latest");
  }
}

StoreStatus SqliteStore::status() const {
  StoreStatus status;
  status.kind = "SQLite on the store partition, sealed";
  status.sealed = key_.wrapper_name();
  status.persistent = database_ != nullptr;
  const uint64_t size = files_.Size(FileId::kDatabase);
  status.bytes_used = size - std::min(size, free_page_count_ * kSectorSize);
  status.bytes_capacity = files_.Capacity(FileId::kDatabase);
  status.heap_used = heap_.used_bytes();
  status.heap_max = heap_.used_bytes_max();
  status.heap_capacity = heap_.capacity();
  status.commit_count = commit_count_;
  status.commit_ns_max = commit_ns_max_;
  return status;
}

}  // namespace gh::store
