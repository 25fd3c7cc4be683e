#include "net/syn_cookie.h"

#include "hal/rt/bytes.h"

namespace gh::net {
namespace {

constexpr uint16_t kSegmentSizes[8] = {216, 536, 876, 1220, 1360, 1400, 1440, 1460};
constexpr int64_t kClockSeconds = 64;
constexpr uint32_t kClockMask = 31;

uint32_t ClockOf(Instant now) {
  return static_cast<uint32_t>(now.ns / 1'000'000'000 / kClockSeconds) & kClockMask;
}

}  // namespace

uint32_t SynCookies::Hash(const Endpoint& local, const Endpoint& remote, uint32_t peer_sequence,
                          uint32_t clock_and_size) const {
  uint8_t bytes[48];
  ByteWriter out(bytes);
  out.Bytes(local.address.bytes);
  out.Bytes(remote.address.bytes);
  out.U16Be(local.port);
  out.U16Be(remote.port);
  out.U32Be(peer_sequence);
  out.U32Be(clock_and_size);
  return static_cast<uint32_t>(SipHash<2, 4>(key_, out.written())) & 0xffffff;
}

uint32_t SynCookies::Make(const Endpoint& local, const Endpoint& remote, uint32_t peer_sequence,
                          uint16_t segment_size, Instant now) const {
  uint32_t index = 7;
  while (index > 0 && kSegmentSizes[index] > segment_size) {
    --index;
  }
  const uint32_t top = ClockOf(now) << 3 | index;
  return top << 24 | Hash(local, remote, peer_sequence, top);
}

std::optional<uint16_t> SynCookies::Check(const Endpoint& local, const Endpoint& remote,
                                          uint32_t peer_sequence, uint32_t cookie,
                                          Instant now) const {
  const uint32_t top = cookie >> 24;
  const uint32_t age = (ClockOf(now) - (top >> 3)) & kClockMask;
  if (age > 1 || Hash(local, remote, peer_sequence, top) != (cookie & 0xffffff)) {
    return std::nullopt;
  }
  return kSegmentSizes[top & 7];
}

}  // namespace gh::net
