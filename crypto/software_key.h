// A private key in memory: EC P-256, P-384, RSA 2048 to 4096. Signs inside Start.
//
// The key lives in the environment's heap and is wiped there when it is dropped (mbedTLS wipes its
// numbers). Whoever keeps it sealed takes its DER (SEC 1 or PKCS #1) by Save() and wipes that
// buffer. RSA keys are searched for in steps of a few milliseconds (RsaGenerator): a whole search
// takes seconds.
#pragma once

#include <mbedtls/pk.h>

#include <array>
#include <cstdint>
#include <span>

#include "crypto/signing_key.h"
#include "crypto/tls_environment.h"
#include "hal/rt/result.h"

namespace gh::crypto {

inline constexpr uint32_t kRsaKeyBitsMin = 2048;
inline constexpr uint32_t kRsaKeyBitsMax = 4096;
inline constexpr size_t kPrivateKeyDerMax = 2560;  // RSA 4096, PKCS #8
inline constexpr size_t kPublicKeyDerMax = 640;    // RSA 4096

const char* KeyTypeText(KeyType type, uint32_t bits);  // "EC P-256", "RSA 2048"

class SoftwareKey final : public SigningKey {
 public:
  explicit SoftwareKey(TlsEnvironment& environment);
  SoftwareKey(const SoftwareKey&) = delete;
  SoftwareKey& operator=(const SoftwareKey&) = delete;
  ~SoftwareKey() { Clear(); }

  // kExhausted: the heap is full. `type` is one of a curve.
  Result<void> GenerateEc(KeyType type);
  // SEC 1, PKCS #1 or PKCS #8, not encrypted. kMalformed; kUnsupported: another curve or size.
  Result<void> Load(std::span<const uint8_t> der);
  // How many bytes at the front of `out`; kTooLarge.
  Result<size_t> Save(std::span<uint8_t> out) const;
  void Clear();
  bool is_set() const { return public_size_ > 0; }
  // Exchanges the two keys' contents; both of the same environment.
  void TakeFrom(SoftwareKey& other);

  KeyType type() const override { return type_; }
  uint32_t bits() const override { return bits_; }
  std::span<const uint8_t> public_key() const override { return {public_.data(), public_size_}; }
  bool is_available() const override { return is_set(); }
  void Start(SignRequest& request) override;
  void Cancel(SignRequest&) override {}  // never pending

 private:
  friend class RsaGenerator;
  Result<void> Adopt();  // what is in pk_: of a kind that is ours

  TlsEnvironment& environment_;
  mbedtls_pk_context pk_;
  KeyType type_ = KeyType::kEcP256;
  uint32_t bits_ = 0;
  size_t public_size_ = 0;
  std::array<uint8_t, kPublicKeyDerMax> public_ = {};
};

// Whether `scheme` is one of a key of this type and size.
bool FitsKey(SignatureScheme scheme, KeyType type);
size_t DigestSizeOf(SignatureScheme scheme);
// ECDSA by the curve; PKCS #1 v1.5 with SHA-256 for RSA.
SignatureScheme CertificateSchemeOf(KeyType type);

// Searches the two primes of an RSA key (FIPS 186-4 B.3.3, public exponent 65537), one candidate a
// step.
class RsaGenerator {
 public:
  explicit RsaGenerator(TlsEnvironment& environment) : environment_(environment) {}
  RsaGenerator(const RsaGenerator&) = delete;
  RsaGenerator& operator=(const RsaGenerator&) = delete;
  ~RsaGenerator() { Stop(); }

  // kInvalidArgument: not 2048, 3072 or 4096 bits.
  Result<void> Start(uint32_t bits);
  // True: the key is found and in `key`. kExhausted: the heap is full, or too many candidates.
  Result<bool> Step(SoftwareKey& key);
  void Stop();
  bool is_running() const { return bits_ != 0; }

 private:
  Result<bool> TryCandidate(mbedtls_mpi& prime);
  Result<bool> Complete(SoftwareKey& key);

  TlsEnvironment& environment_;
  uint32_t bits_ = 0;  // 0: does not run
  uint32_t candidate_count_ = 0;
  bool has_p_ = false;
  mbedtls_mpi p_;
  mbedtls_mpi q_;
};

}  // namespace gh::crypto
