// Stacks on a simulated wire: virtual time, seeded faults, frames observable and injectable.
#pragma once

#include <array>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "crypto/random.h"
#include "hal/clock.h"
#include "hal/entropy.h"
#include "hal/ethernet_port.h"
#include "hal/rt/event_loop.h"
#include "net/stack.h"

namespace gh::net::test {

using Bytes = std::vector<uint8_t>;

class FakeClock final : public hal::Clock {
 public:
  Instant Now() override { return now; }
  WallTime Wall() override { return {now.ns + wall_offset_ns, wall_set}; }
  void SetWall(int64_t unix_ns) override {
    wall_offset_ns = unix_ns - now.ns;
    wall_set = true;
  }
  Instant now{1'000'000'000};
  int64_t wall_offset_ns = 0;
  bool wall_set = false;
};

class SeededEntropy final : public hal::Entropy {
 public:
  explicit SeededEntropy(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {}
  void Fill(std::span<uint8_t> out) override {
    for (uint8_t& byte : out) {
      byte = static_cast<uint8_t>(Next());
    }
  }
  const char* source() const override { return "seeded"; }
  uint64_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ * 0x2545f4914f6cdd1d >> 24;
  }

 private:
  uint64_t state_;
};

class FakePort;

// What the wire does to frames, in parts per thousand.
struct Faults {
  uint32_t lose = 0;
  uint32_t duplicate = 0;
  uint32_t reorder = 0;
  Duration delay = Duration::Microseconds(100);
};

// A hub: every frame reaches every other port that listens to it.
class FakeWire {
 public:
  explicit FakeWire(FakeClock& clock, uint64_t seed = 1) : clock_(clock), dice_(seed) {}

  void Attach(FakePort& port) { ports_.push_back(&port); }
  void Send(FakePort* from, Bytes frame);
  // Frames arriving at `now` go to their ports. Returns when the next one arrives.
  Instant Deliver();
  bool Roll(uint32_t per_thousand) { return per_thousand > dice_.Next() % 1000; }

  Faults faults;
  // Sees every frame sent; false swallows it.
  std::function<bool(const Bytes&)> filter;
  uint64_t frame_count = 0;

 private:
  struct Flight {
    Instant at;
    uint64_t order;
    FakePort* from;
    Bytes frame;
  };
  FakeClock& clock_;
  SeededEntropy dice_;
  std::vector<FakePort*> ports_;
  std::vector<Flight> flights_;
  uint64_t order_ = 0;
};

class FakePort final : public hal::EthernetPort {
 public:
  FakePort(FakeWire& wire, hal::FramePool& frames, uint8_t number, bool offload = false)
      : wire_(wire), frames_(&frames), offload_(offload), mac_{2, 0, 0, 0, 0, number} {
    wire.Attach(*this);
  }

  uint32_t Receive(std::span<hal::Frame*> out) override {
    uint32_t count = 0;
    while (count < out.size() && !inbox_.empty()) {
      hal::Frame* frame = frames_->Allocate();
      if (frame == nullptr) {
        counters_.rx_dropped += inbox_.size();
        inbox_.clear();
        break;
      }
      frame->size = static_cast<uint16_t>(inbox_.front().size());
      std::memcpy(frame->data(), inbox_.front().data(), frame->size);
      inbox_.pop_front();
      frame->received = received;
      out[count++] = frame;
    }
    return count;
  }
  void Transmit(std::span<hal::Frame* const> frames) override {
    for (hal::Frame* frame : frames) {
      if ((frame->flags & hal::kFrameChecksumPartial) != 0) {
        FillChecksum(*frame);
      }
      wire_.Send(this, Bytes(frame->data(), frame->data() + frame->size));
      frames_->Release(frame);
    }
  }
  void Flush() override { ++flush_count; }
  hal::MacAddress mac() const override { return mac_; }
  uint16_t mtu() const override { return 1500; }
  bool link_up() const override { return link; }
  bool can_fill_checksum() const override { return offload_; }
  hal::EthernetCounters counters() const override { return counters_; }
  const char* driver() const override { return "fake"; }
  void SetFrames(hal::FramePool& frames) override { frames_ = &frames; }

  void Arrive(const Bytes& frame) {
    if (link && ((frame[0] & 1) != 0 || std::memcmp(frame.data(), mac_.data(), 6) == 0)) {
      inbox_.push_back(frame);
    }
  }

  bool link = true;
  Instant received;  // what the device says of each frame it hands out
  uint64_t flush_count = 0;

 private:
  static void FillChecksum(hal::Frame& frame) {
    uint8_t* start = frame.data() + frame.checksum_start;
    uint32_t sum = 0;
    for (uint32_t i = 0; i + frame.checksum_start < frame.size; ++i) {
      sum += i % 2 == 0 ? uint32_t{start[i]} << 8 : start[i];
    }
    while (sum >> 16 != 0) {
      sum = (sum & 0xffff) + (sum >> 16);
    }
    const uint16_t value = static_cast<uint16_t>(~sum) == 0 ? 0xffff : static_cast<uint16_t>(~sum);
    start[frame.checksum_offset] = static_cast<uint8_t>(value >> 8);
    start[frame.checksum_offset + 1] = static_cast<uint8_t>(value);
  }

  FakeWire& wire_;
  hal::FramePool* frames_;
  bool offload_;
  hal::MacAddress mac_;
  std::deque<Bytes> inbox_;
  hal::EthernetCounters counters_;
};

inline void FakeWire::Send(FakePort* from, Bytes frame) {
  ++frame_count;
  if ((filter && !filter(frame)) || Roll(faults.lose)) {
    return;
  }
  Instant at = clock_.now + faults.delay;
  if (Roll(faults.reorder)) {
    at = at + faults.delay * 5;
  }
  if (Roll(faults.duplicate)) {
    flights_.push_back({at + faults.delay, order_++, from, frame});
  }
  flights_.push_back({at, order_++, from, std::move(frame)});
}

inline Instant FakeWire::Deliver() {
  std::sort(flights_.begin(), flights_.end(), [](const Flight& a, const Flight& b) {
    return a.at != b.at ? a.at < b.at : a.order < b.order;
  });
  size_t done = 0;
  while (done < flights_.size() && flights_[done].at <= clock_.now) {
    for (FakePort* port : ports_) {
      if (port != flights_[done].from) {
        port->Arrive(flights_[done].frame);
      }
    }
    ++done;
  }
  flights_.erase(flights_.begin(), flights_.begin() + static_cast<long>(done));
  return flights_.empty() ? Instant::Max() : flights_.front().at;
}

// Everything an observer is told, as text lines.
class RecordingObserver final : public Observer {
 public:
  void OnLink(uint8_t port, bool up) override {
    Add("link " + std::to_string(port) + (up ? " up" : " down"));
  }
  void OnAddressAcquired(uint8_t port, const IpAddress& a, AddressSource) override {
    Add("acquired " + std::to_string(port) + " " + std::string(ToText(a).view()));
  }
  void OnAddressLost(uint8_t port, const IpAddress& a) override {
    Add("lost " + std::to_string(port) + " " + std::string(ToText(a).view()));
  }
  void OnAddressConflict(uint8_t port, const IpAddress& a) override {
    Add("conflict " + std::to_string(port) + " " + std::string(ToText(a).view()));
  }
  void OnDrops(uint64_t count, DropReason reason, const Endpoint&, const Endpoint&) override {
    drop_reports += 1;
    drops_reported += count;
    Add(std::string("drops ") + DropReasonName(reason));
  }
  void OnServersChanged() override { Add("servers"); }
  bool Has(const std::string& line) const {
    return std::find(lines.begin(), lines.end(), line) != lines.end();
  }
  std::vector<std::string> lines;
  uint64_t drop_reports = 0;
  uint64_t drops_reported = 0;

 private:
  void Add(std::string line) { lines.push_back(std::move(line)); }
};

// One machine: memory, frames, loop, stack, one port.
struct Node {
  Node(FakeClock& clock, FakeWire& wire, uint8_t number, const Capacity& capacity = {},
       uint32_t frame_count = 2048, bool offload = false)
      : memory(new uint8_t[kMemory + 64]),
        arena(std::span(Aligned(memory.get()), kMemory)),
        frames(arena, frame_count),
        loop(clock),
        entropy(number),
        random(entropy),
        port(wire, frames, number, offload),
        stack({arena, frames, loop, random, observer, {&port, nullptr, nullptr}}, capacity) {}

  // 10.0.0.<number>/24 and fd00::<number>/64, gateway 10.0.0.254.
  void ConfigureStatic(uint8_t number) {
    StackConfig config;
    config.ports[0].ipv4_mode = Ipv4Mode::kStatic;
    config.ports[0].ipv4_address = {IpAddress::V4(10, 0, 0, number), 24};
    config.ports[0].ipv4_gateway = IpAddress::V4(10, 0, 0, 254);
    config.ports[0].ipv6_mode = Ipv6Mode::kStatic;
    config.ports[0].ipv6_address = {V6(number), 64};
    ASSERT_OK(stack.Configure(config));
  }
  static void ASSERT_OK(const Result<void>& result) { GH_ASSERT(result.ok()); }
  static IpAddress V6(uint8_t number) {
    IpAddress a = IpAddress::Parse("fd00::").value();
    a.bytes[15] = number;
    return a;
  }
  static uint8_t* Aligned(uint8_t* p) {
    return reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(p) + 63) & ~uintptr_t{63});
  }

  static constexpr size_t kMemory = 96 * 1024 * 1024;
  std::unique_ptr<uint8_t[]> memory;
  Arena arena;
  hal::FramePool frames;
  EventLoop loop;
  SeededEntropy entropy;
  crypto::Random random;
  RecordingObserver observer;
  FakePort port;
  Stack stack;
};

// Runs nodes over virtual time.
class Lab {
 public:
  explicit Lab(uint64_t seed = 1) : wire(clock, seed) {}

  Node& Add(uint8_t number, const Capacity& capacity = {}, uint32_t frame_count = 2048,
            bool offload = false) {
    nodes.push_back(std::make_unique<Node>(clock, wire, number, capacity, frame_count, offload));
    return *nodes.back();
  }
  void Step() {
    Instant next = wire.Deliver();
    for (auto& node : nodes) {
      const Instant wanted = node->loop.RunOnce();
      next = wanted < next ? wanted : next;
    }
    const Instant arrival = wire.Deliver();
    next = arrival < next ? arrival : next;
    if (next > clock.now) {
      clock.now = next < limit ? next : limit;
    }
  }
  void Run(Duration duration) {
    limit = clock.now + duration;
    while (clock.now < limit) {
      Step();
    }
  }
  template <typename Done>
  bool RunUntil(Done done, Duration at_most) {
    limit = clock.now + at_most;
    while (!done() && clock.now < limit) {
      Step();
    }
    return done();
  }

  FakeClock clock;
  FakeWire wire;
  std::vector<std::unique_ptr<Node>> nodes;
  Instant limit;
};

// Records datagrams; answers each with the same bytes when `echo` is set.
class DatagramRecorder final : public DatagramHandler {
 public:
  explicit DatagramRecorder(Stack& stack, bool echo = false) : stack_(stack), echo_(echo) {}
  void OnDatagram(const DatagramInfo& info, std::span<uint8_t> data) override {
    datagrams.emplace_back(data.begin(), data.end());
    infos.push_back(info);
    if (echo_) {
      stack_.datagrams()
          .SendDatagram(info.socket, info.remote, data, info.local.address)
          .ignore("the test counts what arrives");
    }
  }
  std::vector<Bytes> datagrams;
  std::vector<DatagramInfo> infos;

 private:
  Stack& stack_;
  bool echo_;
};

// Records streams; echoes when `echo` is set, consumes at most `consume_max` bytes per call.
class StreamRecorder final : public StreamHandler {
 public:
  explicit StreamRecorder(Stack& stack, bool echo = false) : stack_(stack), echo_(echo) {}

  bool OnStreamOpen(StreamId id, const StreamInfo& info) override {
    ++open_count;
    opened.push_back(id);
    infos.push_back(info);
    return accept;
  }
  size_t OnStreamData(StreamId id, std::span<uint8_t> data) override {
    ++data_calls;
    const size_t count = std::min(data.size(), consume_max);
    received.insert(received.end(), data.begin(), data.begin() + static_cast<long>(count));
    offered_max = std::max(offered_max, data.size());
    if (echo_) {
      pending.insert(pending.end(), data.begin(), data.begin() + static_cast<long>(count));
      Push(id);
    }
    return count;
  }
  void OnStreamWritable(StreamId id) override {
    ++writable_count;
    Push(id);
  }
  void OnStreamClosed(StreamId id, StreamClose why) override {
    closed.push_back(id);
    reasons.push_back(why);
  }
  // Sends of `pending` what there is room for.
  void Push(StreamId id) {
    while (!pending.empty()) {
      const size_t count = std::min<size_t>(pending.size(), 8192);
      if (!stack_.streams().SendStream(id, std::span(pending).first(count)).ok()) {
        return;
      }
      pending.erase(pending.begin(), pending.begin() + static_cast<long>(count));
    }
  }

  bool accept = true;
  size_t consume_max = SIZE_MAX;
  Bytes received;
  Bytes pending;
  std::vector<StreamId> opened;
  std::vector<StreamId> closed;
  std::vector<StreamInfo> infos;
  std::vector<StreamClose> reasons;
  uint32_t open_count = 0;
  uint32_t writable_count = 0;
  uint32_t data_calls = 0;
  size_t offered_max = 0;

 private:
  Stack& stack_;
  bool echo_;
};

inline Bytes Pattern(size_t size, uint8_t seed = 0) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<uint8_t>(i * 31 + i / 251 + seed);
  }
  return bytes;
}

}  // namespace gh::net::test
