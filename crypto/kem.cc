#include "crypto/kem.h"

#include <sodium/utils.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "hal/rt/assert.h"
#include "hal/rt/secret.h"

// What the two sources expect of OpenSSH around them.
#define INCLUDES_H
#define HAVE_STDINT_H
#define fatal_f(text) GH_ASSERT(false && (text))
static_assert(std::endian::native == std::endian::little);
#ifndef htole64
#define htole64(value) (value)
#define le64toh(value) (value)
#define le32toh(value) (value)
#endif
extern "C" {
#include <openssh/crypto_api.h>
// Read back by sntrup761.c so that no compiler proves what a secret bit is.
volatile int16_t crypto_int16_optblocker = 0;
volatile int32_t crypto_int32_optblocker = 0;
volatile int64_t crypto_int64_optblocker = 0;
}
#include <openssh/libcrux_mlkem768_sha3.h>
#undef Ok  // its name for a tag, our name for success

namespace gh::crypto {

static_assert(kSntrup761PublicSize == crypto_kem_sntrup761_PUBLICKEYBYTES);
static_assert(kSntrup761SecretSize == crypto_kem_sntrup761_SECRETKEYBYTES);
static_assert(kSntrup761CipherSize == crypto_kem_sntrup761_CIPHERTEXTBYTES);
static_assert(kMlKem768PublicSize == crypto_kem_mlkem768_PUBLICKEYBYTES);
static_assert(kMlKem768SecretSize == crypto_kem_mlkem768_SECRETKEYBYTES);
static_assert(kMlKem768CipherSize == crypto_kem_mlkem768_CIPHERTEXTBYTES);
static_assert(kMlKem768MessageSize == LIBCRUX_ML_KEM_ENC_PRNG_LEN);
static_assert(kMlKem768SeedSize == LIBCRUX_ML_KEM_KEY_PAIR_PRNG_LEN);

namespace {

// What the sources left of a secret on the stack below us goes with the scope.
struct StackWipe {
  StackWipe() = default;
  StackWipe(const StackWipe&) = delete;
  StackWipe& operator=(const StackWipe&) = delete;
  ~StackWipe() { sodium_stackzero(kKemStackBytes); }
};

// Not inlined: its frame is below the wiping caller's.
[[gnu::noinline]] bool MlKemEncapsulateBelow(const uint8_t* peer, uint8_t* seed, uint8_t* cipher,
                                             uint8_t* shared) {
  libcrux_mlkem768_pk key;
  std::memcpy(key.value, peer, kMlKem768PublicSize);
  if (!libcrux_ml_kem_mlkem768_portable_validate_public_key(&key)) {
    return false;
  }
  const libcrux_mlkem768_enc_result made = libcrux_ml_kem_mlkem768_portable_encapsulate(&key, seed);
  std::memcpy(cipher, made.fst.value, kMlKem768CipherSize);
  std::memcpy(shared, made.snd, kKemSharedSize);
  return true;
}

[[gnu::noinline]] void MlKemMakeKeyBelow(uint8_t* seed, uint8_t* public_key, uint8_t* secret) {
  const libcrux_mlkem768_keypair pair = libcrux_ml_kem_mlkem768_portable_generate_key_pair(seed);
  std::memcpy(public_key, pair.pk.value, kMlKem768PublicSize);
  std::memcpy(secret, pair.sk.value, kMlKem768SecretSize);
}

[[gnu::noinline]] void MlKemDecapsulateBelow(const uint8_t* secret, const uint8_t* cipher,
                                             uint8_t* shared) {
  libcrux_mlkem768_sk key;
  libcrux_mlkem768_ciphertext text;
  std::memcpy(key.value, secret, kMlKem768SecretSize);
  std::memcpy(text.value, cipher, kMlKem768CipherSize);
  libcrux_ml_kem_mlkem768_portable_decapsulate(&key, &text, shared);
}

}  // namespace

void Sntrup761Encapsulate(Random& random, std::span<const uint8_t, kSntrup761PublicSize> peer,
                          std::span<uint8_t, kSntrup761CipherSize> cipher,
                          std::span<uint8_t, kKemSharedSize> shared) {
  StackWipe wipe;
  SodiumRandomScope scope(random);
  crypto_kem_sntrup761_enc(cipher.data(), shared.data(), peer.data());
}

void Sntrup761MakeKey(Random& random, std::span<uint8_t, kSntrup761PublicSize> public_key,
                      std::span<uint8_t, kSntrup761SecretSize> secret) {
  StackWipe wipe;
  SodiumRandomScope scope(random);
  crypto_kem_sntrup761_keypair(public_key.data(), secret.data());
}

void Sntrup761Decapsulate(std::span<const uint8_t, kSntrup761SecretSize> secret,
                          std::span<const uint8_t, kSntrup761CipherSize> cipher,
                          std::span<uint8_t, kKemSharedSize> shared) {
  StackWipe wipe;
  crypto_kem_sntrup761_dec(shared.data(), cipher.data(), secret.data());
}

Result<void> MlKem768Encapsulate(std::span<const uint8_t, kMlKem768MessageSize> message,
                                 std::span<const uint8_t, kMlKem768PublicSize> peer,
                                 std::span<uint8_t, kMlKem768CipherSize> cipher,
                                 std::span<uint8_t, kKemSharedSize> shared) {
  StackWipe wipe;
  SecretBytes<kMlKem768MessageSize> seed;
  std::copy(message.begin(), message.end(), seed.Expose().begin());
  if (!MlKemEncapsulateBelow(peer.data(), seed.Expose().data(), cipher.data(), shared.data())) {
    return Error(ErrorCode::kMalformed, "not an ML-KEM-768 public key");
  }
  return Ok();
}

void MlKem768MakeKey(std::span<const uint8_t, kMlKem768SeedSize> seed,
                     std::span<uint8_t, kMlKem768PublicSize> public_key,
                     std::span<uint8_t, kMlKem768SecretSize> secret) {
  StackWipe wipe;
  SecretBytes<kMlKem768SeedSize> copy;
  std::copy(seed.begin(), seed.end(), copy.Expose().begin());
  MlKemMakeKeyBelow(copy.Expose().data(), public_key.data(), secret.data());
}

void MlKem768Decapsulate(std::span<const uint8_t, kMlKem768SecretSize> secret,
                         std::span<const uint8_t, kMlKem768CipherSize> cipher,
                         std::span<uint8_t, kKemSharedSize> shared) {
  StackWipe wipe;
  MlKemDecapsulateBelow(secret.data(), cipher.data(), shared.data());
}

}  // namespace gh::crypto
