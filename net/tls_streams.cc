#include "net/tls_streams.h"

#include <algorithm>

#include <bit>
#include <cstring>
#include <utility>
#include "crypto/path_check.h"

#include "hal/rt/assert.h"

namespace gh::net {
namespace {

constexpr uint32_t kPlainMax = 16 * 1024;  // in one record
constexpr uint32_t kCorkMax = 8 * 1024;    // gathered for one record
constexpr uint32_t kHeldFirst = 2048;
constexpr uint32_t kHeldMax = 64 * 1024;
constexpr uint64_t kOwnerHeapMax = crypto::kTlsSessionHeapMax + 2 * kHeldMax;

uint64_t HeapBytes(const Capacity& capacity) {
  return 256 * 1024 + uint64_t{capacity.tls_session_count} * kTlsIdleHeap +
         uint64_t{capacity.tls_handshake_count} * kTlsHandshakeHeap;
}

// Memory is booked on the link's own account.
class LinkOwner {
 public:
  LinkOwner(Heap& heap, uint32_t owner) : heap_(heap), before_(heap.owner()) {
    heap_.SetOwner(owner);
  }
  LinkOwner(const LinkOwner&) = delete;
  LinkOwner& operator=(const LinkOwner&) = delete;
  ~LinkOwner() { heap_.SetOwner(before_); }

 private:
  Heap& heap_;
  uint32_t before_;
};

}  // namespace

TlsStreams::TlsStreams(const Parts& parts, const Capacity& capacity)
    : lower_(parts.lower),
      loop_(parts.loop),
      heap_(parts.arena, HeapBytes(capacity), capacity.tls_session_count + 1),
      environment_{heap_, parts.random, parts.clock},
      links_(parts.arena, capacity.tls_session_count),
      by_index_(parts.arena.NewArray<Link*>(capacity.connection_count)),
      scratch_(parts.arena.NewArray<uint8_t>(kPlainMax)),
      cork_(parts.arena.NewArray<uint8_t>(kCorkMax)),
      handshake_max_(capacity.tls_handshake_count),
      task_([](void* self) { static_cast<TlsStreams*>(self)->RunTask(); }, this) {
  for (Front& front : fronts_) {
    front.owner = this;
  }
  outgoing_.owner = this;
  feed_timer_.Bind<&TlsStreams::FeedStarved>(this);
}

TlsStreams::~TlsStreams() {
  for (uint32_t i = 0; i < links_.capacity(); ++i) {
    if (Link* link = links_.At(i); link != nullptr) {
      FreeHeld(*link);
      FreeQueued(*link);
      links_.Release(link);
    }
  }
  loop_.Cancel(task_);
  loop_.timers().Cancel(feed_timer_);
}

uint64_t TlsStreams::ArenaBytes(const Capacity& capacity) {
  return HeapBytes(capacity) + kPlainMax + kCorkMax + capacity.connection_count * sizeof(Link*) +
         capacity.tls_session_count * (bytes_per_session() + sizeof(HeapOwner)) + 16 * 1024;
}

void TlsStreams::SetService(TlsService service, crypto::TlsEndpoint* server,
                            crypto::TlsEndpoint* client) {
  services_[static_cast<size_t>(service)] = {server, client};
}

// --- Listeners and connections -------------------------------------------------------------------

Result<ListenerId> TlsStreams::Listen(const Endpoint& local, const StreamOptions& options,
                                      StreamHandler& handler) {
  if (options.kind == StreamKind::kTcp) {
    return lower_.Listen(local, options, handler);
  }
  if (services_[static_cast<size_t>(options.service)].server == nullptr) {
    return Error(ErrorCode::kUnsupported, "the service has no TLS");
  }
  const auto free = std::ranges::find_if(fronts_, [](const Front& f) { return !f.handler; });
  if (free == fronts_.end()) {
    return ErrorCode::kExhausted;
  }
  StreamOptions below = options;
  below.kind = StreamKind::kTcp;
  auto listener = lower_.Listen(local, below, *free);
  if (listener.ok()) {
    free->handler = &handler;
    free->listener = *listener;
    free->service = options.service;
    free->starts_plain = options.starts_plain;
  }
  return listener;
}

void TlsStreams::CloseListener(ListenerId listener) {
  lower_.CloseListener(listener);
  for (Front& front : fronts_) {
    if (front.handler != nullptr && front.listener.value == listener.value) {
      front.handler = nullptr;
    }
  }
}

Result<StreamId> TlsStreams::Connect(const Endpoint& to, const StreamOptions& options,
                                     StreamHandler& handler) {
  if (options.kind == StreamKind::kTcp) {
    return lower_.Connect(to, options, handler);
  }
  crypto::TlsEndpoint* endpoint = services_[static_cast<size_t>(options.service)].client;
  if (endpoint == nullptr) {
    return Error(ErrorCode::kUnsupported, "the service makes no TLS connections");
  }
  if (links_.free_count() == 0 || (!options.starts_plain && !MakeRoomForHandshake())) {
    ++counts_.failed[static_cast<size_t>(crypto::TlsFailure::kRefused)];
    return Error(ErrorCode::kExhausted, "no room for a TLS session");
  }
  StreamOptions below = options;
  below.kind = StreamKind::kTcp;
  GH_TRY_ASSIGN(const StreamId id, lower_.Connect(to, below, outgoing_));
  const StreamInfo* info = lower_.InfoOf(id);
  GH_ASSERT(info != nullptr);
  Link* link = NewLink(id, *info, options.service, handler);
  GH_ASSERT(link != nullptr);
  link->is_known = true;
  if (options.starts_plain) {
    link->is_plain = true;
    link->info.kind = StreamKind::kTcp;
    return id;
  }
  BeginHandshake(*link);
  if (auto started = StartSession(*link, endpoint, options.server_name); !started.ok()) {
    link->is_known = false;  // the error tells
    End(*link, StreamClose::kNoResource, true);
    return started.error();
  }
  return id;
}

TlsStreams::Link* TlsStreams::Find(StreamId id) const {
  if (id.index >= by_index_.size()) {
    return nullptr;
  }
  Link* link = by_index_[id.index];
  return link != nullptr && link->id == id ? link : nullptr;
}

TlsStreams::Link* TlsStreams::NewLink(StreamId id, const StreamInfo& info, TlsService service,
                                      StreamHandler& handler) {
  Link* link = links_.Allocate();
  if (link == nullptr) {
    return nullptr;
  }
  GH_ASSERT_LT(id.index, by_index_.size());
  GH_ASSERT(by_index_[id.index] == nullptr);
  by_index_[id.index] = link;
  link->owner = this;
  link->handler = &handler;
  link->id = id;
  link->info = info;
  link->info.kind = StreamKind::kTls;
  link->service = service;
  link->began = loop_.now();
  const uint32_t owner = links_.IndexOf(*link) + 1;
  heap_.ResetOwner(owner);
  heap_.SetOwnerLimit(owner, kOwnerHeapMax);
  link->timer.Bind<&Link::OnDeadline>(link);
  return link;
}

void TlsStreams::BeginHandshake(Link& link) {
  link.began = loop_.now();
  loop_.timers().Arm(link.timer, loop_.now() + Duration::Milliseconds(kTlsHandshakeMs));
  handshakes_.PushBack(link);
}

Result<void> TlsStreams::StartSession(Link& link, crypto::TlsEndpoint* endpoint,
                                      std::string_view name) {
  if (endpoint == nullptr) {
    return Error(ErrorCode::kUnsupported, "the service has no TLS");
  }
  return link.session.Start(*endpoint, link,
                            {.server_name = name, .heap_owner = links_.IndexOf(link) + 1});
}

// The oldest handshake gives way when it is slow.
bool TlsStreams::MakeRoomForHandshake() {
  if (handshakes_.size() < handshake_max_) {
    return true;
  }
  Link* oldest = handshakes_.front();
  if (loop_.now() < oldest->began + Duration::Milliseconds(kTlsHandshakeYieldMs)) {
    return false;
  }
  Fail(*oldest, crypto::TlsFailure::kTimeout);
  return true;
}

bool TlsStreams::Accept(Front& front, StreamId id, const StreamInfo& info) {
  Link* link = nullptr;
  if (front.handler != nullptr && MakeRoomForHandshake()) {
    link = NewLink(id, info, front.service, *front.handler);
  }
  if (link == nullptr) {
    ++counts_.failed[static_cast<size_t>(crypto::TlsFailure::kRefused)];
    if (observer_ != nullptr) {
      observer_->OnTlsFailure(front.service, info, crypto::TlsFailure::kRefused,
                              crypto::PeerVerdict::kGood);
    }
    return false;
  }
  BeginHandshake(*link);
  link->lower_open = true;
  return true;
}

bool TlsStreams::AcceptPlain(Front& front, StreamId id, const StreamInfo& info) {
  Link* link =
      front.handler != nullptr ? NewLink(id, info, front.service, *front.handler) : nullptr;
  if (link == nullptr) {
    return false;
  }
  link->info.kind = StreamKind::kTcp;
  link->is_plain = link->lower_open = link->is_known = true;
  if (link->handler->OnStreamOpen(id, link->info)) {
    return true;
  }
  link->is_known = false;
  by_index_[id.index] = nullptr;
  links_.Release(link);
  return false;
}

Result<void> TlsStreams::BeginSecuring(Link& link, const crypto::TlsEndpoint* endpoint) {
  if (!link.is_plain || !link.lower_open || link.is_over || link.is_closing) {
    return ErrorCode::kWrongState;
  }
  if (endpoint == nullptr) {
    return Error(ErrorCode::kUnsupported, "the service has no TLS");
  }
  if (!MakeRoomForHandshake()) {
    ++counts_.failed[static_cast<size_t>(crypto::TlsFailure::kRefused)];
    return Error(ErrorCode::kExhausted, "no room for a TLS handshake");
  }
  link.is_plain = false;
  link.info.kind = StreamKind::kTls;
  BeginHandshake(link);
  return Ok();
}

Result<void> TlsStreams::StartTls(StreamId id) {
  Link* link = Find(id);
  if (link == nullptr || !link->info.accepted) {
    return ErrorCode::kWrongState;
  }
  return BeginSecuring(*link, services_[static_cast<size_t>(link->service)].server);
}

Result<void> TlsStreams::SecureAsClient(StreamId id, std::string_view name) {
  Link* link = Find(id);
  if (link == nullptr || link->info.accepted) {
    return ErrorCode::kWrongState;
  }
  crypto::TlsEndpoint* endpoint = services_[static_cast<size_t>(link->service)].client;
  GH_TRY(BeginSecuring(*link, endpoint));
  if (auto started = StartSession(*link, endpoint, name); !started.ok()) {
    Fail(*link, crypto::TlsFailure::kMemory);
  }
  return Ok();
}

// --- From TCP ------------------------------------------------------------------------------------

bool TlsStreams::Front::OnStreamOpen(StreamId id, const StreamInfo& info) {
  if (info.accepted) {
    return starts_plain ? owner->AcceptPlain(*this, id, info) : owner->Accept(*this, id, info);
  }
  Link* link = owner->Find(id);
  if (link == nullptr || link->is_over) {
    return false;
  }
  link->lower_open = true;
  link->info = info;
  if (link->is_plain) {
    return link->handler->OnStreamOpen(id, link->info);
  }
  link->info.kind = StreamKind::kTls;
  (void)owner->Pump(*link, {});
  return true;
}

size_t TlsStreams::Front::OnStreamData(StreamId id, std::span<uint8_t> data) {
  Link* link = owner->Find(id);
  return link == nullptr || link->is_over ? data.size() : owner->TakeData(*link, data);
}

void TlsStreams::Front::OnStreamWritable(StreamId id) {
  if (Link* link = owner->Find(id); link != nullptr && !link->is_over) {
    owner->Drain(*link);
  }
}

void TlsStreams::Front::OnStreamClosed(StreamId id, StreamClose why) {
  if (Link* link = owner->Find(id); link != nullptr) {
    owner->OnLowerClosed(*link, why);
  }
}

size_t TlsStreams::TakeData(Link& link, std::span<uint8_t> data) {
  if (link.is_plain) {
    return link.handler->OnStreamData(link.id, data);
  }
  if (link.session.is_open()) {
    return Pump(link, data);
  }
  if (link.session.awaits_signature() || !TakeStep(link)) {
    return 0;
  }
  if (link.session.is_idle()) {
    crypto::TlsEndpoint* endpoint = services_[static_cast<size_t>(link.service)].server;
    if (!StartSession(link, endpoint, {}).ok()) {
      Fail(link, crypto::TlsFailure::kMemory);
      return data.size();
    }
  }
  return Pump(link, data);
}

// A step of a handshake costs milliseconds: those beyond a turn's share wait their turn.
bool TlsStreams::TakeStep(Link& link) {
  if (link.waiting_node.linked()) {
    return false;
  }
  loop_.Defer(task_);
  if (std::exchange(link.is_granted, false)) {
    return true;
  }
  if (waiting_.empty() && steps_left_ > 0) {
    --steps_left_;
    return true;
  }
  waiting_.PushBack(link);
  return false;
}

// Gives the session what came and the handler what came out of it. Returns how much was taken.
size_t TlsStreams::Pump(Link& link, std::span<const uint8_t> data) {
  std::span<const uint8_t> in = data;
  while (!link.is_over && HasRoomToHold(link)) {
    const bool was_open = link.session.is_open();
    // Before the handler has accepted the stream, nothing is taken for it.
    auto got = link.session.Read(in, was_open ? scratch_ : std::span<uint8_t>());
    if (!got.ok()) {
      if (IsStarved(link, got.code())) {
        Starve(link);
        break;
      }
      EndBySession(link, got.code());
      break;
    }
    if (!was_open && link.session.is_open()) {
      if (!Opened(link)) {
        break;
      }
      continue;
    }
    if (*got == 0 || !Offer(link, scratch_.first(*got))) {
      break;
    }
  }
  if (link.is_over) {
    return data.size();
  }
  Rest(link);
  return data.size() - in.size();
}

bool TlsStreams::Opened(Link& link) {
  EndHandshake(link);
  loop_.timers().Cancel(link.timer);
  ++(link.info.accepted ? counts_.accepted : counts_.connected);
  counts_.resumed += link.session.resumed() ? 1 : 0;
  ++(std::string_view(link.session.version()) == "TLSv1.3" ? counts_.tls13 : counts_.tls12);
  link.is_known = true;
  link.info.asked_name = link.session.asked_name();
  if (link.handler->OnStreamOpen(link.id, link.info)) {
    return !link.is_over;
  }
  link.is_known = false;
  if (!link.is_over) {
    End(link, StreamClose::kByUs, true);
  }
  return false;
}

void TlsStreams::EndHandshake(Link& link) {
  if (link.handshake_node.linked()) {
    handshakes_.Remove(link);
  }
  if (link.waiting_node.linked()) {
    waiting_.Remove(link);
  }
}

// --- To the handler ------------------------------------------------------------------------------

bool TlsStreams::HasRoomToHold(const Link& link) const {
  return link.held_size + kPlainMax <= kHeldMax;
}

// False: the stream is over.
bool TlsStreams::Offer(Link& link, std::span<uint8_t> plain) {
  if (link.held != nullptr) {
    return Hold(link, plain) && OfferHeld(link);
  }
  const size_t count = link.handler->OnStreamData(link.id, plain);
  GH_ASSERT_LE(count, plain.size());
  const bool kept = link.is_over || count == plain.size() || Hold(link, plain.subspan(count));
  std::ranges::fill(plain, uint8_t{0});
  return kept && !link.is_over;
}

bool TlsStreams::OfferHeld(Link& link) {
  const size_t count = link.handler->OnStreamData(link.id, {link.held, link.held_size});
  GH_ASSERT_LE(count, link.held_size);
  if (link.is_over) {
    return false;
  }
  link.held_size -= static_cast<uint32_t>(count);
  if (link.held_size == 0) {
    FreeHeld(link);
  } else if (count != 0) {
    std::memmove(link.held, link.held + count, link.held_size);
  }
  return true;
}

bool TlsStreams::Hold(Link& link, std::span<const uint8_t> bytes) {
  const auto needed = static_cast<uint32_t>(link.held_size + bytes.size());
  GH_ASSERT_LE(needed, kHeldMax);
  if (needed > link.held_capacity) {
    const LinkOwner owner(heap_, links_.IndexOf(link) + 1);
    const uint32_t capacity = std::max(kHeldFirst, std::bit_ceil(needed));
    auto* grown = static_cast<uint8_t*>(heap_.Allocate(capacity));
    if (grown == nullptr) {
      End(link, StreamClose::kNoResource, true);
      return false;
    }
    if (link.held != nullptr) {
      std::memcpy(grown, link.held, link.held_size);
    }
    const uint32_t size = link.held_size;
    FreeHeld(link);
    link.held = grown;
    link.held_size = size;
    link.held_capacity = capacity;
  }
  std::memcpy(link.held + link.held_size, bytes.data(), bytes.size());
  link.held_size = needed;
  return true;
}

void TlsStreams::FreeHeld(Link& link) {
  if (link.held != nullptr) {
    std::memset(link.held, 0, link.held_capacity);  // plain text
    heap_.Free(link.held);
  }
  link.held = nullptr;
  link.held_size = link.held_capacity = 0;
}

void TlsStreams::ResumeStream(StreamId id) {
  Link* link = Find(id);
  if (link == nullptr || link->is_plain) {
    lower_.ResumeStream(id);
    return;
  }
  link->resumes = true;
  ReadySoon(*link);
}

// --- Sending -------------------------------------------------------------------------------------

Result<void> TlsStreams::SendStream(StreamId id, std::span<const uint8_t> data) {
  Link* link = Find(id);
  if (link == nullptr) {
    return lower_.SendStream(id, data);
  }
  if (link->is_over || link->is_closing || !(link->is_plain || link->session.is_open())) {
    return ErrorCode::kClosed;
  }
  if (link->is_plain) {
    return lower_.SendStream(id, data);
  }
  if (data.size() > kStreamQueueMax) {
    return ErrorCode::kTooLarge;
  }
  if (corked_ != nullptr && (corked_ != link || cork_size_ + data.size() > kCorkMax)) {
    Uncork();
  }
  if (link->is_over) {
    return ErrorCode::kClosed;
  }
  if (link->queued != nullptr || link->session.has_unsent()) {
    link->wants_room = true;
    return ErrorCode::kWouldBlock;
  }
  // With its record's buffers at hand, nothing can fail for want of memory when it is made.
  if (!link->session.Wake()) {
    link->wants_room = true;
    Starve(*link);
    return ErrorCode::kWouldBlock;
  }
  // Clients of TURN exist that take one record for one message (coturn's).
  if (link->service == TlsService::kTurn || data.size() > kCorkMax) {
    return Write(*link, data);
  }
  corked_ = link;
  std::ranges::copy(data, cork_.begin() + cork_size_);
  cork_size_ += static_cast<uint32_t>(data.size());
  loop_.Defer(task_);
  return Ok();
}

// Makes the record of what was gathered.
void TlsStreams::Uncork() {
  if (corked_ == nullptr) {
    return;
  }
  Link& link = *std::exchange(corked_, nullptr);
  const auto plain = cork_.first(std::exchange(cork_size_, 0));
  if (!link.is_over) {
    Write(link, plain).ignore("the stream has ended then, and says so");
  }
  std::ranges::fill(plain, uint8_t{0});
}

// All of `data` is taken, or the stream ends.
Result<void> TlsStreams::Write(Link& link, std::span<const uint8_t> data) {
  auto written = link.session.Write(data);
  if (!written.ok()) {
    EndBySession(link, written.code());
    return ErrorCode::kClosed;
  }
  Rest(link);
  if (*written == data.size()) {
    return Ok();
  }
  // The rest waits here: the record that filled TCP's queue is made and must be followed by it.
  const LinkOwner owner(heap_, links_.IndexOf(link) + 1);
  const auto rest = data.subspan(*written);
  link.queued = static_cast<uint8_t*>(heap_.Allocate(rest.size()));
  if (link.queued == nullptr) {
    End(link, StreamClose::kNoResource, true);
    return ErrorCode::kClosed;
  }
  std::ranges::copy(rest, link.queued);
  link.queued_size = static_cast<uint32_t>(rest.size());
  link.queued_sent = 0;
  return Ok();
}

// Gives the record buffers back, unless they are wanted before the turn is over.
void TlsStreams::Rest(Link& link) {
  if (corked_ != &link) {
    link.session.Rest();
  }
}

size_t TlsStreams::SendRoom(StreamId id) const {
  const Link* link = Find(id);
  if (link == nullptr || link->is_plain) {
    return lower_.SendRoom(id);
  }
  if (link->is_over || link->is_closing || !link->session.is_open() || link->queued != nullptr ||
      link->session.has_unsent()) {
    return 0;
  }
  const size_t lower_room = lower_.SendRoom(id);
  const size_t gathered = link == corked_ ? cork_size_ : 0;
  const size_t room = lower_room > gathered ? lower_room - gathered : 0;
  const size_t overhead = (room / crypto::kTlsRecordMax + 1) * crypto::kTlsRecordOverhead;
  return room > overhead ? room - overhead : 0;
}

size_t TlsStreams::UndeliveredBytes(StreamId id) const {
  const Link* link = Find(id);
  const size_t below = lower_.UndeliveredBytes(id);
  if (link == nullptr || link->is_plain) {
    return below;
  }
  // How much a session holds of a record that TCP did not take is not known: a record at most.
  return below + (link == corked_ ? cork_size_ : 0) +
         (link->queued != nullptr ? link->queued_size - link->queued_sent : 0) +
         (link->session.has_unsent() ? crypto::kTlsRecordMax : 0);
}

size_t TlsStreams::Link::OnTlsOutput(std::span<const uint8_t> bytes) {
  if (!lower_open || is_over) {
    return 0;
  }
  StreamService& tcp = owner->lower_;
  const size_t room = std::min(tcp.SendRoom(id), bytes.size());
  // Without any room TCP is asked all the same, so that it tells when there is some.
  const size_t count = room == 0 ? bytes.size() : room;
  return tcp.SendStream(id, bytes.first(count)).ok() ? count : 0;
}

// TCP has room: what was accepted goes first, then the handler is asked for more.
void TlsStreams::Drain(Link& link) {
  if (link.is_plain) {
    link.handler->OnStreamWritable(link.id);
    return;
  }
  if (!link.session.is_open()) {
    if (!link.session.is_idle()) {
      (void)Pump(link, {});
    }
    return;
  }
  if (auto flushed = link.session.Flush(); !flushed.ok()) {
    if (flushed.code() != ErrorCode::kWouldBlock) {
      EndBySession(link, flushed.code());
    }
    return;
  }
  if (link.queued != nullptr) {
    auto written =
        link.session.Write({link.queued + link.queued_sent, link.queued_size - link.queued_sent});
    if (!written.ok() && IsStarved(link, written.code())) {
      Starve(link);
      return;
    }
    if (!written.ok()) {
      EndBySession(link, written.code());
      return;
    }
    link.queued_sent += static_cast<uint32_t>(*written);
    if (link.queued_sent < link.queued_size) {
      return;
    }
    FreeQueued(link);
  }
  if (link.session.has_unsent()) {
    return;
  }
  Rest(link);
  if (link.is_closing) {
    End(link, StreamClose::kByUs, false);
    return;
  }
  if (std::exchange(link.wants_room, false)) {
    link.handler->OnStreamWritable(link.id);
  }
}

void TlsStreams::FreeQueued(Link& link) {
  if (link.queued != nullptr) {
    std::memset(link.queued, 0, link.queued_size);
    heap_.Free(link.queued);
  }
  link.queued = nullptr;
}

// --- Short of memory ----------------------------------------------------------------------------

// Records of others fill the heap: they go as their peers read. Until then it waits here, with what
// came for it in TCP's window and what it has to say with its handler.
void TlsStreams::Starve(Link& link) {
  if (!link.starved_node.linked()) {
    starved_.PushBack(link);
  }
  if (!link.timer.armed()) {
    loop_.timers().Arm(link.timer, loop_.now() + Duration::Milliseconds(kTlsStarvedMs));
  }
  if (!feed_timer_.armed()) {
    loop_.timers().Arm(feed_timer_, loop_.now() + Duration::Milliseconds(kTlsFeedMs));
  }
}

void TlsStreams::FeedStarved() {
  // Who finds none again stands behind the others.
  for (uint32_t i = starved_.size(); i > 0 && !starved_.empty(); --i) {
    Feed(*starved_.PopFront());
  }
}

void TlsStreams::Feed(Link& link) {
  const StreamId id = link.id;
  if (!link.session.Wake()) {
    Starve(link);
    return;
  }
  Drain(link);
  if (Find(id) == &link && !link.is_over && !link.starved_node.linked()) {
    lower_.ResumeStream(id);
    if (!link.is_closing && !link.starved_node.linked()) {
      loop_.timers().Cancel(link.timer);
    }
  }
}

// --- Ends ----------------------------------------------------------------------------------------

void TlsStreams::CloseStream(StreamId id) {
  Link* link = Find(id);
  if (link == nullptr) {
    lower_.CloseStream(id);
    return;
  }
  if (link == corked_) {
    Uncork();
  }
  if (link->is_over || link->is_closing) {
    return;
  }
  if (link->queued != nullptr || link->session.has_unsent()) {
    link->is_closing = true;
    loop_.timers().Arm(link->timer, loop_.now() + Duration::Milliseconds(kCloseDeadlineMs));
    return;
  }
  End(*link, StreamClose::kByUs, false);
}

void TlsStreams::AbortStream(StreamId id) {
  Link* link = Find(id);
  if (link == nullptr) {
    lower_.AbortStream(id);
  } else if (!link->is_over) {
    End(*link, StreamClose::kByUs, true);
  }
}

const StreamInfo* TlsStreams::InfoOf(StreamId id) const {
  const Link* link = Find(id);
  return link == nullptr ? lower_.InfoOf(id) : &link->info;
}

bool TlsStreams::IsPeerNamed(StreamId id, std::string_view name) {
  const crypto::TlsSession* session = SessionOf(id);
  const mbedtls_x509_crt* peer = session == nullptr ? nullptr : session->peer();
  return peer != nullptr && crypto::NamesHost(*peer, name);
}

crypto::TlsSession* TlsStreams::SessionOf(StreamId id) {
  Link* link = Find(id);
  return link != nullptr && link->session.is_open() ? &link->session : nullptr;
}

void TlsStreams::Link::OnDeadline() {
  if (is_over) {
    return;
  }
  if (is_closing) {
    owner->End(*this, StreamClose::kByUs, true);
  } else if (starved_node.linked()) {
    owner->Fail(*this, crypto::TlsFailure::kMemory);
  } else {
    owner->Fail(*this, crypto::TlsFailure::kTimeout);
  }
}

// The session has ended by itself: by the peer's close_notify, or by a fault it has an alert for.
void TlsStreams::EndBySession(Link& link, ErrorCode code) {
  if (code != ErrorCode::kClosed || !link.is_known || link.handshake_node.linked()) {
    const crypto::TlsFailure failure = link.session.failure();
    Fail(link, failure == crypto::TlsFailure::kNone ? crypto::TlsFailure::kProtocol : failure);
    return;
  }
  if (link.held != nullptr && !OfferHeld(link)) {
    return;
  }
  End(link, StreamClose::kByPeer, false);
}

void TlsStreams::Fail(Link& link, crypto::TlsFailure failure) {
  ++counts_.failed[static_cast<size_t>(failure)];
  if (observer_ != nullptr) {
    observer_->OnTlsFailure(link.service, link.info, failure, link.session.verdict());
  }
  // Slow peers get a reset: an orderly end would keep TCP's memory for them.
  End(link, StreamClose::kTlsFailure, failure == crypto::TlsFailure::kTimeout);
}

// The TCP stream goes; OnLowerClosed, which comes from the event loop, tells the handler.
void TlsStreams::End(Link& link, StreamClose why, bool abort) {
  GH_ASSERT(!link.is_over);
  if (corked_ == &link) {
    corked_ = nullptr;
    const auto plain = cork_.first(std::exchange(cork_size_, 0));
    if (!abort) {
      (void)link.session.Write(plain);
    }
    std::ranges::fill(plain, uint8_t{0});
  }
  if (!abort) {
    link.session.Close();
  }
  EndHandshake(link);
  loop_.timers().Cancel(link.timer);
  if (link.starved_node.linked()) {
    starved_.Remove(link);
  }
  link.why = why;
  link.is_over = true;
  if (abort) {
    lower_.AbortStream(link.id);
  } else {
    lower_.CloseStream(link.id);
  }
}

void TlsStreams::OnLowerClosed(Link& link, StreamClose why) {
  if (!link.is_over) {
    if (link.handshake_node.linked() && link.info.accepted && !link.session.is_idle()) {
      ++counts_.failed[static_cast<size_t>(crypto::TlsFailure::kAlert)];
    }
    if (why == StreamClose::kByPeer && link.is_known && link.held != nullptr) {
      (void)link.handler->OnStreamData(link.id, {link.held, link.held_size});
    }
    if (!link.is_over) {
      link.why = why;
      link.is_over = true;
    }
  }
  EndHandshake(link);
  loop_.timers().Cancel(link.timer);
  if (link.ready_node.linked()) {
    ready_.Remove(link);
  }
  if (link.starved_node.linked()) {
    starved_.Remove(link);
  }
  if (corked_ == &link) {
    Uncork();
  }
  FreeHeld(link);
  FreeQueued(link);
  link.session.Reset();
  const StreamId id = link.id;
  StreamHandler* handler = link.is_known ? link.handler : nullptr;
  const StreamClose reason = link.why;
  by_index_[id.index] = nullptr;
  // Whatever a session took, it gave back: a leak would be a peer's to repeat.
  GH_ASSERT_EQ(heap_.OwnerState(links_.IndexOf(link) + 1).block_count, 0u);
  links_.Release(&link);
  if (handler != nullptr) {
    handler->OnStreamClosed(id, reason);
  }
}

// --- Between turns -------------------------------------------------------------------------------

void TlsStreams::Link::OnTlsReady() { owner->ReadySoon(*this); }

void TlsStreams::ReadySoon(Link& link) {
  if (!link.ready_node.linked()) {
    ready_.PushBack(link);
  }
  loop_.Defer(task_);
}

void TlsStreams::RunTask() {
  Uncork();
  steps_left_ = kTlsHandshakeStepsPerTurn;
  for (; steps_left_ > 0 && !waiting_.empty(); --steps_left_) {
    Link* link = waiting_.PopFront();
    link->is_granted = true;
    lower_.ResumeStream(link->id);
  }
  for (uint32_t i = 0; i < kTlsReadyMax && !ready_.empty(); ++i) {
    Link* link = ready_.PopFront();
    if (link->is_over) {
      continue;
    }
    if (std::exchange(link->resumes, false) && link->held != nullptr && !OfferHeld(*link)) {
      continue;
    }
    if (!link->session.is_idle()) {
      (void)Pump(*link, {});
    }
    if (!link->is_over) {
      lower_.ResumeStream(link->id);
    }
  }
  if (!waiting_.empty() || !ready_.empty() || steps_left_ < kTlsHandshakeStepsPerTurn) {
    loop_.Defer(task_);
  }
}

}  // namespace gh::net
