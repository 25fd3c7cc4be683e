#include "crypto/random.h"

#include <cpuid.h>
#include <gatehouse_openssl.h>
#include <sodium/core.h>
#include <sodium/crypto_generichash_blake2b.h>
#include <sodium/crypto_stream_chacha20.h>
#include <sodium/randombytes.h>
#include <sodium/utils.h>

#include <algorithm>
#include <cstring>

#include "crypto/init.h"
#include "hal/rt/assert.h"

namespace gh::crypto {

namespace {

// libsodium is one per process, so is its random source: the instance that is in scope right now.
Random* g_sodium_random = nullptr;
bool g_initialising = false;

void SodiumFill(void* out, size_t size) {
  if (g_initialising) {
    std::memset(out, 0, size);  // only the canary of sodium_malloc(), which is never used
    return;
  }
  GH_ASSERT(g_sodium_random != nullptr);
  g_sodium_random->Fill({static_cast<uint8_t*>(out), size});
}

uint32_t SodiumU32() {
  uint32_t value = 0;
  SodiumFill(&value, sizeof(value));
  return value;
}

const char* SodiumName() { return "gatehouse"; }
void SodiumStir() {}
int SodiumClose() { return 0; }

randombytes_implementation g_sodium_implementation = {
    SodiumName, SodiumU32, SodiumStir, nullptr, SodiumFill, SodiumClose,
};

// mulx, adcx: OpenSSL's assembly works without them, half as fast. Without AES-NI and PCLMULQDQ AES
// goes by mbedTLS.
void ChooseInstructions() {
  unsigned eax = 0;
  unsigned leaf7_ebx = 0;
  unsigned leaf1_ecx = 0;
  unsigned unused = 0;
  if (__get_cpuid_count(7, 0, &eax, &leaf7_ebx, &leaf1_ecx, &unused) == 0) {
    leaf7_ebx = 0;
  }
  if (__get_cpuid(1, &eax, &unused, &leaf1_ecx, &unused) == 0) {
    leaf1_ecx = 0;
  }
  gh_openssl_choose(leaf1_ecx, leaf7_ebx);
}

}  // namespace

void Initialise() {
  g_initialising = true;
  randombytes_set_implementation(&g_sodium_implementation);
  const int result = sodium_init();
  g_initialising = false;
  GH_ASSERT(result >= 0);
  ChooseInstructions();
}

Random::Random(hal::Entropy& entropy) : entropy_(entropy) { Reseed(); }

Random::~Random() {
  sodium_memzero(key_.data(), key_.size());
  sodium_memzero(buffer_.data(), buffer_.size());
}

void Random::Reseed() {
  std::array<uint8_t, kRandomSeedSize> seed;
  entropy_.Fill(seed);
  std::array<uint8_t, kKeySize> mixed;
  crypto_generichash_blake2b(mixed.data(), mixed.size(), seed.data(), seed.size(), key_.data(),
                             key_.size());
  key_ = mixed;
  sodium_memzero(seed.data(), seed.size());
  sodium_memzero(mixed.data(), mixed.size());
  sodium_memzero(buffer_.data(), buffer_.size());
  buffer_used_ = kBufferSize;
  bytes_since_seed_ = 0;
}

void Random::Refill() {
  if (bytes_since_seed_ >= kRandomReseedBytes) {
    Reseed();
  }
  std::array<uint8_t, kKeySize + kBufferSize> block;
  static constexpr uint8_t kNonce[crypto_stream_chacha20_NONCEBYTES] = {};  // the key is fresh
  crypto_stream_chacha20(block.data(), block.size(), kNonce, key_.data());
  std::memcpy(key_.data(), block.data(), kKeySize);
  std::memcpy(buffer_.data(), block.data() + kKeySize, kBufferSize);
  sodium_memzero(block.data(), block.size());
  buffer_used_ = 0;
  bytes_since_seed_ += kBufferSize;
}

void Random::Fill(std::span<uint8_t> out) {
  while (!out.empty()) {
    if (buffer_used_ == kBufferSize) {
      Refill();
    }
    const size_t count = std::min(out.size(), kBufferSize - buffer_used_);
    std::memcpy(out.data(), buffer_.data() + buffer_used_, count);
    std::memset(buffer_.data() + buffer_used_, 0, count);
    buffer_used_ += count;
    out = out.subspan(count);
  }
}

uint32_t Random::U32() {
  std::array<uint8_t, 4> bytes;
  Fill(bytes);
  uint32_t value;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

uint64_t Random::U64() {
  const uint64_t high = U32();
  return high << 32 | U32();
}

uint32_t Random::Below(uint32_t bound) {
  GH_ASSERT_GT(bound, 0u);
  // Values under 2^32 mod bound would make the low results more likely.
  const uint32_t unfair = (0u - bound) % bound;
  uint32_t value = U32();
  while (value < unfair) {
    value = U32();
  }
  return value % bound;
}

int Random::MbedtlsCallback(void* random, unsigned char* out, size_t size) {
  static_cast<Random*>(random)->Fill({out, size});
  return 0;
}

SodiumRandomScope::SodiumRandomScope(Random& random) : previous_(g_sodium_random) {
  g_sodium_random = &random;
}

SodiumRandomScope::~SodiumRandomScope() { g_sodium_random = previous_; }

}  // namespace gh::crypto
