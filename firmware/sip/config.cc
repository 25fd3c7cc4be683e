#include "firmware/sip/config.h"

#include <algorithm>

#include "firmware/sip/text.h"

namespace gh::sip {

std::string_view TransportName(TransportKind kind) {
  switch (kind) {
    case TransportKind::kUdp:
      return "UDP";
    case TransportKind::kTcp:
      return "TCP";
    case TransportKind::kTls:
      return "TLS";
    case TransportKind::kWs:
      return "WS";
    case TransportKind::kWss:
      return "WSS";
  }
  return "UDP";
}

// One's own number, or that of the service above it (RFC 5031 4.2): sos.fire, then sos.
std::string_view Config::EmergencyOf(std::string_view service) const {
  while (!service.empty()) {
    for (uint32_t i = 0; i < emergency_count; ++i) {
      if (EqualsNoCase(emergency_service[i].view(), service)) {
        return emergency[i].view();
      }
    }
    const size_t dot = service.rfind('.');
    service = service.substr(0, dot == std::string_view::npos ? 0 : dot);
  }
  return {};
}

Capacity Capacity::For(uint32_t registrations, uint32_t streams, uint32_t calls,
                       uint32_t call_setups_per_s) {
  Capacity c;
  const uint32_t rate = std::max(call_setups_per_s, 4u);
  c.bindings = registrations;
  c.binding_overflows = registrations / 8 + 16;
  c.users = registrations;
  // A finished transaction is remembered for 32 s (64*T1); a call is two transactions on each side.
  c.server_transactions = rate * 2 * 34;
  c.client_transactions = rate * 2 * 34;
  c.proxies = rate * 40;  // calls that ring, up to 40 s on average
  c.resolutions = std::max(rate, 64u);
  c.streams = streams;
  c.calls = calls;
  c.presentities = registrations / 8 + 32;
  c.publications = registrations / 16 + 16;
  c.publication_overflows = c.publications / 16 + 4;
  c.subscriptions = registrations / 8 + 32;
  // A ringing call holds its request on both sides and a response; a finished BYE its response.
  c.buffers = {rate * 34 + 64, rate * 60 + 128, rate * 100 + 128, rate * 4 + 32,
               std::max(rate / 8, 8u)};
  return c;
}

}  // namespace gh::sip
