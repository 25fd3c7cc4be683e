// Argon2id: a published vector, records, refusals, and that it lives in the memory reserved for it.
#include "crypto/password.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "crypto/init.h"
#include "hal/rt/bytes.h"
#include "tests/unit/crypto/hex.h"

namespace gh::crypto {
namespace {

using test::FromHex;
using test::ToHex;

class FixedEntropy final : public hal::Entropy {
 public:
  void Fill(std::span<uint8_t> out) override {
    for (uint8_t& byte : out) {
      byte = next_++;
    }
  }
  const char* source() const override { return "fixed"; }

 private:
  uint8_t next_ = 0;
};

class PasswordTest : public testing::Test {
 protected:
  PasswordTest() : memory_(4 << 20), arena_(memory_), hasher_(arena_, kCost), random_(entropy_) {
    Initialise();
    arena_.Seal();  // everything below happens after the seal
  }
  static constexpr PasswordCost kCost = {2048, 2};
  std::vector<uint8_t> memory_;
  Arena arena_;
  PasswordHasher hasher_;
  FixedEntropy entropy_;
  Random random_;
};

// From libsodium's own test/default/pwhash_argon2id.c.
TEST_F(PasswordTest, PublishedVector) {
  const auto password =
      FromHex("b540beb016a5366524d4605156493f9874514a5aa58818cd0c6dfffaa9e90205f17b");
  const auto salt = FromHex("44071f6d181561670bda728d43fb79b4");
  std::vector<uint8_t> out(231);
  ASSERT_TRUE(hasher_
                  .Derive(AsText(password), std::span<const uint8_t, 16>(salt.data(), 16),
                          {1631659 / 1024, 1}, out)
                  .ok());
  EXPECT_EQ(ToHex(out),
            "7fb72409b0987f8190c3729710e98c3f80c5a8727d425fdcde7f3644d467fe973f5b5fee683bd3fce812"
            "cb9ae5e9921a2d06c2f1905e4e839692f2b934b682f11a2fe2b90482ea5dd234863516dba6f52dc0702d"
            "324ec77d860c2e181f84472bd7104fedce071ffa93c5309494ad51623d214447a7b2b1462dc7d5d55a1f"
            "6fd5b54ce024118d86f0c6489d16545aaa87b6689dad9f2fb47fda9894f8e12b87d978b483ccd4cc5fd9"
            "595cdc7a818452f915ce2f7df95ec12b1c72e3788d473441d884f9748eb14703c21b45d82fd667b85f5b"
            "2d98c13303b3fe76285531a826b6fc0fe8e3dddecf");
}

TEST_F(PasswordTest, HashesAndVerifies) {
  auto record = hasher_.Hash("correct horse", random_);
  ASSERT_TRUE(record.ok());
  EXPECT_TRUE(record->text().starts_with("$argon2id$v=19$m=2048,t=2,p=1$")) << record->text();
  EXPECT_TRUE(hasher_.Verify("correct horse", record->text()).ok());
  EXPECT_EQ(hasher_.Verify("correct horsf", record->text()).code(), ErrorCode::kUnauthentic);
  EXPECT_EQ(hasher_.Verify("", record->text()).code(), ErrorCode::kUnauthentic);
  EXPECT_FALSE(hasher_.IsWeak(record->text()));
  auto again = hasher_.Hash("correct horse", random_);
  EXPECT_NE(record->text(), again->text());  // another salt
}

TEST_F(PasswordTest, WorkingMemoryIsErased) {
  auto record = hasher_.Hash("some password", random_);
  ASSERT_TRUE(record.ok());
  for (size_t i = 0; i < memory_.size(); ++i) {
    ASSERT_EQ(memory_[i], 0) << "byte " << i;
  }
}

TEST_F(PasswordTest, RecordsWithinTheReservedMemoryVerifyWhateverTheirCost) {
  std::vector<uint8_t> memory(1 << 20);
  Arena arena(memory);
  PasswordHasher smaller(arena, {256, 1});
  auto record = smaller.Hash("x", random_);
  ASSERT_TRUE(record.ok());
  EXPECT_TRUE(hasher_.Verify("x", record->text()).ok());
  EXPECT_TRUE(hasher_.IsWeak(record->text()));
  auto bigger = hasher_.Hash("x", random_);
  EXPECT_EQ(smaller.Verify("x", bigger->text()).code(), ErrorCode::kTooLarge);
}

TEST_F(PasswordTest, EveryChangedOrMissingCharacterIsRefused) {
  auto record = hasher_.Hash("x", random_);
  const std::string good(record->text());
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(hasher_.Verify("x", good.substr(0, size)).ok()) << size;
  }
  for (size_t i = 0; i < good.size(); ++i) {
    for (char c : {'A', '9', '$', '\0', '\xff'}) {
      std::string bad = good;
      if (bad[i] != c) {
        bad[i] = c;
        EXPECT_FALSE(hasher_.Verify("x", bad).ok()) << bad;
      }
    }
  }
  EXPECT_FALSE(hasher_.Verify("x", good + "A").ok());
  EXPECT_FALSE(hasher_.Verify("x", good + "=").ok());
}

TEST_F(PasswordTest, HostileCostsAreRefused) {
  const std::string tail = "$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
  const auto code = [&](const std::string& head) {
    return hasher_.Verify("x", head + tail).code();
  };
  EXPECT_EQ(code("$argon2id$v=19$m=2048,t=1,p=1"), ErrorCode::kUnauthentic);
  EXPECT_EQ(code("$argon2id$v=19$m=4294967295,t=1,p=1"), ErrorCode::kTooLarge);
  EXPECT_EQ(code("$argon2id$v=19$m=4294967296,t=1,p=1"), ErrorCode::kMalformed);
  EXPECT_EQ(code("$argon2id$v=19$m=2048,t=17,p=1"), ErrorCode::kTooLarge);
  EXPECT_EQ(code("$argon2id$v=19$m=2048,t=0,p=1"), ErrorCode::kTooLarge);
  EXPECT_EQ(code("$argon2id$v=19$m=7,t=1,p=1"), ErrorCode::kTooLarge);
  EXPECT_EQ(code("$argon2id$v=19$m=2048,t=1,p=4"), ErrorCode::kUnsupported);
  EXPECT_EQ(code("$argon2id$v=16$m=2048,t=1,p=1"), ErrorCode::kMalformed);
  EXPECT_EQ(code("$argon2i$v=19$m=2048,t=1,p=1"), ErrorCode::kMalformed);
  EXPECT_EQ(code("$argon2id$v=19$m=-1,t=1,p=1"), ErrorCode::kMalformed);
}

TEST_F(PasswordTest, PasswordSizeIsBounded) {
  EXPECT_TRUE(hasher_.Hash(std::string(kPasswordSizeMax, 'x'), random_).ok());
  EXPECT_EQ(hasher_.Hash(std::string(kPasswordSizeMax + 1, 'x'), random_).code(),
            ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace gh::crypto
