// OCSP responses, which come in the clear: whatever the bytes, the reader stays within them, and
// nobody but the issuer's key makes an answer of them. Extensions of certificates that name
// responders are read by the same means, so the input is tried as such a certificate too.
#include <mbedtls/x509_crt.h>

#include <cstdlib>
#include <vector>

#include "firmware/keys/ocsp.h"
#include "tests/fuzz/ocsp_chain.h"
#include "tests/unit/crypto/doubles.h"

namespace {

using namespace gh;

struct World {
  World() : bytes(4 << 20), arena(bytes), heap(arena, 1 << 20) {
    const crypto::TlsScope scope(environment);
    mbedtls_x509_crt_init(&leaf);
    mbedtls_x509_crt_init(&issuer);
    if (mbedtls_x509_crt_parse_der(&leaf, kOcspLeaf, sizeof(kOcspLeaf)) != 0 ||
        mbedtls_x509_crt_parse_der(&issuer, kOcspIssuer, sizeof(kOcspIssuer)) != 0) {
      std::abort();
    }
  }
  std::vector<uint8_t> bytes;
  Arena arena;
  Heap heap;
  OcspClock clock;
  crypto::SeededEntropy entropy;
  crypto::Random random{entropy};
  crypto::TlsEnvironment environment{heap, random, clock};
  mbedtls_x509_crt leaf;
  mbedtls_x509_crt issuer;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World world;
  const std::vector<uint8_t> bytes(data, data + size);
  const auto answer =
      keys::ReadOcspResponse(world.environment, bytes, world.leaf, world.issuer, kOcspNow);
  if (answer.ok() && answer->next_update_s <= kOcspNow) {
    std::abort();
  }
  const crypto::TlsScope scope(world.environment);
  mbedtls_x509_crt certificate;
  mbedtls_x509_crt_init(&certificate);
  if (mbedtls_x509_crt_parse_der(&certificate, bytes.data(), bytes.size()) == 0) {
    if (keys::OcspUrlOf(certificate).size() > size) {
      std::abort();
    }
    (void)keys::MustStaple(certificate);
    uint8_t request[keys::kOcspRequestMax];
    keys::WriteOcspRequest(certificate, world.issuer, request).ignore("any serial");
  }
  mbedtls_x509_crt_free(&certificate);
  return 0;
}
