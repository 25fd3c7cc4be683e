// TAP and AF_PACKET ports against the kernel, in a network namespace of their own. Skipped where
// the kernel gives no namespaces or TAP.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "board/host/clock.h"
#include "board/host/packet_port.h"
#include "board/host/tap_port.h"

namespace gh::board {
namespace {

constexpr int kSkip = 77;

// Everything of the test runs in a child with its own network; gtest's result is the exit code.
void InNamespace(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
      _exit(kSkip);
    }
    _exit(body());
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "signal " << (WIFSIGNALED(status) ? WTERMSIG(status) : 0);
  if (WEXITSTATUS(status) == kSkip) {
    GTEST_SKIP() << "no network namespaces, veth or TAP here";
  }
  EXPECT_EQ(WEXITSTATUS(status), 0) << "line of the first failed check, modulo 256";
}

#define CHECK_OR_RETURN(condition)                                                \
  do {                                                                            \
    if (!(condition)) {                                                           \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);        \
      return __LINE__ % 256 == kSkip || __LINE__ % 256 == 0 ? 1 : __LINE__ % 256; \
    }                                                                             \
  } while (false)

struct Bench {
  Bench() : memory(16 << 20), arena(memory), pool(arena, 512) {}
  std::vector<uint8_t> memory;
  Arena arena;
  hal::FramePool pool;
  HostClock clock;
};

// Answers ARP for any address and sends UDP back where it came from.
void EchoOnce(hal::EthernetPort& port, hal::FramePool& pool, std::vector<hal::Frame>& seen) {
  hal::Frame* frames[64];
  const uint32_t count = port.Receive(frames);
  for (uint32_t i = 0; i < count; ++i) {
    hal::Frame& frame = *frames[i];
    uint8_t* d = frame.data();
    const hal::MacAddress mac = port.mac();
    if (d[12] == 8 && d[13] == 6 && d[21] == 1) {
      uint8_t target[4];
      std::memcpy(target, d + 38, 4);
      std::memmove(d + 32, d + 22, 10);
      std::memcpy(d + 22, mac.data(), 6);
      std::memcpy(d + 28, target, 4);
      d[21] = 2;
    } else if (d[12] == 8 && d[13] == 0 && d[23] == 17) {
      seen.push_back(frame);
      std::swap_ranges(d + 26, d + 30, d + 30);
      std::swap_ranges(d + 34, d + 36, d + 36);
    } else {
      pool.Release(&frame);
      continue;
    }
    std::memcpy(d, d + 6, 6);
    std::memcpy(d + 6, mac.data(), 6);
    hal::Frame* const one[1] = {&frame};
    port.Transmit(one);
  }
  port.Flush();
}

// Sends each size from a socket of the namespace and waits for the echo.
int EchoAll(hal::EthernetPort& port, PollSource& source, Bench& bench, const char* peer,
            std::vector<hal::Frame>& seen) {
  HostIdle idle(bench.clock, 0, 100);
  idle.Add(source);
  const int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(7);
  inet_pton(AF_INET, peer, &to.sin_addr);
  for (size_t size : {1, 18, 19, 500, 1471, 1472}) {
    const std::string sent(size, static_cast<char>('a' + size % 26));
    CHECK_OR_RETURN(sendto(udp, sent.data(), sent.size(), 0, reinterpret_cast<sockaddr*>(&to),
                           sizeof(to)) == static_cast<ssize_t>(size));
    char back[2000];
    ssize_t got = -1;
    for (int tries = 0; tries < 200 && got < 0; ++tries) {
      EchoOnce(port, bench.pool, seen);
      got = recv(udp, back, sizeof(back), 0);
      if (got < 0) {
        idle.WaitUntil(bench.clock.Now() + Duration::Milliseconds(20));
      }
    }
    CHECK_OR_RETURN(got == static_cast<ssize_t>(size));
    CHECK_OR_RETURN(std::string(back, size) == sent);
  }
  close(udp);
  CHECK_OR_RETURN(seen.size() == 6);
  for (const hal::Frame& frame : seen) {
    CHECK_OR_RETURN((frame.flags & hal::kFrameChecksumGood) != 0);
  }
  CHECK_OR_RETURN(port.counters().rx_frames >= 7);
  CHECK_OR_RETURN(port.counters().tx_frames >= 7);
  return 0;
}

int TapEcho() {
  Bench bench;
  PortOptions options;
  options.kind = PortKind::kTap;
  options.interface = "ghtest0";
  auto fd = OpenTap(options);
  if (!fd.ok()) {
    return kSkip;
  }
  TapPort port(*fd, 0, bench.pool);
  CHECK_OR_RETURN(port.Start(options, bench.clock).ok());
  CHECK_OR_RETURN(!port.link_up());
  LinkState link;
  CHECK_OR_RETURN(link.Open("ghtest0", bench.clock).ok());
  CHECK_OR_RETURN(!link.Raise("192.0.2.1").ok());
  CHECK_OR_RETURN(link.Raise("192.0.2.1/24").ok());
  CHECK_OR_RETURN(link.up());
  CHECK_OR_RETURN((port.mac()[0] & 3) == 2);
  CHECK_OR_RETURN(OpenTap(options).code() == ErrorCode::kAlreadyExists);
  std::vector<hal::Frame> seen;
  return EchoAll(port, port, bench, "192.0.2.9", seen);
}

TEST(TapPort, EchoesThroughTheKernel) { InNamespace(TapEcho); }

bool MakeVeth() {
  return std::system(
             "ip link add ghv0 type veth peer name ghv1 2>/dev/null && "
             "ip addr add 192.0.2.1/24 dev ghv0 && ip link set ghv0 up && "
             "ip link set ghv1 up") == 0;
}

int PacketEcho() {
  if (!MakeVeth()) {
    return kSkip;
  }
  Bench bench;
  PortOptions options;
  options.kind = PortKind::kPacket;
  options.interface = "ghv1";
  options.mac = {2, 1, 2, 3, 4, 5};
  options.has_mac = true;
  auto fd = OpenPacket(options);
  CHECK_OR_RETURN(fd.ok());
  PacketPort port(*fd, 1, bench.pool, bench.arena);
  CHECK_OR_RETURN(port.Start(options, bench.clock).ok());
  CHECK_OR_RETURN(port.link_up());
  CHECK_OR_RETURN(port.mac() == options.mac);
  std::vector<hal::Frame> seen;
  const int echoed = EchoAll(port, port, bench, "192.0.2.9", seen);
  CHECK_OR_RETURN(seen.empty() || seen[0].port_index == 1);
  return echoed;
}

TEST(PacketPort, EchoesOverAVethWithAMacOfItsOwn) { InNamespace(PacketEcho); }

// A sender that leaves segmentation to the "hardware" must reach us as datagrams of wire size.
int PacketGso() {
  if (!MakeVeth()) {
    return kSkip;
  }
  Bench bench;
  PortOptions options;
  options.kind = PortKind::kPacket;
  options.interface = "ghv1";
  auto fd = OpenPacket(options);
  CHECK_OR_RETURN(fd.ok());
  PacketPort port(*fd, 0, bench.pool, bench.arena);
  CHECK_OR_RETURN(port.Start(options, bench.clock).ok());
  const int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  const size_t segment = 400;
  const int segment_option = segment;
  constexpr int kUdpSegment = 103;
  if (setsockopt(udp, IPPROTO_UDP, kUdpSegment, &segment_option, sizeof(segment_option)) != 0) {
    return kSkip;
  }
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(7);
  inet_pton(AF_INET, "192.0.2.9", &to.sin_addr);
  // Too long for a slot of the ring; then around what fits a slot and no frame.
  for (const size_t size : {10'000, 1'870, 1'880, 1'900, 1'920, 1'930, 1'940}) {
    const std::string sent(size, 'g');
    CHECK_OR_RETURN(sendto(udp, sent.data(), size, 0, reinterpret_cast<sockaddr*>(&to),
                           sizeof(to)) == static_cast<ssize_t>(size));
    const size_t wanted = (size + segment - 1) / segment;
    std::vector<hal::Frame> seen;
    for (int tries = 0; tries < 100 && seen.size() < wanted; ++tries) {
      EchoOnce(port, bench.pool, seen);
      (void)usleep(2000);
    }
    CHECK_OR_RETURN(seen.size() == wanted);
    size_t echoed = 0;
    char back[2000];
    for (int tries = 0; tries < 100 && echoed < size; ++tries) {
      const ssize_t got = recv(udp, back, sizeof(back), 0);
      echoed += got > 0 ? static_cast<size_t>(got) : 0;
      if (got < 0) {
        (void)usleep(1000);
      }
    }
    CHECK_OR_RETURN(echoed == size);
  }
  CHECK_OR_RETURN(bench.pool.free_count() + 32 >= bench.pool.frame_count());  // no leak
  return 0;
}

TEST(PacketPort, OversizedPacketsAreCut) { InNamespace(PacketGso); }

// Number `i` of those below, with its checksum left to the device.
hal::Frame* Datagram(hal::FramePool& pool, const hal::MacAddress& to, const hal::MacAddress& from,
                     uint32_t i, uint32_t payload) {
  hal::Frame* frame = pool.Allocate();
  uint8_t* at = frame->data();
  const uint8_t ip[28] = {0x45, 0,
                          0,    static_cast<uint8_t>(payload + 28),
                          0,    0,
                          0x40, 0,
                          64,   17,
                          0,    0,
                          192,  0,
                          2,    9,
                          192,  0,
                          2,    1,
                          0x0d, 0x96,
                          0x1b, static_cast<uint8_t>(0x58 + i % 2),
                          0,    static_cast<uint8_t>(payload + 8),
                          0,    0};
  std::memcpy(at, to.data(), 6);
  std::memcpy(at + 6, from.data(), 6);
  at[12] = 8;
  at[13] = 0;
  std::memcpy(at + 14, ip, sizeof(ip));
  std::memset(at + 42, static_cast<int>(i), payload);
  const auto put = [at](size_t place, uint16_t value) {
    at[place] = static_cast<uint8_t>(value >> 8);
    at[place + 1] = static_cast<uint8_t>(value);
  };
  put(24, static_cast<uint16_t>(~ChecksumSum({at + 14, 20})));
  put(40, ChecksumSum({at + 26, 8}, 17 + payload + 8));
  frame->size = static_cast<uint16_t>(42 + payload);
  frame->flags = hal::kFrameChecksumPartial;
  frame->checksum_start = 34;
  frame->checksum_offset = 6;
  return frame;
}

// Datagrams of two flows, in turns, as the relay sends them: every one arrives, in its order.
int PacketRuns() {
  if (!MakeVeth()) {
    return kSkip;
  }
  Bench bench;
  PortOptions options;
  options.kind = PortKind::kPacket;
  options.interface = "ghv1";
  auto fd = OpenPacket(options);
  CHECK_OR_RETURN(fd.ok());
  PacketPort port(*fd, 0, bench.pool, bench.arena);
  CHECK_OR_RETURN(port.Start(options, bench.clock).ok());
  LinkState host;
  CHECK_OR_RETURN(host.Open("ghv0", bench.clock).ok());
  int sockets[2];
  for (uint16_t i = 0; i < 2; ++i) {
    sockets[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    sockaddr_in at = {};
    at.sin_family = AF_INET;
    at.sin_port = htons(static_cast<uint16_t>(7000 + i));
    CHECK_OR_RETURN(bind(sockets[i], reinterpret_cast<sockaddr*>(&at), sizeof(at)) == 0);
  }
  constexpr uint32_t kCount = 60;
  for (uint32_t i = 0; i < kCount; ++i) {
    const uint32_t payload = i >= kCount - 2 ? 33 : 172;
    hal::Frame* frame = Datagram(bench.pool, host.mac(), port.mac(), i, payload);
    port.Transmit({&frame, 1});
  }
  port.Flush();
  CHECK_OR_RETURN(port.counters().tx_frames == kCount && port.counters().tx_dropped == 0);
  for (uint32_t i = 0; i < kCount; ++i) {
    char got[300];
    ssize_t size = -1;
    for (int tries = 0; tries < 200 && size < 0; ++tries) {
      size = recv(sockets[i % 2], got, sizeof(got), 0);
      if (size < 0) {
        (void)usleep(1000);
      }
    }
    CHECK_OR_RETURN(size == (i >= kCount - 2 ? 33 : 172));
    CHECK_OR_RETURN(got[0] == static_cast<char>(i) && got[size - 1] == static_cast<char>(i));
  }
  CHECK_OR_RETURN(bench.pool.free_count() == bench.pool.frame_count());
  return 0;
}

TEST(PacketPort, RunsOfDatagramsArriveOneByOne) { InNamespace(PacketRuns); }

bool SendBroadcast(int count) {
  const int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  const int on = 1;
  setsockopt(udp, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(7);
  inet_pton(AF_INET, "192.0.2.255", &to.sin_addr);
  bool is_sent = true;
  for (int i = 0; i < count; ++i) {
    is_sent = sendto(udp, "x", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 1 && is_sent;
  }
  close(udp);
  return is_sent;
}

// With no frames left packets are dropped and counted, and the descriptor goes quiet.
int EmptyPool() {
  if (!MakeVeth()) {
    return kSkip;
  }
  Bench bench;
  PortOptions options;
  options.kind = PortKind::kPacket;
  options.interface = "ghv1";
  auto fd = OpenPacket(options);
  CHECK_OR_RETURN(fd.ok());
  PacketPort port(*fd, 0, bench.pool, bench.arena);
  CHECK_OR_RETURN(port.Start(options, bench.clock).ok());
  while (bench.pool.Allocate() != nullptr) {
  }
  CHECK_OR_RETURN(SendBroadcast(5));
  hal::Frame* frames[4];
  for (int i = 0; i < 50; ++i) {
    CHECK_OR_RETURN(port.Receive(frames) == 0);
    (void)usleep(500);
  }
  CHECK_OR_RETURN(port.counters().rx_dropped >= 5);
  return 0;
}

// What finds the ring full is counted when the next packet comes.
int FullRing() {
  if (!MakeVeth()) {
    return kSkip;
  }
  Bench bench;
  PortOptions options;
  options.kind = PortKind::kPacket;
  options.interface = "ghv1";
  auto fd = OpenPacket(options);
  CHECK_OR_RETURN(fd.ok());
  PacketPort port(*fd, 0, bench.pool, bench.arena);
  CHECK_OR_RETURN(port.Start(options, bench.clock).ok());
  const auto drain = [&] {
    hal::Frame* frames[64];
    for (uint32_t count = 1; count != 0;) {
      count = port.Receive(frames);
      for (hal::Frame* frame : std::span(frames).first(count)) {
        bench.pool.Release(frame);
      }
    }
  };
  drain();
  CHECK_OR_RETURN(SendBroadcast(kRingSlots + 100));
  drain();
  for (int tries = 0; tries < 500 && port.counters().rx_dropped < 100; ++tries) {
    CHECK_OR_RETURN(SendBroadcast(1));
    drain();
    (void)usleep(10'000);
  }
  const uint64_t lost = port.counters().rx_dropped;
  CHECK_OR_RETURN(lost >= 100 && lost <= 200);  // the kernel speaks on the wire too
  CHECK_OR_RETURN(SendBroadcast(10));
  drain();
  CHECK_OR_RETURN(port.counters().rx_dropped == lost);
  return 0;
}

// The kernel's time of arrival, not that of our reading.
int Arrivals() {
  if (!MakeVeth()) {
    return kSkip;
  }
  Bench bench;
  PortOptions options;
  options.kind = PortKind::kPacket;
  options.interface = "ghv1";
  auto fd = OpenPacket(options);
  CHECK_OR_RETURN(fd.ok());
  PacketPort port(*fd, 0, bench.pool, bench.arena);
  CHECK_OR_RETURN(port.Start(options, bench.clock).ok());
  hal::Frame* frames[64];
  while (port.Receive(frames) != 0) {
  }
  const Instant before = bench.clock.Now();
  CHECK_OR_RETURN(SendBroadcast(1));
  for (int tries = 0; tries < 5000 && !port.has_pending(); ++tries) {
    (void)usleep(1000);
  }
  const Instant there = bench.clock.Now();
  (void)usleep(300'000);
  const uint32_t count = port.Receive(frames);
  for (const hal::Frame* frame : std::span(frames).first(count)) {
    if (frame->data()[12] == 8 && frame->data()[23] == 17) {  // not of the kernel's own
      CHECK_OR_RETURN(frame->received >= before - Duration::Milliseconds(1));
      CHECK_OR_RETURN(frame->received < there + Duration::Milliseconds(200));
      return 0;
    }
  }
  CHECK_OR_RETURN(false);
}

TEST(PacketPort, AFrameSaysWhenTheKernelGotIt) { InNamespace(Arrivals); }

TEST(PacketPort, AnEmptyPoolDropsAndCounts) { InNamespace(EmptyPool); }

TEST(PacketPort, WhatAFullRingLosesIsCounted) { InNamespace(FullRing); }

TEST(Ports, WhatCannotBeOpenedIsExplained) {
  PortOptions options;
  options.kind = PortKind::kPacket;
  options.interface = "ghnosuch0";
  EXPECT_EQ(OpenPacket(options).code(), ErrorCode::kNotFound);
  EXPECT_EQ(DeriveMac("gh0"), DeriveMac("gh0"));
  EXPECT_NE(DeriveMac("gh0"), DeriveMac("gh1"));
}

}  // namespace
}  // namespace gh::board
