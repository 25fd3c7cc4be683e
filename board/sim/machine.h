// A simulated machine: everything hal::Machine offers, driven by the world's virtual clock.
//
// The machine gets a turn when a frame, console input, a finished disk request or its own deadline
// is due. A turn takes no virtual time but what it waits for in place (synchronous disk I/O) and a
// small cost the seed chooses. Power cuts, restarts, panics and watchdog resets end a turn wherever
// it is: the program's stack is abandoned, as on a real machine, and only the disks, the RTC and
// the crash record live on.
#pragma once

#include <array>
#include <csetjmp>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "board/sim/disk.h"
#include "board/sim/network.h"
#include "board/sim/world.h"
#include "hal/machine.h"

namespace gh::sim {

// What runs on a machine, built in its arena: the appliance, a loader, a test's own.
class Program {
 public:
  virtual Result<void> Start() = 0;
  virtual Instant RunOnce() = 0;

 protected:
  ~Program() = default;  // never destroyed: power goes, memory goes
};

using ProgramFactory = std::function<Program*(hal::Machine& machine)>;

struct MachineOptions {
  std::string name = "gatehouse";
  uint64_t arena_bytes = uint64_t{64} << 20;
  uint32_t frame_count = 2048;
  uint32_t port_count = 1;
  uint64_t store_bytes = uint64_t{8} << 20;  // 0: no such disk
  uint64_t log_bytes = uint64_t{1} << 20;
  uint64_t slot_bytes = 0;  // of each slot and of `factory`; 0: none of them, and no boot state
  uint32_t block_size = 512;
  std::string provision = "";
  bool fill_checksum = true;  // the ports do checksum offload
  bool wall_is_set = true;    // the RTC is running
  bool expect_panic = false;  // a panic is not a failure of the world
  bool restart_after_panic = true;
  Duration boot_time = Duration::Milliseconds(1500);
  Duration turn_cost_max = Duration::Microseconds(20);
};

class SimMachine;

class SimPort final : public hal::EthernetPort, public Station {
 public:
  static constexpr size_t kQueueMax = 512;

  SimPort(SimMachine& machine, uint8_t index);
  void Plug(Switch& network, const LinkQuality& quality);
  uint32_t cable() const { return cable_; }
  void Clear();

  uint32_t Receive(std::span<hal::Frame*> out) override;
  void Transmit(std::span<hal::Frame* const> frames) override;
  void Flush() override {}
  hal::MacAddress mac() const override { return mac_; }
  uint16_t mtu() const override { return 1500; }
  bool link_up() const override { return network_ != nullptr && network_->up(cable_); }
  bool can_fill_checksum() const override;
  hal::EthernetCounters counters() const override { return counters_; }
  const char* driver() const override { return "sim"; }
  void SetFrames(hal::FramePool&) override { GH_UNREACHABLE(); }  // one processor

  void OnFrame(std::span<const uint8_t> frame) override;
  void OnLinkChange(bool up) override;

 private:
  void Send(std::span<const uint8_t> bytes);

  SimMachine& machine_;
  uint8_t index_;
  hal::MacAddress mac_;
  Switch* network_ = nullptr;
  uint32_t cable_ = 0;
  std::deque<std::vector<uint8_t>> queue_;
  hal::EthernetCounters counters_;
};

// The serial console with its far end: what was printed, and what is typed.
class SimConsole final : public hal::SerialPort {
 public:
  static constexpr size_t kFifoBytes = 4096;
  static constexpr int64_t kBytesPerSecond = 1'000'000;
  static constexpr size_t kOutputMax = 4 << 20;

  explicit SimConsole(SimMachine& machine) : machine_(machine) {}
  uint32_t Read(std::span<uint8_t> out) override;
  uint32_t Write(std::span<const uint8_t> data) override;
  const char* name() const override { return "sim"; }

  void Type(std::string_view text);
  const std::string& output() const { return output_; }
  // Printed since the last Mark().
  std::string_view fresh() const { return {output_.data() + mark_, output_.size() - mark_}; }
  void Mark() { mark_ = output_.size(); }
  void Clear() { input_.clear(); }

 private:
  SimMachine& machine_;
  std::deque<uint8_t> input_;
  std::string output_;
  size_t mark_ = 0;
  Instant drained_at_ = {};
};

class SimMachine final : private hal::Clock,
                         private hal::Entropy,
                         private hal::Idle,
                         private hal::Watchdog,
                         private hal::BootControl,
                         private hal::ResetButton,
                         private DiskHost {
 public:
  SimMachine(World& world, const MachineOptions& options, ProgramFactory factory);
  SimMachine(const SimMachine&) = delete;
  SimMachine& operator=(const SimMachine&) = delete;
  ~SimMachine();

  // The program starts boot_time later.
  void PowerOn();
  // Everything volatile is gone; `damage` is done to both disks. Stays off until PowerOn().
  void CutPower(const CutDamage& damage = {});
  // CutPower, and PowerOn after `off`.
  void CyclePower(Duration off, const CutDamage& damage = {});
  // At the next power-on the factory-reset button is held.
  void HoldResetButton(bool held) { button_held_ = held; }
  // Cuts the power at request `io` of `disk`; with `off` not zero it comes back after that time.
  void PlanCut(SimDisk& disk, uint64_t io, const CutDamage& damage, Duration off = {});
  // Steps the machine's RTC, as a dead battery or an operator would.
  void JumpWall(Duration by) { wall_offset_ns_ += by.ns; }

  void Plug(uint32_t port, Switch& network, const LinkQuality& quality = {});
  uint32_t cable(uint32_t port) const { return ports_[port]->cable(); }
  hal::MacAddress mac(uint32_t port) const { return ports_[port]->mac(); }
  SimConsole& console() { return console_; }
  SimDisk* store() { return store_.get(); }
  SimDisk* log() { return log_.get(); }
  SimDisk* boot_state() { return boot_state_.get(); }
  SimDisk* slot(uint32_t index) { return slots_[index].get(); }
  SimDisk* factory() { return golden_.get(); }
  // What a loader in front of the program would report from the next boot on.
  void SetBootReport(const hal::BootReport& report) { next_report_ = report; }

  bool powered() const { return powered_; }
  bool running() const { return program_ != nullptr; }  // started, and not ended since
  bool powered_off_by_itself() const { return powered_off_; }
  uint32_t boot_count() const { return boot_count_; }
  uint32_t panic_count() const { return panic_count_; }
  uint64_t turn_count() const { return turn_count_; }
  hal::ResetCause last_cause() const { return report_.cause; }
  const std::string& start_error() const { return start_error_; }
  // Of the running program; for tests that know what they built.
  Program* program() { return program_; }
  hal::Machine* hardware() { return hardware_.get(); }

  World& world() { return world_; }
  const MachineOptions& options() const { return options_; }
  // A turn at the latest at world time `when`.
  void Wake(Instant when);
  void WakeNow() { Wake(world_.now()); }
  // The machine's own idea of the world's time, ahead of it by what this turn has waited.
  Instant world_now() const { return world_.now() + lead_; }

 private:
  enum class End : int { kNone = 0, kRestart, kPowerOff, kPowerCut, kPanic, kWatchdog };
  struct Unmap {
    uint64_t bytes;
    void operator()(uint8_t* memory) const;
  };

  // hal::Clock
  Instant Now() override;
  WallTime Wall() override;
  void SetWall(int64_t unix_ns) override;
  // hal::Entropy
  void Fill(std::span<uint8_t> out) override { entropy_.Fill(out); }
  const char* source() const override { return "sim"; }
  // hal::Idle
  void WaitUntil(Instant deadline) override;
  // hal::Watchdog
  bool present() const override { return true; }
  void Arm(Duration timeout) override;
  void Pet() override;
  void Disarm() override;
  const char* name() const override { return "sim"; }
  // hal::BootControl
  const hal::BootReport& report() const override { return report_; }
  [[noreturn]] void Restart() override;
  [[noreturn]] void PowerOff() override;
  std::string_view provision_text() const override { return options_.provision; }
  const char* provision_source() const override { return "sim"; }
  std::span<const uint8_t> crash_record() const override { return crash_record_; }
  void ClearCrashRecord() override { crash_record_.clear(); }
  void SetCrashWitness(hal::CrashWitness* witness) override { crash_witness_ = witness; }
  // hal::ResetButton
  bool held_at_power_on() const override { return button_held_; }
  // DiskHost
  Instant disk_now() const override { return world_now(); }
  void WaitForDisk(Instant when) override;
  void WakeForDisk(Instant when) override { Wake(when); }
  void OnPlannedCut() override;

  Instant ToWorld(Instant machine_time) const;
  void Boot();
  void BuildHardware();
  void DropHardware();
  void Turn();
  // Runs `work` as a turn; returns how it ended.
  End InTurn(const std::function<void()>& work);
  [[noreturn]] void EndTurn(End end);
  void AfterEnd(End end);
  void Stop();
  void OnPanic(const PanicInfo& info);
  static void PanicHook(const PanicInfo& info);
  void CheckWatchdog(uint64_t generation);

  World& world_;
  MachineOptions options_;
  ProgramFactory factory_;
  Random random_;
  Random entropy_;
  std::string turn_label_;
  SimConsole console_;
  std::vector<std::unique_ptr<SimPort>> ports_;
  std::unique_ptr<SimDisk> store_;
  std::unique_ptr<SimDisk> log_;
  std::unique_ptr<SimDisk> boot_state_;
  std::array<std::unique_ptr<SimDisk>, 2> slots_;
  std::unique_ptr<SimDisk> golden_;
  std::vector<SimDisk*> disks_;  // those there are

  // Lives for one boot.
  std::unique_ptr<uint8_t, Unmap> memory_;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<hal::FramePool> frames_;
  std::unique_ptr<hal::Machine> hardware_;
  Program* program_ = nullptr;
  Instant boot_instant_ = {};
  Duration lead_ = {};
  Instant busy_until_ = {};
  uint64_t turn_event_ = UINT64_MAX;
  Instant turn_at_ = Instant::Max();
  Duration watchdog_timeout_ = {};
  Instant petted_ = {};
  uint64_t watchdog_generation_ = 0;

  // Lives on.
  hal::BootReport report_;
  hal::BootReport next_report_;
  hal::ResetCause next_cause_ = hal::ResetCause::kPowerOn;
  void KeepCrash(CrashRecord& record);
  std::vector<uint8_t> crash_record_;
  hal::CrashWitness* crash_witness_ = nullptr;
  int64_t wall_offset_ns_ = 0;
  bool wall_is_set_ = true;
  bool powered_ = false;
  bool powered_off_ = false;
  bool button_held_ = false;
  CutDamage planned_damage_;
  Duration planned_off_ = {};
  uint64_t power_generation_ = 0;
  uint32_t boot_count_ = 0;
  uint32_t panic_count_ = 0;
  uint64_t turn_count_ = 0;
  std::string start_error_;
  jmp_buf escape_;

  // A panic handler has no argument to say who panics: the machine whose turn it is.
  inline static SimMachine* in_turn_ = nullptr;
  friend class SimPort;
};

}  // namespace gh::sim
