// Name constraints of an authority, any bytes, against a certificate of many names.
#include <cstdint>
#include <vector>

#include "crypto/path_check.h"
#include "crypto/software_key.h"
#include "crypto/x509_writer.h"
#include "hal/rt/assert.h"
#include "tests/unit/crypto/doubles.h"

namespace {

using namespace gh;

// A certificate for "*.example.com", "edge.example.org", 192.0.2.1 and 2001:db8::1.
struct World {
  World() {
    crypto::SoftwareKey key(environment);
    GH_ASSERT(key.GenerateEc(crypto::KeyType::kEcP256).ok());
    crypto::AlternativeName names[4];
    names[0].dns = "*.example.com";
    names[1].dns = "edge.example.org";
    names[2].address = {192, 0, 2, 1};
    names[2].address_size = 4;
    names[3].address = {0x20, 0x01, 0x0d, 0xb8};
    names[3].address_size = 16;
    crypto::SelfSigned terms;
    terms.valid_until_s = 1'890'000'000;
    const auto scheme = crypto::CertificateSchemeOf(key.type());
    uint8_t info_room[2048];
    const auto info = crypto::WriteCertificateInfo(
        {.common_name = "edge", .organization = "Example"}, names, terms, key, scheme, info_room);
    GH_ASSERT(info.ok());
    uint8_t digest[crypto::kSignDigestMax];
    const size_t size = crypto::DigestFor(scheme, *info, digest);
    crypto::NobodyListens nobody;
    crypto::SignRequest request;
    request.Prepare(scheme, std::span<const uint8_t>(digest).first(size), nobody, Instant{});
    key.Start(request);
    uint8_t der[2048];
    const auto written = crypto::WriteSigned(*info, scheme, request.signature(), der);
    GH_ASSERT(written.ok());
    const crypto::TlsScope scope(environment);
    mbedtls_x509_crt_init(&certificate);
    GH_ASSERT_EQ(mbedtls_x509_crt_parse_der(&certificate, der, *written), 0);
  }
  crypto::FixedClock clock;
  crypto::CountingEntropy entropy;
  crypto::Random random{entropy};
  std::vector<uint8_t> bytes = std::vector<uint8_t>(1 << 20);
  Arena arena{bytes};
  Heap heap{arena, 512 * 1024};
  crypto::TlsEnvironment environment{heap, random, clock};
  mbedtls_x509_crt certificate;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const World& world = *new World;
  uint32_t checks = crypto::kNameChecksMax;
  const bool within = crypto::WithinConstraints({data, size}, world.certificate, checks);
  GH_ASSERT_LE(checks, crypto::kNameChecksMax);
  // No constraint that says nothing is one to be within.
  GH_ASSERT(!within || size >= 6);
  return 0;
}
