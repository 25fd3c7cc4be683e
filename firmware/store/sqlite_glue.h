// What SQLite asks of an operating system, answered from one store's heap and files.
#pragma once

#include "firmware/store/block_files.h"
#include "hal/rt/heap.h"
#include "hal/rt/result.h"

namespace gh::store {

inline constexpr const char* kVfsName = "gatehouse";
inline constexpr const char* kDatabaseName = "store";

// Whose heap and files SQLite's calls mean, while it lives. Scopes do not nest.
class SqliteScope {
 public:
  SqliteScope(Heap& heap, BlockFiles& files);
  SqliteScope(const SqliteScope&) = delete;
  SqliteScope& operator=(const SqliteScope&) = delete;
  ~SqliteScope();
};

// A simulated machine that loses its power inside a scope leaves the stack it stood on, and the
// scope with it. Called by the simulation, when no scope can be alive.
void AbandonSqliteScope();

// Configures SQLite and registers the file system; once a process, again is harmless. Inside a
// scope.
Result<void> InitialiseSqlite();

}  // namespace gh::store
