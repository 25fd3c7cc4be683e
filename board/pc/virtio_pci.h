// The virtio 1.x transport over PCI (virtio 1.2, 4.1): capabilities, feature negotiation, queues.
#pragma once

#include <cstdint>

#include "board/pc/pci.h"
#include "board/pc/virtqueue.h"
#include "hal/rt/arena.h"
#include "hal/rt/result.h"

namespace gh::pc {

inline constexpr uint16_t kVirtioVendor = 0x1af4;
inline constexpr uint16_t kVirtioNet = 1;
inline constexpr uint16_t kVirtioBlock = 2;
inline constexpr uint16_t kVirtioConsole = 3;
inline constexpr uint16_t kVirtioEntropy = 4;
// The virtio device type of a PCI function; 0: not a virtio device.
uint16_t VirtioType(const PciDevice& device);

inline constexpr uint64_t kVirtioEventIndex = 1ull << 29;
inline constexpr uint64_t kVirtioVersion1 = 1ull << 32;

class VirtioPci {
 public:
  VirtioPci() = default;
  VirtioPci(const VirtioPci&) = delete;
  VirtioPci& operator=(const VirtioPci&) = delete;

  // Resets the device and negotiates: of `wanted`, what it offers. Version 1 is a must.
  // All its interrupts go to `queue_vector`, changes of its configuration to `config_vector`.
  Result<void> Initialise(PageTables& pages, const Pci& pci, const PciDevice& device,
                          uint64_t wanted, uint8_t queue_vector, uint8_t config_vector);
  bool has(uint64_t feature) const { return (features_ & feature) == feature; }
  uint16_t queue_count() const;
  // Sets queue `index` up with at most `size_max` entries (what the device allows, if less).
  Result<void> InitialiseQueue(Arena& arena, uint16_t index, uint16_t size_max, Virtqueue& queue);
  // The device may work from here on.
  void Start();
  // Interrupts go to that processor from now on.
  void RouteTo(uint32_t apic_id);
  void Reset();
  bool needs_reset() const;

  // Device-specific configuration; bytes beyond its end read as zero.
  uint8_t Config8(uint32_t offset) const;
  uint16_t Config16(uint32_t offset) const;
  uint32_t Config32(uint32_t offset) const;
  uint64_t Config64(uint32_t offset) const;  // consistent: re-read when the device changed it

 private:
  Result<void> FindWindows(PageTables& pages, const Pci& pci, PciAddress address);
  Result<void> Negotiate(uint64_t wanted);

  Mmio common_;
  Mmio notify_;
  Mmio config_;
  uint32_t notify_multiplier_ = 0;
  uint64_t features_ = 0;
  uint8_t queue_vector_ = 0;
  uint8_t config_vector_ = 0;
  MsiX msi_x_;
};

}  // namespace gh::pc
