// Server to server: streams to other XMPP servers and from them (RFC 6120), who they are proved by
// certificates (SASL EXTERNAL) or dialback (XEP-0220), and the stanzas that wait for them. Engine
// without I/O: bytes, ends and time come in; bytes and timers go out through Host.
//
//   engine ── SendRemote ──► queue of one Link ──► stream        (federation.cc, outgoing.cc)
//   stream ──► Link ── a proved pair of domains ──► engine.OnRemote            (incoming.cc)
//
// A stream is used one way, for one pair of domains, unless both sides say otherwise: incoming ones
// may prove several pairs, and with XEP-0288 either kind carries stanzas both ways. To verify a
// dialback key a stream of its own is made to the authoritative server. Nothing is ended in the
// middle of something: links are doomed and ended by Settle.
//
// Partners serve a domain with us (partners.cc): components beside us (XEP-0114), devices inside
// for which we are the Edge, and our own Edge, to which all goes then. Each has one stream, which
// carries stanzas both ways.
//
// Fault model: the other side is hostile until proved, and bounded after that; a stanza that was
// not given to the network comes back to its sender as an error.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/random.h"
#include "firmware/s2s/dialback.h"
#include "firmware/s2s/emails.h"
#include "firmware/s2s/lookup.h"
#include "firmware/s2s/policy.h"
#include "firmware/xmpp/engine.h"
#include "firmware/xmpp/xml_reader.h"
#include "hal/rt/timer_wheel.h"
#include "net/stream.h"

namespace gh::s2s {

inline constexpr std::string_view kDialbackSpace = "jabber:server:dialback";
inline constexpr std::string_view kComponentSpace = "jabber:component:accept";
// Elements of the stream's name space become clients'.
void TakeAsClients(xmpp::Node& root);

enum class Security : uint8_t { kNone, kOptional, kRequired };

struct Route {
  FixedString<xmpp::kDomainMax> domain;  // as in an Exception
  FixedString<net::kDnsNameMax> host;
  uint16_t port = kDefaultPort;
  bool is_tls = false;
};

// Who serves a domain with us.
struct Partner {
  FixedString<xmpp::kDomainMax> domain;  // a component's; of others as in an Exception
  FixedString<xmpp::kDomainMax> peer;    // the name its certificate has to show; "": a component
  FixedString<kSecretMax> secret;        // of a component
  bool is_component() const { return peer.empty(); }
  friend bool operator==(const Partner&, const Partner&) = default;
};

inline constexpr uint32_t kNoPartner = UINT32_MAX;

// By which door of ours a stream comes.
enum class Door : uint8_t { kServers, kComponents, kRelay };

struct Config {
  bool enabled = false;
  bool draining = false;  // maintenance: no server comes in any more, streams there are go on
  Security security = Security::kOptional;
  bool requires_certificate = true;  // where there is TLS
  bool external_in = true;
  bool external_out = true;
  bool dialback = true;
  bool bidirectional = true;
  bool multiplexing = true;
  bool management = true;  // XEP-0198
  Duration resume;         // how long a broken stream is kept; zero: not
  FixedString<kSecretMax> secret;
  Policy policy;
  std::array<Route, kRouteMax> routes = {};
  uint32_t route_count = 0;
  std::array<Partner, kPartnerMax> partners = {};
  uint32_t partner_count = 0;
  bool by_edge = false;  // all goes through an Edge
  std::array<Route, kEdgeMax> edges = {};
  uint32_t edge_count = 0;
  bool emails = false;  // our users go by their e-mail addresses
  std::array<FixedString<xmpp::kDomainMax>, kOwnEmailDomainMax> email_domains = {};
  uint32_t email_domain_count = 0;
  uint32_t domain_streams = 8;  // proved ones that a domain may have to us
  uint32_t stanza_rate = 0;     // a second, of one stream; 0: any
  uint32_t component_rate = 0;
  uint32_t stanza_max = xmpp::kStanzaMax;
  Duration idle = Duration::Minutes(15);
};

struct Capacity {
  uint32_t links = 0;
  uint32_t readers = 0;
  uint32_t unproven_readers = 0;
  uint32_t lookups = 0;
  uint32_t blocks = 0;

  static Capacity For(uint32_t sessions);
  uint64_t ArenaBytes() const;
};

// What other servers are connected by.
class Host {
 public:
  // `name`: of the server, for TLS. Ends in OnConnected or OnClosed.
  virtual Result<net::StreamId> Connect(const Hop& hop, std::string_view name) = 0;
  virtual Result<void> Send(net::StreamId stream, std::span<const uint8_t> bytes) = 0;
  virtual Result<void> StartTls(net::StreamId stream) = 0;
  virtual Result<void> SecureAsClient(net::StreamId stream, std::string_view name) = 0;
  virtual void Close(net::StreamId stream) = 0;
  virtual void Abort(net::StreamId stream) = 0;
  virtual void Resume(net::StreamId stream) = 0;
  // Bytes that the other side's TCP has not acknowledged.
  virtual size_t UndeliveredBytes(net::StreamId stream) = 0;
  // Whether the peer's certificate is good and names the domain.
  virtual bool IsProved(net::StreamId stream, std::string_view domain) = 0;

 protected:
  ~Host() = default;
};

class Observer {
 public:
  virtual void OnFederated(std::string_view local, std::string_view remote, bool incoming,
                           const net::Endpoint& peer, std::string_view how) = 0;
  virtual void OnFailed(std::string_view remote, std::string_view reason) = 0;
  virtual void OnRefused(std::string_view remote, const net::Endpoint& peer,
                         std::string_view reason) = 0;
  // A partner is connected, or is no more.
  virtual void OnPartner(const char* kind, std::string_view name, const net::Endpoint& peer,
                         bool is_up, std::string_view reason) = 0;
  // It was for a user who goes by an e-mail address.
  virtual void OnDropped(std::string_view remote, std::string_view address) = 0;

 protected:
  ~Observer() = default;
};

struct Counters {
  uint64_t connected = 0;  // outgoing streams that were proved
  uint64_t accepted = 0;   // pairs proved on incoming ones
  uint64_t failed = 0;     // outgoing streams given up
  uint64_t refused = 0;    // of incoming streams: not believed, not allowed, not XMPP
  uint64_t by_certificate = 0;
  uint64_t by_dialback = 0;
  uint64_t keys_verified = 0;  // for other servers
  uint64_t stanzas_in = 0;
  uint64_t stanzas_out = 0;
  uint64_t acknowledged = 0;  // of those out
  uint64_t resumed = 0;       // streams
  uint64_t returned = 0;      // to their senders, as errors
  uint64_t forbidden = 0;     // by the policy
  uint64_t relayed = 0;       // to partners and from them
  uint64_t dropped = 0;       // for users who go by e-mail addresses
  uint64_t held_back = 0;     // times that a stream was too fast
};

enum class LinkKind : uint8_t { kIncoming, kOutgoing, kVerifying };
enum class LinkState : uint8_t {
  kLooking,         // outgoing: for an address
  kConnecting,      // until the stream is open
  kOpening,         // a header is to come
  kNegotiating,     // features, or what is answered to them
  kSecuring,        // TLS
  kAuthenticating,  // EXTERNAL
  kDialback,        // our key is with them
  kReady,
  kSuspended,   // incoming, broken: it may be resumed
  kBackingOff,  // failed: what comes is answered at once
};

class Federation;

struct Pair {
  FixedString<xmpp::kDomainMax> local;
  FixedString<xmpp::kDomainMax> remote;
  bool is_proved = false;
};

// One stream, or the attempt to have one.
struct Link final : LookupUser {
  void OnHop(const Hop* hop) override;
  void OnTimer();
  Pair& pair() { return pairs[0]; }

  Federation* owner = nullptr;
  HashNode stream_node;
  uint64_t stream_key = 0;
  HashNode route_node;
  uint64_t route_key = 0;
  ListNode doomed_node;
  ListNode waiting_node;  // for a reader
  net::StreamId stream;
  net::Endpoint remote;
  LinkKind kind = LinkKind::kIncoming;
  LinkState state = LinkState::kOpening;
  Door door = Door::kServers;  // kOutgoing by kRelay: to our Edge
  ListNode fast_node;          // it was too fast
  int64_t allowance = 0;       // of stanzas, in millionths
  Instant counted;             // when it was last added to
  bool connected = false;
  bool secure = false;
  bool closing = false;
  bool doomed = false;
  bool unproven = true;
  bool proved_by_certificate = false;  // EXTERNAL has succeeded, the stream begins anew
  bool bidirectional = false;
  bool without_tls = false;  // TLS has failed and is optional
  uint8_t attempts = 0;
  uint8_t pair_count = 0;
  std::array<Pair, kPairMax> pairs;
  FixedString<kStreamIdMax> id;  // of the stream
  Lookup* lookup = nullptr;
  Hop hop;
  Handle asked_by;           // kVerifying: the incoming link
  FixedString<kKeyMax> key;  // and the key it showed
  FixedString<kStreamIdMax> asked_id;
  const char* reason = "";
  std::string_view condition = "remote-server-not-found";
  xmpp::XmlReader* reader = nullptr;
  uint32_t unproven_bytes = 0;
  uint32_t elements_left = xmpp::kUnprovenElements;  // of ours: of one stream
  xmpp::Chain unsent;                                // of the stanza that is on its way
  xmpp::Chain queue;                                 // u32 size and stanza each
  uint32_t queued = 0;
  // XEP-0198.
  bool offers_management = false;
  bool counts_in = false;
  bool counts_out = false;
  bool asked = false;      // <r/> is out
  uint32_t handled = 0;    // of theirs
  uint32_t owed = 0;       // what <a/> will say
  uint32_t confirmed = 0;  // of ours, by them
  uint32_t unconfirmed = 0;
  uint64_t last_commit = 0;  // of what theirs brought about
  uint64_t owed_commit = 0;
  ListNode silent_node;
  uint64_t silent_until = 0;  // stanzas wait until this commit is durable
  ListNode owing_node;
  Instant asked_at;
  xmpp::Chain unacknowledged;  // as the queue
  uint32_t kept = 0;           // of them, where stanzas are not counted (queue.cc)
  ListNode kept_node;
  Handle carrier;  // the link whose stream it uses (riders.cc)
  bool offers_dialback = false;
  bool offers_errors = false;  // in dialback
  bool may_not_ride = false;
  FixedString<kStreamIdMax> resume_id;  // ours on incoming ones, theirs on ours; "": it cannot be
  bool is_resuming = false;             // a stream of ours, from its break to the answer
  Instant used;
  uint64_t stanzas_in = 0;
  uint64_t stanzas_out = 0;
  Timer timer;
};

class Federation final : public xmpp::Remote {
 public:
  struct Parts {
    Arena& arena;
    TimerWheel& timers;
    crypto::Random& random;
    net::Resolver& resolver;
    xmpp::Engine& engine;
    Host& host;
    Observer& observer;
  };
  Federation(const Parts& parts, const Capacity& capacity);
  Federation(const Federation&) = delete;
  Federation& operator=(const Federation&) = delete;
  ~Federation();

  void Apply(const Config& config);
  const Config& config() const { return config_; }

  // --- Connections ---
  bool OnOpen(net::StreamId stream, const net::Endpoint& remote, bool secure,
              Door door = Door::kServers);
  bool Knows(net::StreamId stream) { return Find(stream) != nullptr; }
  // Of a stream of ours, and of either when TLS is up after STARTTLS.
  void OnConnected(net::StreamId stream, bool secure);
  size_t OnData(net::StreamId stream, std::span<const uint8_t> data);
  void OnWritable(net::StreamId stream);
  void OnClosed(net::StreamId stream, net::StreamClose why);

  Taken SendRemote(std::string_view local, std::string_view remote,
                   std::span<const uint8_t> stanza) override;
  void OnDurable() override;
  void HoldUntil(std::string_view local, std::string_view remote, uint64_t commit) override;

  // The system stops: all are told.
  void Stop();
  // All streams end with a word; how many.
  uint32_t CloseAll(const char* reason);

  // --- Operator ---
  // Ends all streams with a domain; "" all there are.
  uint32_t Disconnect(std::string_view remote);
  const Counters& counters() const { return counters_; }
  const xmpp::ChainPool& chains() const { return chains_; }
  uint32_t link_count() const { return links_.used_count(); }
  uint32_t link_capacity() const { return links_.capacity(); }
  Link* LinkAt(uint32_t index) { return links_.At(index); }
  bool IsEdgeConnected();
  bool IsConnected(uint32_t partner);
  // A domain of ours, of users' e-mail addresses, or of a partner.
  bool Serves(std::string_view domain);
  uint32_t reader_count() const { return readers_.lent + unproven_readers_.lent; }
  static constexpr uint64_t bytes_per_link() { return Pool<Link>::bytes_per_item(); }

 private:
  friend struct Link;
  struct StreamTraits {
    using Key = uint64_t;
    static const Key& KeyOf(const Link& link) { return link.stream_key; }
  };
  struct RouteTraits {
    using Key = uint64_t;
    static const Key& KeyOf(const Link& link) { return link.route_key; }
  };
  struct ReaderPool {
    std::span<xmpp::XmlReader> all;
    std::span<uint16_t> free;
    uint32_t free_count = 0;
    uint32_t lent = 0;
    List<Link, &Link::waiting_node> waiting;
  };

  // federation.cc: links, their bytes, their ends.
  static uint64_t KeyOf(net::StreamId id) { return uint64_t{id.index} << 32 | id.generation; }
  Link* Find(net::StreamId stream) { return by_stream_.Find(KeyOf(stream)); }
  void InitReaders(Arena& arena, ReaderPool& pool, uint32_t count, uint32_t first_owner,
                   const xmpp::XmlLimits& limits);
  bool LendReader(Link& link);
  void ReturnReader(Link& link);
  bool Attach(Link& link, net::StreamId stream);
  void Detach(Link& link);
  void OnEvent(Link& link, xmpp::XmlEvent event);
  bool TakeUnproven(Link& link, size_t bytes);
  // It is proved, and may be in the middle of reading.
  static void NoMoreCounted(Link& link) {
    if (link.reader != nullptr) {
      link.reader->SetElementsLeft(xmpp::XmlReader::kAnyNumber);
    }
  }
  void Arm(Link& link, Duration after);
  void OnTimer(Link& link);
  void OnTick();
  Duration IdleOf(const Link& link) const;
  void Write(Link& link, std::span<const uint8_t> bytes);
  void Write(Link& link, std::string_view text) { Write(link, AsBytes(text)); }
  void WriteHeader(Link& link);
  void StreamError(Link& link, std::string_view condition, const char* reason);
  void Finish(Link& link, std::string_view condition, const char* reason);
  void CloseStream(Link& link);
  void Doom(Link& link, const char* reason);
  void Settle();
  bool IsSilent(const Link& link) const;
  void Silence(Link& link, uint64_t commit);
  void HangUp(Link& link);  // its stream, when it has one
  void End(Link& link);
  void OnHeader(Link& link, const xmpp::Node& header);
  void OnElement(Link& link, xmpp::Node& element);
  void OnStanza(Link& link, xmpp::Node& stanza);
  void CountIn(Link& link);
  uint32_t StreamsOf(std::string_view domain);

  // partners.cc
  bool IsEmailDomain(std::string_view domain);
  uint32_t PartnerOf(std::string_view domain) const;
  Link* LinkOf(uint32_t partner) { return links_.Resolve(partner_links_[partner]); }
  static bool IsPartner(const Link& link) { return link.door != Door::kServers; }
  void OnPartnerHeader(Link& link, const xmpp::Node& header);
  void OnComponent(Link& link, const xmpp::Node& element);
  bool IsProvedPeer(const Link& link, std::string_view domain);
  void ProvePartner(Link& link, uint32_t partner);
  bool Promote(Link& link);
  void PartnerLost(Link& link);
  void OnPartnerStanza(Link& link, const xmpp::Address& from, const xmpp::Address& to,
                       xmpp::Node& stanza);
  void KeepTrunk();

  // forward.cc: to whom a stanza goes that came in.
  void Forward(const xmpp::Address& from, const xmpp::Address& to, xmpp::Node& stanza);
  void ToEngine(const xmpp::Address& from, xmpp::Address to, xmpp::Node& stanza);
  bool TakeEmails(const xmpp::Address& from, xmpp::Address& to, xmpp::Node& stanza);
  void AnswerError(const xmpp::Node& stanza, std::string_view condition);
  Taken SendOut(std::string_view local, std::string_view remote, std::span<const uint8_t> stanza);
  Link* WayTo(std::string_view local, std::string_view remote, Taken& refusal);
  Taken SendOn(Link& link, std::span<const uint8_t> stanza);

  // rate.cc
  bool IsTooFast(Link& link);
  void OnRate();

  // queue.cc: what waits, what comes back.
  uint64_t RouteKey(std::string_view local, std::string_view remote) const;
  Link* FindRoute(std::string_view local, std::string_view remote);
  bool AddRoute(Link& link);
  void RemoveRoute(Link& link);
  bool Enqueue(Link& link, std::span<const uint8_t> stanza);
  void Drain(Link& link);
  void KeepSent(Link& link, std::span<const uint8_t> stanza);
  void ForgetDelivered(Link& link);
  void ForgetSent(Link& link);
  void OnDeliveryTimer();
  void ReturnAll(Link& link);
  void ReturnEach(Link& link, xmpp::Chain& stanzas);
  void Return(Link& link, std::span<const uint8_t> stanza);
  xmpp::Node* Reread(std::span<const uint8_t> stanza, uint32_t reader = 0);

  // management.cc
  void EnableManagement(Link& link);
  bool OnManagement(Link& link, const xmpp::Node& element);
  void OnEnable(Link& link, std::string_view resume);
  bool MaySend(const Link& link, size_t size) const;
  void SendCounted(Link& link, std::span<const uint8_t> stanza);
  void Ask(Link& link);
  bool OnAcknowledged(Link& link, uint32_t handled);
  void Acknowledge(Link& link);
  void SendOwed(Link& link);
  void OnOwedDurable(Link& link);

  // resumption.cc
  bool Suspend(Link& link);
  bool AskToResume(Link& link);
  void OnResume(Link& link, const xmpp::Node& element);
  void Resume(Link& link, std::string_view previous, uint32_t handled);
  bool WaitForDisk(Link& link, uint64_t commit);
  Link* FindSuspended(const Link& link, std::string_view previous);
  void TakeOver(Link& link, Link& old);
  void OnResumed(Link& link, const xmpp::Node& element);
  void OnNotResumed(Link& link);
  void Resend(Link& link);

  // riders.cc
  Link* CarrierOf(const Link& link);
  bool MayCarry(Link& carrier, const Link& link, const Hop* hop);
  bool Ride(Link& link, const Hop* hop = nullptr);
  void LeaveRide(Link& link);
  void OnRideAnswer(Link& carrier, const xmpp::Node& element);
  void HandOver(Link& link, Link& carrier);
  bool EndRides(Link& carrier);

  // outgoing.cc
  Link* NewOutgoing(std::string_view local, std::string_view remote, LinkKind kind,
                    Door door = Door::kServers);
  void BeginLookup(Link& link);
  void TryNext(Link& link);
  void TryHop(Link& link, const Hop* hop);
  void AttemptFailed(Link& link, const char* reason);
  void GiveUp(Link& link);
  void OnFeatures(Link& link, const xmpp::Node& features);
  void OnOutgoing(Link& link, const xmpp::Node& element);
  void SendKey(Link& link);
  void WriteKey(Link& stream, const Pair& pair);
  void SendVerify(Link& link);
  void OnReady(Link& link, const char* how);

  // incoming.cc
  void WriteFeatures(Link& link);
  void WriteLimits(const Link& link, ByteWriter& out);
  void OnIncoming(Link& link, const xmpp::Node& element);
  void OnExternal(Link& link, const xmpp::Node& element);
  void OnResult(Link& link, const xmpp::Node& element);
  void OnVerify(Link& link, const xmpp::Node& element);
  void AnswerResult(Link& link, std::string_view local, std::string_view remote,
                    std::string_view type, std::string_view condition = {});
  void OnVerified(Link& verifying, bool is_valid, std::string_view condition);
  void Prove(Link& link, Pair& pair, const char* how);
  bool RefuseInMaintenance(Link& link, std::string_view domain);
  Pair* FindPair(Link& link, std::string_view local, std::string_view remote);

  TimerWheel& timers_;
  crypto::Random& random_;
  net::Resolver& resolver_;
  xmpp::Engine& engine_;
  Host& host_;
  Observer& observer_;
  Config config_;
  SipKey key_;
  xmpp::ChainPool chains_;
  Pool<Link> links_;
  HashTable<Link, &Link::stream_node, StreamTraits> by_stream_;
  HashTable<Link, &Link::route_node, RouteTraits> by_route_;
  Pool<Lookup> lookups_;
  Heap parser_heap_;
  ReaderPool readers_;
  ReaderPool unproven_readers_;
  std::span<xmpp::XmlReader> own_readers_;  // of what comes back, and of what is renamed
  EmailNames names_in_, names_out_;
  std::span<uint8_t> renamed_;
  std::string_view answers_as_;  // an e-mail domain that was asked itself
  std::array<Handle, kPartnerMax> partner_links_ = {};
  Handle trunk_;  // to our Edge
  uint32_t edge_ = 0;
  List<Link, &Link::fast_node> fast_;
  Timer rate_timer_;
  List<Link, &Link::doomed_node> doomed_;
  List<Link, &Link::owing_node> owing_;
  List<Link, &Link::silent_node> silent_;
  List<Link, &Link::kept_node> kept_;
  Timer kept_timer_;
  std::span<uint8_t> scratch_;
  uint32_t unproven_incoming_ = 0;
  uint32_t verifying_ = 0;
  bool settling_ = false;
  Timer settle_timer_;
  Timer tick_timer_;
  Counters counters_;
};

}  // namespace gh::s2s
