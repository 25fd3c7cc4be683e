#include "board/pc/pci.h"

#include "board/pc/cpu.h"

namespace gh::pc {
namespace {

constexpr uint16_t kVendor = 0x00;
constexpr uint16_t kDeviceId = 0x02;
constexpr uint16_t kCommand = 0x04;
constexpr uint16_t kStatus = 0x06;
constexpr uint16_t kSubclass = 0x0a;
constexpr uint16_t kClass = 0x0b;
constexpr uint16_t kHeaderType = 0x0e;
constexpr uint16_t kBar0 = 0x10;
constexpr uint16_t kSecondaryBus = 0x19;
constexpr uint16_t kSubsystemId = 0x2e;
constexpr uint16_t kCapabilities = 0x34;

constexpr uint16_t kCommandMemory = 1 << 1;
constexpr uint16_t kCommandBusMaster = 1 << 2;
constexpr uint16_t kCommandNoLine = 1 << 10;
constexpr uint16_t kStatusCapabilities = 1 << 4;
constexpr uint64_t kEcamBusSize = 1u << 20;
constexpr uint32_t kBarMax = 6;

constexpr uint16_t kMsiXEnable = 1 << 15;
constexpr uint16_t kMsiXMaskAll = 1 << 14;
constexpr uint32_t kMsiXEntrySize = 16;

uint32_t PortAddress(PciAddress a, uint16_t offset) {
  return 0x80000000u | static_cast<uint32_t>(a.bus) << 16 | static_cast<uint32_t>(a.device) << 11 |
         static_cast<uint32_t>(a.function) << 8 | (offset & 0xfcu);
}

}  // namespace

// The offset within the ECAM window.
uint32_t Pci::Access(PciAddress a, uint16_t offset) const {
  GH_ASSERT(a.device < 32 && a.function < 8 && offset < 4096);
  GH_ASSERT(a.bus >= first_bus_ && a.bus <= last_bus_);
  return static_cast<uint32_t>(a.bus - first_bus_) << 20 | static_cast<uint32_t>(a.device) << 15 |
         static_cast<uint32_t>(a.function) << 12 | offset;
}

uint32_t Pci::Read32(PciAddress address, uint16_t offset) const {
  GH_ASSERT_EQ(offset % 4, 0);
  if (ecam_.valid()) {
    return ecam_.Read32(Access(address, offset));
  }
  Out32(0xcf8, PortAddress(address, offset));
  return In32(0xcfc);
}

uint16_t Pci::Read16(PciAddress address, uint16_t offset) const {
  GH_ASSERT_EQ(offset % 2, 0);
  const uint32_t word = Read32(address, offset & 0xfffc);
  return static_cast<uint16_t>(word >> (offset & 2) * 8);
}

uint8_t Pci::Read8(PciAddress address, uint16_t offset) const {
  const uint32_t word = Read32(address, offset & 0xfffc);
  return static_cast<uint8_t>(word >> (offset & 3) * 8);
}

void Pci::Write32(PciAddress address, uint16_t offset, uint32_t value) const {
  GH_ASSERT_EQ(offset % 4, 0);
  if (ecam_.valid()) {
    ecam_.Write32(Access(address, offset), value);
    return;
  }
  Out32(0xcf8, PortAddress(address, offset));
  Out32(0xcfc, value);
}

void Pci::Write16(PciAddress address, uint16_t offset, uint16_t value) const {
  GH_ASSERT_EQ(offset % 2, 0);
  if (ecam_.valid()) {
    ecam_.Write16(Access(address, offset), value);
    return;
  }
  Out32(0xcf8, PortAddress(address, offset));
  Out16(static_cast<uint16_t>(0xcfc + (offset & 2)), value);
}

void Pci::Write8(PciAddress address, uint16_t offset, uint8_t value) const {
  if (ecam_.valid()) {
    ecam_.Write8(Access(address, offset), value);
    return;
  }
  Out32(0xcf8, PortAddress(address, offset));
  Out8(static_cast<uint16_t>(0xcfc + (offset & 3)), value);
}

void Pci::Initialise(PageTables& pages, const McfgInfo& mcfg) {
  if (mcfg.present) {
    const uint64_t size =
        (static_cast<uint64_t>(mcfg.last_bus) - mcfg.first_bus + 1) * kEcamBusSize;
    const Result<Mmio> window = pages.MapMmio(mcfg.address + mcfg.first_bus * kEcamBusSize, size);
    if (window.ok()) {
      ecam_ = *window;
      first_bus_ = mcfg.first_bus;
      last_bus_ = mcfg.last_bus;
    }
  }
  QueueBus(first_bus_);
  for (uint32_t i = 0; i < bus_count_; ++i) {
    ScanBus(bus_queue_[i]);
  }
}

// Each bus once, however bridges point at each other.
void Pci::QueueBus(uint8_t bus) {
  if (bus < first_bus_ || bus > last_bus_) {
    return;
  }
  for (uint32_t i = 0; i < bus_count_; ++i) {
    if (bus_queue_[i] == bus) {
      return;
    }
  }
  GH_ASSERT_LT(bus_count_, kPciBusMax);
  bus_queue_[bus_count_++] = bus;
}

void Pci::ScanBus(uint8_t bus) {
  for (uint8_t device = 0; device < 32; ++device) {
    const PciAddress first = {bus, device, 0};
    if (Read16(first, kVendor) == 0xffff) {
      continue;
    }
    const bool is_multi = (Read8(first, kHeaderType) & 0x80) != 0;
    const uint8_t count = is_multi ? 8 : 1;
    for (uint8_t function = 0; function < count; ++function) {
      AddFunction({bus, device, function});
    }
  }
}

void Pci::AddFunction(PciAddress address) {
  const uint16_t vendor = Read16(address, kVendor);
  if (vendor == 0xffff || device_count_ == kPciDeviceMax) {
    return;
  }
  const bool is_bridge = (Read8(address, kHeaderType) & 0x7f) == 1;
  PciDevice& device = devices_[device_count_++];
  device.address = address;
  device.vendor_id = vendor;
  device.device_id = Read16(address, kDeviceId);
  device.class_code = Read8(address, kClass);
  device.subclass = Read8(address, kSubclass);
  device.subsystem_id = is_bridge ? 0 : Read16(address, kSubsystemId);
  if (is_bridge) {
    QueueBus(Read8(address, kSecondaryBus));
  }
}

uint16_t Pci::FindCapability(PciAddress address, uint8_t id, uint16_t previous) const {
  if ((Read16(address, kStatus) & kStatusCapabilities) == 0) {
    return 0;
  }
  uint8_t at = previous == 0 ? Read8(address, kCapabilities)
                             : Read8(address, static_cast<uint16_t>(previous + 1));
  for (uint32_t i = 0; i < kPciCapabilityMax; ++i) {
    at &= 0xfc;
    if (at < 0x40) {
      return 0;
    }
    if (Read8(address, at) == id) {
      return at;
    }
    at = Read8(address, static_cast<uint16_t>(at + 1));
  }
  return 0;
}

Result<Mmio> Pci::MapBar(PageTables& pages, PciAddress address, uint32_t bar) const {
  if (bar >= kBarMax) {
    return Error(ErrorCode::kNoDevice, "no such BAR");
  }
  const auto offset = static_cast<uint16_t>(kBar0 + 4 * bar);
  const uint32_t low = Read32(address, offset);
  if ((low & 1) != 0) {
    return Error(ErrorCode::kUnsupported, "I/O BAR");
  }
  const bool is_64_bit = (low >> 1 & 3) == 2;
  if (is_64_bit && bar + 1 == kBarMax) {
    return Error(ErrorCode::kMalformed, "64-bit BAR without its upper half");
  }
  const auto upper = static_cast<uint16_t>(offset + 4);
  uint64_t base = low & ~0xfu;
  // Size: write ones with decoding off, read what sticks, put the address back.
  const uint16_t command = Read16(address, kCommand);
  Write16(address, kCommand, command & static_cast<uint16_t>(~kCommandMemory));
  Write32(address, offset, UINT32_MAX);
  uint64_t mask = 0xffffffff00000000 | (Read32(address, offset) & ~0xfu);
  Write32(address, offset, low);
  if (is_64_bit) {
    const uint32_t high = Read32(address, upper);
    base |= static_cast<uint64_t>(high) << 32;
    Write32(address, upper, UINT32_MAX);
    mask = (mask & 0xffffffff) | static_cast<uint64_t>(Read32(address, upper)) << 32;
    Write32(address, upper, high);
  }
  Write16(address, kCommand, command);
  if ((mask & 0xffffffff) == 0 && !is_64_bit) {
    return Error(ErrorCode::kNoDevice, "BAR is not there");
  }
  const uint64_t size = ~mask + 1;
  if (base == 0 || mask == 0) {
    return Error(ErrorCode::kNoDevice, "BAR has no address");
  }
  return pages.MapMmio(base, size);
}

void Pci::Enable(PciAddress address) const {
  const uint16_t command = Read16(address, kCommand);
  Write16(address, kCommand, command | kCommandMemory | kCommandBusMaster | kCommandNoLine);
}

void Pci::DisableBusMaster(PciAddress address) const {
  const uint16_t command = Read16(address, kCommand);
  Write16(address, kCommand, command & static_cast<uint16_t>(~kCommandBusMaster));
}

Result<void> MsiX::Initialise(PageTables& pages, const Pci& pci, PciAddress address) {
  const uint16_t capability = pci.FindCapability(address, kPciCapabilityMsiX);
  if (capability == 0) {
    return Error(ErrorCode::kUnsupported, "device has no MSI-X");
  }
  const auto control_offset = static_cast<uint16_t>(capability + 2);
  const uint16_t control = pci.Read16(address, control_offset);
  const uint32_t place = pci.Read32(address, static_cast<uint16_t>(capability + 4));
  GH_TRY_ASSIGN(const Mmio bar, pci.MapBar(pages, address, place & 7));
  const uint64_t offset = place & ~7u;
  entry_count_ = static_cast<uint16_t>((control & 0x7ff) + 1);
  const uint64_t size = static_cast<uint64_t>(entry_count_) * kMsiXEntrySize;
  if (offset > bar.size() || bar.size() - offset < size) {
    return Error(ErrorCode::kMalformed, "MSI-X table lies outside its BAR");
  }
  table_ = Mmio(bar.address() + offset, size);
  pci.Write16(address, control_offset, control | kMsiXEnable | kMsiXMaskAll);
  for (uint32_t entry = 0; entry < entry_count_; ++entry) {
    table_.Write32(entry * kMsiXEntrySize + 12, 1);
  }
  pci.Write16(address, control_offset,
              (control | kMsiXEnable) & static_cast<uint16_t>(~kMsiXMaskAll));
  return Ok();
}

void MsiX::Route(uint16_t entry, uint64_t message_address, uint32_t message_data) const {
  GH_ASSERT_LT(entry, entry_count_);
  const uint64_t at = static_cast<uint64_t>(entry) * kMsiXEntrySize;
  table_.Write32(at, static_cast<uint32_t>(message_address));
  table_.Write32(at + 4, static_cast<uint32_t>(message_address >> 32));
  table_.Write32(at + 8, message_data);
  table_.Write32(at + 12, 0);
}

}  // namespace gh::pc
