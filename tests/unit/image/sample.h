// A small signed slot and the keys around it, for tests of the format.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "hal/rt/bytes.h"
#include "hal/rt/crc32.h"
#include "image/slot.h"
#include "image/tool/package.h"

namespace gh::image::test {

using tool::Bytes;

inline std::unique_ptr<tool::SigningKey> MakeKey(uint8_t seed, bool is_development = true) {
  std::array<uint8_t, crypto::kSigningSeedSize> bytes;
  bytes.fill(seed);
  auto key = std::make_unique<tool::SigningKey>();
  tool::KeyFromSeed(bytes, is_development, *key);
  return key;
}

inline Bytes Pattern(size_t size, uint32_t seed) {
  Bytes bytes(size);
  for (uint8_t& byte : bytes) {
    seed = seed * 1664525 + 1013904223;
    byte = static_cast<uint8_t>(seed >> 24);
  }
  return bytes;
}

// Two segments over three blocks: firmware of 5000 bytes, an SBOM of 100.
inline tool::Package SamplePackage() {
  tool::Package package;
  package.version = "1.2.3";
  package.build_id = "0123456789abcdef";
  package.commit = "c0ffee";
  package.security_version = 5;
  package.block_size = 4096;
  package.segments.push_back(
      {gatehouse_image_SegmentKind_SEGMENT_FIRMWARE, "firmware", Pattern(5000, 1)});
  package.segments.push_back({gatehouse_image_SegmentKind_SEGMENT_SBOM, "sbom", Pattern(100, 2)});
  return package;
}

inline Bytes Build(const tool::Package& package, std::vector<const tool::SigningKey*> keys) {
  return tool::BuildSlot(package, keys);
}

// What a machine that trusts `keys` says to these bytes: all three steps.
inline Result<void> Check(std::span<const uint8_t> bytes, const TrustPolicy& policy,
                          VerifiedSlot& slot) {
  GH_TRY_ASSIGN(const SlotLayout layout, ParseSlotHeader(bytes, bytes.size()));
  GH_TRY(VerifyMetadata(layout, bytes.first(layout.payload_offset), policy, slot));
  uint32_t bad_block = 0;
  return VerifyPayload(slot, bytes.subspan(layout.payload_offset, layout.payload_size), bad_block);
}

inline void FixHeaderCrc(Bytes& slot) {
  const std::span<uint8_t> header(slot.data(), kSlotHeaderSize);
  ByteWriter{header.last(4)}.U32Le(Crc32(header.first(kSlotHeaderSize - 4)));
}

class Policy {
 public:
  explicit Policy(std::vector<const tool::SigningKey*> keys) {
    for (const auto* key : keys) {
      keys_.push_back(key->trusted);
    }
    policy_.keys = keys_;
    policy_.board = "pc";
    policy_.loader_version = 1;
    policy_.security_version_min = 5;
  }
  Policy(const Policy&) = delete;
  Policy& operator=(const Policy&) = delete;
  TrustPolicy& operator*() { return policy_; }
  TrustPolicy* operator->() { return &policy_; }

 private:
  std::vector<TrustedKey> keys_;
  TrustPolicy policy_;
};

}  // namespace gh::image::test
