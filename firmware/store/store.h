// The store: named values that survive a power cut. Configuration today; users of other rooms get
// tables of their own behind the same file system.
//
// A transaction is all or nothing and durable when Commit() has returned. One at a time. Calls do
// bounded disk work and wait for it: they belong to the operator's doing, never to a packet's.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "hal/rt/result.h"

namespace gh::store {

inline constexpr uint32_t kKeyMax = 128;  // bytes
inline constexpr uint32_t kValueMax = 1024;

struct StoreStatus {
  const char* kind = "";  // "SQLite on store partition", "memory only"
  bool persistent = false;
  uint64_t bytes_used = 0;  // of the partition
  uint64_t bytes_capacity = 0;
  uint64_t heap_used = 0;
  uint64_t heap_max = 0;  // high-water mark
  uint64_t heap_capacity = 0;
  uint64_t commit_count = 0;
  int64_t commit_ns_max = 0;
};

class EntryVisitor {
 public:
  // Keys in byte order.
  virtual void OnEntry(std::string_view key, std::span<const uint8_t> value) = 0;

 protected:
  ~EntryVisitor() = default;
};

class Store {
 public:
  virtual Result<void> ForEach(EntryVisitor& visitor) = 0;
  virtual Result<void> Begin() = 0;
  virtual Result<void> Put(std::string_view key, std::span<const uint8_t> value) = 0;
  virtual Result<void> Remove(std::string_view key) = 0;  // fine when there is none
  virtual Result<void> RemoveAll() = 0;
  // An error: nothing of the transaction is kept, the store is as before Begin().
  virtual Result<void> Commit() = 0;
  virtual void Rollback() = 0;
  virtual StoreStatus status() const = 0;

 protected:
  ~Store() = default;
};

// Keeps nothing: for machines without a store partition. Every start is a factory start.
class VolatileStore final : public Store {
 public:
  Result<void> ForEach(EntryVisitor&) override { return Ok(); }
  Result<void> Begin() override { return Ok(); }
  Result<void> Put(std::string_view, std::span<const uint8_t>) override { return Ok(); }
  Result<void> Remove(std::string_view) override { return Ok(); }
  Result<void> RemoveAll() override { return Ok(); }
  Result<void> Commit() override { return Ok(); }
  void Rollback() override {}
  StoreStatus status() const override {
    StoreStatus status;
    status.kind = "memory only";
    return status;
  }
};

}  // namespace gh::store
