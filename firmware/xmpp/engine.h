// The XMPP engine: clients' streams, rosters, presence, messages (RFC 6120, RFC 6121). It does no
// I/O: bytes of connections and the time come in; bytes, timers and events go out through Host,
// what must survive through Keeper (directory.h).
//
// A session is a connection until it is bound to a resource, and may outlive its connection then
// (XEP-0198). Sessions are never ended in the middle of something: they are doomed, and ended when
// the engine is done with what it does (Settle), so no one step can pull another's ground away.
//
// Fault model: peers are hostile until they have proved who they are, and bounded after that; a
// full pool fails what asked for it and nothing else.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/random.h"
#include "firmware/xmpp/caps.h"
#include "firmware/xmpp/contact_lists.h"
#include "firmware/xmpp/directory.h"
#include "firmware/xmpp/items.h"
#include "firmware/xmpp/privacy_lists.h"
#include "firmware/xmpp/rooms.h"
#include "firmware/xmpp/sources.h"
#include "firmware/xmpp/tokens.h"
#include "firmware/xmpp/uploads.h"
#include "firmware/xmpp/xml_reader.h"
#include "hal/rt/timer_wheel.h"
#include "net/stream.h"

namespace gh::xmpp {

struct Capacity {
  DirectoryCapacity directory;
  RoomCapacity rooms;
  ItemCapacity items;
  uint32_t watches = 0;
  uint32_t clients_away = 0;
  uint32_t sessions = 0;
  uint32_t readers = 0;           // stanzas that may be incomplete at a time
  uint32_t unproven_readers = 0;  // of them, those of peers that are not authenticated
  uint32_t blocks = 0;            // of 128 bytes

  static Capacity For(uint32_t accounts, uint32_t sessions);
  uint64_t ArenaBytes() const;
};

struct Config {
  bool enabled = false;
  bool draining = false;  // maintenance: no session begins, those there are go on
  std::array<FixedString<127>, kLocalDomainMax> domains = {};
  uint32_t domain_count = 0;
  bool sha1 = true;
  bool channel_binding = true;
  bool downgrade_protection = true;  // XEP-0474
  bool plain = false;                // SASL PLAIN, in TLS
  bool external = false;             // SASL EXTERNAL, by certificate
  bool tokens = true;                // XEP-0484
  Duration token_life = Duration::Seconds(14 * 24 * 3600);
  bool auto_authorization = false;  // of subscriptions between our users
  bool messages = true;
  bool presence = true;                  // is shown to others
  UserPolicy policy = UserPolicy::kAsk;  // of users who have none of their own
  bool temporary = false;                // watches for a while
  uint32_t temporary_max = 0;            // 0: as memory has it
  Duration temporary_life = Duration::Seconds(300);
  uint32_t watchers_per_user = UINT32_MAX;
  uint32_t stanza_max = kStanzaMax;
  uint32_t stanza_rate = 0;  // stanzas a second of one client; 0: any
  Duration keep_alive;  // after which a client that is sent nothing is sent a blank; zero: never
  Duration reply = Duration::Seconds(900);  // zero: messages always go to all clients
  Duration resume = Duration::Seconds(300);
  uint32_t sessions_per_user = 10;
  // Of one address (IPv6: one /64): of all connections, and of those that strangers may have.
  uint32_t address_percent = 100;
  uint32_t address_strangers_percent = 100;
  uint32_t contacts_per_user = 200;
  uint32_t messages_per_user = 100;
  bool push = true;
  bool push_contents = false;  // push services are told who wrote and what
  bool search = false;         // users may look for others of their domain
  bool file_transfer = true;   // offers of files between clients are carried
  // What clients are asked to observe themselves.
  bool client_history = true;
  bool client_cut_paste = true;
  RoomRules rooms;
  ArchiveConfig archive;
};

using ProvedUser = FixedString<kBareMax>;

// What the engine asks of its connections and its machine.
class Host {
 public:
  // All of it is taken, or nothing: kWouldBlock, OnWritable follows.
  virtual Result<void> Send(net::StreamId stream, std::span<const uint8_t> bytes) = 0;
  virtual Result<void> StartTls(net::StreamId stream) = 0;
  virtual void Close(net::StreamId stream) = 0;  // after what was sent
  virtual void Abort(net::StreamId stream) = 0;
  virtual void Resume(net::StreamId stream) = 0;  // what OnData left is offered again
  // Channel bindings of a TLS stream; how many bytes, 0: none.
  virtual size_t BindingOf(net::StreamId stream, Binding kind, std::span<uint8_t, 64> out) = 0;
  // Addresses that the client's certificate, which is good, names; how many.
  virtual uint32_t ProvedUsers(net::StreamId /*stream*/,
                               std::span<ProvedUser, kProvedUserMax> /*out*/) {
    return 0;
  }
  virtual int64_t UnixSeconds() = 0;

 protected:
  ~Host() = default;
};

class Observer {
 public:
  virtual void OnLoggedIn(std::string_view user, const net::Endpoint& client,
                          std::string_view mechanism) = 0;
  virtual void OnEnded(std::string_view user, const net::Endpoint& client,
                       std::string_view reason) = 0;
  virtual void OnRefused(const net::Endpoint& client, std::string_view user,
                         std::string_view reason) = 0;
  // Somebody showed a password, a token or a name that is not his.
  virtual void OnGuess(const net::Endpoint& /*client*/) {}
  // A user's push service is not told any more.
  virtual void OnPushGone(std::string_view user, std::string_view service,
                          std::string_view reason) {
    (void)user, (void)service, (void)reason;
  }
  // A room was made or destroyed.
  virtual void OnRoom(std::string_view room, std::string_view by, const char* what) = 0;
  // Memory is short: what clients say is held back.
  virtual void OnHeldBack(uint32_t /*free*/, uint32_t /*blocks*/) {}

 protected:
  ~Observer() = default;
};

// The way to users of other servers.
class Remote {
 public:
  enum class Taken : uint8_t {
    kYes,        // it is on its way, or an error comes back by Engine::OnRemote
    kUnknown,    // nobody goes there
    kForbidden,  // the policy
    kFull,
  };
  // A stanza with its addresses, from somebody of `local`, a domain of ours. Never calls the
  // engine.
  virtual Taken SendRemote(std::string_view local, std::string_view remote,
                           std::span<const uint8_t> stanza) = 0;
  // What the engine was given is on the disk up to Engine::durable(). Never calls the engine's
  // other functions.
  virtual void OnDurable() {}
  // What is sent there from now on, by somebody of `local`, waits until the commit is durable.
  virtual void HoldUntil(std::string_view /*local*/, std::string_view /*remote*/,
                         uint64_t /*commit*/) {}

 protected:
  ~Remote() = default;
};

// Who keeps a record of messages.
class Recorder {
 public:
  // A message on its way. False: it is to be refused, for it could not be recorded.
  virtual bool Record(std::span<const uint8_t> stanza) = 0;

 protected:
  ~Recorder() = default;
};

struct Counters {
  uint64_t streams = 0;
  uint64_t stream_errors = 0;
  uint64_t logins = 0;
  uint64_t login_failures = 0;
  uint64_t token_logins = 0;
  uint64_t stanzas_in = 0;
  uint64_t stanzas_out = 0;
  uint64_t messages = 0;
  uint64_t presences = 0;
  uint64_t queries = 0;
  uint64_t kept = 0;       // messages put by for later
  uint64_t delivered = 0;  // of them, sent since
  uint64_t resumed = 0;
  uint64_t pushes = 0;
  uint64_t refused = 0;  // stanzas answered with an error for want of room
  uint64_t held_back = 0;
  uint64_t shed = 0;  // sessions ended because they did not read
  uint64_t too_fast = 0;
  uint64_t crowded_out = 0;  // strangers that gave way to others
};

// How elements lie in a connection's bytes.
enum class Framing : uint8_t {
  kStream,     // inside one document
  kWebSocket,  // each a document of its own, a message of a WebSocket (RFC 7395)
  kBodies,     // each a document of its own; bodies of HTTP go around them (XEP-0124)
};

enum class SessionState : uint8_t {
  kConnected,   // no header yet
  kNegotiated,  // features were sent: StartTls or authentication is to come
  kSecuring,    // between <proceed/> and the end of the handshake
  kProven,      // authenticated, a new header is to come
  kBinding,     // a resource is to be bound
  kBound,
  kHibernating,  // bound, without a connection
};

// What a client wants with its log-in (XEP-0388), while it proves itself.
struct Wishes {
  bool binds = false;
  bool carbons = false;
  bool inactive = false;
  bool manages = false;  // XEP-0198
  bool keeps = false;    // to resume one day
  bool resumes = false;
  bool has_client = false;
  bool has_token = false;  // shows one
  bool wants_token = false;
  bool invalidates = false;
  Binding token_binding = Binding::kNone;
  uint32_t handled = 0;
  FixedString<64> previous;
  FixedString<64> tag;
  ClientDigest client = {};
};

// What a session may not want to be sent (sift.cc).
enum SiftKind : uint8_t { kSiftMessage, kSiftPresence, kSiftIq };
inline constexpr uint32_t kSiftKinds = 3;

class Engine;

struct Session {
  Engine* engine = nullptr;
  HashNode stream_node;
  uint64_t stream_key = 0;
  ListNode doomed_node;
  ListNode waiting_node;  // for a reader
  ListNode owing_node;    // an acknowledgement that waits for the disk
  ListNode unsent_node;   // something is unsent
  ListNode held_node;     // what it says is held back
  // Among strangers, oldest first (strangers.cc).
  ListNode stranger_node;
  ListNode reading_node;
  ListNode attempt_node;
  Instant opened;
  Instant reading_since;
  Instant attempt_since;
  Source* source = nullptr;  // while it has a connection
  Session* next_of_account = nullptr;
  Account* account = nullptr;
  net::StreamId stream;
  net::Endpoint remote;
  SessionState state = SessionState::kConnected;
  Framing framing = Framing::kStream;
  bool connected = false;
  bool secure = false;
  bool closing = false;  // our </stream> is sent: nothing is read any more
  bool doomed = false;
  bool wants_roster = false;
  bool wants_blocks = false;
  bool carbons = false;
  bool available = false;
  bool inactive = false;
  bool subscribes = false;  // as itself, to a node
  bool unproven = true;     // which readers are its
  bool sasl2 = false;       // how it logs in
  // Somebody of another server, for as long as his stanza is dealt with: who wants to remember him
  // keeps his address, never this.
  bool is_remote = false;
  int8_t priority = 0;
  uint8_t failures = 0;
  uint8_t domain = 0;
  uint8_t privacy = 0;         // the number of its active list; 0: none
  bool reads_offline = false;  // messages that wait are asked for one by one (XEP-0013)
  std::array<uint8_t, kSiftKinds> sift = {};  // sender, and recipient above; 0: all is sent
  // XEP-0198.
  bool managed = false;
  bool resumable = false;
  bool asked = false;      // <r/> is out
  uint32_t handled = 0;    // from the client
  uint32_t confirmed = 0;  // by the client, of ours
  uint32_t unconfirmed = 0;
  uint32_t owed = 0;         // what <a/> will say
  uint64_t owed_commit = 0;  // when that is durable
  uint64_t last_commit = 0;  // of what the client's stanzas brought about
  Chain unacknowledged;      // u32 size, u64 number of the waiting message, the stanza
  uint64_t token_high = 0, token_low = 0;
  const char* doom = "";
  uint16_t unproven_bytes = 0;
  uint16_t elements_left = kUnprovenElements;
  int64_t allowance = 0;  // of stanzas, in millionths
  Instant counted;        // when it was last added to
  Instant written;        // when something was last sent
  FixedString<kResourceMax> resource;
  Caps* caps = nullptr;
  XmlReader* reader = nullptr;
  ScramLogin* login = nullptr;
  Wishes* wishes = nullptr;
  uint64_t said_from = 0;  // a hash of the user its header named; 0: none
  Chain unsent;
  uint64_t silent_until = 0;  // nothing is sent before this commit is durable
  Instant unsent_since;       // when the network last took some of it
  uint32_t unsent_taken = 0;  // bytes since
  Chain held;                 // presence for a client that does not look
  Chain presence;             // as last broadcast
  Chain directed;             // u16 size and address each
  Chain replies;              // whom its user replied to from here (replies.cc)
  List<Occupant, &Occupant::session_node> rooms;
  List<Watch, &Watch::session_node> watches;
  Timer timer;
};

// For status.
struct SessionInfo {
  uint32_t id = 0;
  std::string_view user;
  std::string_view resource;
  net::Endpoint remote;
  bool secure = false;
  bool available = false;
  bool managed = false;
  bool connected = false;
  uint32_t unconfirmed = 0;
};

// "ask", "allow", "block", "default".
bool ReadUserPolicy(std::string_view word, UserPolicy& out);

class Engine final : private RoomHost {
 public:
  Engine(Arena& arena, TimerWheel& timers, crypto::Random& random, Host& host, Keeper& keeper,
         Observer& observer, const Capacity& capacity);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  Directory& directory() { return *directory_; }
  Rooms& rooms() { return *rooms_; }
  const Archive& archive() const { return archive_; }
  const Items& items() const { return *items_; }
  uint32_t caps_count() const { return caps_->count(); }
  uint32_t caps_away_count() const { return caps_away_->count(); }
  uint32_t client_away_count() const { return clients_away_.used_count(); }
  // One row, as it was kept; in the order of keys.
  Result<void> Load(std::string_view key, std::span<const uint8_t> value);
  // After the last row and before anything else: what was kept under domains in DNS's form is found
  // again (adoption.cc).
  Adoption AdoptDomains();
  // The same: what those that nobody knows are answered by outlives a restart.
  void KeepSecret();
  // Domains that go away take their sessions along.
  void Apply(const Config& config);
  const Config& config() const { return config_; }

  // --- Connections ---
  bool OnOpen(net::StreamId stream, const net::Endpoint& remote, bool secure,
              Framing framing = Framing::kStream);
  bool Knows(net::StreamId stream) { return Find(stream) != nullptr; }
  void OnSecured(net::StreamId stream);  // TLS is up, after StartTls
  // Returns how many bytes were taken; the rest comes again after Resume.
  size_t OnData(net::StreamId stream, std::span<const uint8_t> data);
  // Of other framings (framing.cc): one whole element. False: no parser is free, Resume follows.
  bool OnMessage(net::StreamId stream, std::span<const uint8_t> message);
  // The same, read by somebody else, in ns::kClient unless it says otherwise.
  void OnElement(net::StreamId stream, Node& element);
  // What it was read out of, which strangers have little of: bytes, and elements that were begun.
  void Spend(net::StreamId stream, size_t bytes, uint32_t elements);
  // How many elements may begin; XmlReader::kAnyNumber for who is known.
  uint32_t ElementsLeft(net::StreamId stream);
  // A frame of its owner's, between two elements.
  void WriteControl(net::StreamId stream, std::span<const uint8_t> frame);
  // Whether OnMessage would find a parser; if not, Resume follows.
  bool MayTakeMessage(net::StreamId stream);
  // How large the next element may be; 0: the session is over.
  uint32_t MessageMax(net::StreamId stream);
  void OnWritable(net::StreamId stream);
  void OnClosed(net::StreamId stream);
  // --- Other servers (remote.cc) ---
  void SetRemote(Remote* remote) { remote_ = remote; }
  bool Serves(std::string_view domain) const;  // a domain of ours or of our rooms
  // A stanza that came from another server, which has proved to speak for `from`'s domain; `to` is
  // of ours. Elements of the stream's name space are in ns::kClient. Also errors for what could not
  // be sent.
  void OnRemote(const Address& from, const Address& to, Node& stanza);
  // The commit that has what stanzas from other servers have brought about so far.
  uint64_t remote_commit() const { return remote_session_.last_commit; }
  uint64_t durable() const { return keeper_.durable(); }
  // Somebody's answers wait for a commit.
  bool is_holding() const { return is_holding_; }
  void SetRecorder(Recorder* recorder) { recorder_ = recorder; }
  void SetUploads(Uploads* uploads) { uploads_ = uploads; }
  // The keeper has made more durable.
  void OnDurable();
  void OnTimer(Session& session);  // of its own timers

  // --- Operator ---
  Result<void> RemoveUser(std::string_view bare);
  uint32_t EndSessions(std::string_view bare, const char* reason);
  bool EndSession(uint32_t id, const char* reason);
  Result<void> SetPolicy(Account& account, UserPolicy policy);
  Result<void> Allow(Account& account, const Address& whom);
  uint32_t RevokeTokens(std::string_view bare);
  // The system stops: all streams end with a word, and no more begin.
  void Stop();
  // All streams end with a word, and no session is kept; how many sessions.
  uint32_t CloseAll(const char* reason);
  uint32_t watch_count() const { return watches_.used_count(); }
  uint32_t TokenCount(const Account& account) const { return tokens_.CountOf(account); }
  Result<void> DestroyRoom(std::string_view name, std::string_view reason);
  uint32_t CloseIdleRooms();
  // Of contact lists (contact_lists.h). What is to be kept is the keeper's; the caller flushes it.
  ContactFault ImportContact(const ContactLine& line);
  void ExportContact(Account& account, const Contact& contact, ByteWriter& out);
  uint32_t RenameContact(const RenameLine& line);
  ContactFault ImportUser(const UserLine& line);
  uint32_t Broadcast(std::string_view domain, std::string_view text);
  bool NextSession(uint32_t& cursor, SessionInfo& out);
  uint32_t session_count() const { return sessions_.used_count(); }
  uint32_t session_capacity() const { return sessions_.capacity(); }
  uint32_t bound_count() const { return bound_count_; }
  uint32_t stranger_count() const { return strangers_.size(); }
  uint32_t source_count() const { return sources_.count(); }
  uint32_t reader_count() const { return readers_.lent + unproven_readers_.lent; }
  uint32_t reader_capacity() const {
    return static_cast<uint32_t>(readers_.all.size() + unproven_readers_.all.size());
  }
  const ChainPool& chains() const { return chains_; }
  const Counters& counters() const { return counters_; }
  static constexpr uint64_t bytes_per_session() { return Pool<Session>::bytes_per_item(); }

 private:
  struct StreamTraits {
    using Key = uint64_t;
    static const Key& KeyOf(const Session& session) { return session.stream_key; }
  };
  struct ReaderPool {
    std::span<XmlReader> all;
    std::span<uint16_t> free;
    uint32_t free_count = 0;
    uint32_t lent = 0;
    List<Session, &Session::waiting_node> waiting;
  };
  class Reply;
  enum class Delivery : uint8_t { kDelivered, kNobody };

  // engine.cc: sessions, their bytes, their ends.
  static uint64_t KeyOf(net::StreamId id) { return uint64_t{id.index} << 32 | id.generation; }
  Session* Find(net::StreamId stream) { return by_stream_.Find(KeyOf(stream)); }
  void InitReaders(Arena& arena, ReaderPool& pool, uint32_t count, uint32_t first_owner,
                   const XmlLimits& limits);
  ReaderPool& PoolOf(const Session& session) {
    return session.unproven ? unproven_readers_ : readers_;
  }
  bool LendReader(Session& session);
  void ReturnReader(Session& session);
  void OnEvent(Session& session, XmlEvent event);
  static XmlEvent Read(Session& session, std::span<const uint8_t>& in);
  bool TakeUnproven(Session& session, size_t bytes);
  void ArmDeadline(Session& session);
  void Write(Session& session, std::span<const uint8_t> bytes);
  void WriteBytes(Session& session, std::span<const uint8_t> bytes);
  void Write(Session& session, std::string_view text) { Write(session, AsBytes(text)); }
  void SendStanza(Session& session, std::span<const uint8_t> stanza, uint64_t number = 0);
  void SendNow(Session& session, std::span<const uint8_t> stanza, uint64_t number);
  void NotSent(Session& session, uint64_t number);
  void StreamError(Session& session, std::string_view condition, const char* reason);
  void CloseStream(Session& session);
  void Doom(Session& session, const char* reason);
  void Settle();
  void End(Session& session);
  void Detach(Session& session);
  void Hibernate(Session& session);
  void LinkToAccount(Session& session);
  void UnlinkFromAccount(Session& session);

  // strangers.cc
  template <ListNode Session::*Node>
  Session* Crowder(List<Session, Node>& holders, uint32_t Source::*held, Instant Session::*since,
                   const Source& asking);
  const char* Admit(const Source& source);
  bool FreeReaderFor(const Session& session);
  bool BeginAttempt(Session& session);
  void EndAttempt(Session& session);
  void EnterAsStranger(Session& session, Source& source);
  void LeaveStrangers(Session& session);
  void NoteReading(Session& session, bool is_reading);
  void LeaveSource(Session& session);

  // pressure.cc
  bool IsShort() const;
  bool HoldsBack(Session& session);
  bool IsTooFast(Session& session);
  void HoldBack(Session& session, uint64_t& counter);
  void OnKeepAlive();
  void OnPressure();
  void ReleaseHeld();
  void Shed(Session& session);
  bool QueueUnsent(Session& session, std::span<const uint8_t> bytes);
  void NoteUnsent(Session& session);
  void HoldUntil(Session& session, uint64_t commit);
  void ReleaseSilent();
  void NoteTaken(Session& session, uint32_t count);
  void ForgetUnsent(Session& session);

  // framing.cc
  void OnWhole(Session& session, Node& element);
  void WriteFramed(Session& session, std::span<const uint8_t> element);
  void WriteOpen(Session& session, std::string_view from, ByteWriter& out);
  void WriteEnd(Session& session);
  uint32_t StanzaMax(const Session& session) const;
  size_t BindingOf(Session& session, Binding kind, std::span<uint8_t, 64> out);

  // negotiation.cc
  void OnHeader(Session& session, const Node& header);
  void WriteHeader(Session& session, const Node& header);
  void WriteFeatures(Session& session);
  void OnNegotiation(Session& session, Node& stanza);
  void OnStartTls(Session& session);
  void OnBinding(Session& session, Node& stanza);
  void Bind(Session& session, const Node& query, std::string_view wanted);
  bool MayBind(const Session& session, std::string_view resource);
  void TakeResource(Session& session);
  Session* FindSession(Account& account, std::string_view resource);

  // authentication.cc
  // What a stream may log in by: names of mechanisms, the best first, and of channel bindings.
  template <size_t kMax>
  struct OfferedNames {
    std::array<std::string_view, kMax> names;
    size_t count = 0;
    void Add(std::string_view name) { names[count++] = name; }
    std::span<std::string_view> view() { return std::span(names).first(count); }
    std::span<const std::string_view> view() const { return std::span(names).first(count); }
  };
  struct LoginOffer {
    OfferedNames<6> mechanisms;
    OfferedNames<2> bindings;
  };
  LoginOffer OfferOf(Session& session);
  void WriteMechanisms(Session& session, ByteWriter& out);
  bool MayBindChannel(Session& session, Binding kind);
  void DropAttempt(Session& session);
  void OnAuth(Session& session, const Node& stanza);
  void Attempt(Session& session, std::string_view name, std::string_view text);
  void RefuseAuth(Session& session, std::string_view condition, std::string_view reason);
  void RefuseGuess(Session& session, std::string_view reason,
                   std::string_view condition = "not-authorized");
  void OnProven(Session& session, Account& account, const char* mechanism,
                std::span<const uint8_t> data);
  void OnAuthenticated(Session& session, const char* mechanism);
  Verifier VerifierOf(const Account* account, const Address& user) const;
  void OnClientFirst(Session& session, std::string_view message, ScramHash hash, bool plus);
  void OnResponse(Session& session, const Node& stanza);
  bool IsAuthorisation(const Session& session, std::string_view said, const Address& user);
  void OnPlain(Session& session, std::string_view message);
  uint32_t ProvedUsers(Session& session, std::span<ProvedUser, kProvedUserMax> out);
  bool HasProvedUser(Session& session);
  void OnExternal(Session& session, std::string_view said);
  void OnHashedToken(Session& session, std::string_view message, Binding kind);

  // sasl2.cc (XEP-0388, XEP-0386, XEP-0484)
  void OnAuthenticate(Session& session, const Node& stanza);
  void NameResource(const Account& account, const Wishes& wishes, FixedString<kResourceMax>& out);
  void OnProvenWithWishes(Session& session, const char* mechanism, std::span<const uint8_t> data);
  void WriteBound(Session& session, const Wishes& wishes, ByteWriter& out);
  void WriteNewToken(Session& session, Account& account, const Wishes& wishes, ByteWriter& out);

  // management.cc (XEP-0198, XEP-0352)
  bool OnManagement(Session& session, const Node& stanza);
  void OnEnable(Session& session, const Node& stanza);
  void EnableManagement(Session& session, bool keeps, ByteWriter& out);
  void OnResumeRequest(Session& session, const Node& stanza);
  Session* FindResumable(Session& session, std::string_view previous, uint32_t handled);
  void TakeOver(Session& session, Session& old);
  static void WriteResumed(const Session& session, std::string_view previous, ByteWriter& out);
  void Resend(Session& session);
  bool OnAcknowledged(Session& session, uint32_t handled);
  void Acknowledge(Session& session);
  void SendOwed(Session& session);
  void OnClientState(Session& session, bool active);
  void FlushHeld(Session& session);
  void FreeUnacknowledged(Session& session);

  // routing.cc
  void OnStanza(Session& session, Node& stanza);
  void Route(Session& session, Node& stanza, const Address& to);
  void RouteToAccount(Session& session, Node& stanza, const Address& to, Account& account);
  void AnswerError(Session& session, const Node& stanza, std::string_view type,
                   std::string_view condition, std::string_view more = {});
  void SendResult(Session& session, const Node& query, std::string_view payload,
                  std::string_view from = {});
  bool IsLocal(std::string_view domain) const;
  std::string_view FullOf(const Session& session, std::span<uint8_t> out) const;

  // remote.cc
  void DropForged(Node& stanza) const;
  Remote::Taken ToRemote(std::string_view from, std::string_view to,
                         std::span<const uint8_t> stanza);
  void SendAway(Session& session, const Node& stanza, const Address& to);
  void OnPresenceAway(Session& session, const Node& stanza, const Address& to);
  void PresenceAway(Account& account, std::string_view watcher, std::span<const uint8_t> presence);
  void ProbeAway(const Account& account, std::string_view watched);
  bool RememberDirected(Session& session, const Address& to);
  void OnRemotePresence(Account& account, const Address& to, Node& stanza);
  void AnswerProbe(Account& account);

  // For rooms (routing.cc).
  void SendTo(Session* session, std::string_view full, std::span<const uint8_t> stanza) override;
  void SendToUser(const Address& to, std::span<const uint8_t> stanza) override;
  void OnKept(Session* session, uint64_t commit) override;
  void HoldUntil(const Speaker& speaker, std::string_view from, uint64_t commit) override;
  int64_t RoomTime() override { return host_.UnixSeconds(); }
  std::string_view OccupantAvatar(Session& session, std::span<uint8_t> out) override {
    return AvatarOf(*session.account, out);
  }
  bool CardOf(const Address& user, std::span<uint8_t> out, std::string_view& card) override;
  void OnRoomEvent(std::string_view room, std::string_view by, const char* what) override {
    observer_.OnRoom(room, by, what);
  }

  // archiving.cc (XEP-0313)
  uint64_t ArchiveFor(Account& account, Session* sender, const Node& stanza, std::string_view from,
                      std::string_view to, const Address& with);
  bool WantsArchived(Account& account, const Address& with);
  void OnArchiveQuery(Session& session, const Node& stanza, const Node& query, bool is_set);
  void OnArchiveRules(Session& session, const Node& stanza, const Node& query, bool is_set);
  bool KeepArchiveRules(Account& account);
  void AdoptArchiveRules(Account& account, Adoption& adoption);

  // pubsub.cc
  bool MayRead(Account& reader, Account& owner, ItemNode& node) {
    return &reader == &owner || MayRead(reader.name.view(), owner, node);
  }
  bool MayRead(std::string_view reader, Account& owner, ItemNode& node);
  bool MayPublish(const Session& session, Account& owner, ItemNode* node);
  void OnPubsub(Session& session, const Node& stanza, const Node& query, Account& owner,
                bool is_set);
  void OnCreate(Session& session, const Node& stanza, const Node& query, std::string_view name);
  void OnRetract(Session& session, const Node& stanza, const Node& what, Account& owner,
                 ItemNode& node);
  void OnNodeOwner(Session& session, const Node& stanza, const Node& what, Account& owner,
                   ItemNode& node, bool is_set);
  void OnConfigure(Session& session, const Node& stanza, const Node& what, Account& owner,
                   ItemNode& node);
  void SendConfigForm(Session& session, const Node& stanza, const ItemNode& node);
  void OnPublish(Session& session, const Node& stanza, const Node& query, const Node& publish,
                 Account& owner, ItemNode* node);
  static void WriteEvent(const Account& owner, std::string_view to, std::string_view node,
                         std::string_view event, ByteWriter& out);
  std::string_view LastItemOf(Account& owner, ItemNode& node);
  void NotifySession(Account& owner, Session& session, const ItemNode& node,
                     std::string_view event);
  void Notify(Account& owner, ItemNode& node, std::string_view event);
  void SendLastItems(Account& owner, Session& session);
  void OnWishesKnown(Session& session);
  void OnCaps(Session& session, const Node& presence);
  void OnCapsAnswer(Session& session, const Node& stanza);
  void SendItems(Session& session, const Node& stanza, const Node& wanted, const Node* set,
                 Account& owner, ItemNode& node);
  // pubsub_entities.cc: subscribers and affiliates.
  bool OnEntityQuery(Session& session, const Node& stanza, const Node& what, Account& owner,
                     ItemNode* node, bool is_set);
  bool MaySubscribe(Session& session, const Node& stanza, Account& owner, ItemNode* node);
  void OnSubscribe(Session& session, const Node& stanza, const Node& what, Account& owner,
                   ItemNode* node);
  NodeEntity* AddSubscriber(Account& owner, ItemNode& node, const Address& who);
  void OnUnsubscribe(Session& session, const Node& stanza, const Node& what, Account& owner,
                     ItemNode* node);
  bool EndSubscription(NodeEntity& entity);
  void EndSubscriptions(Account& owner, std::string_view full);
  bool IsStale(Account& owner, ItemNode& node, const NodeEntity& entity);
  void EndStale(Account& owner, ItemNode& node);
  void EndStale(Account& owner);
  NodeAffiliation AffiliationOf(std::string_view bare, const Account& owner, ItemNode& node);
  bool Owns(const Session& session, Account& owner, ItemNode* node);
  bool IsSubscriber(ItemNode& node, const Session& session);
  bool IsSubscriberAway(ItemNode& node, std::string_view full);
  void SendToReader(Account& reader, const Address& who, bool has_user,
                    std::span<const uint8_t> event);
  void NotifySubscriber(NodeEntity& entity, std::string_view event);
  void NotifySubscribers(Account& owner, ItemNode& node, std::string_view event);
  void SendOwnEntities(Session& session, const Node& stanza, const Node& what, Account& owner,
                       ItemNode* node);
  void SendEntities(Session& session, const Node& stanza, Account& owner, ItemNode& node,
                    bool is_subscriptions);
  void OnSubscribersSet(Session& session, const Node& stanza, const Node& what, Account& owner,
                        ItemNode& node);
  bool MaySetSubscriber(const Node& item, Account& owner, ItemNode& node);
  void TellSubscription(const Account& owner, const ItemNode& node, const Address& who,
                        bool is_subscribed);
  void OnAffiliatesSet(Session& session, const Node& stanza, const Node& what, Account& owner,
                       ItemNode& node);
  bool SetAffiliation(Account& owner, ItemNode& node, const Address& who,
                      NodeAffiliation affiliation);
  // pubsub_away.cc: those of other servers.
  void OnClientAway(Account& owner, const Node& presence);
  ClientAway* FindClientAway(Account& owner, const Address& who);
  ClientAway* NewClientAway(Account& owner, const Address& who);
  void MakeRoomForClientAway(Account& owner, uint64_t user_hash);
  void ForgetClientAway(ClientAway& client);
  void ForgetClientsAway(Account& owner, const Address& who);
  void ForgetBlockedAway(Account& owner);
  void ForgetAllAway(Account& owner);
  void ForgetWhoCannotHear(const Address& to, const Node& stanza);
  void WriteCapsIdAway(const ClientAway& client, ByteWriter& out) const;
  void AskClientAway(const ClientAway& client, const Node& caps);
  void OnCapsAnswerAway(Account& owner, const Node& stanza);
  void TellClientAway(ClientAway& client);
  bool NotifyClientAway(ClientAway& client, ItemNode& node, std::string_view event);
  void NotifyAway(Account& owner, ItemNode& node, std::string_view event);
  void AskPresenceAway(Account& owner, std::string_view bare);
  // A vCard or a part of private storage, set or asked for.
  void OnStored(Session& session, const Node& stanza, std::string_view name, const Node& content,
                std::string_view empty, Account& owner, bool is_set);
  void OnPrivate(Session& session, const Node& stanza, const Node& query, bool is_set);
  static std::string_view DomainOf(const Account& account) {
    return account.name.view().substr(account.name.view().find('@') + 1);
  }

  // messages.cc
  static bool IsSpoken(const Node& stanza);
  static bool IsCopied(const Node& stanza);
  void OnMessage(Session& session, Node& stanza, const Address& to, Account& account);
  Delivery DeliverMessage(Account& account, std::span<const uint8_t> bytes, bool keep,
                          Session* sender, Session* only);
  uint64_t PutBy(Account& account, std::span<const uint8_t> stanza, Session* sender);
  void CarbonCopies(Session& sender, const Node& stanza, const Address& to, Account* recipient,
                    const Session* only);
  void SendCarbon(Account& account, const char* direction, const Session* except,
                  std::span<const uint8_t> forwarded, bool to_those_without);
  void SendWaiting(Session& session);

  // policy.cc
  bool Blocks(Account& account, const Address& other);
  bool IsAuthorizedAtOnce(Account& account, const Contact& contact, const Address& from);
  bool MayWatch(Account& account, const Contact* contact);
  void TellWatchers(Account& account, const Address& rule, bool available);
  Result<void> Block(Account& account, const Address& rule);
  bool Unblock(Account& account, const Address& rule);
  void UnblockAll(Account& account);

  // privacy.cc (XEP-0016)
  static uint8_t PrivacyOf(const Session& session) {
    return session.privacy != 0 ? session.privacy : session.account->privacy_default;
  }
  bool DeniesBy(Account& account, const PrivacyList& list, const Address& other, uint8_t kind);
  bool Denies(const Session& session, const Address& other, uint8_t kind);
  bool DeniesFrom(const Session& session, const Session& other, uint8_t kind);
  bool DeniesAll(Account& account, const Address& other, uint8_t kind);
  bool DeniesStanza(Account& account, const Address& to, const Address& from, const Node& stanza);
  bool IsHeldOff(const Session& session, std::span<const uint8_t> stanza);
  static std::string_view WrittenFrom(std::string_view stanza);
  bool IsHereFor(Account& account, const Session& asker);
  bool AppliesElsewhere(const Session& session, uint8_t number);
  void HideFrom(Session& session, const PrivacyList& before, const PrivacyList& after);
  void OnPrivacy(Session& session, const Node& stanza, const Node& query, bool is_set);
  void SendPrivacyNames(Session& session, const Node& stanza);
  void SendPrivacyList(Session& session, const Node& stanza, std::string_view name);
  void OnPrivacyChoice(Session& session, const Node& stanza, const Node& what);
  void OnPrivacyList(Session& session, const Node& stanza, const Node& wanted);
  void RemovePrivacyList(Session& session, const Node& stanza, uint8_t number);
  bool HasGroupInRoster(Account& account, std::string_view group);
  void PushPrivacy(Account& account, std::string_view name);

  // offline_queries.cc (XEP-0013)
  static bool IsOfflineQuery(const Node& query);
  Waiting* FindOffline(Account& account, const Node& item);
  void OnOffline(Session& session, const Node& stanza, const Node& query, bool is_set);
  void CountOffline(Session& session, const Node& stanza);
  void ListOffline(Session& session, const Node& stanza);
  bool ShowOffline(Session& session, const Waiting& waiting, uint32_t& room);
  void SendOffline(Session& session, const Node& stanza, const Node* item);
  void RemoveOffline(Session& session, const Node& stanza, const Node* item);

  // sift.cc (XEP-0273)
  void OnSift(Session& session, const Node& stanza, const Node& sift);
  static bool Sifts(const Session& session, SiftKind kind, std::string_view from, bool is_bare);

  // commands.cc (XEP-0050)
  static void WriteCommands(std::string_view domain, ByteWriter& out);
  void OnCommand(Session& session, const Node& stanza, const Node& command);
  void SendPolicyForm(Session& session, const Node& stanza);
  void OnPolicyForm(Session& session, const Node& stanza, const Node& form);
  void AnswerWaiting(Account& account);

  // temporary.cc
  void OnTemporary(Session& session, const Node& stanza, const Node& query);
  bool MayWatchForAWhile(const Session& session, Account& watched);
  static Watch* FindWatch(Session& session, const Account& watched);
  bool BeginWatch(Session& session, Account& watched);
  Watch* NewWatch(Session& session);
  void WriteWatched(Session& session, const Node& stanza);
  void SendAwayOf(Session& session, std::string_view bare);
  // temporary_away.cc: those of other servers.
  void OnTemporaryAway(Session& session, const Node& stanza, const Address& whom, bool begins);
  bool BeginWatchAway(Session& session, const Address& whom, bool& is_full);
  Watch* FindWatchAway(Session& session, std::string_view bare);
  bool IsWatchedAway(Account& account, std::string_view bare);
  Remote::Taken SayAway(const Account& account, std::string_view bare, std::string_view type);
  void EndWatchAway(Watch& watch);
  void EndWatchesAway(Account& account, std::string_view bare);
  bool DeliverToWatchersAway(Account& account, std::string_view bare,
                             std::span<const uint8_t> presence);
  void EndWatch(Watch& watch);
  void EndWatches(Session& session);
  void EndWatches(Account& watched, const Address& rule);

  // replies.cc
  bool TakeReply(Session& session, uint64_t hash);
  void PutReply(Session& session, uint64_t hash);
  void NoteReply(Session& session, std::string_view bare);
  Session* RepliedFrom(Account& account, std::string_view bare);
  void ReleaseReplies(Account& account);

  // presence.cc
  void OnPresence(Session& session, Node& stanza, const Address* to);
  void OnOwnPresence(Session& session, Node& stanza, bool available);
  void OnFirstPresence(Session& session);
  void Broadcast(Session& session, std::span<const uint8_t> presence);
  void ToWatchers(Session& session, std::span<const uint8_t> presence);
  void ToWatcher(Account& account, Contact& contact, std::span<const uint8_t> presence);
  void ShowAll(bool available);
  bool SendPresenceOf(Account& account, Session& to);
  void SendPresenceTo(Account& account, std::string_view bare, bool available);
  void OnDirected(Session& session, Node& stanza, const Address& to, bool available);
  void SendUnavailable(Session& session);
  void OnSubscription(Session& session, Node& stanza, const Address& to);
  void Subscribe(Account& account, const Address& to, std::string_view type, const Node* stanza);
  void OnSubscriptionFor(Account& account, std::string_view from, std::string_view type,
                         std::span<const uint8_t> stanza);
  void Deny(Account& account, const Address& watcher);
  void DeliverToAvailable(Account& account, std::span<const uint8_t> stanza);
  bool IsSubscribed(Account& watcher, Account& watched);
  bool Sees(Account& watcher, Account& watched) {
    return (config_.presence || &watcher == &watched) && IsSubscribed(watcher, watched);
  }

  // queries.cc
  void OnQuery(Session& session, Node& stanza, const Address* to);
  void OnOwnQuery(Session& session, const Node& stanza, const Node& query, bool is_set);
  void OnServerQuery(Session& session, const Node& stanza, const Node& query, bool is_set);
  void SendServerItems(Session& session, const Node& stanza, const Node& query);
  void DescribeAccount(Session& session, const Node& stanza, const Node& query, Account& account);
  bool OnAccountQuery(Session& session, const Node& stanza, const Node& query, Account& account,
                      bool is_set);
  void OnBlocking(Session& session, const Node& stanza, const Node& query, bool is_set);
  void PushBlocking(Account& account, std::string_view payload);

  void TellTime(Session& session, const Node& stanza);
  void OnSeenTimer();
  void NoteSeen(Account& account);
  bool TellLastActivity(Session& session, const Node& stanza, Account& account);

  // search.cc
  void OnSearch(Session& session, const Node& stanza, const Node& query, bool is_set);

  // bookmarks.cc
  void OnBookmarks(Session& session, const Node& stanza, const Node& storage, bool is_set);
  bool KeepBookmark(Account& owner, ItemNode& node, std::string_view room, const Node& conference);
  void DropBookmark(Account& owner, ItemNode& node, Item& item, const Node& storage);
  void SendBookmarks(Session& session, const Node& stanza, ItemNode& node);

  // avatars.cc
  std::string_view AvatarOf(Account& account, std::span<uint8_t> out);
  void StampAvatar(Account& account, ByteWriter& presence);
  void TellAvatar(Account& account);
  void OnAvatarPublished(Account& owner, std::string_view node_name, const Node* metadata);
  void OnCardSet(Account& owner, const Node& card);

  // push.cc
  void OnPush(Session& session, const Node& stanza, const Node& query);
  void NotifyPush(Account& account, std::string_view from, std::string_view body);
  void SendPush(Account& account, std::string_view jid, std::string_view node,
                std::string_view form, std::string_view from, std::string_view body);
  bool OnPushAnswer(Account& account, const Node& stanza, std::string_view from);

  // services.cc
  void DescribeServer(Session& session, const Node& stanza, std::string_view features);
  bool MayPass(Session& session, const Node& stanza, const Address& to);
  void OnUploadRequest(Session& session, const Node& stanza, const Node& request);

  // roster.cc
  void OnRosterGet(Session& session, const Node& stanza, const Node& query);
  void OnRosterSet(Session& session, const Node& stanza, const Node& query);
  void RemoveContact(Session& session, const Node& stanza, Contact& contact);
  uint64_t ForgetContact(Account& account, Contact& contact);
  void WriteItem(const Contact& contact, ByteWriter& out);
  bool RosterHolds(Account& account, const Contact* replaced, std::span<const uint8_t> details);
  void PushItem(Account& account, std::string_view item);
  // Keeps and pushes; the contact may be gone after it.
  bool Changed(Account& account, Contact& contact, bool visible);

  TimerWheel& timers_;
  crypto::Random& random_;
  Host& host_;
  Keeper& keeper_;
  Observer& observer_;
  Config config_;
  ChainPool chains_;
  Directory* directory_;
  Archive archive_;
  Tokens tokens_;
  PrivacyLists privacy_;
  Rooms* rooms_;
  Items* items_;
  CapsCache* caps_;
  CapsCache* caps_away_;  // apart: who is elsewhere takes no place of ours
  Pool<Session> sessions_;
  HashTable<Session, &Session::stream_node, StreamTraits> by_stream_;
  Sources sources_;
  List<Session, &Session::stranger_node> strangers_;  // each the longest first
  List<Session, &Session::reading_node> reading_strangers_;
  List<Session, &Session::attempt_node> attempts_;
  Pool<ScramLogin> logins_;
  Pool<Wishes> wishes_;
  Pool<Watch> watches_;
  Pool<ClientAway> clients_away_;
  List<ClientAway, &ClientAway::age_node> clients_by_age_;  // the longest silent first
  Heap parser_heap_;
  ReaderPool readers_;
  ReaderPool unproven_readers_;
  List<Session, &Session::doomed_node> doomed_;
  List<Session, &Session::owing_node> owing_;
  List<Session, &Session::unsent_node> slow_;  // the longest stalled first
  bool is_holding_ = false;                    // somebody of slow_ waits for a commit
  List<Session, &Session::held_node> held_;
  Timer pressure_timer_;
  Timer keep_alive_timer_;
  Timer seen_timer_;
  bool told_of_pressure_ = false;
  std::array<uint8_t, 32> secret_ = {};  // of salts for nobody, and of resources
  bool has_secret_ = false;              // it is the store's
  std::span<uint8_t> scratch_;           // a stanza being written
  std::span<uint8_t> scratch2_;          // one made from it
  std::span<uint8_t> scratch3_;          // bytes on their way out of a chain
  Remote* remote_ = nullptr;
  Recorder* recorder_ = nullptr;
  Uploads* uploads_ = nullptr;  // null: no files
  Session remote_session_;      // lent to whoever's stanza from another server is dealt with
  Account remote_account_;
  Address remote_from_, remote_to_;
  uint32_t bound_count_ = 0;
  uint32_t next_id_ = 1;
  Instant next_search_;  // one look through all accounts at a time
  const Instant started_;
  bool settling_ = false;
  Counters counters_;
};

}  // namespace gh::xmpp
