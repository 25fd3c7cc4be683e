#include "crypto/software_key.h"

#include <mbedtls/ecdsa.h>
#include <mbedtls/rsa.h>

#include <algorithm>
#include <cstring>

#include "hal/rt/assert.h"
#include "hal/rt/secret.h"

namespace gh::crypto {
namespace {

constexpr int kExponent = 65537;
// The chance of needing more is below 2^-100 (a prime is found after about 700 on average).
constexpr uint32_t kCandidateMax = 200'000;

const Error kNoMemory(ErrorCode::kExhausted, "no memory for the key");

mbedtls_md_type_t HashOf(SignatureScheme scheme) {
  switch (DigestSizeOf(scheme)) {
    case 48:
      return MBEDTLS_MD_SHA384;
    case 64:
      return MBEDTLS_MD_SHA512;
    default:
      return MBEDTLS_MD_SHA256;
  }
}

bool IsPss(SignatureScheme scheme) {
  return scheme == SignatureScheme::kRsaPssSha256 || scheme == SignatureScheme::kRsaPssSha384 ||
         scheme == SignatureScheme::kRsaPssSha512;
}

// As mbedTLS takes them for an error below 2^-128 on random candidates.
int RoundsFor(uint32_t prime_bits) { return prime_bits >= 1450 ? 4 : prime_bits >= 1150 ? 5 : 6; }

}  // namespace

const char* KeyTypeText(KeyType type, uint32_t bits) {
  switch (type) {
    case KeyType::kEcP256:
      return "EC P-256";
    case KeyType::kEcP384:
      return "EC P-384";
    case KeyType::kRsa:
      return bits == 2048   ? "RSA 2048"
             : bits == 3072 ? "RSA 3072"
             : bits == 4096 ? "RSA 4096"
                            : "RSA";
  }
  return "?";
}

bool FitsKey(SignatureScheme scheme, KeyType type) {
  switch (scheme) {
    case SignatureScheme::kEcdsaSecp256r1Sha256:
      return type == KeyType::kEcP256;
    case SignatureScheme::kEcdsaSecp384r1Sha384:
      return type == KeyType::kEcP384;
    default:
      return type == KeyType::kRsa;
  }
}

size_t DigestSizeOf(SignatureScheme scheme) {
  switch (scheme) {
    case SignatureScheme::kEcdsaSecp384r1Sha384:
    case SignatureScheme::kRsaPkcs1Sha384:
    case SignatureScheme::kRsaPssSha384:
      return 48;
    case SignatureScheme::kRsaPkcs1Sha512:
    case SignatureScheme::kRsaPssSha512:
      return 64;
    default:
      return 32;
  }
}

SignatureScheme CertificateSchemeOf(KeyType type) {
  return type == KeyType::kEcP256   ? SignatureScheme::kEcdsaSecp256r1Sha256
         : type == KeyType::kEcP384 ? SignatureScheme::kEcdsaSecp384r1Sha384
                                    : SignatureScheme::kRsaPkcs1Sha256;
}

// --- SoftwareKey --------------------------------------------------------------------------------

SoftwareKey::SoftwareKey(TlsEnvironment& environment) : environment_(environment) {
  mbedtls_pk_init(&pk_);
}

void SoftwareKey::Clear() {
  const TlsScope scope(environment_);
  mbedtls_pk_free(&pk_);
  public_size_ = 0;
  bits_ = 0;
}

void SoftwareKey::TakeFrom(SoftwareKey& other) {
  GH_ASSERT(&environment_ == &other.environment_);
  Clear();
  std::swap(pk_, other.pk_);
  std::swap(type_, other.type_);
  std::swap(bits_, other.bits_);
  std::swap(public_size_, other.public_size_);
  std::swap(public_, other.public_);
}

Result<void> SoftwareKey::Adopt() {
  bits_ = static_cast<uint32_t>(mbedtls_pk_get_bitlen(&pk_));
  if (mbedtls_pk_get_type(&pk_) == MBEDTLS_PK_RSA) {
    if (bits_ < kRsaKeyBitsMin || bits_ > kRsaKeyBitsMax || bits_ % 8 != 0) {
      return Error(ErrorCode::kUnsupported, "RSA keys are of 2048 to 4096 bits");
    }
    type_ = KeyType::kRsa;
  } else if (mbedtls_pk_get_type(&pk_) == MBEDTLS_PK_ECKEY) {
    switch (mbedtls_ecp_keypair_get_group_id(mbedtls_pk_ec(pk_))) {
      case MBEDTLS_ECP_DP_SECP256R1:
        type_ = KeyType::kEcP256;
        break;
      case MBEDTLS_ECP_DP_SECP384R1:
        type_ = KeyType::kEcP384;
        break;
      default:
        return Error(ErrorCode::kUnsupported, "EC keys are of the curves P-256 and P-384");
    }
  } else {
    return Error(ErrorCode::kUnsupported, "keys are of EC P-256, P-384 or RSA");
  }
  const int size = mbedtls_pk_write_pubkey_der(&pk_, public_.data(), public_.size());
  if (size <= 0) {
    return kNoMemory;
  }
  public_size_ = static_cast<size_t>(size);  // written at the end of the buffer
  std::memmove(public_.data(), public_.data() + public_.size() - public_size_, public_size_);
  return Ok();
}

Result<void> SoftwareKey::GenerateEc(KeyType type) {
  GH_ASSERT(type != KeyType::kRsa);
  Clear();
  const TlsScope scope(environment_);
  const mbedtls_ecp_group_id curve =
      type == KeyType::kEcP256 ? MBEDTLS_ECP_DP_SECP256R1 : MBEDTLS_ECP_DP_SECP384R1;
  if (mbedtls_pk_setup(&pk_, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) != 0 ||
      mbedtls_ecp_gen_key(curve, mbedtls_pk_ec(pk_), Random::MbedtlsCallback,
                          &environment_.random) != 0) {
    Clear();
    return kNoMemory;
  }
  auto adopted = Adopt();
  if (!adopted.ok()) {
    Clear();
  }
  return adopted;
}

Result<void> SoftwareKey::Load(std::span<const uint8_t> der) {
  Clear();
  const TlsScope scope(environment_);
  const int status = mbedtls_pk_parse_key(&pk_, der.data(), der.size(), nullptr, 0,
                                          Random::MbedtlsCallback, &environment_.random);
  Result<void> loaded = status == 0 ? Adopt()
                        : status == MBEDTLS_ERR_PK_ALLOC_FAILED
                            ? Result<void>(kNoMemory)
                            : Error(ErrorCode::kMalformed,
                                    "expected a private key that is not "
                                    "encrypted");
  if (!loaded.ok()) {
    Clear();
  }
  return loaded;
}

Result<size_t> SoftwareKey::Save(std::span<uint8_t> out) const {
  GH_ASSERT(is_set());
  const TlsScope scope(environment_);
  const int size = mbedtls_pk_write_key_der(&pk_, out.data(), out.size());
  if (size <= 0) {
    SecureZero(out);
    return Error(ErrorCode::kTooLarge, "no room for the key");
  }
  const auto count = static_cast<size_t>(size);
  std::memmove(out.data(), out.data() + out.size() - count, count);
  SecureZero(out.subspan(count));
  return count;
}

void SoftwareKey::Start(SignRequest& request) {
  if (!is_set() || !FitsKey(request.scheme(), type_) ||
      request.digest().size() != DigestSizeOf(request.scheme())) {
    request.Fail({ErrorCode::kUnsupported, "not a signature of this key"}, false);
    return;
  }
  const TlsScope scope(environment_);
  uint8_t signature[kSignatureMax];
  size_t size = 0;
  const mbedtls_md_type_t hash = HashOf(request.scheme());
  const auto digest = request.digest();
  int status = 0;
  if (type_ != KeyType::kRsa) {
    status = mbedtls_ecdsa_write_signature(mbedtls_pk_ec(pk_), hash, digest.data(), digest.size(),
                                           signature, sizeof(signature), &size,
                                           Random::MbedtlsCallback, &environment_.random);
  } else {
    mbedtls_rsa_context* rsa = mbedtls_pk_rsa(pk_);
    size = mbedtls_rsa_get_len(rsa);
    const int padding = IsPss(request.scheme()) ? MBEDTLS_RSA_PKCS_V21 : MBEDTLS_RSA_PKCS_V15;
    status = mbedtls_rsa_set_padding(rsa, padding,
                                     padding == MBEDTLS_RSA_PKCS_V21 ? hash : MBEDTLS_MD_NONE);
    if (status == 0) {
      status =
          mbedtls_rsa_pkcs1_sign(rsa, Random::MbedtlsCallback, &environment_.random, hash,
                                 static_cast<unsigned>(digest.size()), digest.data(), signature);
    }
  }
  if (status != 0) {
    request.Fail({ErrorCode::kExhausted, "no memory for a signature"}, false);
    return;
  }
  request.Complete(std::span<const uint8_t>(signature).first(size), false);
}

// --- RsaGenerator -------------------------------------------------------------------------------

Result<void> RsaGenerator::Start(uint32_t bits) {
  Stop();
  if (bits != 2048 && bits != 3072 && bits != 4096) {
    return Error(ErrorCode::kInvalidArgument, "RSA keys are of 2048, 3072 or 4096 bits");
  }
  mbedtls_mpi_init(&p_);
  mbedtls_mpi_init(&q_);
  bits_ = bits;
  candidate_count_ = 0;
  has_p_ = false;
  return Ok();
}

void RsaGenerator::Stop() {
  if (is_running()) {
    const TlsScope scope(environment_);
    mbedtls_mpi_free(&p_);
    mbedtls_mpi_free(&q_);
    bits_ = 0;
  }
}

Result<bool> RsaGenerator::Step(SoftwareKey& key) {
  GH_ASSERT(is_running() && &key.environment_ == &environment_);
  const TlsScope scope(environment_);
  if (++candidate_count_ > kCandidateMax) {
    Stop();
    return Error(ErrorCode::kExhausted, "no prime was found: is the entropy source broken?");
  }
  auto found = TryCandidate(has_p_ ? q_ : p_);
  if (!found.ok()) {
    Stop();
    return found;
  }
  if (!*found) {
    return false;
  }
  if (!has_p_) {
    has_p_ = true;
    return false;
  }
  auto complete = Complete(key);
  if (!complete.ok()) {
    Stop();
  }
  return complete;
}

// One random odd number with its two top bits set, so that the product has all its bits.
Result<bool> RsaGenerator::TryCandidate(mbedtls_mpi& prime) {
  const uint32_t prime_bits = bits_ / 2;
  uint8_t bytes[kRsaKeyBitsMax / 16];
  const std::span<uint8_t> candidate(bytes, prime_bits / 8);
  environment_.random.Fill(candidate);
  candidate.front() |= 0xc0;
  candidate.back() |= 1;
  const int read = mbedtls_mpi_read_binary(&prime, candidate.data(), candidate.size());
  SecureZero(bytes);
  if (read != 0) {
    return kNoMemory;
  }
  // p - 1 has to be without the factor 65537, itself a prime.
  mbedtls_mpi_uint remainder = 0;
  if (mbedtls_mpi_mod_int(&remainder, &prime, kExponent) != 0) {
    return kNoMemory;
  }
  if (remainder <= 1) {
    return false;
  }
  const int status = mbedtls_mpi_is_prime_ext(&prime, RoundsFor(prime_bits),
                                              Random::MbedtlsCallback, &environment_.random);
  if (status == MBEDTLS_ERR_MPI_NOT_ACCEPTABLE) {
    return false;
  }
  return status == 0 ? Result<bool>(true) : Result<bool>(kNoMemory);
}

Result<bool> RsaGenerator::Complete(SoftwareKey& key) {
  // |p - q| > 2^(bits / 2 - 100).
  mbedtls_mpi difference;
  mbedtls_mpi_init(&difference);
  const int status = mbedtls_mpi_sub_mpi(&difference, &p_, &q_);
  const size_t distance = mbedtls_mpi_bitlen(&difference);
  mbedtls_mpi_free(&difference);
  if (status != 0) {
    return kNoMemory;
  }
  if (distance <= bits_ / 2 - 100) {
    return false;
  }
  key.Clear();
  mbedtls_mpi exponent;
  mbedtls_mpi_init(&exponent);
  bool good = mbedtls_mpi_lset(&exponent, kExponent) == 0 &&
              mbedtls_pk_setup(&key.pk_, mbedtls_pk_info_from_type(MBEDTLS_PK_RSA)) == 0;
  if (good) {
    mbedtls_rsa_context* rsa = mbedtls_pk_rsa(key.pk_);
    good = mbedtls_rsa_import(rsa, nullptr, &p_, &q_, nullptr, &exponent) == 0 &&
           mbedtls_rsa_complete(rsa) == 0 && mbedtls_rsa_check_privkey(rsa) == 0;
  }
  mbedtls_mpi_free(&exponent);
  if (!good) {
    key.Clear();
    return kNoMemory;
  }
  const auto adopted = key.Adopt();
  if (!adopted.ok()) {
    key.Clear();
    return adopted.error();
  }
  Stop();
  return true;
}

}  // namespace gh::crypto
