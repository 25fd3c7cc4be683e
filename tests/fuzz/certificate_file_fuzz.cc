// What operators bring as certificates: PEM, DER, PKCS #7 and PKCS #12 taken apart, then each part
// parsed as it would be (certificate, key, list of revocations), its names and constraints asked
// for.
#include <cstdint>
#include <vector>

#include "crypto/certificate_file.h"
#include "crypto/path_check.h"
#include "crypto/pkcs12.h"
#include "crypto/software_key.h"
#include "hal/rt/assert.h"
#include "tests/unit/crypto/doubles.h"

namespace {

using namespace gh;

struct World {
  crypto::FixedClock clock;
  crypto::CountingEntropy entropy;
  crypto::Random random{entropy};
  std::vector<uint8_t> bytes = std::vector<uint8_t>(1 << 20);
  Arena arena{bytes};
  Heap heap{arena, 512 * 1024};
  crypto::TlsEnvironment environment{heap, random, clock};
};

void Ask(World& world, std::span<const uint8_t> der) {
  const crypto::TlsScope scope(world.environment);
  mbedtls_x509_crt certificate;
  mbedtls_x509_crt_init(&certificate);
  if (mbedtls_x509_crt_parse_der(&certificate, der.data(), der.size()) == 0) {
    uint32_t checks = crypto::kNameChecksMax;
    const auto constraints = crypto::FindExtension(certificate, "\x55\x1d\x1e");
    (void)crypto::WithinConstraints(constraints, certificate, checks);
    (void)crypto::NamesHost(certificate, "edge.example.com");
    (void)crypto::NamesHost(certificate, "192.0.2.1");
    (void)crypto::CheckPath(world.environment, certificate, {&certificate, nullptr},
                            {crypto::PeerRole::kFederation, "edge.example.com"});
  }
  mbedtls_x509_crt_free(&certificate);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World& world = *new World;
  std::vector<uint8_t> room(size);
  crypto::CertificateFile file;
  if (!crypto::ReadCertificateFile({data, size}, room, file).ok()) {
    return 0;
  }
  if (!file.pkcs12.empty()) {
    crypto::OpenPkcs12(world.environment, file.pkcs12, "secret", file).ignore("anything may come");
  }
  if (!file.encrypted_key.empty()) {
    crypto::OpenPrivateKey(world.environment, file.encrypted_key, "secret")
        .ignore("anything may come");
  }
  GH_ASSERT_LE(file.certificate_count, crypto::kFileCertificatesMax);
  for (const auto der : file.chain()) {
    GH_ASSERT(der.data() >= room.data() && der.data() + der.size() <= room.data() + room.size());
    Ask(world, der);
  }
  {
    crypto::SoftwareKey key(world.environment);
    key.Load(file.key).ignore("anything may come");
  }
  const crypto::TlsScope scope(world.environment);
  mbedtls_x509_crl crl;
  mbedtls_x509_crl_init(&crl);
  (void)mbedtls_x509_crl_parse_der(&crl, file.crl.data(), file.crl.size());
  mbedtls_x509_crl_free(&crl);
  GH_ASSERT_EQ(world.heap.used_bytes(), 0u);
  return 0;
}
