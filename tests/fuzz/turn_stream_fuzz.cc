// Streams to the TURN server cut into frames: the input arrives in pieces whose sizes it chooses
// itself, and what is not consumed is offered again with the next. However it is cut, the frames
// are the same, and nothing is consumed that is not a whole frame.
#include <cstdint>
#include <cstdlib>

#include "firmware/turn/server.h"
#include "tests/unit/turn/world.h"

namespace {

using gh::turn::test::Bytes;
using gh::turn::test::World;

class NoNetwork final : public gh::net::StreamService, public gh::net::DatagramService {
 public:
  gh::Result<gh::net::ListenerId> Listen(const gh::net::Endpoint&, const gh::net::StreamOptions&,
                                         gh::net::StreamHandler&) override {
    return gh::net::ListenerId{0};
  }
  void CloseListener(gh::net::ListenerId) override {}
  gh::Result<gh::net::StreamId> Connect(const gh::net::Endpoint&, const gh::net::StreamOptions&,
                                        gh::net::StreamHandler&) override {
    return gh::ErrorCode::kUnsupported;
  }
  gh::Result<void> SendStream(gh::net::StreamId, std::span<const uint8_t>) override {
    return gh::Ok();
  }
  size_t SendRoom(gh::net::StreamId) const override { return 65536; }
  void CloseStream(gh::net::StreamId) override { closed = true; }
  void AbortStream(gh::net::StreamId) override { closed = true; }
  const gh::net::StreamInfo* InfoOf(gh::net::StreamId) const override { return nullptr; }
  gh::Result<gh::net::SocketId> OpenDatagram(const gh::net::Endpoint&,
                                             gh::net::DatagramHandler&) override {
    return gh::ErrorCode::kUnsupported;
  }
  void CloseDatagram(gh::net::SocketId) override {}
  gh::Result<void> SendDatagram(gh::net::SocketId, const gh::net::Endpoint&,
                                std::span<const uint8_t>, const gh::net::IpAddress&) override {
    return gh::ErrorCode::kUnsupported;
  }
  bool closed = false;
};

// Requests and malformed frames the engine saw, when the input comes in pieces of these sizes.
struct Outcome {
  uint64_t requests = 0;
  uint64_t malformed = 0;
  uint64_t stray = 0;
  bool closed = false;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome Feed(std::span<const uint8_t> input, uint8_t piece_seed) {
  World world;
  alignas(64) static uint8_t memory[64 * 1024];
  gh::Arena arena(memory);
  NoNetwork network;
  gh::TimerWheel timers(world.clock.now);
  gh::turn::Server server({arena, network, nullptr, network, timers}, 2);
  server.SetEngine(world.engine());
  const gh::net::StreamId id{1, 1};
  gh::net::StreamInfo info;
  info.accepted = true;
  info.remote = gh::turn::test::At("7.7.7.7:1000");
  info.local = gh::turn::test::At("9.9.9.9:3478");
  if (!server.OnStreamOpen(id, info)) {
    std::abort();
  }
  Bytes waiting;
  uint8_t seed = piece_seed;
  for (size_t at = 0; at < input.size() && !network.closed;) {
    const size_t wanted = piece_seed == 0 ? input.size() : 1 + (seed & 0x3f);
    const size_t size = std::min(wanted, input.size() - at);
    waiting.insert(waiting.end(), input.begin() + static_cast<long>(at),
                   input.begin() + static_cast<long>(at + size));
    at += size;
    seed = static_cast<uint8_t>(seed * 5 + 1);
    const size_t used = server.OnStreamData(id, waiting);
    if (used > waiting.size()) {
      std::abort();
    }
    waiting.erase(waiting.begin(), waiting.begin() + static_cast<long>(used));
    if (waiting.size() > gh::turn::kMessageMax && !network.closed) {
      std::abort();  // a frame that cannot become whole must have closed the stream
    }
  }
  const gh::turn::Counters& counters = world.engine().counters();
  const Outcome outcome{counters.requests, counters.dropped_malformed, counters.dropped_stray,
                        network.closed};
  server.OnStreamClosed(id, gh::net::StreamClose::kByPeer);
  if (server.stream_count() != 0) {
    std::abort();
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gh::test::Memory::keeps = true;
  if (size < 1 || size > 8192) {
    return 0;
  }
  const std::span<const uint8_t> input(data + 1, size - 1);
  if (Feed(input, 0) != Feed(input, static_cast<uint8_t>(data[0] | 1))) {
    std::abort();
  }
  return 0;
}
