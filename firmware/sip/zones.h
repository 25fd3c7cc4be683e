// The zones' peers: who they are, whether they can be reached, and how a request gets there.
//
// A neighbour's peer is found by its address (looked up anew before each check) and asked by
// OPTIONS whether it lives; any answer but 503 says so. A traversal client opens one TLS stream to
// each of its peers and asks through it, with credentials, again and again: the stream stays open,
// through whatever NAT and firewall is between, and requests from the other side come back on it. A
// traversal server has no addresses: a stream to its own port that asked so with good credentials,
// and whose certificate names who the operator said, is its peer until it ends or falls silent.
//
// Faults: a peer that does not answer is down until it does; a zone whose peers are all down takes
// no requests. Nothing here is kept for a request: the proxy asks for one flow after another.
#pragma once

#include <array>

#include "firmware/dialplan/dial_plan.h"
#include "firmware/sip/locate.h"
#include "firmware/sip/media_anchor.h"
#include "firmware/sip/throttle.h"
#include "firmware/sip/transaction.h"

namespace gh::sip {

using dialplan::ZoneId;

inline constexpr Duration kZoneCheckPeriod = Duration::Seconds(60);  // of a neighbour
inline constexpr Duration kTraversalPeriod = Duration::Seconds(30);  // keeps the way open
inline constexpr Duration kTraversalSilenceMax = Duration::Seconds(120);
inline constexpr Duration kTraversalDoubt = Duration::Seconds(5);  // beyond a period
inline constexpr Duration kZoneStartDelay = Duration::Milliseconds(200);
inline constexpr Duration kZoneReconnectDelay = Duration::Seconds(1);

struct ZoneConfig {
  dialplan::Zone plan;
  std::array<FixedText<kDomainBytesMax>, kZonePeerMax> peers;  // host names or addresses
  uint16_t port = 5060;
  TransportKind transport = TransportKind::kTls;
  bool verifies = false;                    // TLS: the certificate must name the peer
  FixedText<kDomainBytesMax> verify_name;   // traversal server: what a client's certificate names
  FixedText<64> user;                       // traversal: shown by the client, asked by the server
  FixedText<64> password;                   // the client's; a secret
  bool monitors = true;                     // neighbour: by OPTIONS
  bool is_least_loaded = false;             // else the first that is up
  Duration retry = Duration::Seconds(120);  // after a failure
};

enum class PeerState : uint8_t { kUnknown, kUp, kDown };

struct ZonePeerStatus {
  ZoneId zone = 0;
  std::string_view zone_name;
  const char* type = "";
  std::string_view peer;
  net::Endpoint remote;
  PeerState state = PeerState::kUnknown;
  uint32_t calls = 0;
  uint16_t status = 0;  // of the last answer
  const char* why = "";
};

class Zones {
 public:
  Zones(Core& core, Arena& arena, SipTransport& transport, TransactionLayer& transactions,
        Locator& locator);
  ~Zones() { Stop(); }
  Zones(const Zones&) = delete;
  Zones& operator=(const Zones&) = delete;

  // --- A new configuration; zones that are in it unchanged keep their peers.
  void Begin();
  void Add(ZoneId id, const ZoneConfig& config);
  void Commit();
  void Stop();

  // --- For the engine and the proxy.
  // The zone a request on this flow comes from: a traversal zone by its stream, a neighbour by its
  // address; kNoZone: none of them.
  ZoneId SourceOf(const Flow& flow);
  bool IsTraversal(ZoneId id) const;
  TraversalRole RoleOn(const Flow& flow) const;
  const ZoneConfig& config(ZoneId id) const { return zones_[id]->config; }
  // The next peer to try of a zone, not among `tried` (a bit each), which it joins. Null: none
  // left.
  struct PeerRef {
    Flow flow;
    uint32_t* calls = nullptr;  // the peer's, to be counted while one lasts
    uint8_t index = 0;
    bool has_other = false;      // there is another one to try after it
    bool was_throttled = false;  // one was left out that asked for it
  };
  struct PeerWish {
    uint8_t first = kZonePeerMax;  // who is taken before all others, if he can be
    bool is_urgent = false;        // peers that are busy get it all the same
  };
  bool NextPeer(ZoneId id, uint8_t& tried, PeerRef& out, const PeerWish& wish);
  // A peer's word about its load came with a response (RFC 7339).
  void OnReport(ZoneId id, const Flow& flow, std::string_view via_params);
  // A peer said nothing to a request: it is asked soon whether it lives.
  void Doubt(ZoneId id, const Flow& flow);
  bool IsUp(ZoneId id) const;
  // The way into a traversal zone for a dialog that began there.
  bool FlowInto(ZoneId id, const net::Endpoint& remote, Flow& out);
  // Of the zone's peers the one at the other end of this flow, or of one that was there before it;
  // kZonePeerMax: none that is known.
  uint8_t PeerBehind(ZoneId id, const Flow& flow) const;
  // A traversal client proved who it is; false: there are as many as a zone may have.
  bool Attach(ZoneId id, const Flow& flow);

  bool Next(uint32_t& cursor, ZonePeerStatus& out) const;

 private:
  struct Peer {
    FlowUser flow_user;  // first: the stream's users are cast back
    Probe probe;
    Zones* zones = nullptr;
    Timer timer;
    Location* location = nullptr;  // while its name is looked up
    net::Endpoint remote;
    Flow flow;
    FixedText<kDomainBytesMax> host;
    uint32_t cseq = 0;
    uint32_t calls = 0;
    uint32_t attempt = 0;
    ZoneId zone = 0;
    Throttle throttle;
    PeerState state = PeerState::kUnknown;
    uint16_t status = 0;
    bool has_flow = false;
    bool answered_challenge = false;
    const char* why = "";
  };
  struct Zone {
    ZoneConfig config;
    std::array<Peer, kZonePeerMax> peers;
    bool is_used = false;
    bool is_kept = false;  // by the configuration being taken
  };

  static bool Same(const ZoneConfig& a, const ZoneConfig& b);
  Zone* ZoneOf(ZoneId id) { return id < zones_.size() ? zones_[id] : nullptr; }
  void StopZone(Zone& zone);
  void StopPeer(Peer& peer);
  void OnTimer(Peer& peer);
  void OnLocated(Peer& peer);
  void Ask(Peer& peer);
  Result<void> SendOptions(Peer& peer, const Flow& flow, std::string_view authorization);
  bool WriteAuthorization(const Peer& peer, const Message& challenge, ByteWriter& out);
  void OnAnswered(Peer& peer, const Flow& flow, const Message& response);
  void SetUp(Peer& peer, const Flow& flow);
  void SetDown(Peer& peer, const char* why);
  void Take(Peer& peer, const Flow& flow);
  void Leave(Peer& peer);
  void OnLost(Peer& peer);
  Peer* PeerAt(ZoneId id, const Flow& flow);
  Peer* BestPeer(Zone& zone, uint8_t tried, const PeerWish& wish);
  void Tell(const Peer& peer, bool is_up) const;
  void TellThrottle(const Peer& peer) const;
  uint32_t IndexOf(const Zone& zone, const Peer& peer) const {
    return static_cast<uint32_t>(&peer - zone.peers.data());
  }

  Core& core_;
  SipTransport& transport_;
  TransactionLayer& transactions_;
  Locator& locator_;
  std::array<Zone*, dialplan::kZoneIdMax> zones_ = {};
  std::array<ZoneId, dialplan::kZoneMax> used_ = {};  // that exist, for looking through
  uint32_t used_count_ = 0;
};

}  // namespace gh::sip
