// The store's key as an HSM or a TPM wrapped it, from a disk that may hold anything: what is taken
// is written again byte for byte, everything else refused.
#include <algorithm>
#include <array>
#include <cstdint>

#include "firmware/hsm/store_key.h"
#include "firmware/hsm/tpm_store_key.h"

namespace {

using namespace gh;

template <typename Envelope>
void Check(std::span<const uint8_t> bytes,
           Result<void> (*decode)(std::span<const uint8_t>, Envelope&),
           void (*encode)(const Envelope&, ByteWriter&)) {
  Envelope envelope;
  if (!decode(bytes, envelope).ok()) {
    return;
  }
  std::array<uint8_t, store::kWrappedKeyMax> again;
  ByteWriter writer(again);
  encode(envelope, writer);
  GH_ASSERT(writer.ok());
  GH_ASSERT(std::ranges::equal(writer.written(), bytes));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> bytes(data, std::min<size_t>(size, store::kWrappedKeyMax));
  Check<hsm::StoreEnvelope>(bytes, hsm::DecodeEnvelope, hsm::EncodeEnvelope);
  Check<hsm::TpmEnvelope>(bytes, hsm::DecodeTpmEnvelope, hsm::EncodeTpmEnvelope);
  return 0;
}
