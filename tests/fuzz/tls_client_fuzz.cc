// A TLS or DTLS server that says anything to our client: ServerHello, certificates, an OCSP
// response behind them (RFC 6066 section 8), key exchange. The first byte chooses transport and the
// pieces' size. The session may end; it never opens, for nobody has the key, it asks about the
// certificate once at most and does not go on against the answer, and it gives all memory back.
#include <cstdint>
#include <vector>

#include "crypto/tls_session.h"
#include "hal/rt/assert.h"
#include "tests/unit/crypto/doubles.h"

namespace {

using namespace gh;
using namespace gh::crypto;

// Reads all of what it is shown, and is content with an even sum.
struct Judge final : PeerCheck {
  PeerVerdict Check(const mbedtls_x509_crt& chain, const PeerExpectation& expected) override {
    uint32_t sum = 0;
    for (const uint8_t byte : expected.staple) {
      sum += byte;
    }
    GH_ASSERT_GT(chain.raw.len, 0u);
    ++asked;
    return sum % 2 == 0 ? PeerVerdict::kGood : PeerVerdict::kBadStatus;
  }
  int asked = 0;
};

struct Wire final : TlsWire {
  size_t OnTlsOutput(std::span<const uint8_t> bytes) override { return bytes.size(); }
  void OnTlsReady() override {}
};

struct World {
  World() {
    for (int i = 0; i < 2; ++i) {
      endpoints[i] =
          new TlsEndpoint({.environment = environment,
                           .side = TlsSide::kClient,
                           .transport = i != 0 ? TlsTransport::kDatagram : TlsTransport::kStream,
                           .peers = &judge,
                           .peer_role = PeerRole::kServer});
      GH_ASSERT(endpoints[i]->Configure({}).ok());
    }
    used = heap.used_bytes();
  }

  FixedClock clock;
  SeededEntropy entropy{42};
  Random random{entropy};
  alignas(16) uint8_t memory[1 << 20];
  HeapOwner owners[1];
  Heap heap{memory, owners};
  TlsEnvironment environment{heap, random, clock};
  Judge judge;
  TlsEndpoint* endpoints[2];
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
  world.judge.asked = 0;
  GH_ASSERT(session.Start(*world.endpoints[data[0] & 1], wire, {.server_name = "a.example"}).ok());
  const size_t piece_max = 1 + (data[0] >> 1) * size_t{16};
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
      GH_ASSERT(!good || *got == 0);
      GH_ASSERT(!good || session.verdict() == PeerVerdict::kGood);
    }
    world.clock.now += Duration::Milliseconds(50).ns;
  }
  GH_ASSERT(!session.is_open());
  GH_ASSERT_LE(world.judge.asked, 1);
  session.Reset();
  GH_ASSERT_EQ(world.heap.used_bytes(), world.used);
  return 0;
}
