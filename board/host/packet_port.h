// Ethernet over AF_PACKET on an existing interface (a veth end, a NIC). Packets
// come by a ring the kernel fills (TPACKET_V2), without a system call while
// there are any, and leave by sendmmsg in batches, past the queueing
// discipline. A packet larger than a ring slot (a local sender's TCP segments)
// waits in the socket and is cut. A frame says when the kernel put it into the
// ring. The ring's contents are the kernel's: trusted
// as far as offsets within a slot, which are checked all the same.
#pragma once

#include <linux/if_packet.h>
#include <sys/socket.h>

#include <array>

#include "board/host/idle.h"
#include "board/host/interface.h"
#include "board/host/offload.h"
#include "board/host/options.h"
#include "hal/ethernet_port.h"

namespace gh::board {

// A packet socket bound to `options.interface`; held by the supervisor across
// restarts.
Result<int> OpenPacket(const PortOptions& options);

class PacketPort final : public hal::EthernetPort, public PollSource {
 public:
  PacketPort(int fd, uint8_t port_index, hal::FramePool& pool, Arena& arena);
  Result<void> Start(const PortOptions& options, hal::Clock& clock);

  uint32_t Receive(std::span<hal::Frame*> out) override;
  void Transmit(std::span<hal::Frame* const> frames) override;
  void Flush() override;
  hal::MacAddress mac() const override { return mac_; }
  uint16_t mtu() const override { return link_.mtu(); }
  bool link_up() const override { return link_.up(); }
  bool can_fill_checksum() const override { return true; }
  hal::EthernetCounters counters() const override { return counters_; }
  const char* driver() const override { return "af_packet"; }
  void SetFrames(hal::FramePool& frames) override { pool_ = &frames; }
  int poll_fd() const override { return fd_; }
  int16_t poll_events() const override;
  bool has_pending() const override { return pending_ != nullptr || SlotIsFull(); }
  std::optional<uint64_t> arrivals() const override { return counters_.rx_frames; }

 private:
  tpacket2_hdr* SlotAt(uint32_t index) const {
    return reinterpret_cast<tpacket2_hdr*>(ring_ + size_t{index} * kRingSlotBytes);
  }
  bool SlotIsFull() const;
  uint32_t TakePending(std::span<hal::Frame*> out);
  void Accept(const tpacket2_hdr& slot);
  void AcceptOversized(const tpacket2_hdr& slot);
  void Cut(std::span<const uint8_t> packet, const VirtioNetHeader& header,
           const tpacket2_hdr& slot);
  bool IsForUs(const uint8_t* packet) const;
  Instant ArrivalOf(const tpacket2_hdr& slot) const;
  // Of a packet of `slot`, which says the VLAN that the kernel has taken out of
  // it.
  void Append(hal::Frame* frame, const tpacket2_hdr& slot);
  static size_t FillParts(std::span<hal::Frame* const> run, VirtioNetHeader& header, iovec* parts);
  void Account(std::span<hal::Frame* const> run, bool was_sent);
  void CountLost();

  int fd_;
  uint8_t port_index_;
  hal::FramePool* pool_;
  hal::Clock* clock_ = nullptr;
  Instant now_;           // one moment of Receive by our clock,
  int64_t wall_now_ = 0;  // and by the kernel's, in ns
  hal::MacAddress mac_ = {};
  mutable LinkState link_;
  hal::EthernetCounters counters_;
  uint8_t* ring_ = nullptr;
  uint32_t ring_at_ = 0;           // the slot the kernel fills next
  std::span<uint8_t> overflow_;    // one oversized packet
  hal::Frame* pending_ = nullptr;  // accepted, not yet asked for; in order of arrival
  hal::Frame** pending_tail_ = &pending_;
  std::array<hal::Frame*, kPacketBatchMax> queue_ = {};  // to be sent at Flush
  uint32_t queue_count_ = 0;
  bool joins_udp_ = false;  // the interface takes a flow's datagrams as one packet
};

}  // namespace gh::board
