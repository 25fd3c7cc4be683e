// DatagramService over DTLS 1.2: an engine sends and hears plain datagrams, and does not see the
// sessions between it and its peers.
//
// A peer costs nothing before it has proved its address: its first hello is answered by a cookie
// (RFC 6347 section 4.2.1), and whatever was taken for that is given back. Only peers begin
// sessions. A session that has been silent both ways for kDtlsIdleSeconds is dropped; when one more
// has proved itself than there are places, the one that has been silent the longest gives way: a
// hello alone takes nobody's place. Handshakes are bounded in number and time, as those of streams
// are. Sending to a peer without a session is kUnreachable.
#pragma once

#include <algorithm>
#include <array>

#include "crypto/tls_endpoint.h"
#include "crypto/tls_session.h"
#include "hal/rt/arena.h"
#include "hal/rt/event_loop.h"
#include "hal/rt/hash_table.h"
#include "hal/rt/heap.h"
#include "hal/rt/list.h"
#include "hal/rt/pool.h"
#include "net/datagram.h"
#include "net/limits.h"

namespace gh::net {

struct DtlsCounts {
  uint64_t accepted = 0;
  uint64_t cookies = 0;  // hellos answered by one
  uint64_t refused = 0;  // no place, or too many handshakes
  uint64_t failed = 0;
};

// Told when a session that was open has ended; not when all end with their socket.
class DtlsObserver {
 public:
  virtual void OnDtlsClosed(const DatagramInfo& info) = 0;

 protected:
  ~DtlsObserver() = default;
};

class DtlsService final : public DatagramService, private DatagramHandler {
 public:
  struct Parts {
    DatagramService& lower;
    EventLoop& loop;
    Arena& arena;
    crypto::Random& random;
    hal::Clock& clock;
  };
  DtlsService(const Parts& parts, uint32_t session_count, uint32_t handshake_count);
  DtlsService(const DtlsService&) = delete;
  DtlsService& operator=(const DtlsService&) = delete;
  ~DtlsService();

  // The endpoint is of this environment, a server of datagrams.
  crypto::TlsEnvironment& environment() { return environment_; }
  void SetEndpoint(crypto::TlsEndpoint& endpoint) { endpoint_ = &endpoint; }
  void SetObserver(DtlsObserver& observer) { observer_ = &observer; }
  static uint64_t ArenaBytes(uint32_t session_count, uint32_t handshake_count);

  // Up to kDtlsSocketMax sockets, all of one handler.
  Result<SocketId> OpenDatagram(const Endpoint& local, DatagramHandler& handler) override;
  void CloseDatagram(SocketId socket) override;
  Result<void> SendDatagram(SocketId socket, const Endpoint& to, std::span<const uint8_t> data,
                            const IpAddress& from = {}) override;

  const DtlsCounts& counts() const { return counts_; }
  uint32_t session_count() const { return peers_.used_count(); }
  uint32_t session_capacity() const { return session_max_; }
  uint32_t handshake_count() const { return handshake_count_; }

 private:
  struct Peer final : crypto::TlsWire {
    size_t OnTlsOutput(std::span<const uint8_t> bytes) override;
    void OnTlsReady() override;
    void OnTimer() { owner->OnPeerTimer(*this); }

    DtlsService* owner = nullptr;
    DatagramInfo info;
    crypto::TlsSession session;
    Instant last_used;
    Instant began;
    bool was_open = false;
    Timer timer;
    HashNode node;
    ListNode use_node;
  };
  struct PeerKey {
    SocketId socket;
    Endpoint remote;
    friend bool operator==(const PeerKey&, const PeerKey&) = default;
  };
  struct PeerTraits {
    using Key = PeerKey;
    static Key KeyOf(const Peer& peer) { return {peer.info.socket, peer.info.remote}; }
    static uint64_t HashOf(const SipKey& sip, const Key& key) {
      std::array<uint8_t, 20> bytes;
      std::copy(key.remote.address.bytes.begin(), key.remote.address.bytes.end(), bytes.begin());
      bytes[16] = static_cast<uint8_t>(key.remote.port >> 8);
      bytes[17] = static_cast<uint8_t>(key.remote.port);
      bytes[18] = static_cast<uint8_t>(key.socket.value >> 8);
      bytes[19] = static_cast<uint8_t>(key.socket.value);
      return SipHash13(sip, bytes);
    }
  };

  void OnDatagram(const DatagramInfo& info, std::span<uint8_t> data) override;
  Peer* NewPeer(const DatagramInfo& info);
  void Take(Peer& peer, std::span<const uint8_t> data);
  void OnPeerTimer(Peer& peer);
  void ArmTimer(Peer& peer);
  void OnOpened(Peer& peer);
  void Touch(Peer& peer);
  void Drop(Peer& peer);
  void DropAll(SocketId socket);

  DatagramService& lower_;
  EventLoop& loop_;
  Heap heap_;
  crypto::TlsEnvironment environment_;
  Pool<Peer> peers_;
  HashTable<Peer, &Peer::node, PeerTraits> table_;
  List<Peer, &Peer::use_node> by_use_;      // open; silent the longest first
  List<Peer, &Peer::use_node> handshakes_;  // the oldest first
  std::span<uint8_t> scratch_;
  crypto::TlsEndpoint* endpoint_ = nullptr;
  DatagramHandler* handler_ = nullptr;
  DtlsObserver* observer_ = nullptr;
  uint32_t socket_count_ = 0;
  uint32_t handshake_count_ = 0;
  uint32_t session_max_ = 0;
  uint32_t handshake_max_ = 0;
  DtlsCounts counts_;
};

}  // namespace gh::net
