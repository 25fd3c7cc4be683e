#include "net/packet.h"

#include "net/limits.h"

namespace gh::net {
namespace {

constexpr uint32_t kIpv4HeaderMin = 20;
constexpr uint32_t kIpv6HeaderSize = 40;
constexpr uint32_t kTcpHeaderMin = 20;
constexpr uint32_t kUdpHeaderSize = 8;
constexpr uint32_t kIcmpHeaderMin = 4;

Result<void> ParseTcp(std::span<const uint8_t> l4, PacketView& view) {
  if (l4.size() < kTcpHeaderMin) {
    return ErrorCode::kMalformed;
  }
  view.tcp_header_size = static_cast<uint8_t>((l4[12] >> 4) * 4);
  view.tcp_flags = l4[13];
  if (view.tcp_header_size < kTcpHeaderMin || view.tcp_header_size > l4.size()) {
    return ErrorCode::kMalformed;
  }
  return Ok();
}

// `l4` is what lies behind the IP headers; `whole` says it is not cut short by quoting.
Result<void> ParseTransport(std::span<const uint8_t> l4, bool whole, PacketView& view) {
  if (view.is_fragment) {
    return Ok();
  }
  if (view.protocol == kProtocolTcp || view.protocol == kProtocolUdp) {
    if (l4.size() < 4) {
      return ErrorCode::kMalformed;
    }
    view.source_port = LoadBe16(&l4[0]);
    view.destination_port = LoadBe16(&l4[2]);
    if (!whole) {
      return Ok();
    }
    if (view.protocol == kProtocolTcp) {
      return ParseTcp(l4, view);
    }
    if (l4.size() < kUdpHeaderSize || LoadBe16(&l4[4]) < kUdpHeaderSize ||
        LoadBe16(&l4[4]) > l4.size()) {
      return ErrorCode::kMalformed;
    }
    view.l4_size = LoadBe16(&l4[4]);
    return Ok();
  }
  if (view.protocol == (view.is_v6 ? kProtocolIcmpv6 : kProtocolIcmp)) {
    if (l4.size() < kIcmpHeaderMin) {
      return ErrorCode::kMalformed;
    }
    view.icmp_type = l4[0];
    view.icmp_code = l4[1];
    return Ok();
  }
  return ErrorCode::kUnsupported;
}

Result<void> ParseIpv4(std::span<const uint8_t> packet, bool whole, PacketView& view) {
  if (packet.size() < kIpv4HeaderMin || packet[0] >> 4 != 4) {
    return ErrorCode::kMalformed;
  }
  const uint32_t header_size = (packet[0] & 0xf) * 4u;
  const uint32_t total_size = LoadBe16(&packet[2]);
  if (header_size < kIpv4HeaderMin || total_size < header_size || header_size > packet.size() ||
      (whole && total_size > packet.size())) {
    return ErrorCode::kMalformed;
  }
  if (header_size != kIpv4HeaderMin) {
    return ErrorCode::kUnsupported;  // IP options serve no purpose of ours
  }
  view.protocol = packet[9];
  view.hop_limit = packet[8];
  view.is_fragment = (LoadBe16(&packet[6]) & 0x3fff) != 0;
  view.l4 = static_cast<uint16_t>(view.l3 + header_size);
  view.l4_size = static_cast<uint16_t>(total_size - header_size);
  const size_t end = whole ? total_size : packet.size();
  return ParseTransport(packet.subspan(header_size, end - header_size), whole, view);
}

bool IsExtensionHeader(uint8_t next) { return next == 0 || next == 60 || next == 43; }

Result<void> ParseIpv6(std::span<const uint8_t> packet, bool whole, PacketView& view) {
  if (packet.size() < kIpv6HeaderSize || packet[0] >> 4 != 6) {
    return ErrorCode::kMalformed;
  }
  const uint32_t payload_size = LoadBe16(&packet[4]);
  if (whole && kIpv6HeaderSize + payload_size > packet.size()) {
    return ErrorCode::kMalformed;
  }
  const size_t end = whole ? kIpv6HeaderSize + payload_size : packet.size();
  size_t at = kIpv6HeaderSize;
  uint8_t next = packet[6];
  view.hop_limit = packet[7];
  for (uint32_t i = 0; IsExtensionHeader(next) || next == kProtocolFragment; ++i) {
    if (i == kExtensionHeaderMax || next == 43) {
      return ErrorCode::kUnsupported;  // routing headers: RFC 5095 and no use of ours
    }
    if (end - at < 8) {
      return ErrorCode::kMalformed;
    }
    const bool is_fragment_header = next == kProtocolFragment;
    const size_t size = is_fragment_header ? 8 : (packet[at + 1] + size_t{1}) * 8;
    if (size > end - at) {
      return ErrorCode::kMalformed;
    }
    next = packet[at];
    at += size;
    if (is_fragment_header) {
      view.is_fragment = true;
      break;  // what follows is not necessarily the transport header
    }
  }
  view.protocol = next;
  view.l4 = static_cast<uint16_t>(view.l3 + at);
  view.l4_size = static_cast<uint16_t>(end - at);
  return ParseTransport(packet.subspan(at, end - at), whole, view);
}

}  // namespace

IpAddress PacketView::Source(const uint8_t* frame) const {
  const auto bytes = source_bytes(frame);
  return is_v6 ? IpAddress::V6FromBytes(bytes.first<16>())
               : IpAddress::V4FromBytes(bytes.first<4>());
}

IpAddress PacketView::Destination(const uint8_t* frame) const {
  const auto bytes = destination_bytes(frame);
  return is_v6 ? IpAddress::V6FromBytes(bytes.first<16>())
               : IpAddress::V4FromBytes(bytes.first<4>());
}

Result<void> ParsePacket(std::span<const uint8_t> frame, PacketView& view) {
  if (frame.size() < kEtherHeaderSize) {
    return ErrorCode::kMalformed;
  }
  view.ether_type = LoadBe16(&frame[12]);
  view.l3 = kEtherHeaderSize;
  const auto packet = frame.subspan(kEtherHeaderSize);
  if (view.ether_type == kEtherIpv4) {
    return ParseIpv4(packet, true, view);
  }
  if (view.ether_type == kEtherIpv6) {
    view.is_v6 = true;
    return ParseIpv6(packet, true, view);
  }
  return view.ether_type == kEtherArp ? Result<void>() : ErrorCode::kUnsupported;
}

Result<void> ParseQuotedPacket(std::span<const uint8_t> packet, bool is_v6, PacketView& view) {
  view.l3 = 0;
  view.is_v6 = is_v6;
  view.ether_type = is_v6 ? kEtherIpv6 : kEtherIpv4;
  return is_v6 ? ParseIpv6(packet, false, view) : ParseIpv4(packet, false, view);
}

}  // namespace gh::net
