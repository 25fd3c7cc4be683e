// The local APIC (x2APIC where the processor has it, else its memory window), its timer, and the
// I/O APIC input of the serial port.
#pragma once

#include <cstdint>

#include "board/pc/acpi.h"
#include "board/pc/paging.h"
#include "hal/rt/result.h"

namespace gh::pc {

class LocalApic {
 public:
  // Enables the boot processor's APIC with all local interrupts masked.
  static Result<void> Initialise(PageTables& pages);
  // This processor's, when Initialise() has run on the first.
  static void Enable();
  static void EndOfInterrupt();
  static uint32_t id();

  // Where a device writes its MSI to reach `vector` on the boot processor.
  static uint64_t MessageAddress() { return MessageAddressOf(id()); }
  static uint64_t MessageAddressOf(uint32_t apic_id) {
    return 0xfee00000ull | static_cast<uint64_t>(apic_id & 0xff) << 12;
  }
  static uint32_t MessageData(uint8_t vector) { return vector; }

  // One-shot timer. `tsc_hz` is known by then; the divide clock is measured against it.
  static void InitialiseTimer(uint64_t tsc_hz);
  static void ArmTimer(uint64_t tsc_deadline);
  static const char* timer_name();
  // This processor's timer interrupts by `vector`; InitialiseTimer() has run on the first.
  static void UseTimer(uint8_t vector);

  // To another processor, one that messages and interrupts can name.
  static bool Reaches(uint32_t apic_id) { return apic_id < 0xff; }
  static void SendInterrupt(uint32_t apic_id, uint8_t vector);
  static void SendNmi(uint32_t apic_id);
  static void SendInit(uint32_t apic_id);
  static void SendStartup(uint32_t apic_id, uint64_t page);
};

// Routes the ISA interrupt `isa_irq` to `vector` on the boot processor, honouring MADT overrides.
Result<void> RouteIsaInterrupt(PageTables& pages, const MadtInfo& madt, uint8_t isa_irq,
                               uint8_t vector);

}  // namespace gh::pc
