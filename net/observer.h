// What the stack reports; the appliance turns these into log events. Called from the event loop.
#pragma once

#include <cstdint>

#include "hal/ethernet_port.h"
#include "net/address.h"

namespace gh::net {

enum class AddressSource : uint8_t { kStatic, kDhcp, kSlaac, kLinkLocal };

enum class DropReason : uint8_t {
  kMalformed,      // does not parse
  kNotForUs,       // destination is no address of this port
  kBadSource,      // multicast, loopback, unspecified or own source
  kProtocol,       // not ARP, IP, or a transport we speak
  kClosedPort,     // no service configured there
  kNoConnection,   // TCP segment of no known connection
  kNotAReply,      // datagram from a peer a reply-only socket did not ask
  kFragment,       // fragments of what must not be fragmented
  kIcmp,           // ICMP type not needed, or quoting nothing of ours
  kRateLimited,    // a token bucket was empty
  kSourceLimit,    // too many connections from one source
  kListenerLimit,  // too many connections on one listener
  kBadChecksum,
  kNoResource,  // a pool was empty
  kFiltered,    // a filter rule drops it
  kRejected,    // a filter rule refuses it, and its sender is told
  kBlocked,     // its sender is blocked for a while
  kCount
};
const char* DropReasonName(DropReason reason);

class Observer {
 public:
  virtual void OnLink(uint8_t /*port_index*/, bool /*up*/) {}
  virtual void OnAddressAcquired(uint8_t /*port_index*/, const IpAddress&, AddressSource) {}
  virtual void OnAddressLost(uint8_t /*port_index*/, const IpAddress&) {}
  // Another machine uses our address.
  virtual void OnAddressConflict(uint8_t /*port_index*/, const IpAddress&) {}
  // At most one a second: `count` drops since the last report, the latest from `source`.
  virtual void OnDrops(uint64_t /*count*/, DropReason, const Endpoint& /*source*/,
                       const Endpoint& /*destination*/) {}
  virtual void OnServersChanged() {}  // DNS or NTP servers learnt or lost

 protected:
  ~Observer() = default;
};

}  // namespace gh::net
