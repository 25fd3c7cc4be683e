// Datagrams as an engine sees them (UDP). Implemented by net/ over lwIP, by tests over nothing.
#pragma once

#include <cstdint>
#include <span>

#include "crypto/server_name.h"
#include "hal/rt/result.h"
#include "hal/rt/time.h"
#include "net/address.h"

namespace gh::net {

// A bound socket; small dense numbers, stable while open.
struct SocketId {
  uint16_t value = UINT16_MAX;
  constexpr bool valid() const { return value != UINT16_MAX; }
  friend constexpr bool operator==(SocketId, SocketId) = default;
};

struct DatagramInfo {
  SocketId socket;
  Endpoint remote;
  Endpoint local;          // the destination address of the datagram, for symmetric replies
  uint8_t port_index = 0;  // Ethernet port it arrived on
  crypto::ServerNameMark asked_name = {};  // DTLS: by SNI
};

class DatagramHandler {
 public:
  // `data` is valid during the call and may be modified in place (parsers may).
  virtual void OnDatagram(const DatagramInfo& info, std::span<uint8_t> data) = 0;

 protected:
  ~DatagramHandler() = default;
};

class DatagramService {
 public:
  // Binds `local` (unspecified address: all, of that family; port 0: an ephemeral one).
  virtual Result<SocketId> OpenDatagram(const Endpoint& local, DatagramHandler& handler) = 0;
  virtual void CloseDatagram(SocketId socket) = 0;
  // Sends now or not at all: kExhausted (no buffer), kUnreachable (no route), kTooLarge. `from`
  // chooses the source address on multi-homed machines; unspecified: by route.
  virtual Result<void> SendDatagram(SocketId socket, const Endpoint& to,
                                    std::span<const uint8_t> data, const IpAddress& from = {}) = 0;

 protected:
  ~DatagramService() = default;
};

}  // namespace gh::net
