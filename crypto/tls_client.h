// A TLS client that keeps what it has made for the peer: crypto/tls_session.h for those who hold
// one connection and feed it by hand.
//
//   client.Start("updates.example", fingerprint);
//   loop: send output(), ConsumeOutput(); Read(bytes from the peer, plain text out); Write(...)
//
// Whom it trusts: exactly the certificate whose SHA-256 fingerprint it is given; or one that a
// trusted authority vouches for (RFC 5280), valid now, with the server's name or address among its
// subject alternative names (RFC 6125). Nothing of ours is sent, and nothing of the peer's handed
// out, before that was compared. The session's memory comes from the environment's heap, within
// kTlsClientHeap.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "crypto/digest.h"
#include "crypto/limits.h"
#include "crypto/tls_endpoint.h"
#include "crypto/tls_environment.h"
#include "crypto/tls_session.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::crypto {

using CertificateFingerprint = std::array<uint8_t, 32>;  // SHA-256 of the certificate's DER

// Told from the event loop when a key of ours has signed: Read goes on, with what is left to read.
class TlsClientWaker {
 public:
  virtual void OnTlsClientReady() = 0;

 protected:
  ~TlsClientWaker() = default;
};

class TlsClient final : private TlsWire, private PeerCheck {
 public:
  explicit TlsClient(TlsEnvironment& environment) : environment_(environment) {}
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;
  ~TlsClient() { Reset(); }

  // `server_name` is sent as SNI (RFC 6066) unless it is an address.
  Result<void> Start(std::string_view server_name, const CertificateFingerprint& fingerprint);
  // `trust` outlives the session.
  Result<void> Start(std::string_view server_name, PeerCheck& trust);
  // The certificate shown to servers that ask for one, and who is told when its key has signed;
  // for the sessions started from now on. Both outlive them.
  void SetIdentities(Identities& identities, TlsClientWaker& waker) {
    identities_ = &identities;
    waker_ = &waker;
  }
  // Takes bytes off the front of `in` and returns how much plain text was put into `out`; 0: more
  // bytes are needed. Call again until 0 with `in` empty. kClosed: the peer said close_notify.
  // kUnauthentic: not the certificate we wait for (peer_fingerprint() says which it was).
  Result<size_t> Read(std::span<const uint8_t>& in, std::span<uint8_t> out);
  // All or nothing. kWouldBlock: output() must go first, or the handshake is not over.
  Result<void> Write(std::span<const uint8_t> plain);
  void Close() { session_.Close(); }  // close_notify joins output()

  bool is_open() const { return session_.is_open(); }
  std::span<const uint8_t> output() const { return {output_.data(), output_size_}; }
  void ConsumeOutput(size_t count);
  const std::optional<CertificateFingerprint>& peer_fingerprint() const { return peer_; }
  const char* version() const { return session_.version(); }  // "TLSv1.3"
  const char* cipher() const { return session_.cipher(); }
  TlsFailure failure() const { return session_.failure(); }
  uint8_t alert() const { return session_.alert(); }  // the peer's, when it gave up with one

  // Gives all memory back.
  void Reset();

 private:
  Result<void> Begin(std::string_view server_name);
  PeerVerdict Check(const mbedtls_x509_crt& chain, const PeerExpectation& expected) override;
  Error Explain(const Error& error) const;
  size_t OnTlsOutput(std::span<const uint8_t> bytes) override;
  void OnTlsReady() override {
    if (waker_ != nullptr) {
      waker_->OnTlsClientReady();
    }
  }

  TlsEnvironment& environment_;
  std::optional<TlsEndpoint> endpoint_;
  TlsSession session_;
  CertificateFingerprint wanted_ = {};
  PeerCheck* trust_ = nullptr;  // null: by fingerprint
  Identities* identities_ = nullptr;
  TlsClientWaker* waker_ = nullptr;
  const char* objection_ = nullptr;  // to the server's certificate
  FixedString<kTlsServerNameMax> name_;
  std::optional<CertificateFingerprint> peer_;
  std::array<uint8_t, kTlsOutputMax> output_;
  size_t output_size_ = 0;
};

}  // namespace gh::crypto
