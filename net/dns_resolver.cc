#include "net/dns_resolver.h"

#include <algorithm>
#include <cstring>

namespace gh::net {
namespace {

constexpr Duration kFirstTimeout = Duration::Milliseconds(1500);
constexpr Duration kSecondTimeout = Duration::Milliseconds(3000);
constexpr Duration kTcpTimeout = Duration::Milliseconds(4000);
constexpr Duration kAvoidTime = Duration::Seconds(30);
constexpr uint32_t kRoundMax = 2;  // times each server is asked
constexpr uint32_t kNegativeTtlMax_s = 900;
constexpr uint32_t kNegativeTtlDefault_s = 30;  // a negative answer without SOA

}  // namespace

DnsResolver::DnsResolver(const Parts& parts, uint32_t query_count, uint32_t cache_count)
    : loop_(parts.loop),
      random_(parts.random),
      datagrams_(parts.datagrams),
      streams_(parts.streams),
      pendings_(parts.arena, query_count),
      entries_(parts.arena, cache_count),
      table_(parts.arena, cache_count, SipKey{parts.random.U64(), parts.random.U64()}),
      deliver_task_([](void* self) { static_cast<DnsResolver*>(self)->DeliverDone(); }, this),
      answer_(parts.arena.New<DnsAnswer>()) {}

DnsResolver::~DnsResolver() {
  loop_.Cancel(deliver_task_);
  for (uint32_t i = 0; i < pendings_.capacity(); ++i) {
    if (Pending* pending = pendings_.At(i); pending != nullptr) {
      loop_.timers().Cancel(pending->timer);
    }
  }
}

void DnsResolver::SetServers(std::span<const IpAddress> servers) {
  server_count_ = 0;
  for (const IpAddress& address : servers) {
    if (server_count_ < servers_.size()) {
      servers_[server_count_++] = {address, {}};
    }
  }
}

Result<void> DnsResolver::AddStaticHost(std::string_view name, const IpAddress& address) {
  if (static_host_count_ == kStaticHostMax) {
    return ErrorCode::kExhausted;
  }
  GH_TRY(NormalizeDnsName(name, static_hosts_[static_host_count_].name));
  static_hosts_[static_host_count_++].address = address;
  return Ok();
}

void DnsResolver::FlushCache() {
  while (CacheEntry* entry = lru_.PopFront()) {
    table_.Remove(*entry);
    entries_.Release(entry);
  }
}

DnsStatus DnsResolver::status() const {
  DnsStatus status = counters_;
  status.pending_count = pendings_.used_count();
  status.cache_count = entries_.used_count();
  return status;
}

DnsResolver::CacheEntry* DnsResolver::FindFresh(const DnsName& name, DnsType type) {
  CacheEntry* entry = table_.Find({name.view(), type});
  if (entry == nullptr) {
    return nullptr;
  }
  lru_.Remove(*entry);
  if (entry->expires <= loop_.now()) {
    table_.Remove(*entry);
    entries_.Release(entry);
    return nullptr;
  }
  lru_.PushFront(*entry);
  return entry;
}

bool DnsResolver::Store(const Pending& pending, const DnsAnswer& answer) {
  CacheEntry* entry = table_.Find({pending.asked.view(), pending.type});
  if (entry == nullptr) {
    entry = entries_.Allocate();
    if (entry == nullptr) {
      entry = lru_.back();
      lru_.Remove(*entry);
      table_.Remove(*entry);
    }
    entry->name = pending.asked;
    entry->type = pending.type;
    if (table_.Insert(*entry) != HashInsert::kInserted) {
      entries_.Release(entry);
      return false;
    }
  } else {
    lru_.Remove(*entry);
  }
  lru_.PushFront(*entry);
  entry->code = answer.code;
  entry->record_count = answer.record_count;
  entry->text = answer.text;
  const auto moved = [&](std::string_view text) {
    return text.empty() ? std::string_view()
                        : std::string_view(entry->text.data() + (text.data() - answer.text.data()),
                                           text.size());
  };
  for (uint32_t i = 0; i < answer.record_count; ++i) {
    entry->records[i] = answer.records[i];
    entry->records[i].target = moved(answer.records[i].target);
    entry->records[i].flags = moved(answer.records[i].flags);
    entry->records[i].service = moved(answer.records[i].service);
  }
  const uint32_t negative =
      answer.negative_ttl_s == 0 ? kNegativeTtlDefault_s : answer.negative_ttl_s;
  const uint32_t ttl_s =
      std::min(pending.chain_ttl_s,
               answer.record_count > 0 ? answer.ttl_s : std::min(negative, kNegativeTtlMax_s));
  entry->stored = loop_.now();
  entry->expires = loop_.now() + Duration::Seconds(ttl_s);
  return true;
}

// Literals, static hosts and the cache. True: `pending` has its answer.
bool DnsResolver::AnswerLocally(Pending& pending) {
  const bool is_address = pending.type == DnsType::kA || pending.type == DnsType::kAaaa;
  const IpFamily family = pending.type == DnsType::kA ? IpFamily::kIpv4 : IpFamily::kIpv6;
  const auto answer = [&](const IpAddress& address) {
    pending.has_literal = address.family == family;
    pending.literal.type = pending.type;
    pending.literal.ttl_s = kDnsTtlMax_s;
    pending.literal.address = address;
    pending.error = pending.has_literal ? ErrorCode::kOk : ErrorCode::kNotFound;
    return true;
  };
  if (const auto literal = IpAddress::Parse(pending.asked.view()); literal.ok()) {
    return is_address ? answer(*literal) : answer({});
  }
  bool known = false;
  for (uint32_t i = 0; i < static_host_count_ && is_address; ++i) {
    if (static_hosts_[i].name.view() == pending.asked.view()) {
      known = true;
      if (static_hosts_[i].address.family == family) {
        return answer(static_hosts_[i].address);
      }
    }
  }
  if (known) {
    return answer({});  // the host has no address of this family
  }
  return FindFresh(pending.asked, pending.type) != nullptr;
}

Result<void> DnsResolver::Resolve(std::string_view name, DnsType type, DnsQuery& query) {
  GH_ASSERT(query.done != nullptr);
  ++counters_.question_count;
  DnsName normal;
  GH_TRY(NormalizeDnsName(name, normal));
  Pending* pending = pendings_.Allocate();
  if (pending == nullptr) {
    return ErrorCode::kExhausted;
  }
  pending->resolver = this;
  pending->asker = &query;
  pending->asked = pending->name = normal;
  pending->type = type;
  pending->timer.Bind<&Pending::OnTimer>(pending);
  query.slot = pendings_.IndexOf(*pending);
  if (AnswerLocally(*pending)) {
    ++counters_.cache_hit_count;
    Finish(*pending, pending->error);
    return Ok();
  }
  for (Pending& other : waiting_) {
    if (other.leader == nullptr && other.type == type && other.asked.view() == normal.view()) {
      pending->leader = &other;
      pending->state = State::kFollowing;
      break;
    }
  }
  waiting_.PushBack(*pending);
  if (pending->leader == nullptr) {
    Ask(*pending);
  }
  return Ok();
}

void DnsResolver::Cancel(DnsQuery& query) {
  if (query.slot >= pendings_.capacity()) {
    return;
  }
  Pending* pending = pendings_.At(query.slot);
  if (pending != nullptr && pending->asker == &query) {
    pending->asker = nullptr;  // others may follow it, and the answer is worth keeping
  }
  query.slot = UINT32_MAX;
}

// The next server that is not being avoided; when all are, the next one.
bool DnsResolver::PickServer(Pending& pending) {
  const ServerList servers = ServersFor(pending.name.view());
  if (servers.count == 0 || pending.attempt >= servers.count * kRoundMax) {
    return false;
  }
  for (uint32_t i = 0; i < servers.count; ++i) {
    const uint32_t index = (pending.server + i) % servers.count;
    if (servers.list[index]->avoid_until <= loop_.now()) {
      pending.server = static_cast<uint8_t>(index);
      break;
    }
  }
  pending.server = static_cast<uint8_t>(pending.server % servers.count);
  return true;
}

Result<void> DnsResolver::AddDomainServer(std::string_view domain, const IpAddress& server) {
  if (domain_server_count_ == kDomainServerMax) {
    return ErrorCode::kExhausted;
  }
  DomainServer& fresh = domain_servers_[domain_server_count_];
  GH_TRY(NormalizeDnsName(domain, fresh.domain));
  if (fresh.domain.size == 0 || server.is_unspecified()) {
    return ErrorCode::kInvalidArgument;
  }
  fresh.server = {server, {}};
  ++domain_server_count_;
  return Ok();
}

void DnsResolver::ClearDomainServers() { domain_server_count_ = 0; }

DnsResolver::ServerList DnsResolver::ServersFor(std::string_view name) {
  ServerList out;
  size_t longest = 0;
  for (uint32_t i = 0; i < domain_server_count_; ++i) {
    const std::string_view domain = domain_servers_[i].domain.view();
    const bool fits = name.ends_with(domain) && (name.size() == domain.size() ||
                                                 name[name.size() - domain.size() - 1] == '.');
    if (!fits || domain.size() < longest) {
      continue;
    }
    if (domain.size() > longest) {
      longest = domain.size();
      out.count = 0;
    }
    out.list[out.count++] = &domain_servers_[i].server;
  }
  for (uint32_t i = 0; longest == 0 && i < server_count_; ++i) {
    out.list[out.count++] = &servers_[i];
  }
  return out;
}

void DnsResolver::Ask(Pending& pending) {
  CloseTransport(pending);
  if (!PickServer(pending)) {
    // Done later, never within Resolve.
    const bool nobody = ServersFor(pending.name.view()).count == 0;
    Complete(pending, nobody ? ErrorCode::kRefused : ErrorCode::kTimeout);
    return;
  }
  const ServerList servers = ServersFor(pending.name.view());
  const IpAddress& server = servers.list[pending.server]->address;
  pending.server_address = {server, kDnsPort};
  std::array<uint8_t, 34> dice;
  random_.Fill(dice);
  const auto id = static_cast<uint16_t>(dice[32] << 8 | dice[33]);
  pending.query_size =
      static_cast<uint16_t>(BuildDnsQuery(pending.query, id, pending.name.view(), pending.type,
                                          std::span(dice).first<32>(), pending.edns));
  GH_ASSERT_GT(pending.query_size, 0);
  IpAddress any;
  any.family = server.family;
  const auto socket = datagrams_.OpenDatagram({any, 0}, pending);
  const Duration patience = pending.attempt < servers.count ? kFirstTimeout : kSecondTimeout;
  ++pending.attempt;
  loop_.timers().Arm(pending.timer, loop_.now() + patience);
  if (!socket.ok()) {
    return;  // the timer asks again
  }
  pending.socket = *socket;
  if (datagrams_
          .SendDatagram(*socket, pending.server_address,
                        std::span(pending.query).first(pending.query_size))
          .ok()) {
    ++counters_.sent_count;
  } else {
    // No route to this one: the next is asked at once, from the timer.
    servers.list[pending.server]->avoid_until = loop_.now() + kAvoidTime;
    loop_.timers().Arm(pending.timer, loop_.now());
  }
}

void DnsResolver::AskNext(Pending& pending, bool blame) {
  const ServerList servers = ServersFor(pending.name.view());
  if (blame && pending.server < servers.count) {
    servers.list[pending.server]->avoid_until = loop_.now() + kAvoidTime;
  }
  ++pending.server;
  Ask(pending);
}

void DnsResolver::AskOverTcp(Pending& pending) {
  CloseTransport(pending);
  const auto stream = streams_.Connect(pending.server_address, {}, *this);
  if (!stream.ok()) {
    AskNext(pending, false);
    return;
  }
  pending.stream = *stream;
  loop_.timers().Arm(pending.timer, loop_.now() + kTcpTimeout);
}

void DnsResolver::CloseTransport(Pending& pending) {
  loop_.timers().Cancel(pending.timer);
  if (pending.socket.valid()) {
    datagrams_.CloseDatagram(pending.socket);
    pending.socket = {};
  }
  if (pending.stream.valid()) {
    const StreamId stream = pending.stream;
    pending.stream = {};
    streams_.AbortStream(stream);
  }
}

void DnsResolver::Pending::OnTimer() {
  if (socket.valid() || stream.valid()) {
    ++resolver->counters_.timeout_count;
  }
  resolver->AskNext(*this, true);
}

void DnsResolver::Pending::OnDatagram(const DatagramInfo& info, std::span<uint8_t> data) {
  if (state != State::kWaiting || info.socket != socket || info.remote != server_address) {
    return;
  }
  resolver->HandleResponse(*this, data, false);
}

DnsResolver::Pending* DnsResolver::PendingOf(StreamId id) {
  for (Pending& pending : waiting_) {
    if (pending.stream == id) {
      return &pending;
    }
  }
  return nullptr;
}

bool DnsResolver::OnStreamOpen(StreamId id, const StreamInfo&) {
  Pending* pending = PendingOf(id);
  if (pending == nullptr) {
    return false;
  }
  std::array<uint8_t, kDnsQuerySizeMax + 2> framed;
  framed[0] = static_cast<uint8_t>(pending->query_size >> 8);
  framed[1] = static_cast<uint8_t>(pending->query_size);
  std::memcpy(framed.data() + 2, pending->query.data(), pending->query_size);
  ++counters_.sent_count;
  streams_.SendStream(id, std::span(framed).first(pending->query_size + 2u))
      .ignore("the timer asks the next server");
  return true;
}

size_t DnsResolver::OnStreamData(StreamId id, std::span<uint8_t> data) {
  Pending* pending = PendingOf(id);
  if (pending == nullptr) {
    return data.size();
  }
  if (data.size() < 2 || data.size() - 2 < static_cast<size_t>(data[0] << 8 | data[1])) {
    return 0;  // comes again with the rest
  }
  HandleResponse(*pending, data.subspan(2, static_cast<size_t>(data[0] << 8 | data[1])), true);
  return data.size();
}

void DnsResolver::OnStreamClosed(StreamId id, StreamClose) {
  if (Pending* pending = PendingOf(id); pending != nullptr) {
    pending->stream = {};
    AskNext(*pending, false);
  }
}

void DnsResolver::HandleResponse(Pending& pending, std::span<const uint8_t> message,
                                 bool over_tcp) {
  const auto query = std::span<const uint8_t>(pending.query).first(pending.query_size);
  const Result<void> parsed = ParseDnsResponse(message, query, pending.type, *answer_);
  if (!parsed.ok()) {
    ++counters_.rejected_count;
    if (over_tcp) {
      AskNext(pending, true);  // over UDP somebody may be guessing: the true answer may still come
    }
    return;
  }
  if (answer_->truncated && !over_tcp) {
    AskOverTcp(pending);
    return;
  }
  if (answer_->code == DnsCode::kFormat && pending.edns) {
    pending.edns = false;
    --pending.attempt;
    Ask(pending);
    return;
  }
  if (answer_->truncated ||
      (answer_->code != DnsCode::kNoError && answer_->code != DnsCode::kNameError)) {
    AskNext(pending, true);
    return;
  }
  if (answer_->chain_open && pending.chain < kDnsChainMax) {
    ++pending.chain;
    pending.chain_ttl_s = std::min(pending.chain_ttl_s, answer_->ttl_s);
    pending.attempt = 0;
    pending.name = answer_->chain_end;
    Ask(pending);
    return;
  }
  const bool stored = Store(pending, *answer_);
  Complete(pending, !stored                     ? ErrorCode::kExhausted
                    : answer_->record_count > 0 ? ErrorCode::kOk
                                                : ErrorCode::kNotFound);
}

// `pending` and all that follow it have their answer.
void DnsResolver::Complete(Pending& pending, ErrorCode error) {
  CloseTransport(pending);
  waiting_.Remove(pending);
  for (Pending& other : waiting_) {
    if (other.leader == &pending) {
      waiting_.Remove(other);
      other.leader = nullptr;
      Finish(other, error);
    }
  }
  Finish(pending, error);
}

void DnsResolver::Finish(Pending& pending, ErrorCode error) {
  pending.state = State::kDone;
  pending.error = error;
  done_.PushBack(pending);
  loop_.Defer(deliver_task_);
}

void DnsResolver::DeliverDone() {
  // Those that finish meanwhile are told in the next turn.
  for (uint32_t count = done_.size(); count > 0; --count) {
    Tell(*done_.PopFront());
  }
  if (!done_.empty()) {
    loop_.Defer(deliver_task_);
  }
}

void DnsResolver::Tell(Pending& pending) {
  DnsQuery* asker = pending.asker;
  const ErrorCode error = pending.error;
  const DnsName name = pending.asked;
  const DnsType type = pending.type;
  const bool has_literal = pending.has_literal;
  const DnsRecord literal = pending.literal;
  pendings_.Release(&pending);
  if (asker == nullptr) {
    return;
  }
  asker->slot = UINT32_MAX;
  if (has_literal) {
    asker->done(*asker, std::span<const DnsRecord>(&literal, 1));
    return;
  }
  // An answer good for zero seconds is good for those who asked.
  CacheEntry* entry = error == ErrorCode::kOk || error == ErrorCode::kNotFound
                          ? table_.Find({name.view(), type})
                          : nullptr;
  if (entry == nullptr || entry->record_count == 0) {
    // An answer that has left the cache within the turn counts as a shortage.
    const ErrorCode none = entry == nullptr ? ErrorCode::kExhausted : ErrorCode::kNotFound;
    asker->done(*asker, error == ErrorCode::kOk ? none : error);
    return;
  }
  // A handler may ask again and so change the cache: it gets a copy.
  std::array<DnsRecord, kDnsRecordMax> records = entry->records;
  std::array<char, kDnsTextMax>& text = answer_->text;
  text = entry->text;
  const auto moved = [&](std::string_view view) {
    return view.empty()
               ? view
               : std::string_view(text.data() + (view.data() - entry->text.data()), view.size());
  };
  const auto age_s = static_cast<uint32_t>((loop_.now() - entry->stored).seconds());
  for (uint32_t i = 0; i < entry->record_count; ++i) {
    records[i].target = moved(records[i].target);
    records[i].flags = moved(records[i].flags);
    records[i].service = moved(records[i].service);
    records[i].ttl_s -= std::min(records[i].ttl_s, age_s);
  }
  asker->done(*asker, std::span<const DnsRecord>(records).first(entry->record_count));
}

}  // namespace gh::net
