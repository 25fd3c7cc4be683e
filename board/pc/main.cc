#include "board/pc/main.h"

#include "board/pc/apic.h"
#include "board/pc/clock.h"
#include "board/pc/cpu.h"
#include "board/pc/crash.h"
#include "board/pc/memory_map.h"
#include "board/pc/power.h"
#include "board/pc/print.h"
#include "board/pc/stacks.h"
#include "board/pc/uart.h"

namespace gh::pc {

void PcMain(const boot::Handover* handover) {
  console_uart.Initialise();
  Print("gatehouse: hello ", handover->memory_range_count, " ranges");
  InitialiseCrash(0, 0);
  InitialiseInterrupts();
  static MemoryMap map;
  GH_ASSERT(map.Load(*handover).ok());
  for (const auto& r : map.ranges()) Print(Hex{r.start, 12}, " ", Hex{r.size}, " ", static_cast<uint32_t>(r.kind));
  Print("reset");
  ResetMachine();
}

}  // namespace gh::pc
