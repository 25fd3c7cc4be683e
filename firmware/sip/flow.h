// Where a message came from or goes to: a UDP socket and a peer, or a stream.
#pragma once

#include "firmware/sip/config.h"
#include "net/datagram.h"
#include "net/stream.h"

namespace gh::sip {

struct Flow {
  net::Endpoint remote;
  net::Endpoint local;   // our address on it (UDP: the datagram's destination)
  net::StreamId stream;  // streams only
  net::SocketId socket;  // UDP only
  TransportKind transport = TransportKind::kUdp;
  uint8_t listener = 0;  // index of the listener whose address we put into Via
  bool is_reliable() const { return transport != TransportKind::kUdp; }
  bool is_websocket() const {
    return transport == TransportKind::kWs || transport == TransportKind::kWss;
  }
  // A message ends where its datagram or frame ends; Content-Length may be left out.
  bool has_boundaries() const { return !is_reliable() || is_websocket(); }
};

}  // namespace gh::sip
