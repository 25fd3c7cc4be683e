#include "board/pc/virtio_net.h"

#include <algorithm>
#include <cstring>

#include "board/pc/interrupts.h"

namespace gh::pc {
namespace {

constexpr uint64_t kFeatureChecksum = 1ull << 0;       // device fills checksums we leave partial
constexpr uint64_t kFeatureGuestChecksum = 1ull << 1;  // we accept partial checksums
constexpr uint64_t kFeatureMtu = 1ull << 3;
constexpr uint64_t kFeatureMac = 1ull << 5;
constexpr uint64_t kFeatureStatus = 1ull << 16;

constexpr uint32_t kConfigMac = 0;
constexpr uint32_t kConfigStatus = 6;
constexpr uint32_t kConfigMtu = 10;
constexpr uint16_t kStatusLinkUp = 1;

constexpr uint16_t kReceiveQueue = 0;
constexpr uint16_t kTransmitQueue = 1;
constexpr uint32_t kEthernetHeaderSize = 14;
constexpr uint32_t kFrameSizeMin = kEthernetHeaderSize;

struct Header {
  uint8_t flags;
  uint8_t segmentation;
  uint16_t header_size;
  uint16_t segment_size;
  uint16_t checksum_start;
  uint16_t checksum_offset;
  uint16_t buffer_count;
};
static_assert(sizeof(Header) == 12);
static_assert(sizeof(Header) <= hal::kFrameHeadroom);
constexpr uint8_t kNeedsChecksum = 1;
constexpr uint8_t kDataValid = 2;

}  // namespace

Result<void> VirtioNet::Initialise(Arena& arena, PageTables& pages, const Pci& pci,
                                   const PciDevice& device, uint8_t queue_vector,
                                   uint8_t config_vector) {
  constexpr uint64_t kWanted =
      kFeatureChecksum | kFeatureGuestChecksum | kFeatureMtu | kFeatureMac | kFeatureStatus;
  GH_TRY(transport_.Initialise(pages, pci, device, kWanted, queue_vector, config_vector));
  if (!transport_.has(kFeatureMac)) {
    return Error(ErrorCode::kUnsupported, "virtio-net without a MAC address");
  }
  GH_TRY(transport_.InitialiseQueue(arena, kReceiveQueue, kVirtqueueSizeMax, receive_));
  GH_TRY(transport_.InitialiseQueue(arena, kTransmitQueue, kVirtqueueSizeMax, transmit_));
  for (uint32_t i = 0; i < mac_.size(); ++i) {
    mac_[i] = transport_.Config8(kConfigMac + i);
  }
  if (transport_.has(kFeatureMtu)) {
    mtu_ = std::clamp<uint16_t>(transport_.Config16(kConfigMtu), 68, 1500);
  }
  can_fill_checksum_ = transport_.has(kFeatureChecksum);
  has_status_ = transport_.has(kFeatureStatus);
  config_index_ = static_cast<uint8_t>(config_vector - kVectorDevice);
  transport_.Start();
  ReadLink();
  Refill();
  return Ok();
}

void VirtioNet::ReadLink() {
  link_up_ = !has_status_ || (transport_.Config16(kConfigStatus) & kStatusLinkUp) != 0;
}

// Gives the device as many empty frames as it has room for.
void VirtioNet::Refill() {
  while (receive_.free_count() != 0) {
    hal::Frame* frame = frames_->Allocate();
    if (frame == nullptr) {
      break;
    }
    frame->start = hal::kFrameHeadroom;
    const uint32_t at = hal::kFrameHeadroom - sizeof(Header);
    const VirtqueueBuffer buffer = {frame->buffer + at, hal::kFrameBufferSize - at, true};
    uint16_t head = 0;
    if (!receive_.Add({&buffer, 1}, head)) {
      frames_->Release(frame);
      break;
    }
    receive_frames_[head] = frame;
  }
  receive_.Publish();
}

bool VirtioNet::Accept(hal::Frame& frame, uint32_t written) {
  if (written < sizeof(Header) + kFrameSizeMin) {
    return false;
  }
  Header header;
  std::memcpy(&header, frame.data() - sizeof(Header), sizeof(Header));
  frame.size = static_cast<uint16_t>(written - sizeof(Header));
  frame.port_index = port_index_;
  frame.flags = 0;
  if ((header.flags & kNeedsChecksum) != 0) {
    const uint32_t field = uint32_t{header.checksum_start} + header.checksum_offset;
    if (field + 2 > frame.size) {
      return false;
    }
    frame.flags = hal::kFrameChecksumGood | hal::kFrameChecksumPartial;
    frame.checksum_start = header.checksum_start;
    frame.checksum_offset = header.checksum_offset;
  } else if ((header.flags & kDataValid) != 0) {
    frame.flags = hal::kFrameChecksumGood;
  }
  return true;
}

uint32_t VirtioNet::Receive(std::span<hal::Frame*> out) {
  const uint64_t changes = interrupt_counts().device[config_index_];
  if (changes != config_changes_seen_) {
    config_changes_seen_ = changes;
    ReadLink();
  }
  uint32_t count = 0;
  VirtqueueUsed used;
  while (count < out.size() && receive_.Take(used)) {
    hal::Frame* frame = receive_frames_[used.head];
    receive_frames_[used.head] = nullptr;
    GH_ASSERT(frame != nullptr);
    if (!Accept(*frame, used.written)) {
      ++counters_.rx_dropped;
      frames_->Release(frame);
      continue;
    }
    ++counters_.rx_frames;
    counters_.rx_bytes += frame->size;
    out[count++] = frame;
  }
  // In batches: a doorbell is dear, and a half-full ring is not yet short of buffers.
  if (receive_.free_count() >= receive_.size() / 4 || count < out.size()) {
    Refill();
  }
  return count;
}

// Takes back what the device has sent.
void VirtioNet::Reclaim() {
  VirtqueueUsed used;
  while (transmit_.Take(used)) {
    hal::Frame* frame = transmit_frames_[used.head];
    transmit_frames_[used.head] = nullptr;
    GH_ASSERT(frame != nullptr);
    frames_->Release(frame);
  }
  transmit_.SuppressInterrupts();
}

bool VirtioNet::Queue(hal::Frame& frame) {
  if (!link_up_ || frame.size < kFrameSizeMin) {
    return false;
  }
  if (transmit_.free_count() == 0) {
    Reclaim();
  }
  GH_ASSERT_GE(frame.start, sizeof(Header));
  Header header = {};
  if ((frame.flags & hal::kFrameChecksumPartial) != 0) {
    GH_ASSERT(can_fill_checksum_);
    header.flags = kNeedsChecksum;
    header.checksum_start = frame.checksum_start;
    header.checksum_offset = frame.checksum_offset;
  }
  uint8_t* at = frame.data() - sizeof(Header);
  std::memcpy(at, &header, sizeof(Header));
  const VirtqueueBuffer buffer = {at, static_cast<uint32_t>(frame.size + sizeof(Header)), false};
  uint16_t head = 0;
  if (!transmit_.Add({&buffer, 1}, head)) {
    return false;
  }
  transmit_frames_[head] = &frame;
  return true;
}

void VirtioNet::Transmit(std::span<hal::Frame* const> frames) {
  for (hal::Frame* frame : frames) {
    const uint32_t size = frame->size;
    if (!Queue(*frame)) {
      ++counters_.tx_dropped;
      frames_->Release(frame);
      continue;
    }
    ++counters_.tx_frames;
    counters_.tx_bytes += size;
  }
}

void VirtioNet::Flush() {
  transmit_.Publish();
  Reclaim();
}

bool VirtioNet::ArmInterrupt() { return receive_.ArmInterrupt(); }

}  // namespace gh::pc
