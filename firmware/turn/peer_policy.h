// Whom a relay may talk to: one predicate for permissions, channels and every datagram that leaves.
//
// Refused whatever the lists say: unspecified, loopback, link-local, multicast, broadcast, our own
// addresses and networks, and IPv6 addresses that only wrap an IPv4 one (mapped, compatible). Then
// the deny list, then the allow list, then the default: everything that is not globally routable,
// and the tunnels that hide an IPv4 address (6to4, NAT64, Teredo, ISATAP), is refused. Our own
// relay addresses are welcome, so that two clients of ours may meet.
#pragma once

#include "firmware/turn/config.h"

namespace gh::turn {

class PeerPolicy {
 public:
  explicit PeerPolicy(const Config& config) : config_(config) {}
  bool Allows(const net::IpAddress& peer) const;
  // The relay address of ours that `peer` names, by its own or its shown address; null: another's.
  const net::IpAddress* OwnRelay(const net::IpAddress& peer) const;

 private:
  const Config& config_;
};

}  // namespace gh::turn
