// One TLS 1.3, TLS 1.2 or DTLS 1.2 session, server or client: a protocol engine without I/O. Bytes
// from the peer and plain text go in; records for the peer go to a TlsWire, plain text comes out.
//
//   session.Start(endpoint, wire, {.server_name = "sip.example"});
//   Read(bytes from the peer, plain text out) until 0; Write(plain text); Flush() when the wire
//   has room again; Rest() when there is nothing to do for now.
//
// No plain text passes in either direction before the handshake is over and the peer's certificate
// was found good. A private key signs by request (crypto/signing_key.h): while it does, Read takes
// nothing, and the wire is told (OnTlsReady) when to go on.
//
// Memory comes from the environment's heap, on the owner's account the options name. A session at
// rest holds no record buffers: some 3 KiB, and the peer's certificate if it showed one.
#pragma once

#include <mbedtls/ssl.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "crypto/limits.h"
#include "crypto/server_name.h"
#include "crypto/signing_key.h"
#include "crypto/tls_endpoint.h"
#include "crypto/tls_identity.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"
#include "hal/rt/time.h"

namespace gh::crypto {

// Why a session ended before its time; counted and logged by whoever runs it.
enum class TlsFailure : uint8_t {
  kNone,
  kNotTls,         // what came is no TLS at all
  kProtocol,       // TLS, but not as it should be
  kVersion,        // no version in common
  kCipher,         // no suite, group or signature in common
  kNoIdentity,     // we have no certificate to show
  kNoCertificate,  // the peer shows none and has to
  kCertificate,    // the peer's certificate will not do: see verdict()
  kAlert,          // the peer gave up, with an alert
  kKeyAway,        // the private key cannot be reached
  kKeyFailed,      // it can, and did not sign
  kAuthentic,      // a record is not authentic
  kMemory,
  kTimeout,       // set by whoever keeps the time
  kRefused,       // too many at a time; set by whoever counts
  kMasterSecret,  // TLS 1.2 without the extended master secret, where it has to be
};
inline constexpr uint32_t kTlsFailureCount = 16;
const char* TlsFailureText(TlsFailure failure);
// A word for counters: "no-common-version".
const char* TlsFailureName(TlsFailure failure);

class TlsWire {
 public:
  // Returns how much of `bytes` was taken. A datagram is taken whole, or dropped as networks do.
  virtual size_t OnTlsOutput(std::span<const uint8_t> bytes) = 0;
  // From the event loop: the signature is there, Read goes on.
  virtual void OnTlsReady() = 0;

 protected:
  ~TlsWire() = default;
};

struct TlsSessionOptions {
  // Client: sent as SNI (RFC 6066) unless it is an address, and what the server's certificate must
  // name; empty: any. Copied.
  std::string_view server_name;
  uint32_t heap_owner = 0;
};

class TlsSession final : private SignListener {
 public:
  TlsSession() = default;
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;
  ~TlsSession() { Reset(); }

  // A client's hello goes out at once. Endpoint and wire outlive the session.
  Result<void> Start(TlsEndpoint& endpoint, TlsWire& wire, const TlsSessionOptions& options);
  // Takes bytes off the front of `in` and returns how much plain text was put into `out`; 0: more
  // bytes are needed, or a signature is awaited (`in` is then left). kClosed: the peer said
  // close_notify. Other errors end the session; failure() says why. Stream: call again until 0.
  // Datagram: `in` is one datagram, taken whole.
  Result<size_t> Read(std::span<const uint8_t>& in, std::span<uint8_t> out);
  // How much of `plain` became records; less than all: the wire is full, Flush comes first.
  // kWouldBlock: nothing did, or the handshake is not over.
  Result<size_t> Write(std::span<const uint8_t> plain);
  // Gives the wire what it had no room for. kWouldBlock: it still has none.
  Result<void> Flush();
  void Close();  // close_notify
  // Frees the record buffers if the session is at rest.
  void Rest();
  // Takes them again, as reading and writing do by themselves; false: there is no memory for them,
  // and the session is as it was (reading and writing then say kExhausted).
  bool Wake();
  // Gives all memory back. A pending signature is cancelled.
  void Reset();

  bool is_idle() const { return state_ == State::kIdle; }
  bool is_open() const { return state_ == State::kOpen; }
  bool awaits_signature() const;
  bool has_unsent() const;
  TlsFailure failure() const { return failure_; }
  // With TlsPolicy::judges_later, of the open session's peer, if it showed a certificate.
  PeerVerdict verdict() const { return verdict_; }
  uint8_t alert() const { return alert_; }  // the peer's, with kAlert
  bool resumed() const { return resumed_; }
  // Datagram server: Read ended the session because its peer has to come again, with a cookie.
  bool sent_cookie() const { return sent_cookie_; }
  const TlsEndpoint* endpoint() const { return endpoint_; }

  const char* version() const;   // "TLSv1.3", "" before
  const char* cipher() const;    // mbedTLS's name of the suite
  const char* protocol() const;  // by ALPN; "" when none was agreed
  // Server: of the name that the client asked for; none when it asked for none.
  const ServerNameMark& asked_name() const { return asked_name_; }
  // Leaf first; null: the peer showed none. As long as the session is open.
  const mbedtls_x509_crt* peer() const;
  // RFC 5705, RFC 8446 section 7.5.
  Result<void> Export(std::string_view label, std::span<const uint8_t> context,
                      std::span<uint8_t> out);
  // RFC 5764 4.2, of AES128_CM_HMAC_SHA1_80: both keys, then both salts, the client's first.
  // kNotFound: the peer agreed to no protection profile.
  Result<void> ExportSrtp(std::span<uint8_t, kSrtpKeyingSize> out);
  // The hash of the peer's certificate as fingerprints (RFC 8122) name it: "sha-256", "sha-384",
  // "sha-512". Bytes at the front of `out`. kNotFound: no certificate; kUnsupported: another hash.
  Result<size_t> PeerDigest(std::string_view hash, std::span<uint8_t> out) const;
  // Channel bindings: tls-exporter (RFC 9266); tls-server-end-point (RFC 5929): the hash of the
  // server's certificate, 32 to 64 bytes.
  Result<void> ExporterBinding(std::span<uint8_t, 32> out);
  std::span<const uint8_t> end_point_binding() const {
    return {end_point_.data(), end_point_size_};
  }

  // Datagrams: when Read wants to be called without bytes (retransmission); Max(): never.
  Instant timer() const { return timer_end_; }
  // Datagram server: proves the peer's address (RFC 6347 section 4.2.1). Before the first Read.
  Result<void> SetPeerAddress(std::span<const uint8_t> address);

 private:
  friend class TlsEndpoint;
  enum class State : uint8_t { kIdle, kHandshake, kOpen, kOver };
  struct Handshake;  // lives on the heap until the session is open
  class Scope;

  static void InstallSigning(mbedtls_ssl_config& config);
  static TlsSession& Of(mbedtls_ssl_context* ssl);
  static int OnCertificate(mbedtls_ssl_context* ssl);
  static int OnSignStart(mbedtls_ssl_context* ssl, mbedtls_x509_crt* certificate,
                         mbedtls_md_type_t md, const unsigned char* hash, size_t hash_size);
  static int OnSignResume(mbedtls_ssl_context* ssl, unsigned char* out, size_t* size,
                          size_t capacity);
  static void OnSignCancel(mbedtls_ssl_context* ssl);
  static int OnVerify(void* self, mbedtls_x509_crt* chain, int depth, uint32_t* flags);
  static int OnSend(void* self, const unsigned char* bytes, size_t size);
  static int OnReceive(void* self, unsigned char* out, size_t size);
  static void OnTimerSet(void* self, uint32_t intermediate_ms, uint32_t final_ms);
  static int OnTimerGet(void* self);

  Result<void> Prepare(const TlsSessionOptions& options);
  int UseIdentity(std::string_view name);
  Result<void> Advance();
  void OnHandshakeDone();
  void SetEndPoint(const mbedtls_x509_crt& certificate);
  Result<void> TakeBuffers();
  Error Fail(int status);
  TlsFailure FailureOf(int status) const;
  void DropHandshake();
  void OnSigned(SignRequest& request) override;

  TlsEndpoint* endpoint_ = nullptr;
  TlsWire* wire_ = nullptr;
  Handshake* handshake_ = nullptr;
  uint32_t heap_owner_ = 0;
  State state_ = State::kIdle;
  TlsFailure failure_ = TlsFailure::kNone;
  PeerVerdict verdict_ = PeerVerdict::kGood;
  uint8_t alert_ = 0;
  bool resumed_ = false;
  bool sent_cookie_ = false;
  uint8_t end_point_size_ = 0;
  std::array<uint8_t, 64> end_point_ = {};
  ServerNameMark asked_name_;
  std::array<uint8_t, 8> counter_ = {};  // of the record to come, while there are no buffers
  std::span<const uint8_t> input_;
  Instant timer_step_ = Instant::Max();
  Instant timer_end_ = Instant::Max();
  mbedtls_ssl_context ssl_;
};

}  // namespace gh::crypto
