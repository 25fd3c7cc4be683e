#include "firmware/network/network_services.h"

#include <algorithm>
#include <charconv>

#include "firmware/admin/status_text.h"
#include "firmware/config/line.h"
#include "firmware/network/network_events.h"

namespace gh {
namespace {

using log::AlarmId;
using namespace gh::log::event;

constexpr uint32_t kRuleSettings = 32;
constexpr int64_t kBlockSecondsDefault = 900;
constexpr int64_t kBlockSecondsMax = 86'400 * 7;
// A rule of the settings is up to five rules of the filter: a service may have five ports.
static_assert(5 * kRuleSettings <= net::kFilterRuleMax);

struct ServiceInfo {
  const char* name;
  net::Transport transport;
};
constexpr ServiceInfo kServices[] = {
    {"SIP", net::Transport::kUdp},     {"SIP", net::Transport::kTcp},
    {"SIP", net::Transport::kTcp},     {"SIP", net::Transport::kTcp},
    {"SIP", net::Transport::kTcp},     {"ACME", net::Transport::kTcp},
    {"ACME", net::Transport::kTcp},    {"SSH", net::Transport::kTcp},
    {"Web", net::Transport::kTcp},     {"SNMP", net::Transport::kUdp},
    {"Metrics", net::Transport::kTcp},
};
static_assert(std::size(kServices) == static_cast<size_t>(ServiceId::kCount));

const ServiceInfo& InfoOf(ServiceId service) { return kServices[static_cast<size_t>(service)]; }

constexpr uint8_t kEveryPort = (1u << net::kPortMax) - 1;
constexpr uint8_t kManagementMask = 1u << kManagementPort;

void FormatPorts(uint8_t mask, ByteWriter& out) {
  bool any = false;
  for (uint8_t i = 0; i < net::kPortMax; ++i) {
    if ((mask >> i & 1) != 0) {
      out.Text(any ? "," : "");
      out.Text(PortName(i));
      any = true;
    }
  }
  out.Text(any ? "" : "none");
}

}  // namespace

void NetworkServices::SetNetwork(net::Stack& stack, FirewallUsers& users) {
  stack_ = &stack;
  users_ = &users;
}

void NetworkServices::ReadAtStart(const config::Configuration& configuration) {
  configuration_ = &configuration;
  const config::Settings& settings = configuration_->active();
  dmi_ = settings.network_dmi();
  web_only_ = settings.administration_dmi().only == config::OnOff::kOn;
  has_port_ = parts_.ports[kManagementPort] != nullptr;
  const bool missing = dmi_.mode == config::OnOff::kOn && !has_port_;
  parts_.alarms.Set(AlarmId::kDmiMissing, missing, "");
}

void NetworkServices::Open(ServiceId service, uint16_t port) {
  ports_[static_cast<size_t>(service)] = port;
}

// Whether the settings want the service on the management interface alone. A setting that waits
// for the restart which switches the interface on locks nobody out before.
bool NetworkServices::Only(ServiceId service) const {
  const config::Settings& settings = configuration_->active();
  if (dmi_.mode != config::OnOff::kOn) {
    return false;
  }
  switch (service) {
    case ServiceId::kSsh:
      return settings.administration_dmi().only == config::OnOff::kOn;
    case ServiceId::kWeb:
      return web_only_;
    case ServiceId::kSnmp:
      return settings.snmp().dmi_only == config::OnOff::kOn;
    case ServiceId::kMetrics:
      return settings.metrics().dmi_only == config::OnOff::kOn;
    default:
      return false;
  }
}

uint8_t NetworkServices::MaskOf(ServiceId service) const {
  const bool is_management = service >= ServiceId::kSsh;
  if (is_management && Only(service)) {
    return has_port_ ? kManagementMask : 0;
  }
  const bool apart = !is_management && dmi_active();
  return apart ? kEveryPort & ~kManagementMask : kEveryPort;
}

void NetworkServices::Apply() {
  net::Firewall& firewall = stack_->firewall();
  firewall.RevokeAll();
  for (uint8_t i = 0; i < static_cast<uint8_t>(ServiceId::kCount); ++i) {
    const auto service = static_cast<ServiceId>(i);
    const uint16_t port = port_of(service);
    const uint8_t mask = MaskOf(service);
    if (port != 0 && mask != 0) {
      firewall.Allow({InfoOf(service).transport, port, port, mask})
          .ignore("a port number, and fewer services than rules");
    }
  }
  users_->OpenFirewall();
  firewall.AllowEcho(configuration_->active().firewall().ping == config::OnOff::kOn);
  ApplyRules();
  stack_->EnforceFirewall();
}

// Appends what rule `number` (0-based) of the settings stands for.
uint32_t NetworkServices::AddRule(std::span<net::FilterRule> out, uint32_t count,
                                  uint32_t number) const {
  const config::FirewallRule& rule = configuration_->active().firewall_rule()[number];
  net::FilterRule base;
  base.action = rule.action == config::FirewallAction::kAllow    ? net::FilterAction::kAllow
                : rule.action == config::FirewallAction::kReject ? net::FilterAction::kReject
                                                                 : net::FilterAction::kDrop;
  base.port_mask = rule.port == config::FirewallInterface::kAny
                       ? net::kAllPorts
                       : static_cast<uint8_t>(1u << (static_cast<uint8_t>(rule.port) - 1));
  base.source = rule.source;
  base.rate = base.action == net::FilterAction::kAllow ? static_cast<uint32_t>(rule.rate) : 0;
  if (rule.service == config::FirewallService::kAny) {
    out[count++] = base;
    return count;
  }
  if (rule.service == config::FirewallService::kPing) {
    base.protocol = net::FilterProtocol::kEcho;
    out[count++] = base;
    return count;
  }
  if (rule.service == config::FirewallService::kCustom) {
    base.first = static_cast<uint16_t>(rule.port_first);
    base.last = static_cast<uint16_t>(rule.port_last);
    base.protocol = rule.transport == config::FirewallTransport::kUdp   ? net::FilterProtocol::kUdp
                    : rule.transport == config::FirewallTransport::kTcp ? net::FilterProtocol::kTcp
                                                                        : net::FilterProtocol::kAny;
    out[count++] = base;
    return count;
  }
  static constexpr const char* kNames[] = {"", "SIP", "SSH", "SNMP", "Metrics"};
  const std::string_view name = kNames[static_cast<size_t>(rule.service)];
  for (size_t i = 0; i < std::size(kServices); ++i) {
    if (kServices[i].name == name && ports_[i] != 0) {
      base.protocol = kServices[i].transport == net::Transport::kUdp ? net::FilterProtocol::kUdp
                                                                     : net::FilterProtocol::kTcp;
      base.first = base.last = ports_[i];
      out[count++] = base;
    }
  }
  return count;
}

void NetworkServices::ApplyRules() {
  const auto rules = configuration_->active().firewall_rule();
  GH_ASSERT_LE(rules.size(), kRuleSettings);
  std::array<uint8_t, kRuleSettings> order = {};
  uint32_t rule_count = 0;
  for (uint8_t i = 0; i < rules.size(); ++i) {
    if (rules[i].mode == config::OnOff::kOn) {
      order[rule_count++] = i;
    }
  }
  std::sort(order.begin(), order.begin() + rule_count, [&](uint8_t a, uint8_t b) {
    return rules[a].priority != rules[b].priority ? rules[a].priority < rules[b].priority : a < b;
  });
  std::array<net::FilterRule, net::kFilterRuleMax> filter;
  uint32_t count = 0;
  for (uint32_t i = 0; i < rule_count; ++i) {
    const uint32_t before = count;
    count = AddRule(filter, count, order[i]);
    std::fill(rule_numbers_.begin() + before, rule_numbers_.begin() + count, order[i]);
  }
  const auto set = stack_->firewall().SetFilter(std::span(filter).first(count));
  if (!set.ok()) {
    parts_.log.Emit(ServiceFailed{.service = "firewall rules", .reason = set.error().what});
  }
}

void NetworkServices::Watch(Instant now) { stack_->firewall().ExpireBlocks(now); }

// --- Blocks -------------------------------------------------------------------------------------

void NetworkServices::Block(const net::IpAddress& source, Instant until, ServiceId service,
                            std::string_view reason) {
  const bool all = service == ServiceId::kCount;
  stack_->firewall().Block(source, until, all ? uint16_t{0} : port_of(service));
  stack_->EnforceFirewall();
  parts_.log.Emit(
      FirewallBlocked{.address = net::ToText(source).view(),
                      .service = all ? "all services" : InfoOf(service).name,
                      .seconds = static_cast<uint64_t>((until - parts_.loop.now()).seconds()),
                      .reason = reason});
}

bool NetworkServices::Unblock(const net::IpAddress& source, std::string_view by) {
  if (!stack_->firewall().Unblock(source)) {
    return false;
  }
  parts_.log.Emit(FirewallUnblocked{.address = net::ToText(source).view(), .by = by});
  return true;
}

void NetworkServices::BlockAll(std::span<const ServiceId> ids, const net::IpPrefix& source,
                               Instant until) {
  for (const ServiceId service : ids) {
    if (port_of(service) != 0) {
      stack_->firewall().Block(source.address, until, port_of(service));
    }
  }
  stack_->EnforceFirewall();
}

void NetworkServices::Block(const net::IpPrefix& source, Instant until) {
  constexpr ServiceId kWaysIn[] = {ServiceId::kSsh, ServiceId::kWeb};
  BlockAll(kWaysIn, source, until);
}

void NetworkServices::SipBlocker::Block(const net::IpPrefix& source, Instant until) {
  constexpr ServiceId kSip[] = {ServiceId::kSipUdp, ServiceId::kSipTcp, ServiceId::kSipTls,
                                ServiceId::kSipWs, ServiceId::kSipWss};
  services.BlockAll(kSip, source, until);
}

void NetworkServices::Unblock(const net::IpPrefix& source) {
  stack_->firewall().Unblock(source.address);
}

Result<void> NetworkServices::BlockByOperator(std::string_view value, std::string_view by,
                                              ByteWriter& out) {
  const size_t space = value.find(' ');
  const auto address = net::IpAddress::Parse(value.substr(0, space));
  int64_t seconds = kBlockSecondsDefault;
  bool good = address.ok();
  if (space != value.npos) {
    const std::string_view digits = value.substr(space + 1);
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), seconds);
    good = good && read.ec == std::errc() && read.ptr == digits.data() + digits.size();
  }
  if (!good || seconds < 1 || seconds > kBlockSecondsMax) {
    return Error(ErrorCode::kInvalidArgument, "expected an IP address and 1 to 604800 seconds");
  }
  FixedString<80> reason("by ");
  reason.Append(by);
  Block(*address, parts_.loop.now() + Duration::Seconds(seconds), ServiceId::kCount, reason.view());
  out.Text("OK, for ");
  out.SignedDecimal(seconds);
  out.Text(" s");
  return Ok();
}

// --- Commands and status ------------------------------------------------------------------------

void NetworkServices::AddTo(admin::StatusTree& status, admin::CommandTable& commands) {
  status.AddMember<&NetworkServices::NextLine>(
      "Firewall", "Services by port, rules with counters, blocked addresses", this);
  status.AddMember<&NetworkServices::NextDmiLine>("Network DMI", "The management interface", this);
  admin::Command block = {"Firewall Block", "Blocks an address for a while"};
  block.value_help = "an IP address, and for how many seconds (900)";
  block.context = this;
  block.run_value = [](void* self, std::string_view by, std::string_view value, ByteWriter& out) {
    return static_cast<NetworkServices*>(self)->BlockByOperator(value, by, out);
  };
  commands.Add(block);
  admin::Command unblock = {"Firewall Unblock", "Lifts the block of an address"};
  unblock.value_help = "an IP address";
  unblock.context = this;
  unblock.run_value = [](void* self, std::string_view by, std::string_view value,
                         ByteWriter&) -> Result<void> {
    GH_TRY_ASSIGN(const net::IpAddress address, net::IpAddress::Parse(value));
    if (!static_cast<NetworkServices*>(self)->Unblock(address, by)) {
      return Error(ErrorCode::kNotFound, "this address is not blocked");
    }
    return Ok();
  };
  commands.Add(unblock);
}

bool NetworkServices::NextServiceLine(uint64_t at, ByteWriter& out) const {
  const auto service = static_cast<ServiceId>(at);
  const net::Transport transport = InfoOf(service).transport;
  out.Text("Firewall Service ");
  out.Text(InfoOf(service).name);
  out.Text(": ");
  if (port_of(service) == 0) {
    out.Text("closed");
    return true;
  }
  out.Text(transport == net::Transport::kUdp ? "udp/" : "tcp/");
  out.Decimal(port_of(service));
  out.Text(" interfaces=");
  FormatPorts(MaskOf(service), out);
  return true;
}

bool NetworkServices::NextRuleLine(uint64_t at, ByteWriter& out) const {
  const net::Firewall& firewall = stack_->firewall();
  const net::FilterRule& rule = firewall.filter()[at];
  static constexpr const char* kProtocols[] = {"any", "udp", "tcp", "ping"};
  out.Text("Firewall Rule ");
  out.Decimal(rule_numbers_[at] + 1u);
  static constexpr const char* kActions[] = {": allow ", ": drop ", ": reject "};
  out.Text(kActions[static_cast<size_t>(rule.action)]);
  out.Text(kProtocols[static_cast<size_t>(rule.protocol)]);
  if (rule.first != 0) {
    out.Char('/');
    out.Decimal(rule.first);
    if (rule.last != rule.first) {
      out.Char('-');
      out.Decimal(rule.last);
    }
  }
  out.Text(" interfaces=");
  FormatPorts(rule.port_mask & kEveryPort, out);
  const net::FilterCounters& counters = firewall.filter_counters(static_cast<uint32_t>(at));
  Tell(out, "matched", counters.matched);
  Tell(out, "rate_limited", counters.limited);
  return true;
}

bool NetworkServices::NextBlockLine(uint64_t at, ByteWriter& out) const {
  const net::BlockInfo& block = stack_->firewall().blocks()[at];
  out.Text("Firewall Blocked ");
  block.source.Format(out);
  out.Text(block.source.is_v6() ? "/64: " : ": ");
  out.Text(block.service_port == 0 ? "all services" : "port ");
  if (block.service_port != 0) {
    out.Decimal(block.service_port);
  }
  const int64_t left = (block.until - parts_.loop.now()).seconds();
  Tell(out, "seconds_left", static_cast<uint64_t>(std::max<int64_t>(left, 0)));
  Tell(out, "dropped", block.dropped);
  return true;
}

bool NetworkServices::NextLine(uint64_t& cursor, ByteWriter& out) {
  const net::Firewall& firewall = stack_->firewall();
  uint64_t at = cursor++;
  if (at < std::size(kServices)) {
    return NextServiceLine(at, out);
  }
  at -= std::size(kServices);
  if (at < firewall.filter().size()) {
    return NextRuleLine(at, out);
  }
  at -= firewall.filter().size();
  return at < firewall.blocks().size() && NextBlockLine(at, out);
}

bool NetworkServices::NextDmiLine(uint64_t& cursor, ByteWriter& out) {
  const bool wanted = configuration_->active().network_dmi().mode == config::OnOff::kOn;
  switch (cursor++) {
    case 0:
      out.Text("Network DMI Mode: ");
      out.Text(dmi_active() ? "On" : dmi_.mode == config::OnOff::kOn ? "No LAN3" : "Off");
      out.Text(wanted == (dmi_.mode == config::OnOff::kOn) ? "" : " (changes at the next restart)");
      return true;
    case 1:
      out.Text("Network DMI Only:");
      for (const auto service :
           {ServiceId::kSsh, ServiceId::kWeb, ServiceId::kSnmp, ServiceId::kMetrics}) {
        out.Char(' ');
        out.Text(InfoOf(service).name);
        out.Text(Only(service) ? "=Yes" : "=No");
      }
      return true;
    default:
      return false;
  }
}

}  // namespace gh
