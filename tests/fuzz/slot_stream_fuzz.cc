// An update in hostile pieces: the first byte chooses the cuts, the rest is the stream. Checksums
// are mended and the corpus' key is trusted, so that mutations get behind the first checks. What
// the stream calls complete must be what the slot code calls good, and the other way round.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "hal/rt/bytes.h"
#include "hal/rt/crc32.h"
#include "image/slot_stream.h"

namespace {

using namespace gh::image;

bool IsGood(std::span<const uint8_t> bytes, const TrustPolicy& policy) {
  const auto layout = ParseSlotHeader(bytes, bytes.size());
  VerifiedSlot slot;
  uint32_t bad_block = 0;
  return layout.ok() && layout->total_size == bytes.size() &&
         VerifyMetadata(*layout, bytes.first(layout->payload_offset), policy, slot).ok() &&
         VerifyPayload(slot, bytes.subspan(layout->payload_offset), bad_block).ok();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) {
    return 0;
  }
  const size_t piece = size_t{data[0]} * 61 + 1;
  std::vector<uint8_t> bytes(data + 1, data + size);
  if (bytes.size() >= kSlotHeaderSize) {
    const std::span<uint8_t> header(bytes.data(), kSlotHeaderSize);
    gh::ByteWriter{header.last(4)}.U32Le(gh::Crc32(header.first(kSlotHeaderSize - 4)));
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
  static std::vector<uint8_t> metadata(kMetadataSizeMax);
  static std::vector<uint8_t> block(kBlockSizeMax);
  SlotStream stream(metadata, block, policy, 1 << 20);
  std::span<const uint8_t> rest(bytes);
  bool failed = false;
  while (!rest.empty() && !failed) {
    std::span<const uint8_t> part = rest.first(std::min(piece, rest.size()));
    rest = rest.subspan(part.size());
    while (!part.empty() && !failed) {
      failed = !stream.Feed(part).ok();
    }
  }
  failed = !stream.End().ok() || failed;
  std::array<uint8_t, 300> text;
  gh::ByteWriter out(text);
  stream.Describe(out);
  if (failed != (stream.fault() != UpdateFault::kNone) || failed == out.text().empty() ||
      stream.complete() == failed || failed == IsGood(bytes, policy)) {
    std::abort();
  }
  return 0;
}
