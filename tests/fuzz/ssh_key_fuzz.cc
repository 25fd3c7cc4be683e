// Public keys, as lines and as blobs: what is accepted is whole, and its fingerprint has its form.
#include <array>
#include <cstdint>

#include "crypto/init.h"
#include "firmware/admin/ssh/public_key.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gh::ssh;
  gh::crypto::Initialise();
  std::array<uint8_t, kPublicKeyBlobMax> storage;
  const auto line = ParsePublicKeyLine(gh::AsText({data, size}), storage);
  if (line.ok()) {
    GH_ASSERT(ParsePublicKey(line->key.blob).ok());
    GH_ASSERT_EQ(FingerprintOf(line->key.blob).size(), 50u);
  }
  const auto key = ParsePublicKey({data, size});
  if (key.ok()) {
    GH_ASSERT_LE(key->blob.size(), kPublicKeyBlobMax);
    GH_ASSERT(key->kind == PublicKeyKind::kRsa ? !key->exponent.empty() : key->exponent.empty());
  }
  return 0;
}
