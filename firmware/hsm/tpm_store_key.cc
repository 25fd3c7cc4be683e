#include "firmware/hsm/tpm_store_key.h"

#include "hal/rt/bytes.h"

namespace gh::hsm {
namespace {

constexpr uint8_t kVersion = 1;

}  // namespace

void EncodeTpmEnvelope(const TpmEnvelope& envelope, ByteWriter& out) {
  out.U8(kVersion);
  out.U16Be(static_cast<uint16_t>(envelope.sealed_size));
  out.Bytes(std::span(envelope.sealed).first(envelope.sealed_size));
  EncodeBox(envelope.recovery, out);
}

Result<void> DecodeTpmEnvelope(std::span<const uint8_t> bytes, TpmEnvelope& envelope) {
  static constexpr Error kDamaged = {ErrorCode::kUnauthentic,
                                     "the wrapped key of the store is damaged"};
  ByteReader in(bytes);
  const uint8_t version = in.U8();
  envelope.sealed_size = in.U16Be();
  if (!in.ok() || version != kVersion || envelope.sealed_size > envelope.sealed.size()) {
    return kDamaged;
  }
  in.Copy(std::span(envelope.sealed).first(envelope.sealed_size));
  DecodeBox(in, envelope.recovery);
  return in.ok() && in.at_end() ? Ok() : Result<void>(kDamaged);
}

Result<void> TpmOpener::Unwrap(std::span<const uint8_t> wrapped, store::KeyBytes& key) {
  was_asked_ = true;
  TpmEnvelope envelope;
  GH_TRY(DecodeTpmEnvelope(wrapped, envelope));
  if (tpm_ == nullptr) {
    return Error{ErrorCode::kUnreachable, "this machine has no TPM that can be used"};
  }
  const auto opened = crypto::TpmUnseal(
      *tpm_, std::span<const uint8_t>(envelope.sealed).first(envelope.sealed_size), key.Expose());
  return opened.ok() ? Ok() : Result<void>(Error{ErrorCode::kUnreachable, opened.error().what});
}

Result<size_t> TpmWrapper::Wrap(const store::KeyBytes& key, std::span<uint8_t> out) {
  TpmEnvelope envelope;
  envelope.recovery = recovery_;
  GH_TRY_ASSIGN(const size_t size, crypto::TpmSeal(tpm_, key.Expose(), envelope.sealed));
  envelope.sealed_size = static_cast<uint32_t>(size);
  store::KeyBytes again;
  GH_TRY(crypto::TpmUnseal(tpm_, std::span<const uint8_t>(envelope.sealed).first(size),
                           again.Expose()));
  if (!ConstantTimeEqual(again.Expose(), key.Expose())) {
    return Error{ErrorCode::kUnauthentic, "the TPM does not open what it sealed"};
  }
  ByteWriter writer(out);
  EncodeTpmEnvelope(envelope, writer);
  GH_ASSERT(writer.ok());
  return writer.size();
}

}  // namespace gh::hsm
