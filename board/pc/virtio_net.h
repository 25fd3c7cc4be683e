// An Ethernet port over virtio-net (virtio 1.2, 5.1): one receive and one transmit queue, frames
// received and sent in place, checksums left to the device in both directions.
//
// The virtio header lies in the frame's headroom, in front of the Ethernet header. No receive
// merging: a frame of 2 KiB holds any packet of a 1500-byte network. A frame received with its L4
// checksum not filled in (from another guest) carries both checksum flags: good, and still partial
// when it is sent on.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "board/pc/idle.h"
#include "board/pc/virtio_pci.h"
#include "hal/ethernet_port.h"
#include "hal/frame.h"
#include "hal/rt/arena.h"

namespace gh::pc {

class VirtioNet final : public hal::EthernetPort, public InterruptSource {
 public:
  VirtioNet(hal::FramePool& frames, uint8_t port_index)
      : frames_(&frames), port_index_(port_index) {}
  VirtioNet(const VirtioNet&) = delete;
  VirtioNet& operator=(const VirtioNet&) = delete;

  Result<void> Initialise(Arena& arena, PageTables& pages, const Pci& pci, const PciDevice& device,
                          uint8_t queue_vector, uint8_t config_vector);

  uint32_t Receive(std::span<hal::Frame*> out) override;
  void Transmit(std::span<hal::Frame* const> frames) override;
  void Flush() override;
  hal::MacAddress mac() const override { return mac_; }
  uint16_t mtu() const override { return mtu_; }
  bool link_up() const override { return link_up_; }
  bool can_fill_checksum() const override { return can_fill_checksum_; }
  hal::EthernetCounters counters() const override { return counters_; }
  const char* driver() const override { return "virtio-net"; }
  void SetFrames(hal::FramePool& frames) override { frames_ = &frames; }

  bool ArmInterrupt() override;
  // Both its vectors are that processor's from now on.
  void RouteTo(uint32_t apic_id) { transport_.RouteTo(apic_id); }

 private:
  void ReadLink();
  void Refill();
  void Reclaim();
  bool Accept(hal::Frame& frame, uint32_t written);
  bool Queue(hal::Frame& frame);

  hal::FramePool* frames_;
  uint8_t port_index_;
  uint8_t config_index_ = 0;
  uint64_t config_changes_seen_ = 0;
  bool link_up_ = false;
  bool has_status_ = false;
  bool can_fill_checksum_ = false;
  uint16_t mtu_ = 1500;
  hal::MacAddress mac_ = {};
  hal::EthernetCounters counters_;
  VirtioPci transport_;
  Virtqueue receive_;
  Virtqueue transmit_;
  std::array<hal::Frame*, kVirtqueueSizeMax> receive_frames_ = {};
  std::array<hal::Frame*, kVirtqueueSizeMax> transmit_frames_ = {};
};

}  // namespace gh::pc
