// Conversions between our types and lwIP's, and pbufs that live in frames. Inside net/ only.
#pragma once

#include <bit>
#include <cstring>

#include "hal/frame.h"
#include "net/address.h"
#include "net/limits.h"

extern "C" {
#include "lwip/ip_addr.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
}

namespace gh::net {

inline ip4_addr_t ToLwip4(const IpAddress& a) {
  ip4_addr_t out;
  std::memcpy(&out.addr, a.bytes.data(), 4);
  return out;
}
inline ip6_addr_t ToLwip6(const IpAddress& a) {
  ip6_addr_t out = {};
  std::memcpy(out.addr, a.bytes.data(), 16);
  return out;
}
inline ip_addr_t ToLwip(const IpAddress& a) {
  ip_addr_t out = {};
  if (a.is_v6()) {
    out.u_addr.ip6 = ToLwip6(a);
    out.type = IPADDR_TYPE_V6;
  } else {
    out.u_addr.ip4 = ToLwip4(a);
    out.type = IPADDR_TYPE_V4;
  }
  return out;
}
inline IpAddress FromLwip4(const ip4_addr_t& a) {
  IpAddress out;
  std::memcpy(out.bytes.data(), &a.addr, 4);
  out.family = IpFamily::kIpv4;
  return out;
}
inline IpAddress FromLwip6(const ip6_addr_t& a) {
  IpAddress out;
  std::memcpy(out.bytes.data(), a.addr, 16);
  out.family = IpFamily::kIpv6;
  return out;
}
inline IpAddress FromLwip(const ip_addr_t& a) {
  return a.type == IPADDR_TYPE_V6 ? FromLwip6(a.u_addr.ip6) : FromLwip4(a.u_addr.ip4);
}

// A pbuf in the first bytes of its frame's buffer: no allocation, no copy. The frame goes back to
// its pool with the last reference, unless LinkOutput has taken it for transmission before.
struct FramePbuf {
  pbuf_custom custom;
  hal::Frame* frame;
  hal::FramePool* pool;

  // `start` and `size` within the buffer; start >= kPbufRoom.
  static FramePbuf* Make(hal::FramePool& pool, hal::Frame* frame, uint32_t start, uint32_t size);
  static FramePbuf* Of(pbuf* p);  // null when `p` is another kind
};
static_assert(sizeof(FramePbuf) <= kPbufRoom);

}  // namespace gh::net
