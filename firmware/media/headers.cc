#include "firmware/media/headers.h"

#include <cstring>

#include "firmware/media/limits.h"
#include "net/checksum.h"
#include "net/packet.h"

namespace gh::media {

using net::StoreBe16;

std::span<const uint8_t> AddressesOf(const uint8_t* ip, bool is_v6) {
  return is_v6 ? std::span(ip + 8, 32) : std::span(ip + 12, 8);
}

void WriteHeaders(const net::NextHop& hop, const net::Endpoint& from, const net::Endpoint& to,
                  const HeaderFields& fields, hal::Frame& frame) {
  const bool is_v6 = to.address.is_v6();
  const auto udp_size = static_cast<uint16_t>(frame.size + kUdpHeaderSize);
  uint8_t* udp = frame.Prepend(kUdpHeaderSize);
  StoreBe16(udp, from.port);
  StoreBe16(udp + 2, to.port);
  StoreBe16(udp + 4, udp_size);
  StoreBe16(udp + 6, 0);
  uint8_t* ip = frame.Prepend(is_v6 ? 40 : 20);
  if (is_v6) {
    ip[0] = static_cast<uint8_t>(0x60 | fields.traffic_class >> 4);
    ip[1] = static_cast<uint8_t>(fields.traffic_class << 4);
    StoreBe16(ip + 2, 0);
    StoreBe16(ip + 4, udp_size);
    ip[6] = net::kProtocolUdp;
    ip[7] = kHopLimit;
    std::memcpy(ip + 8, from.address.bytes.data(), 16);
    std::memcpy(ip + 24, to.address.bytes.data(), 16);
  } else {
    ip[0] = 0x45;
    ip[1] = fields.traffic_class;
    StoreBe16(ip + 2, static_cast<uint16_t>(udp_size + 20));
    StoreBe16(ip + 4, fields.dont_fragment ? 0 : fields.ip_id);
    StoreBe16(ip + 6, fields.dont_fragment ? 0x4000 : 0);
    ip[8] = kHopLimit;
    ip[9] = net::kProtocolUdp;
    StoreBe16(ip + 10, 0);
    std::memcpy(ip + 12, from.address.bytes.data(), 4);
    std::memcpy(ip + 16, to.address.bytes.data(), 4);
    const auto sum = static_cast<uint16_t>(~net::ChecksumSum({ip, 20}));
    std::memcpy(ip + 10, &sum, 2);
  }
  uint8_t* ether = frame.Prepend(net::kEtherHeaderSize);
  std::memcpy(ether, hop.destination.data(), 6);
  std::memcpy(ether + 6, hop.source.data(), 6);
  StoreBe16(ether + 12, is_v6 ? net::kEtherIpv6 : net::kEtherIpv4);
  frame.flags = 0;
}

void FillChecksum(const net::NextHop& hop, hal::Frame& frame, bool is_v6) {
  const uint32_t l4 = net::kEtherHeaderSize + (is_v6 ? 40 : 20);
  uint8_t* udp = frame.data() + l4;
  const uint32_t size = frame.size - l4;
  const uint16_t pseudo = net::PseudoHeaderSum(
      AddressesOf(frame.data() + net::kEtherHeaderSize, is_v6), net::kProtocolUdp, size);
  if (hop.fills_checksum) {
    std::memcpy(udp + 6, &pseudo, 2);
    frame.flags = hal::kFrameChecksumPartial;
    frame.checksum_start = static_cast<uint16_t>(l4);
    frame.checksum_offset = 6;
    return;
  }
  const auto field = static_cast<uint16_t>(~net::ChecksumSum({udp, size}, pseudo));
  const uint16_t value = field == 0 ? 0xffff : field;
  std::memcpy(udp + 6, &value, 2);
}

}  // namespace gh::media
