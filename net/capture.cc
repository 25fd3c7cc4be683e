#include "net/capture.h"

#include <algorithm>
#include <cstring>

#include "hal/rt/bytes.h"
#include "net/packet.h"

namespace gh::net {
namespace {

constexpr uint32_t kSectionHeader = 0x0a0d0d0a;
constexpr uint32_t kByteOrderMagic = 0x1a2b3c4d;
constexpr uint32_t kInterfaceBlock = 1;
constexpr uint32_t kPacketBlock = 6;
constexpr uint16_t kLinkEthernet = 1;
constexpr uint16_t kOptionName = 2;
constexpr uint16_t kOptionFlags = 2;
constexpr uint16_t kOptionResolution = 9;
constexpr uint8_t kNanoseconds = 9;

constexpr uint32_t Padded(uint32_t size) { return (size + 3) & ~3u; }

}  // namespace

bool CaptureFilter::Fits(uint8_t port_index, std::span<const uint8_t> frame) const {
  if ((port_mask >> port_index & 1) == 0) {
    return false;
  }
  if (host.is_none() && port == 0 && protocol == 0) {
    return true;
  }
  PacketView view;
  if (!ParsePacket(frame, view).ok() ||
      (view.ether_type != kEtherIpv4 && view.ether_type != kEtherIpv6)) {
    return false;
  }
  const bool is_icmp = protocol == kProtocolIcmp || protocol == kProtocolIcmpv6;
  const uint8_t wanted = !is_icmp ? protocol : view.is_v6 ? kProtocolIcmpv6 : kProtocolIcmp;
  if (protocol != 0 && view.protocol != wanted) {
    return false;
  }
  if (port != 0 && view.source_port != port && view.destination_port != port) {
    return false;
  }
  return host.is_none() || view.Source(frame.data()) == host ||
         view.Destination(frame.data()) == host;
}

PacketCapture::PacketCapture(Arena& arena, hal::Clock& clock, uint32_t size)
    : clock_(clock), buffer_(arena.NewArray<uint8_t>(size & ~3u)) {
  GH_ASSERT_GE(size, kCaptureSizeMin);
  WriteHeader();
}

// A section, and the LAN ports as its interfaces.
void PacketCapture::WriteHeader() {
  ByteWriter out(header_);
  out.U32Le(kSectionHeader);
  out.U32Le(28);
  out.U32Le(kByteOrderMagic);
  out.U16Le(1);  // version 1.0
  out.U16Le(0);
  out.U64Le(UINT64_MAX);  // section length: not told
  out.U32Le(28);
  for (uint32_t i = 0; i < kPortMax; ++i) {
    constexpr uint32_t kSize = 20 + 8 + 8 + 4;
    out.U32Le(kInterfaceBlock);
    out.U32Le(kSize);
    out.U16Le(kLinkEthernet);
    out.U16Le(0);
    out.U32Le(0);  // no limit of packet size
    out.U16Le(kOptionName);
    out.U16Le(4);
    out.Text("LAN");
    out.Char(static_cast<char>('1' + i));
    out.U16Le(kOptionResolution);
    out.U16Le(1);
    out.U8(kNanoseconds);
    out.U8(0);
    out.U16Le(0);
    out.U32Le(0);  // end of options
    out.U32Le(kSize);
  }
  GH_ASSERT(out.ok());
  header_size_ = static_cast<uint32_t>(out.size());
}

void PacketCapture::Start(const CaptureFilter& filter, uint32_t size_max, WhenFull when_full) {
  filter_ = filter;
  when_full_ = when_full;
  size_max_ = std::clamp(size_max & ~3u, kCaptureSizeMin, static_cast<uint32_t>(buffer_.size()));
  head_ = used_ = 0;
  ++serial_;
  packet_count_ = forgotten_count_ = 0;
  active_ = true;
  filled_ = false;
}

void PacketCapture::Put(std::span<const uint8_t> bytes) {
  const uint32_t at = (head_ + used_) % size_max_;
  const size_t first = std::min<size_t>(bytes.size(), size_max_ - at);
  std::memcpy(buffer_.data() + at, bytes.data(), first);
  std::memcpy(buffer_.data(), bytes.data() + first, bytes.size() - first);
  used_ += static_cast<uint32_t>(bytes.size());
}

void PacketCapture::ForgetOldest() {
  uint32_t size = 0;
  std::memcpy(&size, buffer_.data() + (head_ + 4) % size_max_, 4);
  GH_ASSERT(size > kCaptureBlockOverhead && size <= used_);
  head_ = (head_ + size) % size_max_;
  used_ -= size;
  --packet_count_;
  ++forgotten_count_;
}

void PacketCapture::OnFrame(uint8_t port_index, std::span<const uint8_t> frame,
                            CaptureDirection direction) {
  if (!active_ || port_index >= kPortMax || !filter_.Fits(port_index, frame)) {
    return;
  }
  const auto kept = frame.first(std::min<size_t>(frame.size(), kCaptureFrameMax));
  const auto data_size = static_cast<uint32_t>(kept.size());
  const uint32_t block_size = kCaptureBlockOverhead + Padded(data_size);
  while (used_ + block_size > size_max_) {
    if (when_full_ == WhenFull::kStop) {
      active_ = false;
      filled_ = true;
      return;
    }
    ForgetOldest();
  }
  uint8_t bytes[28];
  ByteWriter head(bytes);
  const auto time = static_cast<uint64_t>(clock_.Wall().unix_ns);
  head.U32Le(kPacketBlock);
  head.U32Le(block_size);
  head.U32Le(port_index);
  head.U32Le(static_cast<uint32_t>(time >> 32));
  head.U32Le(static_cast<uint32_t>(time));
  head.U32Le(data_size);
  head.U32Le(static_cast<uint32_t>(frame.size()));
  uint8_t tail_bytes[3 + 8 + 4 + 4] = {};
  ByteWriter tail(tail_bytes);
  for (uint32_t i = data_size; i < Padded(data_size); ++i) {
    tail.U8(0);
  }
  tail.U16Le(kOptionFlags);
  tail.U16Le(4);
  tail.U32Le(static_cast<uint32_t>(direction));
  tail.U32Le(0);  // end of options
  tail.U32Le(block_size);
  GH_ASSERT(head.ok() && tail.ok());
  Put(head.written());
  Put(kept);
  Put(tail.written());
  ++packet_count_;
}

size_t PacketCapture::Read(uint64_t offset, std::span<uint8_t> out) const {
  size_t done = 0;
  while (done < out.size() && offset < file_size()) {
    std::span<const uint8_t> from;
    if (offset < header_size_) {
      from = std::span(header_).first(header_size_).subspan(offset);
    } else {
      const uint64_t left = offset - header_size_;
      const uint32_t at = static_cast<uint32_t>((head_ + left) % size_max_);
      from = buffer_.subspan(at, std::min<uint64_t>(size_max_ - at, used_ - left));
    }
    const size_t count = std::min(from.size(), out.size() - done);
    std::memcpy(out.data() + done, from.data(), count);
    done += count;
    offset += count;
  }
  return done;
}

}  // namespace gh::net
