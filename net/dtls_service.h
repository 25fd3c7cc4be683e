// DatagramService over DTLS 1.2: an engine sends and hears plain datagrams, and does not see the
// sessions between it and its peers.
//
// A peer costs nothing before it has proved its address: its first hello is answered by a cookie
// (RFC 6347 section 4.2.1), and whatever was taken for that is given back. Only peers begin
// sessions. A session that has been silent for kDtlsIdleSeconds is dropped; when all places are
// taken, the one that has been silent the longest gives way. Handshakes are bounded in number and
// time, as those of streams are. Sending to a peer without a session is kUnreachable.
#pragma once

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

  // One socket and one handler.
  Result<SocketId> OpenDatagram(const Endpoint& local, DatagramHandler& handler) override;
  void CloseDatagram(SocketId socket) override;
  Result<void> SendDatagram(SocketId socket, const Endpoint& to, std::span<const uint8_t> data,
                            const IpAddress& from = {}) override;

  const DtlsCounts& counts() const { return counts_; }
  uint32_t session_count() const { return peers_.used_count(); }
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
  struct PeerTraits {
    using Key = Endpoint;
    static const Key& KeyOf(const Peer& peer) { return peer.info.remote; }
    static uint64_t HashOf(const SipKey& sip, const Key& key) {
      return SipHash13(sip, key.address.bytes) ^ key.port * uint64_t{0x9e3779b97f4a7c15};
    }
  };

  void OnDatagram(const DatagramInfo& info, std::span<uint8_t> data) override;
  Peer* NewPeer(const DatagramInfo& info);
  void Take(Peer& peer, std::span<const uint8_t> data);
  void OnPeerTimer(Peer& peer);
  void ArmTimer(Peer& peer);
  void Drop(Peer& peer);

  DatagramService& lower_;
  EventLoop& loop_;
  Heap heap_;
  crypto::TlsEnvironment environment_;
  Pool<Peer> peers_;
  HashTable<Peer, &Peer::node, PeerTraits> table_;
  List<Peer, &Peer::use_node> by_use_;  // silent the longest first
  std::span<uint8_t> scratch_;
  crypto::TlsEndpoint* endpoint_ = nullptr;
  DatagramHandler* handler_ = nullptr;
  uint32_t handshake_count_ = 0;
  uint32_t handshake_max_ = 0;
  DtlsCounts counts_;
};

}  // namespace gh::net
