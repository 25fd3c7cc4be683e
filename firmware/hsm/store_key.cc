#include "firmware/hsm/store_key.h"

#include <algorithm>

#include "crypto/mac.h"
#include "hal/rt/bytes.h"

namespace gh::hsm {
namespace {

namespace p11 = crypto::pkcs11;

constexpr uint8_t kVersionAes = 1;
constexpr uint8_t kVersionRsa = 2;
constexpr size_t kAesCipherMax = 96;
constexpr size_t kCheckBytes = kStorePlainBytes - store::kStoreKeyBytes;
constexpr Duration kFarewellMax = Duration::Seconds(2);

void PutText(ByteWriter& out, std::string_view text) {
  out.U8(static_cast<uint8_t>(text.size()));
  out.Text(text);
}

template <uint32_t N>
bool TakeText(ByteReader& in, FixedString<N>& text) {
  const uint8_t size = in.U8();
  return text.Assign(AsText(in.Take(size))) && in.ok();
}

std::array<uint8_t, kCheckBytes> CheckOf(const store::KeyBytes& key) {
  crypto::Blake2bMac mac(key.Expose());
  mac.Update("gatehouse.store.check");
  const auto whole = mac.Finish();
  std::array<uint8_t, kCheckBytes> check;
  std::copy_n(whole.begin(), kCheckBytes, check.begin());
  return check;
}

// Waits by turning: there is no loop yet.
class Conversation final : public p11::TokenListener {
 public:
  Conversation(Arena& arena, hal::Clock& clock, p11::Provider& provider)
      : clock_(clock),
        deadline_(clock.Now() + kOpenMax),
        provider_(provider),
        token_(arena.New<p11::Token>(arena, provider)),
        request_(arena.New<p11::TokenRequest>()) {
    request_->listener = this;
  }

  Result<void> Open(const p11::TokenSettings& settings) {
    token_->Configure(settings);
    while (token_->state() != p11::TokenState::kReady) {
      (void)token_->Poll(clock_.Now());
      if (token_->pin_refused() || clock_.Now() >= deadline_) {
        return Error{ErrorCode::kUnreachable, token_->error().code == ErrorCode::kOk
                                                  ? "the HSM is not connected"
                                                  : token_->error().what};
      }
    }
    return Ok();
  }
  Result<void> Do(p11::TokenWork work) {
    request_->work = work;
    request_->deadline = deadline_;
    if (token_->Start(*request_, clock_.Now())) {
      while (request_->is_pending) {
        (void)token_->Poll(clock_.Now());
      }
    }
    return request_->ok ? Ok() : Result<void>(Error{ErrorCode::kUnreachable, request_->error.what});
  }
  // The far end begins anew with whoever comes after us.
  void Part(const hal::TokenLink* link) {
    token_->Disable();
    const Instant until = clock_.Now() + kFarewellMax;
    while (link != nullptr && link->connected() && clock_.Now() < until) {
      (void)provider_.Poll(clock_.Now());
    }
  }
  p11::TokenRequest& request() { return *request_; }
  void OnTokenDone(p11::TokenRequest&) override {}

 private:
  hal::Clock& clock_;
  const Instant deadline_;
  p11::Provider& provider_;
  p11::Token* token_;
  p11::TokenRequest* request_;
};

Result<void> AskHsm(Conversation& hsm, const StoreEnvelope& envelope, store::KeyBytes& key) {
  GH_TRY(hsm.Open(envelope.token));
  p11::TokenRequest& request = hsm.request();
  request.label = envelope.label;
  GH_TRY(hsm.Do(envelope.by_rsa ? p11::TokenWork::kFindPrivate : p11::TokenWork::kFindSecret));
  request.mechanism = envelope.by_rsa ? p11::kOaepBySha1
                                      : p11::Mechanism{.type = p11::kAesCbcPad,
                                                       .kind = p11::Mechanism::Kind::kBytes};
  request.vector = envelope.vector;
  request.input_size = envelope.cipher_size;
  std::copy_n(envelope.cipher.begin(), envelope.cipher_size, request.input.begin());
  const auto done = hsm.Do(p11::TokenWork::kDecrypt);
  const auto taken = done.ok() ? TakePlain(request.out(), key) : done;
  SecureZero(request.output);
  return taken;
}

}  // namespace

void EncodeEnvelope(const StoreEnvelope& envelope, ByteWriter& out) {
  out.U8(envelope.by_rsa ? kVersionRsa : kVersionAes);
  PutText(out, envelope.token.pin.view());
  PutText(out, envelope.token.serial.view());
  PutText(out, envelope.label.view());
  if (envelope.by_rsa) {
    out.U16Be(static_cast<uint16_t>(envelope.cipher_size));
  } else {
    out.Bytes(envelope.vector);
    out.U8(static_cast<uint8_t>(envelope.cipher_size));
  }
  out.Bytes(std::span(envelope.cipher).first(envelope.cipher_size));
  EncodeBox(envelope.recovery, out);
}

Result<void> DecodeEnvelope(std::span<const uint8_t> bytes, StoreEnvelope& envelope) {
  static constexpr Error kDamaged = {ErrorCode::kUnauthentic,
                                     "the wrapped key of the store is damaged"};
  ByteReader in(bytes);
  const uint8_t version = in.U8();
  envelope.by_rsa = version == kVersionRsa;
  if ((version != kVersionAes && !envelope.by_rsa) || !TakeText(in, envelope.token.pin) ||
      !TakeText(in, envelope.token.serial) || !TakeText(in, envelope.label)) {
    return kDamaged;
  }
  if (envelope.by_rsa) {
    envelope.cipher_size = in.U16Be();
  } else {
    in.Copy(envelope.vector);
    envelope.cipher_size = in.U8();
  }
  if (envelope.cipher_size > (envelope.by_rsa ? envelope.cipher.size() : kAesCipherMax)) {
    return kDamaged;
  }
  in.Copy(std::span(envelope.cipher).first(envelope.cipher_size));
  DecodeBox(in, envelope.recovery);
  return in.ok() && in.at_end() ? Ok() : Result<void>(kDamaged);
}

void PreparePlain(const store::KeyBytes& key, std::span<uint8_t, kStorePlainBytes> plain) {
  std::ranges::copy(key.Expose(), plain.begin());
  const auto check = CheckOf(key);
  std::ranges::copy(check, plain.begin() + store::kStoreKeyBytes);
}

Result<void> TakePlain(std::span<const uint8_t> plain, store::KeyBytes& key) {
  if (plain.size() == kStorePlainBytes) {
    key.Set(plain.first<store::kStoreKeyBytes>());
    if (ConstantTimeEqual(CheckOf(key), plain.subspan(store::kStoreKeyBytes))) {
      return Ok();
    }
    key.Zero();
  }
  return Error{ErrorCode::kUnreachable, "the HSM decrypts something else: it has another key"};
}

void EncodeBox(const RecoveryBox& box, ByteWriter& out) {
  out.Bytes(box.salt);
  out.U32Be(box.cost.memory_kib);
  out.U32Be(box.cost.passes);
  out.Bytes(box.nonce);
  out.Bytes(box.tag);
  out.Bytes(box.box);
}

void DecodeBox(ByteReader& in, RecoveryBox& box) {
  in.Copy(box.salt);
  box.cost.memory_kib = in.U32Be();
  box.cost.passes = in.U32Be();
  in.Copy(box.nonce);
  in.Copy(box.tag);
  in.Copy(box.box);
}

Result<void> PrepareBox(crypto::PasswordHasher& hasher, crypto::Random& random,
                        std::string_view password, RecoveryBox& box,
                        SecretBytes<crypto::kAeadKeySize>& by) {
  if (password.size() < kRecoveryPasswordMin) {
    return Error{ErrorCode::kInvalidArgument,
                 "expected a recovery password of at least 12 characters"};
  }
  random.Fill(box.salt);
  random.Fill(box.nonce);
  const crypto::PasswordCost wanted;
  const crypto::PasswordCost most = hasher.cost();
  box.cost = most.memory_kib < wanted.memory_kib ? most : wanted;
  return hasher.Derive(password, box.salt, box.cost, by.Expose());
}

void SealBox(RecoveryBox& box, const store::KeyBytes& key,
             std::span<const uint8_t, crypto::kAeadKeySize> by) {
  std::ranges::copy(key.Expose(), box.box.begin());
  crypto::AeadSeal(by, box.nonce, AsBytes("gatehouse.store.recovery"), box.box, box.tag);
}

Result<void> OpenBox(crypto::PasswordHasher& hasher, std::string_view password, RecoveryBox& box,
                     store::KeyBytes& key) {
  SecretBytes<crypto::kAeadKeySize> by;
  GH_TRY(hasher.Derive(password, box.salt, box.cost, by.Expose()));
  if (!crypto::AeadOpen(by.Expose(), box.nonce, AsBytes("gatehouse.store.recovery"), box.box,
                        box.tag)
           .ok()) {
    return Error{ErrorCode::kUnauthentic, "that is not the recovery password"};
  }
  key.Set(box.box);
  SecureZero(box.box);
  return Ok();
}

Result<void> StoreKeyOpener::Unwrap(std::span<const uint8_t> wrapped, store::KeyBytes& key) {
  was_asked_ = true;
  StoreEnvelope envelope;
  GH_TRY(DecodeEnvelope(wrapped, envelope));
  if (link_ == nullptr && module_ == nullptr) {
    return Error{ErrorCode::kUnreachable, "this machine has no local HSM"};
  }
  const Instant from = clock_.Now();
  p11::Provider* provider = module_;
  if (provider == nullptr) {
    provider = arena_.New<p11::RpcClient>(*link_);
  }
  Conversation hsm(arena_, clock_, *provider);
  const auto asked = AskHsm(hsm, envelope, key);
  took_ = clock_.Now() - from;
  hsm.Part(module_ == nullptr ? link_ : nullptr);
  return asked;
}

Result<size_t> PreparedWrapper::Wrap(const store::KeyBytes&, std::span<uint8_t> out) {
  ByteWriter writer(out);
  EncodeEnvelope(envelope_, writer);
  GH_ASSERT(writer.ok());
  return writer.size();
}

}  // namespace gh::hsm
