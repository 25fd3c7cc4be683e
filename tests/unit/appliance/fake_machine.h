// A whole machine in memory, for tests of the appliance: a disk, a console that a test types at,
// a clock that stands still until it is moved, no Ethernet port.
#pragma once

#include <csetjmp>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "firmware/appliance.h"
#include "hal/machine.h"
#include "tests/unit/rt/memory.h"
#include "tests/unit/store/fake_disk.h"

namespace gh {

class FakeSerial final : public hal::SerialPort {
 public:
  uint32_t Read(std::span<uint8_t> out) override {
    uint32_t count = 0;
    while (count < out.size() && !typed.empty()) {
      out[count++] = static_cast<uint8_t>(typed.front());
      typed.pop_front();
    }
    return count;
  }
  uint32_t Write(std::span<const uint8_t> data) override {
    const auto count = static_cast<uint32_t>(std::min<size_t>(data.size(), take_max));
    shown.append(reinterpret_cast<const char*>(data.data()), count);
    return count;
  }
  const char* name() const override { return "fake"; }
  std::deque<char> typed;
  std::string shown;
  size_t take_max = SIZE_MAX;
};

class FakeEntropy final : public hal::Entropy {
 public:
  void Fill(std::span<uint8_t> out) override {
    for (uint8_t& byte : out) {
      byte = static_cast<uint8_t>(random());
    }
  }
  const char* source() const override { return "seeded"; }
  std::mt19937 random{1};
};

class FakeIdle final : public hal::Idle {
 public:
  void WaitUntil(Instant) override {}
};

class FakeWatchdog final : public hal::Watchdog {
 public:
  bool present() const override { return true; }
  void Arm(Duration) override { armed = true; }
  void Pet() override { ++pets; }
  void Disarm() override { armed = false; }
  const char* name() const override { return "fake"; }
  bool armed = false;
  uint64_t pets = 0;
};

// The end of a machine leaves RunOnce by a jump: Restart and PowerOff do not return.
class FakeBoot final : public hal::BootControl {
 public:
  const hal::BootReport& report() const override { return boot_report; }
  [[noreturn]] void Restart() override { std::longjmp(end, 1); }
  [[noreturn]] void PowerOff() override { std::longjmp(end, 2); }
  std::string_view provision_text() const override { return provision; }
  const char* provision_source() const override { return "a test"; }
  std::span<const uint8_t> crash_record() const override { return crash; }
  void ClearCrashRecord() override { crash.clear(); }
  void SetCrashWitness(hal::CrashWitness* the_witness) override { witness = the_witness; }
  hal::BootReport boot_report;
  std::string provision;
  std::vector<uint8_t> crash;
  hal::CrashWitness* witness = nullptr;
  std::jmp_buf end;
};

class FakeButton final : public hal::ResetButton {
 public:
  bool held_at_power_on() const override { return held; }
  bool held = false;
};

// One run of a machine; the disk outlives it.
class FakeMachine {
 public:
  explicit FakeMachine(hal::BlockDevice* disk, size_t memory_bytes = 112u << 20,
                       hal::BlockDevice* log_disk = nullptr)
      : memory_(memory_bytes),
        arena(memory_),
        frames(arena, 64),
        machine{.board = "test",
                .description = "a machine in memory",
                .arena = arena,
                .clock = clock,
                .entropy = entropy,
                .idle = idle,
                .console = serial,
                .watchdog = watchdog,
                .boot = boot,
                .reset_button = button,
                .frames = frames,
                .store = disk,
                .log = log_disk} {}

  Result<void> Start(const ApplianceOptions& options = {}) {
    appliance = std::make_unique<Appliance>(machine, options);
    return appliance->Start();
  }
  // Turns for `seconds` of the machine's time; 0 none ended, 1 restart, 2 power off.
  int Run(double seconds) {
    const int how = setjmp(boot.end);
    if (how != 0) {
      return how;
    }
    const Instant until = clock.now + Duration::Milliseconds(static_cast<int64_t>(seconds * 1000));
    while (clock.now < until) {
      const Instant next = appliance->RunOnce();
      const Instant step = clock.now + Duration::Milliseconds(10);
      clock.now = next > clock.now && next < step ? next : step;
    }
    return 0;
  }
  // Types a line and runs; returns what was shown meanwhile.
  std::string Type(const std::string& text, double seconds = 0.2) {
    serial.shown.clear();
    serial.typed.insert(serial.typed.end(), text.begin(), text.end());
    ended = Run(seconds);
    return serial.shown;
  }
  std::string Line(const std::string& text, double seconds = 0.2) {
    return Type(text + "\r", seconds);
  }

  store::FakeClock clock;
  FakeSerial serial;
  FakeEntropy entropy;
  FakeIdle idle;
  FakeWatchdog watchdog;
  FakeBoot boot;
  FakeButton button;

 private:
  gh::test::Memory memory_;

 public:
  Arena arena;
  hal::FramePool frames;
  hal::Machine machine;
  std::unique_ptr<Appliance> appliance;
  int ended = 0;
};

}  // namespace gh
