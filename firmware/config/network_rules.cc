#include "firmware/config/network_rules.h"

#include <algorithm>

#include "firmware/config/line.h"
#include "net/sntp.h"

namespace gh::config {
namespace {

constexpr int32_t kIpv6MtuMin = 1280;  // RFC 8200 section 5

Result<void> Refuse(Message& expected, std::string_view text) {
  MessageWriter(expected).Add(text);
  return Error{ErrorCode::kInvalidArgument, "network settings contradict"};
}

bool Overlap(const net::IpPrefix& a, const net::IpPrefix& b) {
  return !a.address.is_none() && !b.address.is_none() &&
         (a.length <= b.length ? a.Contains(b.address) : b.Contains(a.address));
}

// R-DMI-09: an address; of IPv6 a static global one.
Result<void> CheckDmiAddresses(const Settings& settings, Message& expected) {
  const NetworkDmi& dmi = settings.network_dmi();
  const net::IpAddress& v6 = dmi.ipv6_address;
  if (!v6.is_none() &&
      (v6.is_link_local() || v6.is_multicast() || v6.is_loopback() || v6.is_unspecified())) {
    return Refuse(expected,
                  "expected a global IPv6 address of the management interface: "
                  "not link-local, not multicast");
  }
  if (!v6.is_none() && dmi.mtu < kIpv6MtuMin) {
    return Refuse(expected, "expected Network DMI MTU of at least 1280 with an IPv6 address");
  }
  if (dmi.mode == OnOff::kOn && dmi.ipv4_address.is_none() && v6.is_none()) {
    return Refuse(expected,
                  "expected Network DMI IPv4 Address or IPv6 Address to be set before Mode is On");
  }
  return Ok();
}

// What goes to the subnet of the management interface goes by it: nobody else may have that subnet.
Result<void> CheckDmiSubnets(const Settings& settings, Message& expected) {
  const NetworkDmi& dmi = settings.network_dmi();
  const net::IpPrefix v4{dmi.ipv4_address, static_cast<uint8_t>(dmi.ipv4_prefix_length)};
  const net::IpPrefix v6{dmi.ipv6_address, 64};
  const auto ports = settings.network_port();
  for (size_t i = 0; i + 1 < ports.size(); ++i) {
    const net::IpPrefix port_v4{ports[i].ipv4_address,
                                static_cast<uint8_t>(ports[i].ipv4_prefix_length)};
    const net::IpPrefix port_v6{ports[i].ipv6_address,
                                static_cast<uint8_t>(ports[i].ipv6_prefix_length)};
    if (Overlap(v4, port_v4) || Overlap(v6, port_v6)) {
      MessageWriter(expected)
          .Add("expected a subnet of its own for the management interface: Network Port ")
          .Add(static_cast<int64_t>(i + 1))
          .Add(" is in the same");
      return Error{ErrorCode::kInvalidArgument, "network settings contradict"};
    }
  }
  return Ok();
}

// R-DMI-16.
Result<void> CheckDmiGuard(const Settings& settings, Message& expected) {
  if (settings.network_dmi().mode == OnOff::kOn) {
    return Ok();
  }
  if (settings.administration_dmi().only == OnOff::kOn) {
    return Refuse(expected,
                  "expected Administration DMI Only: Off, or Network DMI Mode: On; "
                  "administration is served on the management interface alone");
  }
  if (settings.snmp().dmi_only == OnOff::kOn) {
    return Refuse(expected,
                  "expected SNMP DMI Only: Off, or Network DMI Mode: On; "
                  "SNMP is served on the management interface alone");
  }
  if (settings.metrics().dmi_only == OnOff::kOn) {
    return Refuse(expected,
                  "expected Metrics DMI Only: Off, or Network DMI Mode: On; "
                  "metrics are served on the management interface alone");
  }
  return Ok();
}

Result<void> CheckTimeServers(const Settings& settings, Message& expected) {
  const auto servers = settings.ntp_server();
  for (size_t i = 0; i < servers.size(); ++i) {
    if (servers[i].key_id == 0) {
      continue;
    }
    const auto key = net::MakeNtpKey(static_cast<uint32_t>(servers[i].key_id),
                                     static_cast<net::NtpDigest>(servers[i].key_algorithm),
                                     servers[i].key.view());
    if (!key.ok()) {
      MessageWriter(expected)
          .Add(key.error().what)
          .Add(": NTP Server ")
          .Add(static_cast<int64_t>(i + 1));
      return key.error();
    }
  }
  if (settings.ntp().poll_min > settings.ntp().poll_max) {
    return Refuse(expected, "expected NTP Poll Min <= NTP Poll Max");
  }
  return Ok();
}

Result<void> CheckPorts(const Settings& settings, Message& expected) {
  const auto ports = settings.network_port();
  for (size_t i = 0; i < ports.size(); ++i) {
    const bool has_v6 =
        ports[i].ipv6_mode == Ipv6Mode::kSlaac ||
        (ports[i].ipv6_mode == Ipv6Mode::kStatic && !ports[i].ipv6_address.is_none());
    if (has_v6 && ports[i].mtu < kIpv6MtuMin) {
      MessageWriter(expected)
          .Add("expected an MTU of at least 1280 with IPv6: Network Port ")
          .Add(static_cast<int64_t>(i + 1));
      return Error{ErrorCode::kInvalidArgument, "network settings contradict"};
    }
  }
  const auto rules = settings.firewall_rule();
  for (size_t i = 0; i < rules.size(); ++i) {
    if (rules[i].port_first > rules[i].port_last) {
      MessageWriter(expected)
          .Add("expected Port First <= Port Last: Firewall Rule ")
          .Add(static_cast<int64_t>(i + 1));
      return Error{ErrorCode::kInvalidArgument, "network settings contradict"};
    }
  }
  return Ok();
}

}  // namespace

Result<void> CheckNetwork(const Settings& settings, Message& expected) {
  GH_TRY(CheckPorts(settings, expected));
  GH_TRY(CheckTimeServers(settings, expected));
  GH_TRY(CheckDmiAddresses(settings, expected));
  GH_TRY(CheckDmiSubnets(settings, expected));
  return CheckDmiGuard(settings, expected);
}

}  // namespace gh::config
