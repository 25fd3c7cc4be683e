// VLAN tags in and out of frames, and a port that is in one VLAN.
#include "net/vlan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/net/craft.h"

namespace gh::net {
namespace {

using test::Bytes;
using test::Put16;

constexpr uint16_t kVlan = 42;

Bytes Packet(const hal::MacAddress& to = {2, 0, 0, 0, 0, 1}) {
  return test::UdpFrame(to, {IpAddress::V4(10, 0, 0, 1), 1}, {IpAddress::V4(10, 0, 0, 2), 2},
                        Bytes(10, 7));
}

Bytes Tagged(Bytes frame, uint16_t control) {
  Bytes tag(4);
  Put16(tag, 0, kEtherVlan);
  Put16(tag, 2, control);
  frame.insert(frame.begin() + 12, tag.begin(), tag.end());
  return frame;
}

struct Frames {
  Frames() : memory(new uint8_t[kMemory]), arena({memory.get(), kMemory}), pool(arena, 32) {}
  hal::Frame* Make(const Bytes& bytes) {
    hal::Frame* frame = pool.Allocate();
    std::ranges::copy(bytes, frame->data());
    frame->size = static_cast<uint16_t>(bytes.size());
    return frame;
  }
  static Bytes Of(const hal::Frame& frame) {
    return Bytes(frame.data(), frame.data() + frame.size);
  }
  static constexpr size_t kMemory = 1u << 20;
  std::unique_ptr<uint8_t[]> memory;
  Arena arena;
  hal::FramePool pool;
};

TEST(VlanTag, GoesInAndOutAgain) {
  Frames frames;
  hal::Frame* frame = frames.Make(Packet());
  frame->flags = hal::kFrameChecksumPartial;
  frame->checksum_start = 34;
  frame->checksum_offset = 6;
  PushVlanTag(*frame, 0x602a);
  EXPECT_EQ(Frames::Of(*frame), Tagged(Packet(), 0x602a));
  EXPECT_EQ(frame->checksum_start, 38);
  uint16_t control = 0;
  ASSERT_TRUE(PopVlanTag(*frame, &control));
  EXPECT_EQ(control, 0x602a);
  EXPECT_EQ(Frames::Of(*frame), Packet());
  EXPECT_EQ(frame->checksum_start, 34);
  frames.pool.Release(frame);
}

TEST(VlanTag, WhatHasNoneIsLeftAlone) {
  Frames frames;
  const Bytes whole = Tagged(Packet(), kVlan);
  for (const size_t size : {size_t{0}, size_t{13}, size_t{14}, size_t{17}}) {
    hal::Frame* frame = frames.Make(Bytes(whole.begin(), whole.begin() + static_cast<int>(size)));
    uint16_t control = 0;
    EXPECT_FALSE(PopVlanTag(*frame, &control)) << size;
    EXPECT_EQ(frame->size, size);
    frames.pool.Release(frame);
  }
  hal::Frame* bare = frames.Make(Packet());
  uint16_t control = 0;
  EXPECT_FALSE(PopVlanTag(*bare, &control));
  frames.pool.Release(bare);
  hal::Frame* odd = frames.Make(whole);  // a device that says the sum begins within the tag
  odd->flags = hal::kFrameChecksumPartial;
  odd->checksum_start = 14;
  EXPECT_FALSE(PopVlanTag(*odd, &control));
  frames.pool.Release(odd);
}

TEST(VlanTag, PriorityIsTheClassOfThePacket) {
  Frames frames;
  Bytes v4 = Packet();
  v4[15] = 46 << 2;  // expedited forwarding
  Bytes v6 = test::Ethernet({}, kEtherIpv6);
  v6.resize(60);
  Put16(v6, 14, 0x6000 | 46 << 6);
  const Bytes arp = test::Ethernet({}, kEtherArp);
  const std::pair<Bytes, uint8_t> cases[] = {{v4, 5}, {v6, 5}, {Packet(), 0}, {arp, 0}};
  for (const auto& [bytes, wanted] : cases) {
    hal::Frame* frame = frames.Make(bytes);
    EXPECT_EQ(VlanPriorityOf(*frame), wanted);
    frames.pool.Release(frame);
  }
}

struct PortScene : Frames {
  PortScene() : wire(clock), device(wire, pool, 1), port(device, pool, kVlan) {
    wire.filter = [this](const Bytes& frame) {
      sent.push_back(frame);
      return true;
    };
  }
  test::FakeClock clock;
  test::FakeWire wire;
  test::FakePort device;
  VlanPort port;
  std::vector<Bytes> sent;
};

TEST(VlanPort, HearsItsVlanAlone) {
  PortScene scene;
  scene.device.Arrive(Packet());
  scene.device.Arrive(Tagged(Packet(), kVlan + 1));
  scene.device.Arrive(Tagged(Packet(), kVlan));
  scene.device.Arrive(Tagged(Packet(), 0));
  scene.device.Arrive(Tagged(Packet(), 0xa000 | kVlan));
  std::array<hal::Frame*, 8> out;
  ASSERT_EQ(scene.port.Receive(out), 2u);
  for (hal::Frame* frame : std::span(out).first(2)) {
    EXPECT_EQ(Frames::Of(*frame), Packet());
    scene.pool.Release(frame);
  }
  EXPECT_EQ(scene.pool.free_count(), scene.pool.frame_count());
}

TEST(VlanPort, ForeignFramesInFrontAreNoEnd) {
  PortScene scene;
  for (int i = 0; i < 6; ++i) {
    scene.device.Arrive(Packet());
  }
  scene.device.Arrive(Tagged(Packet(), kVlan));
  std::array<hal::Frame*, 2> out;
  ASSERT_EQ(scene.port.Receive(out), 1u);  // in the fourth batch
  scene.pool.Release(out[0]);
  for (int i = 0; i < 20; ++i) {
    scene.device.Arrive(Packet());
  }
  EXPECT_EQ(scene.port.Receive(out), 0u);
  EXPECT_EQ(scene.port.Receive(out), 0u);
  scene.device.Arrive(Tagged(Packet(), kVlan));
  EXPECT_EQ(scene.port.Receive(out), 1u);  // each call takes its share of them
  scene.pool.Release(out[0]);
  EXPECT_EQ(scene.pool.free_count(), scene.pool.frame_count());
}

TEST(VlanPort, SendsWithItsTag) {
  PortScene scene;
  Bytes marked = Packet();
  marked[15] = 34 << 2;
  const std::array<hal::Frame*, 2> out = {scene.Make(Packet()), scene.Make(marked)};
  scene.port.Transmit(out);
  ASSERT_EQ(scene.sent.size(), 2u);
  EXPECT_EQ(scene.sent[0], Tagged(Packet(), kVlan));
  EXPECT_EQ(scene.sent[1], Tagged(marked, 4 << 13 | kVlan));
  EXPECT_EQ(scene.pool.free_count(), scene.pool.frame_count());
}

}  // namespace
}  // namespace gh::net
