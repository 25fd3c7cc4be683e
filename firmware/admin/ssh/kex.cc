#include "firmware/admin/ssh/kex.h"

#include <algorithm>

#include "crypto/key_agreement.h"
#include "firmware/admin/ssh/wire.h"
#include "hal/rt/assert.h"

namespace gh::ssh {
namespace {

bool UsesSha512(Kex kex) { return kex == Kex::kSntrup761X25519 || kex == Kex::kSntrup761X25519Old; }

void SetNumber(SharedSecret& shared, std::span<const uint8_t> number) {
  ByteWriter out(shared.bytes.Expose());
  PutMpint(out, number);
  GH_ASSERT(out.ok());
  shared.size = out.size();
}

Result<void> RunX25519(crypto::TlsEnvironment& environment, std::span<const uint8_t> client_public,
                       ByteWriter& server_public, SecretBytes<32>& shared) {
  if (client_public.size() != crypto::kX25519Size) {
    return Error(ErrorCode::kMalformed, "wrong size of an X25519 public value");
  }
  SecretBytes<32> secret;
  environment.random.Fill(secret.Expose());
  server_public.Bytes(crypto::X25519PublicOf(secret.Expose()));
  return crypto::X25519Agree(secret.Expose(), client_public.first<crypto::kX25519Size>(),
                             shared.Expose());
}

Result<void> RunP256(crypto::TlsEnvironment& environment, std::span<const uint8_t> client_public,
                     ByteWriter& server_public, SecretBytes<32>& shared) {
  SecretBytes<32> secret;
  crypto::P256Point point;
  GH_TRY(crypto::P256MakeKey(environment, secret.Expose(), point));
  server_public.Bytes(point);
  return crypto::P256Agree(environment, secret.Expose(), client_public, shared.Expose());
}

}  // namespace

bool HasKex(Kex kex) {
  return kex == Kex::kCurve25519 || kex == Kex::kCurve25519Old || kex == Kex::kNistP256;
}

Result<void> RunKex(Kex kex, crypto::TlsEnvironment& environment,
                    std::span<const uint8_t> client_public, ByteWriter& server_public,
                    SharedSecret& shared) {
  SecretBytes<32> number;
  switch (kex) {
    case Kex::kCurve25519:
    case Kex::kCurve25519Old:
      GH_TRY(RunX25519(environment, client_public, server_public, number));
      break;
    case Kex::kNistP256:
      GH_TRY(RunP256(environment, client_public, server_public, number));
      break;
    default:
      return Error(ErrorCode::kUnsupported, "key exchange method not built in");
  }
  SetNumber(shared, number.Expose());
  return Ok();
}

void KexHash::Start(Kex kex) {
  sha256_.reset();
  sha512_.reset();
  UsesSha512(kex) ? (void)sha512_.emplace() : (void)sha256_.emplace();
}

void KexHash::Update(std::span<const uint8_t> bytes) {
  GH_ASSERT(started());
  sha512_.has_value() ? sha512_->Add(bytes) : sha256_->Add(bytes);
}

void KexHash::UpdateString(std::span<const uint8_t> bytes) {
  std::array<uint8_t, 4> size;
  ByteWriter out(size);
  out.U32Be(static_cast<uint32_t>(bytes.size()));
  Update(size);
  Update(bytes);
}

size_t KexHash::Finish(Digest& out) {
  GH_ASSERT(started());
  size_t size = 0;
  if (sha512_.has_value()) {
    const auto digest = sha512_->Finish();
    std::copy(digest.begin(), digest.end(), out.begin());
    size = digest.size();
  } else {
    const auto digest = sha256_->Finish();
    std::copy(digest.begin(), digest.end(), out.begin());
    size = digest.size();
  }
  sha256_.reset();
  sha512_.reset();
  return size;
}

namespace {

// HASH(K || H || letter || session id), and HASH(K || H || what is there) until it is enough.
void DeriveOne(Kex kex, const SharedSecret& shared, std::span<const uint8_t> exchange_hash,
               std::span<const uint8_t> session_id, char letter, std::span<uint8_t> out) {
  KexHash hash;
  KexHash::Digest block;
  size_t done = 0;
  while (done < out.size()) {
    hash.Start(kex);
    hash.Update(shared.view());
    hash.Update(exchange_hash);
    if (done == 0) {
      const auto byte = static_cast<uint8_t>(letter);
      hash.Update({&byte, 1});
      hash.Update(session_id);
    } else {
      hash.Update(out.first(done));
    }
    const size_t size = std::min(hash.Finish(block), out.size() - done);
    std::copy_n(block.begin(), size, out.begin() + static_cast<ptrdiff_t>(done));
    done += size;
  }
  SecureZero(block);
}

}  // namespace

void DeriveKeys(Kex kex, const SharedSecret& shared, std::span<const uint8_t> exchange_hash,
                std::span<const uint8_t> session_id, const char (&letters)[4], KeyMaterial& out) {
  DeriveOne(kex, shared, exchange_hash, session_id, letters[0], out.iv.Expose());
  DeriveOne(kex, shared, exchange_hash, session_id, letters[1], out.key.Expose());
  DeriveOne(kex, shared, exchange_hash, session_id, letters[2], out.mac_key.Expose());
}

}  // namespace gh::ssh
