// As much of ACPI as a machine without drivers for everything needs: tables found and checked, then
// FADT, MADT, MCFG, HPET, TPM2 and the \_S5 package of the DSDT.
//
// Pure: memory is read through a callback that refuses what is not there, so that tests and the
// fuzzer feed it anything. The tables are the firmware's and may be odd: every length is checked,
// a table whose checksum is wrong is ignored, counts are bounded by limits.h.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "board/pc/limits.h"
#include "hal/rt/result.h"

namespace gh::pc {

// Physical memory as the parser may see it: `size` bytes at `address`, or an empty span.
class PhysicalMemory {
 public:
  virtual std::span<const uint8_t> At(uint64_t address, uint64_t size) const = 0;

 protected:
  ~PhysicalMemory() = default;
};

// ACPI generic address structure.
struct AcpiAddress {
  enum class Space : uint8_t { kMemory = 0, kPort = 1, kPciConfig = 2, kNone = 0xff };
  Space space = Space::kNone;
  uint8_t bit_width = 0;
  uint64_t address = 0;
};

struct FadtInfo {
  bool present = false;
  bool has_reset = false;
  AcpiAddress reset;
  uint8_t reset_value = 0;
  uint16_t pm1a_control = 0;  // I/O ports; 0: none
  uint16_t pm1b_control = 0;
  uint16_t pm1a_event = 0;
  uint8_t pm1_event_size = 0;
  uint16_t pm_timer = 0;
  bool pm_timer_is_32_bit = false;
  uint16_t smi_command = 0;
  uint8_t acpi_enable = 0;
  uint8_t century_register = 0;  // CMOS index, 0: none
  bool has_s5 = false;
  uint8_t s5_type_a = 0;
  uint8_t s5_type_b = 0;
};

struct MadtIoApic {
  uint64_t address = 0;
  uint32_t first_line = 0;
};

struct MadtOverride {
  uint8_t isa_irq = 0;
  uint32_t line = 0;
  bool is_low = false;
  bool is_level = false;
};

struct MadtInfo {
  uint32_t cpu_count = 0;  // enabled processors; all but two stay parked
  std::array<uint32_t, kCpuMax> apic_ids = {};
  uint32_t io_apic_count = 0;
  std::array<MadtIoApic, kIoApicMax> io_apics = {};
  uint32_t override_count = 0;
  std::array<MadtOverride, 16> overrides = {};
};

// One PCI segment-0 window of MCFG.
struct McfgInfo {
  bool present = false;
  uint64_t address = 0;  // of bus 0, even when first_bus is not 0
  uint8_t first_bus = 0;
  uint8_t last_bus = 0;
};

struct HpetInfo {
  bool present = false;
  uint64_t address = 0;
};

struct TpmInfo {
  bool present = false;
  uint64_t control_area = 0;
  uint32_t start_method = 0;
};

struct AcpiInfo {
  FadtInfo fadt;
  MadtInfo madt;
  McfgInfo mcfg;
  HpetInfo hpet;
  TpmInfo tpm;
  uint32_t table_count = 0;    // valid tables seen
  uint32_t refused_count = 0;  // tables with a bad length or checksum
};

Result<void> ReadAcpi(const PhysicalMemory& memory, uint64_t rsdp, AcpiInfo& info);

}  // namespace gh::pc
