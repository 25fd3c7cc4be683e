// What the stack costs per segment and per datagram, by number of connections and of ports.
//
// The peer is a few lines that answer in frames: the figures are the stack's alone, from
// EthernetPort::Receive to EthernetPort::Transmit, event loop included.
#include <sys/mman.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "net/checksum.h"
#include "net/stack.h"
#include "tests/bench/bench.h"

namespace gh::net {
namespace {

constexpr hal::MacAddress kOurMac{2, 0, 0, 0, 0, 1};
constexpr hal::MacAddress kPeerMac{2, 0, 0, 0, 0, 2};
constexpr uint16_t kService = 5060;

class BenchClock final : public hal::Clock {
 public:
  Instant Now() override { return now; }
  WallTime Wall() override { return {}; }
  void SetWall(int64_t) override {}
  Instant now{1'000'000'000};
};

class QuietObserver final : public Observer {};

class BenchEntropy final : public hal::Entropy {
 public:
  void Fill(std::span<uint8_t> out) override {
    for (uint8_t& byte : out) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      byte = static_cast<uint8_t>(state_ >> 56);
    }
  }
  const char* source() const override { return "bench"; }

 private:
  uint64_t state_ = 1;
};

// Hands out frames built beforehand; keeps the last one sent.
class BenchPort final : public hal::EthernetPort {
 public:
  explicit BenchPort(hal::FramePool& frames) : frames_(&frames) {}
  uint32_t Receive(std::span<hal::Frame*> out) override {
    uint32_t count = 0;
    while (count < out.size() && next < inbox.size()) {
      out[count++] = inbox[next++];
    }
    if (next == inbox.size()) {
      inbox.clear();
      next = 0;
    }
    return count;
  }
  void Transmit(std::span<hal::Frame* const> frames) override {
    for (hal::Frame* frame : frames) {
      last_size = frame->size;
      std::memcpy(last, frame->data(), std::min<size_t>(frame->size, sizeof(last)));
      ++sent_count;
      frames_->Release(frame);
    }
  }
  void Flush() override {}
  hal::MacAddress mac() const override { return kOurMac; }
  uint16_t mtu() const override { return 1500; }
  bool link_up() const override { return true; }
  bool can_fill_checksum() const override { return false; }
  hal::EthernetCounters counters() const override { return {}; }
  const char* driver() const override { return "bench"; }
  void SetFrames(hal::FramePool& frames) override { frames_ = &frames; }

  std::vector<hal::Frame*> inbox;
  size_t next = 0;
  uint8_t last[128] = {};
  uint16_t last_size = 0;
  uint64_t sent_count = 0;

 private:
  hal::FramePool* frames_;
};

struct Handler final : StreamHandler, DatagramHandler {
  explicit Handler(Stack*& at) : stack(at) {}
  bool OnStreamOpen(StreamId id, const StreamInfo&) override {
    last = id;
    ++open_count;
    return true;
  }
  size_t OnStreamData(StreamId id, std::span<uint8_t> data) override {
    ++data_count;
    if (echo) {
      (void)stack->streams().SendStream(id, data).ok();
    }
    return data.size();
  }
  void OnStreamWritable(StreamId) override {}
  void OnStreamClosed(StreamId, StreamClose) override { ++closed_count; }
  void OnDatagram(const DatagramInfo& info, std::span<uint8_t> data) override {
    ++data_count;
    if (echo) {
      (void)stack->datagrams()
          .SendDatagram(info.socket, info.remote, data, info.local.address)
          .ok();
    }
  }
  Stack*& stack;
  StreamId last;
  uint64_t open_count = 0;
  uint64_t closed_count = 0;
  uint64_t data_count = 0;
  bool echo = true;
};

void FinishChecksums(hal::Frame& frame, uint8_t protocol, size_t sum_at) {
  uint8_t* ip = frame.data() + 14;
  StoreBe16(ip + 10, 0);
  auto sum = static_cast<uint16_t>(~ChecksumSum({ip, 20}));
  std::memcpy(ip + 10, &sum, 2);
  const size_t size = frame.size - 34u;
  StoreBe16(ip + 20 + sum_at, 0);
  const uint16_t start = PseudoHeaderSum({ip + 12, 8}, protocol, static_cast<uint32_t>(size));
  sum = static_cast<uint16_t>(~ChecksumSum({ip + 20, size}, start));
  std::memcpy(ip + 20 + sum_at, &sum, 2);
}

struct Setup {
  explicit Setup(uint32_t connections)
      : capacity(Capacity::For(connections)),
        memory_size(uint64_t{600} * 1024 * 1024),
        memory(static_cast<uint8_t*>(mmap(nullptr, memory_size, PROT_READ | PROT_WRITE,
                                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))),
        arena({Huge(memory, memory_size), memory_size}),
        frames(arena, 4096),
        loop(clock),
        random(entropy),
        port(frames),
        handler(at) {
    capacity.half_open_count = 4096;
    at = arena.New<Stack>(StackParts{arena, frames, loop, random, observer, {&port}}, capacity);
    StackConfig config;
    config.ports[0].ipv4_mode = Ipv4Mode::kStatic;
    config.ports[0].ipv4_address = {IpAddress::V4(10, 0, 0, 1), 8};
    GH_ASSERT(at->Configure(config).ok());
    GH_ASSERT(at->firewall().Allow({Transport::kTcp, kService, kService}).ok());
    GH_ASSERT(at->firewall().Allow({Transport::kUdp, 1, 65535}).ok());
    GH_ASSERT(at->streams().Listen({IpAddress::V4(0, 0, 0, 0), kService}, {}, handler).ok());
    loop.RunOnce();
    TeachNeighbor();
  }
  ~Setup() {
    at->~Stack();
    munmap(memory, memory_size);
  }
  // Large pages where there are some, as on the boards.
  static uint8_t* Huge(uint8_t* start, uint64_t size) {
    GH_ASSERT(start != MAP_FAILED);
    (void)madvise(start, size, MADV_HUGEPAGE);
    return start;
  }

  hal::Frame* NewFrame(uint8_t protocol, const IpAddress& source, size_t l4_size) {
    hal::Frame* frame = frames.Allocate();
    GH_ASSERT(frame != nullptr);
    frame->size = static_cast<uint16_t>(34 + l4_size);
    uint8_t* b = frame->data();
    std::memset(b, 0, frame->size);
    std::memcpy(b, kOurMac.data(), 6);
    std::memcpy(b + 6, kPeerMac.data(), 6);
    b[12] = 8;
    b[14] = 0x45;
    StoreBe16(b + 16, static_cast<uint16_t>(20 + l4_size));
    b[22] = 64;
    b[23] = protocol;
    std::memcpy(b + 26, source.bytes.data(), 4);
    const uint8_t own[] = {10, 0, 0, 1};
    std::memcpy(b + 30, own, 4);
    return frame;
  }
  void TeachNeighbor() {
    // 10.0.0.2 to 10.0.0.4 ask for us; every peer has one of these addresses.
    for (uint8_t host = 2; host <= 4; ++host) {
      TeachOne(host);
    }
  }
  void TeachOne(uint8_t host) {
    hal::Frame* frame = frames.Allocate();
    frame->size = 42;
    const uint8_t arp[] = {255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0,  2, 8, 6,
                           0,   1,   8,   0,   6,   4,   0, 1, 2, 0, 0,  0, 0, 2,
                           10,  0,   0,   2,   0,   0,   0, 0, 0, 0, 10, 0, 0, 1};
    std::memcpy(frame->data(), arp, sizeof(arp));
    frame->data()[31] = host;
    port.inbox.push_back(frame);
    loop.RunOnce();
  }
  Capacity capacity;
  uint64_t memory_size;
  uint8_t* memory;
  Arena arena;
  BenchClock clock;
  BenchEntropy entropy;
  hal::FramePool frames;
  EventLoop loop;
  crypto::Random random;
  QuietObserver observer;
  BenchPort port;
  Stack* at = nullptr;
  Handler handler;
};

// The peer's end of one connection.
struct Peer {
  uint8_t host = 0;
  uint16_t port = 0;
  uint32_t sequence = 0;
  uint32_t acknowledgement = 0;
};

struct TcpBench : Setup {
  explicit TcpBench(uint32_t connections) : Setup(connections) {
    peers.resize(connections);
    const uint64_t before = arena.used();
    for (uint32_t i = 0; i < connections; ++i) {
      Peer& peer = peers[i];
      peer.host = static_cast<uint8_t>(2 + i / 50'000);
      peer.port = static_cast<uint16_t>(1024 + i % 50'000);
      peer.sequence = i * 1000;
      Segment(peer, kTcpSyn, 0);
      loop.RunOnce();
      peer.acknowledgement = LoadBe32(port.last + 14 + 20 + 4) + 1;
      ++peer.sequence;
      Segment(peer, kTcpAck, 0);
      loop.RunOnce();
      if (i % 1000 == 0) {
        clock.now = clock.now + Duration::Milliseconds(1);
      }
    }
    GH_ASSERT_EQ(handler.open_count, connections);
    GH_ASSERT_EQ(before, arena.used());
  }
  void Segment(Peer& peer, uint8_t flags, size_t payload) {
    hal::Frame* frame = NewFrame(kProtocolTcp, IpAddress::V4(10, 0, 0, 2), 20 + payload);
    frame->data()[29] = peer.host;
    uint8_t* tcp = frame->data() + 34;
    StoreBe16(tcp, peer.port);
    StoreBe16(tcp + 2, kService);
    StoreBe32(tcp + 4, peer.sequence);
    StoreBe32(tcp + 8, peer.acknowledgement);
    tcp[12] = 5 << 4;
    tcp[13] = flags;
    StoreBe16(tcp + 14, 64240);
    FinishChecksums(*frame, kProtocolTcp, 16);
    port.inbox.push_back(frame);
    peer.sequence += static_cast<uint32_t>(payload);
  }
  // On `count` connections in a scattered order, in bursts: a request of 400 bytes in, its echo
  // out, the peer's acknowledgement in. Three segments, built and checksummed here on the peer's
  // side too.
  void Exchange(uint64_t count) {
    const uint64_t before = handler.data_count;
    std::array<Peer*, kBurst> burst;
    for (uint64_t i = 0; i < count; i += kBurst) {
      for (Peer*& peer : burst) {
        next = (next * 2862933555777941757u + 3037000493u);
        peer = &peers[(next >> 33) % peers.size()];
        __builtin_prefetch(peer, 1);  // the peer's own misses are not the stack's
      }
      for (Peer* peer : burst) {
        Segment(*peer, kTcpAck | kTcpPush, kRequest);
      }
      loop.RunOnce();
      for (Peer* peer : burst) {
        peer->acknowledgement += kRequest;
        Segment(*peer, kTcpAck, 0);
      }
      loop.RunOnce();
      clock.now = clock.now + Duration::Microseconds(100);
    }
    GH_ASSERT_EQ(handler.data_count - before, (count + kBurst - 1) / kBurst * kBurst);
  }
  static constexpr uint32_t kRequest = 400;
  static constexpr uint32_t kBurst = 32;  // frames a poll finds, as under load
  std::vector<Peer> peers;
  uint64_t next = 1;
};

struct UdpBench : Setup {
  // `sockets` of them open; the traffic goes to one.
  explicit UdpBench(uint32_t sockets) : Setup(1) {
    for (uint32_t i = 0; i < sockets; ++i) {
      const auto service = static_cast<uint16_t>(kService + i);
      const auto id = at->datagrams().OpenDatagram({IpAddress::V4(0, 0, 0, 0), service}, handler);
      GH_ASSERT(id.ok());
    }
  }
  void Exchange(uint64_t count, size_t size) {
    for (uint64_t i = 0; i < count; i += 32) {
      for (uint64_t j = 0; j < 32; ++j) {
        hal::Frame* frame = NewFrame(kProtocolUdp, IpAddress::V4(10, 0, 0, 2), 8 + size);
        uint8_t* udp = frame->data() + 34;
        StoreBe16(udp, 5061);
        StoreBe16(udp + 2, kService);
        StoreBe16(udp + 4, static_cast<uint16_t>(8 + size));
        FinishChecksums(*frame, kProtocolUdp, 6);
        port.inbox.push_back(frame);
      }
      loop.RunOnce();
    }
  }
  // The generator's own share, to be subtracted.
  void GenerateOnly(uint64_t count, size_t size) {
    for (uint64_t i = 0; i < count; ++i) {
      hal::Frame* frame = NewFrame(kProtocolUdp, IpAddress::V4(10, 0, 0, 2), 8 + size);
      FinishChecksums(*frame, kProtocolUdp, 6);
      frames.Release(frame);
    }
  }
};

}  // namespace

int Main(int argc, char** argv) {
  Bench bench(argc, argv);
  for (size_t size : {200u, 1200u}) {
    auto udp = std::make_unique<UdpBench>(1);
    auto crowded = std::make_unique<UdpBench>(300);
    const std::string tail = " " + std::to_string(size) + " bytes";
    bench.Run("udp echo" + tail, 200'000, [&](uint64_t count) { udp->Exchange(count, size); });
    bench.Run("udp echo, 300 sockets" + tail, 200'000,
              [&](uint64_t count) { crowded->Exchange(count, size); });
    bench.Run("udp generator alone" + tail, 200'000,
              [&](uint64_t count) { udp->GenerateOnly(count, size); });
  }
  if (bench.Wants("two stacks in turn")) {
    auto one = std::make_unique<UdpBench>(1);
    auto two = std::make_unique<UdpBench>(1);
    const IpAddress peer = IpAddress::V4(10, 0, 0, 2);
    bench.Run("one stack, an entry", 100'000, [&](uint64_t count) {
      for (uint64_t i = 0; i < count; ++i) {
        KeepAlive(one->at->SourceFor(peer));
      }
    });
    bench.Run("two stacks in turn, an entry", 10'000, [&](uint64_t count) {
      for (uint64_t i = 0; i < count; ++i) {
        KeepAlive((i % 2 == 0 ? one : two)->at->SourceFor(peer));
      }
    });
    bench.Report("state of a stack in lwIP's section",
                 static_cast<double>(LwipInstance::state_bytes()), "bytes");
  }
  for (uint32_t connections : {100u, 10'000u, 100'000u}) {
    const std::string name =
        "tcp exchange of 3 segments, " + std::to_string(connections) + " connections";
    if (!bench.Wants(name)) {
      continue;
    }
    auto tcp = std::make_unique<TcpBench>(connections);
    bench.Run(name, 200'000, [&](uint64_t count) { tcp->Exchange(count); });
    bench.Report("arena per connection, " + std::to_string(connections) + " connections",
                 static_cast<double>(tcp->arena.used()) / connections, "bytes");
    // A silent connection's share of the slow timer, per tick of 200 ms.
    tcp->clock.now = tcp->clock.now + Duration::Seconds(5);
    for (int i = 0; i < 1000; ++i) {
      tcp->loop.RunOnce();
    }
    const std::string timer = "slow timer turn, " + std::to_string(connections) + " silent";
    bench.Run(timer, 1000, [&](uint64_t count) {
      for (uint64_t i = 0; i < count; ++i) {
        tcp->clock.now = tcp->clock.now + Duration::Milliseconds(1);
        tcp->loop.RunOnce();
      }
    });
  }
  return bench.Finish();
}

}  // namespace gh::net

int main(int argc, char** argv) { return gh::net::Main(argc, argv); }
