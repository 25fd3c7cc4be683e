// SYN cookies: a connection request remembered by the peer instead of by us.
//
// The initial sequence number holds a slow clock (5 bits), an index of the peer's segment size
// (3 bits) and 24 bits of a keyed hash over addresses, ports, clock and the peer's number. Valid
// for one to two clock steps of 64 s. Window scaling and SACK of such a connection are lost.
#pragma once

#include <cstdint>
#include <optional>

#include "hal/rt/siphash.h"
#include "hal/rt/time.h"
#include "net/address.h"

namespace gh::net {

class SynCookies {
 public:
  explicit SynCookies(const SipKey& key) : key_(key) {}

  uint32_t Make(const Endpoint& local, const Endpoint& remote, uint32_t peer_sequence,
                uint16_t segment_size, Instant now) const;
  // The segment size the cookie carries, if `cookie` is one of ours and fresh.
  std::optional<uint16_t> Check(const Endpoint& local, const Endpoint& remote,
                                uint32_t peer_sequence, uint32_t cookie, Instant now) const;

 private:
  uint32_t Hash(const Endpoint& local, const Endpoint& remote, uint32_t peer_sequence,
                uint32_t clock_and_size) const;
  SipKey key_;
};

}  // namespace gh::net
