// The wire to a local HSM on this board: a Unix socket where its server connects, for example
//
//   socat UNIX-CONNECT:PATH,retry=9999,interval=0.5 EXEC:"p11-kit remote /usr/lib/.../module.so"
//
// One client at a time; the next is taken when that has gone. As QEMU's chardev with server=on
// behind a virtio-serial port.
#pragma once

#include "board/host/idle.h"
#include "hal/rt/result.h"
#include "hal/token_link.h"

namespace gh::board {

// Opened once and kept across restarts of the appliance; -1 on failure.
Result<void> OpenTokenSocket(const char* path, int& listener);

class TokenSocket final : public hal::TokenLink, public PollSource {
 public:
  explicit TokenSocket(int listener) : listener_(listener) {}

  bool connected() const override { return client_ >= 0; }
  uint32_t Read(std::span<uint8_t> out) override;
  uint32_t Write(std::span<const uint8_t> data) override;
  int poll_fd() const override { return client_ >= 0 ? client_ : listener_; }
  int16_t poll_events() const override;

 private:
  void Close();

  const int listener_;
  int client_ = -1;
};

}  // namespace gh::board
