// Lines for the boot console and the crash path: formatted on the stack, written synchronously to
// the serial port, no allocation, usable before anything else works. The appliance has its own log.
#pragma once

#include <cstdint>
#include <string_view>

#include "hal/rt/bytes.h"

namespace gh::pc {

struct Hex {
  uint64_t value;
  uint32_t digits = 1;
};

inline void Append(ByteWriter& writer, std::string_view text) { writer.Text(text); }
inline void Append(ByteWriter& writer, const char* text) { writer.Text(text); }
inline void Append(ByteWriter& writer, char c) { writer.Char(c); }
inline void Append(ByteWriter& writer, uint64_t value) { writer.Decimal(value); }
inline void Append(ByteWriter& writer, uint32_t value) { writer.Decimal(value); }
inline void Append(ByteWriter& writer, uint16_t value) { writer.Decimal(value); }
inline void Append(ByteWriter& writer, uint8_t value) { writer.Decimal(value); }
inline void Append(ByteWriter& writer, int64_t value) { writer.SignedDecimal(value); }
inline void Append(ByteWriter& writer, Hex hex) {
  writer.Text("0x");
  writer.Hex(hex.value, hex.digits);
}

// Waits for the serial port, but never longer than it takes to send `text` at 115200 baud.
void PrintText(std::string_view text);

// The same for text whose lines end in LF.
void PrintLines(std::string_view text);

template <typename... Parts>
void Print(Parts... parts) {
  uint8_t line[256];
  ByteWriter writer(line);
  (Append(writer, parts), ...);
  PrintText(writer.text());
  PrintText("\r\n");
}

}  // namespace gh::pc
