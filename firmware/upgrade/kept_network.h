// The network settings beside the store, for a factory reset that keeps them.
//
// The area (image/bootstate.h, "kept settings") follows the settings in force, so that also a reset
// asked for at the loader's recovery console, or the loss of the store, finds them. It holds
// settings of the network and nothing secret: config::IsNetworkSetting says which, when it is
// written and again when it is read. A reset of everything erases it (boot/chain_reset.cc).
//
//   "GHKEPT01" | u32 size of rows | u32 0 | hash | rows: u16 key size | u16 value size | key |
//   value
//
// Two copies, half of the area each, written one after the other: a cut leaves one of them whole.
// Fault model: the area holds anything; a copy counts when its checksum does, and each row is
// outside data to who takes it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/config/settings.h"
#include "firmware/store/store.h"
#include "firmware/upgrade/boot_record.h"
#include "hal/rt/arena.h"

namespace gh::upgrade {

class KeptNetwork {
 public:
  static constexpr uint32_t kCopyBytes = image::kKeptSettingsSize / 2;
  static constexpr uint32_t kHeaderBytes = 48;

  KeptNetwork(Arena& arena, BootRecord& record);
  KeptNetwork(const KeptNetwork&) = delete;
  KeptNetwork& operator=(const KeptNetwork&) = delete;

  // Makes the area say what `settings` say; nothing is written when it does already.
  Result<void> Keep(const config::RawSettings& settings);
  // Hands out every row that was kept. False: nothing was.
  Result<bool> ForEach(store::EntryVisitor& visitor);

  // Bytes of a copy, for tests and the fuzzer. kNotFound: none. kCorrupt: damaged.
  static Result<void> Parse(std::span<const uint8_t> copy, store::EntryVisitor& visitor);

 private:
  Result<void> WriteCopy(uint32_t index);

  BootRecord& record_;
  std::span<uint8_t> wanted_;
  std::span<uint8_t> found_;
};

}  // namespace gh::upgrade
