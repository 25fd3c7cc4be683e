// Packet capture into memory, in pcapng form (draft-ietf-opsawg-pcapng): what Wireshark opens.
//
//   capture.Start({.host = ..., .port = 5060}, 512 * 1024, WhenFull::kStop, now);
//   ... frames pass ...
//   capture.Stop();  capture.Read(0, out);  // the file, at any offset
//
// The buffer is carved at construction; nothing is written elsewhere. A capture that is full stops,
// or lets its oldest packets go. Frames are looked at as they are: received ones before firewall
// and taps, sent ones as they are handed to the device (their checksum may still be for it to
// fill).
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hal/clock.h"
#include "hal/rt/arena.h"
#include "net/address.h"
#include "net/limits.h"

namespace gh::net {

inline constexpr uint32_t kCaptureSizeMin = 4096;
inline constexpr uint32_t kCaptureFrameMax = 2048;
// Headers and trailer of one packet's block: fixed part, flags option, end of options.
inline constexpr uint32_t kCaptureBlockOverhead = 32 + 8 + 4;
static_assert(kCaptureSizeMin > kCaptureFrameMax + kCaptureBlockOverhead + 4);

enum class WhenFull : uint8_t { kStop, kForget };
enum class CaptureDirection : uint8_t { kReceived = 1, kSent = 2 };

// Empty fields fit everything; what is set must all fit.
struct CaptureFilter {
  uint8_t port_mask = 0xff;  // LAN ports
  IpAddress host;            // source or destination
  uint16_t port = 0;         // source or destination, UDP or TCP
  uint8_t protocol = 0;      // IP protocol number; fits either of ICMP and ICMPv6
  bool Fits(uint8_t port_index, std::span<const uint8_t> frame) const;
};

class PacketCapture {
 public:
  // `size` bytes for packets, at least kCaptureSizeMin.
  PacketCapture(Arena& arena, hal::Clock& clock, uint32_t size);
  PacketCapture(const PacketCapture&) = delete;
  PacketCapture& operator=(const PacketCapture&) = delete;

  // Forgets the former capture. `size_max` is cut to what there is.
  void Start(const CaptureFilter& filter, uint32_t size_max, WhenFull when_full);
  void Stop() { active_ = false; }
  bool active() const { return active_; }
  bool filled() const { return filled_; }  // stopped by itself

  void OnFrame(uint8_t port_index, std::span<const uint8_t> frame, CaptureDirection direction);

  uint64_t packet_count() const { return packet_count_; }  // kept
  uint32_t serial() const { return serial_; }              // of captures since construction
  uint64_t forgotten_count() const { return forgotten_count_; }
  uint32_t size_max() const { return size_max_; }
  uint32_t buffer_size() const { return static_cast<uint32_t>(buffer_.size()); }

  // The file: its size, and bytes of it from `offset`; returns how many. Stable while stopped.
  uint64_t file_size() const { return header_size_ + used_; }
  size_t Read(uint64_t offset, std::span<uint8_t> out) const;

 private:
  static constexpr uint32_t kHeaderMax = 28 + kPortMax * 64;
  void WriteHeader();
  void Put(std::span<const uint8_t> bytes);
  void ForgetOldest();

  hal::Clock& clock_;
  std::span<uint8_t> buffer_;
  std::array<uint8_t, kHeaderMax> header_ = {};
  uint32_t header_size_ = 0;
  CaptureFilter filter_;
  WhenFull when_full_ = WhenFull::kStop;
  uint32_t size_max_ = 0;  // a multiple of four: block lengths never lie across the ring's end
  uint32_t head_ = 0;      // oldest byte
  uint32_t serial_ = 0;
  uint32_t used_ = 0;
  uint64_t packet_count_ = 0;
  uint64_t forgotten_count_ = 0;
  bool active_ = false;
  bool filled_ = false;
};

}  // namespace gh::net
