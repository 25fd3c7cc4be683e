#include "boot/uefi/services.h"

#include <algorithm>
#include <cstring>

#include "boot/limits.h"
#include "boot/place.h"
#include "boot/uefi/cpu.h"
#include "boot/uefi/panic.h"

namespace gh::boot {

Result<std::span<uint8_t>> Services::AllocatePages(uint64_t size, efi::MemoryType type) {
  const uint64_t pages = (size + kPageSize - 1) / kPageSize;
  uint64_t address = 0;
  if (efi::Failed(boot_.allocate_pages(efi::kAnyPages, type, pages, &address))) {
    return Error(ErrorCode::kExhausted, "not enough memory");
  }
  return std::span<uint8_t>(reinterpret_cast<uint8_t*>(address), pages * kPageSize);
}

Result<std::span<uint8_t>> Services::AllocateAnywhere(uint64_t size, efi::MemoryType type,
                                                      std::span<uint8_t> map_buffer) {
  const uint64_t whole = (size + kPageSize - 1) / kPageSize * kPageSize;
  uint64_t map_size = map_buffer.size();
  uint64_t key = 0;
  uint64_t step = 0;
  uint32_t version = 0;
  const bool has_map =
      !efi::Failed(boot_.get_memory_map(&map_size, map_buffer.data(), &key, &step, &version));
  for (uint32_t i = 0; has_map && i < kPlaceAttemptMax; ++i) {
    const uint64_t place = ChoosePlace({map_buffer.first(map_size), step}, whole, Random64());
    uint64_t address = place;
    if (place != 0 &&
        !efi::Failed(boot_.allocate_pages(efi::kAddress, type, whole / kPageSize, &address))) {
      return std::span<uint8_t>(reinterpret_cast<uint8_t*>(place), whole);
    }
  }
  return AllocatePages(size, type);
}

bool Services::FillRandom(std::span<uint8_t> out) {
  void* rng = nullptr;
  return !efi::Failed(boot_.locate_protocol(&efi::kRngProtocol, nullptr, &rng)) &&
         !efi::Failed(static_cast<efi::Rng*>(rng)->get_rng(static_cast<efi::Rng*>(rng), nullptr,
                                                           out.size(), out.data()));
}

// The firmware's generator and the processor's, whichever there are, over the time stamp counter.
uint64_t Services::Random64() {
  uint64_t random = 0;
  if (!FillRandom({reinterpret_cast<uint8_t*>(&random), sizeof(random)})) {
    random = 0;
  }
  return (random ^ ReadRdrandIfAny() ^ ReadTsc()) * 0x9e3779b97f4a7c15 >> 8;
}

void Services::FreePages(std::span<uint8_t> pages) {
  (void)boot_.free_pages(reinterpret_cast<uint64_t>(pages.data()), pages.size() / kPageSize);
}

bool Services::ReserveAt(uint64_t address, uint64_t size) {
  uint64_t wanted = address;
  return !efi::Failed(
      boot_.allocate_pages(efi::kAddress, efi::kLoaderData, size / kPageSize, &wanted));
}

uint64_t Services::MeasureTscPerMs() {
  constexpr uint64_t kStallUs = 2000;
  const uint64_t start = ReadTsc();
  (void)boot_.stall(kStallUs);
  return std::max<uint64_t>((ReadTsc() - start) * 1000 / kStallUs, 1);
}

void Services::DisableWatchdog() { (void)boot_.set_watchdog_timer(0, 0, 0, nullptr); }

void Services::ResetMachine(efi::ResetType type) {
  system_.runtime->reset_system(type, efi::kSuccess, 0, nullptr);
  StopForGood();
}

uint64_t Services::FindRsdp() const {
  uint64_t rsdp = 0;
  for (uint64_t i = 0; i < system_.table_count; ++i) {
    const efi::ConfigurationTable& entry = system_.tables[i];
    if (std::memcmp(&entry.vendor, &efi::kAcpi20Table, sizeof(efi::Guid)) == 0) {
      return reinterpret_cast<uint64_t>(entry.table);
    }
    if (std::memcmp(&entry.vendor, &efi::kAcpi10Table, sizeof(efi::Guid)) == 0) {
      rsdp = reinterpret_cast<uint64_t>(entry.table);
    }
  }
  return rsdp;
}

bool Services::IsSecureBoot() const {
  uint8_t value = 0;
  uint64_t size = sizeof(value);
  return !efi::Failed(system_.runtime->get_variable(u"SecureBoot", &efi::kGlobalVariable, nullptr,
                                                    &size, &value)) &&
         value == 1;
}

void Services::DescribeFirmware(Handover& handover) {
  handover.acpi_rsdp = FindRsdp();
  handover.flags |= IsSecureBoot() ? kHandoverSecureBoot : 0;
  handover.firmware_revision = system_.firmware_revision;
  const char16_t* vendor = system_.firmware_vendor;
  for (size_t i = 0;
       vendor != nullptr && i + 1 < sizeof(handover.firmware_vendor) && vendor[i] != 0; ++i) {
    const bool is_plain = vendor[i] >= 0x20 && vendor[i] < 0x7f;
    handover.firmware_vendor[i] = is_plain ? static_cast<char>(vendor[i]) : '?';
  }
  handover.seed_size = FillRandom(handover.seed) ? kBootSeedSize : 0;
}

Result<void> Services::Leave(std::span<uint8_t> map_buffer, std::span<const MemoryMark> marks,
                             Handover& handover) {
  for (uint32_t attempt = 0; attempt < kExitAttemptMax; ++attempt) {
    uint64_t size = map_buffer.size();
    uint64_t key = 0;
    uint64_t descriptor_size = 0;
    uint32_t descriptor_version = 0;
    if (efi::Failed(boot_.get_memory_map(&size, map_buffer.data(), &key, &descriptor_size,
                                         &descriptor_version))) {
      return Error(ErrorCode::kTooLarge, "the firmware's memory map does not fit");
    }
    // Nothing here allocates, so the key stays good until the firmware itself moves.
    GH_TRY(ConvertMemoryMap({map_buffer.first(size), descriptor_size}, marks, handover));
    if (!efi::Failed(boot_.exit_boot_services(image_, key))) {
      return Ok();
    }
  }
  return Error(ErrorCode::kIoError, "the firmware does not let go");
}

}  // namespace gh::boot
