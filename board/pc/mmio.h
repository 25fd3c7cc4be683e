// A device's register window: volatile access of the named width, bounds asserted.
#pragma once

#include <cstdint>

#include "hal/rt/assert.h"

namespace gh::pc {

class Mmio {
 public:
  Mmio() = default;
  Mmio(uint64_t address, uint64_t size) : address_(address), size_(size) {}

  uint8_t Read8(uint64_t offset) const { return *At<uint8_t>(offset); }
  uint16_t Read16(uint64_t offset) const { return *At<uint16_t>(offset); }
  uint32_t Read32(uint64_t offset) const { return *At<uint32_t>(offset); }
  uint64_t Read64(uint64_t offset) const { return *At<uint64_t>(offset); }
  void Write8(uint64_t offset, uint8_t value) const { *At<uint8_t>(offset) = value; }
  void Write16(uint64_t offset, uint16_t value) const { *At<uint16_t>(offset) = value; }
  void Write32(uint64_t offset, uint32_t value) const { *At<uint32_t>(offset) = value; }
  // Two halves, low first: what virtio and HPET registers of 64 bits ask for.
  void Write64(uint64_t offset, uint64_t value) const {
    Write32(offset, static_cast<uint32_t>(value));
    Write32(offset + 4, static_cast<uint32_t>(value >> 32));
  }

  bool valid() const { return size_ != 0; }
  uint64_t address() const { return address_; }
  uint64_t size() const { return size_; }

 private:
  template <typename T>
  volatile T* At(uint64_t offset) const {
    GH_ASSERT(offset <= size_ && size_ - offset >= sizeof(T));
    return reinterpret_cast<volatile T*>(address_ + offset);
  }

  uint64_t address_ = 0;
  uint64_t size_ = 0;
};

}  // namespace gh::pc
