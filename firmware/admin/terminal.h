// A terminal as a session sees it: bytes both ways, never blocking. The serial console, or a
// channel of SSH behind the same words.
#pragma once

#include <cstdint>
#include <span>

#include "hal/rt/bytes.h"
#include "hal/rt/time.h"
#include "hal/serial_port.h"

namespace gh::admin {

class Terminal {
 public:
  virtual uint32_t Read(std::span<uint8_t> out) = 0;          // bytes read, 0 if none
  virtual uint32_t Write(std::span<const uint8_t> data) = 0;  // bytes taken; the rest: try later
  virtual const char* name() const = 0;                       // "serial", "ssh"
  // The other side will send no more, and everything it sent has been read.
  virtual bool at_end() const { return false; }

 protected:
  ~Terminal() = default;
};

// Takes a session's terminal for a while: a file transfer. Nothing else is printed meanwhile.
class TerminalGuest {
 public:
  virtual void Enter(Instant now) = 0;
  // At each turn. False: it is done.
  virtual bool Serve(Terminal& terminal, Instant now) = 0;
  // Lines for the operator, about how it went.
  virtual void Leave(ByteWriter& out) = 0;

 protected:
  ~TerminalGuest() = default;
};

class SerialTerminal final : public Terminal {
 public:
  explicit SerialTerminal(hal::SerialPort& port) : port_(port) {}
  uint32_t Read(std::span<uint8_t> out) override { return port_.Read(out); }
  uint32_t Write(std::span<const uint8_t> data) override { return port_.Write(data); }
  const char* name() const override { return "serial"; }

 private:
  hal::SerialPort& port_;
};

}  // namespace gh::admin
