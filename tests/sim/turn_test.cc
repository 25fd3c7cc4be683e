// TURN in the simulated appliance: clients that come, relay, go or vanish, over networks that lose
// and reorder and with a clock that jumps; a day of it leaves no allocation, permission, channel or
// flow behind. The client shares the codec with the product, which RFC 5769's vectors hold, and
// nothing else.
#include <gtest/gtest.h>

#include "crypto/digest.h"
#include "firmware/turn/stun.h"
#include "tests/sim/edge_scene.h"
#include "tests/sim/seeds.h"

namespace gh::sim {
namespace {

using turn::Builder;
using turn::Class;
using turn::Message;
using turn::Method;

constexpr uint16_t kTurnPort = 3478;
constexpr uint16_t kPeerPort = 4000;
constexpr LinkQuality kBad = {.jitter = Duration::Milliseconds(20),
                              .loss = 0.05,
                              .duplicate = 0.05,
                              .reorder = 0.1,
                              .reorder_delay = Duration::Milliseconds(30)};
// As kProvision of the scene, and TURN towards the simulated network.
constexpr const char* kTurnLines =
    "xConfiguration Traversal Server TURN Mode: On\r"
    "xConfiguration Traversal Server TURN Allow 1 Prefix: 10.77.0.0/24\r";

// Echoes; what comes is counted.
class Peer final : public UdpHost {
 public:
  Peer(World& world, Switch& network, const LinkQuality& quality)
      : UdpHost(world, network, "peer", {10, 77, 0, 30}, quality) {
    Bind(kPeerPort, [this](const UdpPeer& from, std::string_view data) {
      ++heard;
      SendUdp(kPeerPort, from, data);
    });
  }
  uint64_t heard = 0;
};

// One session after another: allocate, bind a channel, talk, end or vanish; each from a new port.
class Caller final : public UdpHost {
 public:
  Caller(World& world, Switch& network, uint8_t last, std::string user, std::string password,
         const LinkQuality& quality)
      : UdpHost(world, network, "caller" + std::to_string(last), {10, 77, 0, last}, quality),
        user_(std::move(user)),
        password_(std::move(password)),
        dice_(world.StreamFor("caller" + std::to_string(last))) {}

  // Sessions until `until`, of about `talk` each, with pauses of as much.
  void Start(Instant until, Duration talk) {
    until_ = until;
    talk_ = talk;
    Begin();
  }
  uint64_t sessions = 0;
  uint64_t echoes = 0;
  uint64_t refused = 0;

 private:
  enum class Step : uint8_t { kChallenge, kAllocate, kBind, kTalk, kOver };

  void Begin() {
    if (world_.now() >= until_) {
      step_ = Step::kOver;
      return;
    }
    port_ = static_cast<uint16_t>(port_ < 20000 || port_ > 60000 ? 20000 : port_ + 1);
    Bind(port_, [this](const UdpPeer&, std::string_view data) { OnData(data); });
    step_ = Step::kChallenge;
    tries_ = 0;
    ++generation_;
    Ask();
  }
  void End(bool politely) {
    if (politely) {
      Send(Method::kRefresh, [](Builder& b) { b.U32(turn::kLifetime, 0); });
    }
    step_ = Step::kOver;
    ++generation_;
    After(talk_, [this] { Begin(); });
  }
  void After(Duration delay, std::function<void()> run) {
    world_.After(delay, "caller", [this, generation = generation_, run = std::move(run)] {
      if (generation == generation_) {
        run();
      }
    });
  }
  void Ask() {
    if (++tries_ > 8) {
      ++refused;
      End(false);
      return;
    }
    if (step_ == Step::kBind) {
      Send(Method::kChannelBind, [](Builder& b) {
        b.U32(turn::kChannelNumber, 0x4000u << 16);
        b.XorAddress(turn::kXorPeerAddress, {net::IpAddress::V4(10, 77, 0, 30), kPeerPort});
      });
    } else {
      Send(Method::kAllocate, [](Builder& b) { b.U32(turn::kRequestedTransport, 17u << 24); });
    }
    After(Duration::Seconds(1), [this, step = step_] {
      if (step_ == step && step != Step::kTalk) {
        Ask();
      }
    });
  }
  template <typename Fill>
  void Send(Method method, const Fill& fill) {
    uint8_t out[512];
    // A repeated request keeps its transaction, as clients do.
    transaction_[0] = static_cast<uint8_t>(generation_);
    transaction_[1] = static_cast<uint8_t>(generation_ >> 8);
    transaction_[2] = static_cast<uint8_t>(step_);
    Builder builder(out, Class::kRequest, method, transaction_);
    fill(builder);
    if (step_ != Step::kChallenge) {
      builder.Text(turn::kUserName, user_);
      builder.Text(turn::kRealm, realm_);
      builder.Text(turn::kNonce, nonce_);
      builder.Sign(turn::Integrity::kSha1, crypto::Md5::Of(user_ + ":" + realm_ + ":" + password_));
    }
    const auto bytes = builder.Finish();
    SendUdp(port_, {kEdge, kTurnPort}, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  void OnData(std::string_view data) {
    const std::span bytes(reinterpret_cast<const uint8_t*>(data.data()), data.size());
    if (turn::IsChannelData(bytes)) {
      ++echoes;
      return;
    }
    const auto message = Message::Parse(bytes);
    if (!message.ok() || message->transaction() != transaction_) {
      return;
    }
    if (message->cls() == Class::kError && step_ == Step::kChallenge) {
      realm_ = message->Text(turn::kRealm);
      nonce_ = message->Text(turn::kNonce);
      Next(Step::kAllocate);
    } else if (message->cls() == Class::kError) {
      ++refused;
      End(false);
    } else if (step_ == Step::kAllocate) {
      Next(Step::kBind);
    } else if (step_ == Step::kBind) {
      step_ = Step::kTalk;
      ++sessions;
      Talk();
      After(talk_ * static_cast<int64_t>(1 + dice_.Below(2)), [this] { End(dice_.Below(4) != 0); });
    }
  }
  void Next(Step step) {
    step_ = step;
    tries_ = 0;
    Ask();
  }
  void Talk() {
    std::string data("\x40\x00\x00\x05media", 9);
    data[1] = data[2] = 0;
    SendUdp(port_, {kEdge, kTurnPort}, data);
    After(talk_ * 1 / 4, [this] {
      if (step_ == Step::kTalk) {
        Talk();
      }
    });
  }

  std::string user_;
  std::string password_;
  Random dice_;
  Instant until_;
  Duration talk_;
  Step step_ = Step::kOver;
  uint16_t port_ = 0;
  int tries_ = 0;
  uint32_t generation_ = 0;
  turn::TransactionId transaction_ = {};
  std::string realm_;
  std::string nonce_;
};

struct TurnScene : EdgeScene {
  explicit TurnScene(uint64_t seed, const LinkQuality& quality = {})
      : EdgeScene(seed, quality),
        peer(world, network, quality),
        first(world, network, 31, "alice", "a-Secret-1", quality),
        second(world, network, 32, "bob", "b-Secret-2", quality) {
    LogIn();
    Type(kTurnLines);
  }
  void LogIn() {
    edge.console().Type("\r");
    world.RunFor(Duration::Seconds(1));
    edge.console().Type("admin\r");
    world.RunFor(Duration::Seconds(1));
    edge.console().Type("Gate-house-42\r");
    world.RunFor(Duration::Seconds(3));
  }
  void Type(std::string_view text) {
    edge.console().Type(text);
    world.RunFor(Duration::Seconds(2));
  }
  // The fields of `xStatus TURN`, as text.
  std::string Status() {
    edge.console().Mark();
    Type("xStatus TURN\r");
    const std::string fresh(edge.console().fresh());
    if (fresh.find("TURN Allocations:") != fresh.npos) {
      return fresh;
    }
    LogIn();  // the session had been idle for too long
    edge.console().Mark();
    Type("xStatus TURN\r");
    return std::string(edge.console().fresh());
  }

  Peer peer;
  Caller first;
  Caller second;
};

bool HasNothing(const std::string& status) {
  return status.find("used=0 capacity=") != status.npos &&
         status.find("users=0 permissions=0 channels=0 reservations=0") != status.npos &&
         status.find("TURN Ports: used=0") != status.npos && status.find("flows=0") != status.npos;
}

TEST(Turn, ADayOfChurnLeavesNothingBehind) {
  TurnScene scene(Seeds(1).front());
  const SeedTrace trace(scene.world.seed());
  const Instant end = scene.world.now() + Duration::Hours(24);
  scene.first.Start(end, Duration::Seconds(40));
  scene.second.Start(end, Duration::Seconds(55));
  scene.world.RunFor(Duration::Hours(24));
  EXPECT_GT(scene.first.sessions, 700u);
  EXPECT_GT(scene.second.sessions, 500u);
  EXPECT_EQ(scene.first.refused + scene.second.refused, 0u);
  EXPECT_GT(scene.first.echoes, 1400u);
  // Those that vanished are over when their lifetime is; a port rests a minute longer.
  scene.world.RunFor(Duration::Minutes(70));
  const std::string status = scene.Status();
  EXPECT_TRUE(HasNothing(status)) << status;
  EXPECT_EQ(scene.edge.boot_count(), 1u);
  EXPECT_EQ(scene.Failures(), "");
  std::printf("a day: %llu and %llu sessions, %llu echoes\n",
              static_cast<unsigned long long>(scene.first.sessions),
              static_cast<unsigned long long>(scene.second.sessions),
              static_cast<unsigned long long>(scene.first.echoes + scene.second.echoes));
}

TEST(Turn, RelaysOverALossyReorderingDuplicatingNetwork) {
  for (const uint64_t seed : Seeds(3)) {
    const SeedTrace trace(seed);
    TurnScene scene(seed, kBad);
    scene.first.Start(scene.world.now() + Duration::Minutes(20), Duration::Seconds(20));
    scene.world.RunFor(Duration::Minutes(20));
    EXPECT_GT(scene.first.sessions, 10u);
    EXPECT_GT(scene.first.echoes, 20u);
    scene.world.RunFor(Duration::Minutes(70));
    const std::string status = scene.Status();
    EXPECT_TRUE(HasNothing(status)) << status;
    EXPECT_EQ(scene.Failures(), "");
  }
}

TEST(Turn, WallClockJumpsDisturbNoAllocation) {
  TurnScene scene(Seeds(1).front());
  const SeedTrace trace(scene.world.seed());
  scene.first.Start(scene.world.now() + Duration::Minutes(30), Duration::Seconds(60));
  for (const Duration jump :
       {Duration::Hours(24 * 400), Duration::Hours(-24 * 9000), Duration::Hours(24 * 20'000)}) {
    const uint64_t before = scene.first.echoes;
    scene.edge.JumpWall(jump);
    scene.world.RunFor(Duration::Minutes(8));
    EXPECT_GT(scene.first.echoes, before + 4);
  }
  EXPECT_EQ(scene.first.refused, 0u);
  EXPECT_EQ(scene.Failures(), "");
}

}  // namespace
}  // namespace gh::sim
