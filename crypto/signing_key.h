// A private key that signs, wherever it lives: in memory, sealed by the device, or in a token
// (HSM).
//
// Signing is a request with a completion, because a token may be slow, away or dead: whoever asks
// owns a SignRequest, starts it, and is told once from the event loop, or cancels it. A key in
// memory completes inside Start. Nobody waits.
//
//   request.Prepare(SignatureScheme::kEcdsaSecp256r1Sha256, digest, listener, deadline);
//   key.Start(request);      // kPending, or already kDone / kFailed: the listener is then not
//   called
//   ... listener.OnSigned(request) from the event loop: request.signature(), or request.error()
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hal/rt/list.h"
#include "hal/rt/result.h"
#include "hal/rt/time.h"

namespace gh::crypto {

enum class KeyType : uint8_t { kEcP256, kEcP384, kRsa };

// RFC 8446 section 4.2.3; PKCS #1 v1.5 for TLS 1.2 and for certificate requests only.
enum class SignatureScheme : uint16_t {
  kRsaPkcs1Sha256 = 0x0401,
  kRsaPkcs1Sha384 = 0x0501,
  kRsaPkcs1Sha512 = 0x0601,
  kEcdsaSecp256r1Sha256 = 0x0403,
  kEcdsaSecp384r1Sha384 = 0x0503,
  kRsaPssSha256 = 0x0804,
  kRsaPssSha384 = 0x0805,
  kRsaPssSha512 = 0x0806,
};

inline constexpr size_t kSignatureMax = 512;  // RSA 4096
inline constexpr size_t kSignDigestMax = 64;  // SHA-512

class SignRequest;
class SignListener {
 public:
  virtual void OnSigned(SignRequest& request) = 0;

 protected:
  ~SignListener() = default;
};

// Belongs to whoever asks, and stays in place while it is pending.
class SignRequest {
 public:
  enum class State : uint8_t { kIdle, kPending, kDone, kFailed };

  // `digest`: of what is signed, by the scheme's hash. Idle again, whatever was before (a pending
  // request must be cancelled first).
  void Prepare(SignatureScheme scheme, std::span<const uint8_t> digest, SignListener& listener,
               Instant deadline);

  State state() const { return state_; }
  SignatureScheme scheme() const { return scheme_; }
  std::span<const uint8_t> digest() const { return {digest_.data(), digest_size_}; }
  Instant deadline() const { return deadline_; }
  // ECDSA: DER of Ecdsa-Sig-Value (RFC 3279 section 2.2.3). RSA: as long as the modulus.
  std::span<const uint8_t> signature() const { return {signature_.data(), signature_size_}; }
  const Error& error() const { return error_; }

  // For keys.
  void SetPending() { state_ = State::kPending; }
  // `tell`: false inside Start, where the caller looks at state() itself.
  void Complete(std::span<const uint8_t> signature, bool tell);
  void Fail(const Error& error, bool tell);
  ListNode node;  // in the queue of the key's keeper while pending

 private:
  State state_ = State::kIdle;
  SignatureScheme scheme_ = SignatureScheme::kEcdsaSecp256r1Sha256;
  SignListener* listener_ = nullptr;
  Instant deadline_;
  Error error_ = ErrorCode::kOk;
  uint16_t signature_size_ = 0;
  uint8_t digest_size_ = 0;
  std::array<uint8_t, kSignDigestMax> digest_ = {};
  std::array<uint8_t, kSignatureMax> signature_ = {};
};

class SigningKey {
 public:
  virtual KeyType type() const = 0;
  virtual uint32_t bits() const = 0;  // of the curve or the modulus
  // SubjectPublicKeyInfo, DER (RFC 5280 section 4.1.2.7).
  virtual std::span<const uint8_t> public_key() const = 0;
  // False: the token is away, Start would fail at once; resume by ticket or refuse.
  virtual bool is_available() const = 0;
  // Fails with kUnreachable (away), kExhausted (queue full), kTimeout (deadline), kUnsupported
  // (not a scheme of this key), kUnauthentic (the token answered nonsense).
  virtual void Start(SignRequest& request) = 0;
  virtual void Cancel(SignRequest& request) = 0;  // the listener is not called

 protected:
  ~SigningKey() = default;
};

}  // namespace gh::crypto
