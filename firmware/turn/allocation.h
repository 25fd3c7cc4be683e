// What the engine keeps of one client: allocation, permissions, channels.
#pragma once

#include <array>

#include "firmware/media/flow.h"
#include "firmware/turn/auth.h"
#include "firmware/turn/config.h"
#include "firmware/turn/stun.h"
#include "hal/rt/hash_table.h"
#include "hal/rt/list.h"
#include "hal/rt/timer_wheel.h"
#include "net/datagram.h"
#include "net/stream.h"

namespace gh::turn {

class Engine;
struct Allocation;

enum class ClientTransport : uint8_t { kUdp = 1, kStream = 2, kDtls = 3 };

// How a client is reached: its 5-tuple, and the stream or the socket of DTLS when it is one.
struct ClientPath {
  ClientTransport transport = ClientTransport::kUdp;
  net::Endpoint local;
  net::Endpoint remote;
  net::StreamId stream;
  net::SocketId socket;               // DTLS
  bool is_secure = false;             // TLS, DTLS
  crypto::ServerNameMark asked_name = {};  // of its handshake
  media::FlowKey Key() const {
    return media::FlowKey::Of(local, remote, static_cast<uint16_t>(transport));
  }
};

// What one user of one realm holds, whatever it calls itself from.
struct UserAccount {
  FixedString<kUserNameMax + 1> key;  // the realm's number, and the name
  std::string_view name() const { return key.view().substr(1); }
  uint8_t realm() const { return static_cast<uint8_t>(key.view()[0]); }
  uint32_t allocation_count = 0;
  media::Meter meter;
  HashNode node;
};

struct Permission {
  net::IpAddress peer;
  Instant expires_at;
  Permission* next = nullptr;
};

struct Channel {
  uint16_t number = 0;
  net::Endpoint peer;
  Instant expires_at;
  media::Flow* up = nullptr;  // null: the engine relays
  media::Flow* down = nullptr;
  Channel* next = nullptr;
};

enum class LinkState : uint8_t { kConnecting, kWaiting, kBound };

// One connection with a peer over TCP (RFC 6062), and the client's for its data.
struct PeerLink {
  Engine* engine = nullptr;
  uint32_t id = 0;  // CONNECTION-ID
  LinkState state = LinkState::kConnecting;
  Allocation* owner = nullptr;
  net::Endpoint peer;
  net::StreamId far;           // to the peer, unless
  PeerLink* joined = nullptr;  // it is a relay of ours
  net::StreamId near;          // once it is bound
  Identity identity;           // of the Connect, which is answered later
  TransactionId transaction = {};
  Timer deadline;
  HashNode node;
  PeerLink* next = nullptr;
};

struct Allocation {
  Engine* engine = nullptr;
  ClientPath path;
  media::FlowKey key;
  TransactionId transaction = {};  // of the Allocate that made it, for its retransmissions
  UserAccount* user = nullptr;
  std::array<uint16_t, kFamilyCount> relay_port = {};  // 0: not of this family
  Instant created_at;
  Instant expires_at;
  Timer timer;
  Permission* permissions = nullptr;
  Channel* channels = nullptr;
  uint32_t permission_count = 0;
  uint32_t channel_count = 0;
  bool is_tcp = false;  // to peers; has links and neither channels nor datagrams
  uint32_t link_count = 0;
  PeerLink* links = nullptr;
  media::Meter up;    // client to peers
  media::Meter down;  // peers to client
  bool is_mobile = false;
  std::array<uint8_t, 16> ticket = {};
  SessionKey token_key;
  HashNode node;
};

}  // namespace gh::turn
