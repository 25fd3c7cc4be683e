// Arbitrary frames into a stack with sockets, a listener, an open connection, DHCP and SLAAC on; a
// VLAN's tag that goes out of one of them and in again leaves it as it was.
// Input: records of [size, 2 bytes][frame]; the time advances a little between frames. Checksums
// are made good, so that what lies behind them is reached, unless the size's highest bit is set.
#include <cstdint>
#include <cstring>
#include <memory>

#include "net/vlan.h"
#include "tests/unit/net/craft.h"

namespace {

using namespace gh;
using namespace gh::net;

struct World {
  World() {
    StackConfig config;
    config.ports[0].ipv4_mode = Ipv4Mode::kStatic;
    config.ports[0].ipv4_address = {IpAddress::V4(10, 0, 0, 1), 24};
    config.ports[0].ipv6_mode = Ipv6Mode::kSlaac;
    GH_ASSERT(node.stack.Configure(config).ok());
    for (Transport transport : {Transport::kUdp, Transport::kTcp}) {
      GH_ASSERT(node.stack.firewall().Allow({transport, 5060, 5061}).ok());
    }
    for (IpFamily family : {IpFamily::kIpv4, IpFamily::kIpv6}) {
      IpAddress any;
      any.family = family;
      GH_ASSERT(node.stack.datagrams().OpenDatagram({any, 5060}, udp).ok());
      GH_ASSERT(node.stack.streams().Listen({any, 5060}, {}, tcp).ok());
    }
    Run(30);
    (void)node.stack.streams().Connect({IpAddress::V4(10, 0, 0, 2), 5062}, {}, tcp).ok();
  }
  void Run(uint32_t turns) {
    for (uint32_t i = 0; i < turns; ++i) {
      wire.Deliver();
      node.loop.RunOnce();
      clock.now = clock.now + Duration::Milliseconds(100);
    }
  }
  test::FakeClock clock;
  test::FakeWire wire{clock};
  test::Node node{clock, wire, 1, Capacity{.connection_count = 32, .buffer_bytes = 262144}, 256};
  test::DatagramRecorder udp{node.stack, true};
  test::StreamRecorder tcp{node.stack, true};
};

void MakeSumsGood(test::Bytes& frame) {
  const bool v6 = frame.size() > 12 && frame[12] == 0x86;
  const size_t l4 = v6 ? 54 : 34;
  if (frame.size() < l4 || (!v6 && (frame[12] != 8 || frame[13] != 0))) {
    return;
  }
  if (!v6) {
    test::Put16(frame, 24, 0);
    test::Put16(frame, 24, static_cast<uint16_t>(~test::Sum16(std::span(frame).subspan(14, 20))));
  }
  const uint8_t protocol = frame[v6 ? 20 : 23];
  const size_t stated = v6 ? LoadBe16(&frame[18]) : LoadBe16(&frame[16]) - 20u;
  const size_t size = std::min(stated, frame.size() - l4);
  const size_t sum_at = protocol == kProtocolTcp ? 16 : protocol == kProtocolUdp ? 6 : 2;
  if (size < sum_at + 2) {
    return;
  }
  uint32_t start = 0;
  if (protocol != kProtocolIcmp) {
    const auto addresses = std::span(frame).subspan(v6 ? 22 : 26, v6 ? 32 : 8);
    start = test::Sum16(addresses) + protocol + static_cast<uint32_t>(size);
  }
  test::Put16(frame, l4 + sum_at, 0);
  const uint16_t sum = test::Sum16(std::span(frame).subspan(l4, size), start);
  test::Put16(frame, l4 + sum_at, static_cast<uint16_t>(~sum));
}

void Retag(hal::FramePool& frames, const test::Bytes& bytes) {
  hal::Frame* frame = frames.Allocate();
  if (frame == nullptr) {
    return;
  }
  std::memcpy(frame->data(), bytes.data(), bytes.size());
  frame->size = static_cast<uint16_t>(bytes.size());
  uint16_t control = 0;
  if (PopVlanTag(*frame, &control)) {
    (void)VlanPriorityOf(*frame);
    PushVlanTag(*frame, control);
  }
  GH_ASSERT(frame->size == bytes.size() &&
            std::memcmp(frame->data(), bytes.data(), bytes.size()) == 0);
  frames.Release(frame);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World* world = nullptr;
  static uint32_t runs = 0;
  if (world == nullptr || ++runs % 2000 == 0) {
    delete world;
    world = new World();
  }
  World& w = *world;
  while (size >= 2) {
    const bool keeps_sums = (data[0] & 0x80) != 0;
    const size_t frame_size = std::min<size_t>(((data[0] & 0x7f) << 8 | data[1]) % 1515, size - 2);
    test::Bytes frame(data + 2, data + 2 + frame_size);
    data += 2 + frame_size;
    size -= 2 + frame_size;
    if (frame.size() < 14) {
      frame.resize(14);
    }
    if ((frame[0] & 1) == 0) {
      std::memcpy(frame.data(), w.node.port.mac().data(), 6);
    }
    if (!keeps_sums) {
      MakeSumsGood(frame);
    }
    Retag(w.node.frames, frame);
    w.node.port.Arrive(frame);
    w.Run(1);
  }
  w.Run(2);
  w.udp.datagrams.clear();
  w.udp.infos.clear();
  w.tcp.received.clear();
  w.tcp.pending.clear();
  w.tcp.opened.clear();
  w.tcp.infos.clear();
  w.tcp.closed.clear();
  w.tcp.reasons.clear();
  w.node.observer.lines.clear();
  return 0;
}
