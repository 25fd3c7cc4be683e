// checked.h, crc32.h, fixed_string.h, secret.h, trace.h.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <type_traits>

#include "hal/rt/bytes.h"
#include "hal/rt/checked.h"
#include "hal/rt/crc32.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/secret.h"
#include "hal/rt/trace.h"
#include "tests/unit/rt/test_arena.h"

namespace gh {
namespace {

TEST(CheckedTest, SaysWhenItDoesNotFit) {
  EXPECT_EQ(CheckedAdd<uint8_t>(200, 55), 255);
  EXPECT_EQ(CheckedAdd<uint8_t>(200, 56), std::nullopt);
  EXPECT_EQ(CheckedAdd<int64_t>(INT64_MAX, 1), std::nullopt);
  EXPECT_EQ(CheckedSubtract<uint32_t>(1, 1), 0u);
  EXPECT_EQ(CheckedSubtract<uint32_t>(1, 2), std::nullopt);
  EXPECT_EQ(CheckedMultiply<uint64_t>(1ull << 32, 1ull << 32), std::nullopt);
  EXPECT_EQ(CheckedMultiply<uint64_t>(1ull << 32, (1ull << 32) - 1), 0xffffffff00000000u);
  EXPECT_EQ(SaturatingAdd<uint16_t>(65'000, 1000), 65'535);
  EXPECT_EQ(SaturatingSubtract<uint16_t>(1, 2), 0);
  EXPECT_EQ(CheckedAlignUp<uint32_t>(4097, 4096), 8192u);
  EXPECT_EQ(CheckedAlignUp<uint32_t>(4096, 4096), 4096u);
  EXPECT_EQ(CheckedAlignUp<uint32_t>(0xffffff01, 256), std::nullopt);
  EXPECT_EQ(CheckedAlignUp<uint8_t>(0, 128), 0);
}

TEST(CheckedTest, FitsIn) {
  EXPECT_TRUE((FitsIn<uint8_t>(255)));
  EXPECT_FALSE((FitsIn<uint8_t>(256)));
  EXPECT_FALSE((FitsIn<uint8_t>(-1)));
  EXPECT_FALSE((FitsIn<int32_t>(uint32_t{0x80000000})));
  EXPECT_FALSE((FitsIn<int64_t>(UINT64_MAX)));
  EXPECT_EQ(Narrow<uint8_t>(255), 255);
}

TEST(CheckedDeathTest, NarrowPanicsWhenItDoesNotFit) {
  EXPECT_DEATH((void)Narrow<uint8_t>(256), "FitsIn");
}

TEST(Crc32Test, KnownValuesAndPieces) {
  EXPECT_EQ(Crc32({}), 0u);
  EXPECT_EQ(Crc32(AsBytes("123456789")), 0xcbf43926u);
  EXPECT_EQ(Crc32(AsBytes("6789"), Crc32(AsBytes("12345"))), 0xcbf43926u);
}

TEST(FixedStringTest, CutsAndMarks) {
  FixedString<5> text;
  EXPECT_TRUE(text.empty());
  EXPECT_STREQ(text.c_str(), "");
  EXPECT_TRUE(text.Assign("abcde"));
  EXPECT_FALSE(text.truncated());
  EXPECT_EQ(text, std::string_view("abcde"));
  EXPECT_FALSE(text.Append('f'));
  EXPECT_TRUE(text.truncated());
  EXPECT_FALSE(text.Assign("123456"));
  EXPECT_STREQ(text.c_str(), "12345");
  EXPECT_TRUE(text.Assign("xy"));
  EXPECT_FALSE(text.truncated());
  EXPECT_TRUE(text.Append(text.view()));
  EXPECT_EQ(text, (FixedString<5>("xyxy")));
  text.Clear();
  EXPECT_EQ(text.size(), 0u);
}

using Key = SecretBytes<32>;
static_assert(!std::is_copy_constructible_v<Key> && !std::is_copy_assignable_v<Key>);
static_assert(!std::is_move_constructible_v<Key> && !std::is_move_assignable_v<Key>);
static_assert(!std::is_convertible_v<Key, std::string_view>);
static_assert(!std::is_convertible_v<Key, std::span<const uint8_t>>);

TEST(SecretTest, ZeroesItselfWhenItEnds) {
  alignas(Key) uint8_t memory[sizeof(Key)] = {};
  auto* key = new (memory) Key;
  std::array<uint8_t, 32> bytes;
  bytes.fill(0x5a);
  key->Set(bytes);
  EXPECT_EQ(memory[31], 0x5a);
  key->~Key();
  const volatile uint8_t* left = memory;
  for (size_t i = 0; i < sizeof(memory); ++i) {
    ASSERT_EQ(left[i], 0) << i;
  }
}

TEST(SecretTest, ComparesAndHandsOn) {
  std::array<uint8_t, 32> bytes;
  bytes.fill(1);
  Key a, b;
  EXPECT_TRUE(a == b);
  a.Set(bytes);
  EXPECT_FALSE(a == b);
  EXPECT_TRUE(a.Equals(bytes));
  EXPECT_FALSE(a.Equals(std::span(bytes).first(31)));
  b.TakeFrom(a);
  EXPECT_TRUE(b.Equals(bytes));
  EXPECT_EQ(a.Expose()[0], 0);
  b.TakeFrom(b);
  EXPECT_TRUE(b.Equals(bytes));
  for (size_t i = 0; i < 32; ++i) {
    std::array<uint8_t, 32> other = bytes;
    other[i] ^= 0x80;
    EXPECT_FALSE(ConstantTimeEqual(bytes, other));
  }
  EXPECT_TRUE(ConstantTimeEqual({}, {}));
}

TEST(TraceTest, KeepsTheLatestInOrder) {
  TestArena arena;
  TraceRing ring(arena, 4);
  std::array<TracePoint, 8> out;
  EXPECT_EQ(ring.Latest(out), 0u);
  for (uint64_t i = 0; i < 6; ++i) {
    ring.Add(Instant{static_cast<int64_t>(i)}, TraceId(TraceRoom::kNet, 7), i, ~i);
  }
  EXPECT_EQ(ring.count(), 6u);
  EXPECT_EQ(ring.Latest(out), 4u);
  EXPECT_EQ(out[0], (TracePoint{2, 0x00030007, 2, ~uint64_t{2}}));
  EXPECT_EQ(out[3].first, 5u);
  EXPECT_EQ(ring.Latest(std::span(out).first(2)), 2u);
  EXPECT_EQ(out[0].first, 4u);
  EXPECT_EQ(ring.Latest({}), 0u);
}

TEST(TraceDeathTest, CapacityIsAPowerOfTwo) {
  TestArena arena;
  EXPECT_DEATH(TraceRing(arena, 6), "has_single_bit");
}

}  // namespace
}  // namespace gh
