// One Ethernet port (LAN1, LAN2, LAN3). Batched, non-blocking, zero-copy where the device allows.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hal/frame.h"

namespace gh::hal {

using MacAddress = std::array<uint8_t, 6>;

struct EthernetCounters {
  uint64_t rx_frames = 0;
  uint64_t rx_bytes = 0;
  uint64_t rx_dropped = 0;  // no buffer, malformed descriptor, oversize
  uint64_t tx_frames = 0;
  uint64_t tx_bytes = 0;
  uint64_t tx_dropped = 0;  // ring full, link down
};

class EthernetPort {
 public:
  // Takes up to `out.size()` received frames; the caller owns them. Refills the device ring itself.
  virtual uint32_t Receive(std::span<Frame*> out) = 0;
  // Queues frames for transmission and takes ownership of all of them: those that do not fit are
  // released and counted in tx_dropped. The device is told once a batch, by Flush().
  virtual void Transmit(std::span<Frame* const> frames) = 0;
  // Rings the doorbell for queued frames and returns completed ones to the pool.
  virtual void Flush() = 0;

  virtual MacAddress mac() const = 0;
  virtual uint16_t mtu() const = 0;  // largest IP packet, normally 1500
  virtual bool link_up() const = 0;
  virtual bool can_fill_checksum() const = 0;  // honours kFrameChecksumPartial
  virtual EthernetCounters counters() const = 0;
  virtual const char* driver() const = 0;  // "virtio-net", "tap", "sim"
  // Takes frames from this pool and gives them there from now on: of another processor, but with
  // the frames of the machine.
  virtual void SetFrames(FramePool& frames) = 0;

 protected:
  ~EthernetPort() = default;
};

}  // namespace gh::hal
