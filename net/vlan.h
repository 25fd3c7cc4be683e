// VLANs (802.1Q): the tag within a frame, and a port that is in one VLAN.
//
// A VlanPort stands in front of a device's port. What it hands on is what came with its tag,
// without it; what it is given leaves with it. So everything behind it, either plane and the stack,
// deals in untagged frames only. A tag costs moving twelve bytes.
#pragma once

#include <array>
#include <cstdint>

#include "hal/ethernet_port.h"

namespace gh::net {

inline constexpr uint16_t kEtherVlan = 0x8100;
inline constexpr uint16_t kVlanTagSize = 4;
inline constexpr uint16_t kVlanMax = 4094;

// Puts a tag in front of the frame's EtherType; `control` is priority and VLAN. What a device is to
// fill or to find by offset moves along.
void PushVlanTag(hal::Frame& frame, uint16_t control);
// Takes it out. False, and untouched: there is none, or the frame is cut short.
bool PopVlanTag(hal::Frame& frame, uint16_t* control);
// The priority of a tag: the class of the packet's DSCP, as switches map it; 0 without a packet.
uint8_t VlanPriorityOf(const hal::Frame& frame);

// Fault model: any frames may come. Those without a tag, or of other VLANs, are other machines'
// business: given back uncounted, a bounded number of batches a call.
class VlanPort final : public hal::EthernetPort {
 public:
  // `vlan` 1 to kVlanMax. `frames` is the device's pool.
  VlanPort(hal::EthernetPort& device, hal::FramePool& frames, uint16_t vlan);

  uint32_t Receive(std::span<hal::Frame*> out) override;
  void Transmit(std::span<hal::Frame* const> frames) override;
  void Flush() override { device_.Flush(); }
  hal::MacAddress mac() const override { return device_.mac(); }
  uint16_t mtu() const override { return device_.mtu(); }
  bool link_up() const override { return device_.link_up(); }
  bool can_fill_checksum() const override { return device_.can_fill_checksum(); }
  hal::EthernetCounters counters() const override { return device_.counters(); }
  const char* driver() const override { return device_.driver(); }
  void SetFrames(hal::FramePool& frames) override;

 private:
  hal::EthernetPort& device_;
  hal::FramePool* frames_;
  const uint16_t vlan_;
};

}  // namespace gh::net
