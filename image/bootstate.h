// The boot state record: which slot to start, how often it was tried, what the operator asked for,
// and the security counter. Written by the loader and the firmware, one after the other, never at
// once.
//
// The partition:
//   0x00000  four copies of the record, kBootStateCopyStride apart, each its own block
//   0x40000  store key: what opens the store. The loader destroys it first in a factory reset
//   0x50000  key list, two copies (image/key_list.h)
//   0x70000  kept settings: what a factory reset that keeps the network leaves to the firmware
//   0x80000  reserved; erased by a factory reset (snapshots lie in the store)
//
// The checksum covers every byte of a copy: index, sequence and padding too, so that a copy in the
// wrong place or half written is not taken for a good one. How the copies are read and written:
// image/bootstate_copies.h. How the record may change: image/bootstate_changes.h.
// Fault model: broken, misplaced, stale and torn copies are seen or outvoted. The record is not a
// secret and not signed: who can write the disk can write it. What it can bring to start is signed
// all the same, and a hardware counter (boot/chain.h) keeps an older one from coming back.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"
#include "image/limits.h"

namespace gh::image {

inline constexpr uint32_t kBootSlotCount = 2;  // a, b

enum class SlotState : uint8_t {
  kEmpty = 0,
  kTrial = 1,      // started while tries are left
  kConfirmed = 2,  // passed the health check once
  kBad = 3,        // out of tries, failed to verify, or sent back; an update over it is possible
};

using SlotReason = FixedString<kSlotReasonSizeMax>;

struct SlotRecord {
  SlotState state = SlotState::kEmpty;
  uint8_t tries_left = 0;  // of a trial
  uint64_t security_version = 0;
  uint64_t install_sequence = 0;   // the newest install (or choice by the operator) wins
  uint64_t key_list_sequence = 0;  // of the list it was last verified by; 0: built-in keys
  uint8_t unhealthy_starts = 0;    // of a confirmed slot since it was last healthy
  SlotReason reason;               // why it is bad
  friend bool operator==(const SlotRecord&, const SlotRecord&) = default;
};

enum class ResetSource : uint8_t { kUnknown = 0, kOperator = 1, kButton = 2, kConsole = 3 };
enum class ResetIntent : uint8_t { kNone = 0, kKeepNetwork = 1, kEverything = 2 };

// What was started last: 0 a, 1 b, 2 golden.
inline constexpr uint8_t kStartedGolden = 2;
inline constexpr uint8_t kStartedNothing = 3;

// A slot that the loader gave up (or was told to): the firmware raises the alarm and acknowledges.
struct RevertRecord {
  uint8_t slot = kStartedNothing;  // which slot failed
  SlotReason reason;
  friend bool operator==(const RevertRecord&, const RevertRecord&) = default;
};

struct BootState {
  uint64_t sequence = 0;          // rises with every write
  uint64_t security_version = 0;  // never falls, not even in a factory reset
  uint64_t key_list_sequence = 0;
  std::array<SlotRecord, kBootSlotCount> slots;  // a, b
  ResetIntent reset_intent = ResetIntent::kNone;
  uint8_t reset_step = 0;                            // steps of the reset that are done
  ResetSource reset_source = ResetSource::kUnknown;  // who asked, for the log
  uint8_t tries = kTriesDefault;                     // given to the next install
  uint16_t confirm_seconds = kConfirmSecondsDefault;
  uint8_t started = kStartedNothing;
  bool is_started_on_trial = false;
  bool was_reset = false;  // a factory reset ended before this start; the firmware acknowledges
  RevertRecord revert;
  bool is_golden_next = false;  // the next start takes golden, once, by the operator's word
  friend bool operator==(const BootState&, const BootState&) = default;
};

void EncodeBootState(const BootState& state, uint32_t copy_index,
                     std::span<uint8_t, kBootStateCopySize> out);
// kNotFound: not a record. kCorrupt: damaged, or not copy `copy_index`.
Result<BootState> DecodeBootState(std::span<const uint8_t, kBootStateCopySize> bytes,
                                  uint32_t copy_index);

}  // namespace gh::image
