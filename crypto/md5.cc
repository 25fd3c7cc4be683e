// MD5 apart from the other digests: the loader takes those and has no mbedTLS.
#include <mbedtls/md5.h>

#include <new>

#include "crypto/digest.h"
#include "hal/rt/assert.h"

namespace gh::crypto {

namespace {
mbedtls_md5_context* Context(uint8_t* state) {
  return std::launder(reinterpret_cast<mbedtls_md5_context*>(state));
}
}  // namespace

Md5::Md5() {
  static_assert(sizeof(mbedtls_md5_context) <= sizeof(state_));
  auto* context = new (state_) mbedtls_md5_context;
  mbedtls_md5_init(context);
  const int result = mbedtls_md5_starts(context);
  GH_ASSERT_EQ(result, 0);
}

Md5::~Md5() { mbedtls_md5_free(Context(state_)); }

void Md5::Add(std::span<const uint8_t> bytes) {
  const int result = mbedtls_md5_update(Context(state_), bytes.data(), bytes.size());
  GH_ASSERT_EQ(result, 0);
}

Md5::Digest Md5::Finish() {
  Digest digest;
  const int result = mbedtls_md5_finish(Context(state_), digest.data());
  GH_ASSERT_EQ(result, 0);
  return digest;
}

}  // namespace gh::crypto
