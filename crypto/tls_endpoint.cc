// Carries a policy into mbedTLS's configuration.
#include "crypto/tls_endpoint.h"

#include <algorithm>

#include "crypto/tls_session.h"
#include "hal/rt/assert.h"

namespace gh::crypto {
namespace {

constexpr uint16_t kSignatures[] = {
    MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256,
    MBEDTLS_TLS1_3_SIG_ECDSA_SECP384R1_SHA384,
    MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA256,
    MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA384,
    MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA512,
    MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA256,
    MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA384,
    MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA512,
    MBEDTLS_TLS1_3_SIG_NONE,
};

constexpr mbedtls_ssl_srtp_profile kSrtpProfiles[] = {MBEDTLS_TLS_SRTP_AES128_CM_HMAC_SHA1_80,
                                                      MBEDTLS_TLS_SRTP_UNSET};

// The ticket keys' memory is the endpoint's, whoever's session renews them.
class EndpointOwner {
 public:
  explicit EndpointOwner(Heap& heap) : heap_(heap), before_(heap.owner()) { heap.SetOwner(0); }
  EndpointOwner(const EndpointOwner&) = delete;
  EndpointOwner& operator=(const EndpointOwner&) = delete;
  ~EndpointOwner() { heap_.SetOwner(before_); }

 private:
  Heap& heap_;
  uint32_t before_;
};

mbedtls_ssl_protocol_version VersionOf(TlsVersion version) {
  return version == TlsVersion::kTls13 ? MBEDTLS_SSL_VERSION_TLS1_3 : MBEDTLS_SSL_VERSION_TLS1_2;
}

}  // namespace

TlsEndpoint::TlsEndpoint(const Parts& parts) : parts_(parts) {
  mbedtls_ssl_config_init(&config_);
  mbedtls_ssl_ticket_init(&tickets_);
  mbedtls_ssl_cookie_init(&cookies_);
}

TlsEndpoint::~TlsEndpoint() {
  TlsScope scope(parts_.environment);
  mbedtls_ssl_config_free(&config_);
  mbedtls_ssl_ticket_free(&tickets_);
  mbedtls_ssl_cookie_free(&cookies_);
}

Result<void> TlsEndpoint::Configure(const TlsPolicy& policy) {
  const bool is_server = parts_.side == TlsSide::kServer;
  const bool is_stream = parts_.transport == TlsTransport::kStream;
  GH_ASSERT(parts_.identities != nullptr || !is_server);
  GH_ASSERT(parts_.peers != nullptr || (is_server && policy.client_auth == ClientAuth::kOff));
  TlsScope scope(parts_.environment);
  const EndpointOwner owner(parts_.environment.heap);
  if (!ready_ && mbedtls_ssl_config_defaults(
                     &config_, is_server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
                     is_stream ? MBEDTLS_SSL_TRANSPORT_STREAM : MBEDTLS_SSL_TRANSPORT_DATAGRAM,
                     MBEDTLS_SSL_PRESET_DEFAULT) != 0) {
    return Error(ErrorCode::kExhausted, "no memory for TLS");
  }
  policy_ = policy;
  if (!is_stream) {
    policy_.minimum = policy_.maximum = TlsVersion::kTls12;  // DTLS 1.3 is not spoken
  }
  policy_.Suites(suites_);
  std::ranges::copy(policy_.Groups(), groups_.begin());
  mbedtls_ssl_conf_rng(&config_, Random::MbedtlsCallback, &parts_.environment.random);
  mbedtls_ssl_conf_min_tls_version(&config_, VersionOf(policy_.minimum));
  mbedtls_ssl_conf_max_tls_version(&config_, VersionOf(policy_.maximum));
  mbedtls_ssl_conf_ciphersuites(&config_, suites_.data());
  mbedtls_ssl_conf_groups(&config_, groups_.data());
  mbedtls_ssl_conf_sig_algs(&config_, kSignatures);
  const ClientAuth asked = is_server ? policy_.client_auth : ClientAuth::kRequired;
  // Optional lets a client without a certificate in; a bad one the session's own check refuses.
  mbedtls_ssl_conf_authmode(&config_, asked == ClientAuth::kOff ? MBEDTLS_SSL_VERIFY_NONE
                                      : asked == ClientAuth::kOptional
                                          ? MBEDTLS_SSL_VERIFY_OPTIONAL
                                          : MBEDTLS_SSL_VERIFY_REQUIRED);
  mbedtls_ssl_conf_extended_master_secret(&config_, policy_.requires_extended_master_secret
                                                        ? MBEDTLS_SSL_EXTENDED_MS_REQUIRED
                                                        : MBEDTLS_SSL_EXTENDED_MS_ENABLED);
  mbedtls_ssl_conf_cert_req_ca_list(&config_, MBEDTLS_SSL_CERT_REQ_CA_LIST_DISABLED);
  if (parts_.identities != nullptr) {
    TlsSession::InstallSigning(config_);
  }
  GH_TRY(SetProtocols());
  if (parts_.is_for_srtp) {
    if (mbedtls_ssl_conf_dtls_srtp_protection_profiles(&config_, kSrtpProfiles) != 0) {
      return Error(ErrorCode::kInvalidArgument, "not a list of SRTP profiles");
    }
    mbedtls_ssl_conf_dtls_cookies(&config_, nullptr, nullptr, nullptr);
  } else if (is_server && !is_stream && !ready_) {
    if (mbedtls_ssl_cookie_setup(&cookies_, Random::MbedtlsCallback, &parts_.environment.random) !=
        0) {
      return Error(ErrorCode::kExhausted, "no memory for DTLS");
    }
    mbedtls_ssl_conf_dtls_cookies(&config_, mbedtls_ssl_cookie_write, mbedtls_ssl_cookie_check,
                                  &cookies_);
  }
  GH_TRY(SetTickets());
  ready_ = true;
  return Ok();
}

// "*" ends a list that nobody has to match (crypto/mbedtls-patches/0005).
Result<void> TlsEndpoint::SetProtocols() {
  if (parts_.protocols.empty()) {
    return Ok();
  }
  GH_ASSERT_LE(parts_.protocols.size(), kTlsProtocolMax);
  auto at = std::ranges::copy(parts_.protocols, protocols_.begin()).out;
  const bool takes_others = parts_.side == TlsSide::kServer && !policy_.strict_protocols;
  *at++ = takes_others ? "*" : nullptr;
  *at = nullptr;
  if (mbedtls_ssl_conf_alpn_protocols(&config_, protocols_.data()) != 0) {
    return Error(ErrorCode::kInvalidArgument, "not a list of protocols");
  }
  return Ok();
}

Result<void> TlsEndpoint::SetTickets() {
  if (has_tickets_) {
    mbedtls_ssl_ticket_free(&tickets_);
    mbedtls_ssl_ticket_init(&tickets_);
    has_tickets_ = false;
  }
  const bool wanted =
      parts_.side == TlsSide::kServer && policy_.tickets && policy_.client_auth == ClientAuth::kOff;
  if (!wanted) {
    mbedtls_ssl_conf_session_tickets(&config_, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
    mbedtls_ssl_conf_session_tickets_cb(&config_, nullptr, nullptr, nullptr);
    return Ok();
  }
  if (mbedtls_ssl_ticket_setup(&tickets_, Random::MbedtlsCallback, &parts_.environment.random,
                               MBEDTLS_CIPHER_AES_256_GCM, kTlsTicketSeconds) != 0) {
    return Error(ErrorCode::kExhausted, "no memory for TLS tickets");
  }
  has_tickets_ = true;
  mbedtls_ssl_conf_session_tickets(&config_, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
  mbedtls_ssl_conf_new_session_tickets(&config_, 1);
  mbedtls_ssl_conf_session_tickets_cb(&config_, OnTicketWrite, OnTicketParse, this);
  return Ok();
}

int TlsEndpoint::OnTicketWrite(void* self, const mbedtls_ssl_session* session, unsigned char* start,
                               const unsigned char* end, size_t* size, uint32_t* lifetime) {
  auto& endpoint = *static_cast<TlsEndpoint*>(self);
  const EndpointOwner owner(endpoint.parts_.environment.heap);
  return mbedtls_ssl_ticket_write(&endpoint.tickets_, session, start, end, size, lifetime);
}

int TlsEndpoint::OnTicketParse(void* self, mbedtls_ssl_session* session, unsigned char* bytes,
                               size_t size) {
  auto& endpoint = *static_cast<TlsEndpoint*>(self);
  const EndpointOwner owner(endpoint.parts_.environment.heap);
  return mbedtls_ssl_ticket_parse(&endpoint.tickets_, session, bytes, size);
}

}  // namespace gh::crypto
