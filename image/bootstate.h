// The boot state record: which slot to start, how often it was tried, and the security counter.
//
// Four copies, each its own block, kBootStateCopyStride apart. The checksum covers every byte of a
// copy: index, sequence and padding too, so that a copy in the wrong place or half written is not
// taken for a good one. The disk maker writes the first record; the loader's quorum, tries and
// confirmation come with the boot chain and decide by this layout.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hal/rt/result.h"
#include "image/limits.h"

namespace gh::image {

enum class SlotState : uint8_t {
  kEmpty = 0,
  kTrial = 1,      // started while tries are left
  kConfirmed = 2,  // passed the health check once
  kBad = 3,        // out of tries, or failed to verify
};

struct SlotRecord {
  SlotState state = SlotState::kEmpty;
  uint8_t tries_left = 0;
  uint64_t security_version = 0;
  uint64_t install_sequence = 0;  // the newest install wins
  friend bool operator==(const SlotRecord&, const SlotRecord&) = default;
};

enum class ResetIntent : uint8_t { kNone = 0, kKeepNetwork = 1, kEverything = 2 };

struct BootState {
  uint64_t sequence = 0;          // rises with every write
  uint64_t security_version = 0;  // never falls, not even in a factory reset
  uint64_t key_list_sequence = 0;
  std::array<SlotRecord, 2> slots;  // a, b
  ResetIntent reset_intent = ResetIntent::kNone;
  friend bool operator==(const BootState&, const BootState&) = default;
};

void EncodeBootState(const BootState& state, uint32_t copy_index,
                     std::span<uint8_t, kBootStateCopySize> out);
// kNotFound: not a record. kCorrupt: damaged, or not copy `copy_index`.
Result<BootState> DecodeBootState(std::span<const uint8_t, kBootStateCopySize> bytes,
                                  uint32_t copy_index);

}  // namespace gh::image
