// How much a Stack can hold; everything is carved from the arena at construction.
#pragma once

#include <cstdint>

namespace gh::net {

struct Capacity {
  uint32_t connection_count = 1000;  // open TCP connections, all listeners together
  uint32_t time_wait_count = 250;    // closed connections still remembered, on top of those
  uint32_t datagram_socket_count = 64;
  uint32_t half_open_count = 256;         // beyond it, SYNs are answered with cookies
  uint32_t source_connection_max = 1000;  // connections from one address (IPv6: one /64)
  // Segments queued for sending or held out of order, and the bytes behind what is queued.
  uint32_t segment_count = 4096;
  uint64_t buffer_bytes = 4 * 1024 * 1024;
  uint32_t tls_session_count = 250;   // of the connections, how many may speak TLS
  uint32_t tls_handshake_count = 16;  // of those, how many may be in their handshake
  uint32_t dns_query_count = 256;
  uint32_t dns_cache_count = 1024;

  // A machine that keeps `connections` open, most of them silent.
  static constexpr Capacity For(uint32_t connections) {
    Capacity c;
    c.connection_count = connections;
    c.time_wait_count = connections / 4 < 64 ? 64 : connections / 4;
    c.half_open_count = connections / 8 < 64 ? 64 : connections / 8 > 4096 ? 4096 : connections / 8;
    c.segment_count = connections * 2 < 1024 ? 1024 : connections * 2;
    c.buffer_bytes =
        uint64_t{connections} * 1536 < 2097152 ? 2097152 : uint64_t{connections} * 1536;
    c.source_connection_max = connections;
    c.tls_session_count = connections;
    c.tls_handshake_count = connections / 16 < 16    ? 16
                            : connections / 16 > 512 ? 512
                                                     : connections / 16;
    return c;
  }
};

}  // namespace gh::net
