// Which service is open on which LAN port: the firewall as the operator's settings want it, and the
// dedicated management interface (DMI, LAN3).
//
// The DMI comes in two stages: LAN3 serves management beside the other ports when it is on; then
// each service may be served on it alone. Switching it on, and its addresses, take a restart: what
// is in force is what the settings said at the start. That a service is served there alone is in
// force at once, connections elsewhere are reset. A DMI without hardware behind it fails closed:
// what is served there alone is then served nowhere but on the serial console.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "firmware/admin/commands.h"
#include "firmware/admin/intrusion.h"
#include "firmware/admin/status.h"
#include "firmware/alarm/alarms.h"
#include "firmware/config/configuration.h"
#include "firmware/log/log.h"
#include "hal/machine.h"
#include "hal/rt/event_loop.h"
#include "net/firewall.h"
#include "net/stack.h"

namespace gh {

// Those before kSsh face the callers' side, the others are management.
enum class ServiceId : uint8_t {
  kSipUdp,
  kSipTcp,
  kSipTls,
  kSipWs,
  kSipWss,
  kAcmeHttp,
  kAcmeTls,
  kSsh,
  kWeb,
  kSnmp,
  kMetrics,
  kCount
};

struct NetworkParts {
  const std::array<hal::EthernetPort*, hal::kEthernetPortMax>& ports;
  EventLoop& loop;
  log::Log& log;
  alarm::Alarms& alarms;
};

// Those who open ports of their own beside the services here.
class FirewallUsers {
 public:
  // The firewall was emptied: they say again what may reach them.
  virtual void OpenFirewall() = 0;

 protected:
  ~FirewallUsers() = default;
};

class NetworkServices final : public admin::AddressBlocker {
 public:
  explicit NetworkServices(const NetworkParts& parts) : parts_(parts) {}
  NetworkServices(const NetworkServices&) = delete;
  NetworkServices& operator=(const NetworkServices&) = delete;

  // Notes the management interface of this run; before the network is configured.
  void ReadAtStart(const config::Configuration& configuration);
  // Before anything else.
  void SetNetwork(net::Stack& stack, FirewallUsers& users);
  // LAN3 is the management interface in this run.
  bool dmi_active() const { return dmi_.mode == config::OnOff::kOn && has_port_; }
  const config::NetworkDmi& dmi() const { return dmi_; }

  // The service listens on `port` from now on; 0: it does not. Whoever listens says so here, the
  // ports it may be reached on come from the settings.
  void Open(ServiceId service, uint16_t port);
  uint16_t port_of(ServiceId service) const { return ports_[static_cast<size_t>(service)]; }
  // Bit i: the service may be reached on LAN port i.
  uint8_t MaskOf(ServiceId service) const;
  // Puts settings and open services into the firewall; resets connections that are not allowed any
  // more.
  void Apply();
  void Watch(Instant now);

  // Nothing from `source` (IPv6: its /64) reaches `service`, or any with kCount, until then.
  void Block(const net::IpAddress& source, Instant until, ServiceId service,
             std::string_view reason);
  bool Unblock(const net::IpAddress& source, std::string_view by);
  // admin::AddressBlocker, of who fails to log in: the ways in are closed to him, calls are not.
  void Block(const net::IpPrefix& source, Instant until) override;
  void Unblock(const net::IpPrefix& source) override;

  // The same for those who guess SIP passwords: SIP's ports alone.
  admin::AddressBlocker& sip_blocker() { return sip_blocker_; }

  void AddTo(admin::StatusTree& status, admin::CommandTable& commands);

 private:
  struct SipBlocker final : admin::AddressBlocker {
    explicit SipBlocker(NetworkServices& owner) : services(owner) {}
    void Block(const net::IpPrefix& source, Instant until) override;
    void Unblock(const net::IpPrefix& source) override { services.Unblock(source); }
    NetworkServices& services;
  };
  void BlockAll(std::span<const ServiceId> ids, const net::IpPrefix& source, Instant until);
  bool Only(ServiceId service) const;
  void ApplyRules();
  uint32_t AddRule(std::span<net::FilterRule> out, uint32_t count, uint32_t number) const;
  Result<void> BlockByOperator(std::string_view value, std::string_view by, ByteWriter& out);
  bool NextLine(uint64_t& cursor, ByteWriter& out);
  bool NextServiceLine(uint64_t at, ByteWriter& out) const;
  bool NextRuleLine(uint64_t at, ByteWriter& out) const;
  bool NextBlockLine(uint64_t at, ByteWriter& out) const;
  bool NextDmiLine(uint64_t& cursor, ByteWriter& out);

  NetworkParts parts_;
  const config::Configuration* configuration_ = nullptr;
  net::Stack* stack_ = nullptr;
  FirewallUsers* users_ = nullptr;
  SipBlocker sip_blocker_{*this};
  config::NetworkDmi dmi_;  // at the start
  bool web_only_ = false;   // Administration DMI Only at the start
  bool has_port_ = false;
  std::array<uint16_t, static_cast<size_t>(ServiceId::kCount)> ports_ = {};
  std::array<uint8_t, net::kFilterRuleMax> rule_numbers_ = {};  // of the settings, by filter rule
};

}  // namespace gh
