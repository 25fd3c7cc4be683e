// The engine's front door: UDP, DTLS and TCP listeners, and streams cut into frames.
//
// A stream's bytes wait in the network's own buffer until a frame is whole, so none is copied. TLS
// and DTLS come as streams and datagrams of the same shape. Fault model: a client that sends no
// whole frame within its deadline, or nothing authentic for a while, is closed; one that does not
// read loses what is relayed to it. Of a relay that speaks TCP nothing is lost: who does not read
// holds the other side back.
#pragma once

#include <array>
#include <span>

#include "firmware/turn/engine.h"
#include "hal/rt/pool.h"
#include "net/datagram.h"
#include "net/stream.h"

namespace gh::turn {

struct ServerParts {
  Arena& arena;
  net::DatagramService& datagrams;
  net::DatagramService* dtls;  // null: none
  net::StreamService& streams;
  TimerWheel& timers;
};

struct ListenConfig {
  bool udp = true;
  bool tcp = true;
  bool tls = false;
  bool dtls = false;  // at the same port as TLS
  uint16_t tls_port = 5349;
  uint16_t discovery_port = 0;  // one more for UDP alone (RFC 5780); 0: none
  uint16_t port_first = 3478;
  uint16_t port_last = 3478;
  std::array<net::IpAddress, kListenerMax> addresses = {};
  uint32_t address_count = 0;
  friend bool operator==(const ListenConfig&, const ListenConfig&) = default;
};

class Server final : public net::DatagramHandler, public net::StreamHandler, public ClientStreams {
 public:
  Server(const ServerParts& parts, uint32_t stream_count);
  void SetEngine(Engine& engine) { engine_ = &engine; }

  // What did not change stays open. Returns how many listeners are open; `failed` says the first
  // that could not be opened.
  uint32_t Listen(const ListenConfig& config, net::Endpoint* failed);
  uint32_t stream_count() const { return clients_.used_count(); }
  uint32_t listener_count() const { return listener_count_; }

  void OnDatagram(const net::DatagramInfo& info, std::span<uint8_t> data) override;
  // A session of DTLS that was open has ended.
  void OnDtlsClosed(const net::DatagramInfo& info);
  bool OnStreamOpen(net::StreamId id, const net::StreamInfo& info) override;
  size_t OnStreamData(net::StreamId id, std::span<uint8_t> data) override;
  void OnStreamWritable(net::StreamId id) override;
  void OnStreamClosed(net::StreamId id, net::StreamClose why) override;
  Result<void> SendToStream(net::StreamId stream, std::span<const uint8_t> frame) override;
  Result<void> SendToDtls(const ClientPath& path, std::span<const uint8_t> bytes) override;
  void CloseClient(net::StreamId stream) override;
  Result<void> OpenRelay(const net::Endpoint& relay) override;
  void CloseRelay(const net::Endpoint& relay) override;
  Result<net::StreamId> ConnectPeer(const net::Endpoint& relay, const net::Endpoint& peer,
                                    uint32_t link) override;
  void CarryData(net::StreamId stream, uint32_t link) override;
  void Join(net::StreamId a, media::Meter* a_meter, net::StreamId b,
            media::Meter* b_meter) override;

 private:
  struct Client {
    Server* server = nullptr;
    ClientPath path;
    uint32_t link = 0;      // of the engine: this carries data, not frames
    net::StreamId partner;  // where they go; until there is one they wait
    media::Meter* meter = nullptr;
    Timer deadline;
    HashNode node;
    uint64_t key = 0;
  };
  struct ClientTraits {
    using Key = uint64_t;
    static const Key& KeyOf(const Client& client) { return client.key; }
  };
  struct Listener {
    net::SocketId socket;
    bool is_dtls = false;
    net::ListenerId listener;
  };
  // Connections from and to peers (RFC 6062).
  struct PeerDoor final : net::StreamHandler {
    bool OnStreamOpen(net::StreamId id, const net::StreamInfo& info) override {
      return server->OnPeerOpen(id, info);
    }
    size_t OnStreamData(net::StreamId id, std::span<uint8_t> data) override {
      return server->OnStreamData(id, data);
    }
    void OnStreamWritable(net::StreamId id) override { server->OnStreamWritable(id); }
    void OnStreamClosed(net::StreamId id, net::StreamClose why) override {
      server->OnStreamClosed(id, why);
    }
    Server* server = nullptr;
  };
  struct RelayListener {
    net::Endpoint at;  // no port: free
    net::ListenerId listener;
  };
  Client* NewClient(net::StreamId id);
  bool OnPeerOpen(net::StreamId id, const net::StreamInfo& info);
  size_t Pass(Client& client, std::span<const uint8_t> data);
  static uint64_t KeyOf(net::StreamId id) { return uint64_t{id.index} << 32 | id.generation; }
  void CloseAll();
  void Open(const net::Endpoint& at, const ListenConfig& config, net::Endpoint* failed);
  void OpenTls(const net::IpAddress& address, const ListenConfig& config, net::Endpoint* failed);

  // DTLS has its own handler: a socket's number alone does not say whose it is.
  struct DtlsDoor final : net::DatagramHandler {
    void OnDatagram(const net::DatagramInfo& info, std::span<uint8_t> data) override {
      server->engine_->OnClientData(DtlsPath(info), data);
    }
    Server* server = nullptr;
  };
  static ClientPath DtlsPath(const net::DatagramInfo& info);
  void OpenDtls(const net::IpAddress& address, const ListenConfig& config, net::Endpoint* failed);

  net::DatagramService& datagrams_;
  net::DatagramService* dtls_;
  DtlsDoor dtls_door_;
  PeerDoor peer_door_;
  std::array<RelayListener, kTcpRelayMax> relays_ = {};
  net::StreamService& streams_;
  TimerWheel& timers_;
  Engine* engine_ = nullptr;
  Pool<Client> clients_;
  HashTable<Client, &Client::node, ClientTraits> by_stream_;
  ListenConfig config_;
  std::array<Listener, kListenerMax> listeners_ = {};
  uint32_t listener_count_ = 0;
};

}  // namespace gh::turn
