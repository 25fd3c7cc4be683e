// PCI: configuration space (ECAM, else ports CF8/CFC), enumeration through bridges, BARs, MSI-X.
//
// The firmware has assigned bus numbers and BARs; we use what it set and refuse devices it left
// unassigned. Only functions that a driver asks for are touched.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "board/pc/acpi.h"
#include "board/pc/limits.h"
#include "board/pc/mmio.h"
#include "board/pc/paging.h"
#include "hal/rt/result.h"

namespace gh::pc {

struct PciAddress {
  uint8_t bus = 0;
  uint8_t device = 0;
  uint8_t function = 0;
};

struct PciDevice {
  PciAddress address;
  uint16_t vendor_id = 0;
  uint16_t device_id = 0;
  uint16_t subsystem_id = 0;
  uint8_t class_code = 0;
  uint8_t subclass = 0;
};

inline constexpr uint8_t kPciCapabilityVendor = 0x09;
inline constexpr uint8_t kPciCapabilityMsiX = 0x11;

class Pci {
 public:
  Pci() = default;
  Pci(const Pci&) = delete;
  Pci& operator=(const Pci&) = delete;

  // Finds all functions reachable from bus 0 (or the window's first bus).
  void Initialise(PageTables& pages, const McfgInfo& mcfg);
  std::span<const PciDevice> devices() const { return {devices_.data(), device_count_}; }
  const char* access_name() const { return ecam_.valid() ? "ecam" : "ports"; }

  uint8_t Read8(PciAddress address, uint16_t offset) const;
  uint16_t Read16(PciAddress address, uint16_t offset) const;
  uint32_t Read32(PciAddress address, uint16_t offset) const;
  void Write8(PciAddress address, uint16_t offset, uint8_t value) const;
  void Write16(PciAddress address, uint16_t offset, uint16_t value) const;
  void Write32(PciAddress address, uint16_t offset, uint32_t value) const;

  // Offset of the next capability with `id` after `previous` (0: the first); 0 when there is none.
  uint16_t FindCapability(PciAddress address, uint8_t id, uint16_t previous = 0) const;
  // Maps a memory BAR. kUnsupported: an I/O BAR. kNoDevice: absent or unassigned.
  Result<Mmio> MapBar(PageTables& pages, PciAddress address, uint32_t bar) const;
  // Memory decoding and bus mastering on, legacy interrupt line off.
  void Enable(PciAddress address) const;
  void DisableBusMaster(PciAddress address) const;

 private:
  uint32_t Access(PciAddress address, uint16_t offset) const;
  void ScanBus(uint8_t bus);
  void AddFunction(PciAddress address);
  void QueueBus(uint8_t bus);

  Mmio ecam_;
  uint8_t first_bus_ = 0;
  uint8_t last_bus_ = 255;
  uint32_t device_count_ = 0;
  std::array<PciDevice, kPciDeviceMax> devices_ = {};
  std::array<uint8_t, kPciBusMax> bus_queue_ = {};
  uint32_t bus_count_ = 0;
};

// The MSI-X table of one function.
class MsiX {
 public:
  // Maps the table, masks every entry and turns MSI-X on.
  Result<void> Initialise(PageTables& pages, const Pci& pci, PciAddress address);
  uint16_t entry_count() const { return entry_count_; }
  void Route(uint16_t entry, uint64_t message_address, uint32_t message_data) const;

 private:
  Mmio table_;
  uint16_t entry_count_ = 0;
};

}  // namespace gh::pc
