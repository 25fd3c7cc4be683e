// An arena of its own for a test.
#pragma once

#include <memory>

#include "hal/rt/arena.h"

namespace gh {

class TestArena {
 public:
  explicit TestArena(size_t size = 1 << 20)
      : memory_(new uint8_t[size]), arena_({memory_.get(), size}) {}
  Arena& operator*() { return arena_; }
  Arena* operator->() { return &arena_; }
  operator Arena&() { return arena_; }

 private:
  std::unique_ptr<uint8_t[]> memory_;
  Arena arena_;
};

}  // namespace gh
