// TURN's own costs without a network: what an allocation takes of the pools, and the codec.
#include "crypto/init.h"
#include "firmware/media/plane.h"
#include "firmware/turn/engine.h"
#include "tests/bench/bench.h"

namespace gh::turn {
namespace {

constexpr uint64_t kPortsPerAllocation = 2;  // at most, of both families together
constexpr uint64_t kBytesPerPort = 24;

// As Capacity::For shares them out: four channels of two flows for each allocation.
void ReportMemory(Bench& bench) {
  const uint64_t engine = Engine::BytesPerAllocation();
  const uint64_t flows = 8 * media::Plane::bytes_per_flow();
  const uint64_t ports = kPortsPerAllocation * kBytesPerPort;
  bench.Report("memory: bytes per allocation", static_cast<double>(engine + flows + ports),
               "bytes, all its permissions, channels, flows");
  bench.Report("memory: bytes in use by one channel",
               static_cast<double>(engine + 2 * media::Plane::bytes_per_flow() + ports),
               "bytes an allocation with one permission and channel");
  bench.Report("memory: the allocation alone", static_cast<double>(engine), "bytes");
  bench.Report("memory: eight flows", static_cast<double>(flows), "bytes");
}

void RunCodec(Bench& bench) {
  std::array<uint8_t, 512> out = {};
  const std::array<uint8_t, 16> key = {1};
  const std::array<uint8_t, 160> media = {};
  Builder send(out, Class::kIndication, Method::kSend, {});
  send.XorAddress(kXorPeerAddress, *net::Endpoint::Parse("192.0.2.1:4000"));
  send.Bytes(kData, media);
  const auto indication = send.Finish();
  bench.Run("parse a Send indication", 1'000'000, [&](uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      KeepAlive(Message::Parse(indication).ok());
    }
  });
  std::array<uint8_t, 512> signed_out = {};
  Builder refresh(signed_out, Class::kRequest, Method::kRefresh, {});
  refresh.Text(kUserName, "alice");
  refresh.Text(kRealm, "example.com");
  refresh.Text(kNonce, "0123456789ab");
  refresh.Sign(Integrity::kSha1, key);
  const auto request = refresh.Finish();
  bench.Run("parse a request, check its HMAC-SHA-1", 100'000, [&](uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      KeepAlive(Message::Parse(request)->IsAuthentic(key));
    }
  });
}

}  // namespace
}  // namespace gh::turn

int main(int argc, char** argv) {
  gh::crypto::Initialise();
  gh::Bench bench(argc, argv);
  gh::turn::ReportMemory(bench);
  gh::turn::RunCodec(bench);
  return bench.Finish();
}
