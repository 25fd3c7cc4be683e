// The whole appliance in simulation: registrations, calls, bad networks, partitions, power cuts and
// clock jumps, each over several seeds.
#include <gtest/gtest.h>

#include <chrono>

#include "tests/sim/edge_scene.h"
#include "tests/sim/seeds.h"

namespace gh::sim {
namespace {

constexpr LinkQuality kBad = {.jitter = Duration::Milliseconds(20),
                              .loss = 0.05,
                              .duplicate = 0.05,
                              .reorder = 0.1,
                              .reorder_delay = Duration::Milliseconds(30)};

struct TenMinutes {
  uint64_t digest = 0;
  uint64_t registrations = 0;
  double seconds = 0;
  std::string failures;
};

TenMinutes RunTenMinutes(uint64_t seed) {
  const auto start = std::chrono::steady_clock::now();
  EdgeScene scene(seed);
  EXPECT_TRUE(scene.BothRegister()) << scene.edge.console().output();
  scene.world.RunFor(Duration::Minutes(10));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(scene.alice.register_failed_count() + scene.bob.register_failed_count(), 0u);
  EXPECT_TRUE(scene.alice.registered() && scene.bob.registered());
  EXPECT_EQ(scene.edge.boot_count(), 1u);
  return {scene.world.digest(), scene.alice.register_ok_count() + scene.bob.register_ok_count(),
          took.count(), scene.Failures()};
}

TEST(Edge, TenMinutesOfTwoPhonesReplayBitForBit) {
  const SeedTrace trace(Seeds(1).front());
  const uint64_t seed = Seeds(1).front();
  const TenMinutes first = RunTenMinutes(seed);
  const TenMinutes second = RunTenMinutes(seed);
  const TenMinutes other = RunTenMinutes(seed + 1);
  EXPECT_EQ(first.digest, second.digest);
  EXPECT_NE(first.digest, other.digest);
  EXPECT_GE(first.registrations, 20u);
  EXPECT_EQ(first.failures, "");
  EXPECT_LT(first.seconds, 20.0);  // "a few seconds or less" where nothing else runs
  RecordProperty("seconds_per_ten_minutes", std::to_string(first.seconds));
  std::printf("ten simulated minutes took %.2f s, %.2f s, %.2f s\n", first.seconds, second.seconds,
              other.seconds);
}

TEST(Edge, CallMessageAndCancelOnACleanNetwork) {
  EdgeScene scene(Seeds(1).front());
  const SeedTrace trace(scene.world.seed());
  ASSERT_TRUE(scene.BothRegister()) << scene.edge.console().output();
  scene.alice.Call("bob");
  ASSERT_TRUE(scene.CallIsUp()) << scene.alice.call_status();
  EXPECT_NE(scene.alice.remote_sdp().find("10.77.0.12"), std::string::npos);
  EXPECT_NE(scene.bob.remote_sdp().find("10.77.0.11"), std::string::npos);
  scene.bob.Hangup();
  ASSERT_TRUE(scene.CallIsOver());
  EXPECT_TRUE(scene.alice.ended_by_peer());

  scene.alice.SendMessage("bob", "first light");
  ASSERT_TRUE(scene.world.RunUntil([&] { return scene.alice.message_status() != 0; },
                                   Duration::Seconds(40)));
  EXPECT_EQ(scene.alice.message_status(), 200);
  ASSERT_EQ(scene.bob.messages().size(), 1u);
  EXPECT_EQ(scene.bob.messages()[0], "first light");

  scene.bob.options().on_invite = OnInvite::kOnlyRing;
  scene.alice.Call("bob");
  ASSERT_TRUE(scene.world.RunUntil([&] { return scene.alice.call_state() == CallState::kRinging; },
                                   Duration::Seconds(40)));
  scene.alice.Cancel();
  ASSERT_TRUE(scene.CallIsOver());
  EXPECT_EQ(scene.alice.call_status(), 487);
  EXPECT_EQ(scene.bob.call_status(), 487);

  scene.bob.options().on_invite = OnInvite::kBusy;
  scene.alice.Call("bob");
  ASSERT_TRUE(scene.world.RunUntil([&] { return scene.alice.call_state() == CallState::kEnded; },
                                   Duration::Seconds(40)));
  EXPECT_EQ(scene.alice.call_status(), 486);
  scene.alice.Call("nobody");
  ASSERT_TRUE(scene.world.RunUntil([&] { return scene.alice.call_state() == CallState::kEnded; },
                                   Duration::Seconds(40)));
  EXPECT_EQ(scene.alice.call_status(), 404);

  for (const char* event : {"system-started", "sip-registered", "call-started", "call-ended"}) {
    EXPECT_TRUE(scene.log.Has(event)) << event;
  }
  EXPECT_EQ(scene.alice.bad_checksum_count() + scene.alice.malformed_count(), 0u);
  EXPECT_EQ(scene.Failures(), "");
}

// The canary of the tests below: with the wrong password nothing may register.
TEST(Edge, WrongPasswordNeverRegisters) {
  EdgeScene scene(5);
  scene.alice.options().password = "wrong";
  scene.alice.StartRegistering();
  EXPECT_FALSE(
      scene.world.RunUntil([&] { return scene.alice.registered(); }, Duration::Minutes(3)));
  EXPECT_GT(scene.alice.register_failed_count(), 1u);
}

TEST(Edge, CallsSucceedOverALossyReorderingDuplicatingNetwork) {
  LinkCounters faults;
  for (const uint64_t seed : Seeds(10)) {
    const SeedTrace trace(seed);
    EdgeScene scene(seed, kBad);
    ASSERT_TRUE(scene.BothRegister(Duration::Minutes(3))) << scene.edge.console().output();
    for (int call = 0; call < 3; ++call) {
      scene.alice.Call("bob");
      ASSERT_TRUE(scene.CallIsUp()) << "call " << call << " " << scene.alice.call_status();
      scene.world.RunFor(Duration::Seconds(5));
      scene.alice.Hangup();
      ASSERT_TRUE(scene.CallIsOver()) << "call " << call;
    }
    scene.bob.SendMessage("alice", "through the storm");
    ASSERT_TRUE(scene.world.RunUntil([&] { return scene.bob.message_status() != 0; },
                                     Duration::Minutes(1)));
    EXPECT_EQ(scene.bob.message_status(), 200);
    EXPECT_EQ(scene.alice.messages().size(), 1u);  // duplicates were absorbed
    EXPECT_EQ(scene.edge.boot_count(), 1u);
    EXPECT_EQ(scene.Failures(), "");
    faults.lost += scene.network.total().lost;
    faults.duplicated += scene.network.total().duplicated;
    faults.reordered += scene.network.total().reordered;
  }
  EXPECT_GT(faults.lost, 0u);
  EXPECT_GT(faults.duplicated, 0u);
  EXPECT_GT(faults.reordered, 0u);
}

TEST(Edge, CorruptedFramesAreDroppedNotBelieved) {
  for (const uint64_t seed : Seeds(3)) {
    const SeedTrace trace(seed);
    EdgeScene scene(seed, {.corrupt = 0.1});
    ASSERT_TRUE(scene.BothRegister(Duration::Minutes(5)));
    scene.alice.Call("bob");
    EXPECT_TRUE(scene.CallIsUp(Duration::Minutes(2)));
    EXPECT_GT(scene.network.total().corrupted, 0u);
    EXPECT_EQ(scene.Failures(), "");
  }
}

TEST(Edge, APartitionLosesCallsAndHealsByItself) {
  for (const uint64_t seed : Seeds(5)) {
    const SeedTrace trace(seed);
    EdgeScene scene(seed);
    ASSERT_TRUE(scene.BothRegister());
    scene.network.SetGroup(scene.bob.cable(), 1);
    scene.alice.Call("bob");
    // Nobody answers: RFC 3261 gives the INVITE 64*T1 to get any answer from Bob's side.
    ASSERT_TRUE(scene.world.RunUntil([&] { return scene.alice.call_state() == CallState::kEnded; },
                                     Duration::Minutes(4)));
    EXPECT_EQ(scene.alice.call_status(), 408);
    scene.world.RunFor(Duration::Minutes(7));
    EXPECT_FALSE(scene.bob.registered());
    scene.network.HealPartitions();
    ASSERT_TRUE(scene.world.RunUntil([&] { return scene.bob.registered(); }, Duration::Minutes(3)));
    scene.alice.Call("bob");
    EXPECT_TRUE(scene.CallIsUp());
    EXPECT_EQ(scene.Failures(), "");
  }
}

TEST(Edge, AfterAPowerCutAtAnyTimePhonesRegisterAgainAndTheConfigurationIsThere) {
  for (const uint64_t seed : Seeds(8)) {
    const SeedTrace trace(seed);
    EdgeScene scene(seed);
    Random random = scene.world.StreamFor("test");
    ASSERT_TRUE(scene.BothRegister());
    for (int cut = 0; cut < 3; ++cut) {
      scene.world.RunFor(random.Between(Duration{}, Duration::Minutes(2)));
      scene.edge.console().Mark();
      scene.edge.CyclePower(random.Between(Duration::Milliseconds(1), Duration::Seconds(20)));
      const uint64_t before = scene.alice.register_ok_count();
      ASSERT_TRUE(scene.world.RunUntil(
          [&] { return scene.alice.register_ok_count() > before && scene.bob.registered(); },
          Duration::Minutes(4)));
      // Taken from the store: provisioning is for the factory state alone.
      EXPECT_EQ(scene.edge.console().fresh().find("all applied"), std::string_view::npos);
      EXPECT_NE(scene.edge.console().fresh().find("SIP ready"), std::string_view::npos);
    }
    scene.world.RunFor(Duration::Minutes(2));
    scene.alice.Call("bob");
    EXPECT_TRUE(scene.CallIsUp());
    EXPECT_EQ(scene.Failures(), "");
  }
}

// Power goes at each disk request of the very first boot, while provisioning is being committed:
// the next boot is in factory state or has all of it, and works either way.
TEST(Edge, PowerCutsDuringFirstProvisioningLeaveAllOrNothing) {
  uint64_t io_count = 0;
  {
    EdgeScene scene(1);
    io_count = scene.edge.store()->io_count();
  }
  ASSERT_GT(io_count, 5u);
  const uint64_t step = std::max<uint64_t>(1, io_count / 24);
  uint32_t factory = 0;
  uint32_t kept = 0;
  for (uint64_t io = 1; io <= io_count; io += step) {
    const SeedTrace trace(io);
    EdgeScene scene(io, {}, false);
    scene.edge.PlanCut(*scene.edge.store(), io, {}, Duration::Seconds(1));
    scene.edge.PowerOn();
    ASSERT_TRUE(
        scene.world.RunUntil([&] { return scene.edge.boot_count() == 2 && scene.edge.running(); },
                             Duration::Seconds(20)))
        << "cut at request " << io << "\n"
        << scene.Failures() << scene.edge.console().output();
    scene.world.RunFor(Duration::Seconds(2));
    const std::string& said = scene.edge.console().output();
    const size_t last = said.rfind("Gatehouse ");
    const bool again = said.find("all applied", last) != std::string::npos;
    factory += again ? 1 : 0;
    kept += again ? 0 : 1;
    EXPECT_TRUE(scene.BothRegister()) << "cut at request " << io;
    EXPECT_EQ(scene.Failures(), "");
  }
  std::printf("%llu store requests; after the cut %u in factory state, %u configured\n",
              static_cast<unsigned long long>(io_count), factory, kept);
  EXPECT_GT(factory, 0u);
}

TEST(Edge, WallClockJumpsDisturbNeitherRegistrationsNorCalls) {
  for (const uint64_t seed : Seeds(3)) {
    const SeedTrace trace(seed);
    EdgeScene scene(seed);
    ASSERT_TRUE(scene.BothRegister());
    scene.alice.Call("bob");
    ASSERT_TRUE(scene.CallIsUp());
    for (const Duration jump :
         {Duration::Hours(24 * 400), Duration::Hours(-24 * 9000), Duration::Hours(24 * 20'000)}) {
      scene.edge.JumpWall(jump);
      scene.world.RunFor(Duration::Minutes(2));
      EXPECT_EQ(scene.alice.call_state(), CallState::kConfirmed);
      scene.bob.SendMessage("alice", "still there");
      ASSERT_TRUE(scene.world.RunUntil([&] { return scene.bob.message_status() != 0; },
                                       Duration::Seconds(40)));
      EXPECT_EQ(scene.bob.message_status(), 200);
    }
    scene.alice.Hangup();
    EXPECT_TRUE(scene.CallIsOver());
    EXPECT_EQ(scene.alice.register_failed_count() + scene.bob.register_failed_count(), 0u);
    EXPECT_EQ(scene.Failures(), "");
  }
}

// Two appliances in one process, each with its own lwIP state and memory.
TEST(Edge, TwoAppliancesInOneProcessDoNotDisturbEachOther) {
  EdgeScene first(Seeds(1).front());
  EdgeScene second(Seeds(1).front() + 100);
  ASSERT_TRUE(first.BothRegister());
  ASSERT_TRUE(second.BothRegister());
  first.alice.Call("bob");
  second.alice.Call("bob");
  for (int i = 0; i < 600; ++i) {
    first.world.RunFor(Duration::Milliseconds(10));
    second.world.RunFor(Duration::Milliseconds(10));
  }
  EXPECT_TRUE(first.CallIsUp() && second.CallIsUp());
  first.edge.CyclePower(Duration::Seconds(1));
  second.bob.Hangup();
  EXPECT_TRUE(second.CallIsOver());
  first.world.RunFor(Duration::Minutes(2));
  EXPECT_TRUE(first.alice.registered());
  EXPECT_EQ(first.Failures() + second.Failures(), "");
}

}  // namespace
}  // namespace gh::sim
