// Two days of churn in simulated time: phones register and leave, call, answer, refuse, give up,
// hang up from either side or not at all, fall silent, lose their network, repeat themselves; the
// operator ends calls, switches maintenance and changes the bandwidth plan. Everything follows from
// one seed, which a failure prints. Invariants hold after each step: what calls hold is what is
// counted, nothing is over its limit; at the end, when all is quiet, nothing is left.
#include <gtest/gtest.h>

#include <functional>
#include <queue>
#include <random>

#include "tests/unit/sip/phone.h"

namespace gh::sip::test {
namespace {

constexpr int kPhones = 12;
constexpr Duration kTwoDays = Duration::Hours(48);

Config ChurnConfig() {
  Config config = World::DefaultConfig();
  config.session_min_s = 90;
  config.session_expires_s = 1800;
  config.timer_c = Duration::Seconds(60);
  return config;
}

struct CallOfTwo {
  int caller = 0;
  int callee = -1;
  std::string id;
  std::string uri;  // as the caller dialled
  std::string branch;
  Sent invite;  // as the callee got it
  Sent answer;  // as the caller got it
  bool is_over = false;
};

class Churn {
 public:
  explicit Churn(uint32_t seed) : random_(seed) {
    for (int i = 0; i < kPhones; ++i) {
      phones_.emplace_back(world, "user" + std::to_string(i),
                           "192.0.2." + std::to_string(100 + i) + ":5060");
      deaf_.push_back(false);
    }
  }

  // `step`: how long the phones may take to answer, where nothing else happens.
  void Run(Duration duration, Duration step = Duration::Seconds(5)) {
    const Instant end = world.timers().now() + duration;
    while (world.timers().now() < end) {
      const Instant next = events_.empty() ? end : std::min(events_.top().at, end);
      if (next > world.timers().now()) {
        world.Advance(std::min(next - world.timers().now(), step));
      }
      while (!events_.empty() && events_.top().at <= world.timers().now()) {
        const auto act = events_.top().act;
        events_.pop();
        act();
        Deliver();
      }
      Deliver();
      CheckInvariants();
    }
  }
  // One thing after the other, every 20 s or so.
  void Begin() {
    After(1, 40, [this] {
      ActSometimes();
      Begin();
    });
  }
  void StopActing() { is_acting_ = false; }
  void HealAll() {
    for (int i = 0; i < kPhones; ++i) {
      deaf_[static_cast<size_t>(i)] = false;
    }
    world.unreachable.clear();
  }

  World world{ChurnConfig()};
  uint64_t calls = 0;
  uint64_t silent = 0;

 private:
  struct Event {
    Instant at;
    uint64_t number;
    std::function<void()> act;
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : number > other.number;
    }
  };

  uint32_t Pick(uint32_t count) { return static_cast<uint32_t>(random_() % count); }
  void After(uint32_t from_s, uint32_t to_s, std::function<void()> act) {
    const auto delay = Duration::Milliseconds(1000 * from_s + Pick(1000 * (to_s - from_s) + 1));
    events_.push({world.timers().now() + delay, ++number_, std::move(act)});
  }
  Phone& PhoneAt(int index) { return phones_[static_cast<size_t>(index)]; }
  bool IsDeaf(int index) const { return deaf_[static_cast<size_t>(index)]; }
  void Send(int index, const Phone::Spec& spec) {
    if (!IsDeaf(index)) {
      const std::string text = PhoneAt(index).Send(spec);
      if (Pick(10) == 0) {
        PhoneAt(index).Deliver(text);  // the network says it twice
      }
    }
  }
  void Respond(int index, const Sent& request, int status, const std::string& headers = {}) {
    if (!IsDeaf(index)) {
      PhoneAt(index).Respond(request, status, "t" + std::to_string(index), headers);
    }
  }

  void ActSometimes() {
    const int who = static_cast<int>(Pick(kPhones));
    if (!is_acting_) {
      return;
    }
    switch (Pick(16)) {
      case 0:
        Register(who, 0);
        return;
      case 1:
      case 2:
      case 3:
      case 4:
        Register(who, 60 + static_cast<int>(Pick(3000)));
        return;
      case 5:
        Break(who);
        return;
      case 6:
        DisconnectOne();
        return;
      case 7:
        ChangePlan();
        return;
      default:
        Dial(who);
    }
  }
  void Register(int who, int expires) {
    Phone::Spec spec{.method = "REGISTER", .uri = "sip:example.com", .to = PhoneAt(who).uri()};
    spec.call_id = "reg" + std::to_string(who);
    spec.cseq = ++cseq_;
    spec.headers = "Expires: " + std::to_string(expires) + "\n";
    Send(who, spec);
  }
  void Break(int who) {
    const std::string key = World::Key(PhoneAt(who).at());
    if (Pick(2) == 0) {
      world.unreachable[key] = true;
    }
    deaf_[static_cast<size_t>(who)] = true;
    ++silent;
    After(10, 900, [this, who, key] {
      deaf_[static_cast<size_t>(who)] = false;
      world.unreachable.erase(key);
    });
  }
  void DisconnectOne() {
    CallInfo info;
    uint32_t cursor = Pick(32);
    if (world.engine().NextCall(cursor, info)) {
      EXPECT_TRUE(world.engine().Disconnect(info.id).ok());
    }
  }
  void ChangePlan() {
    Config config = ChurnConfig();
    config.is_draining = Pick(8) == 0;
    world.engine().Apply(config);
    total_ = Pick(3) == 0 ? 1500 : dialplan::kUnlimited;
    world.engine().bandwidth().Begin({});
    world.engine().bandwidth().SetNode(0, {.total_kbps = total_});
  }
  void Dial(int who) {
    const int other = static_cast<int>(Pick(kPhones));
    const size_t index = calls_.size();
    CallOfTwo call;
    call.caller = who;
    call.id = "call" + std::to_string(index);
    call.uri = PhoneAt(other).uri();
    Phone::Spec spec{.method = "INVITE", .uri = call.uri, .call_id = call.id};
    spec.headers = Pick(2) == 0 ? "Supported: timer\nSession-Expires: 120\n" : "";
    calls_.push_back(call);
    Send(who, spec);
    calls_[index].branch = PhoneAt(who).last_branch();
    ++calls;
    if (Pick(6) == 0) {
      After(0, 20, [this, index] { GiveUp(index); });
    }
  }
  void GiveUp(size_t index) {
    const CallOfTwo& call = calls_[index];
    if (call.answer.text.empty() && !call.is_over) {
      Phone::Spec cancel{.method = "CANCEL", .uri = call.uri, .call_id = call.id};
      cancel.branch = call.branch;
      Send(call.caller, cancel);
    }
  }

  // --- What the phones make of what they get.
  void Deliver() {
    while (!world.empty()) {
      const Sent sent = world.Take();
      for (int i = 0; i < kPhones; ++i) {
        if (PhoneAt(i).at() == sent.to && !IsDeaf(i)) {
          sent.IsRequest() ? OnRequest(i, sent) : OnResponse(i, sent);
        }
      }
    }
  }
  CallOfTwo* CallOf(const Sent& sent) {
    const std::string id = sent.Header("Call-ID");
    return id.starts_with("call") ? &calls_[std::stoul(id.substr(4))] : nullptr;
  }
  void OnRequest(int who, const Sent& request) {
    CallOfTwo* call = CallOf(request);
    const std::string method = request.Method();
    if (method == "ACK" || call == nullptr) {
      return;
    }
    if (method != "INVITE") {
      call->is_over = true;
      Respond(who, request, 200);
      if (method == "CANCEL") {
        Respond(who, call->invite, 487);
      }
      return;
    }
    if (!call->invite.text.empty()) {
      return;  // again: it has been answered, or will be
    }
    call->invite = request;
    call->callee = who;
    const size_t index = static_cast<size_t>(call - calls_.data());
    switch (Pick(8)) {
      case 0:
        Respond(who, request, 486);
        return;
      case 1:
        return;  // it rings nowhere
      default:
        Respond(who, request, 180);
        After(1, 30, [this, index] { Answer(index); });
    }
  }
  void Answer(size_t index) {
    const CallOfTwo call = calls_[index];
    if (!call.is_over) {
      Respond(call.callee, call.invite, 200,
              Pick(2) == 0 ? "Session-Expires: 120;refresher=uac\nRequire: timer\n" : "");
    }
  }
  void OnResponse(int who, const Sent& response) {
    CallOfTwo* call = CallOf(response);
    if (call == nullptr || !response.Header("CSeq").ends_with("INVITE")) {
      return;
    }
    const bool is_good = response.Status() >= 200 && response.Status() < 300;
    if (response.Status() >= 300) {
      call->is_over = true;
      Phone::Spec ack{.method = "ACK", .uri = call->uri, .call_id = call->id};
      ack.branch = call->branch;
      Send(who, ack);
    }
    if (!is_good || call->callee < 0) {
      return;
    }
    call->answer = response;
    const size_t index = static_cast<size_t>(call - calls_.data());
    Send(who, InDialog(index, "ACK", 1, true));
    if (Pick(5) != 0) {  // else only silence ends it
      After(1, 600, [this, index] {
        if (!calls_[index].is_over) {
          const bool by_caller = Pick(2) == 0;
          Send(by_caller ? calls_[index].caller : calls_[index].callee,
               InDialog(index, "BYE", 2, by_caller));
        }
      });
    }
  }
  Phone::Spec InDialog(size_t index, const std::string& method, int cseq, bool by_caller) {
    const CallOfTwo& call = calls_[index];
    Phone& other = PhoneAt(by_caller ? call.callee : call.caller);
    const std::string uri = other.contact().substr(1, other.contact().size() - 2);
    const std::string callee_tag = "t" + std::to_string(call.callee);
    Phone::Spec spec{.method = method, .uri = uri, .call_id = call.id, .cseq = cseq};
    spec.to = other.uri();
    spec.from_tag = by_caller ? "ft" : callee_tag;
    spec.to_tag = by_caller ? callee_tag : "ft";
    spec.headers = RouteSet(by_caller ? call.answer : call.invite, by_caller);
    return spec;
  }

  void CheckInvariants() {
    Engine& engine = world.engine();
    uint32_t held = 0;
    uint32_t listed = 0;
    CallInfo info;
    for (uint32_t cursor = 0; engine.NextCall(cursor, info); ++listed) {
      held += info.kbps;
    }
    ASSERT_EQ(listed, engine.call_count());
    ASSERT_LE(held, engine.bandwidth().used_kbps(0));  // those that ring hold some, too
    ASSERT_LE(engine.bandwidth().call_count(0), listed + 50);
    for (const PoolStatus& pool : engine.Pools()) {
      ASSERT_LE(pool.used, pool.capacity) << pool.name;
    }
  }

  std::mt19937 random_;
  std::vector<Phone> phones_;
  std::vector<bool> deaf_;
  std::vector<CallOfTwo> calls_;
  std::priority_queue<Event> events_;
  uint64_t number_ = 0;
  uint32_t total_ = dialplan::kUnlimited;
  int cseq_ = 0;
  bool is_acting_ = true;
};

TEST(ChurnTest, TwoDaysLeaveNothingBehind) {
  for (const uint32_t seed : {20260u}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Churn churn(seed);
    churn.Begin();
    churn.Run(kTwoDays);
    const Statistics& seen = churn.world.engine().statistics();
    EXPECT_GT(churn.calls, 3000u);
    EXPECT_GT(churn.silent, 200u);
    EXPECT_GT(seen.calls_started, 300u);  // most are to who is not registered, or silent
    EXPECT_GT(seen.calls_failed, 300u);
    for (const char* what : {"call-ended by-caller", "call-ended by-callee",
                             "call-ended disconnected", "call-ended session-expired", "expired ",
                             "unregistered ", "bandwidth ", "refused maintenance 503"}) {
      EXPECT_TRUE(churn.world.HasEvent(what)) << what;
    }
    churn.StopActing();
    churn.HealAll();
    churn.Run(Duration::Hours(26), Duration::Minutes(5));
    churn.world.Clear();
    EXPECT_EQ(churn.world.Busy(), "");
    EXPECT_EQ(churn.world.engine().registration_count(), 0u);
    EXPECT_EQ(churn.world.engine().bandwidth().used_kbps(0), 0u);
    EXPECT_EQ(churn.world.engine().bandwidth().call_count(0), 0u);
  }
}

}  // namespace
}  // namespace gh::sip::test
