// Two days of the traversal pair in simulated time: two Cores, each the registrar of its domain and
// client of both Edges; phones inside and outside, by UDP and TCP, who register through the pair
// and call each other through it. Ways between Core and Edge fall silent, come back late or broken,
// appliances lose all they know, phones fall silent. Every three hours all is healed, and then each
// registration has to be reached from each phone, no call may be left of those before, and each
// zone is up; in the end, when all is quiet, nothing is held. Everything follows from one seed.
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <list>
#include <optional>
#include <queue>
#include <random>

#include "tests/unit/sip/phone.h"

namespace gh::sip::test {
namespace {

using dialplan::PatternBehavior;
using dialplan::PatternType;
using dialplan::RuleMode;
using dialplan::ZoneType;

constexpr size_t kCores = 2;
constexpr size_t kEdges = 2;
constexpr size_t kPhones = 8;  // half of them inside, half outside
constexpr uint16_t kPorts = 7001;
constexpr Duration kSecond = Duration::Seconds(1);
constexpr Duration kStorm = Duration::Minutes(160);
constexpr Duration kCalm = Duration::Minutes(12);
constexpr int kRounds = 16;     // of three hours
constexpr int kRoundsMore = 1;  // of other seeds

// An appliance. A restart makes a new one, which knows nothing.
struct Site {
  size_t number = 0;
  bool is_core = false;
  net::Endpoint server;
  std::optional<World> world;

  std::string domain() const {
    return is_core ? "in" + std::to_string(number) + ".example" : "out.example";
  }
  Config MakeConfig() const {
    Config config = World::DefaultConfig();
    config.domain_count = config.listener_count = 0;
    config.AddDomain(domain());
    config.AddListener(TransportKind::kUdp, server);
    config.AddListener(TransportKind::kTcp, server);
    config.AddListener(TransportKind::kTls, {server.address, 5061});
    for (uint16_t core = 0; core < kCores && !is_core; ++core) {
      const net::Endpoint own{server.address, static_cast<uint16_t>(kPorts + core)};
      config.AddListener(TransportKind::kTls, own, own, ZoneOf(core));
    }
    config.session_min_s = 90;
    config.timer_c = Duration::Seconds(60);
    return config;
  }
  // A Core's own zone, or an Edge's for that Core.
  static ZoneId ZoneOf(size_t core) { return static_cast<ZoneId>(dialplan::kFirstZone + core); }
  static std::string NameOf(size_t core) { return "Pair" + std::to_string(core); }

  void Start(Instant now) {
    world.emplace(MakeConfig(), World::SmallCapacity(), size_t{24} << 20,
                  1 + number + (is_core ? 10 : 20) + static_cast<uint64_t>(now.ns));
    world->server = server;
    world->Advance(now - world->timers().now());
    Engine& engine = world->engine();
    dialplan::Zone strangers;
    strangers.type = ZoneType::kDefault;
    strangers.trust = dialplan::Trust::kDoNotCheck;
    engine.plan().Begin();
    engine.zones().Begin();
    engine.plan().SetDefault(strangers);
    for (size_t core = 0; core < kCores; ++core) {
      if (!is_core || core == number) {
        AddZone(core);
      }
    }
    for (size_t core = 0; core < kCores; ++core) {
      AddRule(core, is_core && core == number ? "LocalZone" : NameOf(is_core ? number : core));
    }
    engine.plan().Commit();
    engine.zones().Commit();
  }
  void AddZone(size_t core) {
    ZoneConfig zone;
    zone.plan.name.Assign(NameOf(core));
    zone.plan.type = is_core ? ZoneType::kTraversalClient : ZoneType::kTraversalServer;
    zone.plan.trust = dialplan::Trust::kDoNotCheck;
    zone.port = static_cast<uint16_t>(kPorts + core);
    zone.user.Set("alice");  // whose password the world knows
    zone.password.Set("wonderland");
    zone.retry = Duration::Seconds(20);
    zone.verify_name.Set("core.example.com");
    for (size_t edge = 0; is_core && edge < kEdges; ++edge) {
      zone.peers[edge].Set("198.51.100." + std::to_string(edge + 1));
    }
    ASSERT_TRUE(world->engine().plan().Add(ZoneOf(core), zone.plan).ok());
    world->engine().zones().Add(ZoneOf(core), zone);
  }
  void AddRule(size_t core, const std::string& target) {
    dialplan::SearchRule rule;
    rule.number = rule.priority = static_cast<uint16_t>(core + 1);
    rule.target_name.Assign(target);
    rule.mode = RuleMode::kAliasPattern;
    rule.pattern.text.Assign("(.*@)?in" + std::to_string(core) + "\\.example");
    rule.pattern.type = PatternType::kRegex;
    rule.pattern.behavior = PatternBehavior::kLeave;
    ASSERT_TRUE(world->engine().plan().Add(rule).ok());
  }
};

// A Core's connection to an Edge.
struct Link {
  size_t core = 0, edge = 0;
  net::StreamId at_core, at_edge;  // the latter once the Edge has heard of it
  bool core_lives = true, edge_lives = true;
  struct Text {
    bool is_to_edge = false;
    std::string bytes;
  };
  std::deque<Text> held;  // while nothing passes
};

// A phone and what it has heard of its calls.
struct User {
  Phone phone;
  Site* site;
  std::string domain;
  bool is_tcp = false;
  bool is_silent = false;
  bool has_stream = false;
  int cseq = 0;
  Instant registered_at;

  std::string name() const { return phone.uri().substr(4, phone.uri().find('@') - 4); }
  std::string aor() const { return "sip:" + name() + "@" + domain; }
  std::string tag() const { return "t-" + name(); }
};

struct Call {
  size_t caller = 0, callee = 0;
  bool is_sure = false;  // in a calm: it has to succeed
  bool is_over = false;
  int status = 0;  // the last, for the caller
  std::string branch;
  Sent invite;  // as the callee got it
  Sent answer;  // as the caller got it
};

class Pairs {
 public:
  explicit Pairs(uint32_t seed) : random_(seed) {
    for (size_t i = 0; i < kCores + kEdges; ++i) {
      Site& site = sites_.emplace_back();
      site.is_core = i < kCores;
      site.number = site.is_core ? i : i - kCores;
      site.server = At((site.is_core ? "10.0." + std::to_string(i) + ".1"
                                     : "198.51.100." + std::to_string(site.number + 1)) +
                       ":5060");
      site.Start(now_);
    }
    for (size_t i = 0; i < kPhones; ++i) {
      const bool is_inside = i < kPhones / 2;
      Site& site = is_inside ? Core(i % kCores) : Edge(i % kEdges);
      const std::string at = (is_inside ? "10.0.9." : "203.0.113.") + std::to_string(10 + i);
      users_.push_back({Phone(*site.world, "user" + std::to_string(i), at + ":5060"), &site,
                        "in" + std::to_string(i / kCores % kCores) + ".example"});
      users_.back().domain = is_inside ? site.domain() : users_.back().domain;
      users_.back().is_tcp = i % 4 >= 2;
      KeepRegistered(i);
    }
  }

  void Storm() {
    is_acting_ = true;
    ActLater();
    Run(kStorm);
  }
  void Calm() {
    is_acting_ = false;
    for (size_t core = 0; core < kCores; ++core) {
      for (size_t edge = 0; edge < kEdges; ++edge) {
        Heal(core, edge);
      }
    }
    for (User& user : users_) {
      user.is_silent = false;
    }
    Run(kCalm);
  }
  // After a calm: all is as it should be.
  void CheckAll() {
    CheckQuiet();
    for (Site& site : sites_) {
      EXPECT_EQ(UpOf(site), site.is_core ? kEdges : kCores) << site.domain();
      EXPECT_EQ(site.world->engine().registration_count(), site.is_core ? kPhones / kCores : 0u);
    }
    for (const User& user : users_) {
      EXPECT_LT((now_ - user.registered_at).seconds(), 300) << user.aor();
    }
    const size_t first = calls_.size();
    for (size_t caller = 0; caller < kPhones; ++caller) {
      for (size_t callee = 0; callee < kPhones; ++callee) {
        if (caller != callee) {
          Dial(caller, callee, true);
          Run(Duration::Seconds(3));
        }
      }
    }
    Run(Duration::Seconds(40));
    for (size_t i = first; i < calls_.size(); ++i) {
      const Call& call = calls_[i];
      EXPECT_EQ(call.status, 200) << call.caller << " to " << call.callee;
      EXPECT_TRUE(call.is_over) << call.caller << " to " << call.callee;
    }
    CheckQuiet();
  }
  void End() {
    is_registering_ = false;
    Run(Duration::Minutes(20));
    for (Site& site : sites_) {
      site.world->engine().zones().Stop();
    }
    for (User& user : users_) {
      HangUp(user);
    }
    Run(Duration::Hours(25), Duration::Minutes(20));
    for (Site& site : sites_) {
      Engine& engine = site.world->engine();
      EXPECT_EQ(site.world->Busy(), "") << site.domain();
      EXPECT_EQ(engine.registration_count() + engine.call_count() + engine.stream_count(), 0u);
    }
    EXPECT_TRUE(links_.empty());
  }

  uint64_t through = 0, failed = 0, cuts = 0, restarts = 0, late = 0, zone_downs = 0;

 private:
  struct Event {
    Instant at;
    uint64_t number;
    std::function<void()> act;
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : number > other.number;
    }
  };

  uint32_t Pick(size_t count) { return static_cast<uint32_t>(random_() % count); }
  Site& Core(size_t number) { return sites_[number]; }
  Site& Edge(size_t number) { return sites_[kCores + number]; }
  void After(uint32_t from_s, uint32_t to_s, std::function<void()> act) {
    const auto delay = Duration::Milliseconds(1000 * from_s + Pick(1000 * (to_s - from_s) + 1));
    events_.push({now_ + delay, ++number_, std::move(act)});
  }
  // From one thing that happens to the next, but for what is less than a second apart.
  void Run(Duration duration, Duration step_max = Duration::Seconds(20)) {
    const Instant end = now_ + duration;
    for (uint32_t turn = 0; now_ < end; ++turn) {
      Instant next = events_.empty() ? end : std::min(events_.top().at, end);
      for (Site& site : sites_) {
        next = std::min(next, site.world->timers().NextDeadline());
      }
      next = std::clamp(next, now_ + kSecond, now_ + step_max);
      for (Site& site : sites_) {
        site.world->Advance(next - now_);
      }
      now_ = next;
      Pump();
      while (!events_.empty() && events_.top().at <= now_) {
        const auto act = events_.top().act;
        events_.pop();
        act();
        Pump();
      }
      if (turn % 16 == 0) {
        CheckPools();
      }
    }
  }
  void CheckPools() {
    for (Site& site : sites_) {
      Engine& engine = site.world->engine();
      uint32_t listed = 0;
      CallInfo info;
      for (uint32_t cursor = 0; engine.NextCall(cursor, info); ++listed) {
      }
      ASSERT_EQ(listed, engine.call_count());
      for (const PoolStatus& pool : engine.Pools()) {
        ASSERT_LE(pool.used, pool.capacity) << pool.name;
      }
    }
  }
  void CheckQuiet() {
    for (Site& site : sites_) {
      EXPECT_EQ(site.world->engine().call_count(), 0u) << site.domain();
    }
    EXPECT_EQ(links_.size(), kCores * kEdges);
  }
  static uint32_t UpOf(Site& site) {
    uint32_t up = 0;
    ZonePeerStatus status;
    for (uint32_t cursor = 0; site.world->engine().zones().Next(cursor, status);) {
      up += status.state == PeerState::kUp ? 1 : 0;
    }
    return up;
  }

  // --- The network.
  void Pump() {
    for (bool has_moved = true; has_moved;) {
      has_moved = false;
      for (Site& site : sites_) {
        while (!site.world->empty()) {
          has_moved = true;
          Carry(site, site.world->Take());
        }
        for (const std::string& event : site.world->events) {
          zone_downs += event.starts_with("zone-down") ? 1 : 0;
        }
        site.world->events.clear();
        site.world->Resume();
      }
      CloseLinks();
    }
  }
  void Carry(Site& site, const Sent& sent) {
    for (Link& link : links_) {
      const bool is_ours = site.is_core ? link.core_lives && link.core == site.number
                                        : link.edge_lives && link.edge == site.number;
      const net::StreamId id = site.is_core ? link.at_core : link.at_edge;
      if (is_ours && sent.stream.valid() && id.valid() && sent.stream.index == id.index) {
        Pass(link, {site.is_core, sent.text});
        return;
      }
    }
    for (size_t edge = 0; site.is_core && sent.stream.valid() && edge < kEdges; ++edge) {
      if (sent.to.address == Edge(edge).server.address) {
        links_.push_back({site.number, edge, sent.stream, {}, true, true, {}});
        Pass(links_.back(), {true, sent.text});
        return;
      }
    }
    for (size_t i = 0; i < users_.size(); ++i) {
      User& user = users_[i];
      const bool is_heard = !user.is_tcp || (user.has_stream && sent.stream.valid() &&
                                             sent.stream.index == user.phone.stream().index);
      if (user.phone.at() == sent.to && user.site == &site && !user.is_silent && is_heard) {
        sent.IsRequest() ? OnRequest(i, sent) : OnResponse(i, sent);
      }
    }
  }
  void Pass(Link& link, Link::Text text) {
    if (cut_[link.core][link.edge]) {
      link.held.push_back(std::move(text));
      return;
    }
    World& edge = *Edge(link.edge).world;
    if (!link.at_edge.valid() && link.edge_lives) {
      const net::Endpoint nat{net::IpAddress::V4(192, 0, 2, static_cast<uint8_t>(link.core + 1)),
                              ++nat_port_};
      link.at_edge = edge.Accept(
          nat, {Edge(link.edge).server.address, static_cast<uint16_t>(kPorts + link.core)},
          net::StreamKind::kTls);
      edge.peer_names[link.at_edge.index] = "core.example.com";
    }
    if (text.is_to_edge && link.edge_lives && link.at_edge.valid()) {
      edge.Feed(link.at_edge, text.bytes);
    } else if (!text.is_to_edge && link.core_lives) {
      Core(link.core).world->Feed(link.at_core, text.bytes);
    }
  }
  // The end of one side is the end of the other, as soon as it can be told.
  void CloseLinks() {
    for (auto link = links_.begin(); link != links_.end();) {
      World& core = *Core(link->core).world;
      World& edge = *Edge(link->edge).world;
      const bool has_core = link->core_lives && core.stream(link->at_core).open;
      const bool has_edge =
          link->edge_lives && (!link->at_edge.valid() || edge.stream(link->at_edge).open);
      if (cut_[link->core][link->edge] || (has_core && has_edge)) {
        ++link;
        continue;
      }
      if (has_core) {
        core.Hangup(link->at_core);
      }
      if (has_edge && link->at_edge.valid()) {
        edge.Hangup(link->at_edge);
      }
      link = links_.erase(link);
    }
  }
  void Heal(size_t core, size_t edge) {
    cut_[core][edge] = false;
    const bool is_broken = Pick(2) == 0;  // or what was sent meanwhile comes late
    for (Link& link : links_) {
      if (link.core != core || link.edge != edge) {
        continue;
      }
      if (is_broken) {
        link.core_lives ? Core(core).world->Hangup(link.at_core) : void();
      }
      late += is_broken ? 0 : link.held.size();
      for (; !link.held.empty(); link.held.pop_front()) {
        if (!is_broken) {
          Pass(link, link.held.front());
        }
      }
    }
    Pump();
  }
  void Cut(size_t core, size_t edge, uint32_t seconds_max) {
    cut_[core][edge] = true;
    ++cuts;
    After(5, seconds_max, [this, core, edge] { Heal(core, edge); });
  }
  // All that it knew is gone, and who was connected hears of it now or later.
  void Restart(Site& site) {
    ++restarts;
    const bool is_unseen = Pick(2) == 0;
    for (size_t other = 0; is_unseen && other < (site.is_core ? kEdges : kCores); ++other) {
      Cut(site.is_core ? site.number : other, site.is_core ? other : site.number, 120);
    }
    for (Link& link : links_) {
      link.core_lives = link.core_lives && !(site.is_core && link.core == site.number);
      link.edge_lives = link.edge_lives && !(!site.is_core && link.edge == site.number);
    }
    for (User& user : users_) {
      user.has_stream = user.has_stream && user.site != &site;
    }
    CloseBySite(site);
    site.world.reset();
    site.Start(now_);
  }
  // Before its streams are nobody's: links that nobody has any more, and those it can tell of.
  void CloseBySite(const Site& site) {
    for (auto link = links_.begin(); link != links_.end();) {
      const bool is_its = site.is_core ? link->core == site.number : link->edge == site.number;
      if (!is_its || (cut_[link->core][link->edge] && (link->core_lives || link->edge_lives))) {
        ++link;
        continue;
      }
      if (link->core_lives) {
        Core(link->core).world->Hangup(link->at_core);
      }
      if (link->edge_lives && link->at_edge.valid()) {
        Edge(link->edge).world->Hangup(link->at_edge);
      }
      link = links_.erase(link);
    }
  }

  // --- What happens.
  void ActLater() {
    After(5, 100, [this] {
      if (is_acting_) {
        Act();
        ActLater();
      }
    });
  }
  void Act() {
    const size_t who = Pick(kPhones);
    switch (Pick(24)) {
      case 0:
      case 1:
        Cut(Pick(kCores), Pick(kEdges), 400);
        return;
      case 2:
        HangUp(users_[who]);
        return;
      case 3:
        users_[who].is_silent = true;
        After(10, 600, [this, who] { users_[who].is_silent = false; });
        return;
      case 4:
        if (Pick(4) == 0) {
          Restart(sites_[Pick(sites_.size())]);
        }
        return;
      default:
        Dial(who, (who + 1 + Pick(kPhones - 1)) % kPhones, false);
    }
  }
  void HangUp(User& user) {
    if (std::exchange(user.has_stream, false)) {
      user.site->world->Hangup(user.phone.stream());
    }
  }
  void Send(size_t who, const Phone::Spec& spec) {
    User& user = users_[who];
    if (user.is_silent) {
      return;
    }
    if (user.is_tcp && !(user.has_stream && user.site->world->stream(user.phone.stream()).open)) {
      user.phone.UseTcp();
      user.has_stream = user.phone.stream().valid();
    }
    user.phone.Send(spec);
  }
  void KeepRegistered(size_t who) {
    After(20, 120, [this, who] {
      User& user = users_[who];
      if (!is_registering_) {
        return;
      }
      Phone::Spec spec{.method = "REGISTER", .uri = "sip:" + user.domain, .to = user.aor()};
      spec.from = user.aor();
      spec.call_id = "reg" + std::to_string(who);
      spec.cseq = ++user.cseq;
      spec.headers = "Expires: 600\nSupported: path\n";
      Send(who, spec);
      KeepRegistered(who);
    });
  }
  void Dial(size_t caller, size_t callee, bool is_sure) {
    const size_t index = calls_.size();
    calls_.push_back({caller, callee, is_sure});
    Phone::Spec spec{.method = "INVITE", .uri = users_[callee].aor()};
    spec.from = users_[caller].aor();
    spec.call_id = "call" + std::to_string(index);
    spec.headers = "Supported: timer\nSession-Expires: 120\n";
    Send(caller, spec);
    calls_[index].branch = users_[caller].phone.last_branch();
    if (!is_sure && Pick(8) == 0) {
      After(0, 10, [this, index] { GiveUp(index); });
    }
  }
  void GiveUp(size_t index) {
    const Call& call = calls_[index];
    if (call.status < 200) {
      Phone::Spec cancel = OfInvite(index, "CANCEL");
      Send(call.caller, cancel);
    }
  }
  Phone::Spec OfInvite(size_t index, const std::string& method) {
    const Call& call = calls_[index];
    Phone::Spec spec{.method = method, .uri = users_[call.callee].aor()};
    spec.from = users_[call.caller].aor();
    spec.call_id = "call" + std::to_string(index);
    spec.branch = call.branch;
    return spec;
  }
  Phone::Spec InDialog(size_t index, const std::string& method, int cseq, bool by_caller) {
    const Call& call = calls_[index];
    const std::string contact = (by_caller ? call.answer : call.invite).Header("Contact");
    Phone::Spec spec{.method = method, .uri = contact.substr(1, contact.find('>') - 1)};
    spec.to = users_[by_caller ? call.callee : call.caller].aor();
    spec.from = users_[by_caller ? call.caller : call.callee].aor();
    spec.from_tag = by_caller ? "ft" : users_[call.callee].tag();
    spec.to_tag = by_caller ? users_[call.callee].tag() : "ft";
    spec.call_id = "call" + std::to_string(index);
    spec.cseq = cseq;
    spec.headers = RouteSet(by_caller ? call.answer : call.invite, by_caller);
    return spec;
  }

  // --- What the phones make of what they get.
  void Respond(size_t who, const Sent& request, int status, const std::string& headers = {}) {
    User& user = users_[who];
    if (!user.is_silent && (!user.is_tcp || user.has_stream)) {
      user.phone.Respond(request, status, user.tag(), headers);
    }
  }
  void OnRequest(size_t who, const Sent& request) {
    const std::string method = request.Method();
    const std::string id = request.Header("Call-ID");
    if (method == "ACK" || !id.starts_with("call")) {
      return;
    }
    const size_t index = std::stoul(id.substr(4));
    Call& call = calls_[index];
    if (method != "INVITE") {
      Respond(who, request, 200);
      if (method == "CANCEL" && call.answer.text.empty() && !call.invite.text.empty()) {
        Respond(who, call.invite, 487);
      }
      call.is_over = true;
      return;
    }
    if (!call.invite.text.empty()) {
      if (request.Header("Via") != call.invite.Header("Via")) {
        Respond(who, request, 482);  // by another way, RFC 3261 8.2.2.2
      }
      return;
    }
    call.invite = request;
    if (call.is_sure) {
      Answer(index);
    } else if (Pick(8) == 0) {
      Respond(who, request, 486);
    } else {
      Respond(who, request, 180);
      After(1, 20, [this, index] { Answer(index); });
    }
  }
  void Answer(size_t index) {
    const Call& call = calls_[index];
    if (!call.is_over) {
      Respond(call.callee, call.invite, 200, "Session-Expires: 120;refresher=uac\n");
    }
  }
  void OnResponse(size_t who, const Sent& response) {
    const std::string id = response.Header("Call-ID");
    const int status = response.Status();
    if (id.starts_with("reg")) {
      users_[who].registered_at = status == 200 ? now_ : users_[who].registered_at;
      return;
    }
    if (!id.starts_with("call")) {
      return;
    }
    const size_t index = std::stoul(id.substr(4));
    const std::string cseq = response.Header("CSeq");
    if (status == 200 && cseq.ends_with("BYE")) {
      calls_[index].is_over = true;
    }
    if (!cseq.ends_with("INVITE") || status < 200) {
      return;
    }
    const bool is_first = calls_[index].status < 200;
    calls_[index].status = status;
    if (status >= 300) {
      failed += is_first ? 1 : 0;
      Send(who, OfInvite(index, "ACK"));
      return;
    }
    through += is_first ? 1 : 0;
    calls_[index].answer = response;
    Send(who, InDialog(index, "ACK", 1, true));
    const bool is_sure = calls_[index].is_sure;
    if (is_sure || Pick(4) != 0) {  // else only silence ends it
      After(is_sure ? 2 : 1, is_sure ? 4 : 200, [this, index] {
        const bool by_caller = Pick(2) == 0;
        Send(by_caller ? calls_[index].caller : calls_[index].callee,
             InDialog(index, "BYE", 2, by_caller));
      });
    }
  }

  std::mt19937 random_;
  Instant now_{1'000'000'000};
  std::deque<Site> sites_;  // Cores, then Edges
  std::deque<User> users_;
  std::list<Link> links_;
  bool cut_[kCores][kEdges] = {};
  std::deque<Call> calls_;
  std::priority_queue<Event> events_;
  uint64_t number_ = 0;
  uint16_t nat_port_ = 20'000;
  bool is_acting_ = false;
  bool is_registering_ = true;
};

class TraversalChurn : public testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, TraversalChurn, testing::Values(1u, 2u, 3u));

TEST_P(TraversalChurn, TwoDaysOfPairsLeaveNothingBehind) {
  Pairs pairs(GetParam());
  pairs.Calm();
  ASSERT_NO_FATAL_FAILURE(pairs.CheckAll());
  const bool is_first = GetParam() == 1;
  for (int round = 0; round < (is_first ? kRounds : kRoundsMore); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    pairs.Storm();
    pairs.Calm();
    pairs.CheckAll();
    if (testing::Test::HasFailure()) {
      return;
    }
  }
  if (is_first) {
    EXPECT_GT(pairs.through, 1500u);
    EXPECT_GT(pairs.failed, 300u);
    EXPECT_GT(pairs.cuts, 150u);
    EXPECT_GT(pairs.restarts, 15u);
    EXPECT_GT(pairs.late, 300u);
    EXPECT_GT(pairs.zone_downs, 300u);
  }
  pairs.End();
}

}  // namespace
}  // namespace gh::sip::test
