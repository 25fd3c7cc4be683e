#include "net/vlan.h"

#include <cstring>

#include "hal/rt/assert.h"
#include "net/packet.h"

namespace gh::net {
namespace {

constexpr uint32_t kAddressesSize = 12;
constexpr uint32_t kForeignBatchMax = 4;
constexpr uint32_t kPriorityShift = 13;

}  // namespace

void PushVlanTag(hal::Frame& frame, uint16_t control) {
  GH_ASSERT_GE(frame.size, kEtherHeaderSize);
  uint8_t* at = frame.Prepend(kVlanTagSize);
  std::memmove(at, at + kVlanTagSize, kAddressesSize);
  StoreBe16(at + kAddressesSize, kEtherVlan);
  StoreBe16(at + kAddressesSize + 2, control);
  frame.checksum_start = static_cast<uint16_t>(frame.checksum_start + kVlanTagSize);
}

bool PopVlanTag(hal::Frame& frame, uint16_t* control) {
  uint8_t* at = frame.data();
  if (frame.size < kEtherHeaderSize + kVlanTagSize || LoadBe16(at + kAddressesSize) != kEtherVlan) {
    return false;
  }
  const bool has_field = (frame.flags & hal::kFrameChecksumPartial) != 0;
  if (has_field && frame.checksum_start < kEtherHeaderSize + kVlanTagSize) {
    return false;
  }
  *control = LoadBe16(at + kAddressesSize + 2);
  std::memmove(at + kVlanTagSize, at, kAddressesSize);
  frame.TrimFront(kVlanTagSize);
  if (has_field) {
    frame.checksum_start = static_cast<uint16_t>(frame.checksum_start - kVlanTagSize);
  }
  return true;
}

uint8_t VlanPriorityOf(const hal::Frame& frame) {
  const uint8_t* at = frame.data();
  if (frame.size < kEtherHeaderSize + 2) {
    return 0;
  }
  switch (LoadBe16(at + kAddressesSize)) {
    case kEtherIpv4:
      return at[kEtherHeaderSize + 1] >> 5;
    case kEtherIpv6:
      return at[kEtherHeaderSize] >> 1 & 7;
    default:
      return 0;
  }
}

VlanPort::VlanPort(hal::EthernetPort& device, hal::FramePool& frames, uint16_t vlan)
    : device_(device), frames_(&frames), vlan_(vlan) {
  GH_ASSERT(vlan >= 1 && vlan <= kVlanMax);
}

void VlanPort::SetFrames(hal::FramePool& frames) {
  frames_ = &frames;
  device_.SetFrames(frames);
}

uint32_t VlanPort::Receive(std::span<hal::Frame*> out) {
  uint32_t kept = 0;
  for (uint32_t batch = 0; batch < kForeignBatchMax && kept == 0; ++batch) {
    const uint32_t count = device_.Receive(out);
    for (uint32_t i = 0; i < count; ++i) {
      uint16_t control = 0;
      if (PopVlanTag(*out[i], &control) && (control & 0xfff) == vlan_) {
        out[kept++] = out[i];
      } else {
        frames_->Release(out[i]);
      }
    }
    if (count == 0) {
      break;
    }
  }
  return kept;
}

void VlanPort::Transmit(std::span<hal::Frame* const> frames) {
  for (hal::Frame* frame : frames) {
    const uint32_t priority = VlanPriorityOf(*frame);
    PushVlanTag(*frame, static_cast<uint16_t>(priority << kPriorityShift | vlan_));
  }
  device_.Transmit(frames);
}

}  // namespace gh::net
