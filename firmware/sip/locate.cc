#include "firmware/sip/locate.h"

#include <algorithm>

#include "hal/rt/bytes.h"

namespace gh::sip {
namespace {

uint16_t DefaultPort(TransportKind transport) {
  switch (transport) {
    case TransportKind::kTls:
      return 5061;
    case TransportKind::kWs:
      return 80;
    case TransportKind::kWss:
      return 443;
    default:
      return 5060;
  }
}

// The transport a URI asks for; nothing when it leaves that open.
std::optional<TransportKind> TransportOf(const Uri& uri) {
  const std::string_view param = uri.param("transport");
  if (EqualsNoCase(param, "ws")) {
    return uri.scheme == UriScheme::kSips ? TransportKind::kWss : TransportKind::kWs;
  }
  if (uri.scheme == UriScheme::kSips || EqualsNoCase(param, "tls")) {
    return TransportKind::kTls;
  }
  if (EqualsNoCase(param, "tcp")) {
    return TransportKind::kTcp;
  }
  if (EqualsNoCase(param, "udp")) {
    return TransportKind::kUdp;
  }
  return std::nullopt;
}

// A server of weight 0 has a very small chance beside others (RFC 2782), and comes last mostly.
uint32_t ShareOf(uint16_t weight) {
  constexpr uint32_t kPerWeight = 64;
  static_assert(uint64_t{kSrvRecordMax} * UINT16_MAX * kPerWeight <= UINT32_MAX);
  return weight == 0 ? 1 : weight * kPerWeight;
}

}  // namespace

bool Locator::Direct(const Uri& uri, Hop& hop) {
  net::IpAddress address = uri.address;
  if (const std::string_view maddr = uri.param("maddr"); !maddr.empty()) {
    address = ParseHostAddress(maddr);
  }
  if (address.is_none()) {
    return false;
  }
  hop.transport = TransportOf(uri).value_or(TransportKind::kUdp);
  hop.remote = {address, uri.port != 0 ? uri.port : DefaultPort(hop.transport)};
  return true;
}

bool Locator::HasTransport(TransportKind transport) const {
  for (uint32_t i = 0; i < core_.config.listener_count; ++i) {
    if (core_.config.listeners[i].transport == transport) {
      return true;
    }
  }
  return false;
}

bool Locator::HasFamily(net::IpFamily family) const {
  for (uint32_t i = 0; i < core_.config.listener_count; ++i) {
    if (core_.config.listeners[i].advertise.address.family == family) {
      return true;
    }
  }
  return false;
}

Result<void> Locator::Start(Location& location, const Uri& uri) {
  location.locator = this;
  location.is_secure = uri.scheme == UriScheme::kSips;
  const std::string_view maddr = uri.param("maddr");
  if (!location.name.Set(maddr.empty() ? uri.host : maddr)) {
    return Error(ErrorCode::kTooLarge, "host name");
  }
  location.domain = location.name;
  const auto transport = TransportOf(uri);
  if (transport == TransportKind::kWs || transport == TransportKind::kWss) {
    return Error(ErrorCode::kUnsupported, "a WebSocket client comes to us, never we to it");
  }
  location.port = uri.port;
  location.transport = transport.value_or(TransportKind::kUdp);
  // RFC 3263 4.1, 4.2: a port means address records only; a transport means its SRV.
  if (uri.port != 0) {
    location.servers[0].name = location.name;
    location.servers[0].port = uri.port;
    location.servers[0].transport = location.transport;
    location.server_count = 1;
    location.step = Location::Step::kAddress4;
  } else if (transport) {
    location.step = *transport == TransportKind::kUdp   ? Location::Step::kSrvUdp
                    : *transport == TransportKind::kTcp ? Location::Step::kSrvTcp
                                                        : Location::Step::kSrvTls;
  } else {
    location.step = Location::Step::kNaptr;
  }
  location.query.context = &location;
  location.query.done = [](net::DnsQuery& query, Result<std::span<const net::DnsRecord>> records) {
    auto& self = *static_cast<Location*>(query.context);
    self.asking = false;
    self.locator->OnAnswer(self, records.ok() ? *records : std::span<const net::DnsRecord>());
  };
  return AskStep(location);
}

void Locator::Release(Location& location) {
  if (location.asking) {
    resolver_.Cancel(location.query);
  }
  core_.buffers.Release(location.held);
  locations_.Release(&location);
}

Result<void> Locator::AskStep(Location& location) {
  using Step = Location::Step;
  uint8_t text[net::kDnsNameMax + 16];
  ByteWriter name(text);
  net::DnsType type = net::DnsType::kSrv;
  switch (location.step) {
    case Step::kNaptr:
      type = net::DnsType::kNaptr;
      break;
    case Step::kSrvUdp:
      name.Text("_sip._udp.");
      break;
    case Step::kSrvTcp:
      name.Text("_sip._tcp.");
      break;
    case Step::kSrvTls:
      name.Text("_sips._tcp.");
      break;
    case Step::kSrvNamed:
      break;
    case Step::kAddress4:
      type = net::DnsType::kA;
      break;
    case Step::kAddress6:
      type = net::DnsType::kAaaa;
      break;
  }
  const bool address = type == net::DnsType::kA || type == net::DnsType::kAaaa;
  name.Text(address ? location.servers[location.server_next].name.view() : location.name.view());
  location.asking = true;
  const Result<void> asked = resolver_.Resolve(name.text(), type, location.query);
  location.asking = asked.ok();
  return asked;
}

void Locator::OnAnswer(Location& location, std::span<const net::DnsRecord> records) {
  using Step = Location::Step;
  switch (location.step) {
    case Step::kNaptr:
      TakeNaptr(location, records);
      break;
    case Step::kSrvUdp:
    case Step::kSrvTcp:
    case Step::kSrvTls:
    case Step::kSrvNamed:
      TakeSrv(location, records);
      break;
    case Step::kAddress4:
    case Step::kAddress6:
      TakeAddresses(location, records);
      break;
  }
  Advance(location);
}

// The steps only go forward and the servers are counted: this ends.
void Locator::Advance(Location& location) {
  using Step = Location::Step;
  while (true) {
    const bool finished =
        location.hop_count == kEndpointMax ||
        (location.step >= Step::kAddress4 && location.server_next == location.server_count);
    const bool skip =
        !finished && ((location.step == Step::kAddress4 && !HasFamily(net::IpFamily::kIpv4)) ||
                      (location.step == Step::kAddress6 && !HasFamily(net::IpFamily::kIpv6)));
    if (skip) {
      TakeAddresses(location, {});
      continue;
    }
    if (finished || !AskStep(location).ok()) {
      location.done(location);
      return;
    }
    return;
  }
}

void Locator::TakeNaptr(Location& location, std::span<const net::DnsRecord> records) {
  struct Service {
    std::string_view name;
    TransportKind transport;
  };
  constexpr Service kServices[] = {{"SIPS+D2T", TransportKind::kTls},
                                   {"SIP+D2T", TransportKind::kTcp},
                                   {"SIP+D2U", TransportKind::kUdp}};
  const net::DnsRecord* best = nullptr;
  TransportKind transport = TransportKind::kUdp;
  for (const net::DnsRecord& record : records) {
    for (const Service& service : kServices) {
      const bool usable = record.type == net::DnsType::kNaptr && EqualsNoCase(record.flags, "s") &&
                          EqualsNoCase(record.service, service.name) &&
                          HasTransport(service.transport) &&
                          (!location.is_secure || service.transport == TransportKind::kTls);
      const bool better = best == nullptr || record.priority < best->priority ||
                          (record.priority == best->priority && record.weight < best->weight);
      if (usable && better) {
        best = &record;
        transport = service.transport;
      }
    }
  }
  if (best != nullptr) {
    FixedText<net::kDnsNameMax> replacement;
    if (replacement.Set(best->target) && !replacement.empty()) {
      location.servers[0].name = location.name;  // for the case that SRV has nothing
      location.name = replacement;
      location.transport = transport;
      location.step = Location::Step::kSrvNamed;
      return;
    }
  }
  location.step = HasTransport(TransportKind::kUdp)   ? Location::Step::kSrvUdp
                  : HasTransport(TransportKind::kTcp) ? Location::Step::kSrvTcp
                                                      : Location::Step::kSrvTls;
}

void Locator::TakeSrv(Location& location, std::span<const net::DnsRecord> records) {
  using Step = Location::Step;
  const TransportKind transport = location.step == Step::kSrvUdp   ? TransportKind::kUdp
                                  : location.step == Step::kSrvTcp ? TransportKind::kTcp
                                  : location.step == Step::kSrvTls ? TransportKind::kTls
                                                                   : location.transport;
  const auto fallback_name = location.servers[0].name;
  for (const net::DnsRecord& record : records) {
    if (record.type != net::DnsType::kSrv || location.server_count == kSrvRecordMax) {
      continue;
    }
    Location::Server& server = location.servers[location.server_count];
    // RFC 2782: a target of "." means that the service is not there.
    if (record.target.empty() || record.target == "." || !server.name.Set(record.target)) {
      continue;
    }
    server.priority = record.priority;
    server.weight = record.weight;
    server.port = record.port;
    server.transport = transport;
    ++location.server_count;
  }
  if (location.server_count != 0) {
    SortServers(location);
    location.step = Step::kAddress4;
    return;
  }
  if (location.step == Step::kSrvUdp && HasTransport(TransportKind::kTcp) && records.empty() &&
      location.transport == TransportKind::kUdp) {
    location.step = Step::kSrvTcp;
    return;
  }
  // No SRV at all: the name itself (RFC 3263 4.2).
  location.servers[0].name = location.step == Step::kSrvNamed ? fallback_name : location.name;
  location.servers[0].port = DefaultPort(location.transport);
  location.servers[0].transport = location.transport;
  location.server_count = 1;
  location.step = Step::kAddress4;
}

// By priority; within one priority the order is drawn by weight (RFC 2782).
void Locator::SortServers(Location& location) {
  auto& servers = location.servers;
  for (uint32_t at = 0; at + 1 < location.server_count; ++at) {
    uint16_t lowest = UINT16_MAX;
    for (uint32_t i = at; i < location.server_count; ++i) {
      lowest = std::min(lowest, servers[i].priority);
    }
    uint32_t total = 0;
    for (uint32_t i = at; i < location.server_count; ++i) {
      total += servers[i].priority == lowest ? ShareOf(servers[i].weight) : 0u;
    }
    uint32_t draw = core_.random.Below(total);
    for (uint32_t i = at; i < location.server_count; ++i) {
      if (servers[i].priority != lowest) {
        continue;
      }
      if (draw < ShareOf(servers[i].weight)) {
        std::swap(servers[at], servers[i]);
        break;
      }
      draw -= ShareOf(servers[i].weight);
    }
  }
}

void Locator::TakeAddresses(Location& location, std::span<const net::DnsRecord> records) {
  const Location::Server& server = location.servers[location.server_next];
  for (const net::DnsRecord& record : records) {
    const bool address = record.type == net::DnsType::kA || record.type == net::DnsType::kAaaa;
    if (address && location.hop_count < kEndpointMax) {
      location.hops[location.hop_count++] = {
          server.transport,
          {record.address, server.port != 0 ? server.port : DefaultPort(server.transport)}};
    }
  }
  if (location.step == Location::Step::kAddress4) {
    location.step = Location::Step::kAddress6;
    return;
  }
  location.step = Location::Step::kAddress4;
  ++location.server_next;
}

}  // namespace gh::sip
