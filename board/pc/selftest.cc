#include "board/pc/selftest.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "board/pc/cpu.h"
#include "board/pc/image_layout.h"
#include "board/pc/interrupts.h"
#include "board/pc/print.h"
#include "board/pc/stacks.h"

namespace gh::pc {
namespace {

struct Context {
  PcMachine& board;
  PageTables& pages;
};

// --- Faults: each of these must end in a crash record and a reset
// ----------------------------------
void Panic(Context&) { GH_ASSERT_EQ(2 + 2, 5); }

void NullRead(Context&) {
  const volatile uint64_t* volatile nothing = nullptr;
  Print("selftest null: read ", *nothing);  // NOLINT(clang-analyzer-core.NullDereference)
}

void WriteText(Context&) {
  // NOLINTNEXTLINE: that it faults is the test.
  *reinterpret_cast<volatile uint8_t*>(AddressOf(__text_start)) = 0x90;
  Print("selftest write-text: written");
}

void WriteConstant(Context&) {
  *reinterpret_cast<volatile uint8_t*>(AddressOf(__text_end)) = 0;
  Print("selftest write-constant: written");
}

void ExecuteData(Context&) {
  static uint8_t code[] = {0xc3};  // ret
  reinterpret_cast<void (*)()>(AddressOf(code))();
  Print("selftest execute-data: executed");
}

uint32_t Recurse(uint32_t depth) {
  volatile uint8_t frame[512];
  std::memset(const_cast<uint8_t*>(frame), static_cast<int>(depth & 0xff), sizeof(frame));
  return depth == UINT32_MAX ? 0 : Recurse(depth + 1) + frame[depth % sizeof(frame)];
}
void Overflow(Context&) { Print("selftest overflow: ", Recurse(0)); }

[[gnu::noinline]] void Smash(volatile uint8_t* at) {
  for (uint32_t i = 0; i < 64; ++i) {
    at[i] = 0x41;
  }
}
[[gnu::noinline]] void SmashCaller() {
  volatile uint8_t room[16];
  Smash(room);
}
void Canary(Context&) {
  SmashCaller();
  Print("selftest canary: returned");
}

void Allocate(Context&) {
  void* volatile taken = std::malloc(16);
  Print("selftest malloc: ", Hex{AddressOf(taken)});
}

// Caught by the loop's own limit, with a record.
void Hang(Context& context) {
  context.board.watchdog().Arm(Duration::Seconds(4));
  for (;;) {
    Pause();
  }
}

// Interrupts off: only the hardware helps.
void HardHang(Context& context) {
  context.board.watchdog().Arm(Duration::Seconds(4));
  DisableInterrupts();
  for (;;) {
    Pause();
  }
}

// Turns, but never pets.
void Neglect(Context& context) {
  context.board.watchdog().Arm(Duration::Seconds(4));
  for (;;) {
    context.board.idle().WaitUntil(context.board.clock().Now() + Duration::Milliseconds(100));
  }
}

// Runs over the end of each stack there is besides the main one.
[[gnu::used]] void OverflowHere() { Print("selftest overflow: ", Recurse(0)); }
template <uint32_t Index>
void OverflowTrapStack(Context&) {
  static_assert(Index < kTrapStackCount);
  asm volatile("movq %0, %%rsp\n xorl %%ebp, %%ebp\n call *%1\n ud2\n"
               :
               : "r"(trap_stacks[Index].top()), "r"(&OverflowHere)
               : "memory");
}

// While the appliance runs, so that the record has its last events; in the first run only.
constexpr Duration kLateFaultAfter = Duration::Seconds(3);
using FaultCommand = void (*)(Context&);
constinit FaultCommand late_fault = nullptr;

void HangLate(Context&) {
  for (;;) {
    Pause();
  }
}
template <auto Fault>
void Later(Context& context) {
  if (context.board.machine().boot.report().cause == hal::ResetCause::kPowerOn) {
    late_fault = Fault;
  }
}

void Restart(Context& context) { context.board.machine().boot.Restart(); }
void PowerOff(Context& context) { context.board.machine().boot.PowerOff(); }

// --- Devices
// ---------------------------------------------------------------------------------------

// A watchdog that is petted must not fire.
void Pet(Context& context) {
  PcWatchdog& watchdog = context.board.watchdog();
  watchdog.Arm(Duration::Seconds(2));
  for (uint32_t i = 0; i < 8; ++i) {
    context.board.idle().WaitUntil(context.board.clock().Now() + Duration::Milliseconds(500));
    watchdog.Pet();
  }
  watchdog.Disarm();
  Print("selftest pet: ok");
}

// Ten seconds asleep: how often were we woken?
void Sleep(Context& context) {
  PcClock& clock = context.board.clock();
  const auto interrupts = [] {
    const InterruptCounts& counts = interrupt_counts();
    uint64_t sum = counts.timer + counts.uart + counts.other;
    for (uint64_t count : counts.device) {
      sum += count;
    }
    return sum;
  };
  const uint64_t before = interrupts();
  const uint64_t halts = context.board.idle().halt_count();
  const Instant start = clock.Now();
  const Instant end = start + Duration::Seconds(10);
  Print("selftest sleep: begins");
  while (clock.Now() < end) {
    context.board.idle().WaitUntil(end);
  }
  Print("selftest sleep: ", interrupts() - before, " interrupts, ",
        context.board.idle().halt_count() - halts, " halts in ",
        (clock.Now() - start).milliseconds(), " ms");
}

// Timer accuracy: 100 sleeps of 10 ms.
void Ticks(Context& context) {
  PcClock& clock = context.board.clock();
  const Instant start = clock.Now();
  Duration late_max;
  for (int64_t i = 1; i <= 100; ++i) {
    const Instant due = start + Duration::Milliseconds(10) * i;
    while (clock.Now() < due) {
      context.board.idle().WaitUntil(due);
    }
    const Duration late = clock.Now() - due;
    late_max = late > late_max ? late : late_max;
  }
  Print("selftest ticks: 100 sleeps of 10 ms took ", (clock.Now() - start).milliseconds(),
        " ms, latest ", late_max.microseconds(), " us");
}

// Writes, flushes and reads back the last blocks of the log partition, many requests at once.
void Blocks(Context& context) {
  hal::Machine& machine = context.board.machine();
  if (machine.log == nullptr) {
    Print("selftest blocks: no log partition");
    return;
  }
  hal::BlockDevice& disk = *machine.log;
  constexpr uint32_t kCount = 100;
  constexpr uint32_t kBlocksEach = 8;
  const uint32_t bytes = kBlocksEach * disk.block_size();
  auto data = machine.arena.NewArray<uint8_t>(kCount * bytes);
  auto requests = machine.arena.NewArray<hal::BlockRequest>(kCount);
  const uint64_t first = disk.block_count() - kCount * kBlocksEach;
  uint32_t done_count = 0;
  const auto run = [&](hal::BlockOp op) {
    uint32_t failed = 0;
    done_count = 0;
    for (uint32_t i = 0; i < kCount; ++i) {
      hal::BlockRequest& r = requests[i];
      r.op = op;
      r.block = first + i * kBlocksEach;
      r.block_count = kBlocksEach;
      r.data = data.data() + i * bytes;
      r.context = &done_count;
      r.done = [](hal::BlockRequest& request) { ++*static_cast<uint32_t*>(request.context); };
      for (Result<void> taken = disk.Submit(r); !taken.ok(); taken = disk.Submit(r)) {
        GH_ASSERT(taken.code() == ErrorCode::kExhausted);
        (void)disk.Poll();
      }
    }
    while (done_count < kCount) {
      (void)disk.Poll();
    }
    for (const hal::BlockRequest& r : requests) {
      failed += r.status != ErrorCode::kOk;
    }
    return failed;
  };
  for (uint32_t i = 0; i < data.size(); ++i) {
    data[i] = static_cast<uint8_t>(i * 7 + i / 512);
  }
  uint32_t failed = run(hal::BlockOp::kWrite);
  failed += FlushBlocks(disk).ok() ? 0 : 1;
  std::memset(data.data(), 0, data.size());
  failed += run(hal::BlockOp::kRead);
  uint32_t wrong = 0;
  for (uint32_t i = 0; i < data.size(); ++i) {
    wrong += data[i] != static_cast<uint8_t>(i * 7 + i / 512);
  }
  Print("selftest blocks: ", kCount, " writes and reads, ", failed, " failed, ", wrong,
        " bytes wrong");
}

// Asks the gateway of QEMU's user network for its address by ARP, and waits for the answer asleep.
void Arp(Context& context) {
  hal::Machine& machine = context.board.machine();
  hal::EthernetPort* port = machine.ports[0];
  hal::Frame* frame = machine.frames.Allocate();
  if (port == nullptr || frame == nullptr) {
    Print("selftest arp: no port");
    return;
  }
  const uint32_t free_before = machine.frames.free_count();
  constexpr uint8_t kHead[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  constexpr uint8_t kBody[] = {0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1};
  constexpr uint8_t kOwn[] = {10, 0, 2, 15};
  constexpr uint8_t kTarget[] = {0, 0, 0, 0, 0, 0, 10, 0, 2, 2};
  const hal::MacAddress mac = port->mac();
  frame->size = 60;
  std::memset(frame->data(), 0, frame->size);
  ByteWriter out(frame->bytes());
  out.Bytes(kHead);
  out.Bytes(mac);
  out.Bytes(kBody);
  out.Bytes(mac);
  out.Bytes(kOwn);
  out.Bytes(kTarget);
  port->Transmit({&frame, 1});
  port->Flush();
  bool is_answered = false;
  const Instant end = context.board.clock().Now() + Duration::Seconds(3);
  while (!is_answered && context.board.clock().Now() < end) {
    context.board.idle().WaitUntil(end);
    std::array<hal::Frame*, hal::kFrameBatchMax> batch;
    const uint32_t count = port->Receive(batch);
    for (uint32_t i = 0; i < count; ++i) {
      const auto bytes = batch[i]->bytes();
      is_answered = is_answered || (bytes.size() >= 42 && bytes[12] == 8 && bytes[13] == 6 &&
                                    bytes[21] == 2 && bytes[28] == 10 && bytes[31] == 2);
      machine.frames.Release(batch[i]);
    }
    port->Flush();
  }
  Print("selftest arp: ", is_answered ? "answered" : "no answer", ", ",
        free_before + 1 == machine.frames.free_count() ? "no frame lost" : "a frame was lost");
}

void Entropy(Context& context) {
  std::array<uint8_t, 4096> bytes;
  const Instant start = context.board.clock().Now();
  context.board.machine().entropy.Fill(bytes);
  uint32_t ones = 0;
  for (uint8_t byte : bytes) {
    ones += static_cast<uint32_t>(__builtin_popcount(byte));
  }
  Print("selftest entropy: ", context.board.machine().entropy.source(), ", ", ones,
        " of 32768 bits set, ", (context.board.clock().Now() - start).microseconds(), " us");
}

// Echoes what comes over the token link until the other end closes.
void Token(Context& context) {
  hal::TokenLink* link = context.board.machine().token;
  if (link == nullptr) {
    Print("selftest token: no link");
    return;
  }
  const Instant end = context.board.clock().Now() + Duration::Seconds(30);
  uint64_t echoed = 0;
  bool was_connected = false;
  while (context.board.clock().Now() < end && (link->connected() || !was_connected)) {
    std::array<uint8_t, 1000> bytes;
    uint32_t count = link->Read(bytes);
    was_connected = was_connected || link->connected();
    for (uint32_t sent = 0; sent < count && link->connected();) {
      sent += link->Write(std::span(bytes).subspan(sent, count - sent));
    }
    echoed += count;
    if (count == 0) {
      context.board.idle().WaitUntil(end);
    }
  }
  Print("selftest token: echoed ", echoed, " bytes");
}

// Echoes the serial console until a dot.
void Echo(Context& context) {
  hal::SerialPort& console = context.board.machine().console;
  Print("selftest echo: type");
  for (;;) {
    std::array<uint8_t, 64> bytes;
    const uint32_t count = console.Read(bytes);
    for (uint32_t sent = 0; sent < count;) {
      sent += console.Write(std::span(bytes).subspan(sent, count - sent));
    }
    if (count != 0 && bytes[count - 1] == '.') {
      Print("");
      Print("selftest echo: ok");
      return;
    }
    if (count == 0) {
      context.board.idle().WaitUntil(Instant::Max());
    }
  }
}

// Device windows that firmware tables could name wrongly must be refused.
void Windows(Context& context) {
  const auto code = [&](uint64_t address, uint64_t size) {
    return static_cast<uint32_t>(context.pages.MapMmio(address, size).code());
  };
  Print("selftest windows: text ", code(AddressOf(__text_start), 4096), ", null ", code(0, 4096),
        ", huge ", code(1ull << 40, 1ull << 40), ", beyond ", code(1ull << 62, 4096));
}

// Watches LAN1's link go down and come up again, asleep in between.
void Link(Context& context) {
  hal::EthernetPort* port = context.board.machine().ports[0];
  if (port == nullptr) {
    Print("selftest link: no port");
    return;
  }
  Print("selftest link: watching");
  const Instant end = context.board.clock().Now() + Duration::Seconds(60);
  uint32_t change_count = 0;
  bool was_up = port->link_up();
  while (change_count < 2 && context.board.clock().Now() < end) {
    context.board.idle().WaitUntil(end);
    std::array<hal::Frame*, hal::kFrameBatchMax> batch;
    for (uint32_t count = port->Receive(batch); count != 0;) {
      context.board.machine().frames.Release(batch[--count]);
    }
    if (port->link_up() != was_up) {
      was_up = port->link_up();
      ++change_count;
      Print("selftest link: ", was_up ? "up" : "down");
    }
  }
}

void Clock(Context& context) {
  hal::Clock& clock = context.board.machine().clock;
  const int64_t before = clock.Wall().unix_seconds();
  clock.SetWall((before + 3600) * 1'000'000'000);
  PcClock fresh;
  Print("selftest clock: ", before, " then ", clock.Wall().unix_seconds());
}

// --- The second processor -----------------------------------------------------------------------

// Counts its turns, or fails as it is told to.
class MediaBody final : public hal::ProcessorBody {
 public:
  explicit MediaBody(void (*fail)() = nullptr) : fail_(fail) {}
  Instant RunOnce() override {
    if (fail_ != nullptr) {
      fail_();
    }
    turns.fetch_add(1);
    return Instant::Max();
  }
  std::atomic<uint64_t> turns = 0;

 private:
  void (*fail_)();
};

constexpr Duration kMediaWait = Duration::Seconds(5);
constexpr uint64_t kMediaWakes = 1000;

// Each wake-up of a processor that sleeps must give a turn.
void Media(Context& context) {
  PcMachine& board = context.board;
  static MediaBody body;
  if (board.machine().media == nullptr || !board.machine().media->Start(body).ok()) {
    Print("selftest media: no second processor");
    return;
  }
  const Instant start = board.clock().Now();
  uint64_t lost = 0;
  for (uint64_t i = 0; i < kMediaWakes && lost == 0; ++i) {
    const uint64_t before = body.turns;
    board.machine().media->WakeMedia();
    const Instant end = board.clock().Now() + kMediaWait;
    while (body.turns == before && lost == 0) {
      lost += board.clock().Now() > end ? 1 : 0;
      Pause();
    }
  }
  const Duration spent = board.clock().Now() - start;
  Print("selftest media: ", kMediaWakes, " wakes, ", lost, " lost, ",
        spent.microseconds() / static_cast<int64_t>(kMediaWakes), " us each");
}

template <void (*Fail)()>
void MediaFault(Context& context) {
  static MediaBody body(Fail);
  GH_ASSERT(context.board.machine().media != nullptr);
  GH_ASSERT(context.board.machine().media->Start(body).ok());
  BusyWait(context.board.clock(), kMediaWait);
  Print("selftest media: still here");
}

void FailOnMedia() { GH_ASSERT_EQ(2 + 2, 5); }
void OverflowOnMedia() { OverflowHere(); }
void ReadNullOnMedia() {
  volatile const uint64_t* volatile nowhere = nullptr;
  (void)*nowhere;
}
// As if it had died: it hears nothing any more.
void KillMedia(Context& context) { context.board.StopMedia(); }

struct Command {
  std::string_view name;
  void (*run)(Context& context);
};
constexpr Command kCommands[] = {
    {"panic", Panic},
    {"null", NullRead},
    {"write-text", WriteText},
    {"hang", Hang},
    {"hard-hang", HardHang},
    {"neglect", Neglect},
    {"panic-later", Later<Panic>},
    {"null-later", Later<NullRead>},
    {"hang-later", Later<HangLate>},
    {"overflow-fault-stack", OverflowTrapStack<0>},
    {"overflow-double-fault-stack", OverflowTrapStack<1>},
    {"overflow-nmi-stack", OverflowTrapStack<2>},
    {"overflow-machine-check-stack", OverflowTrapStack<3>},
    {"execute-data", ExecuteData},
    {"canary", Canary},
    {"overflow", Overflow},
    {"write-constant", WriteConstant},
    {"malloc", Allocate},
    {"restart", Restart},
    {"power-off", PowerOff},
    {"pet", Pet},
    {"sleep", Sleep},
    {"ticks", Ticks},
    {"blocks", Blocks},
    {"arp", Arp},
    {"entropy", Entropy},
    {"token", Token},
    {"echo", Echo},
    {"windows", Windows},
    {"clock", Clock},
    {"link", Link},
    {"media", Media},
    {"media-panic", MediaFault<FailOnMedia>},
    {"media-null", MediaFault<ReadNullOnMedia>},
    {"media-overflow", MediaFault<OverflowOnMedia>},
    {"media-dies-later", Later<KillMedia>},
};

}  // namespace

void RunSelfTest(PcMachine& board, PageTables& pages, std::string_view commands) {
  Context context{board, pages};
  constexpr std::string_view kSpace = " \t\r\n";
  while (true) {
    commands.remove_prefix(std::min(commands.find_first_not_of(kSpace), commands.size()));
    if (commands.empty()) {
      return;
    }
    const std::string_view name = commands.substr(0, commands.find_first_of(kSpace));
    commands.remove_prefix(name.size());
    bool found = false;
    for (const Command& command : kCommands) {
      if (command.name == name) {
        found = true;
        Print("selftest ", name);
        command.run(context);
      }
    }
    if (!found) {
      Print("selftest ", name, ": no such command");
    }
  }
}

void RunLateFault(PcMachine& board, PageTables& pages, Instant started) {
  if (late_fault == nullptr || board.clock().Now() - started < kLateFaultAfter) {
    return;
  }
  Context context{board, pages};
  late_fault(context);
}

}  // namespace gh::pc
