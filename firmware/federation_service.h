// XMPP's federation in the appliance: the room for server-to-server streams (firmware/s2s), its
// listeners, name lookups and certificates put together; settings in, events, alarms, status and
// commands out.
#pragma once

#include <array>

#include "firmware/s2s/federation.h"
#include "firmware/xmpp_service.h"
#include "net/resolver.h"

namespace gh {

struct FederationParts {
  Arena& arena;
  EventLoop& loop;
  net::Stack& stack;
  net::Resolver& resolver;
  TlsServices& tls;
  crypto::Random& random;
  XmppService& xmpp;
  log::Log& log;
  alarm::Alarms& alarms;
  const config::Configuration& configuration;
};

class FederationService final : public s2s::Host, public s2s::Observer, private net::StreamHandler {
 public:
  FederationService(const FederationParts& parts, const s2s::Capacity& capacity);

  // Settings or addresses have changed; after XMPP's own Apply.
  void Apply();
  void OpenFirewall(uint8_t port_mask);
  void UpdateAlarms();
  void AddTo(admin::StatusTree& status, admin::CommandTable& commands);

  Result<net::StreamId> Connect(const s2s::Hop& hop, std::string_view name) override;
  Result<void> Send(net::StreamId stream, std::span<const uint8_t> bytes) override;
  Result<void> StartTls(net::StreamId stream) override;
  Result<void> SecureAsClient(net::StreamId stream, std::string_view name) override;
  void Close(net::StreamId stream) override;
  void Abort(net::StreamId stream) override;
  void Resume(net::StreamId stream) override;
  bool IsProved(net::StreamId stream, std::string_view domain) override;

  void OnFederated(std::string_view local, std::string_view remote, bool incoming,
                   const net::Endpoint& peer, std::string_view how) override;
  void OnFailed(std::string_view remote, std::string_view reason) override;
  void OnRefused(std::string_view remote, const net::Endpoint& peer,
                 std::string_view reason) override;

 private:
  bool OnStreamOpen(net::StreamId id, const net::StreamInfo& info) override;
  size_t OnStreamData(net::StreamId id, std::span<uint8_t> data) override;
  void OnStreamWritable(net::StreamId id) override;
  void OnStreamClosed(net::StreamId id, net::StreamClose why) override;

  s2s::Config EngineConfig() const;
  void Listen();
  bool NextStatus(uint64_t& cursor, ByteWriter& out);
  bool NextStream(uint64_t& cursor, ByteWriter& out);
  Result<void> Disconnect(std::string_view by, std::string_view value, ByteWriter& out);

  FederationParts parts_;
  s2s::Federation* federation_ = nullptr;
  FixedString<64> own_secret_;  // for want of one in the settings
  XmppListeners listeners_;
};

}  // namespace gh
