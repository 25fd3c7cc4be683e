#include "boot/uefi/panic.h"

#include "boot/uefi/console.h"
#include "boot/uefi/cpu.h"

namespace gh::boot {

namespace {
Console* g_console = nullptr;
}  // namespace

void SetPanicConsole(Console* console) { g_console = console; }

void StopOnPanic(const char* message, const char* file, uint32_t line) {
  if (g_console != nullptr) {
    g_console->Text("loader: PANIC: ");
    g_console->Text(message);
    g_console->Text(" at ");
    g_console->Text(file);
    g_console->Text(":");
    g_console->Decimal(line);
    g_console->Text("\n");
  }
  StopForGood();
}

void StopForGood() {
  for (;;) {
    DisableInterrupts();
    Halt();
  }
}

}  // namespace gh::boot
