#include "firmware/admin/ssh/host_keys.h"

#include "crypto/digest.h"
#include "crypto/ecdsa.h"
#include "firmware/admin/ssh/wire.h"
#include "hal/rt/assert.h"

namespace gh::ssh {
namespace {

uint32_t IndexOf(HostKeyKind kind) { return static_cast<uint32_t>(kind); }

}  // namespace

// From the secret: the public part and its blob.
Result<void> HostKeys::SetUp(HostKeyKind kind) {
  ByteWriter blob(blobs_[IndexOf(kind)]);
  PutString(blob, NameOf(kind));
  const auto secret = secrets_[IndexOf(kind)].Expose();
  if (kind == HostKeyKind::kEd25519) {
    crypto::PublicKey point;
    crypto::MakeSigningKey(secret, ed25519_.Expose(), point);
    PutString(blob, point);
  } else {
    crypto::P256Point point;
    GH_TRY(crypto::P256PointOf(environment_, secret, point));
    PutString(blob, "nistp256");
    PutString(blob, point);
  }
  GH_ASSERT(blob.ok());
  blob_sizes_[IndexOf(kind)] = blob.size();
  return Ok();
}

Result<void> HostKeys::Make(HostKeyKind kind) {
  auto secret = secrets_[IndexOf(kind)].Expose();
  if (kind == HostKeyKind::kEd25519) {
    environment_.random.Fill(secret);
  } else {
    crypto::P256Point point;
    GH_TRY(crypto::P256MakeKey(environment_, secret, point));
  }
  made_new_ = true;
  return SetUp(kind);
}

Result<void> HostKeys::LoadOne(HostKeyVault& vault, HostKeyKind kind) {
  SecretBytes<kHostSecretSize>& secret = secrets_[IndexOf(kind)];
  const Result<void> loaded = vault.Load(kind, secret);
  const Result<void> usable = loaded.ok() ? SetUp(kind) : loaded;
  if (usable.ok()) {
    return Ok();
  }
  GH_TRY(Make(kind));
  // What could not be read may be there again at the next start: it is not written over.
  return usable.code() == ErrorCode::kNotFound || usable.code() == ErrorCode::kMalformed
             ? vault.Save(kind, secret)
             : usable;
}

Result<void> HostKeys::Load(HostKeyVault& vault) {
  Result<void> outcome = LoadOne(vault, HostKeyKind::kEd25519);
  const Result<void> second = LoadOne(vault, HostKeyKind::kEcdsaP256);
  return outcome.ok() ? second : outcome;
}

Result<void> HostKeys::Save(HostKeyVault& vault) const {
  GH_TRY(vault.Save(HostKeyKind::kEd25519, secrets_[0]));
  return vault.Save(HostKeyKind::kEcdsaP256, secrets_[1]);
}

std::span<const uint8_t> HostKeys::BlobOf(HostKeyKind kind) const {
  return std::span<const uint8_t>(blobs_[IndexOf(kind)]).first(blob_sizes_[IndexOf(kind)]);
}

Fingerprint HostKeys::FingerprintOf(HostKeyKind kind) const {
  return ssh::FingerprintOf(BlobOf(kind));
}

Result<void> HostKeys::Sign(HostKeyKind kind, std::span<const uint8_t> message,
                            ByteWriter& out) const {
  if (kind == HostKeyKind::kEd25519) {
    const auto signature = crypto::Sign(ed25519_.Expose(), message);
    PutString(out, NameOf(kind));
    PutString(out, signature);
    return Ok();
  }
  const auto digest = crypto::Sha256::Of(message);
  GH_TRY_ASSIGN(const auto signature,
                crypto::EcdsaP256Sign(environment_, secrets_[IndexOf(kind)].Expose(), digest));
  std::array<uint8_t, 80> numbers;
  ByteWriter inner(numbers);
  PutMpint(inner, signature.r);
  PutMpint(inner, signature.s);
  PutString(out, NameOf(kind));
  PutString(out, inner.written());
  return Ok();
}

}  // namespace gh::ssh
