// The driver's side of a virtqueue against a device written here from the specification, honest and
// hostile.
#include "board/pc/virtqueue.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

namespace gh::pc {
namespace {

constexpr uint16_t kSize = 8;

// A device: sees only the three ring addresses and its doorbell.
class Device {
 public:
  Device(const Virtqueue& queue, bool has_event_index)
      : descriptors_(queue.descriptor_address()),
        available_(queue.available_address()),
        used_(queue.used_address()),
        has_event_index_(has_event_index) {}

  struct Part {
    uint64_t address;
    uint32_t size;
    bool writable;
  };
  // The next chain the driver offered; false: none.
  bool Next(uint16_t& head, std::vector<Part>& parts) {
    if (seen_ == Load<uint16_t>(available_ + 2)) {
      return false;
    }
    head = Load<uint16_t>(available_ + 4 + 2 * (seen_ % kSize));
    ++seen_;
    parts.clear();
    for (uint16_t at = head;;) {
      const uint64_t d = descriptors_ + 16 * at;
      const auto flags = Load<uint16_t>(d + 12);
      parts.push_back({Load<uint64_t>(d), Load<uint32_t>(d + 8), (flags & 2) != 0});
      if ((flags & 1) == 0) {
        return true;
      }
      at = Load<uint16_t>(d + 14);
    }
  }
  // Returns whether the driver wants an interrupt for it.
  bool Complete(uint32_t id, uint32_t written) {
    const uint64_t element = used_ + 4 + 8 * (done_ % kSize);
    Store<uint32_t>(element, id);
    Store<uint32_t>(element + 4, written);
    const uint16_t old = done_++;
    Store<uint16_t>(used_ + 2, done_);
    if (!has_event_index_) {
      return (Load<uint16_t>(available_) & 1) == 0;
    }
    const auto event = Load<uint16_t>(available_ + 4 + 2 * kSize);
    return static_cast<uint16_t>(done_ - event - 1) < static_cast<uint16_t>(done_ - old);
  }
  void SetUsedIndex(uint16_t index) { Store<uint16_t>(used_ + 2, index); }
  // Wants a doorbell when the driver passes this index.
  void SetAvailableEvent(uint16_t index) { Store<uint16_t>(used_ + 4 + 8 * kSize, index); }
  uint16_t seen() const { return seen_; }

 private:
  template <typename T>
  static T Load(uint64_t address) {
    T value;
    std::memcpy(&value, reinterpret_cast<const void*>(address), sizeof(T));
    return value;
  }
  template <typename T>
  static void Store(uint64_t address, T value) {
    std::memcpy(reinterpret_cast<void*>(address), &value, sizeof(T));
  }
  uint64_t descriptors_;
  uint64_t available_;
  uint64_t used_;
  bool has_event_index_;
  uint16_t seen_ = 0;
  uint16_t done_ = 0;
};

class VirtqueueTest : public testing::TestWithParam<bool> {
 protected:
  VirtqueueTest() : arena_(memory_) {
    queue_.Initialise(arena_, 3, kSize, GetParam());
    queue_.SetDoorbell(Mmio(reinterpret_cast<uint64_t>(&doorbell_), sizeof(doorbell_)));
  }
  bool AddOne(uint16_t& head, uint32_t size = 100) {
    const VirtqueueBuffer buffer = {bytes_, size, true};
    return queue_.Add({&buffer, 1}, head);
  }
  alignas(4096) uint8_t memory_[64 * 1024] = {};
  uint8_t bytes_[4096] = {};
  uint16_t doorbell_ = 0xffff;
  Arena arena_;
  Virtqueue queue_;
};

INSTANTIATE_TEST_SUITE_P(EventIndex, VirtqueueTest, testing::Bool());

TEST_P(VirtqueueTest, CarriesChainsInAnyOrderOfCompletion) {
  Device device(queue_, GetParam());
  std::mt19937 random(1);
  std::vector<uint16_t> in_flight;
  std::vector<Device::Part> parts;
  uint64_t added = 0;
  uint64_t taken = 0;
  for (uint32_t round = 0; round < 200'000; ++round) {
    device.SetAvailableEvent(device.seen());
    const auto length = static_cast<uint32_t>(random() % 3 + 1);
    std::vector<VirtqueueBuffer> buffers;
    for (uint32_t i = 0; i < length; ++i) {
      buffers.push_back({bytes_ + i, i + 1, i + 1 == length});
    }
    const bool fits = queue_.free_count() >= length;
    uint16_t head = 0;
    ASSERT_EQ(queue_.Add(buffers, head), fits);
    if (fits) {
      ++added;
      doorbell_ = 0xffff;
      queue_.Publish();
      ASSERT_EQ(doorbell_, 3);
      uint16_t offered = 0;
      ASSERT_TRUE(device.Next(offered, parts));
      ASSERT_EQ(offered, head);
      ASSERT_EQ(parts.size(), length);
      for (uint32_t i = 0; i < length; ++i) {
        ASSERT_EQ(parts[i].address, reinterpret_cast<uint64_t>(bytes_ + i));
        ASSERT_EQ(parts[i].size, i + 1);
        ASSERT_EQ(parts[i].writable, i + 1 == length);
      }
      in_flight.push_back(head);
    }
    if (!in_flight.empty() && (random() % 2 == 0 || !fits)) {
      const size_t pick = random() % in_flight.size();
      const uint16_t id = in_flight[pick];
      in_flight.erase(in_flight.begin() + static_cast<long>(pick));
      device.Complete(id, 1);
      VirtqueueUsed used;
      ASSERT_TRUE(queue_.Take(used));
      ASSERT_EQ(used.head, id);
      ASSERT_EQ(used.written, 1u);
      ++taken;
    }
  }
  EXPECT_GT(taken, 65'536u);  // the indices wrapped
  EXPECT_EQ(added - taken, in_flight.size());
  EXPECT_FALSE(queue_.broken());
}

TEST_P(VirtqueueTest, InterruptsOnlyWhenArmed) {
  Device device(queue_, GetParam());
  uint16_t heads[4];
  for (uint16_t& head : heads) {
    ASSERT_TRUE(AddOne(head));
  }
  queue_.Publish();
  EXPECT_FALSE(queue_.ArmInterrupt());
  EXPECT_TRUE(device.Complete(heads[0], 1));
  queue_.SuppressInterrupts();
  EXPECT_FALSE(device.Complete(heads[1], 1));
  // Armed with work waiting: says so, and the caller does not sleep.
  EXPECT_TRUE(queue_.ArmInterrupt());
  VirtqueueUsed used;
  EXPECT_TRUE(queue_.Take(used));
  EXPECT_TRUE(queue_.Take(used));
  EXPECT_FALSE(queue_.Take(used));
  EXPECT_FALSE(queue_.ArmInterrupt());
  EXPECT_TRUE(device.Complete(heads[2], 1));
}

TEST_P(VirtqueueTest, DoorbellsOnlyWhenWanted) {
  Device device(queue_, GetParam());
  uint16_t head = 0;
  if (GetParam()) {
    device.SetAvailableEvent(2);  // wake me when the index passes 2
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(AddOne(head));
      queue_.Publish();
    }
    EXPECT_EQ(queue_.doorbell_count(), 0u);
    ASSERT_TRUE(AddOne(head));
    queue_.Publish();
    EXPECT_EQ(queue_.doorbell_count(), 1u);
  }
  queue_.Publish();  // nothing new
  EXPECT_EQ(queue_.doorbell_count(), GetParam() ? 1u : 0u);
}

TEST_P(VirtqueueTest, ALengthIsNeverMoreThanTheRoomGiven) {
  Device device(queue_, GetParam());
  uint16_t head = 0;
  ASSERT_TRUE(AddOne(head, 100));
  queue_.Publish();
  device.Complete(head, UINT32_MAX);
  VirtqueueUsed used;
  ASSERT_TRUE(queue_.Take(used));
  EXPECT_EQ(used.written, 100u);
}

TEST_P(VirtqueueTest, AnIdThatIsNotInFlightBreaksTheDevice) {
  for (uint32_t id : {0u, 1u, 7u, 8u, 65'535u, UINT32_MAX}) {
    Virtqueue queue;
    queue.Initialise(arena_, 0, kSize, GetParam());
    queue.SetDoorbell(Mmio(reinterpret_cast<uint64_t>(&doorbell_), sizeof(doorbell_)));
    Device device(queue, GetParam());
    device.Complete(id, 0);
    VirtqueueUsed used;
    EXPECT_FALSE(queue.Take(used));
    EXPECT_TRUE(queue.broken());
    uint16_t head = 0;
    const VirtqueueBuffer buffer = {bytes_, 1, true};
    EXPECT_FALSE(queue.Add({&buffer, 1}, head));
  }
}

TEST_P(VirtqueueTest, ACompletionTwiceBreaksTheDevice) {
  Device device(queue_, GetParam());
  uint16_t head = 0;
  ASSERT_TRUE(AddOne(head));
  queue_.Publish();
  device.Complete(head, 0);
  device.Complete(head, 0);
  VirtqueueUsed used;
  EXPECT_TRUE(queue_.Take(used));
  EXPECT_FALSE(queue_.Take(used));
  EXPECT_TRUE(queue_.broken());
}

TEST_P(VirtqueueTest, AWildUsedIndexEnds) {
  Device device(queue_, GetParam());
  uint16_t head = 0;
  ASSERT_TRUE(AddOne(head));
  queue_.Publish();
  device.SetUsedIndex(40'000);
  VirtqueueUsed used;
  uint32_t count = 0;
  while (queue_.Take(used)) {
    ++count;
  }
  EXPECT_LE(count, 1u);
  EXPECT_TRUE(queue_.broken());
}

}  // namespace
}  // namespace gh::pc
