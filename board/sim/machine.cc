#include "board/sim/machine.h"

#include <sys/mman.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "firmware/store/sqlite_glue.h"
#include "hal/rt/bytes.h"
#include "net/lwip_port.h"

namespace gh::sim {
namespace {

// Machine time starts anew at each boot, a little above zero.
constexpr Instant kBootTime = {1'000'000};
// The wall clock at the start of every world: 2026-01-01 00:00:00 UTC.
constexpr int64_t kWallStartNs = 1'767'225'600'000'000'000;

constexpr uint64_t kBootStateBytes = 256 * 1024;  // four copies, as far apart as on a disk
constexpr uint16_t kEtherIpv4 = 0x0800;

uint32_t Sum(std::span<const uint8_t> bytes) {
  uint64_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? uint32_t{bytes[i]} << 8 : bytes[i];
  }
  while (sum >> 16 != 0) {
    sum = (sum >> 16) + (sum & 0xffff);
  }
  return static_cast<uint32_t>(sum);
}

// What checksum offload does: the field holds the pseudo-header's sum and takes part itself.
void FillChecksum(hal::Frame& frame) {
  const size_t start = frame.checksum_start;
  const size_t place = start + frame.checksum_offset;
  GH_ASSERT_LE(place + 2, frame.size);
  uint32_t value = ~Sum(frame.bytes().subspan(start)) & 0xffff;
  if (value == 0 && frame.checksum_offset == 6) {
    value = 0xffff;  // UDP: zero means none
  }
  frame.data()[place] = static_cast<uint8_t>(value >> 8);
  frame.data()[place + 1] = static_cast<uint8_t>(value);
}

}  // namespace

// --- SimPort -------------------------------------------------------------------------------------

SimPort::SimPort(SimMachine& machine, uint8_t index) : machine_(machine), index_(index) {
  const uint64_t hash = MixText(index, machine.options().name);
  mac_ = {0x02,
          0x67,
          static_cast<uint8_t>(hash),
          static_cast<uint8_t>(hash >> 8),
          static_cast<uint8_t>(hash >> 16),
          index};
}

bool SimPort::can_fill_checksum() const { return machine_.options().fill_checksum; }

void SimPort::Plug(Switch& network, const LinkQuality& quality) {
  GH_ASSERT(network_ == nullptr);
  network_ = &network;
  cable_ = network.Attach(*this, quality);
}

void SimPort::Clear() {
  queue_.clear();
  counters_ = {};
}

void SimPort::OnFrame(std::span<const uint8_t> frame) {
  const bool mine = (frame[0] & 1) != 0 || std::equal(mac_.begin(), mac_.end(), frame.begin());
  if (!machine_.running() || !mine) {
    return;
  }
  if (queue_.size() == kQueueMax || frame.size() > hal::kFrameBufferSize - hal::kFrameHeadroom) {
    ++counters_.rx_dropped;
    return;
  }
  queue_.emplace_back(frame.begin(), frame.end());
  machine_.WakeNow();
}

void SimPort::OnLinkChange(bool) { machine_.WakeNow(); }

uint32_t SimPort::Receive(std::span<hal::Frame*> out) {
  uint32_t count = 0;
  while (count < out.size() && !queue_.empty()) {
    hal::Frame* frame = machine_.frames_->Allocate();
    if (frame == nullptr) {
      counters_.rx_dropped += queue_.size();
      queue_.clear();
      break;
    }
    const std::vector<uint8_t>& bytes = queue_.front();
    std::memcpy(frame->data(), bytes.data(), bytes.size());
    frame->size = static_cast<uint16_t>(bytes.size());
    frame->port_index = index_;
    queue_.pop_front();
    ++counters_.rx_frames;
    counters_.rx_bytes += frame->size;
    out[count++] = frame;
  }
  return count;
}

void SimPort::Transmit(std::span<hal::Frame* const> frames) {
  for (hal::Frame* frame : frames) {
    GH_ASSERT_GE(frame->size, 14);
    GH_ASSERT_LE(frame->size, 1518);
    if ((frame->flags & hal::kFrameChecksumPartial) != 0) {
      GH_ASSERT(can_fill_checksum());
      FillChecksum(*frame);
    }
    if (link_up()) {
      ++counters_.tx_frames;
      counters_.tx_bytes += frame->size;
      Send(frame->bytes());
    } else {
      ++counters_.tx_dropped;
    }
    machine_.frames_->Release(frame);
  }
}

// A turn that has waited in place sends at its own time, unless the power goes first.
void SimPort::Send(std::span<const uint8_t> bytes) {
  World& world = machine_.world();
  if (machine_.world_now() == world.now()) {
    network_->Send(cable_, bytes);
    return;
  }
  const uint64_t generation = machine_.power_generation_;
  world.At(machine_.world_now(), "send later",
           [this, generation, copy = std::vector<uint8_t>(bytes.begin(), bytes.end())] {
             if (generation == machine_.power_generation_) {
               network_->Send(cable_, copy);
             }
           });
}

// --- SimConsole ----------------------------------------------------------------------------------

uint32_t SimConsole::Read(std::span<uint8_t> out) {
  uint32_t count = 0;
  while (count < out.size() && !input_.empty()) {
    out[count++] = input_.front();
    input_.pop_front();
  }
  return count;
}

// A FIFO that drains at the line's speed: what does not fit is to be offered again.
uint32_t SimConsole::Write(std::span<const uint8_t> data) {
  const Instant now = machine_.world_now();
  drained_at_ = std::max(drained_at_, now);
  const int64_t waiting = (drained_at_ - now).ns * kBytesPerSecond / 1'000'000'000;
  const size_t room = kFifoBytes - std::min<size_t>(kFifoBytes, static_cast<size_t>(waiting));
  const size_t taken = std::min(room, data.size());
  drained_at_ =
      drained_at_ + Duration{static_cast<int64_t>(taken) * 1'000'000'000 / kBytesPerSecond};
  if (output_.size() < kOutputMax) {
    output_.append(reinterpret_cast<const char*>(data.data()), taken);
  }
  machine_.world().Trace("console", taken, 0, data.first(taken));
  if (taken < data.size()) {
    machine_.Wake(now + Duration::Milliseconds(2));
  }
  return static_cast<uint32_t>(taken);
}

void SimConsole::Type(std::string_view text) {
  machine_.world().Trace("typed", text.size(), 0, AsBytes(text));
  input_.insert(input_.end(), text.begin(), text.end());
  machine_.WakeNow();
}

// --- SimMachine ----------------------------------------------------------------------------------

void SimMachine::Unmap::operator()(uint8_t* memory) const { munmap(memory, bytes); }

SimMachine::SimMachine(World& world, const MachineOptions& options, ProgramFactory factory)
    : world_(world),
      options_(options),
      factory_(std::move(factory)),
      random_(world.StreamFor("machine " + options.name)),
      entropy_(0),
      turn_label_("turn " + options.name),
      console_(*this),
      memory_(nullptr, Unmap{0}),
      wall_is_set_(options.wall_is_set) {
  GH_ASSERT_LE(options.port_count, hal::kEthernetPortMax);
  for (uint32_t i = 0; i < options.port_count; ++i) {
    ports_.push_back(std::make_unique<SimPort>(*this, static_cast<uint8_t>(i)));
  }
  const auto make_disk = [&](const char* name, uint64_t bytes) -> std::unique_ptr<SimDisk> {
    if (bytes == 0) {
      return nullptr;
    }
    auto disk = std::make_unique<SimDisk>(name, world.StreamFor(options.name + " " + name), bytes,
                                          options.block_size);
    disk->SetHost(this, &world);
    disks_.push_back(disk.get());
    return disk;
  };
  store_ = make_disk("store", options.store_bytes);
  log_ = make_disk("log", options.log_bytes);
  boot_state_ = make_disk("bootstate", options.slot_bytes > 0 ? kBootStateBytes : 0);
  slots_[0] = make_disk("slot-a", options.slot_bytes);
  slots_[1] = make_disk("slot-b", options.slot_bytes);
  golden_ = make_disk("factory", options.slot_bytes);
}

SimMachine::~SimMachine() {
  GH_ASSERT(in_turn_ != this);
  DropHardware();
}

void SimMachine::Plug(uint32_t port, Switch& network, const LinkQuality& quality) {
  GH_ASSERT_LT(port, ports_.size());
  ports_[port]->Plug(network, quality);
}

Instant SimMachine::ToWorld(Instant machine_time) const {
  return machine_time >= Instant::Max() ? Instant::Max()
                                        : boot_instant_ + (machine_time - kBootTime);
}

Instant SimMachine::Now() { return kBootTime + (world_now() - boot_instant_); }

WallTime SimMachine::Wall() {
  return {kWallStartNs + world_now().ns + wall_offset_ns_, wall_is_set_};
}

void SimMachine::SetWall(int64_t unix_ns) {
  wall_offset_ns_ = unix_ns - kWallStartNs - world_now().ns;
  wall_is_set_ = true;
}

// Only a program that waits inside its turn comes here: time passes for it alone.
void SimMachine::WaitUntil(Instant deadline) {
  const Instant until = ToWorld(deadline);
  lead_ = std::max(lead_, until - world_.now());
}

void SimMachine::WaitForDisk(Instant when) { lead_ = std::max(lead_, when - world_.now()); }

void SimMachine::PowerOn() {
  if (powered_) {
    return;
  }
  powered_ = true;
  powered_off_ = false;
  ++power_generation_;
  const uint64_t generation = power_generation_;
  for (SimDisk* disk : disks_) {
    disk->PowerOn();
  }
  world_.After(options_.boot_time, "boot", [this, generation] {
    if (generation == power_generation_) {
      Boot();
    }
  });
}

void SimMachine::BuildHardware() {
  void* memory = mmap(nullptr, options_.arena_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  GH_ASSERT(memory != MAP_FAILED);
  memory_ = {static_cast<uint8_t*>(memory), Unmap{options_.arena_bytes}};
  arena_ = std::make_unique<Arena>(std::span(memory_.get(), options_.arena_bytes));
  frames_ = std::make_unique<hal::FramePool>(*arena_, options_.frame_count);
  hardware_.reset(new hal::Machine{.board = "sim",
                                   .description = "simulated machine",
                                   .arena = *arena_,
                                   .clock = *this,
                                   .entropy = *this,
                                   .idle = *this,
                                   .console = console_,
                                   .watchdog = *this,
                                   .boot = *this,
                                   .reset_button = *this,
                                   .frames = *frames_});
  for (size_t i = 0; i < ports_.size(); ++i) {
    hardware_->ports[i] = ports_[i].get();
  }
  hardware_->store = store_.get();
  hardware_->log = log_.get();
  hardware_->boot_state = boot_state_.get();
  hardware_->slots = {slots_[0].get(), slots_[1].get()};
  hardware_->factory = golden_.get();
}

void SimMachine::DropHardware() {
  // The abandoned turn may have been inside lwIP: its instance goes with this machine's memory.
  net::internal::LwipActive& lwip = net::internal::g_lwip_active;
  if (arena_ != nullptr && lwip.instance != nullptr && arena_->Contains(lwip.instance)) {
    lwip = {};
  }
  hardware_.reset();
  frames_.reset();
  arena_.reset();
  memory_.reset();
}

void SimMachine::Boot() {
  ++boot_count_;
  boot_instant_ = world_.now();
  lead_ = {};
  busy_until_ = world_.now();
  entropy_ = Random(Mix(world_.seed(), boot_count_), options_.name);
  report_ = next_report_;
  report_.loader_entry = kBootTime - Duration::Microseconds(500);
  report_.cause = next_cause_;
  next_cause_ = hal::ResetCause::kUnknown;
  BuildHardware();
  world_.Trace(turn_label_, boot_count_, static_cast<uint64_t>(report_.cause));
  Program* program = nullptr;
  const End end = InTurn([&] {
    arena_->OpenAccount("appliance");
    program = factory_(*hardware_);
    auto started = program->Start();
    if (!started.ok()) {
      start_error_ = started.error().what;
      program = nullptr;
    }
  });
  button_held_ = end == End::kPowerCut ? button_held_ : false;
  if (end != End::kNone) {
    AfterEnd(end);
    return;
  }
  if (program == nullptr) {
    world_.Fail(options_.name + " did not start: " + start_error_);
    return;
  }
  program_ = program;
  busy_until_ = world_now();
  lead_ = {};
  Wake(busy_until_);
}

void SimMachine::Wake(Instant when) {
  if (hardware_ == nullptr) {
    return;
  }
  when = std::max({when, busy_until_, world_.now()});
  if (turn_event_ != UINT64_MAX) {
    if (turn_at_ <= when) {
      return;
    }
    world_.Cancel(turn_event_);
  }
  turn_at_ = when;
  turn_event_ = world_.At(when, turn_label_, [this] {
    turn_event_ = UINT64_MAX;
    turn_at_ = Instant::Max();
    Turn();
  });
}

void SimMachine::Turn() {
  if (program_ == nullptr) {
    return;
  }
  if (world_.now() < busy_until_) {
    Wake(busy_until_);  // asked for before the last turn had taken its time
    return;
  }
  ++turn_count_;
  Instant next = Instant::Max();
  const End end = InTurn([&] { next = program_->RunOnce(); });
  if (end != End::kNone) {
    AfterEnd(end);
    return;
  }
  const Duration cost = random_.Between(
      Duration::Microseconds(1), std::max(Duration::Microseconds(1), options_.turn_cost_max));
  busy_until_ = world_now() + cost;
  lead_ = {};
  const Instant next_in_world = ToWorld(next);
  if (next_in_world < Instant::Max()) {
    Wake(next_in_world);
  }
}

SimMachine::End SimMachine::InTurn(const std::function<void()>& work) {
  GH_ASSERT(in_turn_ == nullptr);
  const PanicHandler previous = SetPanicHandler(PanicHook);
  const uint32_t lwip_depth = net::internal::g_lwip_active.depth;
  in_turn_ = this;
  const int ended = setjmp(escape_);
  if (ended == 0) {
    work();
  } else {
    // Scopes of the abandoned stack, which the process would otherwise hold open for ever.
    net::internal::g_lwip_active.depth = lwip_depth;
    store::AbandonSqliteScope();
  }
  in_turn_ = nullptr;
  (void)SetPanicHandler(previous);
  return static_cast<End>(ended);
}

void SimMachine::EndTurn(End end) {
  GH_ASSERT(in_turn_ == this);
  longjmp(escape_, static_cast<int>(end));
}

void SimMachine::Stop() {
  program_ = nullptr;
  watchdog_timeout_ = {};
  ++watchdog_generation_;
  powered_ = false;
  ++power_generation_;
  lead_ = {};
  if (turn_event_ != UINT64_MAX) {
    world_.Cancel(turn_event_);
    turn_event_ = UINT64_MAX;
    turn_at_ = Instant::Max();
  }
  console_.Clear();
  for (auto& port : ports_) {
    port->Clear();
  }
  DropHardware();
}

void SimMachine::AfterEnd(End end) {
  crash_witness_ = nullptr;  // it ends with its appliance
  world_.Trace("end", static_cast<uint64_t>(end), boot_count_);
  if (end == End::kPowerCut) {
    const Duration off = planned_off_;
    CutPower(planned_damage_);
    if (off.ns > 0) {
      world_.After(off, "power back", [this] { PowerOn(); });
    }
    return;
  }
  // The disks keep their power: what they have accepted they will write.
  for (SimDisk* disk : disks_) {
    disk->SaveAll();
  }
  Stop();
  powered_off_ = end == End::kPowerOff;
  next_cause_ = end == End::kPanic      ? hal::ResetCause::kPanic
                : end == End::kWatchdog ? hal::ResetCause::kWatchdog
                                        : hal::ResetCause::kRestart;
  if (end == End::kPowerOff || (end == End::kPanic && !options_.restart_after_panic)) {
    return;
  }
  PowerOn();
}

void SimMachine::CutPower(const CutDamage& damage) {
  GH_ASSERT(in_turn_ == nullptr);
  world_.Trace("power cut", boot_count_, 0);
  for (SimDisk* disk : disks_) {
    disk->CutPower(damage);
  }
  Stop();
  next_cause_ = hal::ResetCause::kPowerOn;
}

void SimMachine::CyclePower(Duration off, const CutDamage& damage) {
  CutPower(damage);
  world_.After(off, "power back", [this] { PowerOn(); });
}

void SimMachine::PlanCut(SimDisk& disk, uint64_t io, const CutDamage& damage, Duration off) {
  planned_damage_ = damage;
  planned_off_ = off;
  disk.PlanCut(io, damage);
}

void SimMachine::OnPlannedCut() {
  if (in_turn_ == this) {
    EndTurn(End::kPowerCut);
  }
  AfterEnd(End::kPowerCut);
}

void SimMachine::Restart() { EndTurn(End::kRestart); }
void SimMachine::PowerOff() { EndTurn(End::kPowerOff); }

void SimMachine::PanicHook(const PanicInfo& info) {
  GH_ASSERT(in_turn_ != nullptr);
  in_turn_->OnPanic(info);
}

void SimMachine::KeepCrash(CrashRecord& record) {
  record.uptime_ns = world_.now().ns;
  if (crash_witness_ != nullptr) {
    crash_witness_->Describe(record);
  }
  crash_record_.resize(kCrashRecordBytesMax);
  crash_record_.resize(EncodeCrashRecord(record, crash_record_).value_or(0));
}

void SimMachine::OnPanic(const PanicInfo& info) {
  char text[512];
  std::snprintf(text, sizeof(text), "panic: %s at %s:%u, values %" PRId64 " and %" PRId64 "\n",
                info.message, info.file, info.line, info.left, info.right);
  ++panic_count_;
  CrashRecord record;
  record.SetPanic(info);
  KeepCrash(record);
  if (!options_.expect_panic) {
    world_.Fail(options_.name + " " + text);
  }
  EndTurn(End::kPanic);
}

void SimMachine::Arm(Duration timeout) {
  watchdog_timeout_ = timeout;
  petted_ = world_now();
  const uint64_t generation = ++watchdog_generation_;
  world_.At(petted_ + timeout, "watchdog", [this, generation] { CheckWatchdog(generation); });
}

void SimMachine::Pet() { petted_ = world_now(); }

void SimMachine::Disarm() {
  watchdog_timeout_ = {};
  ++watchdog_generation_;
}

void SimMachine::CheckWatchdog(uint64_t generation) {
  if (generation != watchdog_generation_ || !powered_) {
    return;
  }
  const Instant due = petted_ + watchdog_timeout_;
  if (due > world_.now()) {
    world_.At(due, "watchdog", [this, generation] { CheckWatchdog(generation); });
    return;
  }
  world_.Fail(options_.name + " was reset by its watchdog");
  CrashRecord record;
  record.cause = CrashCause::kWatchdog;
  record.message.Assign("the loop has not turned");
  KeepCrash(record);
  AfterEnd(End::kWatchdog);
}

}  // namespace gh::sim
