// XMPP's federation in the appliance: the room for server-to-server streams (firmware/s2s), its
// listeners, name lookups and certificates put together; settings in, events, alarms, status and
// commands out. Partners (components, Edge and devices inside) have listeners of their own; users'
// e-mail addresses and the names that certificates have to show are in federation_names.cc.
#pragma once

#include <array>

#include "firmware/messaging/xmpp_service.h"
#include "firmware/operator/certificate_commands.h"
#include "firmware/s2s/federation.h"
#include "firmware/xmpp/maintenance_time.h"
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
  config::Configuration& configuration;
};

class FederationService final : public s2s::Host,
                                public s2s::Observer,
                                public FederationNames,
                                private net::StreamHandler {
 public:
  FederationService(const FederationParts& parts, const s2s::Capacity& capacity);

  // Settings or addresses have changed; after XMPP's own Apply.
  void Apply();
  uint32_t stream_count() const { return federation_->link_count(); }
  void Stop() { federation_->Stop(); }  // the system stops; after XMPP's own
  void OpenFirewall(uint8_t port_mask);
  void UpdateAlarms();
  void AddTo(admin::StatusTree& status, admin::CommandTable& commands);
  std::string_view CertificateNames() override;
  // Gives a user an e-mail address; "": takes it.
  Result<void> SetEmail(std::string_view user, std::string_view email);

  Result<net::StreamId> Connect(const s2s::Hop& hop, std::string_view name) override;
  Result<void> Send(net::StreamId stream, std::span<const uint8_t> bytes) override;
  Result<void> StartTls(net::StreamId stream) override;
  Result<void> SecureAsClient(net::StreamId stream, std::string_view name) override;
  void Close(net::StreamId stream) override;
  void Abort(net::StreamId stream) override;
  void Resume(net::StreamId stream) override;
  size_t UndeliveredBytes(net::StreamId stream) override {
    return parts_.tls.streams().UndeliveredBytes(stream);
  }
  bool IsProved(net::StreamId stream, std::string_view domain) override;

  void OnFederated(std::string_view local, std::string_view remote, bool incoming,
                   const net::Endpoint& peer, std::string_view how) override;
  void OnFailed(std::string_view remote, std::string_view reason) override;
  void OnRefused(std::string_view remote, const net::Endpoint& peer,
                 std::string_view reason) override;
  void OnPartner(const char* kind, std::string_view name, const net::Endpoint& peer, bool is_up,
                 std::string_view reason) override;
  void OnDropped(std::string_view remote, std::string_view address) override;

 private:
  bool OnStreamOpen(net::StreamId id, const net::StreamInfo& info) override;
  size_t OnStreamData(net::StreamId id, std::span<uint8_t> data) override;
  void OnStreamWritable(net::StreamId id) override;
  void OnStreamClosed(net::StreamId id, net::StreamClose why) override;

  s2s::Config EngineConfig() const;
  void AddPartners(s2s::Config& out) const;
  void Listen();
  void ListenForPartners();

  // federation_names.cc
  template <typename Visit>
  void ForEachName(Visit visit);
  void AddNamesTo(admin::StatusTree& status, admin::CommandTable& commands);
  void WatchNames();
  void KeepDomain(std::string_view domain);
  void KeepRoomHosts();
  bool KeepSetting(std::string_view group, uint32_t instance, std::string_view name);
  void CheckCertificate();
  bool NextEmailDomain(uint64_t& cursor, ByteWriter& out);
  Result<void> RunEmail(std::string_view by, std::string_view value, ByteWriter& out);
  bool NextPartner(uint64_t& cursor, ByteWriter& out);
  bool NextStatus(uint64_t& cursor, ByteWriter& out);
  bool NextStream(uint64_t& cursor, ByteWriter& out);
  Result<void> Disconnect(std::string_view by, std::string_view value, ByteWriter& out);
  void WatchMaintenance();

  FederationParts parts_;
  s2s::Federation* federation_ = nullptr;
  FixedString<64> own_secret_;  // for want of one in the settings
  XmppListeners listeners_;
  XmppListeners partner_listeners_;
  uint16_t component_port_ = 0;  // 0: closed
  uint16_t relay_port_ = 0;
  net::IpPrefix component_source_;
  FixedString<4096> names_;
  std::array<FixedString<127>, xmpp::kEmailDomainMax> domains_ = {};  // as last told
  uint32_t domain_count_ = 0;
  bool knows_domains_ = false;
  std::array<FixedString<127>, xmpp::kRoomHostMax> own_hosts_ = {};  // of rooms, not of settings
  uint32_t own_host_count_ = 0;
  xmpp::MaintenanceTime maintenance_;
};

}  // namespace gh
