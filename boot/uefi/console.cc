#include "boot/uefi/console.h"

#include <array>

#include "boot/limits.h"
#include "boot/uefi/cpu.h"
#include "hal/rt/bytes.h"

namespace gh::boot {

namespace {

// 16550 at COM1.
constexpr uint16_t kPort = 0x3f8;
constexpr uint16_t kData = kPort;
constexpr uint16_t kInterruptEnable = kPort + 1;
constexpr uint16_t kFifoControl = kPort + 2;
constexpr uint16_t kLineControl = kPort + 3;
constexpr uint16_t kModemControl = kPort + 4;
constexpr uint16_t kLineStatus = kPort + 5;
constexpr uint16_t kScratch = kPort + 7;
constexpr uint8_t kDataReady = 0x01;
constexpr uint8_t kBreak = 0x10;
constexpr uint8_t kTransmitEmpty = 0x20;
constexpr uint8_t kEscape = 0x1b;
// A byte takes 87 us at 115200 baud: far fewer polls than this.
constexpr uint32_t kPollMax = 1 << 16;

bool ProbeSerial() {
  for (const uint8_t pattern : {uint8_t{0x5a}, uint8_t{0xa5}}) {
    Out8(kScratch, pattern);
    if (In8(kScratch) != pattern) {
      return false;
    }
  }
  return true;
}

void SetUpSerial() {
  Out8(kInterruptEnable, 0);
  Out8(kLineControl, 0x80);  // divisor latch
  Out8(kData, 1);            // 115200
  Out8(kInterruptEnable, 0);
  Out8(kLineControl, 0x03);  // 8 bits, no parity, 1 stop
  Out8(kFifoControl, 0x01);  // FIFOs on; what is in them stays
  Out8(kModemControl, 0x03);
}

}  // namespace

Console::Console(efi::TextInput* input, efi::TextOutput* output)
    : input_(input), fallback_(output), has_serial_(ProbeSerial()) {
  if (has_serial_) {
    SetUpSerial();
  }
}

void Console::Put(char c) {
  if (has_serial_) {
    for (uint32_t i = 0; i < kPollMax && (In8(kLineStatus) & kTransmitEmpty) == 0; ++i) {
      Pause();
    }
    Out8(kData, static_cast<uint8_t>(c));
    return;
  }
  if (fallback_ != nullptr) {
    const char16_t text[2] = {static_cast<char16_t>(c), 0};
    (void)fallback_->output_string(fallback_, text);
  }
}

bool Console::GetKey(efi::InputKey& key) {
  return input_ != nullptr && !efi::Failed(input_->read_key_stroke(input_, &key));
}

bool Console::Get(uint8_t& byte) {
  if (has_serial_) {
    if ((In8(kLineStatus) & kDataReady) == 0) {
      return false;
    }
    byte = In8(kData);
    return true;
  }
  efi::InputKey key = {};
  if (!GetKey(key) || key.unicode == 0 || key.unicode > 0x7f) {
    return false;
  }
  byte = static_cast<uint8_t>(key.unicode);
  return true;
}

bool Console::IsCalled() {
  bool is_called = has_serial_ && (In8(kLineStatus) & kBreak) != 0;
  uint8_t byte = 0;
  for (uint32_t i = 0; has_serial_ && i < kPendingKeyMax && Get(byte); ++i) {
    is_called = is_called || byte == kEscape;
  }
  efi::InputKey key = {};
  for (uint32_t i = 0; i < kPendingKeyMax && GetKey(key); ++i) {
    is_called = is_called || key.scan_code == efi::kScanEscape || key.unicode == u'r';
  }
  return is_called;
}

void Console::Text(std::string_view text) {
  for (char c : text) {
    if (c == '\n') {
      Put('\r');
    }
    Put(c);
  }
}

void Console::Decimal(uint64_t value) {
  std::array<uint8_t, 20> digits;
  ByteWriter writer(digits);
  writer.Decimal(value);
  Text(writer.text());
}

void Console::Hex(std::span<const uint8_t> bytes) {
  for (uint8_t byte : bytes) {
    std::array<uint8_t, 2> digits;
    ByteWriter writer(digits);
    writer.Hex(byte, 2);
    Text(writer.text());
  }
}

}  // namespace gh::boot
