// The loader's own work on a slot with 16 MiB of payload, on this processor: metadata (signature,
// manifest, leaf table) and payload (hash tree), by the code that the loader runs. Without the
// disk; under QEMU's interpreter the same takes much longer (boot_bench.py).
#include <cstdlib>
#include <vector>

#include "crypto/init.h"
#include "image/slot.h"
#include "image/slot_stream.h"
#include "image/tool/package.h"
#include "tests/bench/bench.h"

namespace gh {
namespace {

constexpr size_t kPayloadSize = 16 << 20;

image::tool::SigningKey& Key() {
  static image::tool::SigningKey key;
  return key;
}

std::vector<uint8_t> MakeSlot() {
  std::array<uint8_t, crypto::kSigningSeedSize> seed;
  seed.fill(7);
  image::tool::KeyFromSeed(seed, true, Key());
  std::vector<uint8_t> firmware(kPayloadSize);
  uint32_t state = 1;
  for (uint8_t& byte : firmware) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<uint8_t>(state >> 24);
  }
  image::tool::Package package;
  package.version = "bench";
  package.segments.push_back({gatehouse_image_SegmentKind_SEGMENT_FIRMWARE, "firmware", firmware});
  const image::tool::SigningKey* const keys[] = {&Key()};
  return image::tool::BuildSlot(package, keys);
}

void Check(bool good) {
  if (!good) {
    std::fprintf(stderr, "the sample slot does not verify\n");
    std::exit(1);
  }
}

void BenchVerify(Bench& bench, const std::vector<uint8_t>& slot, const image::TrustPolicy& policy) {
  const auto layout = image::ParseSlotHeader(slot, slot.size());
  Check(layout.ok());
  const auto metadata = std::span(slot).first(layout->payload_offset);
  const auto payload = std::span(slot).subspan(layout->payload_offset, layout->payload_size);
  bench.Run("verify metadata of 16 MiB", 1, [&](uint64_t) {
    image::VerifiedSlot verified;
    Check(image::VerifyMetadata(*layout, metadata, policy, verified).ok());
  });
  image::VerifiedSlot verified;
  Check(image::VerifyMetadata(*layout, metadata, policy, verified).ok());
  bench.Run("verify payload of 16 MiB", 1, [&](uint64_t) {
    uint32_t bad_block = 0;
    Check(image::VerifyPayload(verified, payload, bad_block).ok());
  });
}

// The same bytes as an update that arrives in pieces of a network's size.
void BenchStream(Bench& bench, const std::vector<uint8_t>& slot, const image::TrustPolicy& policy) {
  std::vector<uint8_t> metadata(image::kMetadataSizeMax);
  std::vector<uint8_t> block(image::kBlockSizeMax);
  bench.Run("receive and verify an update of 16 MiB", 1, [&](uint64_t) {
    image::SlotStream stream(metadata, block, policy, uint64_t{64} << 20);
    for (size_t at = 0; at < slot.size(); at += 1400) {
      std::span<const uint8_t> piece =
          std::span(slot).subspan(at, std::min<size_t>(1400, slot.size() - at));
      while (!piece.empty()) {
        Check(stream.Feed(piece).ok());
      }
    }
    std::span<const uint8_t> none;
    Check(stream.Feed(none).ok() && stream.complete());
  });
}

}  // namespace
}  // namespace gh

int main(int argc, char** argv) {
  gh::crypto::Initialise();
  gh::Bench bench(argc, argv);
  const auto slot = gh::MakeSlot();
  const gh::image::TrustedKey keys[] = {gh::Key().trusted};
  gh::image::TrustPolicy policy;
  policy.keys = keys;
  policy.board = "pc";
  policy.loader_version = 1000;
  gh::BenchVerify(bench, slot, policy);
  gh::BenchStream(bench, slot, policy);
  return bench.Finish();
}
