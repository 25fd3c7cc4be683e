// The relay: ports, packets outside flows, latching and flows of all sessions.
//
// A packet to one of our media ports is taken when it comes from where its end said it would be, or
// from the address its signalling comes from (a NAT). The first such packet that is RTP, and
// verifies where it is encrypted, fixes that end's address for good: until the end says another one
// in signalling, packets from elsewhere are dropped and counted. Then the direction becomes a flow
// of the media plane, and is not seen here again but for one packet every few seconds.
#pragma once

#include <array>
#include <span>

#include "crypto/random.h"
#include "firmware/media/flow.h"
#include "firmware/rtp/session.h"
#include "firmware/turn/relay_ports.h"
#include "hal/rt/arena.h"
#include "hal/rt/pool.h"
#include "hal/rt/timer_wheel.h"

namespace gh::rtp {

struct Capacity {
  uint32_t sessions = 100;
  uint32_t streams = 200;
  uint32_t contexts = 400;  // SRTP: one for each direction of each end that is encrypted by us
  uint32_t ports = 800;     // of each local address
  uint32_t webs = 100;      // ends of streams that are browsers'
  uint32_t muxes = 100;     // and that share a port, in traversal zones
  uint32_t ices = 50;       // and with which we speak ICE as a full agent
  static Capacity For(uint32_t calls);
  uint64_t ArenaBytes() const;
  uint32_t handshakes() const;  // DTLS, at a time
  uint32_t flows() const { return streams * 2 * kComponentCount; }
};

struct Config {
  bool enabled = false;
  uint16_t port_first = 36002;
  uint16_t port_last = 59999;
  Duration port_rest = Duration::Seconds(10);
  Duration inactivity = Duration::Seconds(3600);
  Duration party_inactivity;  // of one that is to send; 0: nobody minds
  TurnServer turn;
  net::IpAddress turn_local;  // of ours, from which it is reached
  int8_t dscp = 46;           // negative: as it came
  std::array<net::IpAddress, kLocalAddressMax> addresses = {};
  uint32_t address_count = 0;
  uint16_t mux_port = 0;   // of both sides of traversal zones; 0: each stream has ports of its own
  bool ends_dtls = false;  // towards browsers, and where a side has to be unencrypted
  enum class When : uint8_t { kNever, kNeeded, kAlways } when = When::kNeeded;
};

struct Counters {
  uint64_t sessions = 0;
  uint64_t refused_capacity = 0;
  uint64_t latched = 0;
  uint64_t dropped_source = 0;  // from where nobody is
  uint64_t dropped_other = 0;   // neither RTP nor what was agreed
  uint64_t by_engine = 0;       // passed on here, not by a flow
  uint64_t silent = 0;          // sessions ended by silence
  uint64_t checks = 0;          // of ICE, answered
  uint64_t checks_refused = 0;
  uint64_t keyed = 0;       // ends that have keys by DTLS
  uint64_t agreed = 0;      // pairs, by ICE as a full agent
  uint64_t ice_failed = 0;  // ends to which there was no way, or who did not consent any more
  uint64_t party_silent = 0;
  uint64_t keys_failed = 0;
};

class Observer {
 public:
  // The traversal server's shared port does not answer for this stream.
  virtual void OnMuxLost(const Session& session, const net::Endpoint& server) {
    (void)session, (void)server;
  }
  virtual void OnMediaEnded(const Session& session, bool by_silence) = 0;
  // An end that is to send has sent nothing for so long. The session may be closed from here.
  virtual void OnPartySilent(const Session& session, uint32_t end, Duration silence) {
    (void)session, (void)end, (void)silence;
  }
  // ICE has agreed on a way to this end: `local` is ours, or relays for us.
  virtual void OnIceAgreed(const Session& session, const net::Endpoint& local,
                           const net::Endpoint& remote, bool is_relayed) {
    (void)session, (void)local, (void)remote, (void)is_relayed;
  }
  virtual void OnIceLost(const Session& session, const char* why) { (void)session, (void)why; }
  // There are no relayed candidates for now.
  virtual void OnTurnServerLost(const char* why) { (void)why; }
  // DTLS with an end came to nothing: it stays without media.
  virtual void OnMediaKeysFailed(const Session& session, const net::Endpoint& remote,
                                 const char* why) {
    (void)session, (void)remote, (void)why;
  }

 protected:
  ~Observer() = default;
};

struct Ports {
  Arena& arena;
  media::Relay& relay;
  TimerWheel& timers;
  crypto::Random& random;
  Observer& observer;
  Dtls* dtls = nullptr;  // null: DTLS-SRTP is carried and not spoken
};

class Relay final : public media::RelayHandler,
                    private DtlsUser,
                    private IceUser,
                    private TurnClientUser {
 public:
  Relay(const Ports& ports, const Capacity& capacity);
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // Sessions end where the ports or addresses change.
  void Apply(const Config& config);
  const Config& config() const { return config_; }

  // --- The anchor's ---
  Session* Open(uint64_t key, std::string_view call_id);
  Session* Find(uint64_t key) { return table_.Find(key); }
  void Close(Session& session, bool by_silence = false);
  // The stream of one m= section, made when there is none. Null: no room.
  Stream* StreamAt(Session& session, uint32_t index);
  void RemoveStream(Session& session, uint32_t index);
  // A pair of ports towards this end. False: none is free, or the address is not ours.
  bool TakePorts(Stream& stream, uint32_t end);
  // --- Browsers (relay_web.cc) ---
  bool ends_dtls() const { return dtls_ != nullptr && config_.ends_dtls && dtls_->is_ready(); }
  std::string_view fingerprint() const { return dtls_->fingerprint(); }
  // What an end that speaks DTLS with us needs, made when it has none. Null: no room.
  Web* WebOf(End& end);
  // What it said holds: a new user fragment begins ICE anew, a new certificate the keys.
  void SettleWeb(Stream& stream, uint32_t end, bool was_offer);
  void DropWeb(End& end);
  uint64_t HashOfPeer(std::string_view ice_user) const { return SipHash13(ice_key_, ice_user); }

  // --- ICE as a full agent (relay_ice.cc) ---
  // Made when the end has none, with ports where it has none of these. Null: no room.
  Ice* IceOf(Stream& stream, uint32_t end);
  void DropIce(End& end);
  // Both sides have said theirs.
  void StartIce(Stream& stream, uint32_t end, const IceTerms& terms, bool we_offered);

  // --- Traversal zones (relay_mux.cc) ---
  bool has_mux() const { return config_.mux_port != 0; }
  // The channel an end is offered by us, drawn when it has none. Null: no room.
  Mux* ServeMux(Stream& stream, uint32_t end);
  // The server at this address said where the end's media goes.
  void JoinMux(Stream& stream, uint32_t end, const MuxOffer& offer, const net::IpAddress& server);
  void DropMux(End& end);
  void AskMux(Mux& mux);
  // Ports that were offered and are not used.
  void GivePorts(Stream& stream, uint32_t end);

  // What was agreed is in `ends`: keys and flows follow. False: no room for keys, nothing passes.
  bool Put(Stream& stream);

  bool OnRelayDatagram(const net::Endpoint& local, const net::Endpoint& remote,
                       std::span<uint8_t> data) override;
  void OnRelayError(const net::Endpoint&, const net::Endpoint&, uint8_t, uint8_t,
                    uint32_t) override {}

  const Counters& counters() const { return counters_; }
  uint32_t session_count() const { return sessions_.used_count(); }
  uint32_t session_capacity() const { return sessions_.capacity(); }
  uint32_t stream_count() const { return streams_.used_count(); }
  uint32_t context_count() const { return contexts_.used_count(); }
  uint32_t mux_count() const { return muxes_.used_count(); }
  uint32_t web_count() const { return webs_.used_count(); }
  uint32_t ice_count() const { return ices_.used_count(); }
  uint32_t turn_count() const { return turns_.used_count(); }
  uint32_t port_count() const;
  // Lists: start with 0 and call until null.
  const Session* Next(uint32_t& cursor);
  Instant now() const { return timers_.now(); }

 private:
  struct SessionTraits {
    using Key = uint64_t;
    static Key KeyOf(const Session& session) { return session.key; }
  };
  // DtlsUser
  void SendDtls(uint32_t owner, std::span<const uint8_t> datagram) override;
  void OnDtlsKeys(uint32_t owner, MediaKeys& keys) override;
  void OnDtlsOver(uint32_t owner, const char* why, bool is_final) override;
  // IceUser
  void SendIce(uint32_t owner, IceLocal local, const net::Endpoint& to,
               std::span<const uint8_t> datagram) override;
  void OnIcePair(uint32_t owner, IceLocal local, const net::Endpoint& remote,
                 bool is_agreed) override;
  void OnIceFailed(uint32_t owner, const char* why) override;
  // TurnClientUser
  void SendTurn(const TurnClient& client, std::span<const uint8_t> datagram) override;
  void OnTurnData(TurnClient& client, const net::Endpoint& peer, std::span<uint8_t> data) override;
  void OnTurnChannel(TurnClient& client) override;
  void OnTurnLost(TurnClient& client, const char* why) override;

  static constexpr uint32_t kTurnOwner = 1u << 31;  // of a port: an allocation's
  void OnEndDatagram(Stream& stream, uint32_t end, uint32_t component, const net::Endpoint& remote,
                     std::span<uint8_t> data, IceLocal local);
  void OnTurnDatagram(uint32_t index, const net::Endpoint& local, const net::Endpoint& remote,
                      std::span<uint8_t> data);
  void SharePorts(Stream& stream, uint32_t end, uint16_t port);
  void KeepTurnsWarm();
  void EndTurns();
  void DropTurn(TurnClient* client);
  TurnClient* TakeTurn(uint32_t owner);
  bool IsWarm(const TurnClient& client) const {
    return client.owner == TurnClient::kNobody && !client.is_lost();
  }

  uint32_t OwnerOf(const Stream& stream, uint32_t end) const {
    return streams_.IndexOf(stream) * 2 + end;
  }
  void OnMuxDatagram(const net::Endpoint& local, const net::Endpoint& remote,
                     std::span<const uint8_t> data);
  void OnMuxRequest(const net::Endpoint& local, const net::Endpoint& remote,
                    std::span<const uint8_t> data, const turn::Message& request);
  void OnMuxAnswer(const net::Endpoint& remote, std::span<const uint8_t> data,
                   const turn::Message& answer);
  End* ServedBy(uint16_t channel, Stream*& stream);
  // Of our own: checks, handshakes.
  void SendStraight(const Stream& stream, uint32_t end, const net::Endpoint& to,
                    std::span<const uint8_t> datagram);
  // Ours, towards this end.
  void SendTo(const Stream& stream, uint32_t end, uint32_t component, const net::Endpoint& to,
              uint32_t size);
  net::Endpoint OursFor(const Stream& stream, uint32_t end, uint32_t component) const;
  // True: it was of ICE or DTLS.
  bool OnWebDatagram(Stream& stream, uint32_t end, const net::Endpoint& remote,
                     std::span<const uint8_t> data);
  void OnCheck(Stream& stream, uint32_t end, const net::Endpoint& remote,
               std::span<const uint8_t> data);
  void OnDtls(Stream& stream, uint32_t end, std::span<const uint8_t> data);
  void BeginDtls(Stream& stream, uint32_t end);
  turn::RelayPorts* PortsOf(const net::IpAddress& address);
  bool MayLatch(Stream& stream, uint32_t end, uint32_t component, const net::Endpoint& remote);
  // Of an end that is latched elsewhere: to be taken for it from now on (README, Latching).
  bool IsSuccessor(Stream& stream, uint32_t end, uint32_t component, const net::Endpoint& remote);
  net::Endpoint DestinationOf(const Stream& stream, uint32_t end, uint32_t component) const;
  void Pass(Stream& stream, uint32_t end, uint32_t component, const net::Endpoint& remote,
            std::span<const uint8_t> data);
  void Latch(Stream& stream, uint32_t end, uint32_t component, const net::Endpoint& remote);
  void UpdateFlows(Stream& stream);
  void UpdateFlow(Stream& stream, uint32_t end, uint32_t component);
  bool SpecOf(Stream& stream, uint32_t end, uint32_t component, media::FlowSpec& out);
  void RemoveFlows(Stream& stream);
  bool SetContext(SrtpContext*& context, bool is_wanted, Suite suite, const Master& master);
  void Sweep();
  void WatchEnd(Session& session, uint32_t end);

  media::Relay& relay_;
  TimerWheel& timers_;
  crypto::Random& random_;
  Observer& observer_;
  Config config_;
  Pool<Session> sessions_;
  Pool<Stream> streams_;
  Pool<SrtpContext> contexts_;
  Pool<Web> webs_;
  Pool<Mux> muxes_;
  Pool<Ice> ices_;
  Pool<TurnClient> turns_;
  IceParts ice_parts_;
  TurnParts turn_parts_;
  Instant turn_retry_;                               // not before
  bool is_turn_lost_ = false;                        // and that was told
  HashTable<Mux, &Mux::node, MuxTraits> mux_table_;  // of clients
  turn::RelayPorts* channels_ = nullptr;             // of servers
  Dtls* dtls_;
  SipKey ice_key_;
  HashTable<Session, &Session::node, SessionTraits> table_;
  std::array<turn::RelayPorts*, kLocalAddressMax> ports_ = {};
  std::span<uint8_t> packet_;
  Timer sweep_;
  uint32_t sweep_at_ = 0;
  uint64_t next_id_ = 1;
  Counters counters_;
};

}  // namespace gh::rtp
