// Any frame in front of the media plane, with flows of both directions and families installed: what
// it relays keeps the frame pool whole, and leaves as a frame that parses. The input is a list of
// frames, each behind two bytes of size; the first byte of a frame may turn it into one that fits a
// flow, so that rewriting is reached.
#include <cstdint>
#include <cstdlib>

#include "firmware/media/plane.h"
#include "tests/unit/net/craft.h"

namespace {

using gh::media::Plane;
using gh::net::Endpoint;
using gh::net::test::Bytes;
using gh::net::test::Lab;
using gh::net::test::Node;

class NoEngine final : public gh::media::RelayHandler {
 public:
  bool OnRelayDatagram(const Endpoint&, const Endpoint&, std::span<uint8_t> data) override {
    bytes += data.size();
    return true;
  }
  void OnRelayError(const Endpoint&, const Endpoint&, uint8_t, uint8_t, uint32_t) override {}
  size_t bytes = 0;
};

struct Scene {
  Scene() : edge(lab.Add(2)), peer(lab.Add(3)) {
    plane = edge.arena.New<Plane>(
        gh::media::PlaneParts{edge.arena, edge.stack, edge.random, edge.loop}, 8);
    edge.stack.AddTap(*plane);
    edge.ConfigureStatic(2);
    peer.ConfigureStatic(3);
    lab.Run(gh::Duration::Seconds(3));
    const std::array<gh::net::IpAddress, 2> relays = {V4(2), Node::V6(2)};
    plane->SetRelayPorts(&engine, relays, 24000, 29999);
    for (const bool v6 : {false, true}) {
      const auto of = [v6](uint8_t n) { return v6 ? Node::V6(n) : V4(n); };
      (void)plane->Send({of(2), 24999}, {of(3), 9}, Bytes(4, 1), false);
      lab.Run(gh::Duration::Seconds(1));
      (void)plane->AddFlow(
          {{of(2), 3478}, {of(3), 5000}, 0x4001, {of(2), 24001}, {of(3), 6000}, 0, &meter});
      (void)plane->AddFlow(
          {{of(2), 24001}, {of(3), 6000}, 0, {of(2), 3478}, {of(3), 5000}, 0x4001, &meter});
    }
    lab.wire.filter = [this](const Bytes& frame) {
      gh::net::PacketView view;
      if (!gh::net::ParsePacket(frame, view).ok() && frame.size() >= 14 &&
          std::memcmp(&frame[6], edge.port.mac().data(), 6) == 0) {
        std::abort();  // what we send is always a packet
      }
      return false;
    };
  }
  static gh::net::IpAddress V4(uint8_t n) { return gh::net::IpAddress::V4(10, 0, 0, n); }

  Lab lab;
  Node& edge;
  Node& peer;
  Plane* plane = nullptr;
  NoEngine engine;
  gh::media::Meter meter;
};

Bytes MakeFrame(Scene& scene, std::span<const uint8_t> input) {
  const uint8_t kind = input.empty() ? 0 : input[0];
  const auto rest = input.subspan(input.empty() ? 0 : 1);
  Bytes data(rest.begin(), rest.end());
  data.resize(std::min<size_t>(data.size(), 1400));
  const bool v6 = (kind & 1) != 0;
  const auto of = [v6](uint8_t n) { return v6 ? Node::V6(n) : Scene::V4(n); };
  switch (kind & 6) {
    case 2:
      return gh::net::test::UdpFrame(scene.edge.port.mac(), {of(3), 5000}, {of(2), 3478}, data);
    case 4:
      return gh::net::test::UdpFrame(scene.edge.port.mac(), {of(3), 6000}, {of(2), 24001}, data);
    case 6:
      return gh::net::test::IcmpFrame(scene.edge.port.mac(), of(3), of(2),
                                      static_cast<uint8_t>(v6 ? 1 : 3), 3, data);
    default:
      break;
  }
  const auto mac = scene.edge.port.mac();
  Bytes raw(mac.begin(), mac.end());
  raw.insert(raw.end(), data.begin(), data.end());
  raw.resize(std::max<size_t>(raw.size(), 14));
  return raw;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Scene scene;
  for (size_t at = 0; at + 2 <= size;) {
    const size_t wanted = static_cast<size_t>((data[at] << 8 | data[at + 1]) & 0x7ff);
    const size_t count = std::min(wanted, size - at - 2);
    scene.edge.port.Arrive(MakeFrame(scene, {data + at + 2, count}));
    at += 2 + count;
  }
  scene.lab.Run(gh::Duration::Milliseconds(50));
  // Fragments may wait to be put together; they give up in time.
  if (scene.edge.frames.free_count() + 64 < scene.edge.frames.frame_count()) {
    scene.lab.Run(gh::Duration::Seconds(70));
    if (scene.edge.frames.free_count() + 64 < scene.edge.frames.frame_count()) {
      std::abort();
    }
  }
  return 0;
}
