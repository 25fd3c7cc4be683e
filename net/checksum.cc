#include "net/checksum.h"

#include <bit>
#include <cstring>

namespace gh::net {
namespace {

static_assert(std::endian::native == std::endian::little);

inline uint64_t Load64(const uint8_t* p) {
  uint64_t v;
  std::memcpy(&v, p, 8);
  return v;
}

inline uint64_t Add(uint64_t sum, uint64_t v) {
  sum += v;
  return sum + (sum < v);  // end-around carry
}

}  // namespace

uint16_t ChecksumSum(std::span<const uint8_t> bytes, uint32_t start) {
  uint64_t a = start;
  uint64_t b = 0;
  const uint8_t* p = bytes.data();
  size_t left = bytes.size();
  for (; left >= 32; left -= 32, p += 32) {
    a = Add(a, Load64(p));
    b = Add(b, Load64(p + 8));
    a = Add(a, Load64(p + 16));
    b = Add(b, Load64(p + 24));
  }
  for (; left >= 8; left -= 8, p += 8) {
    a = Add(a, Load64(p));
  }
  if (left > 0) {
    uint64_t tail = 0;
    std::memcpy(&tail, p, left);
    b = Add(b, tail);
  }
  a = Add(a, b);
  a = (a & 0xffffffff) + (a >> 32);
  a = (a & 0xffffffff) + (a >> 32);
  return static_cast<uint16_t>(FoldSum(static_cast<uint32_t>((a & 0xffff) + (a >> 16))));
}

uint16_t PseudoHeaderSum(std::span<const uint8_t> address_bytes, uint8_t protocol, uint32_t size) {
  // Protocol and length as they lie in memory, big-endian.
  const uint32_t start = static_cast<uint32_t>(protocol) << 8;
  const uint32_t length_sum = static_cast<uint32_t>(std::byteswap(static_cast<uint16_t>(size))) +
                              std::byteswap(static_cast<uint16_t>(size >> 16));
  return ChecksumSum(address_bytes, FoldSum(start + length_sum));
}

bool UdpChecksumIsGood(const hal::Frame& frame, const PacketView& view) {
  const uint8_t* bytes = frame.data();
  if (!view.is_v6 && ChecksumSum({bytes + view.l3, 20}) != 0xffff) {
    return false;
  }
  if ((frame.flags & hal::kFrameChecksumGood) != 0) {
    return true;
  }
  const uint8_t* udp = bytes + view.l4;
  if (udp[6] == 0 && udp[7] == 0) {
    return !view.is_v6;  // "no checksum" exists in IPv4 only
  }
  const auto addresses =
      view.is_v6 ? std::span(bytes + view.l3 + 8, 32) : std::span(bytes + view.l3 + 12, 8);
  const uint16_t start = PseudoHeaderSum(addresses, kProtocolUdp, view.l4_size);
  return ChecksumSum({udp, view.l4_size}, start) == 0xffff;
}

}  // namespace gh::net
