// What all TLS sessions of one service share: side, policy, certificates, tickets. Sessions point
// at it and hold no configuration of their own.
//
// A policy may be changed while sessions run: it holds for handshakes that have not chosen yet, and
// open sessions stay as they are. Changing it also discards the ticket keys, so that nobody resumes
// what the new policy would refuse. An endpoint outlives its sessions.
#pragma once

#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cookie.h>
#include <mbedtls/ssl_ticket.h>

#include <array>
#include <cstdint>
#include <span>

#include "crypto/limits.h"
#include "crypto/tls_environment.h"
#include "crypto/tls_identity.h"
#include "crypto/tls_policy.h"
#include "hal/rt/result.h"

namespace gh::crypto {

enum class TlsSide : uint8_t { kServer, kClient };
enum class TlsTransport : uint8_t { kStream, kDatagram };

class TlsEndpoint {
 public:
  struct Parts {
    TlsEnvironment& environment;
    TlsSide side = TlsSide::kServer;
    TlsTransport transport = TlsTransport::kStream;
    // A server needs one; a client without one has no certificate to show.
    Identities* identities = nullptr;
    // A client needs one; a server, when it asks for certificates.
    PeerCheck* peers = nullptr;
    PeerRole peer_role = PeerRole::kClient;
    // Protocols for ALPN, most wanted first; empty: no ALPN. Static. A server refuses clients that
    // offer others alone if the policy is strict, and serves them without ALPN otherwise; a client
    // offers them.
    std::span<const char* const> protocols = {};
    // DTLS-SRTP (RFC 5764): keys for media are agreed, or there is no session. Peers have proved
    // their address by other means (ICE): no cookie is asked for.
    bool is_for_srtp = false;
  };

  explicit TlsEndpoint(const Parts& parts);
  TlsEndpoint(const TlsEndpoint&) = delete;
  TlsEndpoint& operator=(const TlsEndpoint&) = delete;
  ~TlsEndpoint();

  // kExhausted: no memory. Sessions are refused until it has succeeded once.
  Result<void> Configure(const TlsPolicy& policy);
  const TlsPolicy& policy() const { return policy_; }
  bool is_ready() const { return ready_; }
  const Parts& parts() const { return parts_; }
  TlsEnvironment& environment() const { return parts_.environment; }

 private:
  friend class TlsSession;

  Result<void> SetTickets();
  Result<void> SetProtocols();
  static int OnTicketWrite(void* self, const mbedtls_ssl_session* session, unsigned char* start,
                           const unsigned char* end, size_t* size, uint32_t* lifetime);
  static int OnTicketParse(void* self, mbedtls_ssl_session* session, unsigned char* bytes,
                           size_t size);

  Parts parts_;
  TlsPolicy policy_;
  bool ready_ = false;
  bool has_tickets_ = false;
  mbedtls_ssl_config config_;
  mbedtls_ssl_ticket_context tickets_;
  mbedtls_ssl_cookie_ctx cookies_;  // datagrams: proves peers' addresses without state
  std::array<int, kTlsSuiteMax + 1> suites_ = {};
  std::array<uint16_t, 4> groups_ = {};
  std::array<const char*, kTlsProtocolMax + 2> protocols_ = {};
};

}  // namespace gh::crypto
