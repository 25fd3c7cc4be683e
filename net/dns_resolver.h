// A stub resolver: asks the configured recursive servers, caches by TTL, believes only answers that
// fit the question it asked.
//
// Each question goes out from a random port with a random id and random letter case; answers are
// matched on all of them. A truncated answer is asked again over TCP. A silent or failing server is
// passed over for a while. The same question asked twice goes out once. The cache is bounded; the
// least recently used entry gives way.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "crypto/random.h"
#include "hal/rt/event_loop.h"
#include "hal/rt/hash_table.h"
#include "hal/rt/list.h"
#include "hal/rt/pool.h"
#include "net/datagram.h"
#include "net/dns_message.h"
#include "net/limits.h"
#include "net/resolver.h"
#include "net/stream.h"

namespace gh::net {

struct DnsStatus {
  uint32_t pending_count = 0;
  uint32_t cache_count = 0;
  uint64_t question_count = 0;  // Resolve calls
  uint64_t cache_hit_count = 0;
  uint64_t sent_count = 0;  // to servers, over UDP and TCP
  uint64_t timeout_count = 0;
  uint64_t rejected_count = 0;  // answers that did not fit their question
};

class DnsResolver final : public Resolver, private StreamHandler {
 public:
  static constexpr uint32_t kStaticHostMax = 32;
  static constexpr uint32_t kDomainServerMax = 10;

  struct Parts {
    Arena& arena;
    EventLoop& loop;
    crypto::Random& random;
    DatagramService& datagrams;
    StreamService& streams;
  };
  DnsResolver(const Parts& parts, uint32_t query_count, uint32_t cache_count);
  ~DnsResolver();
  DnsResolver(const DnsResolver&) = delete;
  DnsResolver& operator=(const DnsResolver&) = delete;

  Result<void> Resolve(std::string_view name, DnsType type, DnsQuery& query) override;
  void Cancel(DnsQuery& query) override;

  // In the order of preference; the cache is kept.
  void SetServers(std::span<const IpAddress> servers);
  // Names in `domain` are asked of `server` and of no other; the longest domain that fits decides,
  // of equal ones all servers serve, in order. kInvalidArgument: no domain name; kExhausted:
  // kDomainServerMax.
  Result<void> AddDomainServer(std::string_view domain, const IpAddress& server);
  void ClearDomainServers();
  // Answers A or AAAA questions for `name` without asking; kExhausted at kStaticHostMax.
  Result<void> AddStaticHost(std::string_view name, const IpAddress& address);
  void ClearStaticHosts() { static_host_count_ = 0; }
  void FlushCache();
  DnsStatus status() const;

 private:
  enum class State : uint8_t { kWaiting, kFollowing, kDone };

  struct CacheEntry {
    DnsName name;
    DnsType type = DnsType::kA;
    DnsCode code = DnsCode::kNoError;
    Instant stored;
    Instant expires;
    uint32_t record_count = 0;
    std::array<DnsRecord, kDnsRecordMax> records = {};
    std::array<char, kDnsTextMax> text = {};
    HashNode hash_node;
    ListNode lru_node;
  };
  struct CacheKey {
    std::string_view name;
    DnsType type;
    friend bool operator==(const CacheKey&, const CacheKey&) = default;
  };
  struct CacheTraits {
    using Key = CacheKey;
    static Key KeyOf(const CacheEntry& entry) { return {entry.name.view(), entry.type}; }
    static uint64_t HashOf(const SipKey& sip, const Key& key) {
      return SipHash13(sip, key.name) ^ (static_cast<uint64_t>(key.type) * 0x9e3779b97f4a7c15);
    }
  };

  struct Pending final : public DatagramHandler {
    void OnDatagram(const DatagramInfo& info, std::span<uint8_t> data) override;
    void OnTimer();

    DnsResolver* resolver = nullptr;
    DnsQuery* asker = nullptr;  // null: cancelled, finishes for its followers and the cache
    DnsName asked;              // the caller's name: the cache's key
    DnsName name;               // the name in the question now: end of a CNAME chain
    DnsType type = DnsType::kA;
    State state = State::kWaiting;
    ErrorCode error = ErrorCode::kOk;
    DnsRecord literal;  // an answer that needs no cache
    bool has_literal = false;
    Pending* leader = nullptr;
    uint8_t server = 0;
    uint8_t attempt = 0;
    uint8_t chain = 0;
    uint32_t chain_ttl_s = kDnsTtlMax_s;
    bool edns = true;
    SocketId socket;
    StreamId stream;
    Endpoint server_address;
    std::array<uint8_t, kDnsQuerySizeMax> query = {};
    uint16_t query_size = 0;
    Timer timer;
    ListNode node;  // waiting or done
  };

  struct Server {
    IpAddress address;
    Instant avoid_until;
  };
  struct DomainServer {
    DnsName domain;
    Server server;
  };
  struct ServerList {
    std::array<Server*, std::max<size_t>(2 * kDnsServerMax, kDomainServerMax)> list = {};
    uint32_t count = 0;
  };
  struct StaticHost {
    DnsName name;
    IpAddress address;
  };

  // Streams outlive the question they served by their last event: the handler is the resolver.
  bool OnStreamOpen(StreamId id, const StreamInfo& info) override;
  size_t OnStreamData(StreamId id, std::span<uint8_t> data) override;
  void OnStreamWritable(StreamId) override {}
  void OnStreamClosed(StreamId id, StreamClose why) override;
  Pending* PendingOf(StreamId id);

  bool AnswerLocally(Pending& pending);
  CacheEntry* FindFresh(const DnsName& name, DnsType type);
  bool Store(const Pending& pending, const DnsAnswer& answer);
  void Ask(Pending& pending);
  void AskNext(Pending& pending, bool blame);
  void AskOverTcp(Pending& pending);
  bool PickServer(Pending& pending);
  // Those to be asked for `name`.
  ServerList ServersFor(std::string_view name);
  void HandleResponse(Pending& pending, std::span<const uint8_t> message, bool over_tcp);
  void CloseTransport(Pending& pending);
  void Complete(Pending& pending, ErrorCode error);
  void Finish(Pending& pending, ErrorCode error);
  void DeliverDone();
  void Tell(Pending& pending);

  EventLoop& loop_;
  crypto::Random& random_;
  DatagramService& datagrams_;
  StreamService& streams_;
  Pool<Pending> pendings_;
  Pool<CacheEntry> entries_;
  HashTable<CacheEntry, &CacheEntry::hash_node, CacheTraits> table_;
  List<CacheEntry, &CacheEntry::lru_node> lru_;  // most recently used first
  List<Pending, &Pending::node> waiting_;
  List<Pending, &Pending::node> done_;
  std::array<Server, 2 * kDnsServerMax> servers_ = {};
  uint32_t server_count_ = 0;
  std::array<DomainServer, kDomainServerMax> domain_servers_ = {};
  uint32_t domain_server_count_ = 0;
  std::array<StaticHost, kStaticHostMax> static_hosts_ = {};
  uint32_t static_host_count_ = 0;
  Task deliver_task_;
  DnsAnswer* answer_ = nullptr;  // scratch
  DnsStatus counters_;
};

}  // namespace gh::net
