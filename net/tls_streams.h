// StreamService that makes TLS streams over TCP ones, and passes TCP through: engines that hold it
// see no difference between the two.
//
// A TLS stream has the id of the TCP stream under it. An accepted one is offered to its handler
// when the handshake is over; before, it costs a place in the pool and, from its first byte on, a
// bounded heap. Handshakes are bounded in number and in time, and take a bounded share of a turn:
// those beyond wait in the order they came, while open streams are served. When all places for
// handshakes are taken, the oldest gives way if it has been slow, else the newcomer is refused.
//
// Back pressure goes through both ways: what a handler does not consume is held up to the window,
// then TCP's window closes; what TCP does not take makes SendStream say kWouldBlock. So does a heap
// that is full of others' records.
//
// Messages that follow each other on one stream within a turn share records: they are gathered for
// the stream that sent last, until another sends, the room is used or the turn is over.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "crypto/tls_endpoint.h"
#include "crypto/tls_session.h"
#include "hal/clock.h"
#include "hal/rt/arena.h"
#include "hal/rt/event_loop.h"
#include "hal/rt/heap.h"
#include "hal/rt/list.h"
#include "hal/rt/pool.h"
#include "net/capacity.h"
#include "net/limits.h"
#include "net/stream.h"

namespace gh::net {

struct TlsCounts {
  uint64_t accepted = 0;   // handshakes that succeeded, as server
  uint64_t connected = 0;  // as client
  uint64_t resumed = 0;    // of both, by ticket
  uint64_t tls13 = 0;      // of both
  uint64_t tls12 = 0;
  std::array<uint64_t, crypto::kTlsFailureCount> failed = {};
};

class TlsObserver {
 public:
  virtual void OnTlsFailure(TlsService service, const StreamInfo& info, crypto::TlsFailure failure,
                            crypto::PeerVerdict verdict) = 0;

 protected:
  ~TlsObserver() = default;
};

// An open session that finds no memory for its records asks again, and ends after this time.
inline constexpr int64_t kTlsFeedMs = 20;
inline constexpr int64_t kTlsStarvedMs = 10'000;

class TlsStreams final : public StreamService {
 public:
  struct Parts {
    StreamService& lower;
    EventLoop& loop;
    Arena& arena;
    crypto::Random& random;
    hal::Clock& clock;
  };

  TlsStreams(const Parts& parts, const Capacity& capacity);
  TlsStreams(const TlsStreams&) = delete;
  TlsStreams& operator=(const TlsStreams&) = delete;
  ~TlsStreams();
  static uint64_t ArenaBytes(const Capacity& capacity);

  // Endpoints are of this environment. Null: the service has no such side.
  crypto::TlsEnvironment& environment() { return environment_; }
  void SetService(TlsService service, crypto::TlsEndpoint* server, crypto::TlsEndpoint* client);
  void SetObserver(TlsObserver& observer) { observer_ = &observer; }

  Result<ListenerId> Listen(const Endpoint& local, const StreamOptions& options,
                            StreamHandler& handler) override;
  void CloseListener(ListenerId listener) override;
  Result<StreamId> Connect(const Endpoint& to, const StreamOptions& options,
                           StreamHandler& handler) override;
  Result<void> SendStream(StreamId id, std::span<const uint8_t> data) override;
  size_t SendRoom(StreamId id) const override;
  size_t UndeliveredBytes(StreamId id) const override;
  Result<void> StartTls(StreamId id) override;
  Result<void> SecureAsClient(StreamId id, std::string_view name) override;
  void ResumeStream(StreamId id) override;
  void CloseStream(StreamId id) override;
  void AbortStream(StreamId id) override;
  const StreamInfo* InfoOf(StreamId id) const override;
  bool IsPeerNamed(StreamId id, std::string_view name) override;

  // What an engine may want to know of its TLS stream: the peer's certificate, ALPN, bindings. Null
  // for TCP streams and while the handshake lasts.
  crypto::TlsSession* SessionOf(StreamId id);

  const TlsCounts& counts() const { return counts_; }
  uint32_t session_count() const { return links_.used_count(); }
  uint32_t session_capacity() const { return links_.capacity(); }
  uint32_t handshake_count() const { return handshakes_.size(); }
  uint32_t handshake_capacity() const { return handshake_max_; }
  const Heap& heap() const { return heap_; }
  static constexpr uint64_t bytes_per_session() { return Pool<Link>::bytes_per_item(); }

 private:
  // One TLS stream.
  struct Link final : crypto::TlsWire {
    size_t OnTlsOutput(std::span<const uint8_t> bytes) override;
    void OnTlsReady() override;
    void OnDeadline();

    TlsStreams* owner = nullptr;
    StreamHandler* handler = nullptr;
    StreamId id;
    StreamInfo info;
    TlsService service = TlsService::kSip;
    StreamClose why = StreamClose::kByUs;
    bool is_known = false;    // the handler has the id
    bool is_over = false;     // the TCP stream is being closed, for the reason `why`
    bool is_closing = false;  // closes when what is queued has gone
    bool is_granted = false;  // may take its step of the handshake
    bool is_plain = false;    // StartTls is to come
    bool lower_open = false;
    bool resumes = false;
    bool wants_room = false;
    Instant began;
    crypto::TlsSession session;
    uint8_t* held = nullptr;  // offered and not consumed
    uint32_t held_size = 0;
    uint32_t held_capacity = 0;
    uint8_t* queued = nullptr;  // accepted for sending, not yet a record
    uint32_t queued_size = 0;
    uint32_t queued_sent = 0;
    Timer timer;  // of the handshake, then of closing
    ListNode handshake_node;
    ListNode waiting_node;
    ListNode ready_node;
    ListNode starved_node;  // found no memory for its records
  };

  // Stands between TCP and us for one listener, or for all outgoing streams.
  struct Front final : StreamHandler {
    bool OnStreamOpen(StreamId id, const StreamInfo& info) override;
    size_t OnStreamData(StreamId id, std::span<uint8_t> data) override;
    void OnStreamWritable(StreamId id) override;
    void OnStreamClosed(StreamId id, StreamClose why) override;

    TlsStreams* owner = nullptr;
    StreamHandler* handler = nullptr;  // null: free
    ListenerId listener;
    TlsService service = TlsService::kSip;
    bool starts_plain = false;
  };

  Link* Find(StreamId id) const;
  Result<void> BeginSecuring(Link& link, const crypto::TlsEndpoint* endpoint);
  void BeginHandshake(Link& link);
  bool AcceptPlain(Front& front, StreamId id, const StreamInfo& info);
  Link* NewLink(StreamId id, const StreamInfo& info, TlsService service, StreamHandler& handler);
  Result<void> StartSession(Link& link, crypto::TlsEndpoint* endpoint, std::string_view name);
  bool MakeRoomForHandshake();
  bool TakeStep(Link& link);
  bool Accept(Front& front, StreamId id, const StreamInfo& info);
  size_t TakeData(Link& link, std::span<uint8_t> data);
  size_t Pump(Link& link, std::span<const uint8_t> data);
  bool Opened(Link& link);
  bool Offer(Link& link, std::span<uint8_t> plain);
  bool OfferHeld(Link& link);
  bool Hold(Link& link, std::span<const uint8_t> bytes);
  void Uncork();
  Result<void> Write(Link& link, std::span<const uint8_t> data);
  void Rest(Link& link);
  bool HasRoomToHold(const Link& link) const;
  void FreeHeld(Link& link);
  void FreeQueued(Link& link);
  void Drain(Link& link);
  void EndHandshake(Link& link);
  bool IsStarved(const Link& link, ErrorCode code) const {
    return code == ErrorCode::kExhausted && link.session.is_open();
  }
  void Starve(Link& link);
  void Feed(Link& link);
  void FeedStarved();
  void Fail(Link& link, crypto::TlsFailure failure);
  void EndBySession(Link& link, ErrorCode code);
  void End(Link& link, StreamClose why, bool abort);
  void OnLowerClosed(Link& link, StreamClose why);
  void ReadySoon(Link& link);
  void RunTask();

  StreamService& lower_;
  EventLoop& loop_;
  Heap heap_;
  crypto::TlsEnvironment environment_;
  Pool<Link> links_;
  std::span<Link*> by_index_;  // of the TCP stream
  std::span<uint8_t> scratch_;
  std::span<uint8_t> cork_;
  Link* corked_ = nullptr;  // whose messages are gathered in cork_
  uint32_t cork_size_ = 0;
  uint32_t handshake_max_ = 0;
  uint32_t steps_left_ = kTlsHandshakeStepsPerTurn;
  struct Service {
    crypto::TlsEndpoint* server = nullptr;
    crypto::TlsEndpoint* client = nullptr;
  };
  std::array<Service, kTlsServiceCount> services_ = {};
  std::array<Front, kListenerMax> fronts_;
  Front outgoing_;
  List<Link, &Link::handshake_node> handshakes_;  // oldest first
  List<Link, &Link::waiting_node> waiting_;       // for a step
  List<Link, &Link::ready_node> ready_;
  List<Link, &Link::starved_node> starved_;
  Timer feed_timer_;
  Task task_;
  TlsObserver* observer_ = nullptr;
  TlsCounts counts_;
};

}  // namespace gh::net
