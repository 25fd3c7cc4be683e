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
  Console(efi::TextInput* input, efi::TextOutput* output);
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  void Text(std::string_view text);
  void Decimal(uint64_t value);
  void Hex(std::span<const uint8_t> bytes);
  void Line(std::string_view text) {
    Text(text);
    Text("\n");
  }
  void Put(char c);
  // A byte that was typed, if there is one. On COM1 only reliable while the firmware's own terminal
  // does not run (efi::kTplNotify).
  bool Get(uint8_t& byte);
  bool has_serial() const { return has_serial_; }
  // Somebody holds the line in BREAK, or pressed Escape or r while the firmware started.
  bool IsCalled();
  // UEFI's output is gone after ExitBootServices.
  void DropFallback() {
    input_ = nullptr;
    fallback_ = nullptr;
  }

 private:
  bool GetKey(efi::InputKey& key);
  efi::TextInput* input_;
  efi::TextOutput* fallback_;
  bool has_serial_;
};

}  // namespace gh::boot
