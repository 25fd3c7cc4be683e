#include "crypto/ecdsa.h"

#include <mbedtls/ecdsa.h>
#include <mbedtls/rsa.h>

namespace gh::crypto {
namespace {

struct EcdsaWork {
  explicit EcdsaWork(TlsEnvironment& environment) : scope(environment) {
    mbedtls_ecp_group_init(&group);
    mbedtls_ecp_point_init(&point);
    mbedtls_mpi_init(&secret);
    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);
  }
  EcdsaWork(const EcdsaWork&) = delete;
  EcdsaWork& operator=(const EcdsaWork&) = delete;
  ~EcdsaWork() {
    mbedtls_mpi_free(&s);
    mbedtls_mpi_free(&r);
    mbedtls_mpi_free(&secret);
    mbedtls_ecp_point_free(&point);
    mbedtls_ecp_group_free(&group);
  }

  TlsScope scope;  // first: the others are freed inside it
  mbedtls_ecp_group group;
  mbedtls_ecp_point point;
  mbedtls_mpi secret;
  mbedtls_mpi r;
  mbedtls_mpi s;
};

struct RsaWork {
  explicit RsaWork(TlsEnvironment& environment) : scope(environment) { mbedtls_rsa_init(&rsa); }
  RsaWork(const RsaWork&) = delete;
  RsaWork& operator=(const RsaWork&) = delete;
  ~RsaWork() { mbedtls_rsa_free(&rsa); }

  TlsScope scope;
  mbedtls_rsa_context rsa;
};

}  // namespace

Result<EcdsaSignature> EcdsaP256Sign(TlsEnvironment& environment,
                                     std::span<const uint8_t, kP256SecretSize> secret,
                                     std::span<const uint8_t, 32> digest) {
  EcdsaWork work(environment);
  EcdsaSignature out;
  if (mbedtls_ecp_group_load(&work.group, MBEDTLS_ECP_DP_SECP256R1) != 0 ||
      mbedtls_mpi_read_binary(&work.secret, secret.data(), secret.size()) != 0 ||
      mbedtls_ecdsa_sign_det_ext(&work.group, &work.r, &work.s, &work.secret, digest.data(),
                                 digest.size(), MBEDTLS_MD_SHA256, Random::MbedtlsCallback,
                                 &environment.random) != 0 ||
      mbedtls_mpi_write_binary(&work.r, out.r.data(), out.r.size()) != 0 ||
      mbedtls_mpi_write_binary(&work.s, out.s.data(), out.s.size()) != 0) {
    return Error(ErrorCode::kExhausted, "no memory for an ECDSA signature");
  }
  return out;
}

bool EcdsaP256Verify(TlsEnvironment& environment, std::span<const uint8_t> point,
                     std::span<const uint8_t, 32> digest, std::span<const uint8_t> r,
                     std::span<const uint8_t> s) {
  if (point.size() != kP256PointSize || point[0] != 4 || r.size() > kP256SecretSize ||
      s.size() > kP256SecretSize) {
    return false;
  }
  EcdsaWork work(environment);
  return mbedtls_ecp_group_load(&work.group, MBEDTLS_ECP_DP_SECP256R1) == 0 &&
         mbedtls_ecp_point_read_binary(&work.group, &work.point, point.data(), point.size()) == 0 &&
         mbedtls_ecp_check_pubkey(&work.group, &work.point) == 0 &&
         mbedtls_mpi_read_binary(&work.r, r.data(), r.size()) == 0 &&
         mbedtls_mpi_read_binary(&work.s, s.data(), s.size()) == 0 &&
         mbedtls_ecdsa_verify(&work.group, digest.data(), digest.size(), &work.point, &work.r,
                              &work.s) == 0;
}

bool RsaVerify(TlsEnvironment& environment, std::span<const uint8_t> modulus,
               std::span<const uint8_t> exponent, RsaHash hash, std::span<const uint8_t> digest,
               std::span<const uint8_t> signature) {
  while (!modulus.empty() && modulus[0] == 0) {
    modulus = modulus.subspan(1);
  }
  if (modulus.size() * 8 > kRsaModulusBitsMax || exponent.empty() || exponent.size() > 8) {
    return false;
  }
  const bool is_sha256 = hash == RsaHash::kSha256;
  if (digest.size() != (is_sha256 ? 32 : 64)) {
    return false;
  }
  RsaWork work(environment);
  if (mbedtls_rsa_import_raw(&work.rsa, modulus.data(), modulus.size(), nullptr, 0, nullptr, 0,
                             nullptr, 0, exponent.data(), exponent.size()) != 0 ||
      mbedtls_rsa_complete(&work.rsa) != 0 || mbedtls_rsa_check_pubkey(&work.rsa) != 0 ||
      mbedtls_rsa_get_bitlen(&work.rsa) < kRsaModulusBitsMin ||
      signature.size() != mbedtls_rsa_get_len(&work.rsa)) {
    return false;
  }
  return mbedtls_rsa_pkcs1_verify(&work.rsa, is_sha256 ? MBEDTLS_MD_SHA256 : MBEDTLS_MD_SHA512,
                                  static_cast<unsigned>(digest.size()), digest.data(),
                                  signature.data()) == 0;
}

}  // namespace gh::crypto
