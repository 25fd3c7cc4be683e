// Memory for an arena: zeros as at a machine's start, with no loop over its bytes. A vector's, in
// code that is compiled for its mistakes to be found, takes longer than most tests.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace gh::test {

class Memory {
 public:
  explicit Memory(size_t size)
      : bytes_(static_cast<uint8_t*>(std::calloc(size, 1)), std::free), size_(size) {}
  uint8_t* data() const { return bytes_.get(); }
  size_t size() const { return size_; }
  uint8_t* begin() const { return data(); }
  uint8_t* end() const { return data() + size_; }

 private:
  std::unique_ptr<uint8_t, void (*)(void*)> bytes_;
  size_t size_;
};

}  // namespace gh::test
