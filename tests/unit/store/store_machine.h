// A store with memory of its own on a disk that fails and is cut (fake_disk.h): what a machine is
// between two power cuts.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "firmware/store/sqlite_store.h"
#include "hal/rt/bytes.h"
#include "tests/unit/store/fake_disk.h"

namespace gh::store {

using Contents = std::map<std::string, std::string>;

class Collector final : public EntryVisitor {
 public:
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    contents[std::string(key)] = std::string(AsText(value));
  }
  Contents contents;
};

// Another for each machine: each has its own keys.
class FakeEntropy final : public hal::Entropy {
 public:
  void Fill(std::span<uint8_t> out) override {
    static uint32_t machines = 0;
    ++machines;
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = static_cast<uint8_t>(machines >> (i % 4 * 8));
    }
  }
  const char* source() const override { return "fake"; }
};

class Machine {
 public:
  explicit Machine(FakeDisk& disk) : memory_(3u << 20), arena_({memory_.data(), memory_.size()}) {
    store = arena_.New<SqliteStore>(arena_, disk, clock_, 1u << 20, Sealing{random_, wrapper_});
    opened = store->Open();
  }
  // Without a word: a power cut runs no destructors.
  void Drop() { store = nullptr; }
  ~Machine() {
    if (store != nullptr) {
      store->~SqliteStore();
    }
  }
  // Time enough for the good copy.
  void StepCopies() {
    Instant now;
    for (int i = 0; i < 200; ++i) {
      (void)store->StepCopy(now);
      now = now + Duration::Seconds(1);
    }
  }
  Contents Read() {
    Collector collector;
    EXPECT_TRUE(store->ForEach(collector).ok());
    return collector.contents;
  }
  Result<void> Write(const Contents& put, const std::vector<std::string>& remove = {}) {
    GH_TRY(store->Begin());
    for (const auto& [key, value] : put) {
      if (auto done = store->Put(key, AsBytes(value)); !done.ok()) {
        store->Rollback();
        return done;
      }
    }
    for (const std::string& key : remove) {
      if (auto done = store->Remove(key); !done.ok()) {
        store->Rollback();
        return done;
      }
    }
    return store->Commit();
  }
  SqliteStore* store;
  Result<void> opened;

 private:
  std::vector<uint8_t> memory_;
  Arena arena_;
  FakeClock clock_;
  FakeEntropy entropy_;
  crypto::Random random_{entropy_};
  NoWrapper wrapper_;
};

constexpr uint64_t kDiskBytes = 1u << 20;

}  // namespace gh::store
