#include "crypto/key_agreement.h"

#include <mbedtls/ecp.h>
#include <sodium/crypto_scalarmult_curve25519.h>

#include <algorithm>

namespace gh::crypto {
namespace {

// The curve and what one computation on it needs; gives its memory back at the end of the scope.
struct P256Work {
  explicit P256Work(TlsEnvironment& environment) : scope(environment) {
    mbedtls_ecp_group_init(&group);
    mbedtls_mpi_init(&secret);
    mbedtls_ecp_point_init(&point);
    mbedtls_ecp_point_init(&result);
  }
  P256Work(const P256Work&) = delete;
  P256Work& operator=(const P256Work&) = delete;
  ~P256Work() {
    mbedtls_ecp_point_free(&result);
    mbedtls_ecp_point_free(&point);
    mbedtls_mpi_free(&secret);
    mbedtls_ecp_group_free(&group);
  }

  TlsScope scope;  // first: the others are freed inside it
  mbedtls_ecp_group group;
  mbedtls_mpi secret;
  mbedtls_ecp_point point;
  mbedtls_ecp_point result;
};

Result<void> Load(P256Work& work, std::span<const uint8_t, kP256SecretSize> secret) {
  if (mbedtls_ecp_group_load(&work.group, MBEDTLS_ECP_DP_SECP256R1) != 0 ||
      mbedtls_mpi_read_binary(&work.secret, secret.data(), secret.size()) != 0) {
    return Error(ErrorCode::kExhausted, "no memory for P-256");
  }
  if (mbedtls_ecp_check_privkey(&work.group, &work.secret) != 0) {
    return Error(ErrorCode::kMalformed, "not a P-256 secret");
  }
  return Ok();
}

Result<void> Export(const P256Work& work, const mbedtls_ecp_point& point, P256Point& out) {
  size_t size = 0;
  if (mbedtls_ecp_point_write_binary(&work.group, &point, MBEDTLS_ECP_PF_UNCOMPRESSED, &size,
                                     out.data(), out.size()) != 0 ||
      size != out.size()) {
    return Error(ErrorCode::kMalformed, "not a P-256 point");
  }
  return Ok();
}

}  // namespace

X25519Public X25519PublicOf(std::span<const uint8_t, kX25519Size> secret) {
  X25519Public out;
  crypto_scalarmult_curve25519_base(out.data(), secret.data());
  return out;
}

Result<void> X25519Agree(std::span<const uint8_t, kX25519Size> secret,
                         std::span<const uint8_t, kX25519Size> peer,
                         std::span<uint8_t, kX25519Size> shared) {
  if (crypto_scalarmult_curve25519(shared.data(), secret.data(), peer.data()) != 0) {
    return Error(ErrorCode::kUnauthentic, "X25519 point of small order");
  }
  return Ok();
}

Result<void> P256MakeKey(TlsEnvironment& environment, std::span<uint8_t, kP256SecretSize> secret,
                         P256Point& point) {
  P256Work work(environment);
  if (mbedtls_ecp_group_load(&work.group, MBEDTLS_ECP_DP_SECP256R1) != 0 ||
      mbedtls_ecp_gen_keypair(&work.group, &work.secret, &work.point, Random::MbedtlsCallback,
                              &environment.random) != 0 ||
      mbedtls_mpi_write_binary(&work.secret, secret.data(), secret.size()) != 0) {
    return Error(ErrorCode::kExhausted, "no memory for a P-256 key");
  }
  return Export(work, work.point, point);
}

Result<void> P256PointOf(TlsEnvironment& environment,
                         std::span<const uint8_t, kP256SecretSize> secret, P256Point& point) {
  P256Work work(environment);
  GH_TRY(Load(work, secret));
  if (mbedtls_ecp_mul(&work.group, &work.point, &work.secret, &work.group.G,
                      Random::MbedtlsCallback, &environment.random) != 0) {
    return Error(ErrorCode::kExhausted, "no memory for P-256");
  }
  return Export(work, work.point, point);
}

Result<void> P256Agree(TlsEnvironment& environment,
                       std::span<const uint8_t, kP256SecretSize> secret,
                       std::span<const uint8_t> peer, std::span<uint8_t, kP256SecretSize> shared) {
  P256Work work(environment);
  GH_TRY(Load(work, secret));
  if (peer.size() != kP256PointSize || peer[0] != 4 ||
      mbedtls_ecp_point_read_binary(&work.group, &work.point, peer.data(), peer.size()) != 0 ||
      mbedtls_ecp_check_pubkey(&work.group, &work.point) != 0) {
    return Error(ErrorCode::kMalformed, "not a P-256 point");
  }
  P256Point product;
  if (mbedtls_ecp_mul(&work.group, &work.result, &work.secret, &work.point, Random::MbedtlsCallback,
                      &environment.random) != 0 ||
      !Export(work, work.result, product)) {
    return Error(ErrorCode::kExhausted, "no memory for P-256");
  }
  std::copy_n(product.begin() + 1, shared.size(), shared.begin());
  SecureZero(product);
  return Ok();
}

}  // namespace gh::crypto
