#include "boot/uefi/fw_cfg.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <string_view>

#include "boot/limits.h"
#include "boot/uefi/cpu.h"
#include "hal/rt/bytes.h"

namespace gh::boot {

namespace {

constexpr uint16_t kSelector = 0x510;
constexpr uint16_t kData = 0x511;
constexpr uint16_t kSignature = 0x0000;
constexpr uint16_t kDirectory = 0x0019;
constexpr uint32_t kEntrySize = 64;
constexpr uint32_t kNameSize = 56;
constexpr std::string_view kPrefix = "opt/gatehouse/";
constexpr std::array<std::string_view, 3> kNames = {"reset-button", "recovery", "loader-watchdog"};

struct File {
  uint16_t selector = 0;
  uint32_t size = 0;
};

void InBytes(std::span<uint8_t> out) {
  for (uint8_t& byte : out) {
    byte = In8(kData);
  }
}

// 0 for a file that is not there or is no number.
uint32_t ReadNumber(const File& file, uint32_t fallback) {
  std::array<uint8_t, kFwCfgTextMax> text = {};
  if (file.size == 0 || file.size > text.size()) {
    return fallback;
  }
  Out16(kSelector, file.selector);
  InBytes(std::span(text).first(file.size));
  uint32_t value = 0;
  const std::string_view view = AsText(std::span(text).first(file.size));
  const auto parsed = std::from_chars(view.data(), view.data() + view.size(), value);
  return parsed.ec == std::errc() ? value : fallback;
}

}  // namespace

MachineSettings ReadMachineSettings() {
  MachineSettings settings;
  settings.watchdog_seconds = kWatchdogSecondsDefault;
  std::array<uint8_t, kEntrySize> bytes = {};
  if (!IsUnderHypervisor()) {
    return settings;
  }
  Out16(kSelector, kSignature);
  InBytes(std::span(bytes).first(4));
  if (AsText(std::span(bytes).first(4)) != "QEMU") {
    return settings;
  }
  Out16(kSelector, kDirectory);
  InBytes(std::span(bytes).first(4));
  const uint32_t count = ByteReader(std::span(bytes).first(4)).U32Be();
  std::array<File, kNames.size()> files;
  for (uint32_t i = 0; i < count && i < kFwCfgFileMax; ++i) {
    InBytes(bytes);
    ByteReader reader(bytes);
    File file;
    file.size = reader.U32Be();
    file.selector = reader.U16Be();
    reader.Skip(2);
    std::string_view name = AsText(reader.Take(kNameSize));
    name = name.substr(0, name.find('\0'));
    for (size_t k = 0; name.starts_with(kPrefix) && k < kNames.size(); ++k) {
      if (name.substr(kPrefix.size()) == kNames[k]) {
        files[k] = file;
      }
    }
  }
  settings.is_reset_button_down = ReadNumber(files[0], 0) == 1;
  settings.is_recovery_wanted = ReadNumber(files[1], 0) == 1;
  settings.watchdog_seconds =
      std::min(ReadNumber(files[2], kWatchdogSecondsDefault), kWatchdogSecondsMax);
  return settings;
}

}  // namespace gh::boot
