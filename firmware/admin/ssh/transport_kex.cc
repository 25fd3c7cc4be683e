// The key exchange of a connection: which algorithms, the exchange itself, and the change of keys.
#include <algorithm>

#include "firmware/admin/ssh/transport.h"
#include "hal/rt/assert.h"

namespace gh::ssh {
namespace {

constexpr std::string_view kStrictClient = "kex-strict-c-v00@openssh.com";
constexpr std::string_view kStrictServer = "kex-strict-s-v00@openssh.com";

enum List {
  kListKex,
  kListHostKey,
  kListCipherIn,
  kListCipherOut,
  kListMacIn,
  kListMacOut,
  kListCompressionIn,
  kListCompressionOut,
  kListLanguageIn,
  kListLanguageOut
};

void PutAlgorithms(ByteWriter& out, AlgorithmKind kind, const AlgorithmList& list,
                   std::string_view marker = {}) {
  const auto size = out.Reserve(4);
  const size_t before = out.size();
  list.Format(kind, out);
  if (!marker.empty()) {
    out.Text(",");
    out.Text(marker);
  }
  GH_ASSERT(out.ok());
  ByteWriter(size).U32Be(static_cast<uint32_t>(out.size() - before));
}

std::string_view FirstOf(std::string_view list) { return TakeName(list); }

}  // namespace

void Transport::SendKexInit() {
  ByteWriter out(own_init_);
  out.U8(kMsgKexInit);
  environment_.random.Fill(out.Reserve(16));
  PutAlgorithms(out, AlgorithmKind::kKex, settings_.kex,
                exchange_count_ == 0 ? kStrictServer : std::string_view());
  PutAlgorithms(out, AlgorithmKind::kHostKey, settings_.host_keys);
  PutAlgorithms(out, AlgorithmKind::kCipher, settings_.ciphers);
  PutAlgorithms(out, AlgorithmKind::kCipher, settings_.ciphers);
  PutAlgorithms(out, AlgorithmKind::kMac, settings_.macs);
  PutAlgorithms(out, AlgorithmKind::kMac, settings_.macs);
  for (const std::string_view compression_or_language : {"none", "none", "", ""}) {
    PutString(out, compression_or_language);
  }
  out.U8(0);  // no guess follows
  out.U32Be(0);
  GH_ASSERT(out.ok());
  own_init_size_ = out.size();
  step_ = Step::kSentInit;
  step_since_ = now_;
  Send(out.written());
}

// Fills next_; false: disconnected.
bool Transport::NegotiateFrom(ByteReader& in, std::string_view (&lists)[10]) {
  for (std::string_view& list : lists) {
    list = TakeText(in);
    if (!in.ok() || list.size() > kNameListMax) {
      Disconnect(DisconnectReason::kProtocolError, "malformed KEXINIT");
      return false;
    }
  }
  const auto kex = Negotiate(AlgorithmKind::kKex, settings_.kex, lists[kListKex]);
  const auto host_key =
      Negotiate(AlgorithmKind::kHostKey, settings_.host_keys, lists[kListHostKey]);
  const auto cipher_in = Negotiate(AlgorithmKind::kCipher, settings_.ciphers, lists[kListCipherIn]);
  const auto cipher_out =
      Negotiate(AlgorithmKind::kCipher, settings_.ciphers, lists[kListCipherOut]);
  const auto mac_in = Negotiate(AlgorithmKind::kMac, settings_.macs, lists[kListMacIn]);
  const auto mac_out = Negotiate(AlgorithmKind::kMac, settings_.macs, lists[kListMacOut]);
  const char* missing =
      !kex.ok()                             ? "no common key exchange method"
      : !host_key.ok()                      ? "no common host key algorithm"
      : !cipher_in.ok() || !cipher_out.ok() ? "no common cipher"
      : !ListHas(lists[kListCompressionIn], "none") || !ListHas(lists[kListCompressionOut], "none")
          ? "no common compression"
          : nullptr;
  if (missing == nullptr) {
    next_ = {static_cast<Kex>(*kex),
             static_cast<HostKeyKind>(*host_key),
             static_cast<Cipher>(*cipher_in),
             static_cast<Cipher>(*cipher_out),
             Mac::kOfCipher,
             Mac::kOfCipher};
    const bool needs_in = !IsAead(next_.cipher_in);
    const bool needs_out = !IsAead(next_.cipher_out);
    missing =
        (needs_in && !mac_in.ok()) || (needs_out && !mac_out.ok()) ? "no common MAC" : missing;
    next_.mac_in = needs_in ? static_cast<Mac>(mac_in.value_or(0)) : Mac::kOfCipher;
    next_.mac_out = needs_out ? static_cast<Mac>(mac_out.value_or(0)) : Mac::kOfCipher;
  }
  if (missing != nullptr) {
    Disconnect(DisconnectReason::kKeyExchangeFailed, missing);
    return false;
  }
  return true;
}

void Transport::HandleKexInit(std::span<const uint8_t> payload, uint32_t sequence) {
  if (step_ == Step::kIdle) {
    SendKexInit();  // the client wants new keys
    if (is_over_) {
      return;
    }
  }
  ByteReader in(payload.subspan(1));
  in.Skip(16);
  std::string_view lists[10];
  if (!NegotiateFrom(in, lists)) {
    return;
  }
  const bool guess_follows = TakeBool(in);
  (void)in.U32Be();
  if (!in.ok() || !in.at_end()) {
    Disconnect(DisconnectReason::kProtocolError, "malformed KEXINIT");
    return;
  }
  if (exchange_count_ == 0) {
    is_strict_ = ListHas(lists[kListKex], kStrictClient);
    peer_wants_extensions_ = ListHas(lists[kListKex], "ext-info-c");
    if (is_strict_ && sequence != 0) {
      Disconnect(DisconnectReason::kProtocolError, "strict KEX: KEXINIT was not the first packet");
      return;
    }
  }
  skips_next_ = guess_follows && (FirstOf(lists[kListKex]) != NameOf(next_.kex) ||
                                  FirstOf(lists[kListHostKey]) != NameOf(next_.host_key));
  hash_.Start(next_.kex);
  hash_.UpdateString(AsBytes(peer_version_.view()));
  hash_.UpdateString(AsBytes(kOwnVersion));
  hash_.UpdateString(payload);
  hash_.UpdateString(std::span<const uint8_t>(own_init_).first(own_init_size_));
  step_ = Step::kExchange;
}

void Transport::HandleKexEcdhInit(ByteReader& in) {
  const auto client_public = TakeString(in);
  if (!in.ok() || !in.at_end() || client_public.size() > kKexPublicMax) {
    Disconnect(DisconnectReason::kProtocolError, "malformed key exchange message");
    return;
  }
  std::array<uint8_t, kKexPublicMax> public_bytes;
  ByteWriter server_public(public_bytes);
  SharedSecret shared;
  const auto ran = RunKex(next_.kex, environment_, client_public, server_public, shared);
  if (!ran.ok()) {
    Disconnect(DisconnectReason::kKeyExchangeFailed, ran.error().what);
    return;
  }
  GH_ASSERT(server_public.ok());
  hash_.UpdateString(keys_.BlobOf(next_.host_key));
  hash_.UpdateString(client_public);
  hash_.UpdateString(server_public.written());
  hash_.Update(shared.view());
  KexHash::Digest digest;
  const auto exchange_hash = std::span<const uint8_t>(digest).first(hash_.Finish(digest));
  std::array<uint8_t, 160> signature_bytes;
  ByteWriter signature(signature_bytes);
  const auto is_signed = keys_.Sign(next_.host_key, exchange_hash, signature);
  if (!is_signed.ok() || !signature.ok()) {
    Disconnect(DisconnectReason::kKeyExchangeFailed, "the host key cannot sign");
    return;
  }
  FinishExchange(server_public.written(), shared, exchange_hash, signature.written());
}

// Our reply and NEWKEYS; from here on we send with the new keys.
void Transport::FinishExchange(std::span<const uint8_t> server_public, const SharedSecret& shared,
                               std::span<const uint8_t> exchange_hash,
                               std::span<const uint8_t> signature) {
  if (session_id_size_ == 0) {
    std::copy(exchange_hash.begin(), exchange_hash.end(), session_id_.begin());
    session_id_size_ = exchange_hash.size();
  }
  std::array<uint8_t, kKexPublicMax + 512> reply;
  ByteWriter out(reply);
  out.U8(kMsgKexEcdhReply);
  PutString(out, keys_.BlobOf(next_.host_key));
  PutString(out, server_public);
  PutString(out, signature);
  GH_ASSERT(out.ok());
  Send(out.written());
  const uint8_t new_keys = kMsgNewKeys;
  Send({&new_keys, 1});
  KeyMaterial keys;
  DeriveKeys(next_.kex, shared, exchange_hash, session_id(), "BDF", keys);
  DeriveKeys(next_.kex, shared, exchange_hash, session_id(), "ACE", next_in_);
  if (!out_.SetKeys(environment_, next_.cipher_out, next_.mac_out, keys).ok()) {
    Drop("no memory for the cipher");
    return;
  }
  if (is_strict_) {
    sequence_out_ = 0;
  }
  step_ = Step::kNewKeys;
  if (exchange_count_ == 0 && peer_wants_extensions_) {
    SendExtensions();
  }
  SendHeld();
}

// RFC 8308: the signatures we take for log-in.
void Transport::SendExtensions() {
  std::array<uint8_t, 160> message;
  ByteWriter out(message);
  out.U8(kMsgExtInfo);
  out.U32Be(1);
  PutString(out, "server-sig-algs");
  PutString(out, kSignatureAlgorithms);
  GH_ASSERT(out.ok());
  Send(out.written());
}

void Transport::HandleNewKeys() {
  if (!in_.SetKeys(environment_, next_.cipher_in, next_.mac_in, next_in_).ok()) {
    Drop("no memory for the cipher");
    return;
  }
  next_in_.key.Zero();
  next_in_.iv.Zero();
  next_in_.mac_key.Zero();
  if (is_strict_) {
    sequence_in_ = 0;
  }
  negotiated_ = next_;
  ++exchange_count_;
  keyed_at_ = now_;
  bytes_since_keys_ = 0;
  packets_since_keys_ = 0;
  step_ = Step::kIdle;
}

}  // namespace gh::ssh
