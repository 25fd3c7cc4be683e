// What bounds TLS whatever else it does: signatures by keys in memory, one for each full handshake,
// and the sealing of records by AES-256-GCM. tls_race.py measures whole handshakes beside a peer.
#include <gatehouse_openssl.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "crypto/cipher.h"
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

void BenchSeal(Bench& bench, const std::string& name, TlsEnvironment& environment) {
  AesGcm gcm;
  if (!gcm.SetKey(environment, std::array<uint8_t, 32>{}).ok()) {
    std::abort();
  }
  for (const size_t size : {50, 500, 16384}) {
    std::vector<uint8_t> data(size);
    const std::string whole = name + ", " + std::to_string(size) + " bytes";
    bench.Run(whole, 2'000'000 / (size + 100), [&](uint64_t times) {
      std::array<uint8_t, AesGcm::kTagSize> tag;
      for (uint64_t i = 0; i < times; ++i) {
        if (!gcm.Seal(std::array<uint8_t, AesGcm::kNonceSize>{}, std::array<uint8_t, 5>{}, data,
                      tag)
                 .ok()) {
          std::abort();
        }
      }
    });
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
  BenchSeal(bench, "seal a record", environment);
  gh_openssl_choose(0, 0);
  BenchSeal(bench, "the same by mbedTLS alone", environment);
  return bench.Finish();
}

}  // namespace
}  // namespace gh::crypto

int main(int argc, char** argv) { return gh::crypto::Main(argc, argv); }
