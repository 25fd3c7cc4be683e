// Servers that federate, without a network: each an engine and a federation of its own, joined by a
// wire that carries bytes in order, a DNS that is a table, and certificates that are said to be
// good. Nothing is delivered inside a call: Run() carries what there is.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "firmware/s2s/federation.h"
#include "tests/unit/rt/memory.h"
#include "tests/unit/xmpp/world.h"

namespace gh::s2s::test {

class Site;

// What lies between servers.
struct Net {
  struct Server {
    std::string target;
    uint16_t port = 5269;
    uint16_t priority = 0;
    uint16_t weight = 0;
  };
  std::map<std::string, std::vector<Server>> srv;
  std::map<std::string, std::string> hosts;  // name to IPv4 addresses, blanks between
  std::map<std::string, Site*> sites;        // "address:port"
  std::deque<std::function<void()>> events;
  std::vector<std::string> connected;  // each attempt
  bool tls_fails = false;

  void Run() {
    for (int i = 0; i < 10'000 && !events.empty(); ++i) {
      const auto event = events.front();
      events.pop_front();
      event();
    }
  }
};

class Site final : public Host, public Observer, public net::Resolver {
 public:
  Site(Net& wire, const char* domain, const std::string& address,
       const Capacity& capacity = Capacity::For(0),
       const xmpp::Capacity& of_world = xmpp::test::World::FewCapacity())
      : net_(wire),
        world_(of_world, xmpp::test::World::FewBytes(), domain),
        address_(address),
        memory_(capacity.ArenaBytes() + (1 << 20)) {
    arena_ = std::make_unique<Arena>(memory_);
    federation_ =
        std::make_unique<Federation>(Federation::Parts{*arena_, world_.timers(), world_.random(),
                                                       *this, world_.engine(), *this, *this},
                                     capacity);
    world_.engine().SetRemote(federation_.get());
    config.enabled = true;
    config.secret.Assign(std::string("secret of ") + domain);
    certificate = {domain};
    net_.sites[address + ":5269"] = net_.sites[address + ":7400"] = this;
    net_.hosts[domain] = address;
    Apply();
  }
  ~Site() { world_.engine().SetRemote(nullptr); }
  void Apply() { federation_->Apply(config); }
  Federation& federation() { return *federation_; }
  xmpp::test::World& world() { return world_; }
  const Counters& counters() { return federation_->counters(); }
  void Turn(int64_t seconds) {
    world_.Turn(Duration::Seconds(seconds));
    net_.Run();
  }

  Result<net::StreamId> Connect(const Hop& hop, std::string_view) override {
    const std::string at(net::ToText(hop.remote).view());
    net_.connected.push_back(at + (hop.is_tls ? " tls" : ""));
    const net::StreamId id = NewStream();
    Site* other = net_.sites.contains(at) ? net_.sites[at] : nullptr;
    if (speaks_for_others) {
      outgoing = id;
      net_.events.push_back(
          [this, id, is_tls = hop.is_tls] { federation_->OnConnected(id, is_tls); });
      return id;
    }
    if (other == nullptr) {
      net_.events.push_back([this, id] { End(id, net::StreamClose::kRefused); });
      return id;
    }
    const net::StreamId theirs = other->NewStream();
    streams_[id.index].other = other;
    streams_[id.index].other_id = theirs;
    other->streams_[theirs.index].other = this;
    other->streams_[theirs.index].other_id = id;
    const bool is_tls = hop.is_tls;
    const Door door = hop.remote.port == 7400 ? Door::kRelay : Door::kServers;
    net_.events.push_back([this, other, id, theirs, is_tls, door] {
      if (!other->federation_->OnOpen(theirs, net::Endpoint(), is_tls, door)) {
        other->streams_.erase(theirs.index);
        End(id, net::StreamClose::kReset);
        return;
      }
      federation_->OnConnected(id, is_tls);
    });
    return id;
  }
  Result<void> Send(net::StreamId stream, std::span<const uint8_t> bytes) override {
    if (blocked || !streams_.contains(stream.index)) {
      return ErrorCode::kWouldBlock;
    }
    Stream& from = streams_[stream.index];
    const std::string text(AsText(bytes));
    from.sent += text;
    if (from.other != nullptr) {
      net_.events.push_back([other = from.other, id = from.other_id, text] {
        if (other->streams_.contains(id.index)) {
          other->federation_->OnData(id, AsBytes(text));
        }
      });
    }
    return Ok();
  }
  Result<void> StartTls(net::StreamId) override { return Ok(); }
  Result<void> SecureAsClient(net::StreamId stream, std::string_view) override {
    const Stream from = streams_[stream.index];
    if (from.other == nullptr) {
      net_.events.push_back([this, stream] { federation_->OnConnected(stream, true); });
      return Ok();
    }
    net_.events.push_back([this, stream, from] {
      if (net_.tls_fails) {
        End(stream, net::StreamClose::kTlsFailure);
        from.other->End(from.other_id, net::StreamClose::kTlsFailure);
        return;
      }
      from.other->federation_->OnConnected(from.other_id, true);
      federation_->OnConnected(stream, true);
    });
    return Ok();
  }
  void Close(net::StreamId stream) override { Abort(stream); }
  void Abort(net::StreamId stream) override {
    if (!streams_.contains(stream.index)) {
      return;
    }
    const Stream from = streams_[stream.index];
    net_.events.push_back([this, stream, from] {
      End(stream, net::StreamClose::kByUs);
      if (from.other != nullptr) {
        from.other->End(from.other_id, net::StreamClose::kByPeer);
      }
    });
  }
  void Resume(net::StreamId) override {}
  size_t UndeliveredBytes(net::StreamId) override { return undelivered; }
  bool IsProved(net::StreamId stream, std::string_view domain) override {
    const Stream& from = streams_[stream.index];
    const auto& names = from.other != nullptr ? from.other->certificate : from.certificate;
    return names.contains(std::string(domain));
  }

  void OnFederated(std::string_view, std::string_view remote, bool incoming, const net::Endpoint&,
                   std::string_view how) override {
    events.push_back((incoming ? "from " : "to ") + std::string(remote) + " by " +
                     std::string(how));
  }
  void OnFailed(std::string_view remote, std::string_view reason) override {
    events.push_back("failed " + std::string(remote) + ": " + std::string(reason));
  }
  void OnRefused(std::string_view remote, const net::Endpoint&, std::string_view reason) override {
    events.push_back("refused " + std::string(remote) + ": " + std::string(reason));
  }

  void OnPartner(const char* kind, std::string_view name, const net::Endpoint&, bool is_up,
                 std::string_view reason) override {
    events.push_back(std::string(kind) + " " + std::string(name) + (is_up ? " up" : " away: ") +
                     (is_up ? "" : std::string(reason)));
  }
  void OnDropped(std::string_view remote, std::string_view address) override {
    events.push_back("dropped " + std::string(remote) + " " + std::string(address));
  }

  Result<void> Resolve(std::string_view name, net::DnsType type, net::DnsQuery& query) override {
    asked_.insert(&query);
    const std::string text(name);
    net_.events.push_back([this, text, type, &query] {
      if (asked_.erase(&query) != 0) {
        Answer(text, type, query);
      }
    });
    return Ok();
  }
  void Cancel(net::DnsQuery& query) override { asked_.erase(&query); }

  // All connections break, and nobody says why.
  void Break() {
    std::vector<uint32_t> all;
    for (const auto& [index, stream] : streams_) {
      all.push_back(index);
    }
    for (const uint32_t index : all) {
      if (streams_.contains(index)) {
        const Stream from = streams_[index];
        End({index, 1}, net::StreamClose::kReset);
        if (from.other != nullptr) {
          from.other->End(from.other_id, net::StreamClose::kReset);
        }
      }
    }
  }

  // A stream of somebody the test speaks for.
  net::StreamId OpenRaw(bool secure, std::set<std::string> names = {}, Door door = Door::kServers) {
    const net::StreamId id = NewStream();
    streams_[id.index].certificate = std::move(names);
    federation_->OnOpen(id, net::Endpoint(), secure, door);
    return id;
  }
  std::string Say(net::StreamId id, const std::string& text) {
    streams_[id.index].sent.clear();
    federation_->OnData(id, AsBytes(text));
    net_.Run();
    return Said(id);
  }
  std::string Said(net::StreamId id) {
    return streams_.contains(id.index) ? streams_[id.index].sent : last_[id.index];
  }
  bool IsOpen(net::StreamId id) { return streams_.contains(id.index); }

  Config config;
  std::set<std::string> certificate;  // the names in ours, which all trust
  std::vector<std::string> events;
  bool blocked = false;
  size_t undelivered = 0;
  bool speaks_for_others = false;  // streams of ours end at the test
  net::StreamId outgoing;          // the last of them

 private:
  struct Stream {
    Site* other = nullptr;
    net::StreamId other_id;
    std::string sent;
    std::set<std::string> certificate;
  };

  net::StreamId NewStream() {
    const net::StreamId id{next_++, 1};
    streams_[id.index] = {};
    return id;
  }
  void End(net::StreamId id, net::StreamClose why) {
    if (streams_.contains(id.index)) {
      last_[id.index] = streams_[id.index].sent;
      streams_.erase(id.index);
      federation_->OnClosed(id, why);
    }
  }
  void Answer(const std::string& name, net::DnsType type, net::DnsQuery& query) {
    std::vector<net::DnsRecord> records;
    std::vector<Net::Server> servers;
    if (type == net::DnsType::kSrv && net_.srv.contains(name)) {
      servers = net_.srv[name];
      for (const Net::Server& server : servers) {
        net::DnsRecord record;
        record.type = type;
        record.target = server.target;
        record.port = server.port;
        record.priority = server.priority;
        record.weight = server.weight;
        records.push_back(record);
      }
    } else if (type == net::DnsType::kA && net_.hosts.contains(name)) {
      std::string all = net_.hosts[name];
      while (!all.empty()) {
        net::DnsRecord record;
        record.type = type;
        record.address = *net::IpAddress::Parse(all.substr(0, all.find(' ')));
        records.push_back(record);
        all = all.find(' ') == all.npos ? "" : all.substr(all.find(' ') + 1);
      }
    }
    if (records.empty()) {
      query.done(query, ErrorCode::kNotFound);
    } else {
      query.done(query, std::span<const net::DnsRecord>(records));
    }
  }

  Net& net_;
  xmpp::test::World world_;
  std::string address_;
  gh::test::Memory memory_;
  std::unique_ptr<Arena> arena_;
  std::map<uint32_t, Stream> streams_;
  std::map<uint32_t, std::string> last_;
  std::set<net::DnsQuery*> asked_;
  uint32_t next_ = 100;
  std::unique_ptr<Federation> federation_;
};

}  // namespace gh::s2s::test
