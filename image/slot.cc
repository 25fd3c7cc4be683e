#include "image/slot.h"

#include <pb_decode.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "hal/rt/crc32.h"
#include "image/key_list.h"

namespace gh::image {

namespace {

constexpr std::array<uint8_t, 8> kMagic = {'G', 'A', 'T', 'E', 'S', 'L', 'O', 'T'};
constexpr uint32_t kFormat = 1;
constexpr uint32_t kHeaderCrcOffset = kSlotHeaderSize - 4;

// The decoder stores any number in an enum: it is looked at as a number before it is one.
bool IsFirmware(const Segment& segment) {
  static_assert(sizeof(segment.kind) == sizeof(uint32_t));
  uint32_t kind;
  std::memcpy(&kind, &segment.kind, sizeof(kind));
  return kind == gatehouse_image_SegmentKind_SEGMENT_FIRMWARE;
}

bool IsZero(std::span<const uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; });
}

// `size` is capped well below 2^32 by the caller.
uint32_t AlignSection(uint32_t size) {
  return (size + kSectionAlignment - 1) & ~(kSectionAlignment - 1);
}

// Text that may go to a console: printable, not empty.
bool IsPlainText(const char* text) {
  if (*text == '\0') {
    return false;
  }
  for (; *text != '\0'; ++text) {
    if (*text < 0x21 || *text > 0x7e) {
      return false;
    }
  }
  return true;
}

Result<void> CheckSizes(const SlotLayout& sizes) {
  if (sizes.manifest_size == 0 || sizes.manifest_size > kManifestSizeMax) {
    return Error(ErrorCode::kTooLarge, "slot header: manifest size is out of range");
  }
  if (sizes.signatures_size == 0 || sizes.signatures_size % kSignatureRecordSize != 0 ||
      sizes.signatures_size > kSignatureCountMax * kSignatureRecordSize) {
    return Error(ErrorCode::kTooLarge, "slot header: size of signatures is out of range");
  }
  if (sizes.key_list_size > kKeyListSizeMax) {
    return Error(ErrorCode::kTooLarge, "slot header: key list size is out of range");
  }
  if (sizes.tree_size == 0 || sizes.tree_size % kHashSize != 0 || sizes.tree_size > kTreeSizeMax) {
    return Error(ErrorCode::kTooLarge, "slot header: hash tree size is out of range");
  }
  if (sizes.payload_size == 0 || sizes.payload_size > kPayloadSizeMax) {
    return Error(ErrorCode::kTooLarge, "slot header: payload size is out of range");
  }
  return Ok();
}

// The bytes between the end of a part and the start of the next are zero.
Result<void> CheckPadding(const SlotLayout& layout, std::span<const uint8_t> metadata) {
  const struct {
    uint32_t end;
    uint32_t next;
  } gaps[] = {
      {layout.manifest_offset + layout.manifest_size, layout.signatures_offset},
      {layout.signatures_offset + layout.signatures_size, layout.key_list_offset},
      {layout.key_list_offset + layout.key_list_size, layout.tree_offset},
      {layout.tree_offset + layout.tree_size, layout.payload_offset},
  };
  for (const auto& gap : gaps) {
    if (!IsZero(metadata.subspan(gap.end, gap.next - gap.end))) {
      return Error(ErrorCode::kCorrupt, "padding between the slot's parts is not zero");
    }
  }
  return Ok();
}

const TrustedKey* FindKey(std::span<const TrustedKey> keys, const crypto::KeyId& id) {
  for (const TrustedKey& key : keys) {
    if (key.role == gatehouse_image_KeyRole_KEY_RELEASE && crypto::KeyIdOf(key.key) == id) {
      return &key;
    }
  }
  return nullptr;
}

// Every signature must be well formed; every one by a key we know must be valid; and enough of
// them.
Result<void> VerifySignatures(const SlotLayout& layout, std::span<const uint8_t> metadata,
                              const KeyRing& ring, uint32_t count_min, VerifiedSlot& out) {
  GH_ASSERT_GE(count_min, 1u);
  const auto manifest = metadata.subspan(layout.manifest_offset, layout.manifest_size);
  const auto rows = metadata.subspan(layout.signatures_offset, layout.signatures_size);
  const uint32_t count = layout.signatures_size / kSignatureRecordSize;
  std::array<const TrustedKey*, kSignatureCountMax> seen = {};
  for (uint32_t i = 0; i < count; ++i) {
    const auto record =
        DecodeSignature(rows.subspan(i * kSignatureRecordSize).first<kSignatureRecordSize>());
    if (record.algorithm != kSignatureEd25519 || record.reserved != 0) {
      return Error(ErrorCode::kUnsupported, "signature is of an unknown kind");
    }
    const TrustedKey* key = FindKey(ring.all(), record.key_id);
    if (key == nullptr) {
      continue;  // by a key of another time or place: neither here nor there
    }
    if (std::find(seen.begin(), seen.end(), key) != seen.end()) {
      return Error(ErrorCode::kMalformed, "two signatures by one key");
    }
    if (!crypto::VerifySignature(key->key, manifest, record.signature)) {
      return Error(ErrorCode::kUnauthentic, "manifest signature does not verify");
    }
    if (out.signature_count == 0) {
      out.key_id = record.key_id;
    }
    seen[out.signature_count++] = key;
    out.is_development = out.is_development || key->is_development;
  }
  if (out.signature_count == 0) {
    return Error(ErrorCode::kUnauthentic, "manifest is not signed by a key this machine trusts");
  }
  if (out.signature_count < count_min) {
    return Error(ErrorCode::kUnauthentic, "manifest is signed by too few trusted keys");
  }
  return Ok();
}

// The release keys that this slot is held against: those of the newest of the list in force and the
// one it brings; without any list the built-in ones.
Result<void> ChooseRing(const SlotLayout& layout, std::span<const uint8_t> metadata,
                        const TrustPolicy& policy, VerifiedSlot& out, KeyRing& ring) {
  if (policy.ring != nullptr) {
    ring = *policy.ring;
  }
  if (layout.key_list_size != 0) {
    const auto bytes = metadata.subspan(layout.key_list_offset, layout.key_list_size);
    GH_TRY_ASSIGN(const KeyListParts parts, ParseKeyList(bytes));
    KeyRing brought;
    GH_TRY(VerifyKeyList(parts, policy.keys, policy.root_signature_count_min, brought));
    if (brought.sequence > ring.sequence) {
      ring = brought;
      out.key_list = bytes;
    }
  }
  if (ring.sequence < policy.key_list_sequence_min) {
    return Error(ErrorCode::kRollback, "no key list as new as the one this machine has seen");
  }
  out.key_list_sequence = ring.sequence;
  if (ring.sequence != 0) {
    return Ok();
  }
  for (const TrustedKey& key : policy.keys) {
    if (key.role == gatehouse_image_KeyRole_KEY_RELEASE && ring.count < ring.keys.size()) {
      ring.keys[ring.count++] = key;
    }
  }
  return Ok();
}

Result<void> CheckPolicy(const Manifest& manifest, const TrustPolicy& policy, bool is_key_dev) {
  if (manifest.product != policy.product) {
    return Error(ErrorCode::kIncompatible, "image is of another product");
  }
  const auto* const boards_end = manifest.boards + manifest.boards_count;
  if (std::none_of(manifest.boards, boards_end,
                   [&](const char* board) { return board == policy.board; })) {
    return Error(ErrorCode::kIncompatible, "image is for another board");
  }
  if (manifest.loader_version_min > policy.loader_version) {
    return Error(ErrorCode::kIncompatible, "image needs a newer loader");
  }
  if (manifest.security_version < policy.security_version_min) {
    return Error(ErrorCode::kRollback, "image's security version is older than this machine's");
  }
  if (is_key_dev && !manifest.development) {
    return Error(ErrorCode::kUnauthentic, "a development key signed an image not marked as one");
  }
  return Ok();
}

Result<void> CheckSegments(const Manifest& manifest, const SlotLayout& layout) {
  if (!std::has_single_bit(manifest.block_size) || manifest.block_size < kBlockSizeMin ||
      manifest.block_size > kBlockSizeMax) {
    return Error(ErrorCode::kMalformed, "manifest: block size is out of range");
  }
  uint64_t block_count = 0;
  uint32_t firmware_count = 0;
  for (uint32_t i = 0; i < manifest.segments_count; ++i) {
    const Segment& segment = manifest.segments[i];
    if (segment.size == 0 || segment.size > kPayloadSizeMax || !IsPlainText(segment.name)) {
      return Error(ErrorCode::kMalformed, "manifest: a segment's size or name is out of range");
    }
    block_count += SegmentBlockCount(manifest, i);
    firmware_count += IsFirmware(segment) ? 1 : 0;
  }
  if (firmware_count != 1) {
    return Error(ErrorCode::kMalformed, "manifest: not exactly one firmware segment");
  }
  if (block_count * manifest.block_size != layout.payload_size ||
      block_count * kHashSize != layout.tree_size) {
    return Error(ErrorCode::kCorrupt, "slot header and manifest disagree about the payload's size");
  }
  return Ok();
}

TreeHash LeafAt(std::span<const uint8_t> leaves, uint32_t index) {
  TreeHash leaf;
  std::memcpy(leaf.data(), leaves.subspan(size_t{index} * kHashSize, kHashSize).data(), kHashSize);
  return leaf;
}

Result<void> VerifyTrees(const VerifiedSlot& slot) {
  const Manifest& manifest = slot.manifest;
  for (uint32_t i = 0; i < manifest.segments_count; ++i) {
    TreeBuilder tree;
    const uint32_t first = SegmentFirstBlock(manifest, i);
    for (uint32_t n = 0; n < SegmentBlockCount(manifest, i); ++n) {
      tree.AddLeaf(LeafAt(slot.leaves, first + n));
    }
    const TreeHash root = tree.Root(manifest.segments[i].size, manifest.block_size);
    if (std::memcmp(root.data(), manifest.segments[i].tree_root, kHashSize) != 0) {
      return Error(ErrorCode::kCorrupt, "hash tree does not match the manifest");
    }
  }
  return Ok();
}

}  // namespace

Result<Manifest> DecodeManifest(std::span<const uint8_t> bytes) {
  Manifest manifest = gatehouse_image_Manifest_init_zero;
  pb_istream_t stream = pb_istream_from_buffer(bytes.data(), bytes.size());
  if (!pb_decode(&stream, gatehouse_image_Manifest_fields, &manifest)) {
    return Error(ErrorCode::kMalformed, "manifest cannot be decoded");
  }
  if (manifest.purpose != kManifestPurpose) {
    return Error(ErrorCode::kUnsupported, "signed text is not a manifest of this format");
  }
  if (!IsPlainText(manifest.version) || !IsPlainText(manifest.build_id)) {
    return Error(ErrorCode::kMalformed, "manifest text is not printable");
  }
  return manifest;
}

Result<SlotLayout> MakeSlotLayout(SlotLayout layout) {
  GH_TRY(CheckSizes(layout));
  // Every size is capped by now: the sum stays below kSlotSizeMax.
  layout.manifest_offset = kSlotHeaderSize;
  layout.signatures_offset = layout.manifest_offset + AlignSection(layout.manifest_size);
  layout.key_list_offset = layout.signatures_offset + AlignSection(layout.signatures_size);
  layout.tree_offset = layout.key_list_offset + AlignSection(layout.key_list_size);
  layout.payload_offset = layout.tree_offset + AlignSection(layout.tree_size);
  layout.total_size = layout.payload_offset + layout.payload_size;
  GH_ASSERT_LE(layout.payload_offset, kMetadataSizeMax);
  return layout;
}

Result<SlotLayout> ParseSlotHeader(std::span<const uint8_t> first, uint64_t capacity) {
  if (first.size() < kSlotHeaderSize) {
    return Error(ErrorCode::kTruncated, "slot is smaller than its header");
  }
  const auto header = first.first(kSlotHeaderSize);
  ByteReader reader(header);
  std::array<uint8_t, 8> magic;
  reader.Copy(magic);
  if (magic != kMagic) {
    return Error(ErrorCode::kNotFound, "no image in this slot");
  }
  ByteReader crc(header.subspan(kHeaderCrcOffset));
  if (Crc32(header.first(kHeaderCrcOffset)) != crc.U32Le()) {
    return Error(ErrorCode::kCorrupt, "slot header checksum is wrong");
  }
  if (reader.U32Le() != kFormat) {
    return Error(ErrorCode::kUnsupported, "slot header is of an unknown format");
  }
  SlotLayout sizes;
  sizes.manifest_size = reader.U32Le();
  sizes.signatures_size = reader.U32Le();
  sizes.key_list_size = reader.U32Le();
  sizes.tree_size = reader.U32Le();
  const uint32_t reserved = reader.U32Le();
  sizes.payload_size = reader.U64Le();
  const auto rest = header.subspan(reader.offset(), kHeaderCrcOffset - reader.offset());
  if (reserved != 0 || !IsZero(rest)) {
    return Error(ErrorCode::kUnsupported, "slot header has unknown fields");
  }
  GH_TRY_ASSIGN(SlotLayout layout, MakeSlotLayout(sizes));
  if (layout.total_size > capacity) {
    return Error(ErrorCode::kTruncated, "slot's content is larger than the slot");
  }
  return layout;
}

void EncodeSlotHeader(const SlotLayout& layout, std::span<uint8_t, kSlotHeaderSize> out) {
  std::fill(out.begin(), out.end(), uint8_t{0});
  ByteWriter writer(out.first(kHeaderCrcOffset));
  writer.Bytes(kMagic);
  writer.U32Le(kFormat);
  writer.U32Le(layout.manifest_size);
  writer.U32Le(layout.signatures_size);
  writer.U32Le(layout.key_list_size);
  writer.U32Le(layout.tree_size);
  writer.U32Le(0);
  writer.U64Le(layout.payload_size);
  GH_ASSERT(writer.ok());
  ByteWriter(out.subspan(kHeaderCrcOffset)).U32Le(Crc32(out.first(kHeaderCrcOffset)));
}

void EncodeSignature(const SignatureRecord& record, std::span<uint8_t, kSignatureRecordSize> out) {
  ByteWriter writer(out);
  writer.Bytes(record.key_id);
  writer.U32Le(record.algorithm);
  writer.U32Le(record.reserved);
  writer.Bytes(record.signature);
  GH_ASSERT_EQ(writer.room(), 0u);
}

SignatureRecord DecodeSignature(std::span<const uint8_t, kSignatureRecordSize> bytes) {
  SignatureRecord record;
  ByteReader reader(bytes);
  reader.Copy(record.key_id);
  record.algorithm = reader.U32Le();
  record.reserved = reader.U32Le();
  reader.Copy(record.signature);
  GH_ASSERT(reader.ok() && reader.at_end());
  return record;
}

Result<void> VerifyMetadata(const SlotLayout& layout, std::span<const uint8_t> metadata,
                            const TrustPolicy& policy, VerifiedSlot& out) {
  GH_ASSERT_EQ(metadata.size(), layout.payload_offset);
  out = VerifiedSlot();
  out.layout = layout;
  GH_TRY(CheckPadding(layout, metadata));
  KeyRing ring;
  GH_TRY(ChooseRing(layout, metadata, policy, out, ring));
  GH_TRY(VerifySignatures(layout, metadata, ring,
                          std::max(policy.signature_count_min, ring.signature_count_min), out));
  GH_TRY_ASSIGN(out.manifest,
                DecodeManifest(metadata.subspan(layout.manifest_offset, layout.manifest_size)));
  GH_TRY(CheckPolicy(out.manifest, policy, out.is_development));
  out.is_development = out.manifest.development;
  GH_TRY(CheckSegments(out.manifest, layout));
  out.leaves = metadata.subspan(layout.tree_offset, layout.tree_size);
  return VerifyTrees(out);
}

bool VerifyBlock(const VerifiedSlot& slot, uint32_t index, std::span<const uint8_t> block) {
  GH_ASSERT_EQ(block.size(), slot.manifest.block_size);
  GH_ASSERT_LT(index, slot.block_count());
  return LeafHash(index, block) == LeafAt(slot.leaves, index);
}

Result<void> VerifyPayload(const VerifiedSlot& slot, std::span<const uint8_t> payload,
                           uint32_t& bad_block) {
  GH_ASSERT_EQ(payload.size(), slot.layout.payload_size);
  const size_t block_size = slot.manifest.block_size;
  for (uint32_t index = 0; index < slot.block_count(); ++index) {
    if (!VerifyBlock(slot, index, payload.subspan(index * block_size, block_size))) {
      bad_block = index;
      return Error(ErrorCode::kCorrupt, "payload block does not match its signed hash");
    }
  }
  return Ok();
}

uint32_t SegmentBlockCount(const Manifest& manifest, uint32_t segment_index) {
  const uint64_t size = manifest.segments[segment_index].size;
  return static_cast<uint32_t>((size + manifest.block_size - 1) / manifest.block_size);
}

uint32_t SegmentFirstBlock(const Manifest& manifest, uint32_t segment_index) {
  uint32_t first = 0;
  for (uint32_t i = 0; i < segment_index; ++i) {
    first += SegmentBlockCount(manifest, i);
  }
  return first;
}

uint32_t SegmentOfBlock(const Manifest& manifest, uint32_t index) {
  for (uint32_t i = 0; i < manifest.segments_count; ++i) {
    const uint32_t count = SegmentBlockCount(manifest, i);
    if (index < count) {
      return i;
    }
    index -= count;
  }
  GH_UNREACHABLE();
}

uint32_t FirmwareSegment(const Manifest& manifest) {
  for (uint32_t i = 0; i < manifest.segments_count; ++i) {
    if (IsFirmware(manifest.segments[i])) {
      return i;
    }
  }
  GH_UNREACHABLE();
}

}  // namespace gh::image
