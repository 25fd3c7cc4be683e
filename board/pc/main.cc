#include "board/pc/main.h"

#include <cstddef>
#include <new>

#include "board/pc/control_flow.h"
#include "board/pc/cpu.h"
#include "board/pc/crash.h"
#include "board/pc/interrupts.h"
#include "board/pc/memory_map.h"
#include "board/pc/pc_machine.h"
#include "board/pc/print.h"
#include "board/pc/selftest.h"
#include "board/pc/stacks.h"
#include "board/pc/uart.h"
#include "firmware/appliance.h"
#include "version.h"

namespace gh::pc {
namespace {

using boot::MemoryKind;
using boot::MemoryRange;

// The first objects, before there is an arena.
alignas(MemoryMap) constinit uint8_t memory_map_storage[sizeof(MemoryMap)] = {};
alignas(PageTables) constinit uint8_t page_tables_storage[sizeof(PageTables)] = {};
alignas(Arena) constinit uint8_t arena_storage[sizeof(Arena)] = {};

void CheckHandover(const boot::Handover* handover) {
  GH_ASSERT(handover != nullptr);
  GH_ASSERT_EQ(handover->magic, boot::kHandoverMagic);
  GH_ASSERT_EQ(handover->version, boot::kHandoverVersion);
  // A later loader may say more, an earlier one less than this; the memory map is what we need.
  GH_ASSERT_GE(handover->size,
               offsetof(boot::Handover, memory_ranges) + sizeof(handover->memory_ranges));
  GH_ASSERT_LE(handover->memory_range_count, boot::kMemoryRangeMax);
  GH_ASSERT_EQ(handover->image_start, AddressOf(__image_start));
  GH_ASSERT_EQ(handover->image_size, AddressOf(__image_end) - AddressOf(__image_start));
}

void MapRange(PageTables& pages, const MemoryRange& range) {
  // Page 0 stays unmapped: a null pointer must fault.
  const uint64_t start = range.start == 0 ? kPageSize : range.start;
  const uint64_t size = range.size - (start - range.start);
  if (size == 0) {
    return;
  }
  switch (range.kind) {
    case MemoryKind::kFree:
    case MemoryKind::kLoader:
    case MemoryKind::kPersistent:
      pages.Map(start, size, PageRights::kReadWrite);
      return;
    case MemoryKind::kAcpiTables:
    case MemoryKind::kFirmwareRuntime:
      pages.Map(start, size, PageRights::kReadOnly);
      return;
    case MemoryKind::kImage: {
      const auto guards = GuardPages();
      pages.MapImage(guards);
      return;
    }
    case MemoryKind::kReserved:
    case MemoryKind::kMmio:
      return;
  }
}

void CheckPages(const PageTables& pages) {
  constexpr uint32_t kShadowBytes =
      kProcessorMax * (kMainShadowStackSize + kTrapStackCount * kTrapShadowStackSize);
  const PageAudit audit = pages.Audit();
  GH_ASSERT_EQ(audit.violation_count, 0u);
  GH_ASSERT(audit.executable_count != 0);
  GH_ASSERT_EQ(audit.shadow_count, kShadowBytes / kPageSize);
  GH_ASSERT(!pages.IsMapped(0));
  for (uint64_t guard : GuardPages()) {
    GH_ASSERT(!pages.IsMapped(guard));
  }
  Print("W^X verified: ", audit.page_count, " pages (", audit.executable_count, " executable, ",
        audit.mapped_bytes >> 20, " MiB mapped), ", kGuardPageCount, " guard pages, ",
        pages.protections());
}

// Our own map of memory; the arena is what remains of the largest free range.
Arena& TakeMemory(const MemoryMap& map, const ControlFlow& control_flow, PageTables*& pages) {
  const MemoryRange largest = map.LargestFree();
  const uint64_t gigabytes = map.ram_bytes() / kHugePageSize + 2;
  const uint64_t table_count = kTablePagesSpare + gigabytes + 4 * map.ranges().size();
  const uint64_t table_bytes = table_count * kPageSize;
  GH_ASSERT_GE(largest.size, table_bytes + kArenaSizeMin);
  auto* start = reinterpret_cast<uint8_t*>(largest.start);
  pages = new (page_tables_storage) PageTables({start, table_bytes});
  for (const MemoryRange& range : map.ranges()) {
    MapRange(*pages, range);
  }
  PrepareShadowStacks();
  pages->Activate();
  pages->Note(control_flow.text);
  Print("memory: ", map.ram_bytes() >> 20, " MiB RAM, arena ", (largest.size - table_bytes) >> 20,
        " MiB at ", Hex{largest.start + table_bytes}, ", image ",
        (AddressOf(__image_end) - AddressOf(__image_start)) >> 10, " KiB at ",
        Hex{AddressOf(__image_start)});
  CheckPages(*pages);
  return *new (arena_storage) Arena({start + table_bytes, largest.size - table_bytes});
}

[[noreturn]] void RunAppliance(PcMachine& board, PageTables& pages) {
  hal::Machine& machine = board.machine();
  machine.arena.OpenAccount("appliance");
  auto* appliance = machine.arena.New<Appliance>(machine);
  const Result<void> started = appliance->Start();
  if (!started.ok()) {
    Print("start failed: ", started.error().what);
    // Not a loop of restarts: the console stays readable until the operator acts, or the watchdog.
    for (;;) {
      board.idle().WaitUntil(Instant::Max());
    }
  }
  const Instant started_at = board.clock().Now();
  for (;;) {
    const Instant next = appliance->RunOnce();
    if (!board.self_test().empty()) {
      RunLateFault(board, pages, started_at);
    }
    board.idle().WaitUntil(next);
  }
}

}  // namespace

void PcMain(const boot::Handover* handover) {
  console_uart.Initialise();
  InitialiseCrash(0, 0);
  InitialiseInterrupts();
  Print("\r\nGatehouse ", kVersion, " commit ", kCommit, " build ", kBuildId);
  CheckHandover(handover);
  auto* map = new (memory_map_storage) MemoryMap();
  const Result<void> loaded = map->Load(*handover);
  if (!loaded.ok()) {
    GH_PANIC(loaded.error().what);
  }
  PageTables* pages = nullptr;
  const ControlFlow control_flow = ControlFlowOffered();
  Arena& arena = TakeMemory(*map, control_flow, pages);
  // From here on every return and indirect branch is checked, where the processor does that.
  if (control_flow.s_cet != 0) {
    LoadShadowStacks(kBootProcessor);
    SwitchControlFlowOn(control_flow.s_cet);
  }
  InitialiseCrash(handover->persistent_start, handover->persistent_size);
  const PreviousRun previous = TakePreviousRun();
  arena.OpenAccount("board/pc");
  auto* board = arena.New<PcMachine>(arena, *pages, *map, *handover, previous);
  Print("reset: ", ResetCauseName(board->machine().boot.report().cause),
        board->machine().boot.crash_record().empty() ? "" : ", with a crash record");
  if (!board->self_test().empty()) {
    RunSelfTest(*board, *pages, board->self_test());
  }
  RunAppliance(*board, *pages);
}

}  // namespace gh::pc
