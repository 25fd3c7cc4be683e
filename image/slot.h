// The slot: one signed image, on disk and as an update file, byte for byte the same.
//
//   header (4096 bytes, CRC) | manifest | signatures | key list | leaf table | payload
// Each part starts at a multiple of 4096; the bytes between parts are zero and are checked.
//
// The order of use is the order of trust, and nothing is used earlier:
//   1. ParseSlotHeader: lengths, each capped before arithmetic. Not signed; a lie makes 2 or 3
//   fail.
//   2. VerifyMetadata: the key list the slot may bring, signed by root keys; Ed25519 signatures
//   over the exact manifest bytes by trusted release keys,
//      then the manifest is decoded and held against the policy, then the leaf table must give each
//      segment's signed root.
//   3. VerifyBlock for every block before its bytes are used.
// Fault model: everything on the disk is hostile. Fails closed: no trusted key, no image.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/signature.h"
#include "hal/rt/result.h"
#include "image/limits.h"
#include "image/manifest.pb.h"
#include "image/tree.h"

namespace gh::image {

using Manifest = gatehouse_image_Manifest;
using Segment = gatehouse_image_Segment;

inline constexpr std::string_view kManifestPurpose = "gatehouse.manifest.1";
inline constexpr std::string_view kProduct = "gatehouse";

struct SlotLayout {
  uint32_t manifest_size = 0;
  uint32_t signatures_size = 0;
  uint32_t key_list_size = 0;
  uint32_t tree_size = 0;
  uint64_t payload_size = 0;
  // Offsets of the parts from the slot's start.
  uint32_t manifest_offset = 0;
  uint32_t signatures_offset = 0;
  uint32_t key_list_offset = 0;
  uint32_t tree_offset = 0;
  uint32_t payload_offset = 0;  // also the size of header and metadata together
  uint64_t total_size = 0;
};

// `first` holds at least kSlotHeaderSize bytes; `capacity` is the partition's or file's size.
// kNotFound: no slot here at all. kCorrupt, kTooLarge, kMalformed, kUnsupported otherwise.
Result<SlotLayout> ParseSlotHeader(std::span<const uint8_t> first, uint64_t capacity);
// Offsets of parts of these sizes, and the header block that says so; for writers.
Result<SlotLayout> MakeSlotLayout(SlotLayout sizes);
void EncodeSlotHeader(const SlotLayout& layout, std::span<uint8_t, kSlotHeaderSize> out);

// One detached signature; `signatures` is a row of these, nothing else.
inline constexpr uint32_t kSignatureRecordSize = 80;
inline constexpr uint32_t kSignatureEd25519 = 1;
struct SignatureRecord {
  crypto::KeyId key_id;
  uint32_t algorithm;  // kSignatureEd25519
  uint32_t reserved;   // 0
  crypto::Signature signature;
};
void EncodeSignature(const SignatureRecord& record, std::span<uint8_t, kSignatureRecordSize> out);
SignatureRecord DecodeSignature(std::span<const uint8_t, kSignatureRecordSize> bytes);

struct TrustedKey {
  crypto::PublicKey key;
  gatehouse_image_KeyRole role;
  bool is_development;
};

// The release keys that a key list says count (image/key_list.h). sequence 0: there is no list, the
// built-in release keys count.
struct KeyRing {
  uint64_t sequence = 0;
  uint32_t signature_count_min = 1;
  uint32_t count = 0;
  std::array<TrustedKey, kTrustedKeyCountMax> keys = {};
  std::span<const TrustedKey> all() const { return {keys.data(), count}; }
};

// What a machine accepts.
struct TrustPolicy {
  std::span<const TrustedKey> keys;  // built in: root keys sign key lists, release keys manifests
  const KeyRing* ring = nullptr;     // the key list in force; null: none
  uint64_t key_list_sequence_min = 0;
  uint32_t root_signature_count_min = 1;
  uint32_t signature_count_min = 1;
  std::string_view product = kProduct;
  std::string_view board;
  uint32_t loader_version = 0;
  uint64_t security_version_min = 0;
};

// A manifest that was verified, and where its leaves are. Points into the metadata given.
struct VerifiedSlot {
  SlotLayout layout;
  Manifest manifest = gatehouse_image_Manifest_init_zero;
  std::span<const uint8_t> leaves;
  crypto::KeyId key_id = {};          // of the first valid signature
  uint32_t signature_count = 0;       // valid ones by trusted release keys
  bool is_development = false;        // marked so, or signed by a development key
  uint64_t key_list_sequence = 0;     // of the list it was held against; 0: built-in keys
  std::span<const uint8_t> key_list;  // the list it brings, if newer than the one in force
  uint32_t block_count() const { return static_cast<uint32_t>(leaves.size() / kHashSize); }
};

// `metadata` is the slot's first layout.payload_offset bytes and must outlive `out`. The error's
// text names the check that failed.
Result<void> VerifyMetadata(const SlotLayout& layout, std::span<const uint8_t> metadata,
                            const TrustPolicy& policy, VerifiedSlot& out);

// A manifest's bytes, decoded and plain; its signatures are not looked at. For showing one.
Result<Manifest> DecodeManifest(std::span<const uint8_t> bytes);

// Whether block `index` of the payload is the one that was signed. `block` is a whole block.
bool VerifyBlock(const VerifiedSlot& slot, uint32_t index, std::span<const uint8_t> block);

// All blocks of a payload in memory. On kCorrupt, `bad_block` is the first bad one.
Result<void> VerifyPayload(const VerifiedSlot& slot, std::span<const uint8_t> payload,
                           uint32_t& bad_block);

// Blocks a segment takes up, and the first one's index; the manifest is verified.
uint32_t SegmentBlockCount(const Manifest& manifest, uint32_t segment_index);
uint32_t SegmentFirstBlock(const Manifest& manifest, uint32_t segment_index);
// The segment that block `index` belongs to.
uint32_t SegmentOfBlock(const Manifest& manifest, uint32_t index);
// Index of the one firmware segment; there is one in a verified manifest.
uint32_t FirmwareSegment(const Manifest& manifest);

}  // namespace gh::image
