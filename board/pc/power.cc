#include "board/pc/power.h"

#include "board/pc/cpu.h"

namespace gh::pc {
namespace {

constinit FadtInfo power_control;

constexpr uint16_t kSleepEnable = 1 << 13;
constexpr uint16_t kSciEnable = 1 << 0;
constexpr uint32_t kSpinsShort = 100'000;

void Spin(uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    Pause();
  }
}

void ResetByAcpi() {
  const FadtInfo& fadt = power_control;
  if (!fadt.has_reset || fadt.reset.space != AcpiAddress::Space::kPort ||
      fadt.reset.address > UINT16_MAX) {
    return;
  }
  Out8(static_cast<uint16_t>(fadt.reset.address), fadt.reset_value);
  Spin(kSpinsShort);
}

// An empty IDT and an exception: the processor shuts down, which every chipset turns into a reset.
[[noreturn]] void ResetByTripleFault() {
  const struct [[gnu::packed]] {
    uint16_t limit;
    uint64_t base;
  } nothing = {0, 0};
  asm volatile("lidt %0; ud2" : : "m"(nothing) : "memory");
  HaltForever();
}

}  // namespace

void SetPowerControl(const FadtInfo& fadt) { power_control = fadt; }

void ResetMachine() {
  DisableInterrupts();
  ResetByAcpi();
  Out8(0xcf9, 0x02);  // chipset reset control: hard reset, then go
  Spin(kSpinsShort);
  Out8(0xcf9, 0x06);
  Spin(kSpinsShort);
  Out8(0x64, 0xfe);  // keyboard controller
  Spin(kSpinsShort);
  ResetByTripleFault();
}

void PowerOffMachine() {
  DisableInterrupts();
  const FadtInfo& fadt = power_control;
  if (fadt.has_s5 && fadt.pm1a_control != 0) {
    if (fadt.smi_command != 0 && fadt.acpi_enable != 0 &&
        (In16(fadt.pm1a_control) & kSciEnable) == 0) {
      Out8(fadt.smi_command, fadt.acpi_enable);
      for (uint32_t i = 0; i < kSpinsShort && (In16(fadt.pm1a_control) & kSciEnable) == 0; ++i) {
        Pause();
      }
    }
    const auto sleep = [](uint8_t type) {
      return static_cast<uint16_t>(type << 10 | kSleepEnable | kSciEnable);
    };
    Out16(fadt.pm1a_control, sleep(fadt.s5_type_a));
    if (fadt.pm1b_control != 0) {
      Out16(fadt.pm1b_control, sleep(fadt.s5_type_b));
    }
    Spin(kSpinsShort);
  }
  HaltForever();  // the machine has no way to switch itself off
}

}  // namespace gh::pc
