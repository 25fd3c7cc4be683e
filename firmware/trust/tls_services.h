// TLS in the appliance: the streams, and for each service its endpoints with certificates, peers
// and the policy of the settings; events, status.
//
// Engines get streams() and say kTls; nothing else of TLS is theirs. Of a server that asks for
// certificates the peer's role is federation or client, of a client server.
#pragma once

#include <array>
#include <optional>

#include "crypto/tls_endpoint.h"
#include "firmware/admin/status.h"
#include "firmware/config/configuration.h"
#include "firmware/log/log.h"
#include "hal/machine.h"
#include "net/tls_streams.h"
#include "net/token_bucket.h"

namespace gh {

struct TlsServiceParts {
  Arena& arena;
  EventLoop& loop;
  hal::Clock& clock;
  crypto::Random& random;
  net::StreamService& tcp;
  log::Log& log;
  const config::Configuration& configuration;
  crypto::Identities& identities;
  crypto::Identities& hsm_identities;  // what network HSMs are shown
  crypto::PeerCheck& peers;
};

class TlsServices final : private net::TlsObserver {
 public:
  TlsServices(const TlsServiceParts& parts, const net::Capacity& capacity);
  TlsServices(const TlsServices&) = delete;
  TlsServices& operator=(const TlsServices&) = delete;

  // TCP and TLS, for engines.
  net::TlsStreams& streams() { return streams_; }
  // The policy a service has by the settings, for endpoints beside those here (DTLS).
  crypto::TlsPolicy PolicyOf(net::TlsService service) const;
  static std::span<const char* const> TurnProtocols();
  crypto::TlsEnvironment& environment() { return streams_.environment(); }
  const TlsServiceParts& parts() const { return parts_; }

  void Apply();  // settings have changed
  void AddTo(admin::StatusTree& status);

 private:
  void OnTlsFailure(net::TlsService service, const net::StreamInfo& info,
                    crypto::TlsFailure failure, crypto::PeerVerdict verdict) override;
  void Build(net::TlsService service, bool server, bool client);
  bool NextLine(uint64_t& cursor, ByteWriter& out);

  TlsServiceParts parts_;
  net::TlsStreams streams_;
  std::array<std::optional<crypto::TlsEndpoint>, net::kTlsServiceCount> servers_;
  std::array<std::optional<crypto::TlsEndpoint>, net::kTlsServiceCount> clients_;
  net::TokenBucket events_{1, 10};
  uint64_t unreported_ = 0;
};

}  // namespace gh
