// What the interface itself can do: takes frames off an AF_PACKET port, turns their addresses to
// one destination and sends them on, with nothing else done and nothing looked up.
//
//   raw_forwarder INTERFACE SERVER_ADDRESS DESTINATION DESTINATION_MAC
//
// Stands where a TURN server would stand in tests/bench/turn_race.py and carries the same load;
// what it takes of a packet is what is left when relaying itself is free. No fault model: a tool.
#include <arpa/inet.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "board/host/clock.h"
#include "board/host/idle.h"
#include "board/host/packet_port.h"
#include "net/checksum.h"
#include "net/packet.h"

namespace gh::bench {
namespace {

constexpr uint32_t kFrameCount = 8192;
constexpr uint32_t kModerationUs = 250;  // as the host board's default

void Turn(hal::Frame& frame, const hal::MacAddress& own, const hal::MacAddress& to_mac,
          uint32_t own_address, uint32_t to_address) {
  uint8_t* at = frame.data();
  std::memcpy(at, to_mac.data(), 6);
  std::memcpy(at + 6, own.data(), 6);
  std::memcpy(at + 26, &own_address, 4);
  std::memcpy(at + 30, &to_address, 4);
  at[24] = at[25] = 0;
  const auto sum = static_cast<uint16_t>(~net::ChecksumSum({at + 14, 20}));
  std::memcpy(at + 24, &sum, 2);
  const uint16_t pseudo =
      net::PseudoHeaderSum({at + 26, 8}, net::kProtocolUdp, uint32_t{frame.size} - 34);
  std::memcpy(at + 40, &pseudo, 2);
  frame.flags = hal::kFrameChecksumPartial;
  frame.checksum_start = 34;
  frame.checksum_offset = 6;
}

int Main(int count, char** words) {
  if (count != 5) {
    std::fprintf(stderr, "raw_forwarder INTERFACE SERVER DESTINATION DESTINATION_MAC\n");
    return 2;
  }
  std::vector<uint8_t> memory(64u << 20);
  Arena arena(memory);
  hal::FramePool pool(arena, kFrameCount);
  board::HostClock clock;
  board::PortOptions options;
  options.interface = words[1];
  const auto fd = board::OpenPacket(options);
  const auto to_mac = board::ParseMac(words[4]);
  if (!fd.ok() || !to_mac.ok()) {
    std::fprintf(stderr, "raw_forwarder: %s\n", fd.ok() ? "bad MAC" : fd.error().what);
    return 1;
  }
  board::PacketPort port(*fd, 0, pool, arena);
  if (!port.Start(options, clock).ok()) {
    return 1;
  }
  board::HostIdle idle(clock, 0, kModerationUs);
  idle.Add(port);
  const uint32_t own = inet_addr(words[2]);
  const uint32_t to = inet_addr(words[3]);
  hal::Frame* frames[hal::kFrameBatchMax];
  std::printf("ready\n");
  std::fflush(stdout);
  while (true) {
    const uint32_t got = port.Receive(frames);
    if (got == 0) {
      idle.WaitUntil(clock.Now() + Duration::Seconds(1));
      continue;
    }
    for (hal::Frame* frame : std::span(frames).first(got)) {
      const uint8_t* at = frame->data();
      if (frame->size < 42 || net::LoadBe16(at + 12) != net::kEtherIpv4 || at[23] != 17 ||
          (at[0] & 1) != 0) {
        pool.Release(frame);
        continue;
      }
      Turn(*frame, port.mac(), *to_mac, own, to);
      port.Transmit({&frame, 1});
    }
    port.Flush();
  }
}

}  // namespace
}  // namespace gh::bench

int main(int count, char** words) { return gh::bench::Main(count, words); }
