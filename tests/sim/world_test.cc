// The simulator itself: determinism, links, disks, machines. What runs on the machine here is a
// small echo program, so that these tests say something about the simulator alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "board/sim/machine.h"
#include "tests/sim/hash.h"
#include "tests/sim/seeds.h"
#include "tests/sim/sip_phone.h"

namespace gh::sim {
namespace {

// Echoes every IPv4 frame it gets, counts boots in block 0 of its store, and obeys the console:
// r restart, q power off, p panic, h hang (stops petting the watchdog), w write without a flush.
class EchoProgram final : public Program {
 public:
  explicit EchoProgram(hal::Machine& machine) : machine_(machine) {}

  Result<void> Start() override {
    block_ = machine_.arena.NewArray<uint8_t>(machine_.store->block_size());
    machine_.arena.Seal();
    GH_TRY(hal::ReadBlocks(*machine_.store, 0, block_));
    ++block_[0];
    GH_TRY(hal::WriteBlocks(*machine_.store, 0, block_));
    GH_TRY(hal::FlushBlocks(*machine_.store));
    machine_.watchdog.Arm(Duration::Seconds(2));
    Print("started\n");
    next_ = machine_.clock.Now() + Duration::Seconds(1);
    return Ok();
  }

  Instant RunOnce() override {
    const Instant now = machine_.clock.Now();
    if (now >= next_) {
      ++tick_count;
      next_ = next_ + Duration::Seconds(1);
      if (!hangs_) {
        machine_.watchdog.Pet();
      }
    }
    Obey();
    hal::Frame* frames[8];
    const uint32_t count = machine_.ports[0]->Receive(frames);
    for (uint32_t i = 0; i < count; ++i) {
      Echo(*frames[i]);
    }
    machine_.ports[0]->Flush();
    return count > 0 ? now : next_;
  }

  uint64_t tick_count = 0;
  uint64_t echo_count = 0;

 private:
  void Print(std::string_view text) {
    (void)machine_.console.Write({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  void Obey() {
    uint8_t key = 0;
    if (machine_.console.Read({&key, 1}) == 0) {
      return;
    }
    if (key == 'r') {
      machine_.boot.Restart();
    } else if (key == 'q') {
      machine_.boot.PowerOff();
    } else if (key == 'p') {
      GH_ASSERT_EQ(key, 0);
    } else if (key == 'h') {
      hangs_ = true;
    } else if (key == 'w') {
      std::fill(block_.begin(), block_.end(), uint8_t{0x5a});
      (void)hal::WriteBlocks(*machine_.store, 1, block_).ok();
      Print("written\n");
    }
  }
  void Echo(hal::Frame& frame) {
    uint8_t* data = frame.data();
    if (data[12] != 8 || data[13] != 0) {
      machine_.frames.Release(&frame);
      return;
    }
    ++echo_count;
    std::swap_ranges(data, data + 6, data + 6);
    hal::Frame* const one[1] = {&frame};
    machine_.ports[0]->Transmit(one);
  }

  hal::Machine& machine_;
  std::span<uint8_t> block_;
  Instant next_;
  bool hangs_ = false;
};

ProgramFactory Echo() {
  return [](hal::Machine& machine) -> Program* { return machine.arena.New<EchoProgram>(machine); };
}

// Sends numbered frames and notes what comes back.
class Pinger final : public Station {
 public:
  Pinger(World& world, Switch& network, const LinkQuality& quality)
      : world_(world), network_(network), cable_(network.Attach(*this, quality)) {}
  void Start(const hal::MacAddress& to, uint32_t count, Duration interval) {
    for (uint32_t i = 0; i < count; ++i) {
      world_.After(interval * i, "ping", [this, to, i] {
        std::vector<uint8_t> frame(60);
        std::copy(to.begin(), to.end(), frame.begin());
        frame[6] = 0x02;
        frame[12] = 8;
        frame[16] = static_cast<uint8_t>(i >> 8);
        frame[17] = static_cast<uint8_t>(i);
        network_.Send(cable_, frame);
      });
    }
  }
  void OnFrame(std::span<const uint8_t> frame) override {
    received.push_back(static_cast<uint32_t>(frame[16] << 8 | frame[17]));
  }
  uint32_t cable() const { return cable_; }
  std::vector<uint32_t> received;

 private:
  World& world_;
  Switch& network_;
  uint32_t cable_;
};

struct EchoScene {
  explicit EchoScene(uint64_t seed, const LinkQuality& quality = {},
                     const MachineOptions& options = {})
      : world(seed),
        network(world, "lan"),
        machine(world, options, Echo()),
        pinger(world, network, quality) {
    machine.Plug(0, network);
    machine.PowerOn();
    world.RunFor(Duration::Seconds(2));
  }
  EchoProgram& program() { return *static_cast<EchoProgram*>(machine.program()); }
  World world;
  Switch network;
  SimMachine machine;
  Pinger pinger;
};

uint64_t BusyRun(uint64_t seed) {
  EchoScene scene(
      seed, {.jitter = Duration::Milliseconds(2), .loss = 0.1, .duplicate = 0.05, .reorder = 0.1});
  scene.pinger.Start(scene.machine.mac(0), 200, Duration::Milliseconds(3));
  scene.world.RunFor(Duration::Milliseconds(300));
  scene.machine.CyclePower(Duration::Seconds(1));
  scene.world.RunFor(Duration::Seconds(10));
  EXPECT_EQ(scene.world.failures().size(), 0u);
  return scene.world.digest();
}

TEST(World, OneSeedReplaysBitForBitAndAnotherDiffers) {
  std::map<uint64_t, uint64_t> digests;
  for (const uint64_t seed : Seeds(20)) {
    const SeedTrace trace(seed);
    digests[seed] = BusyRun(seed);
    EXPECT_EQ(digests[seed], BusyRun(seed));
    EXPECT_EQ(std::count_if(digests.begin(), digests.end(),
                            [&](const auto& entry) { return entry.second == digests[seed]; }),
              1);
  }
}

// The canary: a run that reads something outside the seed must be seen as different.
TEST(World, DigestCatchesAPlantedDifference) {
  const auto run = [](bool planted) {
    EchoScene scene(7);
    scene.pinger.Start(scene.machine.mac(0), 10, Duration::Milliseconds(5));
    scene.world.After(Duration::Milliseconds(20), "later", [&] {
      if (planted) {
        scene.machine.console().Type("x");
      }
    });
    scene.world.RunFor(Duration::Seconds(1));
    return scene.world.digest();
  };
  EXPECT_EQ(run(false), run(false));
  EXPECT_NE(run(false), run(true));
}

TEST(World, EventsOfOneInstantRunInAnOrderTheSeedChooses) {
  const auto order = [](uint64_t seed) {
    World world(seed);
    std::string out;
    for (char c = 'a'; c < 'i'; ++c) {
      world.After(Duration::Seconds(1), "letter", [&out, c] { out += c; });
    }
    world.RunFor(Duration::Seconds(2));
    return out;
  };
  EXPECT_EQ(order(1), order(1));
  EXPECT_NE(order(1), order(2));
  EXPECT_EQ(order(1).size(), 8u);
}

TEST(World, CancelledEventDoesNotRun) {
  World world(1);
  bool ran = false;
  const uint64_t event = world.After(Duration::Seconds(1), "never", [&] { ran = true; });
  world.Cancel(event);
  world.RunFor(Duration::Seconds(2));
  EXPECT_FALSE(ran);
  EXPECT_EQ(world.now(), Instant{3'000'000'000});
}

TEST(Network, CleanLinkDeliversEverythingInOrder) {
  EchoScene scene(3);
  scene.pinger.Start(scene.machine.mac(0), 100, Duration::Microseconds(10));
  scene.world.RunFor(Duration::Seconds(1));
  ASSERT_EQ(scene.pinger.received.size(), 100u);
  EXPECT_TRUE(std::is_sorted(scene.pinger.received.begin(), scene.pinger.received.end()));
  EXPECT_EQ(scene.network.total().lost, 0u);
}

TEST(Network, EachFaultHappensAndIsCounted) {
  EchoScene lossy(4, {.loss = 0.3});
  lossy.pinger.Start(lossy.machine.mac(0), 300, Duration::Milliseconds(1));
  lossy.world.RunFor(Duration::Seconds(1));
  EXPECT_GT(lossy.network.counters(lossy.pinger.cable()).lost, 50u);
  EXPECT_LT(lossy.pinger.received.size(), 250u);

  EchoScene twice(5, {.duplicate = 0.5});
  twice.pinger.Start(twice.machine.mac(0), 100, Duration::Milliseconds(1));
  twice.world.RunFor(Duration::Seconds(1));
  EXPECT_GT(twice.network.total().duplicated, 50u);
  EXPECT_GT(twice.pinger.received.size(), 150u);

  EchoScene shuffled(6, {.reorder = 0.3});
  shuffled.pinger.Start(shuffled.machine.mac(0), 100, Duration::Milliseconds(1));
  shuffled.world.RunFor(Duration::Seconds(1));
  EXPECT_EQ(shuffled.pinger.received.size(), 100u);
  EXPECT_FALSE(std::is_sorted(shuffled.pinger.received.begin(), shuffled.pinger.received.end()));

  EchoScene bent(7, {.corrupt = 1.0});
  bent.pinger.Start(bent.machine.mac(0), 50, Duration::Milliseconds(1));
  bent.world.RunFor(Duration::Seconds(1));
  EXPECT_GE(bent.network.total().corrupted, 50u);
}

TEST(Network, BandwidthSpacesFramesAndABoundedQueueOverflows) {
  // 84 byte times of 8 bits at 100 kbit/s are 6.7 ms a frame; 50 ms of queue hold about 7.
  EchoScene scene(8, {.bits_per_second = 100'000});
  scene.pinger.Start(scene.machine.mac(0), 30, Duration::Nanoseconds(1));
  scene.world.RunFor(Duration::Seconds(1));
  EXPECT_GE(scene.pinger.received.size(), 7u);
  EXPECT_LE(scene.pinger.received.size(), 9u);
}

TEST(Network, PartitionSeparatesAndHeals) {
  EchoScene scene(9);
  scene.network.SetGroup(scene.pinger.cable(), 1);
  scene.pinger.Start(scene.machine.mac(0), 10, Duration::Milliseconds(1));
  scene.world.RunFor(Duration::Seconds(1));
  EXPECT_EQ(scene.pinger.received.size(), 0u);
  scene.network.HealPartitions();
  scene.pinger.Start(scene.machine.mac(0), 10, Duration::Milliseconds(1));
  scene.world.RunFor(Duration::Seconds(1));
  EXPECT_EQ(scene.pinger.received.size(), 10u);
}

TEST(Network, UnpluggedCableCarriesNothing) {
  EchoScene scene(10);
  scene.network.SetUp(scene.machine.cable(0), false);
  EXPECT_FALSE(scene.machine.hardware()->ports[0]->link_up());
  scene.pinger.Start(scene.machine.mac(0), 10, Duration::Milliseconds(1));
  scene.world.RunFor(Duration::Seconds(1));
  EXPECT_EQ(scene.program().echo_count, 0u);
}

TEST(Machine, RestartPowerOffAndPanicEndATurnAnywhere) {
  EchoScene scene(11, {}, {.expect_panic = true});
  EXPECT_EQ(scene.machine.boot_count(), 1u);
  scene.machine.console().Type("r");
  scene.world.RunFor(Duration::Seconds(3));
  EXPECT_TRUE(scene.machine.running());
  EXPECT_EQ(scene.machine.boot_count(), 2u);
  EXPECT_EQ(scene.machine.last_cause(), hal::ResetCause::kRestart);

  scene.machine.console().Type("p");
  scene.world.RunFor(Duration::Seconds(3));
  EXPECT_EQ(scene.machine.boot_count(), 3u);
  EXPECT_EQ(scene.machine.last_cause(), hal::ResetCause::kPanic);
  CrashRecord record;
  ASSERT_TRUE(DecodeCrashRecord(scene.machine.hardware()->boot.crash_record(), record).ok());
  EXPECT_NE(record.message.view().find("key == 0"), std::string_view::npos);

  scene.machine.console().Type("q");
  scene.world.RunFor(Duration::Seconds(3));
  EXPECT_FALSE(scene.machine.running());
  EXPECT_TRUE(scene.machine.powered_off_by_itself());
  scene.machine.PowerOn();
  scene.world.RunFor(Duration::Seconds(3));
  EXPECT_EQ(scene.machine.boot_count(), 4u);
  EXPECT_EQ(scene.world.failures().size(), 0u);
}

// The canary of every test that asserts world.failures() is empty.
TEST(Machine, UnexpectedPanicIsAFailureOfTheWorld) {
  EchoScene scene(12);
  scene.machine.console().Type("p");
  scene.world.RunFor(Duration::Seconds(3));
  ASSERT_EQ(scene.world.failures().size(), 1u);
  EXPECT_NE(scene.world.failures()[0].find("panic: key == 0"), std::string::npos);
}

TEST(Machine, WatchdogResetsAProgramThatStopsPetting) {
  EchoScene scene(13);
  scene.world.RunFor(Duration::Minutes(1));
  EXPECT_EQ(scene.machine.boot_count(), 1u);
  scene.machine.console().Type("h");
  scene.world.RunFor(Duration::Seconds(6));
  EXPECT_EQ(scene.machine.boot_count(), 2u);
  EXPECT_EQ(scene.machine.last_cause(), hal::ResetCause::kWatchdog);
  ASSERT_EQ(scene.world.failures().size(), 1u);
}

TEST(Machine, WallClockJumpsDoNotMoveTheMonotonicClock) {
  EchoScene scene(14);
  const uint64_t before = scene.program().tick_count;
  const int64_t wall = scene.machine.hardware()->clock.Wall().unix_ns;
  scene.machine.JumpWall(Duration::Hours(-24 * 365));
  scene.world.RunFor(Duration::Seconds(5));
  scene.machine.JumpWall(Duration::Hours(24 * 3650));
  scene.world.RunFor(Duration::Seconds(5));
  EXPECT_EQ(scene.program().tick_count - before, 10u);
  EXPECT_GT(scene.machine.hardware()->clock.Wall().unix_ns - wall,
            Duration::Hours(24 * 3285).ns - Duration::Minutes(1).ns);
}

TEST(Machine, FlushedDataSurvivesAPowerCutAndUnflushedMayNot) {
  uint32_t kept = 0;
  uint32_t lost = 0;
  uint32_t torn = 0;
  for (const uint64_t seed : Seeds(60)) {
    const SeedTrace trace(seed);
    EchoScene scene(seed);
    scene.machine.console().Type("w");
    scene.world.RunFor(Duration::Milliseconds(100));
    ASSERT_NE(scene.machine.console().output().find("written"), std::string::npos);
    scene.machine.CyclePower(Duration::Seconds(1));
    scene.world.RunFor(Duration::Seconds(4));
    ASSERT_TRUE(scene.machine.running());
    const auto medium = scene.machine.store()->durable();
    EXPECT_EQ(medium[0], 2);  // boots: each was flushed
    const auto block = medium.subspan(512, 512);
    const auto set = std::count(block.begin(), block.end(), 0x5a);
    kept += set == 512 ? 1 : 0;
    lost += set == 0 ? 1 : 0;
    torn += set != 512 && set != 0 ? 1 : 0;
    EXPECT_EQ(scene.world.failures().size(), 0u);
  }
  EXPECT_GT(torn, 0u);
  EXPECT_GT(kept + lost + torn, lost);
}

TEST(Machine, PlannedCutStrikesInsideATurnAtEveryRequest) {
  for (uint64_t io = 1; io <= 3; ++io) {
    const SeedTrace trace(io);
    World world(io);
    SimMachine machine(world, {}, Echo());
    machine.PlanCut(*machine.store(), io, {}, Duration::Seconds(1));
    machine.PowerOn();
    world.RunFor(Duration::Seconds(10));
    EXPECT_EQ(machine.boot_count(), 2u);
    ASSERT_TRUE(machine.running());
    // The first boot was cut at its read, write or flush; the second has counted itself.
    const uint8_t boots = machine.store()->durable()[0];
    EXPECT_NE(boots, 0);
    EXPECT_EQ(world.failures().size(), 0u);
  }
}

TEST(Machine, SynchronousDiskCallsTakeVirtualTime) {
  World world(15);
  SimMachine machine(world, {}, Echo());
  machine.store()->PlanFault({.fault = Fault::kStall, .first = 3, .stall = Duration::Seconds(1)});
  machine.PowerOn();
  world.RunFor(Duration::Milliseconds(1600));
  const uint64_t turns = machine.turn_count();
  EXPECT_EQ(turns, 0u);  // still waiting for its flush, 1 s long
  world.RunFor(Duration::Seconds(2));
  EXPECT_GT(machine.turn_count(), 0u);
}

TEST(Hash, KnownAnswers) {
  EXPECT_EQ(Md5Hex("abc"), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(Md5Hex(std::string(200, 'a')), "887f30b43b2867f4a9accceee7d16e6c");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  // RFC 2617 section 3.5.
  EXPECT_EQ(Md5Hex(Md5Hex("Mufasa:testrealm@host.com:Circle Of Life") +
                   ":dcd98b7102dd2f0e8b11d0f600bfb0c093:00000001:0a4f113b:auth:" +
                   Md5Hex("GET:/dir/index.html")),
            "6629fae49393a05397450978507c4ef1");
}

// Two phones with each other as "proxy": what the phone does is checked before it judges others.
TEST(SipPhone, TwoPhonesCallEachOtherDirectly) {
  for (const uint64_t seed : Seeds(10)) {
    const SeedTrace trace(seed);
    World world(seed);
    Switch network(world, "lan");
    const LinkQuality bad = {
        .jitter = Duration::Milliseconds(3), .loss = 0.1, .duplicate = 0.1, .reorder = 0.1};
    SipPhone alice(world, network,
                   {.user = "alice",
                    .address = {10, 0, 0, 1},
                    .proxy = {{10, 0, 0, 2}, 5060},
                    .quality = bad});
    SipPhone bob(
        world, network,
        {.user = "bob", .address = {10, 0, 0, 2}, .proxy = {{10, 0, 0, 1}, 5060}, .quality = bad});
    alice.Call("bob");
    EXPECT_TRUE(world.RunUntil(
        [&] {
          return alice.call_state() == CallState::kConfirmed &&
                 bob.call_state() == CallState::kConfirmed;
        },
        Duration::Seconds(40)));
    EXPECT_NE(alice.remote_sdp().find("10.0.0.2"), std::string::npos);
    alice.Hangup();
    EXPECT_TRUE(world.RunUntil([&] { return bob.call_state() == CallState::kEnded; },
                               Duration::Seconds(40)));
    bob.options().on_invite = OnInvite::kOnlyRing;
    alice.Call("bob");
    EXPECT_TRUE(world.RunUntil([&] { return alice.call_state() == CallState::kRinging; },
                               Duration::Seconds(40)));
    alice.Cancel();
    EXPECT_TRUE(world.RunUntil([&] { return alice.call_status() == 487; }, Duration::Seconds(40)));
    alice.SendMessage("bob", "hello");
    EXPECT_TRUE(
        world.RunUntil([&] { return alice.message_status() == 200; }, Duration::Seconds(40)));
    EXPECT_EQ(bob.messages().back(), "hello");
    EXPECT_EQ(alice.malformed_count() + bob.malformed_count(), 0u);
  }
}

}  // namespace
}  // namespace gh::sim
