// What bounds TLS handshakes whatever else they do: signatures by keys in memory, one for each full
// handshake. tls_race.py measures the whole of them beside a peer.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "crypto/init.h"
#include "crypto/software_key.h"
#include "tests/bench/bench.h"
#include "tests/unit/crypto/doubles.h"

namespace gh::crypto {
namespace {

struct Nobody final : SignListener {
  void OnSigned(SignRequest&) override {}
};

void BenchSign(Bench& bench, const char* name, SoftwareKey& key, SignatureScheme scheme,
               uint64_t count) {
  const std::vector<uint8_t> digest(DigestSizeOf(scheme), 0x5a);
  bench.Run(name, count, [&](uint64_t times) {
    Nobody nobody;
    SignRequest request;
    for (uint64_t i = 0; i < times; ++i) {
      request.Prepare(scheme, digest, nobody, Instant{});
      key.Start(request);
      if (request.state() != SignRequest::State::kDone) {
        std::abort();
      }
    }
  });
}

void MakeRsa(TlsEnvironment& environment, uint32_t bits, SoftwareKey& key) {
  RsaGenerator generator(environment);
  if (!generator.Start(bits).ok()) {
    std::abort();
  }
  while (!generator.Step(key).value()) {
  }
}

int Main(int argc, char** argv) {
  Initialise();
  Bench bench(argc, argv);
  static uint8_t memory[8 << 20];
  Arena arena(memory);
  Heap heap(arena, 4 << 20);
  SystemEntropy entropy;
  Random random(entropy);
  WallClock clock;
  TlsEnvironment environment{heap, random, clock};
  SoftwareKey key(environment);
  if (!key.GenerateEc(KeyType::kEcP256).ok()) {
    return 1;
  }
  BenchSign(bench, "sign ECDSA P-256", key, SignatureScheme::kEcdsaSecp256r1Sha256, 300);
  if (!key.GenerateEc(KeyType::kEcP384).ok()) {
    return 1;
  }
  BenchSign(bench, "sign ECDSA P-384", key, SignatureScheme::kEcdsaSecp384r1Sha384, 100);
  if (bench.Wants("sign RSA-2048 PSS")) {
    MakeRsa(environment, 2048, key);
    BenchSign(bench, "sign RSA-2048 PSS", key, SignatureScheme::kRsaPssSha256, 50);
  }
  return bench.Finish();
}

}  // namespace
}  // namespace gh::crypto

int main(int argc, char** argv) { return gh::crypto::Main(argc, argv); }
