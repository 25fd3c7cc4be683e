// The smallest image the loader can start: says on COM1 what it was handed, then halts. It lets the
// boot tests do without the appliance.
#include <cstdint>

#include "boot/handover.h"

namespace {

void Put(char c) {
  uint8_t status = 0;
  do {  // NOLINT(bugprone-infinite-loop): the port changes it
    asm volatile("inb %1, %0" : "=a"(status) : "Nd"(uint16_t{0x3fd}));
  } while ((status & 0x20) == 0);
  asm volatile("outb %0, %1" : : "a"(c), "Nd"(uint16_t{0x3f8}));
}

void Text(const char* text) {
  while (*text != '\0') {
    Put(*text++);
  }
}

void Bytes(const uint8_t* bytes, uint64_t size) {
  for (uint64_t i = 0; i < size; ++i) {
    Put("0123456789abcdef"[bytes[i] >> 4]);
    Put("0123456789abcdef"[bytes[i] & 15]);
  }
}

void Number(const char* name, uint64_t value) {
  Text(name);
  for (int shift = 60; shift >= 0; shift -= 4) {
    Put("0123456789abcdef"[value >> shift & 15]);
  }
}

// A pointer in initialised data, which the loader has to relocate, and a byte that it has to zero.
const char* volatile relocated = "payload: relocated\r\n";
volatile uint64_t zeroed[1024];

}  // namespace

extern "C" [[gnu::used]] void _start(const gh::boot::Handover* handover) {
  Text(relocated);
  const bool is_good = handover->magic == gh::boot::kHandoverMagic &&
                       handover->size == sizeof(gh::boot::Handover) && zeroed[1023] == 0;
  Text(is_good ? "payload: handover good" : "payload: handover BAD");
  Text(", slot ");
  Put(handover->slot);
  Text(", version ");
  Text(handover->image_version);
  Text(", key id ");
  Text(handover->key_id);
  Number(", flags ", handover->flags);
  Number(", rsdp ", handover->acpi_rsdp);
  Number(", seed ", handover->seed_size);
  Number(", persistent ", handover->persistent_start);
  Text("\r\n");
  Number("payload: start reason ", static_cast<uint64_t>(handover->start_reason));
  Number(", tries left ", handover->tries_left);
  Number(", watchdog ms ", handover->watchdog_ms);
  Number(", floor ", handover->record_security_version);
  Number(", counter ", handover->counter_security_version);
  Number(" of kind ", static_cast<uint64_t>(handover->counter_kind));
  Number(", button ", handover->is_button_held);
  Number(", reset ", handover->reset_done);
  Text("\r\n");
  for (uint32_t i = 0; i < handover->failure_count; ++i) {
    Text("payload: failed ");
    Put(handover->failures[i].slot);
    Text(": ");
    Text(handover->failures[i].text);
    Text("\r\n");
  }
  for (uint32_t i = 0; i < handover->pcr_count; ++i) {
    Number("payload: pcr ", handover->pcrs[i].index);
    Text(" ");
    Bytes(handover->pcrs[i].sha256, sizeof(handover->pcrs[i].sha256));
    Text("\r\n");
  }
  uint64_t image_bytes = 0;
  for (uint32_t i = 0; i < handover->memory_range_count; ++i) {
    const gh::boot::MemoryRange& range = handover->memory_ranges[i];
    Number("payload: range ", range.start);
    Number(" ", range.size);
    Text(" kind ");
    Put(static_cast<char>('0' + static_cast<uint32_t>(range.kind)));
    Text("\r\n");
    image_bytes += range.kind == gh::boot::MemoryKind::kImage ? range.size : 0;
  }
  const bool covers = image_bytes == handover->image_size;
  Text(covers ? "payload: map covers the image\r\n" : "payload: map MISSES the image\r\n");
  for (;;) {
    asm volatile("cli; hlt");
  }
}
