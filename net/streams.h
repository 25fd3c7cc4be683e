// StreamService over lwIP's TCP: connections by handle, one event at a time, from the event loop.
//
// lwIP's callbacks only note what happened and put the connection on the ready list; Dispatch tells
// the handlers, outside lwIP. So a handler may call anything. Received bytes that a handler does
// not consume are moved out of their frames into a buffer of the connection's own, bounded by the
// window it keeps closed. What is sent is copied into lwIP's heap and leaves at the end of the
// turn.
//
// SYNs beyond Capacity::half_open_count are answered with cookies and cost nothing; the segment
// that proves one is turned back into the SYN it stands for and given to lwIP with it.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hal/rt/hash_table.h"
#include "hal/rt/list.h"
#include "hal/rt/pool.h"
#include "net/packet.h"
#include "net/stack.h"
#include "net/stream.h"
#include "net/syn_cookie.h"

struct tcp_pcb;
struct tcp_pcb_listen;

namespace gh::net {

class Streams final : public StreamService {
 public:
  Streams(Stack& stack, Arena& arena, const Capacity& capacity, crypto::Random& random);
  ~Streams();

  Result<ListenerId> Listen(const Endpoint& local, const StreamOptions& options,
                            StreamHandler& handler) override;
  void CloseListener(ListenerId listener) override;
  Result<StreamId> Connect(const Endpoint& to, const StreamOptions& options,
                           StreamHandler& handler) override;
  Result<void> SendStream(StreamId id, std::span<const uint8_t> data) override;
  size_t SendRoom(StreamId id) const override;
  size_t UndeliveredBytes(StreamId id) const override;
  void ResumeStream(StreamId id) override;
  void CloseStream(StreamId id) override;
  void AbortStream(StreamId id) override;
  const StreamInfo* InfoOf(StreamId id) const override;

  void SetListenerLimit(ListenerId listener, uint32_t count);
  // Brings what a batch's segments will need into the cache, so that its misses overlap.
  void Prefetch(Stack::Port& port, std::span<hal::Frame* const> frames,
                std::span<const PacketView> views, std::span<const ErrorCode> parsed) const;
  // A TCP segment to one of the port's addresses; the frame is consumed.
  void Input(Stack::Port& port, hal::Frame* frame, const PacketView& view);
  // An ICMP error that quotes one of our connections: a connect in progress fails at once.
  void OnUnreachable(Stack::Port& port, const hal::Frame& frame, const PacketView& view);
  // Resets accepted connections that the firewall would not admit any more.
  void AbortUnwelcome();
  bool IsConnected(Stack::Port& port, const Endpoint& local, const Endpoint& remote) const;
  bool MakesWay(Stack::Port& port, const Endpoint& local, const Endpoint& remote,
                const hal::Frame& frame, const PacketView& view);
  // Tells handlers what happened. True when more is waiting.
  bool Dispatch();
  void FlushOutput();
  // `tick_count` new slow ticks; true when connections remain to be served.
  bool RunSlowTimer(uint32_t tick_count);
  bool has_starved() const { return !starved_.empty(); }
  bool swallows_output() const { return swallows_output_; }

  uint32_t connection_count() const { return connections_.used_count(); }
  uint64_t cookie_sent_count() const { return cookie_sent_count_; }
  uint64_t cookie_accepted_count() const { return cookie_accepted_count_; }
  uint64_t refused_count() const { return refused_count_; }

  // Connections from one source: an IPv4 address or an IPv6 /64.
  struct Source {
    IpAddress key;
    uint32_t count = 0;
    HashNode node;
  };

 private:
  friend struct StackHooks;
  friend struct StreamCallbacks;

  struct Listener {
    StreamHandler* handler = nullptr;  // null: free
    Endpoint local;
    StreamOptions options;
    tcp_pcb* pcb = nullptr;  // a tcp_pcb_listen
    uint32_t connection_count = 0;
    uint32_t connection_max = UINT32_MAX;
    uint32_t serial = 0;  // tells a re-used slot from the one a connection came by
  };

  enum class State : uint8_t { kConnecting, kOpening, kOpen, kGone };

  // What every segment touches comes last, next to the pool's own generation count.
  struct Connection {
    StreamInfo info;
    uint8_t* held = nullptr;  // offered before and not consumed, then what came after
    uint32_t held_size = 0;
    uint32_t held_capacity = 0;
    ListNode starved_node;
    uint32_t listener_serial = 0;
    uint16_t listener = UINT16_MAX;
    StreamClose why = StreamClose::kByUs;
    bool is_known = false;   // the handler has the id
    tcp_pcb* pcb = nullptr;  // null: lwIP has finished with it, or we have
    StreamHandler* handler = nullptr;
    ::pbuf* received = nullptr;  // chain not yet offered
    uint32_t unread = 0;         // bytes the peer's window is closed by
    State state = State::kConnecting;
    bool got_fin = false;
    bool resumes = false;
    bool keeps = false;  // StreamOptions::keep_until_read
    bool wants_room = false;
    bool has_room = false;
    ListNode ready_node;
    ListNode dirty_node;
  };

  struct SourceTraits {
    using Key = IpAddress;
    static const Key& KeyOf(const Source& source) { return source.key; }
    static uint64_t HashOf(const SipKey& sip, const Key& key) { return SipHash13(sip, key.bytes); }
  };

  static IpAddress SourceKey(const IpAddress& address);
  Source* SourceOf(const IpAddress& address);
  void ReleaseSource(Source* source);

  bool MayStay(uint8_t port_index, const Endpoint& local, const Endpoint& remote) const;
  Listener* ListenerFor(uint16_t port, const IpAddress& local);
  void SetUp(Connection& connection);
  void Ready(Connection& connection);
  void DispatchOne(Connection& connection);
  void EndByPeer(Connection& connection);
  bool Offer(Connection& connection);
  bool OfferReceived(Connection& connection);
  bool OfferHeld(Connection& connection);
  bool Hold(Connection& connection, std::span<const uint8_t> bytes);
  void Consumed(Connection& connection, size_t count);
  void DropReceived(Connection& connection);
  void Finish(Connection& connection, StreamClose why);
  void Detach(Connection& connection);
  void HandleSyn(Stack::Port& port, hal::Frame* frame, const PacketView& view, Listener& listener);
  void SendCookie(Stack::Port& port, hal::Frame* frame, const PacketView& view);
  void HandleStray(Stack::Port& port, hal::Frame* frame, const PacketView& view,
                   Listener* listener);
  bool ReplaySyn(Stack::Port& port, const hal::Frame& frame, const PacketView& view,
                 uint16_t segment_size);
  ::pbuf* TakeFirst(Connection& connection);

  Stack& stack_;
  mutable Pool<Connection> connections_;
  Pool<Source> sources_;
  HashTable<Source, &Source::node, SourceTraits> source_table_;
  std::array<Listener, kListenerMax> listeners_ = {};
  List<Connection, &Connection::ready_node> ready_;
  List<Connection, &Connection::dirty_node> dirty_;
  List<Connection, &Connection::starved_node> starved_;  // could not send for lack of memory
  SynCookies cookies_;
  uint32_t half_open_max_ = 0;
  uint32_t source_connection_max_ = 0;
  uint32_t listener_serial_ = 0;
  uint32_t replay_isn_ = 0;
  bool replays_ = false;
  bool swallows_output_ = false;
  uint64_t cookie_sent_count_ = 0;
  uint64_t cookie_accepted_count_ = 0;
  uint64_t refused_count_ = 0;
};

}  // namespace gh::net
