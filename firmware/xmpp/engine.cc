#include "firmware/xmpp/engine.h"

#include <algorithm>
#include <cstring>

#include "firmware/xmpp/scratch.h"

namespace gh::xmpp {
namespace {

// A parser that reads wants some 12 KiB, and more for a long tag: not all at a time.
uint64_t ParserHeapBytes(uint32_t readers) {
  return uint64_t{readers} * kParserHeapUsual + 4 * kParserHeapMax;
}

constexpr size_t kPieceMax = 8192;    // given to the network at a time
constexpr uint32_t kRecordHead = 12;  // before a stanza that waits to be acknowledged

}  // namespace

Capacity Capacity::For(uint32_t accounts, uint32_t sessions) {
  Capacity c;
  c.directory.accounts = accounts;
  c.directory.contacts = accounts * 50;
  c.directory.blocked = accounts * 4;
  c.directory.waiting = accounts * 20;
  c.rooms.rooms = std::clamp(accounts, 100u, 16'500u);
  c.rooms.occupants = sessions * 4 + kRoomOccupantMax;
  c.items.nodes = accounts * 4;
  c.items.items = accounts * 12;
  c.items.entities = std::max(accounts, 64u);
  c.rooms.affiliates = accounts * 2 + c.rooms.rooms * 4;
  c.watches = std::clamp(sessions / 2, 16u, 16'384u);
  c.clients_away = std::clamp(sessions / 2, 16u, 16'384u);
  c.sessions = sessions;
  c.readers = std::clamp(sessions / 32, 16u, 512u);
  c.unproven_readers = std::clamp(sessions / 16, 16u, 512u);
  // A contact: one block, for each other one two; a session: its presence and what waits for it; a
  // room: its history.
  c.blocks = c.directory.contacts * 3 / 2 + c.directory.blocked + sessions * 16 +
             c.rooms.occupants * 4 + c.rooms.affiliates + c.rooms.rooms * 8 + c.items.nodes +
             c.items.items + c.items.entities + accounts + c.clients_away + 16 * 1024;
  return c;
}

uint64_t Capacity::ArenaBytes() const {
  const uint64_t parsers = readers + unproven_readers;
  return Directory::ArenaBytes(directory) + Rooms::ArenaBytes(rooms) + Items::ArenaBytes(items) +
         CapsCache::ArenaBytes(kCapsMax) + CapsCache::ArenaBytes(kCapsAwayMax) +
         Archive::ArenaBytes(directory.accounts + rooms.rooms) + ChainPool::ArenaBytes(blocks) +
         uint64_t{watches} * Pool<Watch>::bytes_per_item() +
         uint64_t{clients_away} * Pool<ClientAway>::bytes_per_item() +
         uint64_t{sessions} * (Pool<Session>::bytes_per_item() + 16) +
         Sources::ArenaBytes(sessions) +
         uint64_t{unproven_readers} *
             (Pool<ScramLogin>::bytes_per_item() + Pool<Wishes>::bytes_per_item() +
              XmlReader::ArenaBytes(XmlLimits::Unproven()) + 64) +
         uint64_t{readers} * (XmlReader::ArenaBytes(XmlLimits()) + 64) +
         parsers * sizeof(HeapOwner) + ParserHeapBytes(readers + unproven_readers) +
         3 * kOutputMax + sizeof(Engine) + 16 * 1024;
}

Engine::Engine(Arena& arena, TimerWheel& timers, crypto::Random& random, Host& host, Keeper& keeper,
               Observer& observer, const Capacity& capacity)
    : timers_(timers),
      random_(random),
      host_(host),
      keeper_(keeper),
      observer_(observer),
      chains_(arena, capacity.blocks),
      directory_(arena.New<Directory>(arena, capacity.directory, chains_, keeper, random)),
      archive_(arena, keeper, capacity.directory.accounts + capacity.rooms.rooms),
      tokens_(keeper, chains_, random),
      privacy_(keeper, chains_),
      rooms_(arena.New<Rooms>(arena, capacity.rooms, chains_, keeper, archive_, random,
                              static_cast<RoomHost&>(*this))),
      items_(arena.New<Items>(arena, capacity.items, chains_, keeper, directory_->key())),
      caps_(arena.New<CapsCache>(arena, chains_, directory_->key(), kCapsMax)),
      caps_away_(arena.New<CapsCache>(arena, chains_, directory_->key(), kCapsAwayMax)),
      sessions_(arena, capacity.sessions),
      by_stream_(arena, capacity.sessions, SipKey{}),  // keys are ours, not the wire's
      sources_(arena, capacity.sessions, random),
      logins_(arena, capacity.unproven_readers),
      wishes_(arena, capacity.unproven_readers),
      watches_(arena, capacity.watches),
      clients_away_(arena, capacity.clients_away),
      parser_heap_(arena, ParserHeapBytes(capacity.readers + capacity.unproven_readers),
                   capacity.readers + capacity.unproven_readers),
      scratch_(NewBytes(arena, kOutputMax)),
      scratch2_(NewBytes(arena, kOutputMax)),
      scratch3_(NewBytes(arena, kOutputMax)),
      started_(timers.now()) {
  random.Fill(secret_);
  pressure_timer_.Bind<&Engine::OnPressure>(this);
  keep_alive_timer_.Bind<&Engine::OnKeepAlive>(this);
  seen_timer_.Bind<&Engine::OnSeenTimer>(this);
  remote_session_.engine = this;
  remote_session_.account = &remote_account_;
  remote_session_.state = SessionState::kBound;
  remote_session_.is_remote = remote_session_.secure = true;
  remote_session_.unproven = false;
  InitReaders(arena, readers_, capacity.readers, 0, XmlLimits());
  InitReaders(arena, unproven_readers_, capacity.unproven_readers, capacity.readers,
              XmlLimits::Unproven());
}

void Engine::InitReaders(Arena& arena, ReaderPool& pool, uint32_t count, uint32_t first_owner,
                         const XmlLimits& limits) {
  pool.all = arena.NewArray<XmlReader>(count);
  pool.free = arena.NewArray<uint16_t>(count);
  pool.free_count = count;
  for (uint32_t i = 0; i < count; ++i) {
    pool.all[i].Init(arena, parser_heap_, first_owner + i, random_, limits);
    pool.free[i] = static_cast<uint16_t>(count - 1 - i);
  }
}

Result<void> Engine::Load(std::string_view key, std::span<const uint8_t> value) {
  RowName name;
  if (!RowName::Read(key, name)) {
    return Error{ErrorCode::kCorrupt, "a row of XMPP has no name"};
  }
  if (name.kind == 'k') {
    has_secret_ = value.size() == secret_.size();
    std::copy_n(value.begin(), has_secret_ ? secret_.size() : 0, secret_.begin());
    return has_secret_ ? Ok() : Result<void>(Error{ErrorCode::kCorrupt, "a secret is too short"});
  }
  const bool is_of_room =
      name.kind == 'r' || name.kind == 's' || name.kind == 'u' || name.kind == 'y';
  if (name.kind == 'f') {
    Account* account = directory_->OfId(name.id);
    return account != nullptr ? tokens_.Load(*account, name, value)
                              : Result<void>(Error{ErrorCode::kCorrupt, "a token is nobody's"});
  }
  if (name.kind == 'q') {
    Account* account = directory_->OfId(name.id);
    return account != nullptr
               ? privacy_.Load(*account, name, value)
               : Result<void>(Error{ErrorCode::kCorrupt, "a privacy list is nobody's"});
  }
  if (name.kind == 'w' || name.kind == 'x' || name.kind == 'z') {
    Account* account = directory_->OfId(name.id);
    return account != nullptr
               ? items_->Load(*account, name, value)
               : Result<void>(Error{ErrorCode::kCorrupt, "a published item is nobody's"});
  }
  return is_of_room ? rooms_->Load(name, value) : directory_->Load(name, value, archive_);
}

// Salts that are others after a restart tell whose are not: those of nobody.
void Engine::KeepSecret() {
  has_secret_ = has_secret_ || keeper_.Put(RowKey('k', 0), secret_) != 0;
}

Engine::~Engine() {
  timers_.Cancel(pressure_timer_);
  timers_.Cancel(keep_alive_timer_);
  timers_.Cancel(seen_timer_);
  for (ReaderPool* pool : {&readers_, &unproven_readers_}) {
    for (XmlReader& reader : pool->all) {
      reader.~XmlReader();
    }
  }
  for (uint32_t i = 0; i < sessions_.capacity(); ++i) {
    if (Session* session = sessions_.At(i)) {
      timers_.Cancel(session->timer);
    }
  }
}

void Engine::Apply(const Config& config) {
  const bool was_shown = config_.presence;
  if (was_shown && !config.presence) {
    ShowAll(false);
  }
  config_ = config;
  if (config.enabled && config.keep_alive > Duration()) {
    timers_.Arm(keep_alive_timer_, config.keep_alive / 4);
  } else {
    timers_.Cancel(keep_alive_timer_);
  }
  archive_.Apply(config.archive);
  rooms_->Apply(config.rooms);
  for (uint32_t i = 0; i < sessions_.capacity(); ++i) {
    Session* session = sessions_.At(i);
    if (session == nullptr || session->doomed) {
      continue;
    }
    const bool served = config.enabled && (session->account == nullptr ||
                                           IsLocal(session->account->name.view().substr(
                                               session->account->name.view().find('@') + 1)));
    if (!served) {
      StreamError(*session, "host-gone", "the domain is not served any more");
    }
  }
  if (!was_shown && config.presence) {
    ShowAll(true);
  }
  Settle();
}

// --- Connections ---------------------------------------------------------------------------------

bool Engine::OnOpen(net::StreamId stream, const net::Endpoint& remote, bool secure,
                    Framing framing) {
  Source* source = config_.enabled ? sources_.Enter(remote.address) : nullptr;
  if (source == nullptr) {
    return false;
  }
  if (const char* refusal = Admit(*source); *refusal != '\0') {
    observer_.OnRefused(remote, "", refusal);
    sources_.Leave(*source);
    return false;
  }
  Session* session = sessions_.Allocate();
  GH_ASSERT(session != nullptr);
  session->stream = stream;
  session->stream_key = KeyOf(stream);
  session->remote = remote;
  session->secure = secure;
  session->framing = framing;
  session->connected = true;
  if (by_stream_.Insert(*session) != HashInsert::kInserted) {
    sessions_.Release(session);
    sources_.Leave(*source);
    return false;
  }
  EnterAsStranger(*session, *source);
  session->engine = this;
  ++counters_.streams;
  ArmDeadline(*session);
  return true;
}

void Engine::OnSecured(net::StreamId stream) {
  Session* session = Find(stream);
  if (session != nullptr && session->state == SessionState::kSecuring) {
    session->secure = true;
    session->state = SessionState::kConnected;
  }
}

size_t Engine::OnData(net::StreamId stream, std::span<const uint8_t> data) {
  std::span<const uint8_t> in = data;
  // A stanza may give the stream to another session, or end it.
  for (;;) {
    Session* session = Find(stream);
    if (session == nullptr || session->doomed || session->closing ||
        session->state == SessionState::kSecuring) {
      in = {};
      break;
    }
    if (session->reader == nullptr) {
      while (!in.empty() && (in[0] == ' ' || in[0] == '\t' || in[0] == '\r' || in[0] == '\n')) {
        in = in.subspan(1);
      }
      if (in.empty() || !LendReader(*session)) {
        break;
      }
    }
    if (session->reader->is_at_rest() && HoldsBack(*session)) {
      ReturnReader(*session);
      break;
    }
    if (!in.empty() && session->state == SessionState::kBound && IsTooFast(*session)) {
      HoldBack(*session, counters_.too_fast);  // with the parser that has begun
      ArmDeadline(*session);
      break;
    }
    const size_t before = in.size();
    const XmlEvent event = Read(*session, in);
    if (!TakeUnproven(*session, before - in.size())) {
      continue;
    }
    if (event == XmlEvent::kMore) {
      // Its header was the usual one: any reader goes on from here.
      if (session->reader->is_at_rest() && session->state != SessionState::kProven) {
        ReturnReader(*session);
      }
      break;
    }
    OnEvent(*session, event);
  }
  Settle();
  return data.size() - in.size();
}

XmlEvent Engine::Read(Session& session, std::span<const uint8_t>& in) {
  const XmlEvent event = session.reader->Read(in);
  if (session.unproven) {
    session.elements_left = static_cast<uint16_t>(session.reader->elements_left());
  }
  return event;
}

// What a peer sends before it has proved who it is, counted before anything is made of it.
bool Engine::TakeUnproven(Session& session, size_t bytes) {
  if (!session.unproven) {
    return true;
  }
  if (bytes <= kUnprovenBytes - session.unproven_bytes) {
    session.unproven_bytes += static_cast<uint16_t>(bytes);
    return true;
  }
  StreamError(session, "policy-violation", "too much before authentication");
  return false;
}

void Engine::OnEvent(Session& session, XmlEvent event) {
  switch (event) {
    case XmlEvent::kHeader:
      OnHeader(session, session.reader->root());
      return;
    case XmlEvent::kStanza:
      if (session.framing != Framing::kStream) {
        OnWhole(session, session.reader->root());
      } else if (session.state == SessionState::kBound) {
        OnStanza(session, session.reader->root());
      } else {
        OnNegotiation(session, session.reader->root());
      }
      return;
    case XmlEvent::kEnd:
      session.resumable = false;  // an orderly end is one (XEP-0198 section 5)
      CloseStream(session);
      Doom(session, "logged out");
      return;
    case XmlEvent::kRestricted:
      StreamError(session, "restricted-xml", "restricted XML");
      return;
    case XmlEvent::kTooLarge:
      StreamError(session, "policy-violation", "a stanza beyond the limits");
      return;
    case XmlEvent::kNoMemory:
      StreamError(session, "resource-constraint", "a stanza beyond the parser's memory");
      return;
    default:
      StreamError(session, "not-well-formed", "XML that is not well-formed");
      return;
  }
}

void Engine::OnWritable(net::StreamId stream) {
  Session* session = Find(stream);
  if (session == nullptr) {
    return;
  }
  if (session->silent_until > keeper_.durable()) {
    return;
  }
  while (!session->unsent.empty()) {
    uint8_t bytes[4096];
    const size_t count = chains_.Copy(session->unsent, 0, bytes);
    if (!host_.Send(stream, std::span(bytes).first(count)).ok()) {
      return;
    }
    chains_.Drop(session->unsent, static_cast<uint32_t>(count));
    NoteTaken(*session, static_cast<uint32_t>(count));
  }
  if (!held_.empty() && !IsShort()) {
    ReleaseHeld();
  }
  if (session->closing) {
    host_.Close(stream);
  }
}

void Engine::OnClosed(net::StreamId stream) {
  Session* session = Find(stream);
  if (session == nullptr) {
    return;
  }
  Detach(*session);
  if (session->state == SessionState::kBound && session->resumable && !session->doomed) {
    Hibernate(*session);
  } else {
    Doom(*session, "the connection broke");
  }
  Settle();
}

// --- Readers -------------------------------------------------------------------------------------

bool Engine::LendReader(Session& session) {
  if (HoldsBack(session)) {
    return false;
  }
  ReaderPool& pool = PoolOf(session);
  if (pool.free_count == 0 && !FreeReaderFor(session)) {
    if (!session.waiting_node.linked()) {
      pool.waiting.PushBack(session);
    }
    return false;
  }
  session.reader = &pool.all[pool.free[--pool.free_count]];
  ++pool.lent;
  NoteReading(session, true);
  const bool between_stanzas =
      session.framing != Framing::kStream || session.state == SessionState::kNegotiated ||
      session.state == SessionState::kBinding || session.state == SessionState::kBound;
  session.reader->Begin(between_stanzas);
  session.reader->SetStanzaMax(StanzaMax(session));
  session.reader->SetElementsLeft(session.unproven ? session.elements_left : XmlReader::kAnyNumber);
  ArmDeadline(session);
  return true;
}

void Engine::ReturnReader(Session& session) {
  if (session.waiting_node.linked()) {
    PoolOf(session).waiting.Remove(session);
  }
  if (session.reader == nullptr) {
    return;
  }
  NoteReading(session, false);
  for (ReaderPool* pool : {&readers_, &unproven_readers_}) {
    const auto at = static_cast<size_t>(session.reader - pool->all.data());
    if (session.reader < pool->all.data() || at >= pool->all.size()) {
      continue;
    }
    pool->free[pool->free_count++] = static_cast<uint16_t>(at);
    --pool->lent;
    if (Session* next = pool->waiting.PopFront()) {
      host_.Resume(next->stream);
    }
  }
  session.reader = nullptr;
  if (session.state == SessionState::kBound) {
    timers_.Cancel(session.timer);
  }
}

// --- Time ----------------------------------------------------------------------------------------

// One timer for each session: until it is authenticated, while a stanza is incomplete, and while
// it may be resumed.
void Engine::ArmDeadline(Session& session) {
  session.timer.Set(
      [](Timer&, void* context) {
        auto& fired = *static_cast<Session*>(context);
        fired.engine->OnTimer(fired);
      },
      &session);
  if (session.state == SessionState::kHibernating) {
    timers_.Arm(session.timer, config_.resume);
  } else if (!session.unproven) {
    timers_.Arm(session.timer, Duration::Seconds(kStanzaSeconds));
  } else if (!session.timer.armed()) {  // one time for all of it
    timers_.Arm(session.timer, Duration::Seconds(kUnprovenSeconds));
  }
}

void Engine::OnTimer(Session& session) {
  if (session.state == SessionState::kHibernating) {
    Doom(session, "it was not resumed in time");
  } else {
    StreamError(session, "connection-timeout",
                session.unproven ? "not authenticated in time" : "a stanza that did not end");
  }
  Settle();
}

// --- Sending -------------------------------------------------------------------------------------

void Engine::Write(Session& session, std::span<const uint8_t> bytes) {
  if (session.framing == Framing::kStream) {
    WriteBytes(session, bytes);
  } else if (!bytes.empty()) {
    WriteFramed(session, bytes);
  }
}

void Engine::WriteBytes(Session& session, std::span<const uint8_t> bytes) {
  if (!session.connected || session.closing || session.doomed) {
    return;
  }
  session.written = timers_.now();
  const bool is_silent = session.silent_until > keeper_.durable();
  while (!is_silent && session.unsent.empty() && !bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), kPieceMax));
    if (!host_.Send(session.stream, piece).ok()) {
      break;
    }
    bytes = bytes.subspan(piece.size());
  }
  if (bytes.empty()) {
    return;
  }
  if (!QueueUnsent(session, bytes)) {
    // It does not read. What it has not acknowledged waits for it, elsewhere.
    host_.Abort(session.stream);
    if (session.state == SessionState::kBound && session.resumable) {
      Detach(session);
      Hibernate(session);
    } else {
      Doom(session, "it does not read");
    }
  }
}

// A stanza for a bound session. `number`: of the message that waits in the store until this is
// acknowledged.
void Engine::SendStanza(Session& session, std::span<const uint8_t> stanza, uint64_t number) {
  if (session.is_remote) {
    (void)ToRemote(remote_to_.full(), remote_from_.full(), stanza);
    return;
  }
  if (session.doomed || session.state < SessionState::kBound) {
    NotSent(session, number);
    return;
  }
  if (IsHeldOff(session, stanza)) {
    NotSent(session, number);
    return;
  }
  if (session.inactive && AsText(stanza).starts_with("<presence") &&
      session.held.size + stanza.size() + 4 <= kInactiveHeldMax) {
    uint8_t head[4];
    ByteWriter size(head);
    size.U32Be(static_cast<uint32_t>(stanza.size()));
    if (chains_.Append(session.held, head)) {
      if (chains_.Append(session.held, stanza)) {
        return;
      }
      chains_.Free(session.held);  // presence may be lost where memory is
    }
  }
  FlushHeld(session);
  SendNow(session, stanza, number);
}

// The message goes on waiting in the store, for another session.
void Engine::NotSent(Session& session, uint64_t number) {
  Waiting* waiting = number != 0 ? directory_->FindMessage(*session.account, number) : nullptr;
  if (waiting != nullptr && waiting->in_flight > 0) {
    --waiting->in_flight;
  }
}

void Engine::SendNow(Session& session, std::span<const uint8_t> stanza, uint64_t number) {
  if (session.doomed) {
    NotSent(session, number);
    return;
  }
  ++counters_.stanzas_out;
  if (!session.managed) {
    Write(session, stanza);
    return;
  }
  uint8_t head[kRecordHead];
  ByteWriter record(head);
  record.U32Be(static_cast<uint32_t>(stanza.size()));
  record.U64Be(number);
  if (session.unconfirmed == kUnacknowledgedMax ||
      session.unacknowledged.size + stanza.size() + kRecordHead > kUnacknowledgedBytesMax ||
      chains_.free_count() < (stanza.size() + kRecordHead) / ChainPool::kBlockBytes + 2) {
    session.resumable = false;
    NotSent(session, number);
    StreamError(session, "resource-constraint", "too much is not acknowledged");
    return;
  }
  (void)chains_.Append(session.unacknowledged, head);
  (void)chains_.Append(session.unacknowledged, stanza);
  ++session.unconfirmed;
  Write(session, stanza);
  if (!session.asked && session.connected && !session.doomed) {
    session.asked = true;
    Write(session, "<r xmlns='urn:xmpp:sm:3'/>");
  }
}

// --- Ends ----------------------------------------------------------------------------------------

void Engine::CloseStream(Session& session) {
  if (!session.connected || session.closing) {
    return;
  }
  WriteEnd(session);
  if (!session.connected) {
    return;
  }
  session.closing = true;
  if (session.unsent.empty()) {
    host_.Close(session.stream);
  }
}

void Engine::StreamError(Session& session, std::string_view condition, const char* reason) {
  if (session.doomed) {
    return;
  }
  ++counters_.stream_errors;
  if (session.connected && !session.closing) {
    if (session.state == SessionState::kConnected || session.state == SessionState::kProven) {
      uint8_t head[512];
      ByteWriter open(head);
      WriteOpen(session, "", open);
      Write(session, open.written());
    }
    uint8_t bytes[256];
    ByteWriter out(bytes);
    out.Text("<stream:error><");
    out.Text(condition);
    out.Text(" xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>");
    Write(session, out.text());
    CloseStream(session);
  }
  if (session.unproven) {
    observer_.OnRefused(session.remote, "", reason);
  }
  Doom(session, reason);
}

void Engine::Doom(Session& session, const char* reason) {
  if (!session.doomed) {
    session.doomed = true;
    session.doom = reason;
    doomed_.PushBack(session);
  }
}

void Engine::Settle() {
  if (settling_) {
    return;
  }
  settling_ = true;
  while (Session* session = doomed_.PopFront()) {
    End(*session);
  }
  settling_ = false;
}

// The connection is not this session's any more.
void Engine::Detach(Session& session) {
  if (session.connected) {
    ReturnReader(session);
    by_stream_.Remove(session);
    session.connected = false;
    LeaveSource(session);
    ForgetUnsent(session);
    chains_.Free(session.unsent);
  }
}

void Engine::Hibernate(Session& session) {
  session.state = SessionState::kHibernating;
  session.asked = false;
  session.inactive = false;
  FlushHeld(session);
  ArmDeadline(session);
}

// The session is taken apart. Its connection, if it still has one, only drains.
void Engine::End(Session& session) {
  timers_.Cancel(session.timer);
  const bool was_bound = session.state >= SessionState::kBound;
  if (session.connected) {
    if (!session.closing) {
      host_.Abort(session.stream);
    } else if (!session.unsent.empty()) {
      host_.Close(session.stream);
    }
    Detach(session);
  }
  DropAttempt(session);
  if (session.owing_node.linked()) {
    owing_.Remove(session);
  }
  EndWatches(session);
  if (was_bound) {
    --bound_count_;
    session.account->left = host_.UnixSeconds();
    UnlinkFromAccount(session);  // before anything is sent: it is gone for everybody
    if (session.subscribes) {
      uint8_t full_bytes[kAddressMax];
      items_->RemoveSession(FullOf(session, full_bytes));
    }
    rooms_->OnGone(session);
    SendUnavailable(session);
    observer_.OnEnded(session.account->name.view(), session.remote, session.doom);
  }
  FreeUnacknowledged(session);
  caps_->Release(session.caps);
  chains_.Free(session.held);
  chains_.Free(session.presence);
  chains_.Free(session.directed);
  chains_.Free(session.replies);
  chains_.Free(session.unsent);
  sessions_.Release(&session);
}

void Engine::LinkToAccount(Session& session) {
  session.next_of_account = session.account->sessions;
  session.account->sessions = &session;
  ++session.account->session_count;
  NoteSeen(*session.account);
}

void Engine::UnlinkFromAccount(Session& session) {
  Session** at = &session.account->sessions;
  while (*at != &session) {
    GH_ASSERT(*at != nullptr);
    at = &(*at)->next_of_account;
  }
  *at = session.next_of_account;
  --session.account->session_count;
  NoteSeen(*session.account);
}

// --- Operator ------------------------------------------------------------------------------------

uint32_t Engine::EndSessions(std::string_view bare, const char* reason) {
  Account* account = directory_->Find(bare);
  uint32_t count = 0;
  for (uint32_t i = 0; account != nullptr && i < sessions_.capacity(); ++i) {
    Session* session = sessions_.At(i);
    if (session != nullptr && session->account == account && !session->doomed) {
      session->resumable = false;
      StreamError(*session, "not-authorized", reason);
      ++count;
    }
  }
  Settle();
  return count;
}

void Engine::Stop() {
  config_.enabled = false;
  (void)CloseAll("the system stops");
  (void)directory_->KeepSeen(UINT32_MAX, UINT32_MAX);  // all, for nobody comes after us
  keeper_.Flush();
}

uint32_t Engine::CloseAll(const char* reason) {
  uint32_t count = 0;
  keeper_.Flush();  // what is acknowledged now is the last
  for (uint32_t i = 0; i < sessions_.capacity(); ++i) {
    if (Session* session = sessions_.At(i)) {
      count += session->state >= SessionState::kBound ? 1 : 0;
      session->resumable = false;  // nobody would know it
      StreamError(*session, "system-shutdown", reason);
    }
  }
  Settle();
  return count;
}

bool Engine::EndSession(uint32_t id, const char* reason) {
  Session* session = id < sessions_.capacity() ? sessions_.At(id) : nullptr;
  if (session == nullptr || session->account == nullptr) {
    return false;
  }
  session->resumable = false;
  StreamError(*session, "policy-violation", reason);
  Settle();
  return true;
}

Result<void> Engine::RemoveUser(std::string_view bare) {
  Account* account = directory_->Find(bare);
  if (account == nullptr) {
    return Error{ErrorCode::kNotFound, "there is no such XMPP user"};
  }
  (void)EndSessions(bare, "the account was removed");
  // Those who see him, or wanted to, do not any more.
  while (Contact* contact = account->contacts.front()) {
    uint8_t bytes[kAddressMax];
    if (const auto other = Address::Parse(directory_->AddressOf(*contact, bytes)); other.ok()) {
      Subscribe(*account, *other, "unsubscribe", nullptr);
      Subscribe(*account, *other, "unsubscribed", nullptr);
      contact = directory_->FindContact(*account, other->full());
    }
    if (contact != nullptr) {
      contact->state = 0;
      (void)directory_->KeepContact(*account, *contact, false);
    }
  }
  while (Watch* watch = account->watches.front()) {
    EndWatch(*watch);
  }
  ForgetAllAway(*account);
  archive_.Clear(account->archive);
  items_->Clear(*account);
  items_->RemoveUser(bare);
  (void)tokens_.RemoveAll(*account);
  privacy_.RemoveAll(*account);
  directory_->Remove(*account);
  Settle();
  return Ok();
}

Result<void> Engine::DestroyRoom(std::string_view name, std::string_view reason) {
  const auto destroyed = rooms_->Destroy(name, reason);
  Settle();
  return destroyed;
}

uint32_t Engine::CloseIdleRooms() {
  const uint32_t count = rooms_->CloseIdle();
  Settle();
  return count;
}

bool Engine::NextSession(uint32_t& cursor, SessionInfo& out) {
  for (; cursor < sessions_.capacity(); ++cursor) {
    const Session* session = sessions_.At(cursor);
    if (session == nullptr || session->state < SessionState::kBound) {
      continue;
    }
    out = {cursor,
           session->account->name.view(),
           session->resource.view(),
           session->remote,
           session->secure,
           session->available,
           session->managed,
           session->connected,
           session->unconfirmed};
    ++cursor;
    return true;
  }
  return false;
}

}  // namespace gh::xmpp
