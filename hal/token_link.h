// The wire to a local HSM: an ordered byte stream that may vanish and come back. Never blocks.
#pragma once

#include <cstdint>
#include <span>

namespace gh::hal {

class TokenLink {
 public:
  virtual bool connected() const = 0;
  virtual uint32_t Read(std::span<uint8_t> out) = 0;
  virtual uint32_t Write(std::span<const uint8_t> data) = 0;

 protected:
  ~TokenLink() = default;
};

}  // namespace gh::hal
