// The TSC as the machine's clock, measured once against the HPET or the ACPI timer, and the CMOS
// real-time clock behind Wall().
//
// Instant 0 is TSC 0 (power-on or close to it). A processor that does not promise an invariant TSC
// is used all the same (emulators), and the boot messages say so.
#pragma once

#include <cstdint>

#include "board/pc/acpi.h"
#include "board/pc/paging.h"
#include "hal/clock.h"
#include "hal/rt/result.h"

namespace gh::pc {

class PcClock final : public hal::Clock {
 public:
  PcClock() = default;
  PcClock(const PcClock&) = delete;
  PcClock& operator=(const PcClock&) = delete;

  // Takes about 20 ms. kNoDevice: nothing to measure the TSC against.
  Result<void> Calibrate(PageTables& pages, const AcpiInfo& acpi);
  // Reads the RTC; without a credible date Wall() stays unset.
  void ReadRtc(uint8_t century_register);

  Instant Now() override;
  WallTime Wall() override;
  void SetWall(int64_t unix_ns) override;

  Instant AtTsc(uint64_t tsc) const;
  uint64_t TscAt(Instant instant) const;
  uint64_t tsc_hz() const { return tsc_hz_; }
  const char* reference() const { return reference_; }
  static bool tsc_is_invariant();

 private:
  uint64_t tsc_hz_ = 0;
  uint64_t ns_per_tick_ = 0;  // in units of 2^-32 ns
  const char* reference_ = "none";
  uint8_t century_register_ = 0;
  bool wall_is_set_ = false;
  int64_t wall_offset_ns_ = 0;  // Wall() - Now()
};

// Waits, for devices that want a pause; works from Calibrate() on, does nothing before it.
void BusyWait(PcClock& clock, Duration duration);

}  // namespace gh::pc
