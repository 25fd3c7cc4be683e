// The store's key wrapped by the machine's TPM: for machines without an HSM, or whose HSM is
// switched off; and, beside it, under a recovery password, for the day the TPM or its board is
// gone.
//
// The record (store/key_record.h, wrapper kind 3) holds:
//
//   u8 version | u16 size, what the TPM sealed (crypto/tpm_seal.h) | recovery box (store_key.h)
//
// A disk alone tells nothing then. Fault model: another TPM, a TPM that was cleared, a mute one:
// the store stays closed and untouched (kUnreachable), as without an HSM.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/tpm_seal.h"
#include "firmware/hsm/store_key.h"

namespace gh::hsm {

inline constexpr uint32_t kTpmWrapperKind = 3;

struct TpmEnvelope {
  std::array<uint8_t, crypto::kTpmSealedMax> sealed = {};
  uint32_t sealed_size = 0;
  RecoveryBox recovery;
};
void EncodeTpmEnvelope(const TpmEnvelope& envelope, ByteWriter& out);
Result<void> DecodeTpmEnvelope(std::span<const uint8_t> bytes, TpmEnvelope& envelope);

// Opens at the start; null: there is no TPM.
class TpmOpener final : public store::KeyWrapper {
 public:
  explicit TpmOpener(hal::Tpm* tpm) : tpm_(tpm) {}
  uint32_t kind() const override { return kTpmWrapperKind; }
  const char* name() const override { return "TPM"; }
  Result<size_t> Wrap(const store::KeyBytes&, std::span<uint8_t>) override {
    return Error{ErrorCode::kUnsupported, "the TPM wraps by xCommand TPM StoreKey Wrap"};
  }
  Result<void> Unwrap(std::span<const uint8_t> wrapped, store::KeyBytes& key) override;
  bool was_asked() const { return was_asked_; }

 private:
  hal::Tpm* tpm_;
  bool was_asked_ = false;
};

class TpmWrapper final : public store::KeyWrapper {
 public:
  TpmWrapper(hal::Tpm& tpm, const RecoveryBox& recovery) : tpm_(tpm), recovery_(recovery) {}
  uint32_t kind() const override { return kTpmWrapperKind; }
  const char* name() const override { return "TPM"; }
  // Opened again before it counts: a TPM that cannot is not trusted with the key.
  Result<size_t> Wrap(const store::KeyBytes& key, std::span<uint8_t> out) override;
  Result<void> Unwrap(std::span<const uint8_t>, store::KeyBytes&) override {
    return Error{ErrorCode::kUnsupported, "it only wraps"};
  }

 private:
  hal::Tpm& tpm_;
  const RecoveryBox& recovery_;
};

using TpmRecoveryOpener = RecoveryOpenerOf<kTpmWrapperKind, TpmEnvelope, DecodeTpmEnvelope>;

}  // namespace gh::hsm
