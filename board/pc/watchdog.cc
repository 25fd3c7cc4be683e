#include "board/pc/watchdog.h"

#include <algorithm>

namespace gh::pc {
namespace {

constexpr uint16_t kIntel = 0x8086;
constexpr uint16_t kDevice6300Esb = 0x25ab;

constexpr uint16_t kConfig = 0x60;  // PCI configuration space
constexpr uint16_t kLock = 0x68;
constexpr uint8_t kLockEnable = 1 << 1;
// Interrupt off, clock 1 kHz, reset output on.
constexpr uint16_t kConfigReset = 0x0003;

constexpr uint32_t kTimer1 = 0x00;
constexpr uint32_t kTimer2 = 0x04;
constexpr uint32_t kReload = 0x0c;
constexpr uint16_t kReloadNow = 1 << 8;
constexpr uint16_t kTimedOut = 1 << 9;

// Each of the two timers gets half: a second is 2 * 512 ticks of the divided PCI clock.
constexpr int64_t kTicksPerSecond = 512;
constexpr int64_t kTicksMax = (1 << 20) - 1;

constexpr int64_t kReloadsPerTimeout = 32;

}  // namespace

void PcWatchdog::Initialise(PageTables& pages, const Pci& pci) {
  for (const PciDevice& device : pci.devices()) {
    if (device.vendor_id != kIntel || device.device_id != kDevice6300Esb) {
      continue;
    }
    const Result<Mmio> window = pci.MapBar(pages, device.address, 0);
    if (!window.ok() || window->size() < 16) {
      return;
    }
    pci.Enable(device.address);
    pci.DisableBusMaster(device.address);
    registers_ = *window;
    address_ = device.address;
    pci_ = &pci;
    // One that the loader armed runs on: a start that hangs before Arm() ends too.
    if ((pci.Read8(address_, kLock) & kLockEnable) == 0) {
      Disarm();
    }
    fired_before_ = (registers_.Read16(kReload) & kTimedOut) != 0;
    Unlock();
    registers_.Write16(kReload, kTimedOut | kReloadNow);  // clears the flag
    pci.Write16(address_, kConfig, kConfigReset);
    return;
  }
}

// The next register write is accepted only after this.
void PcWatchdog::Unlock() const {
  registers_.Write16(kReload, 0x80);
  registers_.Write16(kReload, 0x86);
}

void PcWatchdog::Arm(Duration timeout) {
  // The loop's own limit: three quarters of it, so that the record is written before the reset.
  idle_.SetPetLimit(timeout / 4 * 3);
  if (!present()) {
    return;
  }
  reload_interval_ = timeout / kReloadsPerTimeout;
  const int64_t ticks =
      std::clamp<int64_t>(timeout.milliseconds() * kTicksPerSecond / 1000, 1, kTicksMax);
  pci_->Write8(address_, kLock, 0);
  Unlock();
  registers_.Write32(kTimer1, static_cast<uint32_t>(ticks));
  Unlock();
  registers_.Write32(kTimer2, static_cast<uint32_t>(ticks));
  idle_.NotePet();
  Reload();
  pci_->Write8(address_, kLock, kLockEnable);
}

void PcWatchdog::Pet() {
  idle_.NotePet();
  if (present() && clock_.Now() - reloaded_ >= reload_interval_) {
    Reload();
  }
}

void PcWatchdog::Reload() {
  reloaded_ = clock_.Now();
  Unlock();
  registers_.Write16(kReload, kReloadNow);
}

void PcWatchdog::Disarm() {
  idle_.SetPetLimit(Duration{});
  if (!present()) {
    return;
  }
  pci_->Write8(address_, kLock, 0);
  Reload();
}

}  // namespace gh::pc
