#include "boot/uefi/watchdog.h"

#include <algorithm>

#include "boot/limits.h"
#include "boot/uefi/cpu.h"

namespace gh::boot {

namespace {

constexpr uint16_t kAddressPort = 0xcf8;
constexpr uint16_t kDataPort = 0xcfc;
constexpr uint32_t kIdentity = 0x25ab8086;
constexpr uint32_t kDeviceCount = 32;
constexpr uint8_t kCommand = 0x04;
constexpr uint32_t kMemoryEnable = 1 << 1;
constexpr uint8_t kBar0 = 0x10;
constexpr uint8_t kConfig = 0x60;
constexpr uint8_t kLock = 0x68;
constexpr uint8_t kLockEnable = 1 << 1;
constexpr uint16_t kConfigReset = 0x0003;  // interrupt off, clock 1 kHz, reset output on

// Registers behind BAR 0.
constexpr uint32_t kTimer1 = 0x00;
constexpr uint32_t kTimer2 = 0x04;
constexpr uint32_t kReload = 0x0c;
constexpr uint16_t kReloadNow = 1 << 8;

// Two timers in a row get half each; a second is 2 * 512 ticks of the divided PCI clock.
constexpr uint32_t kTicksPerSecond = 512;
constexpr uint32_t kTicksMax = (1 << 20) - 1;
static_assert(kWatchdogSecondsMax * kTicksPerSecond <= kTicksMax);

void SelectConfig(uint32_t device, uint32_t function, uint8_t offset) {
  Out32(kAddressPort, 1u << 31 | device << 11 | function << 8 | offset);
}

uint32_t ReadConfig(uint32_t device, uint32_t function, uint8_t offset) {
  SelectConfig(device, function, offset);
  return In32(kDataPort);
}

void WriteConfig(uint32_t device, uint32_t function, uint8_t offset, uint32_t value) {
  SelectConfig(device, function, offset);
  Out32(kDataPort, value);
}

void Unlock(uint64_t base) {
  *reinterpret_cast<volatile uint16_t*>(base + kReload) = 0x80;
  *reinterpret_cast<volatile uint16_t*>(base + kReload) = 0x86;
}

void Start(uint32_t device, uint32_t function, uint32_t ticks) {
  WriteConfig(device, function, kCommand, ReadConfig(device, function, kCommand) | kMemoryEnable);
  const uint64_t base = ReadConfig(device, function, kBar0) & ~uint32_t{15};
  // These two registers want accesses of just their size.
  SelectConfig(device, function, kLock);
  Out8(kDataPort, 0);
  SelectConfig(device, function, kConfig);
  Out16(kDataPort, kConfigReset);
  Unlock(base);
  *reinterpret_cast<volatile uint32_t*>(base + kTimer1) = ticks;
  Unlock(base);
  *reinterpret_cast<volatile uint32_t*>(base + kTimer2) = ticks;
  Unlock(base);
  *reinterpret_cast<volatile uint16_t*>(base + kReload) = kReloadNow;
  SelectConfig(device, function, kLock);
  Out8(kDataPort, kLockEnable);
}

}  // namespace

bool ArmWatchdog(uint32_t seconds) {
  for (uint32_t device = 0; seconds != 0 && device < kDeviceCount; ++device) {
    for (const uint32_t function : {0u, 4u}) {  // 4: where the real chip has it
      if (ReadConfig(device, function, 0) == kIdentity &&
          (ReadConfig(device, function, kBar0) & ~uint32_t{15}) != 0) {
        Start(device, function, std::min(seconds, kWatchdogSecondsMax) * kTicksPerSecond);
        return true;
      }
    }
  }
  return false;
}

}  // namespace gh::boot
