#include "firmware/settings_map.h"

#include <algorithm>

namespace gh {
namespace {

static_assert(static_cast<uint8_t>(config::Ipv4Mode::kDhcp) ==
              static_cast<uint8_t>(net::Ipv4Mode::kDhcp));
static_assert(static_cast<uint8_t>(config::Ipv6Mode::kSlaac) ==
              static_cast<uint8_t>(net::Ipv6Mode::kSlaac));
static_assert(static_cast<uint8_t>(config::SyslogTransport::kTls) ==
              static_cast<uint8_t>(log::SyslogTransport::kTls));
static_assert(static_cast<uint8_t>(config::SyslogFormat::kBsd) ==
              static_cast<uint8_t>(log::SyslogFormat::kBsd));
static_assert(static_cast<uint8_t>(config::DigestAlgorithms::kMd5) ==
              static_cast<uint8_t>(sip::DigestPolicy::kMd5Only));
static_assert(static_cast<uint8_t>(config::DigestAlgorithms::kSha512256) ==
              static_cast<uint8_t>(sip::DigestPolicy::kSha512_256Only));
static_assert(static_cast<uint8_t>(config::Severity::kDebug) ==
              static_cast<uint8_t>(log::Severity::kDebug));

net::PortConfig PortConfigOf(const config::NetworkPort& port) {
  net::PortConfig out;
  const bool no_ipv4 = port.ipv4_mode == config::Ipv4Mode::kStatic && port.ipv4_address.is_none();
  const bool no_ipv6 = port.ipv6_mode == config::Ipv6Mode::kStatic && port.ipv6_address.is_none();
  out.ipv4_mode = no_ipv4 ? net::Ipv4Mode::kOff : static_cast<net::Ipv4Mode>(port.ipv4_mode);
  out.ipv6_mode = no_ipv6 ? net::Ipv6Mode::kOff : static_cast<net::Ipv6Mode>(port.ipv6_mode);
  if (out.ipv4_mode == net::Ipv4Mode::kStatic) {
    out.ipv4_address = {port.ipv4_address, static_cast<uint8_t>(port.ipv4_prefix_length)};
  }
  if (out.ipv6_mode == net::Ipv6Mode::kStatic) {
    out.ipv6_address = {port.ipv6_address, static_cast<uint8_t>(port.ipv6_prefix_length)};
  }
  out.mtu = static_cast<uint16_t>(port.mtu);
  return out;
}

// R-DMI-09: static addresses, and no default gateway: what is to leave by it beyond its subnet has
// a static route.
net::PortConfig ManagementPortOf(const config::NetworkDmi& dmi) {
  net::PortConfig out;
  if (!dmi.ipv4_address.is_none()) {
    out.ipv4_mode = net::Ipv4Mode::kStatic;
    out.ipv4_address = {dmi.ipv4_address, static_cast<uint8_t>(dmi.ipv4_prefix_length)};
  }
  if (!dmi.ipv6_address.is_none()) {
    out.ipv6_mode = net::Ipv6Mode::kStatic;
    out.ipv6_address = {dmi.ipv6_address, 64};
  }
  out.mtu = static_cast<uint16_t>(dmi.mtu);
  return out;
}

// A gateway belongs to the static port whose subnet holds it; else to the first static port.
template <typename Member>
void PlaceGateway(net::StackConfig& out, const net::IpAddress& gateway,
                  net::IpPrefix net::PortConfig::*address, Member gateway_member) {
  if (gateway.is_none()) {
    return;
  }
  net::PortConfig* first = nullptr;
  for (net::PortConfig& port : out.ports) {
    if ((port.*address).address.is_none() ||
        &port - out.ports.data() == ptrdiff_t{out.management_port}) {
      continue;
    }
    first = first == nullptr ? &port : first;
    if ((port.*address).Contains(gateway)) {
      port.*gateway_member = gateway;
      return;
    }
  }
  if (first != nullptr) {
    first->*gateway_member = gateway;
  }
}

template <typename Group>
void AddSipListener(const Group& group, sip::TransportKind transport, const net::IpAddress& address,
                    sip::Config& out) {
  if (group.mode == config::OnOff::kOn) {
    out.AddListener(transport, {address, static_cast<uint16_t>(group.port)});
  }
}

sip::PresenceConfig PresenceOf(const config::SipPresence& settings) {
  using Watchers = sip::PresenceConfig::Watchers;
  sip::PresenceConfig out;
  out.is_on = settings.mode == config::OnOff::kOn;
  out.counts_registrations = settings.registration == config::OnOff::kOn;
  out.watchers = settings.watchers == config::PresenceWatchers::kAll          ? Watchers::kAll
                 : settings.watchers == config::PresenceWatchers::kSameDomain ? Watchers::kDomain
                                                                              : Watchers::kUsers;
  out.expires_min_s = static_cast<uint32_t>(settings.expire_min);
  out.expires_max_s = static_cast<uint32_t>(settings.expire_max);
  out.notify_interval = Duration::Seconds(settings.notify_interval);
  out.publications_max = static_cast<uint32_t>(settings.publications_max);
  out.watchers_max = static_cast<uint32_t>(settings.watchers_max);
  return out;
}

}  // namespace

net::StackConfig NetConfigOf(const config::Settings& settings, const config::NetworkDmi* dmi) {
  net::StackConfig out;
  const auto ports = settings.network_port();
  static_assert(net::kPortMax == 3);
  for (uint32_t i = 0; i < net::kPortMax; ++i) {
    out.ports[i] = PortConfigOf(ports[i]);
  }
  if (dmi != nullptr) {
    out.ports[2] = ManagementPortOf(*dmi);
    out.management_port = 2;
  }
  PlaceGateway(out, settings.network().ipv4_gateway, &net::PortConfig::ipv4_address,
               &net::PortConfig::ipv4_gateway);
  PlaceGateway(out, settings.network().ipv6_gateway, &net::PortConfig::ipv6_address,
               &net::PortConfig::ipv6_gateway);
  for (const config::NetworkRoute& route : settings.network_route()) {
    if (!route.destination.address.is_none() && !route.gateway.is_none()) {
      out.routes[out.route_count++] = {route.destination, route.gateway,
                                       static_cast<uint8_t>(route.port - 1)};
    }
  }
  for (const config::DnsServer& server : settings.dns_server()) {
    if (!server.address.is_none()) {
      out.dns_servers[out.dns_server_count++] = server.address;
    }
  }
  const std::string_view name = settings.system().name.view();
  const size_t size = std::min<size_t>(name.size(), net::kHostNameMax);
  std::copy_n(name.begin(), size, out.host_name);
  return out;
}

sip::Config SipConfigOf(const config::Settings& settings,
                        std::span<const net::IpAddress> addresses) {
  sip::Config out;
  for (const config::SipDomain& domain : settings.sip_domain()) {
    out.AddDomain(domain.name.view());
  }
  const bool fits = out.realm.Set(settings.sip_authentication().realm.view());
  GH_ASSERT(fits);
  for (const net::IpAddress& address : addresses) {
    AddSipListener(settings.sip_udp(), sip::TransportKind::kUdp, address, out);
    AddSipListener(settings.sip_tcp(), sip::TransportKind::kTcp, address, out);
    AddSipListener(settings.sip_tls(), sip::TransportKind::kTls, address, out);
    AddSipListener(settings.sip_ws(), sip::TransportKind::kWs, address, out);
    AddSipListener(settings.sip_wss(), sip::TransportKind::kWss, address, out);
  }
  for (const config::SipWebSocketOrigin& origin : settings.sip_web_socket_origin()) {
    out.AddOrigin(origin.address.view());
  }
  const config::SipRegistration& registration = settings.sip_registration();
  out.expires_min_s = static_cast<uint32_t>(registration.expire_min);
  out.expires_max_s = static_cast<uint32_t>(registration.expire_max);
  out.expires_default_s = static_cast<uint32_t>(registration.expire_default);
  out.contacts_per_user_max = static_cast<uint32_t>(registration.contact_max);
  out.service_route = registration.service_route == config::OnOff::kOn;
  out.fast_path = registration.fast_path == config::OnOff::kOn;
  out.session_min_s = static_cast<uint32_t>(settings.sip_session_refresh().minimum);
  out.session_expires_s = static_cast<uint32_t>(settings.sip_session_refresh().value);
  for (const config::SipEmergency& emergency : settings.sip_emergency()) {
    out.AddEmergency(emergency.number.view(), emergency.service.view());
  }
  out.occupancy_max = static_cast<uint32_t>(settings.sip_overload().occupancy) * 10;
  out.presence = PresenceOf(settings.sip_presence());
  out.flow_loss = Duration::Seconds(settings.sip_call().flow_loss);
  out.is_draining = settings.maintenance().mode == config::OnOff::kOn;
  const config::SipAuthentication& authentication = settings.sip_authentication();
  out.authenticate_register = authentication.mode == config::OnOff::kOn;
  out.authenticate_requests = authentication.mode == config::OnOff::kOn;
  out.sender_must_match = authentication.identity_check == config::OnOff::kOn;
  out.digest = static_cast<sip::DigestPolicy>(authentication.algorithms);
  out.digest_is_partial = std::ranges::any_of(
      settings.authentication_user(), [](const config::AuthenticationUser& user) {
        return user.password.is_set() && !user.password.has_sha512_256();
      });
  return out;
}

std::array<log::SyslogServerConfig, log::kSyslogServerMax> SyslogConfigOf(
    const config::Settings& settings) {
  std::array<log::SyslogServerConfig, log::kSyslogServerMax> out;
  const auto servers = settings.syslog_server();
  for (size_t i = 0; i < out.size(); ++i) {
    out[i].enabled = servers[i].mode == config::OnOff::kOn && !servers[i].address.empty();
    out[i].address.Assign(servers[i].address.view());
    out[i].port = static_cast<uint16_t>(servers[i].port);
    out[i].transport = static_cast<log::SyslogTransport>(servers[i].transport);
    out[i].severity = static_cast<log::Severity>(servers[i].severity);
    out[i].format = static_cast<log::SyslogFormat>(servers[i].format);
    // Words and digits that cannot be read: everything is sent, and no TLS server is trusted.
    const auto categories = log::ParseCategories(servers[i].categories.view());
    out[i].categories = categories.ok() ? *categories : log::kAllCategories;
    out[i].has_fingerprint = !servers[i].fingerprint.empty();
    const auto fingerprint = log::ParseFingerprint(servers[i].fingerprint.view());
    out[i].fingerprint = fingerprint.ok() ? *fingerprint : crypto::CertificateFingerprint{};
  }
  return out;
}

}  // namespace gh
