// The store: named values that survive a power cut. Configuration today; users of other rooms get
// tables of their own behind the same file system.
//
// A transaction is all or nothing and durable when Commit() has returned. One at a time. Begin()
// and Commit() wait for the disk: they belong to the operator's doing, never to a packet's. What
// packets bring about begins with BeginLater() and ends with CommitLater(), which wait for nothing:
// it is seen at once, and durable when StateOf() says so, in the order of the commits.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::store {

inline constexpr uint32_t kKeyMax = 128;  // bytes
inline constexpr uint32_t kValueMax = 3840;

// Rows of different rooms, apart from each other. The numbers are on the disk.
enum class Table : uint8_t {
  kSettings = 0,      // the configuration; what the calls without a table mean
  kHistory = 1,       // of its changes
  kTrust = 2,         // certificates an operator trusts
  kAlarms = 3,        // what is remembered of alarms
  kKeys = 4,          // private keys of services
  kNotes = 5,         // small marks of rooms
  kCertificates = 6,  // of services, and lists of revocations
  kXmpp = 7,          // accounts, rosters, messages that wait
};
inline constexpr uint8_t kTableCount = 8;

struct StoreStatus {
  const char* kind = "";    // "SQLite on store partition", "memory only"
  const char* sealed = "";  // by whom the key is wrapped; "" is not sealed
  bool persistent = false;
  uint64_t bytes_used = 0;  // of the partition, without what was given up since
  uint64_t bytes_capacity = 0;
  uint64_t heap_used = 0;
  uint64_t heap_max = 0;  // high-water mark
  uint64_t heap_capacity = 0;
  uint64_t commit_count = 0;
  int64_t commit_ns_max = 0;  // that a commit held its caller
};

class EntryVisitor {
 public:
  // Keys in byte order.
  virtual void OnEntry(std::string_view key, std::span<const uint8_t> value) = 0;

 protected:
  ~EntryVisitor() = default;
};

// A row, copied out of the store.
struct Entry {
  FixedString<kKeyMax> key;
  std::array<uint8_t, kValueMax> value;
  uint32_t size = 0;
  std::span<const uint8_t> bytes() const { return std::span(value).first(size); }
};

// A commit that nobody waited for.
struct LateCommit {
  uint64_t barrier = 0;   // of the writes, the last it needs
  uint64_t failures = 0;  // that there had been when it began
};
enum class CommitState : uint8_t {
  kUnderWay,
  kDurable,
  kLost,  // the disk failed: it may be there or not, and is not seen any more
};

class Store {
 public:
  // Of the configuration. For other tables see below.
  virtual Result<void> ForEach(EntryVisitor& visitor) = 0;
  virtual Result<void> Begin() = 0;
  virtual Result<void> Put(std::string_view key, std::span<const uint8_t> value) = 0;
  virtual Result<void> Remove(std::string_view key) = 0;  // fine when there is none
  virtual Result<void> RemoveAll() = 0;
  // The first row whose key is behind `after` in byte order, which may be part of `out`; false:
  // there is none. Rows may be changed between two calls.
  virtual Result<bool> Next(std::string_view after, Entry& out) {
    class First final : public EntryVisitor {
     public:
      First(std::string_view after, Entry& out) : after_(after), out_(out) {}
      void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
        if (!found && key > after_.view() && value.size() <= kValueMax) {
          found = true;
          out_.key.Assign(key);
          out_.size = static_cast<uint32_t>(value.size());
          std::copy(value.begin(), value.end(), out_.value.begin());
        }
      }
      bool found = false;

     private:
      const FixedString<kKeyMax> after_;
      Entry& out_;
    };
    First first(after, out);
    GH_TRY(ForEach(first));
    return first.found;
  }
  // An error: nothing of the transaction is kept, the store is as before Begin().
  virtual Result<void> Commit() = 0;
  virtual void Rollback() = 0;
  virtual StoreStatus status() const = 0;

  virtual Result<void> BeginLater() { return Begin(); }
  virtual Result<LateCommit> CommitLater() {
    GH_TRY(Commit());
    return LateCommit{};
  }
  virtual CommitState StateOf(const LateCommit&) const { return CommitState::kDurable; }
  // Waits until every late commit is durable, or lost.
  virtual void Drain() {}

  // The same for any table, in the same transaction.
  virtual Result<void> PutIn(Table, std::string_view /*key*/, std::span<const uint8_t>) {
    return Ok();
  }
  virtual Result<void> RemoveIn(Table, std::string_view /*key*/) { return Ok(); }
  // At most `limit` rows whose key is greater than `after`; returns how many there were.
  virtual Result<uint32_t> ForEachIn(Table, std::string_view /*after*/, uint32_t /*limit*/,
                                     EntryVisitor&) {
    return 0u;
  }
  // Every table: factory reset.
  virtual Result<void> RemoveEverything() { return RemoveAll(); }

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
