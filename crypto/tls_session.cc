#include "crypto/tls_session.h"

#include <mbedtls/error.h>
#include <mbedtls/md.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "hal/rt/assert.h"

namespace gh::crypto {

// What only the handshake needs.
struct TlsSession::Handshake {
  SignRequest request;
  FixedString<kTlsServerNameMax> name;
  const Identity* identity = nullptr;
  bool has_signed = false;
  bool has_checked = false;
};

// Calls into mbedTLS: whose memory, randomness and time.
class TlsSession::Scope {
 public:
  explicit Scope(const TlsSession& session)
      : scope_(session.endpoint_->environment()),
        heap_(session.endpoint_->environment().heap),
        before_(heap_.owner()) {
    heap_.SetOwner(session.heap_owner_);
  }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope() { heap_.SetOwner(before_); }

 private:
  TlsScope scope_;
  Heap& heap_;
  uint32_t before_;
};

namespace {

constexpr std::string_view kSrtpLabel = "EXTRACTOR-dtls_srtp";
constexpr const char* kExporterLabel = "EXPORTER-Channel-Binding";

bool IsWaiting(int status) {
  return status == MBEDTLS_ERR_SSL_WANT_READ || status == MBEDTLS_ERR_SSL_WANT_WRITE ||
         status == MBEDTLS_ERR_SSL_ASYNC_IN_PROGRESS ||
         status == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET;
}

bool IsAddress(std::string_view name) {
  return name.find(':') != name.npos || name.find_first_not_of("0123456789.") == name.npos;
}

// Which alert the verdict becomes is mbedTLS's choice by these flags.
uint32_t FlagsOf(PeerVerdict verdict) {
  switch (verdict) {
    case PeerVerdict::kGood:
      return 0;
    case PeerVerdict::kUnknownAuthority:
      return MBEDTLS_X509_BADCERT_NOT_TRUSTED;  // unknown_ca
    case PeerVerdict::kExpired:
    case PeerVerdict::kNotYetValid:
      return MBEDTLS_X509_BADCERT_EXPIRED;  // certificate_expired
    case PeerVerdict::kRevoked:
      return MBEDTLS_X509_BADCERT_REVOKED;  // certificate_revoked
    case PeerVerdict::kWrongUsage:
      return MBEDTLS_X509_BADCERT_EXT_KEY_USAGE;  // unsupported_certificate
    case PeerVerdict::kWeak:
      return MBEDTLS_X509_BADCERT_BAD_PK;  // unsupported_certificate
    case PeerVerdict::kBadStatus:
      return MBEDTLS_X509_BADCERT_OTHER;  // bad_certificate_status_response
    case PeerVerdict::kNoCertificate:
    case PeerVerdict::kMalformed:
    case PeerVerdict::kWrongName:
    case PeerVerdict::kNameConstraint:
      break;
  }
  return MBEDTLS_X509_BADCERT_CN_MISMATCH;  // bad_certificate
}

struct SignatureForm {
  SignatureScheme scheme;
  size_t digest_size;  // as the scheme wants it
};

// ECDSA with TLS 1.2 pairs any hash with any curve. Cut to the curve's size, or filled up with
// zeroes in front, a digest signs the same.
SignatureForm FormOf(KeyType type, mbedtls_md_type_t md, bool is_pss) {
  if (type == KeyType::kEcP256) {
    return {SignatureScheme::kEcdsaSecp256r1Sha256, 32};
  }
  if (type == KeyType::kEcP384) {
    return {SignatureScheme::kEcdsaSecp384r1Sha384, 48};
  }
  if (md == MBEDTLS_MD_SHA512) {
    return {is_pss ? SignatureScheme::kRsaPssSha512 : SignatureScheme::kRsaPkcs1Sha512, 64};
  }
  if (md == MBEDTLS_MD_SHA384) {
    return {is_pss ? SignatureScheme::kRsaPssSha384 : SignatureScheme::kRsaPkcs1Sha384, 48};
  }
  return {is_pss ? SignatureScheme::kRsaPssSha256 : SignatureScheme::kRsaPkcs1Sha256, 32};
}

}  // namespace

const char* TlsFailureText(TlsFailure failure) {
  switch (failure) {
    case TlsFailure::kNone:
      return "none";
    case TlsFailure::kNotTls:
      return "not TLS";
    case TlsFailure::kProtocol:
      return "protocol error";
    case TlsFailure::kVersion:
      return "no common version";
    case TlsFailure::kCipher:
      return "no common cipher suite";
    case TlsFailure::kNoIdentity:
      return "no certificate of our own";
    case TlsFailure::kNoCertificate:
      return "the peer shows no certificate";
    case TlsFailure::kCertificate:
      return "the peer's certificate is refused";
    case TlsFailure::kAlert:
      return "the peer refuses";
    case TlsFailure::kKeyAway:
      return "the private key is away";
    case TlsFailure::kKeyFailed:
      return "the private key does not sign";
    case TlsFailure::kAuthentic:
      return "a record is not authentic";
    case TlsFailure::kMemory:
      return "no memory";
    case TlsFailure::kTimeout:
      return "too slow";
    case TlsFailure::kRefused:
      return "too many at a time";
    case TlsFailure::kMasterSecret:
      return "no extended master secret";
  }
  return "?";
}

const char* TlsFailureName(TlsFailure failure) {
  switch (failure) {
    case TlsFailure::kNone:
      return "none";
    case TlsFailure::kNotTls:
      return "not-tls";
    case TlsFailure::kProtocol:
      return "protocol-error";
    case TlsFailure::kVersion:
      return "no-common-version";
    case TlsFailure::kCipher:
      return "no-common-cipher";
    case TlsFailure::kNoIdentity:
      return "no-own-certificate";
    case TlsFailure::kNoCertificate:
      return "no-peer-certificate";
    case TlsFailure::kCertificate:
      return "peer-certificate-refused";
    case TlsFailure::kAlert:
      return "refused-by-peer";
    case TlsFailure::kKeyAway:
      return "key-away";
    case TlsFailure::kKeyFailed:
      return "key-failed";
    case TlsFailure::kAuthentic:
      return "not-authentic";
    case TlsFailure::kMemory:
      return "no-memory";
    case TlsFailure::kTimeout:
      return "too-slow";
    case TlsFailure::kRefused:
      return "too-many";
    case TlsFailure::kMasterSecret:
      return "no-master-secret";
  }
  return "?";
}

void TlsSession::InstallSigning(mbedtls_ssl_config& config) {
  mbedtls_ssl_conf_cert_cb(&config, OnCertificate);
  mbedtls_ssl_conf_async_private_cb(&config, OnSignStart, nullptr, OnSignResume, OnSignCancel,
                                    nullptr);
}

TlsSession& TlsSession::Of(mbedtls_ssl_context* ssl) {
  return *static_cast<TlsSession*>(mbedtls_ssl_get_user_data_p(ssl));
}

Result<void> TlsSession::Start(TlsEndpoint& endpoint, TlsWire& wire,
                               const TlsSessionOptions& options) {
  Reset();
  if (!endpoint.is_ready()) {
    return Error(ErrorCode::kWrongState, "the TLS service has no configuration");
  }
  const bool is_client = endpoint.parts().side == TlsSide::kClient;
  if (options.server_name.size() > kTlsServerNameMax) {
    return Error(ErrorCode::kInvalidArgument, "the server's name is too long");
  }
  endpoint_ = &endpoint;
  wire_ = &wire;
  heap_owner_ = options.heap_owner;
  const Scope scope(*this);
  mbedtls_ssl_init(&ssl_);
  state_ = State::kHandshake;
  if (auto prepared = Prepare(options); !prepared.ok()) {
    failure_ = TlsFailure::kMemory;
    state_ = State::kOver;
    return prepared;
  }
  return is_client ? Advance() : Ok();
}

Result<void> TlsSession::Prepare(const TlsSessionOptions& options) {
  const Error no_memory(ErrorCode::kExhausted, "no memory for a TLS session");
  void* place = endpoint_->environment().heap.Allocate(sizeof(Handshake));
  if (place == nullptr) {
    return no_memory;
  }
  handshake_ = new (place) Handshake;
  handshake_->name.Assign(options.server_name);
  if (mbedtls_ssl_setup(&ssl_, &endpoint_->config_) != 0) {
    return no_memory;
  }
  mbedtls_ssl_set_user_data_p(&ssl_, this);
  mbedtls_ssl_set_verify(&ssl_, OnVerify, this);
  mbedtls_ssl_set_bio(&ssl_, this, OnSend, OnReceive, nullptr);
  if (endpoint_->parts().transport == TlsTransport::kDatagram) {
    mbedtls_ssl_set_timer_cb(&ssl_, this, OnTimerSet, OnTimerGet);
    mbedtls_ssl_set_mtu(&ssl_, kDtlsDatagramMax);
  }
  if (endpoint_->parts().side == TlsSide::kServer) {
    return Ok();
  }
  if (!endpoint_->parts().is_for_srtp) {  // which goes by fingerprints
    mbedtls_ssl_gh_ask_status(&ssl_);
  }
  const bool is_named = !IsAddress(options.server_name);  // nor is "" a name
  if (mbedtls_ssl_set_hostname(&ssl_, !is_named ? nullptr : handshake_->name.c_str()) != 0) {
    return no_memory;
  }
  if (endpoint_->parts().identities != nullptr && UseIdentity({}) == MBEDTLS_ERR_SSL_ALLOC_FAILED) {
    return no_memory;
  }
  return Ok();
}

// The certificate for a name; asked again after a HelloRetryRequest.
int TlsSession::UseIdentity(std::string_view name) {
  Identities& identities = *endpoint_->parts().identities;
  if (handshake_->identity != nullptr) {
    identities.Release(*handshake_->identity);
    handshake_->identity = nullptr;
  }
  const char* protocol = mbedtls_ssl_get_alpn_protocol(&ssl_);
  const bool is_challenge = protocol != nullptr && kAcmeProtocol == protocol;
  const Identity* identity =
      is_challenge ? identities.AcquireChallenge(name) : identities.Acquire(name);
  if (identity == nullptr) {
    return MBEDTLS_ERR_SSL_PRIVATE_KEY_REQUIRED;
  }
  handshake_->identity = identity;
  if (endpoint_->parts().side == TlsSide::kServer) {
    mbedtls_ssl_gh_set_staple(&ssl_, identity->staple.data(), identity->staple.size());
  }
  // The public key stands in for the private one, which is not mbedTLS's to use.
  int status = mbedtls_ssl_set_hs_own_cert(&ssl_, nullptr, nullptr);
  if (status == 0) {
    status = mbedtls_ssl_set_hs_own_cert(&ssl_, identity->chain, &identity->chain->pk);
  }
  return status == 0 ? 0 : MBEDTLS_ERR_SSL_ALLOC_FAILED;
}

int TlsSession::OnCertificate(mbedtls_ssl_context* ssl) {
  TlsSession& session = Of(ssl);
  size_t size = 0;
  const unsigned char* name = mbedtls_ssl_get_hs_sni(ssl, &size);
  const auto asked = name == nullptr || size > kTlsServerNameMax
                         ? std::string_view()
                         : std::string_view(reinterpret_cast<const char*>(name), size);
  session.asked_name_ = ServerNameMark(asked);
  const int status = session.UseIdentity(asked);
  if (status == MBEDTLS_ERR_SSL_PRIVATE_KEY_REQUIRED) {
    session.failure_ = TlsFailure::kNoIdentity;
    (void)mbedtls_ssl_send_alert_message(ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                         MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME);
  }
  return status;
}

int TlsSession::OnSignStart(mbedtls_ssl_context* ssl, mbedtls_x509_crt*, mbedtls_md_type_t md,
                            const unsigned char* hash, size_t hash_size) {
  TlsSession& session = Of(ssl);
  Handshake& handshake = *session.handshake_;
  GH_ASSERT(handshake.identity != nullptr);
  SigningKey& key = *handshake.identity->key;
  handshake.has_signed = true;
  if (!key.is_available()) {
    session.failure_ = TlsFailure::kKeyAway;
    return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
  }
  const SignatureForm form = FormOf(key.type(), md, mbedtls_ssl_gh_signs_by_pss(ssl) != 0);
  std::array<uint8_t, kSignDigestMax> digest = {};
  const size_t lead = form.digest_size > hash_size ? form.digest_size - hash_size : 0;
  std::copy_n(hash, form.digest_size - lead, digest.begin() + lead);
  const Instant now = session.endpoint_->environment().clock.Now();
  handshake.request.Prepare(form.scheme, std::span(digest).first(form.digest_size), session,
                            now + Duration::Seconds(kTlsSignSeconds));
  key.Start(handshake.request);
  return handshake.request.state() == SignRequest::State::kPending
             ? MBEDTLS_ERR_SSL_ASYNC_IN_PROGRESS
             : 0;
}

int TlsSession::OnSignResume(mbedtls_ssl_context* ssl, unsigned char* out, size_t* size,
                             size_t capacity) {
  TlsSession& session = Of(ssl);
  const SignRequest& request = session.handshake_->request;
  if (request.state() == SignRequest::State::kPending) {
    return MBEDTLS_ERR_SSL_ASYNC_IN_PROGRESS;
  }
  const auto signature = request.signature();
  if (request.state() != SignRequest::State::kDone || signature.size() > capacity) {
    const bool away = request.state() == SignRequest::State::kFailed &&
                      request.error().code == ErrorCode::kUnreachable;
    session.failure_ = away ? TlsFailure::kKeyAway : TlsFailure::kKeyFailed;
    return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
  }
  std::ranges::copy(signature, out);
  *size = signature.size();
  return 0;
}

void TlsSession::OnSignCancel(mbedtls_ssl_context* ssl) { Of(ssl).DropHandshake(); }

void TlsSession::OnSigned(SignRequest&) { wire_->OnTlsReady(); }

// Judges the chain, once; `depth` means nothing (crypto/mbedtls-patches).
int TlsSession::OnVerify(void* self, mbedtls_x509_crt* chain, int, uint32_t* flags) {
  auto& session = *static_cast<TlsSession*>(self);
  const TlsEndpoint::Parts& parts = session.endpoint_->parts();
  GH_ASSERT(parts.peers != nullptr && session.handshake_ != nullptr);
  session.handshake_->has_checked = true;
  size_t staple_size = 0;
  const unsigned char* staple = mbedtls_ssl_gh_peer_status(&session.ssl_, &staple_size);
  const bool judges_later = session.endpoint_->policy().judges_later;  // of names too
  session.verdict_ = parts.peers->Check(
      *chain, {parts.peer_role,
               judges_later ? std::string_view() : session.handshake_->name.view(),
               {staple, staple_size}});
  if (judges_later) {
    *flags = 0;
    return 0;
  }
  *flags = FlagsOf(session.verdict_);
  // Not VERIFY_FAILED, which an optional certificate would be forgiven.
  return *flags == 0 ? 0 : MBEDTLS_ERR_X509_FATAL_ERROR;
}

Result<void> TlsSession::Advance() {
  const int status = mbedtls_ssl_handshake(&ssl_);
  if (IsWaiting(status)) {
    return Ok();
  }
  if (status != 0) {
    return Fail(status);
  }
  OnHandshakeDone();
  return Ok();
}

void TlsSession::OnHandshakeDone() {
  const bool is_server = endpoint_->parts().side == TlsSide::kServer;
  resumed_ = is_server ? !handshake_->has_signed : !handshake_->has_checked;
  const mbedtls_x509_crt* shown = is_server && handshake_->identity != nullptr
                                      ? handshake_->identity->chain
                                      : mbedtls_ssl_get_peer_cert(&ssl_);
  if (shown != nullptr) {
    SetEndPoint(*shown);
  }
  DropHandshake();
  state_ = State::kOpen;
}

// RFC 5929 section 4.1: the hash of the certificate's own signature, at least SHA-256.
void TlsSession::SetEndPoint(const mbedtls_x509_crt& certificate) {
  const mbedtls_md_type_t md = certificate.MBEDTLS_PRIVATE(sig_md);
  const bool is_long = md == MBEDTLS_MD_SHA384 || md == MBEDTLS_MD_SHA512;
  const mbedtls_md_info_t* info = mbedtls_md_info_from_type(is_long ? md : MBEDTLS_MD_SHA256);
  if (mbedtls_md(info, certificate.raw.p, certificate.raw.len, end_point_.data()) == 0) {
    end_point_size_ = mbedtls_md_get_size(info);
  }
}

// An open session that finds no memory has lost nothing: it may be asked again.
Result<void> TlsSession::TakeBuffers() {
  if (mbedtls_ssl_gh_acquire_buffers(&ssl_, counter_.data()) == 0) {
    return Ok();
  }
  return state_ == State::kOpen ? Result<void>(ErrorCode::kExhausted)
                                : Fail(MBEDTLS_ERR_SSL_ALLOC_FAILED);
}

bool TlsSession::Wake() {
  const Scope scope(*this);
  return state_ == State::kOpen && TakeBuffers().ok();
}

void TlsSession::Rest() {
  if (state_ == State::kOpen) {
    const Scope scope(*this);
    (void)mbedtls_ssl_gh_release_buffers(&ssl_, counter_.data());
  }
}

Result<size_t> TlsSession::Read(std::span<const uint8_t>& in, std::span<uint8_t> out) {
  if (state_ != State::kHandshake && state_ != State::kOpen) {
    return Error(ErrorCode::kWrongState, "no TLS session");
  }
  const Scope scope(*this);
  GH_TRY(TakeBuffers());
  input_ = in;
  Result<size_t> got = 0;
  if (state_ == State::kHandshake) {
    if (auto done = Advance(); !done.ok()) {
      got = done.error();
    }
  }
  if (state_ == State::kOpen && !out.empty()) {
    int status = 0;
    do {
      status = mbedtls_ssl_read(&ssl_, out.data(), out.size());
    } while (status == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET);
    if (status > 0) {
      got = static_cast<size_t>(status);
    } else if (status == 0 || !IsWaiting(status)) {
      got = Fail(status);
    }
  }
  in = input_;
  input_ = {};
  return got;
}

Result<size_t> TlsSession::Write(std::span<const uint8_t> plain) {
  if (state_ == State::kHandshake) {
    return ErrorCode::kWouldBlock;
  }
  if (state_ != State::kOpen) {
    return Error(ErrorCode::kWrongState, "no TLS session");
  }
  const Scope scope(*this);
  GH_TRY(TakeBuffers());
  GH_TRY(Flush());
  // No larger than one record: of a record under way mbedTLS does not say how much it took.
  const int payload = mbedtls_ssl_get_max_out_record_payload(&ssl_);
  if (payload <= 0) {
    return Fail(payload);
  }
  const size_t piece_max = std::min(static_cast<size_t>(payload), kTlsRecordMax);
  size_t taken = 0;
  while (taken < plain.size()) {
    const auto piece = plain.subspan(taken, std::min(plain.size() - taken, piece_max));
    const int status = mbedtls_ssl_write(&ssl_, piece.data(), piece.size());
    if (status == MBEDTLS_ERR_SSL_WANT_WRITE) {
      return taken + piece.size();  // its record is made; Flush sends the rest
    }
    if (status <= 0) {
      return Fail(status);
    }
    taken += static_cast<size_t>(status);
  }
  return taken;
}

bool TlsSession::has_unsent() const {
  return state_ != State::kIdle && ssl_.MBEDTLS_PRIVATE(out_left) != 0;
}

Result<void> TlsSession::Flush() {
  if (!has_unsent()) {
    return Ok();
  }
  const Scope scope(*this);
  if (state_ == State::kHandshake) {
    GH_TRY(Advance());
  } else if (state_ == State::kOpen) {
    // With a record under way, a write of any size only sends that.
    const int status = mbedtls_ssl_write(&ssl_, counter_.data(), 0);
    if (status < 0 && !IsWaiting(status)) {
      return Fail(status);
    }
  }
  return has_unsent() ? Result<void>(ErrorCode::kWouldBlock) : Ok();
}

void TlsSession::Close() {
  if (state_ == State::kOpen) {
    const Scope scope(*this);
    if (TakeBuffers().ok()) {
      (void)mbedtls_ssl_close_notify(&ssl_);
    }
  }
  if (state_ != State::kIdle) {
    state_ = State::kOver;
  }
}

void TlsSession::DropHandshake() {
  Handshake* handshake = std::exchange(handshake_, nullptr);
  if (handshake == nullptr) {
    return;
  }
  if (handshake->identity != nullptr) {
    if (handshake->request.state() == SignRequest::State::kPending) {
      handshake->identity->key->Cancel(handshake->request);
    }
    endpoint_->parts().identities->Release(*handshake->identity);
  }
  handshake->~Handshake();
  endpoint_->environment().heap.Free(handshake);
}

void TlsSession::Reset() {
  if (state_ != State::kIdle) {
    const Scope scope(*this);
    DropHandshake();
    mbedtls_ssl_free(&ssl_);
  }
  state_ = State::kIdle;
  failure_ = TlsFailure::kNone;
  verdict_ = PeerVerdict::kGood;
  alert_ = 0;
  resumed_ = sent_cookie_ = false;
  end_point_size_ = 0;
  asked_name_ = {};
  timer_step_ = timer_end_ = Instant::Max();
}

bool TlsSession::awaits_signature() const {
  return handshake_ != nullptr && handshake_->request.state() == SignRequest::State::kPending;
}

const char* TlsSession::version() const {
  return state_ == State::kIdle ? "" : mbedtls_ssl_get_version(&ssl_);
}

const char* TlsSession::cipher() const {
  const char* name = state_ == State::kIdle ? nullptr : mbedtls_ssl_get_ciphersuite(&ssl_);
  return name == nullptr ? "" : name;
}

const char* TlsSession::protocol() const {
  const char* name = state_ == State::kIdle ? nullptr : mbedtls_ssl_get_alpn_protocol(&ssl_);
  return name == nullptr ? "" : name;
}

const mbedtls_x509_crt* TlsSession::peer() const {
  return state_ == State::kOpen ? mbedtls_ssl_get_peer_cert(&ssl_) : nullptr;
}

Result<void> TlsSession::Export(std::string_view label, std::span<const uint8_t> context,
                                std::span<uint8_t> out) {
  if (state_ != State::kOpen) {
    return Error(ErrorCode::kWrongState, "no TLS session");
  }
  const Scope scope(*this);
  if (mbedtls_ssl_export_keying_material(&ssl_, out.data(), out.size(), label.data(), label.size(),
                                         context.data(), context.size(), 1) != 0) {
    return Error(ErrorCode::kInvalidArgument, "cannot export that");
  }
  return Ok();
}

Result<void> TlsSession::ExportSrtp(std::span<uint8_t, kSrtpKeyingSize> out) {
  if (state_ != State::kOpen) {
    return Error(ErrorCode::kWrongState, "no TLS session");
  }
  const Scope scope(*this);
  mbedtls_dtls_srtp_info agreed;
  mbedtls_ssl_get_dtls_srtp_negotiation_result(&ssl_, &agreed);
  if (agreed.MBEDTLS_PRIVATE(chosen_dtls_srtp_profile) != MBEDTLS_TLS_SRTP_AES128_CM_HMAC_SHA1_80) {
    return Error(ErrorCode::kNotFound, "no protection profile for media is agreed");
  }
  // Who sent the last flight keeps the handshake for repeating it, and mbedTLS reads where keys are
  // only after that.
  auto& transform = ssl_.MBEDTLS_PRIVATE(transform);
  const bool is_kept = transform == nullptr;
  transform = is_kept ? ssl_.MBEDTLS_PRIVATE(transform_negotiate) : transform;
  auto& session = ssl_.MBEDTLS_PRIVATE(session);
  const bool is_session_kept = session == nullptr;
  session = is_session_kept ? ssl_.MBEDTLS_PRIVATE(session_negotiate) : session;
  const int status = mbedtls_ssl_export_keying_material(
      &ssl_, out.data(), out.size(), kSrtpLabel.data(), kSrtpLabel.size(), nullptr, 0, 0);
  transform = is_kept ? nullptr : transform;
  session = is_session_kept ? nullptr : session;
  if (status != 0) {
    return Error(ErrorCode::kInvalidArgument, "cannot export keys for media");
  }
  return Ok();
}

Result<size_t> TlsSession::PeerDigest(std::string_view hash, std::span<uint8_t> out) const {
  const mbedtls_x509_crt* certificate = peer();
  if (certificate == nullptr) {
    return Error(ErrorCode::kNotFound, "the peer shows no certificate");
  }
  const mbedtls_md_type_t md = hash == "sha-256"   ? MBEDTLS_MD_SHA256
                               : hash == "sha-384" ? MBEDTLS_MD_SHA384
                               : hash == "sha-512" ? MBEDTLS_MD_SHA512
                                                   : MBEDTLS_MD_NONE;
  const mbedtls_md_info_t* info = mbedtls_md_info_from_type(md);
  if (info == nullptr || mbedtls_md_get_size(info) > out.size() ||
      mbedtls_md(info, certificate->raw.p, certificate->raw.len, out.data()) != 0) {
    return Error(ErrorCode::kUnsupported, "not a hash for fingerprints");
  }
  return size_t{mbedtls_md_get_size(info)};
}

Result<void> TlsSession::ExporterBinding(std::span<uint8_t, 32> out) {
  return Export(kExporterLabel, {}, out);
}

Result<void> TlsSession::SetPeerAddress(std::span<const uint8_t> address) {
  GH_ASSERT(state_ == State::kHandshake);
  const Scope scope(*this);
  if (mbedtls_ssl_set_client_transport_id(&ssl_, address.data(), address.size()) != 0) {
    return Fail(MBEDTLS_ERR_SSL_ALLOC_FAILED);
  }
  return Ok();
}

TlsFailure TlsSession::FailureOf(int status) const {
  switch (status) {
    case MBEDTLS_ERR_SSL_ALLOC_FAILED:
    case MBEDTLS_ERR_X509_ALLOC_FAILED:
      return TlsFailure::kMemory;
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
      return TlsFailure::kAlert;
    case MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION:
      return TlsFailure::kVersion;
    case MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE:
      return TlsFailure::kCipher;
    case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
      return TlsFailure::kNoCertificate;
    case MBEDTLS_ERR_SSL_BAD_CERTIFICATE:
    case MBEDTLS_ERR_X509_FATAL_ERROR:
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
      return TlsFailure::kCertificate;
    case MBEDTLS_ERR_SSL_GH_MASTER_SECRET:
      return TlsFailure::kMasterSecret;
    case MBEDTLS_ERR_SSL_INVALID_MAC:
      return TlsFailure::kAuthentic;
    case MBEDTLS_ERR_SSL_TIMEOUT:
      return TlsFailure::kTimeout;
    case MBEDTLS_ERR_SSL_INVALID_RECORD:
      return ssl_.MBEDTLS_PRIVATE(state) <= MBEDTLS_SSL_CLIENT_HELLO ? TlsFailure::kNotTls
                                                                     : TlsFailure::kProtocol;
    default:
      return TlsFailure::kProtocol;
  }
}

Error TlsSession::Fail(int status) {
  const bool was_open = state_ == State::kOpen;
  state_ = State::kOver;
  sent_cookie_ = status == MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED;
  if (status == 0 || status == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
    if (!was_open) {
      failure_ = TlsFailure::kAlert;
    }
    return {ErrorCode::kClosed, "the peer closed the TLS session"};
  }
  if (failure_ == TlsFailure::kNone) {
    failure_ = FailureOf(status);
  }
  if (failure_ == TlsFailure::kCertificate && verdict_ == PeerVerdict::kGood) {
    verdict_ = PeerVerdict::kWrongUsage;  // mbedTLS's own check of key usage (RFC 5280)
  }
  if (failure_ == TlsFailure::kAlert) {
    alert_ = ssl_.MBEDTLS_PRIVATE(in_msg)[1];
  }
  switch (failure_) {
    case TlsFailure::kMemory:
      return {ErrorCode::kExhausted, "no memory for a TLS session"};
    case TlsFailure::kAlert:
      return {ErrorCode::kRefused, "the peer refuses the TLS session"};
    case TlsFailure::kVersion:
      return {ErrorCode::kIncompatible, "the peer speaks neither TLS 1.3 nor 1.2"};
    case TlsFailure::kAuthentic:
      return {ErrorCode::kUnauthentic, "a TLS record is not authentic"};
    case TlsFailure::kNoCertificate:
    case TlsFailure::kCertificate:
      return {ErrorCode::kUnauthentic, "the peer's certificate is refused"};
    case TlsFailure::kKeyAway:
    case TlsFailure::kKeyFailed:
      return {ErrorCode::kUnreachable, "our private key does not sign"};
    case TlsFailure::kTimeout:
      return {ErrorCode::kTimeout, "the peer does not answer"};
    default:
      return {ErrorCode::kMalformed, "the peer does not keep to TLS"};
  }
}

int TlsSession::OnSend(void* self, const unsigned char* bytes, size_t size) {
  const size_t taken = static_cast<TlsSession*>(self)->wire_->OnTlsOutput({bytes, size});
  GH_ASSERT_LE(taken, size);
  return taken == 0 ? MBEDTLS_ERR_SSL_WANT_WRITE : static_cast<int>(taken);
}

int TlsSession::OnReceive(void* self, unsigned char* out, size_t size) {
  auto& session = *static_cast<TlsSession*>(self);
  const size_t count = std::min(session.input_.size(), size);
  if (count == 0) {
    return MBEDTLS_ERR_SSL_WANT_READ;
  }
  std::memcpy(out, session.input_.data(), count);
  const bool is_stream = session.endpoint_->parts().transport == TlsTransport::kStream;
  session.input_ = is_stream ? session.input_.subspan(count) : std::span<const uint8_t>();
  return static_cast<int>(count);
}

void TlsSession::OnTimerSet(void* self, uint32_t intermediate_ms, uint32_t final_ms) {
  auto& session = *static_cast<TlsSession*>(self);
  const Instant now = session.endpoint_->environment().clock.Now();
  session.timer_step_ =
      final_ms == 0 ? Instant::Max() : now + Duration::Milliseconds(intermediate_ms);
  session.timer_end_ = final_ms == 0 ? Instant::Max() : now + Duration::Milliseconds(final_ms);
}

// As mbedTLS counts: -1 no timer, 0 neither passed, 1 the intermediate one, 2 both.
int TlsSession::OnTimerGet(void* self) {
  const auto& session = *static_cast<TlsSession*>(self);
  if (session.timer_end_ == Instant::Max()) {
    return -1;
  }
  const Instant now = session.endpoint_->environment().clock.Now();
  return now >= session.timer_end_ ? 2 : now >= session.timer_step_ ? 1 : 0;
}

}  // namespace gh::crypto
