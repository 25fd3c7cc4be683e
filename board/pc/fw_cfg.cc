#include "board/pc/fw_cfg.h"

#include <array>
#include <cstring>

#include "board/pc/cpu.h"
#include "board/pc/limits.h"
#include "hal/rt/bytes.h"

namespace gh::pc {
namespace {

constexpr uint16_t kSelector = 0x510;
constexpr uint16_t kData = 0x511;
constexpr uint16_t kSignature = 0x0000;
constexpr uint16_t kDirectory = 0x0019;
constexpr uint32_t kEntrySize = 64;
constexpr uint32_t kNameSize = 56;

}  // namespace

Result<void> FwCfg::Initialise() {
  constexpr uint32_t kHypervisor = 1u << 31;
  std::array<uint8_t, 4> signature = {};
  if ((Cpuid(1).ecx & kHypervisor) != 0) {
    Out16(kSelector, kSignature);
    InBytes(kData, signature.data(), signature.size());
  }
  if (AsText(signature) != "QEMU") {
    return Error(ErrorCode::kNoDevice, "no fw_cfg");
  }
  present_ = true;
  return Ok();
}

Result<FwCfg::Entry> FwCfg::Find(std::string_view name) const {
  if (!present_) {
    return Error(ErrorCode::kNoDevice, "no fw_cfg");
  }
  std::array<uint8_t, kEntrySize> bytes = {};
  Out16(kSelector, kDirectory);
  InBytes(kData, bytes.data(), 4);
  const uint32_t count = ByteReader(std::span(bytes).first(4)).U32Be();
  for (uint32_t i = 0; i < count && i < kFwCfgFileMax; ++i) {
    InBytes(kData, bytes.data(), bytes.size());
    ByteReader reader(bytes);
    Entry entry;
    entry.size = reader.U32Be();
    entry.selector = reader.U16Be();
    reader.Skip(2);
    std::string_view entry_name = AsText(reader.Take(kNameSize));
    entry_name = entry_name.substr(0, entry_name.find('\0'));
    if (entry_name == name) {
      return entry;
    }
  }
  return Error(ErrorCode::kNotFound, "no such fw_cfg file");
}

bool FwCfg::Has(std::string_view name) const { return Find(name).ok(); }

Result<uint32_t> FwCfg::Read(std::string_view name, std::span<uint8_t> out) const {
  GH_TRY_ASSIGN(const Entry entry, Find(name));
  if (entry.size > out.size()) {
    return Error(ErrorCode::kTooLarge, "fw_cfg file is too large");
  }
  Out16(kSelector, entry.selector);
  InBytes(kData, out.data(), entry.size);
  return entry.size;
}

}  // namespace gh::pc
