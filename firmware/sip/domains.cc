#include "firmware/sip/domains.h"

namespace gh::sip {
namespace {

bool IsOwnPort(const Config& config, uint16_t port) {
  for (uint32_t i = 0; i < config.listener_count; ++i) {
    if (config.listeners[i].advertise.port == port || config.listeners[i].bind.port == port) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool IsOwnAddress(const Config& config, const Uri& uri) {
  if (uri.address.is_none()) {
    return false;
  }
  const uint16_t standard = uri.scheme == UriScheme::kSips ? uint16_t{5061} : uint16_t{5060};
  const net::Endpoint endpoint{uri.address, uri.port != 0 ? uri.port : standard};
  for (uint32_t i = 0; i < config.listener_count; ++i) {
    if (config.listeners[i].advertise == endpoint || config.listeners[i].bind == endpoint) {
      return true;
    }
  }
  return false;
}

std::optional<uint8_t> DomainOf(const Config& config, const Uri& uri) {
  if (!uri.is_sip()) {
    return std::nullopt;
  }
  if (IsOwnAddress(config, uri)) {
    return uint8_t{0};
  }
  if (uri.port != 0 && !IsOwnPort(config, uri.port)) {
    return std::nullopt;
  }
  for (uint8_t i = 0; i < config.domain_count; ++i) {
    const std::string_view domain = config.domains[i].view();
    if (EqualsNoCase(domain, uri.host) ||
        (!uri.address.is_none() && ParseHostAddress(domain) == uri.address)) {
      return i;
    }
  }
  return std::nullopt;
}

}  // namespace gh::sip
