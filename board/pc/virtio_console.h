// virtio-serial (virtio 1.2, 5.3) with named ports: the wire to a local HSM is the port called
// "org.gatehouse.hsm".
//
// The control protocol is spoken as messages come in, whenever the link is used. The host opens and
// closes its end as it likes; unsent and unread bytes are dropped then, and a new connection starts
// with empty buffers. Messages and names are the host's: sizes are checked.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "board/pc/idle.h"
#include "board/pc/virtio_pci.h"
#include "hal/rt/arena.h"
#include "hal/token_link.h"

namespace gh::pc {

class VirtioConsole final : public hal::TokenLink, public InterruptSource {
 public:
  static constexpr std::string_view kPortName = "org.gatehouse.hsm";

  VirtioConsole() = default;
  VirtioConsole(const VirtioConsole&) = delete;
  VirtioConsole& operator=(const VirtioConsole&) = delete;

  Result<void> Initialise(Arena& arena, PageTables& pages, const Pci& pci, const PciDevice& device,
                          uint8_t vector);

  bool connected() const override { return host_open_; }
  uint32_t Read(std::span<uint8_t> out) override;
  uint32_t Write(std::span<const uint8_t> data) override;

  bool ArmInterrupt() override;
  // The port was announced by the host.
  bool has_port() const { return port_ != kNoPort; }

 private:
  static constexpr uint32_t kNoPort = UINT32_MAX;
  static constexpr uint32_t kBufferSize = 4096;
  static constexpr uint32_t kBufferCount = 8;
  static constexpr uint32_t kControlSize = 128;

  struct Port {
    Virtqueue receive;
    Virtqueue transmit;
    bool is_set_up = false;
  };

  Result<void> InitialisePort(Arena& arena, uint32_t port);
  void Service();
  void OnControl(std::span<const uint8_t> message);
  void SendControl(uint32_t port, uint16_t event, uint16_t value);
  void FillControl();
  void FillReceive();
  void DropReceived();

  VirtioPci transport_;
  Virtqueue control_receive_;
  Virtqueue control_transmit_;
  std::array<Port, kSerialPortMax> ports_;
  uint32_t port_ = kNoPort;
  bool host_open_ = false;

  // Buffers of the one port that is used; index = descriptor head.
  std::span<uint8_t> control_in_;
  std::span<uint8_t> control_out_;
  std::span<uint8_t> receive_bytes_;
  std::span<uint8_t> transmit_bytes_;
  uint32_t current_head_ = UINT32_MAX;  // a received buffer not fully read yet
  uint32_t current_size_ = 0;
  uint32_t current_at_ = 0;
};

}  // namespace gh::pc
