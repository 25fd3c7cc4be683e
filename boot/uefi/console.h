// The loader's console: COM1 where there is one, else UEFI's text output; never both, so that a
// serial log shows each line once. COM1 goes on working after boot services are left.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "boot/uefi/efi.h"

namespace gh::boot {

class Console {
 public:
  explicit Console(efi::TextOutput* fallback);
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  void Text(std::string_view text);
  void Decimal(uint64_t value);
  void Hex(std::span<const uint8_t> bytes);
  void Line(std::string_view text) {
    Text(text);
    Text("\n");
  }
  // UEFI's output is gone after ExitBootServices.
  void DropFallback() { fallback_ = nullptr; }

 private:
  void Put(char c);
  efi::TextOutput* fallback_;
  bool has_serial_;
};

}  // namespace gh::boot
