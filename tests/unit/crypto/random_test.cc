// The generator: seeded and repeatable per instance, reseeded in time, and never shared by
// accident.
#include "crypto/random.h"

#include <gtest/gtest.h>
#include <sodium/randombytes.h>

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "crypto/init.h"

namespace gh::crypto {
namespace {

class CountingEntropy final : public hal::Entropy {
 public:
  explicit CountingEntropy(uint8_t seed) : next_(seed) {}
  void Fill(std::span<uint8_t> out) override {
    for (uint8_t& byte : out) {
      byte = next_++;
    }
    ++fill_count;
  }
  const char* source() const override { return "counting"; }
  int fill_count = 0;

 private:
  uint8_t next_;
};

std::vector<uint8_t> Draw(Random& random, size_t size) {
  std::vector<uint8_t> bytes(size);
  random.Fill(bytes);
  return bytes;
}

TEST(Random, OneSeedOneStream) {
  CountingEntropy entropy_a(1), entropy_b(1), entropy_c(2);
  Random a(entropy_a), b(entropy_b), c(entropy_c);
  const auto from_a = Draw(a, 5000);
  EXPECT_EQ(from_a, Draw(b, 5000));
  EXPECT_NE(from_a, Draw(c, 5000));
  EXPECT_NE(from_a, Draw(a, 5000));
}

TEST(Random, StreamDoesNotDependOnHowItIsCut) {
  CountingEntropy entropy_a(7), entropy_b(7);
  Random a(entropy_a), b(entropy_b);
  const auto whole = Draw(a, 3000);
  std::vector<uint8_t> parts;
  for (size_t size = 1; parts.size() < whole.size(); size = size * 2 % 701 + 1) {
    const auto part = Draw(b, std::min(size, whole.size() - parts.size()));
    parts.insert(parts.end(), part.begin(), part.end());
  }
  EXPECT_EQ(whole, parts);
}

TEST(Random, ReseedChangesTheStreamAndIsForcedInTime) {
  CountingEntropy entropy_a(3), entropy_b(3);
  Random a(entropy_a), b(entropy_b);
  b.Reseed();
  EXPECT_NE(Draw(a, 64), Draw(b, 64));
  EXPECT_EQ(entropy_a.fill_count, 1);
  (void)Draw(a, kRandomReseedBytes - 64);
  EXPECT_EQ(entropy_a.fill_count, 1);
  (void)Draw(a, 1024);
  EXPECT_EQ(entropy_a.fill_count, 2);
}

TEST(Random, BytesAndBoundedNumbersAreEven) {
  CountingEntropy entropy(9);
  Random random(entropy);
  std::array<int, 256> histogram = {};
  for (uint8_t byte : Draw(random, 256 * 1000)) {
    ++histogram[byte];
  }
  for (int count : histogram) {
    EXPECT_GT(count, 800);
    EXPECT_LT(count, 1200);
  }
  std::array<int, 6> dice = {};
  for (int i = 0; i < 60000; ++i) {
    const uint32_t value = random.Below(6);
    ASSERT_LT(value, 6u);
    ++dice[value];
  }
  for (int count : dice) {
    EXPECT_GT(count, 9500);
    EXPECT_LT(count, 10500);
  }
  EXPECT_EQ(random.Below(1), 0u);
  // A bound just above 2^31 rejects nearly half of the raw values.
  for (int i = 0; i < 1000; ++i) {
    EXPECT_LT(random.Below(0x80000001u), 0x80000001u);
  }
}

TEST(Random, MbedtlsAndLibsodiumDrawFromTheInstance) {
  Initialise();
  CountingEntropy entropy_a(5), entropy_b(5);
  Random a(entropy_a), b(entropy_b);
  std::array<uint8_t, 48> from_mbedtls;
  EXPECT_EQ(Random::MbedtlsCallback(&a, from_mbedtls.data(), from_mbedtls.size()), 0);
  std::array<uint8_t, 48> from_sodium;
  {
    SodiumRandomScope scope(b);
    randombytes_buf(from_sodium.data(), from_sodium.size());
  }
  EXPECT_EQ(from_mbedtls, from_sodium);
}

TEST(RandomDeathTest, LibsodiumWithoutAnInstancePanics) {
  Initialise();
  uint8_t byte;
  EXPECT_DEATH(randombytes_buf(&byte, 1), "g_sodium_random");
}

}  // namespace
}  // namespace gh::crypto
