// Memory for an arena, which clears what it gives. Nothing loops over its bytes: in code that is
// compiled for its mistakes to be found, that takes longer than most tests.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <utility>

#include "hal/rt/sanitizer.h"

namespace gh::test {

class Memory {
 public:
  // Fuzz targets make a world for each input, and pages that are new to a process cost more than
  // most inputs do: they say so, and what is let go waits, poisoned, for the next of its size.
  static inline bool keeps = false;

  explicit Memory(size_t size)
      : bytes_(keeps ? TakeKept(size) : static_cast<uint8_t*>(std::calloc(size, 1))), size_(size) {}
  ~Memory() {
    if (keeps && bytes_ != nullptr) {
      PoisonMemory(bytes_, size_);
      Kept().emplace(size_, bytes_);
    } else {
      std::free(bytes_);
    }
  }
  Memory(Memory&& other) noexcept
      : bytes_(std::exchange(other.bytes_, nullptr)), size_(other.size_) {}
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  uint8_t* data() const { return bytes_; }
  size_t size() const { return size_; }
  uint8_t* begin() const { return data(); }
  uint8_t* end() const { return data() + size_; }

 private:
  // Never destroyed: what it has is no leak.
  static std::multimap<size_t, uint8_t*>& Kept() {
    static auto* kept = new std::multimap<size_t, uint8_t*>();
    return *kept;
  }
  static uint8_t* TakeKept(size_t size) {
    const auto at = Kept().find(size);
    if (at == Kept().end()) {
      return static_cast<uint8_t*>(std::malloc(size));
    }
    uint8_t* const bytes = at->second;
    Kept().erase(at);
    UnpoisonMemory(bytes, size);
    return bytes;
  }

  uint8_t* bytes_;
  size_t size_;
};

}  // namespace gh::test
