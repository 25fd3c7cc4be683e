// Key lists: which release keys count, said by root keys. The way to add, remove and revoke release
// keys, and to ask for two signers instead of one, without a new loader.
//
// Two roles, as in TUF: a root key signs key lists and nothing else, a release key manifests and
// nothing else. The root keys are built into the loader; a list cannot change them. A list names
// all release keys: a built-in or earlier one that it does not name no longer counts, nor does one
// that it names as revoked. Its sequence never goes back: the boot state record keeps the highest
// that was confirmed.
//
//   "GATEKEYS" | u32 format | u32 list size | u32 signature count | u32 0 | KeyList | signatures
//
// It travels in a slot (image/slot.h) and lies in the boot state partition, in two entries. An
// update that brings a newer list is held against that list. Before its trial starts the loader
// writes the list into the entry that is not in force; in force is the valid entry of the highest
// sequence that is not above the record's. So confirming the update puts its list in force, by the
// one write of the record, and a trial that fails leaves the list before. At the next start the
// loader copies the list in force to the other entry too. A record that knows of a
// list which no entry holds any more opens nothing but a slot that brings it: that fails closed.
// Fault model: every byte is hostile until the root signatures are verified.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "hal/rt/result.h"
#include "image/bootstate_copies.h"
#include "image/limits.h"
#include "image/slot.h"

namespace gh::image {

using KeyListMessage = gatehouse_image_KeyList;

inline constexpr std::string_view kKeyListPurpose = "gatehouse.keylist.1";

// The parts of a list's bytes, sizes checked, nothing verified.
struct KeyListParts {
  std::span<const uint8_t> list;
  std::span<const uint8_t> signatures;  // records of image/slot.h
};
// `bytes` is exactly the list, or an area that begins with it (`is_exact` false).
Result<KeyListParts> ParseKeyList(std::span<const uint8_t> bytes, bool is_exact = true);
// Decoded and plausible; signatures are not looked at. For showing one.
Result<KeyListMessage> DecodeKeyList(std::span<const uint8_t> list);
// The header of a list with parts of these sizes.
void EncodeKeyListHeader(uint32_t list_size, uint32_t signature_count,
                         std::span<uint8_t, kKeyListHeaderSize> out);
inline uint32_t KeyListSize(const KeyListParts& parts) {
  return static_cast<uint32_t>(kKeyListHeaderSize + parts.list.size() + parts.signatures.size());
}

// All of it: signed by at least `root_signature_count_min` of the root keys among `keys`.
Result<void> VerifyKeyList(const KeyListParts& parts, std::span<const TrustedKey> keys,
                           uint32_t root_signature_count_min, KeyRing& out);

// The two entries of the boot state partition.
class KeyListArea {
 public:
  // `scratch` holds kKeyListSizeMax bytes and is only used during calls.
  KeyListArea(StateDisk& disk, std::span<uint8_t> scratch) : disk_(disk), scratch_(scratch) {}

  // The list in force by a record that knows `sequence_max`; UINT64_MAX: the record is lost, the
  // highest there is. sequence 0 in `out`: none.
  void Load(std::span<const TrustedKey> keys, uint32_t root_signature_count_min,
            uint64_t sequence_max, KeyRing& out);
  // After Load, with a list in force: makes the other entry its second copy.
  Result<void> Mirror();
  // Writes `bytes` into the entry that is not in force; durable when it returns ok. Nothing is
  // written when the entry holds them already.
  Result<void> Store(std::span<const uint8_t> bytes);

 private:
  StateDisk& disk_;
  std::span<uint8_t> scratch_;
  static uint64_t OffsetOf(uint32_t entry) {
    return kKeyListAreaOffset + uint64_t{entry} * kKeyListAreaStride;
  }
  uint32_t in_force_ = 1;  // so that the first list goes to entry 0
};

}  // namespace gh::image
