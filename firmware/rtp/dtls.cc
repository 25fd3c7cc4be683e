#include "firmware/rtp/dtls.h"

#include <algorithm>
#include <cstring>

#include "crypto/digest.h"
#include "crypto/self_signed.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "net/limits.h"

namespace gh::rtp {
namespace {

constexpr uint64_t kSharedHeap = 128 * 1024;  // both endpoints, key and certificate
constexpr uint32_t kPlainMax = 2048;
// 2025-01-01 to 2049-12-31: browsers do not look at it, and our clock may not be set.
constexpr int64_t kValidFrom = 1'735'689'600;
constexpr int64_t kValidUntil = 2'524'521'600;

int HexOf(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                : -1;
}

uint64_t HeapBytes(uint32_t handshake_count) {
  return kSharedHeap + uint64_t{handshake_count} * net::kTlsHandshakeHeap;
}

}  // namespace

Fingerprint Fingerprint::Of(std::string_view text) {
  const size_t space = text.find(' ');
  const std::string_view name = text.substr(0, space);
  const uint8_t size = name == "sha-256" ? 32 : name == "sha-384" ? 48 : name == "sha-512" ? 64 : 0;
  const std::string_view digits =
      space == std::string_view::npos ? std::string_view() : text.substr(space + 1);
  if (size == 0 || digits.size() != size * 3u - 1) {
    return {};
  }
  Fingerprint out;
  for (uint32_t i = 0; i < size; ++i) {
    const int high = HexOf(digits[i * 3]);
    const int low = HexOf(digits[i * 3 + 1]);
    if (high < 0 || low < 0 || (i + 1 < size && digits[i * 3 + 2] != ':')) {
      return {};
    }
    out.bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  out.hash.Assign(name);
  out.size = size;
  return out;
}

Dtls::Dtls(const Parts& parts, uint32_t handshake_count)
    : timers_(parts.timers),
      random_(parts.random),
      clock_(parts.clock),
      heap_(parts.arena, HeapBytes(handshake_count), handshake_count + 1),
      environment_{heap_, parts.random, parts.clock},
      key_(environment_),
      server_({.environment = environment_,
               .side = crypto::TlsSide::kServer,
               .transport = crypto::TlsTransport::kDatagram,
               .identities = this,
               .peers = this,
               .is_for_srtp = true}),
      client_({.environment = environment_,
               .side = crypto::TlsSide::kClient,
               .transport = crypto::TlsTransport::kDatagram,
               .identities = this,
               .peers = this,
               .is_for_srtp = true}),
      places_(parts.arena, handshake_count),
      scratch_(parts.arena.NewArray<uint8_t>(kPlainMax)) {
  mbedtls_x509_crt_init(&certificate_);
}

Dtls::~Dtls() {
  for (uint32_t i = 0; i < places_.capacity(); ++i) {
    if (Handshake* handshake = places_.At(i)) {
      Drop(*handshake);
    }
  }
  const crypto::TlsScope scope(environment_);
  mbedtls_x509_crt_free(&certificate_);
}

uint64_t Dtls::ArenaBytes(uint32_t handshake_count) {
  return HeapBytes(handshake_count) + kPlainMax +
         uint64_t{handshake_count} * (Pool<Handshake>::bytes_per_item() + sizeof(HeapOwner)) + 4096;
}

// --- Our own certificate ------------------------------------------------------------------------

Result<void> Dtls::Prepare() {
  if (is_ready()) {
    return Ok();
  }
  GH_TRY(MakeCertificate());
  crypto::TlsPolicy policy;
  policy.client_auth = crypto::ClientAuth::kRequired;
  policy.tickets = false;
  GH_TRY(server_.Configure(policy));
  GH_TRY(client_.Configure(policy));
  const auto digest = crypto::Sha256::Of({certificate_.raw.p, certificate_.raw.len});
  uint8_t text[112];
  ByteWriter out(text);
  out.Text("sha-256 ");
  for (size_t i = 0; i < digest.size(); ++i) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    if (i != 0) {
      out.Char(':');
    }
    out.Char(kDigits[digest[i] >> 4]);
    out.Char(kDigits[digest[i] & 15]);
  }
  fingerprint_.Assign(out.text());
  return Ok();
}

Result<void> Dtls::MakeCertificate() {
  GH_TRY(key_.GenerateEc(crypto::KeyType::kEcP256));
  crypto::SelfSigned terms;
  random_.Fill(terms.serial);
  terms.valid_from_s = kValidFrom;
  terms.valid_until_s = kValidUntil;
  const crypto::AlternativeName names[] = {{.dns = "media.invalid"}};
  uint8_t der[crypto::kSelfSignedBytesMax];
  GH_TRY_ASSIGN(const size_t size, crypto::WriteSelfSigned("media", names, terms, key_, der));
  const crypto::TlsScope scope(environment_);
  if (mbedtls_x509_crt_parse_der(&certificate_, der, size) != 0) {
    return Error(ErrorCode::kExhausted, "no memory for the certificate of media");
  }
  identity_ = {.chain = &certificate_, .key = &key_};
  return Ok();
}

// --- Handshakes ---------------------------------------------------------------------------------

Dtls::Handshake* Dtls::TakePlace() {
  Handshake* handshake = places_.Allocate();
  if (handshake == nullptr && !lingering_.empty()) {
    End(*lingering_.front(), nullptr);
    handshake = places_.Allocate();
  }
  return handshake;
}

Dtls::Handshake* Dtls::Begin(uint32_t owner, bool is_client, const Fingerprint& expected) {
  Handshake* handshake = is_ready() ? TakePlace() : nullptr;
  if (handshake == nullptr) {
    ++counts_.refused;
    return nullptr;
  }
  ++counts_.begun;
  handshake->dtls = this;
  handshake->owner = owner;
  handshake->is_client = is_client;
  handshake->expected = expected;
  handshake->end = clock_.Now() + kDtlsPatience;
  handshake->timer.Bind<&Handshake::OnTimeout>(handshake);
  if (!Start(*handshake)) {
    ++counts_.refused;
    Drop(*handshake);
    return nullptr;
  }
  Arm(*handshake);
  return handshake;
}

bool Dtls::Start(Handshake& handshake) {
  const uint32_t account = places_.IndexOf(handshake) + 1;
  handshake.session.Reset();
  heap_.ResetOwner(account);
  heap_.SetOwnerLimit(account, crypto::kTlsSessionHeapMax);
  return handshake.session
      .Start(handshake.is_client ? client_ : server_, handshake,
             {.server_name = {}, .heap_owner = account})
      .ok();
}

void Dtls::Take(Handshake& handshake, std::span<const uint8_t> datagram) {
  std::span<const uint8_t> in = datagram;
  const auto got = handshake.session.Read(in, scratch_);  // what it may say beside keys is no media
  if (handshake.is_keyed) {
    if (!got.ok()) {
      End(handshake, nullptr);
      return;
    }
    handshake.session.Rest();
  } else if (!got.ok()) {
    const crypto::TlsFailure failure = handshake.session.failure();
    End(handshake, crypto::TlsFailureText(failure));
    return;
  } else if (handshake.session.is_open()) {
    OnOpen(handshake);
    return;
  }
  Arm(handshake);
}

// Null: all is well, and `keys` are set.
const char* Dtls::FaultOf(Handshake& handshake, MediaKeys& keys) const {
  const Fingerprint& expected = handshake.expected;
  std::array<uint8_t, 64> digest = {};
  const auto size = handshake.session.PeerDigest(expected.hash.view(), digest);
  if (!size.ok() || *size != expected.size || !ConstantTimeEqual(digest, expected.bytes)) {
    return "the certificate is not the one that signalling named";
  }
  SecretBytes<crypto::kSrtpKeyingSize> keying;
  if (!handshake.session.ExportSrtp(keying.Expose()).ok()) {
    return "no protection profile in common";
  }
  // RFC 5764 4.2: client key, server key, client salt, server salt.
  constexpr uint32_t kKeySize = KeySizeOf(Suite::kAesCm128_80);
  static_assert(2 * (kKeySize + kSaltSize) == crypto::kSrtpKeyingSize);
  const auto write = [&](Master& out, uint32_t side) {
    out.Zero();
    const auto bytes = keying.Expose();
    std::memcpy(out.Expose().data(), &bytes[side * kKeySize], kKeySize);
    std::memcpy(&out.Expose()[kKeySize], &bytes[2 * kKeySize + side * kSaltSize], kSaltSize);
  };
  write(keys.ours, handshake.is_client ? 0 : 1);
  write(keys.theirs, handshake.is_client ? 1 : 0);
  return nullptr;
}

void Dtls::OnOpen(Handshake& handshake) {
  MediaKeys keys;
  if (const char* fault = FaultOf(handshake, keys)) {
    handshake.session.Close();
    End(handshake, fault, true);
    return;
  }
  handshake.is_keyed = true;
  ++counts_.keyed;
  handshake.end = clock_.Now() + kDtlsLinger;
  lingering_.PushBack(handshake);
  handshake.session.Rest();
  Arm(handshake);
  user_->OnDtlsKeys(handshake.owner, keys);
}

void Dtls::Arm(Handshake& handshake) {
  timers_.Arm(handshake.timer, std::min(handshake.end, handshake.session.timer()));
}

void Dtls::OnTimer(Handshake& handshake) {
  if (clock_.Now() < handshake.end) {
    Take(handshake, {});  // a flight is repeated
    return;
  }
  End(handshake, handshake.is_keyed ? nullptr : "the peer does not answer");
}

void Dtls::End(Handshake& handshake, const char* why, bool is_final) {
  const uint32_t owner = handshake.owner;
  counts_.failed += why != nullptr ? 1 : 0;
  Drop(handshake);
  user_->OnDtlsOver(owner, why, is_final);
}

void Dtls::Drop(Handshake& handshake) {
  timers_.Cancel(handshake.timer);
  if (handshake.is_keyed) {
    lingering_.Remove(handshake);
  }
  handshake.session.Reset();
  places_.Release(&handshake);
}

}  // namespace gh::rtp
