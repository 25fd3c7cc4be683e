// The serial console: stdio, a pseudo-terminal, a Unix socket, or nothing.
#pragma once

#include <termios.h>

#include "board/host/idle.h"
#include "board/host/options.h"
#include "hal/serial_port.h"

namespace gh::board {

// Descriptors of the console, opened once and kept across restarts of the appliance.
struct ConsoleDescriptors {
  int input = -1;
  int output = -1;
  int listener = -1;      // unix: where clients come
  int terminal = -1;      // stdio on a terminal: its settings are to be restored
  termios settings = {};  // as found
  char name[64] = "none";
};

Result<void> OpenConsole(const Options& options, ConsoleDescriptors& console);
// Gives the terminal back as it was found; async-signal-safe.
void RestoreTerminal(const ConsoleDescriptors& console);

class HostConsole final : public hal::SerialPort, public PollSource {
 public:
  static constexpr uint8_t kEscape = 0x1d;  // Ctrl-]

  explicit HostConsole(const ConsoleDescriptors& descriptors) : console_(descriptors) {}

  uint32_t Read(std::span<uint8_t> out) override;
  uint32_t Write(std::span<const uint8_t> data) override;
  const char* name() const override { return console_.name; }
  int poll_fd() const override;
  int16_t poll_events() const override;
  // Ready when output that had found no room can go on.
  PollSource& output_source() { return output_source_; }

 private:
  class OutputSource final : public PollSource {
   public:
    explicit OutputSource(const HostConsole& console) : console_(console) {}
    int poll_fd() const override { return console_.write_blocked_ ? console_.console_.output : -1; }
    int16_t poll_events() const override;

   private:
    const HostConsole& console_;
  };

  void AcceptClient();
  void LoseClient();

  ConsoleDescriptors console_;
  bool write_blocked_ = false;
  OutputSource output_source_{*this};
};

}  // namespace gh::board
