#include "image/tool/package.h"

#include <pb_encode.h>

#include <algorithm>
#include <cstring>

#include "hal/rt/assert.h"

namespace gh::image::tool {

namespace {

template <size_t N>
void SetText(char (&field)[N], const std::string& text, const char* what) {
  if (text.size() >= N) {
    Die(std::string(what) + " is longer than " + std::to_string(N - 1) + " characters");
  }
  std::memcpy(field, text.c_str(), text.size() + 1);
}

Manifest FillManifest(const Package& package) {
  Manifest manifest = gatehouse_image_Manifest_init_zero;
  SetText(manifest.purpose, package.purpose, "purpose");
  SetText(manifest.product, package.product, "product");
  SetText(manifest.version, package.version, "version");
  SetText(manifest.build_id, package.build_id, "build id");
  SetText(manifest.commit, package.commit, "commit");
  manifest.security_version = package.security_version;
  manifest.loader_version_min = package.loader_version_min;
  manifest.development = package.development;
  manifest.block_size = package.block_size;
  if (package.boards.size() > kBoardCountMax || package.segments.size() > kSegmentCountMax) {
    Die("too many boards or segments");
  }
  for (const std::string& board : package.boards) {
    SetText(manifest.boards[manifest.boards_count++], board, "board");
  }
  return manifest;
}

// Appends a segment, padded to whole blocks, its leaves, and its entry in the manifest.
void AddSegment(const PackageSegment& source, Manifest& manifest, Bytes& payload, Bytes& leaves) {
  Segment& segment = manifest.segments[manifest.segments_count++];
  segment.kind = source.kind;
  SetText(segment.name, source.name, "segment name");
  segment.size = source.bytes.size();
  TreeBuilder tree;
  const size_t block_size = manifest.block_size;
  for (size_t at = 0; at < source.bytes.size(); at += block_size) {
    const size_t count = std::min(block_size, source.bytes.size() - at);
    const size_t start = payload.size();
    payload.resize(start + block_size);
    std::memcpy(payload.data() + start, source.bytes.data() + at, count);
    const auto leaf = LeafHash(static_cast<uint32_t>(start / block_size),
                               std::span(payload).subspan(start, block_size));
    tree.AddLeaf(leaf);
    leaves.insert(leaves.end(), leaf.begin(), leaf.end());
  }
  const auto root = tree.Root(segment.size, manifest.block_size);
  std::memcpy(segment.tree_root, root.data(), root.size());
}

void Place(Bytes& slot, uint64_t offset, std::span<const uint8_t> bytes) {
  GH_ASSERT_LE(offset + bytes.size(), slot.size());
  std::copy(bytes.begin(), bytes.end(), slot.begin() + static_cast<ptrdiff_t>(offset));
}

Bytes Assemble(std::span<const uint8_t> manifest, std::span<const SignatureRecord> signatures,
               std::span<const uint8_t> key_list, std::span<const uint8_t> leaves,
               std::span<const uint8_t> payload) {
  SlotLayout sizes;
  sizes.manifest_size = static_cast<uint32_t>(manifest.size());
  sizes.signatures_size = static_cast<uint32_t>(signatures.size() * kSignatureRecordSize);
  sizes.key_list_size = static_cast<uint32_t>(key_list.size());
  sizes.tree_size = static_cast<uint32_t>(leaves.size());
  sizes.payload_size = payload.size();
  const auto layout = MakeSlotLayout(sizes);
  if (!layout.ok()) {
    Die(layout.error().what);
  }
  Bytes slot(layout->total_size);
  EncodeSlotHeader(*layout, std::span<uint8_t, kSlotHeaderSize>(slot.data(), kSlotHeaderSize));
  Place(slot, layout->manifest_offset, manifest);
  for (size_t i = 0; i < signatures.size(); ++i) {
    std::array<uint8_t, kSignatureRecordSize> record;
    EncodeSignature(signatures[i], record);
    Place(slot, layout->signatures_offset + i * kSignatureRecordSize, record);
  }
  Place(slot, layout->key_list_offset, key_list);
  Place(slot, layout->tree_offset, leaves);
  Place(slot, layout->payload_offset, payload);
  return slot;
}

SignatureRecord SignBytes(std::span<const uint8_t> bytes, const SigningKey& key) {
  return {crypto::KeyIdOf(key.trusted.key), kSignatureEd25519, 0,
          crypto::Sign(key.secret.Expose(), bytes)};
}

// The signatures there are, with the one by `key` made anew.
std::vector<SignatureRecord> Renewed(std::span<const uint8_t> text,
                                     std::span<const uint8_t> records, const SigningKey& key) {
  std::vector<SignatureRecord> signatures;
  const SignatureRecord added = SignBytes(text, key);
  for (size_t at = 0; at < records.size(); at += kSignatureRecordSize) {
    const auto old = DecodeSignature(records.subspan(at).first<kSignatureRecordSize>());
    if (old.key_id != added.key_id) {
      signatures.push_back(old);
    }
  }
  signatures.push_back(added);
  return signatures;
}

Bytes AssembleKeyList(std::span<const uint8_t> list, std::span<const SignatureRecord> signatures) {
  Bytes out(kKeyListHeaderSize + list.size() + signatures.size() * kSignatureRecordSize);
  EncodeKeyListHeader(static_cast<uint32_t>(list.size()), static_cast<uint32_t>(signatures.size()),
                      std::span(out).first<kKeyListHeaderSize>());
  Place(out, kKeyListHeaderSize, list);
  for (size_t i = 0; i < signatures.size(); ++i) {
    std::array<uint8_t, kSignatureRecordSize> record;
    EncodeSignature(signatures[i], record);
    Place(out, kKeyListHeaderSize + list.size() + i * kSignatureRecordSize, record);
  }
  return out;
}

}  // namespace

Bytes BuildSlot(const Package& package, std::span<const SigningKey* const> keys) {
  Manifest manifest = FillManifest(package);
  Bytes payload, leaves;
  for (const PackageSegment& segment : package.segments) {
    AddSegment(segment, manifest, payload, leaves);
  }
  Bytes encoded(kManifestSizeMax);
  pb_ostream_t stream = pb_ostream_from_buffer(encoded.data(), encoded.size());
  if (!pb_encode(&stream, gatehouse_image_Manifest_fields, &manifest)) {
    Die("manifest cannot be encoded");
  }
  encoded.resize(stream.bytes_written);
  std::vector<SignatureRecord> signatures;
  for (const SigningKey* key : keys) {
    signatures.push_back(SignBytes(encoded, *key));
  }
  return Assemble(encoded, signatures, package.key_list, leaves, payload);
}

Bytes BuildKeyList(uint64_t sequence, uint32_t signature_count_min,
                   std::span<const KeyListEntry> entries,
                   std::span<const SigningKey* const> roots) {
  KeyListMessage list = gatehouse_image_KeyList_init_zero;
  std::strncpy(list.purpose, kKeyListPurpose.data(), sizeof(list.purpose) - 1);
  list.sequence = sequence;
  list.signature_count_min = signature_count_min;
  if (entries.size() > std::size(list.keys)) {
    Die("key list: too many keys");
  }
  for (const KeyListEntry& entry : entries) {
    gatehouse_image_Key& key = list.keys[list.keys_count++];
    key.role = entry.key.role;
    std::copy(entry.key.key.begin(), entry.key.key.end(), key.public_key);
    key.development = entry.key.is_development;
    key.revoked = entry.is_revoked;
  }
  Bytes encoded(kKeyListSizeMax);
  pb_ostream_t stream = pb_ostream_from_buffer(encoded.data(), encoded.size());
  if (!pb_encode(&stream, gatehouse_image_KeyList_fields, &list)) {
    Die("key list cannot be encoded");
  }
  encoded.resize(stream.bytes_written);
  std::vector<SignatureRecord> signatures;
  for (const SigningKey* root : roots) {
    signatures.push_back(SignBytes(encoded, *root));
  }
  return AssembleKeyList(encoded, signatures);
}

Bytes AddSignature(const Bytes& file, const SigningKey& key) {
  const std::span<const uint8_t> bytes(file);
  if (const auto parts = ParseKeyList(bytes); parts.ok()) {
    return AssembleKeyList(parts->list, Renewed(parts->list, parts->signatures, key));
  }
  const auto layout = ParseSlotHeader(file, file.size());
  if (!layout.ok()) {
    Die(layout.error().what);
  }
  const auto manifest = bytes.subspan(layout->manifest_offset, layout->manifest_size);
  const auto old = bytes.subspan(layout->signatures_offset, layout->signatures_size);
  return Assemble(manifest, Renewed(manifest, old, key),
                  bytes.subspan(layout->key_list_offset, layout->key_list_size),
                  bytes.subspan(layout->tree_offset, layout->tree_size),
                  bytes.subspan(layout->payload_offset, layout->payload_size));
}

}  // namespace gh::image::tool
