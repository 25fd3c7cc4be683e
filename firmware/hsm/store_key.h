// The store's key wrapped by a key that never leaves the HSM (AES; RSA where the HSM does not
// encrypt by AES); and, beside it, under a recovery password, for the day the HSM is gone for good.
//
// The record (store/key_record.h, wrapper kind 2) holds:
//
//   u8 version | PIN | serial number | label of the key              each u8 size, text
//   version 1: | vector (16) | u8 size, AES-256-CBC of (key (32) | check (16)), padded
//   version 2: | u16 size, RSA-OAEP (SHA-1) of (key (32) | check (16))
//   | salt (16) | u32 KiB | u32 passes | nonce (24) | tag (16) | box (32)
//
// check: the first 16 bytes of a MAC by the key over a constant text: what the HSM decrypts is
// known to be the key. The box is the key under XChaCha20-Poly1305 by a key that Argon2id makes of
// the password. The PIN stands there in the clear: it is needed before anything can be opened, and
// is of no use without the token; whoever has disk, token and PIN has the store, and no less will
// do.
//
// At the start only the local HSM can be asked, for there is no network before the settings. The
// wait is bounded (kOpenMax); without an answer the store stays closed.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/aead.h"
#include "crypto/password.h"
#include "crypto/pkcs11_rpc.h"
#include "crypto/pkcs11_token.h"
#include "firmware/store/key_record.h"
#include "hal/clock.h"
#include "hal/rt/arena.h"
#include "hal/rt/bytes.h"
#include "hal/token_link.h"

namespace gh::hsm {

inline constexpr uint32_t kStoreWrapperKind = 2;
inline constexpr std::string_view kStoreKeyLabel = "gatehouse-store";
inline constexpr Duration kOpenMax = Duration::Seconds(30);
inline constexpr size_t kStorePlainBytes = 48;
inline constexpr size_t kRecoveryPasswordMin = 12;

// The key under a recovery password.
struct RecoveryBox {
  std::array<uint8_t, crypto::PasswordHasher::kSaltSize> salt = {};
  crypto::PasswordCost cost;
  std::array<uint8_t, crypto::kAeadNonceSize> nonce = {};
  std::array<uint8_t, crypto::kAeadTagSize> tag = {};
  std::array<uint8_t, store::kStoreKeyBytes> box = {};
};
void EncodeBox(const RecoveryBox& box, ByteWriter& out);
void DecodeBox(ByteReader& in, RecoveryBox& box);
// Salt, nonce and cost are chosen; `by` is what the password derives to.
Result<void> PrepareBox(crypto::PasswordHasher& hasher, crypto::Random& random,
                        std::string_view password, RecoveryBox& box,
                        SecretBytes<crypto::kAeadKeySize>& by);
void SealBox(RecoveryBox& box, const store::KeyBytes& key,
             std::span<const uint8_t, crypto::kAeadKeySize> by);
// kUnauthentic: that is not the password.
Result<void> OpenBox(crypto::PasswordHasher& hasher, std::string_view password, RecoveryBox& box,
                     store::KeyBytes& key);

struct StoreEnvelope {
  crypto::pkcs11::TokenSettings token;
  FixedString<crypto::pkcs11::kLabelMax> label;
  bool by_rsa = false;
  std::array<uint8_t, 16> vector = {};  // AES
  std::array<uint8_t, crypto::pkcs11::kInputMax> cipher = {};
  uint32_t cipher_size = 0;
  RecoveryBox recovery;
};
void EncodeEnvelope(const StoreEnvelope& envelope, ByteWriter& out);
Result<void> DecodeEnvelope(std::span<const uint8_t> bytes, StoreEnvelope& envelope);

// Key and check, as the HSM encrypts them.
void PreparePlain(const store::KeyBytes& key, std::span<uint8_t, kStorePlainBytes> plain);
// kUnauthentic: it is not what PreparePlain made.
Result<void> TakePlain(std::span<const uint8_t> plain, store::KeyBytes& key);

// Opens by the HSM, waiting for it: at the start alone.
class StoreKeyOpener final : public store::KeyWrapper {
 public:
  // `module`: what the board has loaded; it is asked where there is one, else by `link`.
  StoreKeyOpener(Arena& arena, hal::Clock& clock, hal::TokenLink* link,
                 crypto::pkcs11::Provider* module)
      : arena_(arena), clock_(clock), link_(link), module_(module) {}
  uint32_t kind() const override { return kStoreWrapperKind; }
  const char* name() const override { return "HSM"; }
  Result<size_t> Wrap(const store::KeyBytes&, std::span<uint8_t>) override {
    return Error{ErrorCode::kUnsupported, "the HSM wraps by xCommand HSM StoreKey Wrap"};
  }
  Result<void> Unwrap(std::span<const uint8_t> wrapped, store::KeyBytes& key) override;
  bool was_asked() const { return was_asked_; }
  Duration took() const { return took_; }

 private:
  Arena& arena_;
  hal::Clock& clock_;
  hal::TokenLink* link_;
  crypto::pkcs11::Provider* module_;
  bool was_asked_ = false;
  Duration took_;
};

// What was encrypted before, as a wrapper.
class PreparedWrapper final : public store::KeyWrapper {
 public:
  explicit PreparedWrapper(const StoreEnvelope& envelope) : envelope_(envelope) {}
  uint32_t kind() const override { return kStoreWrapperKind; }
  const char* name() const override { return "HSM"; }
  Result<size_t> Wrap(const store::KeyBytes& key, std::span<uint8_t> out) override;
  Result<void> Unwrap(std::span<const uint8_t>, store::KeyBytes&) override {
    return Error{ErrorCode::kUnsupported, "it only wraps"};
  }

 private:
  const StoreEnvelope& envelope_;
};

// Opens by the recovery password, whose box lies in an envelope of this kind.
template <uint32_t kKind, typename Envelope,
          Result<void> (*kDecode)(std::span<const uint8_t>, Envelope&)>
class RecoveryOpenerOf final : public store::KeyWrapper {
 public:
  RecoveryOpenerOf(crypto::PasswordHasher& hasher, std::string_view password)
      : hasher_(hasher), password_(password) {}
  uint32_t kind() const override { return kKind; }
  const char* name() const override { return "recovery password"; }
  Result<size_t> Wrap(const store::KeyBytes&, std::span<uint8_t>) override {
    return Error{ErrorCode::kUnsupported, "it only opens"};
  }
  Result<void> Unwrap(std::span<const uint8_t> wrapped, store::KeyBytes& key) override {
    Envelope envelope;
    GH_TRY(kDecode(wrapped, envelope));
    return OpenBox(hasher_, password_, envelope.recovery, key);
  }

 private:
  crypto::PasswordHasher& hasher_;
  std::string_view password_;
};
using RecoveryOpener = RecoveryOpenerOf<kStoreWrapperKind, StoreEnvelope, DecodeEnvelope>;

}  // namespace gh::hsm
