// A byte console: UART, virtio-console, stdio or a pty. Neither call ever blocks.
#pragma once

#include <cstdint>
#include <span>

namespace gh::hal {

class SerialPort {
 public:
  virtual uint32_t Read(std::span<uint8_t> out) = 0;          // bytes read, 0 if none
  virtual uint32_t Write(std::span<const uint8_t> data) = 0;  // bytes taken; the rest: try later
  virtual const char* name() const = 0;

 protected:
  ~SerialPort() = default;
};

}  // namespace gh::hal
