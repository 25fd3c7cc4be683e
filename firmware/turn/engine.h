// The TURN engine (RFC 8656): allocations, permissions, channels and what they relay.
//
// No I/O: datagrams and frames of streams come in with the path they came by; replies and relayed
// data leave through media::Relay and ClientStreams, time is the wheel's. All memory is carved in
// the constructor. Nothing is kept of a sender who is not authentic. Relaying between UDP clients
// and their channels is installed in the media plane as flows; the rest passes here.
//
// Invariants: a port in use belongs to exactly one allocation or reservation; a flow exists only
// while its channel and the permission of its peer do; an allocation counts against its user until
// it is released.
#pragma once

#include <array>
#include <span>

#include "firmware/turn/allocation.h"
#include "firmware/turn/auth.h"
#include "firmware/turn/config.h"
#include "firmware/turn/peer_policy.h"
#include "firmware/turn/relay_ports.h"
#include "firmware/turn/stun.h"
#include "hal/rt/pool.h"

namespace gh::turn {

// Clients that are not reached by plain datagrams, as the engine sees them.
class ClientStreams {
 public:
  virtual Result<void> SendToStream(net::StreamId stream, std::span<const uint8_t> frame) = 0;
  virtual Result<void> SendToDtls(const ClientPath& path, std::span<const uint8_t> bytes) = 0;
  virtual void CloseClient(net::StreamId stream) = 0;  // or a peer
  // RFC 6062. Peers may connect to the relay address; kExhausted: no room.
  virtual Result<void> OpenRelay(const net::Endpoint& relay) = 0;
  virtual void CloseRelay(const net::Endpoint& relay) = 0;
  // OnPeerConnected or OnLinkClosed follows.
  virtual Result<net::StreamId> ConnectPeer(const net::Endpoint& relay, const net::Endpoint& peer,
                                            uint32_t link) = 0;
  // From its next byte on the client's stream carries data; they wait until it is joined.
  virtual void CarryData(net::StreamId stream, uint32_t link) = 0;
  // Bytes pass both ways from now on; `a_meter` takes what comes from `a`.
  virtual void Join(net::StreamId a, media::Meter* a_meter, net::StreamId b,
                    media::Meter* b_meter) = 0;

 protected:
  ~ClientStreams() = default;
};

enum class EndReason : uint8_t { kByClient, kExpired, kStreamClosed, kByOperator, kReconfigured };
const char* EndReasonName(EndReason reason);

struct AllocationInfo {
  uint32_t id = 0;
  std::string_view user;
  uint8_t realm = 0;  // 0: the general one
  const ClientPath* path = nullptr;
  std::array<net::Endpoint, kFamilyCount> relay = {};
  uint32_t permission_count = 0;
  uint32_t channel_count = 0;
  uint32_t flow_count = 0;
  uint32_t remaining_s = 0;
  Duration age;
  const media::Meter* up = nullptr;
  const media::Meter* down = nullptr;
};

class Observer {
 public:
  virtual void OnAllocated(const AllocationInfo& info) = 0;
  virtual void OnEnded(const AllocationInfo& info, EndReason reason) = 0;
  // An authentic request that was answered with an error; or wrong credentials.
  virtual void OnRefused(const net::Endpoint& client, std::string_view user, uint16_t code) = 0;

 protected:
  ~Observer() = default;
};

struct Ports {
  media::Relay& relay;
  ClientStreams& streams;
  TimerWheel& timers;
  crypto::Random& random;
  hal::Clock& clock;  // wall time alone
  Credentials& credentials;
  Observer& observer;
};

struct Counters {
  uint64_t requests = 0;
  uint64_t challenges = 0;
  uint64_t auth_failures = 0;
  uint64_t allocated = 0;
  uint64_t refused_quota = 0;     // 486
  uint64_t refused_capacity = 0;  // 508
  uint64_t refused_peer = 0;      // 403
  uint64_t dropped_malformed = 0;
  uint64_t dropped_stray = 0;  // of no allocation
  uint64_t dropped_permission = 0;
  uint64_t dropped_limit = 0;
  uint64_t dropped_unanswered = 0;  // Binding of strangers, challenges that would amplify
  uint64_t sent_to_peers = 0;
  uint64_t sent_to_clients = 0;
};

class Engine final : public media::RelayHandler {
 public:
  Engine(Arena& arena, const Ports& ports, const Capacity& capacity);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // In force at once. Other relay addresses or ports end all allocations.
  void Apply(const Config& config);
  const Config& config() const { return config_; }

  // One datagram, or one frame of a stream (FrameSize). May be modified.
  void OnClientData(const ClientPath& path, std::span<uint8_t> data);
  void OnStreamClosed(const ClientPath& path);
  // A peer has connected to a relay: the link's number, 0 refuses.
  uint32_t OnPeerArrived(const net::Endpoint& relay, const net::Endpoint& peer, net::StreamId far);
  bool OnPeerConnected(uint32_t id);
  // One of the link's streams is gone.
  void OnLinkClosed(uint32_t id);
  bool OnRelayDatagram(const net::Endpoint& local, const net::Endpoint& remote,
                       std::span<uint8_t> data) override;
  void OnRelayError(const net::Endpoint& local, const net::Endpoint& remote, uint8_t icmp_type,
                    uint8_t icmp_code, uint32_t icmp_data) override;

  // Allocations in no order; `cursor` starts at 0.
  bool NextAllocation(uint32_t& cursor, AllocationInfo& out);
  bool Close(uint32_t id);
  uint32_t CloseAll(EndReason reason);

  const Counters& counters() const { return counters_; }
  uint64_t rate_limited_count() const { return authenticator_.rate_limited_count(); }
  const media::Meter& total() const { return total_; }
  uint32_t allocation_count() const { return allocations_.used_count(); }
  uint32_t allocation_capacity() const { return allocations_.capacity(); }
  uint32_t permission_count() const { return permissions_.used_count(); }
  uint32_t channel_count() const { return channels_.used_count(); }
  uint32_t user_count() const { return users_.used_count(); }
  uint32_t reservation_count() const { return reservation_count_; }
  uint32_t link_count() const { return links_.used_count(); }
  // Of a realm beside the general one, by its number.
  uint32_t realm_allocation_count(uint32_t number) const {
    return realms_[number - 1].allocation_count;
  }
  const media::Meter& realm_meter(uint32_t number) const { return realms_[number - 1].meter; }
  const RelayPorts& ports(uint32_t family) const { return *relay_ports_[family]; }
  static uint64_t BytesPerAllocation();

 private:
  struct AllocationTraits {
    using Key = media::FlowKey;
    static const Key& KeyOf(const Allocation& allocation) { return allocation.key; }
    static uint64_t HashOf(const SipKey& key, const Key& k) {
      return SipHash13(key, {reinterpret_cast<const uint8_t*>(k.words), sizeof(k.words)});
    }
  };
  struct UserTraits {
    using Key = std::string_view;
    static Key KeyOf(const UserAccount& user) { return user.key.view(); }
  };
  struct LinkTraits {
    using Key = uint32_t;
    static Key KeyOf(const PeerLink& link) { return link.id; }
  };
  struct Reservation {
    std::array<uint8_t, 8> token = {};
    uint16_t port = 0;  // 0: free
    uint8_t family = 0;
    Instant expires_at;
  };
  struct RealmState {
    uint32_t allocation_count = 0;
    media::Meter meter;  // between its users' and that of all
  };
  // One authentic request while it is answered.
  struct Request {
    const ClientPath& path;
    const Message& message;
    const Identity& identity;
    Allocation* allocation;
  };
  struct Wanted;  // an Allocate, taken apart; allocate.cc

  Instant now() const { return ports_.timers.now(); }

  // engine.cc
  void OnMessage(const ClientPath& path, const Message& message);
  Realm RealmOf(const ClientPath& path, const Message& message) const;
  void OnBinding(const ClientPath& path, const Message& message);
  void AnswerDiscovery(const ClientPath& path, const Message& message);  // discovery.cc
  void Dispatch(const Request& request);
  void Challenge(const ClientPath& path, const Message& message, uint16_t code);
  void Refuse(const Request& request, uint16_t code);
  void RefuseUnknown(const Request& request);
  Builder Reply(const Request& request);
  void SendReply(const Request& request, Builder& builder);
  void SendToClient(const ClientPath& path, std::span<const uint8_t> bytes);
  AllocationInfo InfoOf(const Allocation& allocation) const;

  // allocate.cc
  void OnAllocate(const Request& request);
  uint16_t ReadWanted(const Request& request, Wanted& wanted);
  Allocation* Make(const Request& request, Wanted& wanted, UserAccount& user, uint16_t& code);
  uint16_t TakePorts(Wanted& wanted, Allocation& allocation);
  bool OpenRelays(const Allocation& allocation);
  uint16_t TakeReserved(const Wanted& wanted, Allocation& allocation);
  bool IsOverQuota(const Identity& identity);
  static FixedString<kUserNameMax + 1> AccountKey(const Identity& identity);
  UserAccount* AccountOf(const Identity& identity);
  static bool IsOwner(const Identity& identity, const Allocation& allocation) {
    const UserAccount& user = *allocation.user;
    return user.realm() == identity.realm && user.name() == identity.user.view();
  }
  void AnswerAllocate(const Request& request, const Allocation& allocation, const Wanted* wanted);
  void CloseMoved(const std::array<bool, kFamilyCount>& moves);
  void CloseUnwanted(const Config& config);
  void KeepToken(const Request& request, Allocation& allocation);
  void OnRefresh(const Request& request);
  bool Move(const Request& request, Allocation& allocation);
  void OnMobileRefresh(const Request& request);
  uint32_t LifetimeOf(const Request& request) const;
  void Release(Allocation& allocation, EndReason reason);
  void ReleaseUser(UserAccount& user);
  void ExpireReservations();
  void OnTimer(Allocation& allocation);
  void ArmTimer(Allocation& allocation);
  net::Endpoint Shown(uint32_t family, uint16_t port) const;
  net::Endpoint Bound(uint32_t family, uint16_t port) const;

  // peers.cc
  void OnCreatePermission(const Request& request);
  void OnChannelBind(const Request& request);
  uint16_t CheckPeer(const Allocation& allocation, const net::Endpoint& peer);
  Permission* FindPermission(const Allocation& allocation, const net::IpAddress& peer) const;
  bool Permit(Allocation& allocation, const net::IpAddress& peer);
  void SyncFlows(Allocation& allocation);
  void AddFlows(Allocation& allocation, Channel& channel);
  void RemoveFlows(Channel& channel);
  void DropExpired(Allocation& allocation);
  void ReleasePeers(Allocation& allocation);
  void OnSend(const ClientPath& path, const Message& message);
  void OnChannelData(const ClientPath& path, std::span<uint8_t> data);
  void SendToPeer(Allocation& allocation, const net::Endpoint& peer, std::span<const uint8_t> data,
                  bool dont_fragment);
  void TellIcmp(Allocation& allocation, const net::Endpoint& peer, uint8_t type, uint8_t code,
                uint32_t data);
  Allocation* OwnerOf(const net::Endpoint& relay);

  // tcp.cc
  void OnConnect(const Request& request);
  void OnConnectionBind(const Request& request);
  PeerLink* NewLink(Allocation& allocation, const net::Endpoint& peer);
  void EndLink(PeerLink& link);
  void ReleaseLinks(Allocation& allocation);
  void JoinRelays(PeerLink& link, const net::IpAddress& own);
  void AnswerConnect(PeerLink& link, uint16_t error);
  void TellAttempt(const PeerLink& link);

  Ports ports_;
  Config config_;
  Authenticator authenticator_;
  PeerPolicy policy_{config_};
  Pool<Allocation> allocations_;
  Pool<Permission> permissions_;
  Pool<Channel> channels_;
  Pool<UserAccount> users_;
  Pool<PeerLink> links_;
  HashTable<Allocation, &Allocation::node, AllocationTraits> by_path_;
  HashTable<UserAccount, &UserAccount::node, UserTraits> by_user_;
  HashTable<PeerLink, &PeerLink::node, LinkTraits> by_link_;
  std::array<RelayPorts*, kFamilyCount> relay_ports_ = {};
  std::array<Reservation, kReservationMax> reservations_ = {};
  uint32_t reservation_count_ = 0;
  std::array<RealmState, kRealmCountMax> realms_;
  media::Meter total_;
  Counters counters_;
  std::array<uint8_t, kMessageMax + 64> out_ = {};  // the message being built
};

}  // namespace gh::turn
