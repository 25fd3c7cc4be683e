// Ethernet over a TAP interface: one read or write a frame, no copy of our own.
#pragma once

#include "board/host/idle.h"
#include "board/host/interface.h"
#include "board/host/options.h"
#include "hal/ethernet_port.h"

namespace gh::board {

// Creates or attaches the TAP interface `options.interface`; the descriptor lives across a restart
// of the appliance (the supervisor holds it), so the link does not flap.
Result<int> OpenTap(const PortOptions& options);

// A locally administered address that stays the same for one interface name on one host.
hal::MacAddress DeriveMac(const char* interface);

class TapPort final : public hal::EthernetPort, public PollSource {
 public:
  TapPort(int fd, uint8_t port_index, hal::FramePool& pool)
      : fd_(fd), port_index_(port_index), pool_(&pool) {}
  Result<void> Start(const PortOptions& options, hal::Clock& clock);

  uint32_t Receive(std::span<hal::Frame*> out) override;
  void Transmit(std::span<hal::Frame* const> frames) override;
  void Flush() override {}
  hal::MacAddress mac() const override { return mac_; }
  uint16_t mtu() const override { return link_.mtu(); }
  bool link_up() const override { return fd_ >= 0 && link_.up(); }
  bool can_fill_checksum() const override { return true; }
  hal::EthernetCounters counters() const override { return counters_; }
  const char* driver() const override { return "tap"; }
  void SetFrames(hal::FramePool& frames) override { pool_ = &frames; }
  int poll_fd() const override { return fd_; }
  int16_t poll_events() const override;
  std::optional<uint64_t> arrivals() const override { return counters_.rx_frames; }

 private:
  // Reads one packet into `frame`: 1 taken, 0 nothing there, -1 dropped.
  int ReadOne(hal::Frame& frame);
  bool DropOne();
  void Send(hal::Frame& frame);

  int fd_;
  uint8_t port_index_;
  hal::FramePool* pool_;
  hal::MacAddress mac_ = {};
  mutable LinkState link_;
  hal::EthernetCounters counters_;
};

}  // namespace gh::board
