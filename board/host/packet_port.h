// Ethernet over AF_PACKET on an existing interface (a veth end, a NIC): recvmmsg and sendmmsg in
// batches, straight into and out of the frame pool, past the queueing discipline.
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

// A packet socket bound to `options.interface`; held by the supervisor across restarts.
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
  int poll_fd() const override { return fd_; }
  int16_t poll_events() const override;
  bool has_pending() const override { return pending_ != nullptr; }

 private:
  // One message of a batch: header, the frame, and room for what does not fit a frame.
  struct Slot {
    hal::Frame* frame = nullptr;
    VirtioNetHeader header = {};
    iovec parts[3] = {};
    alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof(tpacket_auxdata))] = {};
  };

  uint32_t PrepareReceive(uint32_t count);
  uint32_t TakePending(std::span<hal::Frame*> out);
  void Accept(Slot& slot, mmsghdr& message);
  bool IsForUs(const hal::Frame& frame) const;
  void DropOne();
  void Append(hal::Frame* frame);

  int fd_;
  uint8_t port_index_;
  hal::FramePool& pool_;
  hal::MacAddress mac_ = {};
  mutable LinkState link_;
  hal::EthernetCounters counters_;
  std::array<Slot, kPacketBatchMax> slots_ = {};
  std::array<mmsghdr, kPacketBatchMax> messages_ = {};
  std::span<uint8_t> overflow_;    // kGsoBytesMax for each slot
  hal::Frame* pending_ = nullptr;  // accepted, not yet asked for; in order of arrival
  hal::Frame** pending_tail_ = &pending_;
  std::array<hal::Frame*, kPacketBatchMax> queue_ = {};  // to be sent at Flush
  uint32_t queue_count_ = 0;
};

}  // namespace gh::board
