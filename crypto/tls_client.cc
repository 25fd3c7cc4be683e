#include "crypto/tls_client.h"

#include <mbedtls/error.h>
#include <mbedtls/x509_crt.h>

#include <algorithm>
#include <cstring>

#include "crypto/mac.h"
#include "hal/rt/assert.h"

namespace gh::crypto {
namespace {

// RFC 9325: AEAD with forward secrecy; TLS 1.3's own first.
constexpr int kCiphers[] = {
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    0,
};

bool IsWaiting(int status) {
  return status == MBEDTLS_ERR_SSL_WANT_READ || status == MBEDTLS_ERR_SSL_WANT_WRITE ||
         status == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET;
}

bool IsAddress(std::string_view name) {
  return name.find(':') != name.npos || name.find_first_not_of("0123456789.") == name.npos;
}

}  // namespace

Result<void> TlsClient::Start(std::string_view server_name,
                              const CertificateFingerprint& fingerprint) {
  Reset();
  anchors_ = nullptr;
  wanted_ = fingerprint;
  return Begin(server_name);
}

Result<void> TlsClient::Start(std::string_view server_name, const TrustList& anchors) {
  Reset();
  if (anchors.count() == 0) {
    return Error(ErrorCode::kUnauthentic, "no certificate authority is trusted");
  }
  anchors_ = &anchors;
  return Begin(server_name);
}

Result<void> TlsClient::Begin(std::string_view server_name) {
  if (server_name.empty() || !name_.Assign(server_name)) {
    return Error(ErrorCode::kInvalidArgument, "the server's name is empty or too long");
  }
  TlsScope scope(environment_);
  mbedtls_ssl_init(&ssl_);
  mbedtls_ssl_config_init(&config_);
  state_ = State::kHandshake;
  auto configured = Configure();
  return configured.ok() ? Handshake() : std::move(configured);
}

Result<void> TlsClient::Configure() {
  if (mbedtls_ssl_config_defaults(&config_, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                  MBEDTLS_SSL_PRESET_DEFAULT) != 0) {
    return Error(ErrorCode::kExhausted, "no memory for a TLS session");
  }
  mbedtls_ssl_conf_rng(&config_, Random::MbedtlsCallback, &environment_.random);
  mbedtls_ssl_conf_min_tls_version(&config_, MBEDTLS_SSL_VERSION_TLS1_2);
  mbedtls_ssl_conf_ciphersuites(&config_, kCiphers);
  // The chain's verdict is not asked for here: CheckPeer looks itself, by either rule.
  mbedtls_ssl_conf_authmode(&config_, MBEDTLS_SSL_VERIFY_OPTIONAL);
  mbedtls_ssl_conf_session_tickets(&config_, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
  if (mbedtls_ssl_setup(&ssl_, &config_) != 0 ||
      mbedtls_ssl_set_hostname(&ssl_, IsAddress(name_.view()) ? nullptr : name_.c_str()) != 0) {
    return Error(ErrorCode::kExhausted, "no memory for a TLS session");
  }
  mbedtls_ssl_set_bio(&ssl_, this, OnSend, OnReceive, nullptr);
  return Ok();
}

Result<void> TlsClient::Handshake() {
  const int status = mbedtls_ssl_handshake(&ssl_);
  if (IsWaiting(status)) {
    return Ok();
  }
  return status == 0 ? CheckPeer() : Result<void>(Fail(status));
}

Result<void> TlsClient::CheckPeer() {
  const mbedtls_x509_crt* certificate = mbedtls_ssl_get_peer_cert(&ssl_);
  if (certificate == nullptr) {
    state_ = State::kOver;
    return Error(ErrorCode::kUnauthentic, "the server shows no certificate");
  }
  peer_ = Sha256::Of(std::span(certificate->raw.p, certificate->raw.len));
  if (anchors_ == nullptr && !std::ranges::equal(*peer_, wanted_)) {
    state_ = State::kOver;
    return Error(ErrorCode::kUnauthentic, "the server's certificate is not the one expected");
  }
  if (anchors_ != nullptr) {
    if (auto checked = CheckChain(); !checked.ok()) {
      state_ = State::kOver;
      return checked;
    }
  }
  state_ = State::kOpen;
  return Ok();
}

// Outside of the handshake, because the name to be checked may be an address, which is no SNI.
Result<void> TlsClient::CheckChain() {
  mbedtls_x509_crt roots;
  mbedtls_x509_crt_init(&roots);
  int status = 0;
  for (uint32_t i = 0; i < anchors_->count() && status == 0; ++i) {
    const auto der = anchors_->der(i);
    status = mbedtls_x509_crt_parse_der_nocopy(&roots, der.data(), der.size());
  }
  uint32_t flags = 0;
  if (status == 0) {
    auto* peer = const_cast<mbedtls_x509_crt*>(mbedtls_ssl_get_peer_cert(&ssl_));
    status = mbedtls_x509_crt_verify_with_profile(peer, &roots, nullptr,
                                                  &mbedtls_x509_crt_profile_default, name_.c_str(),
                                                  &flags, nullptr, nullptr);
  }
  mbedtls_x509_crt_free(&roots);
  if (status == 0) {
    return Ok();
  }
  return Error(ErrorCode::kUnauthentic,
               flags == 0 ? "the server's certificate cannot be checked"
               : (flags & (MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE)) != 0
                   ? "the server's certificate is not valid at this time"
               : (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0
                   ? "the server's certificate is of no authority that is trusted"
               : (flags & MBEDTLS_X509_BADCERT_CN_MISMATCH) != 0
                   ? "the server's certificate is for another name"
                   : "the server's certificate is not acceptable");
}

Result<size_t> TlsClient::Read(std::span<const uint8_t>& in, std::span<uint8_t> out) {
  if (state_ != State::kHandshake && state_ != State::kOpen) {
    return Error(ErrorCode::kWrongState, "no TLS session");
  }
  TlsScope scope(environment_);
  input_ = in;
  Result<size_t> got = 0;
  if (state_ == State::kHandshake) {
    if (auto done = Handshake(); !done.ok()) {
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

Result<void> TlsClient::Write(std::span<const uint8_t> plain) {
  if (state_ == State::kHandshake) {
    return ErrorCode::kWouldBlock;
  }
  if (state_ != State::kOpen) {
    return Error(ErrorCode::kWrongState, "no TLS session");
  }
  if (plain.size() > MBEDTLS_SSL_OUT_CONTENT_LEN) {
    return ErrorCode::kTooLarge;
  }
  // Room for it in whole, or mbedTLS would keep a part and wait for the same call again.
  if (output_.size() - output_size_ < plain.size() + 512) {
    return ErrorCode::kWouldBlock;
  }
  TlsScope scope(environment_);
  const int status = mbedtls_ssl_write(&ssl_, plain.data(), plain.size());
  if (status != static_cast<int>(plain.size())) {
    return Fail(status);
  }
  return Ok();
}

void TlsClient::Close() {
  if (state_ == State::kOpen) {
    TlsScope scope(environment_);
    (void)mbedtls_ssl_close_notify(&ssl_);
    state_ = State::kOver;
  }
}

void TlsClient::ConsumeOutput(size_t count) {
  GH_ASSERT_LE(count, output_size_);
  std::memmove(output_.data(), output_.data() + count, output_size_ - count);
  output_size_ -= count;
}

const char* TlsClient::version() const {
  return state_ == State::kIdle ? "" : mbedtls_ssl_get_version(&ssl_);
}

const char* TlsClient::cipher() const {
  const char* name = state_ == State::kIdle ? nullptr : mbedtls_ssl_get_ciphersuite(&ssl_);
  return name == nullptr ? "" : name;
}

void TlsClient::Reset() {
  if (state_ != State::kIdle) {
    TlsScope scope(environment_);
    mbedtls_ssl_free(&ssl_);
    mbedtls_ssl_config_free(&config_);
  }
  state_ = State::kIdle;
  output_size_ = 0;
  peer_.reset();
}

Error TlsClient::Fail(int status) {
  state_ = State::kOver;
  switch (status) {
    case 0:
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
      return {ErrorCode::kClosed, "the server closed the TLS session"};
    case MBEDTLS_ERR_SSL_ALLOC_FAILED:
      return {ErrorCode::kExhausted, "no memory for a TLS session"};
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
      return {ErrorCode::kRefused, "the server refuses the TLS session"};
    case MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION:
      return {ErrorCode::kIncompatible, "the server speaks neither TLS 1.3 nor 1.2"};
    case MBEDTLS_ERR_SSL_INVALID_MAC:
      return {ErrorCode::kUnauthentic, "a TLS record is not authentic"};
    default:
      return {ErrorCode::kMalformed, "the server does not keep to TLS"};
  }
}

int TlsClient::OnSend(void* self, const unsigned char* bytes, size_t size) {
  auto& client = *static_cast<TlsClient*>(self);
  const size_t room = client.output_.size() - client.output_size_;
  const size_t count = std::min(room, size);
  if (count == 0) {
    return MBEDTLS_ERR_SSL_WANT_WRITE;
  }
  std::memcpy(client.output_.data() + client.output_size_, bytes, count);
  client.output_size_ += count;
  return static_cast<int>(count);
}

int TlsClient::OnReceive(void* self, unsigned char* out, size_t size) {
  auto& client = *static_cast<TlsClient*>(self);
  const size_t count = std::min(client.input_.size(), size);
  if (count == 0) {
    return MBEDTLS_ERR_SSL_WANT_READ;
  }
  std::memcpy(out, client.input_.data(), count);
  client.input_ = client.input_.subspan(count);
  return static_cast<int>(count);
}

}  // namespace gh::crypto
