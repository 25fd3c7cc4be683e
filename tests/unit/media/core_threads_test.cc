// Both planes on threads of their own, under load: built with ThreadSanitizer too (make test
// T=threads). A port that never stops delivers frames of flows and of none; the control side puts
// flows in and takes them out, draws what is its own, and sends.
#include <gtest/gtest.h>

#include <semaphore>
#include <thread>
#include <vector>

#include "crypto/random.h"
#include "firmware/media/core.h"
#include "hal/rt/wake_flag.h"
#include "net/checksum.h"
#include "tests/unit/rt/test_arena.h"

namespace gh::media {
namespace {

constexpr uint32_t kFrames = 1024;
constexpr uint32_t kFlows = 8;
constexpr uint32_t kRounds = 100;
constexpr uint16_t kListen = 3478;

struct SteadyClock final : hal::Clock {
  Instant Now() override { return {std::chrono::steady_clock::now().time_since_epoch().count()}; }
  WallTime Wall() override { return {}; }
  void SetWall(int64_t) override {}
};

class ThreadProcessor final : public hal::MediaProcessor {
 public:
  Result<void> Start(hal::ProcessorBody& body) override {
    thread_ = std::thread([this, &body] {
      while (!stop_.load()) {
        const Instant next = body.RunOnce();
        const Instant now = SteadyClock().Now();
        if (next > now) {
          if (media_.BeginSleep()) {
            ++sleeps_;
            // Much longer than asked for: only a bell ends it in a test's time.
            (void)bell_.try_acquire_for(std::chrono::seconds(30));
          }
          media_.EndSleep();
        }
      }
    });
    return Ok();
  }
  void WakeMedia() override {
    if (media_.Post()) {
      bell_.release();
    }
  }
  void WakeControl() override { ++wakes_; }
  const char* name() const override { return "thread"; }
  void Stop() {
    stop_.store(true);
    WakeMedia();
    thread_.join();
  }
  uint64_t sleeps() const { return sleeps_; }
  uint64_t wakes() const { return wakes_; }

 private:
  std::thread thread_;
  std::atomic<bool> stop_ = false;
  WakeFlag media_;
  std::counting_semaphore<1 << 20> bell_{0};
  Counter sleeps_;
  Counter wakes_;
};

net::Endpoint At(uint8_t number, uint16_t port) {
  return {net::IpAddress::V4(10, 0, 0, number), port};
}

FlowSpec SpecOf(uint32_t index, Meter* meter) {
  return {.local = At(2, kListen),
          .remote = At(1, 5000),
          .channel_in = static_cast<uint16_t>(0x4000 + index),
          .from = At(2, static_cast<uint16_t>(24000 + index)),
          .to = At(3, 6000),
          .channel_out = 0,
          .meter = meter};
}

// Delivers, by turns, a frame of each flow and one of none; the media thread's alone.
class StormPort final : public hal::EthernetPort {
 public:
  explicit StormPort(hal::FramePool& frames) : frames_(&frames) {
    hal::Frame* frame = frames.Allocate();
    std::memset(frame->data(), 0x55, 64);
    std::memcpy(frame->data(), kChannelHeader, 4);
    frame->size = 64;
    WriteHeaders({.destination = {2, 0, 0, 0, 0, 2}, .source = {2, 0, 0, 0, 0, 1}}, At(1, 5000),
                 At(2, kListen), {}, *frame);
    template_.assign(frame->data(), frame->data() + frame->size);
    frames.Release(frame);
  }
  uint32_t Receive(std::span<hal::Frame*> out) override {
    if (!is_on.load(std::memory_order_relaxed)) {
      return 0;
    }
    uint32_t count = 0;
    for (; count < 16 && count < out.size(); ++count) {
      hal::Frame* frame = frames_->Allocate();
      if (frame == nullptr) {
        break;
      }
      std::memcpy(frame->data(), template_.data(), template_.size());
      frame->size = static_cast<uint16_t>(template_.size());
      frame->data()[14 + 28 + 1] = static_cast<uint8_t>(next_++ % (kFlows + 1));
      out[count] = frame;
    }
    counters_.rx_frames += count;
    return count;
  }
  void Transmit(std::span<hal::Frame* const> frames) override {
    for (hal::Frame* frame : frames) {
      ++counters_.tx_frames;
      frames_->Release(frame);
    }
  }
  void Flush() override {}
  hal::MacAddress mac() const override { return {2, 0, 0, 0, 0, 2}; }
  uint16_t mtu() const override { return 1500; }
  bool link_up() const override { return true; }
  bool can_fill_checksum() const override { return true; }
  hal::EthernetCounters counters() const override { return counters_; }
  const char* driver() const override { return "storm"; }
  void SetFrames(hal::FramePool& frames) override { frames_ = &frames; }

  std::atomic<bool> is_on = true;

 private:
  static constexpr uint8_t kChannelHeader[4] = {0x40, 0, 0, 60};
  hal::FramePool* frames_;
  std::vector<uint8_t> template_;
  uint32_t next_ = 0;
  hal::EthernetCounters counters_;
};

// The control side of one core.
struct Planes {
  Planes() {
    ports[0] = &storm;
    core = std::make_unique<MediaCore>(CoreParts{memory, clock, frames, ports, processor});
    fast = std::make_unique<FastPath>(memory, 64, SipKey{}, 1, true);
    core->Attach(*fast);
    fast->SetRules({.is_on = true, .ports = {media::PortRange{24000, 29999}}});
    GH_ASSERT(core->Start().ok());
  }
  // A turn: takes what is its own and sends some of it back, hears notes.
  void Turn() {
    std::array<hal::Frame*, 32> batch;
    const uint32_t count = ports[0]->Receive(batch);
    received += count;
    for (uint32_t i = 0; i < count; ++i) {
      if (i % 2 == 0) {
        frames.Release(batch[i]);
      } else {
        ports[0]->Transmit({&batch[i], 1});
      }
    }
    ports[0]->Flush();
    std::array<FlowNote, 16> notes;
    const uint32_t heard = core->TakeNotes(notes);
    for (const FlowNote& note : std::span(notes).first(heard)) {
      if (note.kind == FlowNote::Kind::kUninstalled) {
        gone = note.flow;
      } else if (!note.flow->is_removed) {
        const net::NextHop hop = {.mtu = 1500, .port_index = 0, .fills_checksum = true};
        EXPECT_TRUE(core->Tell({note.flow, FlowCommand::Kind::kNextHop, hop}));
      }
    }
  }
  template <typename Done>
  bool TurnUntil(Done done) {
    const Instant end = clock.Now() + Duration::Seconds(30);
    while (!done()) {
      if (clock.Now() > end) {
        return false;
      }
      Turn();
    }
    return true;
  }

  TestArena memory{64u << 20};
  SteadyClock clock;
  hal::FramePool frames{memory, kFrames};
  ThreadProcessor processor;
  StormPort storm{frames};
  std::array<hal::EthernetPort*, hal::kEthernetPortMax> ports = {};
  std::unique_ptr<MediaCore> core;
  std::unique_ptr<FastPath> fast;
  uint64_t received = 0;
  Flow* gone = nullptr;
};

TEST(MediaThreads, FlowsComeAndGoUnderLoadAndNoneIsUsedAfterItsRemoval) {
  Planes planes;
  Meter all;
  all.SetLimit(uint64_t{1} << 40);
  for (uint32_t round = 0; round < kRounds; ++round) {
    auto meter = std::make_unique<Meter>();
    auto flow = std::make_unique<Flow>();
    meter->parent = &all;
    flow->spec = SpecOf(round % kFlows, meter.get());
    flow->key = FlowKey::Of(flow->spec.local, flow->spec.remote, flow->spec.channel_in);
    ASSERT_TRUE(planes.core->Tell({flow.get(), FlowCommand::Kind::kInstall, {}}));
    ASSERT_TRUE(planes.TurnUntil([&] { return meter->packets() > 20; })) << round;
    EXPECT_TRUE(all.Take(planes.clock.Now(), 100, Side::kControl));
    planes.fast->Forget(*flow);
    // From here on the meter is nobody's: a use of it is a fault the sanitizers see.
    meter.reset();
    ASSERT_TRUE(planes.core->Tell({flow.get(), FlowCommand::Kind::kUninstall, {}}));
    ASSERT_TRUE(planes.TurnUntil([&] { return planes.gone == flow.get(); })) << round;
    planes.gone = nullptr;
  }
  EXPECT_GT(planes.received, 0u);
  EXPECT_EQ(all.packets(), planes.fast->counters().relayed + kRounds);
  planes.storm.is_on = false;
  const auto is_whole = [&] {
    return planes.frames.held_count() + planes.core->free_frame_count() == kFrames;
  };
  EXPECT_TRUE(planes.TurnUntil(is_whole));
  planes.processor.Stop();
}

TEST(MediaThreads, ASleepingCoreIsWokenByWhatItIsGiven) {
  Planes planes;
  planes.storm.is_on = false;
  for (int round = 0; round < 500; ++round) {
    hal::Frame* frame = planes.frames.Allocate();
    ASSERT_NE(frame, nullptr);
    frame->size = 64;
    const uint64_t sent = planes.ports[0]->counters().tx_frames;
    const Instant start = planes.clock.Now();
    planes.ports[0]->Transmit({&frame, 1});
    planes.ports[0]->Flush();
    while (planes.ports[0]->counters().tx_frames == sent) {
      ASSERT_LT(planes.clock.Now() - start, Duration::Seconds(10)) << "a lost wake-up";
      std::this_thread::yield();
    }
    ASSERT_TRUE(planes.TurnUntil([&] { return planes.frames.free_count() > 64; }));
  }
  EXPECT_GT(planes.processor.sleeps(), 0u);
  planes.processor.Stop();
}

TEST(MediaThreads, TwoSidesTakeNoMoreThanAMeterLets) {
  Meter meter;
  constexpr uint64_t kRate = 1'000'000;
  meter.SetLimit(kRate);
  const Instant now = {Duration::Seconds(100).ns};
  std::array<uint64_t, 2> passed = {};
  const auto take = [&](Side side) {
    for (int i = 0; i < 100'000; ++i) {
      passed[static_cast<uint8_t>(side)] += meter.Take(now, 100, side) ? 100 : 0;
    }
  };
  std::thread other([&] { take(Side::kMedia); });
  take(Side::kControl);
  other.join();
  EXPECT_EQ(passed[0] + passed[1], kRate);
  EXPECT_EQ(meter.bytes(), kRate);
  EXPECT_EQ(meter.dropped(), 200'000 - kRate / 100);
}

}  // namespace
}  // namespace gh::media
