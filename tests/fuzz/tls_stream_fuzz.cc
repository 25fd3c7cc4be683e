// A TLS or DTLS client that says anything: bytes in pieces to a server session, an honest client's
// hello among the seeds. The first byte chooses transport, client authentication and the pieces'
// size. A session may end; it never opens for who proved nothing, and gives all memory back.
#include <cstdint>
#include <vector>

#include "crypto/software_key.h"
#include "crypto/tls_session.h"
#include "crypto/x509_writer.h"
#include "hal/rt/assert.h"
#include "tests/unit/crypto/doubles.h"

namespace {

using namespace gh;
using namespace gh::crypto;

struct Everybody final : PeerCheck {
  PeerVerdict Check(const mbedtls_x509_crt&, const PeerExpectation&) override {
    return PeerVerdict::kGood;
  }
};

struct Wire final : TlsWire {
  size_t OnTlsOutput(std::span<const uint8_t> bytes) override { return bytes.size(); }
  void OnTlsReady() override {}
};

// Made once: a key, its certificate, and an endpoint for each shape of service.
struct World final : Identities {
  World() {
    GH_ASSERT(key.GenerateEc(KeyType::kEcP256).ok());
    TlsScope scope(environment);
    mbedtls_x509_crt_init(&chain);
    std::vector<uint8_t> buffer(4096), der(4096);
    const AlternativeName names[] = {{.dns = "a.example"}};
    const auto info = WriteCertificateInfo(
        {.common_name = "a.example"}, names,
        {.serial = {1}, .valid_from_s = 1'700'000'000, .valid_until_s = 1'900'000'000}, key,
        SignatureScheme::kEcdsaSecp256r1Sha256, buffer);
    GH_ASSERT(info.ok());
    uint8_t digest[kSignDigestMax];
    const size_t size = DigestFor(SignatureScheme::kEcdsaSecp256r1Sha256, *info, digest);
    SignRequest request;
    NobodyListens nobody;
    request.Prepare(SignatureScheme::kEcdsaSecp256r1Sha256, std::span(digest).first(size), nobody,
                    Instant::Max());
    key.Start(request);
    const auto written =
        WriteSigned(*info, SignatureScheme::kEcdsaSecp256r1Sha256, request.signature(), der);
    GH_ASSERT(written.ok());
    GH_ASSERT_EQ(mbedtls_x509_crt_parse_der(&chain, der.data(), *written), 0);
    identity.chain = &chain;
    identity.key = &key;
    for (int i = 0; i < 4; ++i) {
      endpoints[i] = new TlsEndpoint(
          {.environment = environment,
           .transport = (i & 1) != 0 ? TlsTransport::kDatagram : TlsTransport::kStream,
           .identities = this,
           .peers = &everybody});
      TlsPolicy policy;
      policy.client_auth = (i & 2) != 0 ? ClientAuth::kRequired : ClientAuth::kOff;
      GH_ASSERT(endpoints[i]->Configure(policy).ok());
    }
    used = heap.used_bytes();
  }
  const Identity* Acquire(std::string_view) override { return &identity; }
  void Release(const Identity&) override {}

  FixedClock clock;
  SeededEntropy entropy{42};
  Random random{entropy};
  alignas(16) uint8_t memory[1 << 20];
  HeapOwner owners[1];
  Heap heap{memory, owners};
  TlsEnvironment environment{heap, random, clock};
  SoftwareKey key{environment};
  mbedtls_x509_crt chain;
  Identity identity;
  Everybody everybody;
  TlsEndpoint* endpoints[4];
  uint64_t used = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World world;
  if (size < 2) {
    return 0;
  }
  Wire wire;
  TlsSession session;
  const bool is_datagram = (data[0] & 1) != 0;
  GH_ASSERT(session.Start(*world.endpoints[data[0] & 3], wire, {}).ok());
  if (is_datagram) {
    const uint8_t address[] = {192, 0, 2, 1, 0x13, 0xc4};
    GH_ASSERT(session.SetPeerAddress(address).ok());
  }
  const size_t piece_max = 1 + (data[0] >> 2) * size_t{16};
  std::span<const uint8_t> rest(data + 1, size - 1);
  uint8_t plain[256];
  bool good = true;
  while (good && !rest.empty()) {
    std::span<const uint8_t> piece = rest.first(std::min(rest.size(), piece_max));
    rest = rest.subspan(piece.size());
    for (size_t left = SIZE_MAX; good && piece.size() < left;) {
      left = piece.size();
      const auto got = session.Read(piece, plain);
      good = got.ok();
      GH_ASSERT(!good || *got == 0 || session.is_open());
    }
    world.clock.now += Duration::Milliseconds(50).ns;
    session.Rest();
  }
  GH_ASSERT(!session.is_open());  // nobody guesses a Finished
  session.Reset();
  GH_ASSERT_EQ(world.heap.used_bytes(), world.used);
  return 0;
}
