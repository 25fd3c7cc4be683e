#include "firmware/store/sqlite_glue.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstring>

#include "hal/rt/assert.h"

namespace gh::store {
namespace {

// SQLite's hooks carry no context; the scope around every call does. Constant-initialised.
struct Current {
  Heap* heap = nullptr;
  BlockFiles* files = nullptr;
  bool journal_ends = false;  // its header was zeroed, not yet durable: SQLite's commit
};
Current current;

// --- Memory -------------------------------------------------------------------------------------

void* Allocate(int size) { return current.heap->Allocate(static_cast<size_t>(size)); }
void Free(void* p) { current.heap->Free(p); }
void* Reallocate(void* p, int size) {
  return current.heap->Reallocate(p, static_cast<size_t>(size));
}
int SizeOf(void* p) { return p == nullptr ? 0 : static_cast<int>(current.heap->UsableSize(p)); }
int RoundUp(int size) { return (size + 15) & ~15; }
int InitialiseMemory(void*) { return SQLITE_OK; }
void ShutDownMemory(void*) {}

constexpr sqlite3_mem_methods kMemoryMethods = {
    Allocate, Free, Reallocate, SizeOf, RoundUp, InitialiseMemory, ShutDownMemory, nullptr};

// --- Files --------------------------------------------------------------------------------------

struct File {
  sqlite3_file base;
  FileId id;
};

FileId IdOf(sqlite3_file* file) { return reinterpret_cast<File*>(file)->id; }

int Close(sqlite3_file*) { return SQLITE_OK; }

int Read(sqlite3_file* file, void* out, int size, sqlite3_int64 offset) {
  const auto read = current.files->Read(IdOf(file), static_cast<uint64_t>(offset),
                                        {static_cast<uint8_t*>(out), static_cast<size_t>(size)});
  if (read.code() == ErrorCode::kUnauthentic) {
    // SQLite looks at the header before it mends what a cut has torn, and then again.
    const bool is_first_look = offset == 0 && size < static_cast<int>(kSectorSize);
    return is_first_look ? SQLITE_IOERR_SHORT_READ : SQLITE_CORRUPT;
  }
  if (!read.ok()) {
    return SQLITE_IOERR_READ;
  }
  return *read == static_cast<size_t>(size) ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

int Write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  if (IdOf(file) == FileId::kJournal && offset == 0) {
    const std::span bytes(static_cast<const uint8_t*>(data), static_cast<size_t>(size));
    current.journal_ends = std::ranges::all_of(bytes, [](uint8_t byte) { return byte == 0; });
  }
  const auto written =
      current.files->Write(IdOf(file), static_cast<uint64_t>(offset),
                           {static_cast<const uint8_t*>(data), static_cast<size_t>(size)});
  if (written.ok()) {
    return SQLITE_OK;
  }
  return written.code() == ErrorCode::kNoSpace       ? SQLITE_FULL
         : written.code() == ErrorCode::kUnauthentic ? SQLITE_CORRUPT
                                                     : SQLITE_IOERR_WRITE;
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  current.journal_ends = current.journal_ends || (IdOf(file) == FileId::kJournal && size == 0);
  const bool good = current.files->Truncate(IdOf(file), static_cast<uint64_t>(size)).ok();
  return good ? SQLITE_OK : SQLITE_IOERR_TRUNCATE;
}

int SyncAll() {
  if (!current.files->Sync().ok()) {
    return SQLITE_IOERR_FSYNC;
  }
  if (current.journal_ends) {
    current.files->EndTransaction();
    current.journal_ends = false;
  }
  return SQLITE_OK;
}
int Sync(sqlite3_file*, int) { return SyncAll(); }

int FileSize(sqlite3_file* file, sqlite3_int64* size) {
  *size = static_cast<sqlite3_int64>(current.files->Size(IdOf(file)));
  return SQLITE_OK;
}

// One connection: locks are always ours.
int Lock(sqlite3_file*, int) { return SQLITE_OK; }
int CheckReservedLock(sqlite3_file*, int* held) {
  *held = 0;
  return SQLITE_OK;
}
int FileControl(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int SectorSize(sqlite3_file*) { return static_cast<int>(kSectorSize); }
// Nothing is promised: not atomic writes, not order, not power-safe overwriting.
int DeviceCharacteristics(sqlite3_file*) { return 0; }

constexpr sqlite3_io_methods MakeIoMethods() {
  sqlite3_io_methods methods = {};
  methods.iVersion = 1;
  methods.xClose = Close;
  methods.xRead = Read;
  methods.xWrite = Write;
  methods.xTruncate = Truncate;
  methods.xSync = Sync;
  methods.xFileSize = FileSize;
  methods.xLock = Lock;
  methods.xUnlock = Lock;
  methods.xCheckReservedLock = CheckReservedLock;
  methods.xFileControl = FileControl;
  methods.xSectorSize = SectorSize;
  methods.xDeviceCharacteristics = DeviceCharacteristics;
  return methods;
}
constexpr sqlite3_io_methods kIoMethods = MakeIoMethods();

// --- The file system ----------------------------------------------------------------------------

bool IsJournalName(const char* name) {
  return name != nullptr && std::strstr(name, "-journal") != nullptr;
}

int Open(sqlite3_vfs*, const char*, sqlite3_file* file, int flags, int* out_flags) {
  auto* opened = reinterpret_cast<File*>(file);
  opened->base.pMethods = nullptr;
  if ((flags & SQLITE_OPEN_MAIN_DB) != 0) {
    opened->id = FileId::kDatabase;
  } else if ((flags & SQLITE_OPEN_MAIN_JOURNAL) != 0) {
    opened->id = FileId::kJournal;
  } else {
    return SQLITE_CANTOPEN;  // everything temporary is in memory
  }
  opened->base.pMethods = &kIoMethods;
  if (out_flags != nullptr) {
    *out_flags = flags;
  }
  return SQLITE_OK;
}

int Delete(sqlite3_vfs*, const char* name, int sync_directory) {
  if (!IsJournalName(name)) {
    return SQLITE_IOERR_DELETE;
  }
  if (!current.files->Truncate(FileId::kJournal, 0).ok()) {
    return SQLITE_IOERR_DELETE;
  }
  current.journal_ends = true;
  return sync_directory == 0 || SyncAll() == SQLITE_OK ? SQLITE_OK : SQLITE_IOERR_DELETE;
}

int Access(sqlite3_vfs*, const char* name, int, int* exists) {
  const bool is_wal = std::strstr(name, "-wal") != nullptr;
  const FileId id = IsJournalName(name) ? FileId::kJournal : FileId::kDatabase;
  *exists = !is_wal && current.files->Size(id) > 0 ? 1 : 0;
  return SQLITE_OK;
}

int FullPathname(sqlite3_vfs*, const char* name, int size, char* out) {
  const size_t length = std::strlen(name);
  if (length + 1 > static_cast<size_t>(size)) {
    return SQLITE_CANTOPEN;
  }
  std::memcpy(out, name, length + 1);
  return SQLITE_OK;
}

// SQLite uses randomness for the journal's nonce alone here; no secrecy hangs on it, and the same
// bytes every time let a simulation replay.
int Randomness(sqlite3_vfs*, int size, char* out) {
  for (int i = 0; i < size; ++i) {
    out[i] = static_cast<char>(i * 37 + 11);
  }
  return size;
}

int Sleep(sqlite3_vfs*, int) { return 0; }

int CurrentTime(sqlite3_vfs*, double* julian_day) {
  *julian_day = 2440587.5;  // 1970: no SQL of ours asks for the time
  return SQLITE_OK;
}

int GetLastError(sqlite3_vfs*, int, char*) { return 0; }

constexpr sqlite3_vfs MakeVfs() {
  sqlite3_vfs vfs = {};
  vfs.iVersion = 1;
  vfs.szOsFile = sizeof(File);
  vfs.mxPathname = 64;
  vfs.zName = kVfsName;
  vfs.xOpen = Open;
  vfs.xDelete = Delete;
  vfs.xAccess = Access;
  vfs.xFullPathname = FullPathname;
  vfs.xRandomness = Randomness;
  vfs.xSleep = Sleep;
  vfs.xCurrentTime = CurrentTime;
  vfs.xGetLastError = GetLastError;
  return vfs;
}
sqlite3_vfs vfs = MakeVfs();  // SQLite links it into its list
bool initialised = false;

}  // namespace

// SQLITE_OS_OTHER: these are ours to give.
extern "C" int sqlite3_os_init() { return sqlite3_vfs_register(&vfs, 1); }
extern "C" int sqlite3_os_end() { return SQLITE_OK; }

SqliteScope::SqliteScope(Heap& heap, BlockFiles& files) {
  GH_ASSERT(current.heap == nullptr);
  current = {&heap, &files, false};
}

SqliteScope::~SqliteScope() { current = {}; }

void AbandonSqliteScope() { current = {}; }

Result<void> InitialiseSqlite() {
  if (initialised) {
    return Ok();
  }
  const bool good = sqlite3_config(SQLITE_CONFIG_MALLOC, &kMemoryMethods) == SQLITE_OK &&
                    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) == SQLITE_OK &&
                    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) == SQLITE_OK &&
                    sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, -1) == SQLITE_OK &&
                    sqlite3_initialize() == SQLITE_OK;
  if (!good) {
    return Error{ErrorCode::kWrongState, "store: SQLite does not start"};
  }
  initialised = true;
  return Ok();
}

}  // namespace gh::store
