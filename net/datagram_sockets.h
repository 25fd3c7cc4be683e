// DatagramService over the stack: a table of sockets by port number, one look-up a datagram.
//
// Unfragmented datagrams never enter lwIP on their way in; on their way out lwIP resolves the
// neighbour and fragments. Reassembled ones come through a udp_pcb per socket; those that no socket
// is for, through one raw_pcb, are offered to the taps.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hal/frame.h"
#include "net/datagram.h"
#include "net/packet.h"
#include "net/stack.h"

struct ip_addr;
struct netif_hint;
struct pbuf;
struct raw_pcb;
struct udp_pcb;

namespace gh::net {

class DatagramSockets final : public DatagramService {
 public:
  DatagramSockets(Stack& stack, Arena& arena, uint32_t socket_count);

  Result<SocketId> OpenDatagram(const Endpoint& local, DatagramHandler& handler) override;
  void CloseDatagram(SocketId socket) override;
  Result<void> SendDatagram(SocketId socket, const Endpoint& to, std::span<const uint8_t> data,
                            const IpAddress& from) override;

  // From an address and port nobody listens on: what the media plane sends by way of lwIP, so that
  // the neighbour is asked for. kTooLarge: more than kDatagramSizeMax.
  Result<void> SendUnbound(const Endpoint& from, const Endpoint& to, std::span<const uint8_t> data,
                           uint8_t traffic_class);

  // A whole datagram to one of the port's addresses; the frame is consumed.
  void Input(Stack::Port& port, hal::Frame* frame, const PacketView& view);
  // A fragment; what lwIP has put together with it is handed over, outside lwIP. Consumes the
  // frame.
  void InputFragment(Stack::Port& port, hal::Frame* frame);
  bool IsOpen(const Endpoint& local) const;

  uint64_t received_count() const { return received_count_; }
  uint64_t sent_count() const { return sent_count_; }

 private:
  friend struct StackHooks;
  static constexpr uint16_t kNone = UINT16_MAX;

  struct Socket {
    DatagramHandler* handler = nullptr;  // null: free
    Endpoint local;
    udp_pcb* pcb = nullptr;
    bool reply_only = false;  // an ephemeral port: only those we wrote to are heard
    uint8_t peer_next = 0;
    uint16_t next_same_port = kNone;
    std::array<Endpoint, kReplyPeerMax> peers = {};
  };

  Socket* Find(uint16_t port, const IpAddress& local);
  const Socket* Find(uint16_t port, const IpAddress& local) const {
    return const_cast<DatagramSockets*>(this)->Find(port, local);
  }
  bool HasHeard(const Socket& socket, const Endpoint& remote) const;
  void Remember(Socket& socket, const Endpoint& remote);
  uint16_t EphemeralPort() const;
  Result<void> OpenPcb(Socket& socket);
  void DeliverReassembled();
  static uint8_t OnRaw(void* self, raw_pcb* pcb, ::pbuf* p, const ::ip_addr* source);
  static void OnReassembled(void* socket, udp_pcb* pcb, ::pbuf* p, const ::ip_addr* source,
                            uint16_t source_port);
  Result<void> SendPacket(::netif* netif, const Endpoint& from, ::netif_hint* hints,
                          const Endpoint& to, std::span<const uint8_t> data,
                          uint8_t traffic_class);
  // Room for a packet of so many bytes behind the IP header; null: none.
  ::pbuf* MakePacket(uint32_t size);

  Stack& stack_;
  std::span<Socket> sockets_;
  std::span<uint16_t> by_port_;  // first socket of a port number, or kNone
  std::span<uint8_t> reassembled_;
  uint32_t reassembled_size_ = 0;
  Socket* reassembled_socket_ = nullptr;
  bool is_reassembled_for_taps_ = false;
  bool in_fragment_ = false;  // lwIP has one in hand
  DatagramInfo reassembled_info_;
  uint64_t received_count_ = 0;
  uint64_t sent_count_ = 0;
};

}  // namespace gh::net
