// The engine's front door: UDP, DTLS and TCP listeners, and streams cut into frames.
//
// A stream's bytes wait in the network's own buffer until a frame is whole, so none is copied. TLS
// and DTLS come as streams and datagrams of the same shape. Fault model: a client that sends no
// whole frame within its deadline, or nothing authentic for a while, is closed; one that does not
// read loses what is relayed to it.
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
  void OnStreamWritable(net::StreamId) override {}
  void OnStreamClosed(net::StreamId id, net::StreamClose why) override;
  Result<void> SendToStream(net::StreamId stream, std::span<const uint8_t> frame) override;
  Result<void> SendToDtls(const ClientPath& path, std::span<const uint8_t> bytes) override;
  void CloseClient(net::StreamId stream) override;

 private:
  struct Client {
    Server* server = nullptr;
    ClientPath path;
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
