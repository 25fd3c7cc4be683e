// Makes signed slots: segments in, the bytes of a slot (an update file) out. Deterministic: the
// same input and keys give the same bytes.
#pragma once

#include <span>
#include <string>
#include <vector>

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
};

Bytes BuildSlot(const Package& package, std::span<const SigningKey* const> keys);
// Adds a signature, or renews the one that this key made before.
Bytes AddSignature(const Bytes& slot, const SigningKey& key);

}  // namespace gh::image::tool
