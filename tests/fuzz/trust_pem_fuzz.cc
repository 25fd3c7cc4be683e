// Certificates as they are pasted to be trusted: PEM, then what the list takes of it.
#include <array>
#include <cstdint>
#include <vector>

#include "crypto/trust_list.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gh::crypto;
  std::array<uint8_t, kTrustAnchorBytesMax> der;
  const auto decoded = DecodePemCertificate(gh::AsText({data, size}), der);
  GH_ASSERT(!decoded.ok() || *decoded <= der.size());
  return 0;
}
