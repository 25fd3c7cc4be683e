#include "board/pc/virtio_pci.h"

#include <algorithm>
#include <bit>

#include "board/pc/apic.h"
#include "board/pc/cpu.h"

namespace gh::pc {
namespace {

// Common configuration (virtio 1.2, 4.1.4.3).
constexpr uint32_t kFeatureSelect = 0x00;
constexpr uint32_t kFeature = 0x04;
constexpr uint32_t kDriverFeatureSelect = 0x08;
constexpr uint32_t kDriverFeature = 0x0c;
constexpr uint32_t kConfigVector = 0x10;
constexpr uint32_t kQueueCount = 0x12;
constexpr uint32_t kStatus = 0x14;
constexpr uint32_t kGeneration = 0x15;
constexpr uint32_t kQueueSelect = 0x16;
constexpr uint32_t kQueueSize = 0x18;
constexpr uint32_t kQueueVector = 0x1a;
constexpr uint32_t kQueueEnable = 0x1c;
constexpr uint32_t kQueueNotifyOffset = 0x1e;
constexpr uint32_t kQueueDescriptors = 0x20;
constexpr uint32_t kQueueAvailable = 0x28;
constexpr uint32_t kQueueUsed = 0x30;
constexpr uint32_t kCommonSize = 0x38;

constexpr uint8_t kAcknowledge = 1;
constexpr uint8_t kDriver = 2;
constexpr uint8_t kDriverOk = 4;
constexpr uint8_t kFeaturesOk = 8;
constexpr uint8_t kNeedsReset = 64;
constexpr uint8_t kFailed = 128;

constexpr uint8_t kCapabilityCommon = 1;
constexpr uint8_t kCapabilityNotify = 2;
constexpr uint8_t kCapabilityDevice = 4;

constexpr uint16_t kQueueEntry = 0;  // MSI-X entries
constexpr uint16_t kConfigEntry = 1;
constexpr uint32_t kResetSpins = 100'000;

}  // namespace

uint16_t VirtioType(const PciDevice& device) {
  if (device.vendor_id != kVirtioVendor) {
    return 0;
  }
  if (device.device_id >= 0x1040 && device.device_id <= 0x107f) {
    return static_cast<uint16_t>(device.device_id - 0x1040);
  }
  // A transitional device also speaks the modern protocol; its type is the subsystem id.
  const bool is_transitional = device.device_id >= 0x1000 && device.device_id <= 0x103f;
  return is_transitional ? device.subsystem_id : 0;
}

Result<void> VirtioPci::FindWindows(PageTables& pages, const Pci& pci, PciAddress address) {
  uint16_t at = 0;
  for (uint32_t i = 0; i < kPciCapabilityMax; ++i) {
    at = pci.FindCapability(address, kPciCapabilityVendor, at);
    if (at == 0) {
      break;
    }
    const auto field = [at](uint32_t offset) { return static_cast<uint16_t>(at + offset); };
    const uint8_t type = pci.Read8(address, field(3));
    Mmio* window = type == kCapabilityCommon   ? &common_
                   : type == kCapabilityNotify ? &notify_
                   : type == kCapabilityDevice ? &config_
                                               : nullptr;
    if (window == nullptr || window->valid()) {
      continue;  // not ours, or a second choice: the first one is the device's preference
    }
    const Result<Mmio> bar = pci.MapBar(pages, address, pci.Read8(address, field(4)));
    if (!bar.ok()) {
      continue;
    }
    const uint64_t offset = pci.Read32(address, field(8));
    const uint64_t size = pci.Read32(address, field(12));
    if (offset > bar->size() || bar->size() - offset < size || size == 0) {
      return Error(ErrorCode::kMalformed, "virtio window lies outside its BAR");
    }
    *window = Mmio(bar->address() + offset, size);
    if (type == kCapabilityNotify) {
      notify_multiplier_ = pci.Read32(address, field(16));
    }
  }
  if (!common_.valid() || common_.size() < kCommonSize || !notify_.valid()) {
    return Error(ErrorCode::kUnsupported, "not a virtio 1.x device");
  }
  return Ok();
}

void VirtioPci::Reset() {
  common_.Write8(kStatus, 0);
  for (uint32_t i = 0; i < kResetSpins && common_.Read8(kStatus) != 0; ++i) {
    Pause();
  }
}

Result<void> VirtioPci::Negotiate(uint64_t wanted) {
  Reset();
  if (common_.Read8(kStatus) != 0) {
    return Error(ErrorCode::kTimeout, "virtio device does not reset");
  }
  common_.Write8(kStatus, kAcknowledge);
  common_.Write8(kStatus, kAcknowledge | kDriver);
  common_.Write32(kFeatureSelect, 0);
  uint64_t offered = common_.Read32(kFeature);
  common_.Write32(kFeatureSelect, 1);
  offered |= static_cast<uint64_t>(common_.Read32(kFeature)) << 32;
  features_ = offered & (wanted | kVirtioVersion1 | kVirtioEventIndex);
  if (!has(kVirtioVersion1)) {
    common_.Write8(kStatus, kFailed);
    return Error(ErrorCode::kUnsupported, "device does not offer virtio 1");
  }
  common_.Write32(kDriverFeatureSelect, 0);
  common_.Write32(kDriverFeature, static_cast<uint32_t>(features_));
  common_.Write32(kDriverFeatureSelect, 1);
  common_.Write32(kDriverFeature, static_cast<uint32_t>(features_ >> 32));
  common_.Write8(kStatus, kAcknowledge | kDriver | kFeaturesOk);
  if ((common_.Read8(kStatus) & kFeaturesOk) == 0) {
    common_.Write8(kStatus, kFailed);
    return Error(ErrorCode::kUnsupported, "device refuses the features we need");
  }
  return Ok();
}

Result<void> VirtioPci::Initialise(PageTables& pages, const Pci& pci, const PciDevice& device,
                                   uint64_t wanted, uint8_t queue_vector, uint8_t config_vector) {
  queue_vector_ = queue_vector;
  config_vector_ = config_vector;
  GH_TRY(FindWindows(pages, pci, device.address));
  pci.Enable(device.address);
  GH_TRY(Negotiate(wanted));
  GH_TRY(msi_x_.Initialise(pages, pci, device.address));
  const uint64_t address = LocalApic::MessageAddress();
  msi_x_.Route(kQueueEntry, address, LocalApic::MessageData(queue_vector));
  uint16_t config_entry = kQueueEntry;
  if (msi_x_.entry_count() > kConfigEntry) {
    config_entry = kConfigEntry;
    msi_x_.Route(kConfigEntry, address, LocalApic::MessageData(config_vector));
  }
  common_.Write16(kConfigVector, config_entry);
  return Ok();
}

void VirtioPci::RouteTo(uint32_t apic_id) {
  const uint64_t address = LocalApic::MessageAddressOf(apic_id);
  msi_x_.Route(kQueueEntry, address, LocalApic::MessageData(queue_vector_));
  if (msi_x_.entry_count() > kConfigEntry) {
    msi_x_.Route(kConfigEntry, address, LocalApic::MessageData(config_vector_));
  }
}

uint16_t VirtioPci::queue_count() const { return common_.Read16(kQueueCount); }

Result<void> VirtioPci::InitialiseQueue(Arena& arena, uint16_t index, uint16_t size_max,
                                        Virtqueue& queue) {
  common_.Write16(kQueueSelect, index);
  const uint16_t offered = common_.Read16(kQueueSize);
  if (offered == 0 || index >= queue_count()) {
    return Error(ErrorCode::kNoDevice, "device lacks a queue");
  }
  const uint16_t size = std::bit_floor(std::min(offered, size_max));
  queue.Initialise(arena, index, size, has(kVirtioEventIndex));
  common_.Write16(kQueueSize, size);
  common_.Write64(kQueueDescriptors, queue.descriptor_address());
  common_.Write64(kQueueAvailable, queue.available_address());
  common_.Write64(kQueueUsed, queue.used_address());
  common_.Write16(kQueueVector, kQueueEntry);
  if (common_.Read16(kQueueVector) != kQueueEntry) {
    return Error(ErrorCode::kExhausted, "device has no interrupt for its queue");
  }
  const uint64_t doorbell =
      static_cast<uint64_t>(common_.Read16(kQueueNotifyOffset)) * notify_multiplier_;
  if (notify_.size() < 2 || doorbell > notify_.size() - 2) {
    return Error(ErrorCode::kMalformed, "doorbell lies outside its window");
  }
  queue.SetDoorbell(Mmio(notify_.address() + doorbell, 2));
  common_.Write16(kQueueEnable, 1);
  return Ok();
}

void VirtioPci::Start() {
  common_.Write8(kStatus, kAcknowledge | kDriver | kFeaturesOk | kDriverOk);
}

bool VirtioPci::needs_reset() const { return (common_.Read8(kStatus) & kNeedsReset) != 0; }

uint8_t VirtioPci::Config8(uint32_t offset) const {
  return offset + 1 <= config_.size() ? config_.Read8(offset) : 0;
}

uint16_t VirtioPci::Config16(uint32_t offset) const {
  return offset + 2 <= config_.size() ? config_.Read16(offset) : 0;
}

uint32_t VirtioPci::Config32(uint32_t offset) const {
  return offset + 4 <= config_.size() ? config_.Read32(offset) : 0;
}

uint64_t VirtioPci::Config64(uint32_t offset) const {
  for (uint32_t i = 0; i < 16; ++i) {
    const uint8_t before = common_.Read8(kGeneration);
    const uint64_t value = Config32(offset) | static_cast<uint64_t>(Config32(offset + 4)) << 32;
    if (common_.Read8(kGeneration) == before) {
      return value;
    }
  }
  return 0;
}

}  // namespace gh::pc
