#include "board/pc/clock.h"

#include <algorithm>

#include "board/pc/cpu.h"
#include "board/pc/rtc.h"
#include "board/pc/wide.h"

namespace gh::pc {
namespace {

constexpr uint64_t kNsPerSecond = 1'000'000'000;
constexpr uint32_t kCalibrationMs = 20;
constexpr Duration kRtcReadMax = Duration::Milliseconds(20);  // longer: a guest that was stopped

// A free-running counter of known rate.
class Reference {
 public:
  virtual uint64_t Read() = 0;
  virtual uint64_t hz() const = 0;
  virtual uint64_t mask() const = 0;

 protected:
  ~Reference() = default;
};

class Hpet final : public Reference {
 public:
  explicit Hpet(Mmio registers) : registers_(registers) {
    const uint64_t capabilities =
        static_cast<uint64_t>(registers.Read32(4)) << 32 | registers.Read32(0);
    const uint64_t period_fs = capabilities >> 32;
    // At most 100 ns (HPET 1.0a); less than 0.1 ns is nonsense.
    if (period_fs >= 100'000 && period_fs <= 100'000'000) {
      hz_ = 1'000'000'000'000'000 / period_fs;
      registers.Write32(0x10, registers.Read32(0x10) | 1);  // ENABLE_CNF
    }
  }
  uint64_t Read() override { return registers_.Read32(0xf0); }
  uint64_t hz() const override { return hz_; }
  uint64_t mask() const override { return UINT32_MAX; }

 private:
  Mmio registers_;
  uint64_t hz_ = 0;
};

class AcpiTimer final : public Reference {
 public:
  AcpiTimer(uint16_t port, bool is_32_bit)
      : port_(port), mask_(is_32_bit ? 0xffffffff : 0xffffff) {}
  uint64_t Read() override { return In32(port_) & mask_; }
  uint64_t hz() const override { return 3'579'545; }
  uint64_t mask() const override { return mask_; }

 private:
  uint16_t port_;
  uint64_t mask_;
};

// Channel 2 of the 8254 that every PC has: the last resort. Counts down.
class IntervalTimer final : public Reference {
 public:
  IntervalTimer() {
    constexpr uint8_t kGate = 0x01;
    constexpr uint8_t kSpeaker = 0x02;
    Out8(kControlPort, static_cast<uint8_t>((In8(kControlPort) & ~kSpeaker) | kGate));
    Out8(kCommand, 0xb4);  // channel 2, low then high byte, rate generator
    Out8(kChannel, 0);
    Out8(kChannel, 0);  // 65,536
  }
  uint64_t Read() override {
    Out8(kCommand, 0x80);  // latch channel 2
    const uint32_t low = In8(kChannel);
    const uint32_t high = In8(kChannel);
    return (0u - (high << 8 | low)) & mask();
  }
  uint64_t hz() const override { return 1'193'182; }
  uint64_t mask() const override { return 0xffff; }

 private:
  static constexpr uint16_t kControlPort = 0x61;
  static constexpr uint16_t kChannel = 0x42;
  static constexpr uint16_t kCommand = 0x43;
};

// One reading of both counters, the closest of a few: a guest may be stopped between the two.
struct Sample {
  uint64_t tsc = 0;
  uint64_t count = 0;
};
Sample Take(Reference& reference) {
  Sample best;
  uint64_t best_width = UINT64_MAX;
  for (uint32_t i = 0; i < 16; ++i) {
    const uint64_t before = ReadTsc();
    const uint64_t count = reference.Read();
    const uint64_t after = ReadTsc();
    if (after - before < best_width) {
      best_width = after - before;
      best = {before + (after - before) / 2, count};
    }
  }
  return best;
}

// 0: the reference does not count.
uint64_t MeasureTsc(Reference& reference) {
  if (reference.hz() == 0) {
    return 0;
  }
  const uint64_t wanted = reference.hz() * kCalibrationMs / 1000;
  const Sample first = Take(reference);
  uint64_t elapsed = 0;
  for (uint32_t i = 0; elapsed < wanted; ++i) {
    elapsed = (reference.Read() - first.count) & reference.mask();
    if (elapsed == 0 && i > 100'000) {
      return 0;
    }
  }
  const Sample last = Take(reference);
  const uint64_t counts = (last.count - first.count) & reference.mask();
  return MulDiv(last.tsc - first.tsc, reference.hz(), counts);
}

constexpr uint8_t kCmosStatusA = 0x0a;
constexpr uint8_t kCmosStatusB = 0x0b;
constexpr uint8_t kUpdateInProgress = 0x80;
constexpr uint8_t kHoldUpdates = 0x80;

uint8_t ReadCmos(uint8_t index) {
  Out8(0x70, 0x80 | index);  // NMI stays off while the index is ours
  return In8(0x71);
}

void WriteCmos(uint8_t index, uint8_t value) {
  Out8(0x70, 0x80 | index);
  Out8(0x71, value);
}

RtcRegisters ReadRegisters(uint8_t century_register) {
  for (uint32_t i = 0; i < 20'000 && (ReadCmos(kCmosStatusA) & kUpdateInProgress) != 0; ++i) {
  }
  RtcRegisters r;
  r.second = ReadCmos(0);
  r.minute = ReadCmos(2);
  r.hour = ReadCmos(4);
  r.day = ReadCmos(7);
  r.month = ReadCmos(8);
  r.year = ReadCmos(9);
  r.century = century_register != 0 ? ReadCmos(century_register) : 0;
  r.status_b = ReadCmos(kCmosStatusB);
  Out8(0x70, 0);
  return r;
}

}  // namespace

Result<void> PcClock::Calibrate(PageTables& pages, const AcpiInfo& acpi) {
  if (acpi.hpet.present) {
    const Result<Mmio> window = pages.MapMmio(acpi.hpet.address, 0x400);
    if (window.ok()) {
      Hpet hpet(*window);
      tsc_hz_ = MeasureTsc(hpet);
      reference_ = "hpet";
    }
  }
  if (tsc_hz_ == 0 && acpi.fadt.pm_timer != 0) {
    AcpiTimer timer(acpi.fadt.pm_timer, acpi.fadt.pm_timer_is_32_bit);
    tsc_hz_ = MeasureTsc(timer);
    reference_ = "acpi-pm";
  }
  if (tsc_hz_ == 0) {
    IntervalTimer timer;
    tsc_hz_ = MeasureTsc(timer);
    reference_ = "8254";
  }
  if (tsc_hz_ < 1'000'000) {
    return Error(ErrorCode::kNoDevice, "no timer to measure the TSC against");
  }
  ns_per_tick_ = (kNsPerSecond << 32) / tsc_hz_;
  return Ok();
}

bool PcClock::tsc_is_invariant() {
  return Cpuid(0x80000000).eax >= 0x80000007 && (Cpuid(0x80000007).edx & 1u << 8) != 0;
}

Instant PcClock::AtTsc(uint64_t tsc) const {
  return Instant{static_cast<int64_t>(static_cast<Wide>(tsc) * ns_per_tick_ >> 32)};
}

uint64_t PcClock::TscAt(Instant instant) const {
  const uint64_t ns = instant.ns < 0 ? 0 : static_cast<uint64_t>(instant.ns);
  return std::min<uint64_t>(MulDiv(ns, tsc_hz_, kNsPerSecond), UINT64_MAX / 2) + 1;
}

Instant PcClock::Now() { return AtTsc(ReadTsc()); }

WallTime PcClock::Wall() {
  if (!wall_is_set_) {
    return {};
  }
  return {Now().ns + wall_offset_ns_, true};
}

void PcClock::ReadRtc(uint8_t century_register) {
  // 0x00-0x0d are the clock's own; anything else below 0x80 may hold the century.
  century_register_ = century_register > 0x0d && century_register < 0x80 ? century_register : 0;
  RtcRegisters last = ReadRegisters(century_register_);
  for (uint32_t i = 0; i < 8; ++i) {
    const Instant before = Now();  // a guest may be stopped in between
    const RtcRegisters again = ReadRegisters(century_register_);
    const Instant after = Now();
    if (again != last || after - before > kRtcReadMax) {  // an update in between: once more
      last = again;
      continue;
    }
    const Result<CivilTime> time = DecodeRtc(again);
    if (time.ok() && time->year >= 2024) {
      wall_offset_ns_ = UnixNsFromRtc(*time) - (before.ns + (after - before).ns / 2);
      wall_is_set_ = true;
    }
    return;
  }
}

void PcClock::SetWall(int64_t unix_ns) {
  wall_offset_ns_ = unix_ns - Now().ns;
  wall_is_set_ = true;
  const CivilTime time = RtcFromUnixNs(unix_ns);
  if (time.year < 2024 || time.year > 2199) {
    return;
  }
  const uint8_t status_b = ReadCmos(kCmosStatusB);
  const RtcRegisters r = EncodeRtc(time, status_b, century_register_ != 0);
  WriteCmos(kCmosStatusB, status_b | kHoldUpdates);
  WriteCmos(0, r.second);
  WriteCmos(2, r.minute);
  WriteCmos(4, r.hour);
  WriteCmos(7, r.day);
  WriteCmos(8, r.month);
  WriteCmos(9, r.year);
  if (century_register_ != 0) {
    WriteCmos(century_register_, r.century);
  }
  WriteCmos(kCmosStatusB, status_b & static_cast<uint8_t>(~kHoldUpdates));
  Out8(0x70, 0);
}

void BusyWait(PcClock& clock, Duration duration) {
  if (clock.tsc_hz() == 0) {
    return;
  }
  const Instant end = clock.Now() + duration;
  while (clock.Now() < end) {
    Pause();
  }
}

}  // namespace gh::pc
