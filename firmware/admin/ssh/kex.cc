#include "firmware/admin/ssh/kex.h"

#include <algorithm>

#include "crypto/kem.h"
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

// A hybrid's secret is a string: the hash of what the KEM gave and what X25519 gave
// (draft-ietf-sshm-ntruprime-ssh, draft-ietf-sshm-mlkem-hybrid-kex).
template <typename Hash>
void SetHybrid(SharedSecret& shared, const SecretBytes<32>& kem, const SecretBytes<32>& point) {
  Hash hash;
  hash.Add(kem.Expose());
  hash.Add(point.Expose());
  auto digest = hash.Finish();
  ByteWriter out(shared.bytes.Expose());
  PutString(out, digest);
  GH_ASSERT(out.ok());
  shared.size = out.size();
  SecureZero(digest);
}

Result<void> RunSntrup761(crypto::TlsEnvironment& environment,
                          std::span<const uint8_t> client_public, ByteWriter& server_public,
                          SharedSecret& shared) {
  if (client_public.size() != crypto::kSntrup761PublicSize + crypto::kX25519Size) {
    return Error(ErrorCode::kMalformed, "wrong size of an sntrup761x25519 public value");
  }
  const auto cipher = server_public.Reserve(crypto::kSntrup761CipherSize);
  GH_ASSERT(server_public.ok());
  SecretBytes<32> kem;
  crypto::Sntrup761Encapsulate(environment.random,
                               client_public.first<crypto::kSntrup761PublicSize>(),
                               cipher.first<crypto::kSntrup761CipherSize>(), kem.Expose());
  SecretBytes<32> point;
  GH_TRY(RunX25519(environment, client_public.last<crypto::kX25519Size>(), server_public, point));
  SetHybrid<crypto::Sha512>(shared, kem, point);
  return Ok();
}

Result<void> RunMlKem768(crypto::TlsEnvironment& environment,
                         std::span<const uint8_t> client_public, ByteWriter& server_public,
                         SharedSecret& shared) {
  if (client_public.size() != crypto::kMlKem768PublicSize + crypto::kX25519Size) {
    return Error(ErrorCode::kMalformed, "wrong size of an mlkem768x25519 public value");
  }
  const auto cipher = server_public.Reserve(crypto::kMlKem768CipherSize);
  GH_ASSERT(server_public.ok());
  SecretBytes<crypto::kMlKem768MessageSize> message;
  environment.random.Fill(message.Expose());
  SecretBytes<32> kem;
  GH_TRY(crypto::MlKem768Encapsulate(message.Expose(),
                                     client_public.first<crypto::kMlKem768PublicSize>(),
                                     cipher.first<crypto::kMlKem768CipherSize>(), kem.Expose()));
  SecretBytes<32> point;
  GH_TRY(RunX25519(environment, client_public.last<crypto::kX25519Size>(), server_public, point));
  SetHybrid<crypto::Sha256>(shared, kem, point);
  return Ok();
}

}  // namespace

Result<void> RunKex(Kex kex, crypto::TlsEnvironment& environment,
                    std::span<const uint8_t> client_public, ByteWriter& server_public,
                    SharedSecret& shared) {
  SecretBytes<32> number;
  switch (kex) {
    case Kex::kMlKem768X25519:
      return RunMlKem768(environment, client_public, server_public, shared);
    case Kex::kSntrup761X25519:
    case Kex::kSntrup761X25519Old:
      return RunSntrup761(environment, client_public, server_public, shared);
    case Kex::kCurve25519:
    case Kex::kCurve25519Old:
      GH_TRY(RunX25519(environment, client_public, server_public, number));
      break;
    case Kex::kNistP256:
      GH_TRY(RunP256(environment, client_public, server_public, number));
      break;
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
