// Forty-eight simulated hours of calls: offers, answers, failures, holds, parties of every kind and
// parties that fall silent, ports that move under them. Pools stay within their bounds, and when
// all is over nothing is held.
#include <algorithm>

#include "tests/unit/rtp/world.h"

namespace gh::rtp::test {
namespace {

constexpr int64_t kSeconds = 48 * 3600;
constexpr uint32_t kDialogs = 30;  // more than there is room for

class Churn {
 public:
  Churn() : entropy_(48), random_(entropy_) {
    w.Configure([](Config& config) {
      config.party_inactivity = Duration::Seconds(120);
      config.inactivity = Duration::Seconds(600);
      config.mux_port = 2776;
    });
    w.ends_silent = true;
  }

  void Step() {
    const uint32_t dialog = random_.Below(kDialogs);
    w.call_id = "call-" + std::to_string(dialog);
    w.is_answered = answered_[dialog];
    w.caller.speaks_ice = dialog % 5 == 1;
    w.callee.speaks_ice = dialog % 5 >= 3;
    w.caller.passes_ice = w.callee.passes_ice = dialog % 5 == 2;
    w.callee.traversal = dialog % 7 == 6 ? sip::TraversalRole::kServer : sip::TraversalRole::kNone;
    w.callee.encryption =
        dialog % 4 == 3 ? MediaEncryption::kForceEncrypted : MediaEncryption::kAuto;
    switch (random_.Below(10)) {
      case 0:
      case 1:
        (void)w.Show(true, Method::kInvite, 0, Describe(4000, dialog));
        break;
      case 2:
      case 3:
      case 4:
        (void)w.Show(false, Method::kInvite, 200, Describe(6000, dialog));
        break;
      case 5:
        w.anchor->OnFailed(w.call_id, "a", "b");
        break;
      case 6:
        w.anchor->OnEnded(w.call_id, "a", "b");
        answered_[dialog] = false;
        return;
      default:
        Speak();
        break;
    }
    answered_[dialog] = w.is_answered;
  }
  void Check() const {
    ASSERT_LE(w.relay->session_count(), w.relay->session_capacity());
    ASSERT_LE(w.relay->stream_count(), w.relay->session_count() * 2);
    ASSERT_LE(w.relay->port_count(), w.relay->stream_count() * 4);
    ASSERT_LE(w.relay->ice_count(), w.relay->stream_count() * 2);
    ASSERT_LE(w.flows.size(), w.relay->stream_count() * 4);
  }
  void End() {
    for (uint32_t dialog = 0; dialog < kDialogs; ++dialog) {
      w.anchor->OnEnded("call-" + std::to_string(dialog), "a", "b");
    }
    EXPECT_EQ(w.relay->session_count() + w.relay->stream_count() + w.relay->port_count() +
                  w.relay->context_count() + w.relay->ice_count() + w.relay->mux_count(),
              0u);
    EXPECT_TRUE(w.flows.empty());
  }
  World w;
  bool is_moved = false;

 private:
  std::string Describe(int port, uint32_t dialog) {
    std::string more = random_.Below(4) == 0 ? "a=sendonly\r\n" : "a=rtcp-mux\r\n";
    if (random_.Below(2) == 0) {
      more += "a=ice-ufrag:u" + std::to_string(random_.Below(3)) + std::to_string(dialog) +
              "xx\r\na=ice-pwd:0123456789012345678901\r\n"
              "a=candidate:1 1 udp 2130706431 198.51.100.7 " +
              std::to_string(port) + " typ host\r\n";
    }
    const bool is_keyed = random_.Below(3) == 0;
    return Sdp(port == 4000 ? "10.1.1.50" : "198.51.100.7", port, is_keyed ? "RTP/SAVP" : "RTP/AVP",
               is_keyed ? more + Crypto(kOwnKey) : more);
  }
  // To the ports of one of the calls, from where its parties are.
  void Speak() {
    uint32_t cursor = random_.Below(w.relay->session_capacity());
    const Session* session = w.relay->Next(cursor);
    for (uint32_t i = 0; session != nullptr && i < session->streams.size(); ++i) {
      for (uint32_t end = 0; session->streams[i] != nullptr && end < 2; ++end) {
        const net::Endpoint local{session->sides[end].local, session->streams[i]->ends[end].port};
        Bytes data = Rtp(++sequence_);
        (void)w.relay->OnRelayDatagram(
            local, At(end == kCaller ? "10.1.1.50:4000" : "198.51.100.7:6000"), data);
      }
    }
    w.sent.clear();
  }

  net::test::SeededEntropy entropy_;
  crypto::Random random_;
  std::array<bool, kDialogs> answered_ = {};
  uint16_t sequence_ = 0;
};

TEST(Churn, TwoDaysLeaveNothingBehind) {
  Churn churn;
  churn.w.Configure([](Config& config) { config.port_last = 36801; });  // few: they run out
  for (int64_t second = 0; second < kSeconds; second += 10) {
    churn.Step();
    churn.w.Tick(Duration::Seconds(10));
    churn.w.sent.clear();
    if (second % 3600 == 0) {
      ASSERT_NO_FATAL_FAILURE(churn.Check());
    }
    if (second % 36'000 == 18'000) {  // and now and then the ports move
      churn.is_moved = !churn.is_moved;
      churn.w.Configure(
          [&](Config& config) { config.port_first = churn.is_moved ? 36102 : 36002; });
      EXPECT_EQ(churn.w.relay->port_count(), 0u);
    }
  }
  EXPECT_GT(churn.w.relay->counters().sessions, 1000u);
  EXPECT_GT(churn.w.relay->counters().ice_failed, 100u);
  EXPECT_GT(churn.w.relay->counters().latched, 100u);
  churn.End();
}

}  // namespace
}  // namespace gh::rtp::test
