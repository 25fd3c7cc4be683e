// Makes signed slots: segments in, the bytes of a slot (an update file) out. Deterministic: the
// same input and keys give the same bytes.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "image/key_list.h"
#include "image/slot.h"
#include "image/tool/file.h"
#include "image/tool/key.h"

namespace gh::image::tool {

struct PackageSegment {
  gatehouse_image_SegmentKind kind = gatehouse_image_SegmentKind_SEGMENT_FIRMWARE;
  std::string name;
  Bytes bytes;
};

struct Package {
  std::string product = std::string(kProduct);
  std::string version = "0.0.0";
  std::string build_id = "-";
  std::string commit;
  uint64_t security_version = 1;
  std::vector<std::string> boards = {"pc"};
  uint32_t loader_version_min = 1;
  uint32_t block_size = kBlockSizeDefault;
  bool development = true;
  std::string purpose = std::string(kManifestPurpose);
  std::vector<PackageSegment> segments;
  Bytes key_list;  // travels with the image (image/key_list.h); may be empty
};

Bytes BuildSlot(const Package& package, std::span<const SigningKey* const> keys);
// Adds a signature, or renews the one that this key made before. To an update file or a key list.
Bytes AddSignature(const Bytes& file, const SigningKey& key);

struct KeyListEntry {
  TrustedKey key;
  bool is_revoked = false;
};
Bytes BuildKeyList(uint64_t sequence, uint32_t signature_count_min,
                   std::span<const KeyListEntry> entries, std::span<const SigningKey* const> roots);

}  // namespace gh::image::tool
