// A whole slot: header, layout, metadata and payload. Checksums are mended, and the policy trusts
// the key that the corpus was signed with, so that mutations reach beyond the first checks. Nothing
// may be accepted whose manifest was not signed: the corpus' own manifest is the only one.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "hal/rt/bytes.h"
#include "hal/rt/crc32.h"
#include "image/slot.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gh::image;
  std::vector<uint8_t> bytes(data, data + size);
  if (size >= kSlotHeaderSize) {
    const std::span<uint8_t> header(bytes.data(), kSlotHeaderSize);
    gh::ByteWriter{header.last(4)}.U32Le(gh::Crc32(header.first(kSlotHeaderSize - 4)));
  }
  const auto layout = ParseSlotHeader(bytes, bytes.size());
  if (!layout.ok()) {
    return 0;
  }
  // The public key of the seed 01 01 .. 01, which signed the corpus (tests/unit/image/sample.h).
  static const TrustedKey kKey = {{0x8a, 0x88, 0xe3, 0xdd, 0x74, 0x09, 0xf1, 0x95, 0xfd, 0x52, 0xdb,
                                   0x2d, 0x3c, 0xba, 0x5d, 0x72, 0xca, 0x67, 0x09, 0xbf, 0x1d, 0x94,
                                   0x12, 0x1b, 0xf3, 0x74, 0x88, 0x01, 0xb4, 0x0f, 0x6f, 0x5c},
                                  gatehouse_image_KeyRole_KEY_RELEASE,
                                  true};
  TrustPolicy policy;
  policy.keys = {&kKey, 1};
  policy.board = "pc";
  policy.loader_version = 1;
  VerifiedSlot slot;
  const std::span<const uint8_t> all(bytes);
  if (!VerifyMetadata(*layout, all.first(layout->payload_offset), policy, slot).ok()) {
    return 0;
  }
  uint32_t bad_block = 0;
  const auto payload =
      VerifyPayload(slot, all.subspan(layout->payload_offset, layout->payload_size), bad_block);
  if (!payload.ok() && bad_block >= slot.block_count()) {
    std::abort();
  }
  return 0;
}
