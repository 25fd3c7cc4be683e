// A sealed record: what is appended is read again, over restarts and laps; a power cut costs what
// was not written and nothing else.
#include "firmware/files/sealed_stream.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "crypto/init.h"
#include "tests/unit/net/fake_wire.h"
#include "tests/unit/store/fake_disk.h"

namespace gh::files {
namespace {

constexpr uint64_t kSlots = 12;
constexpr uint64_t kBegin = 8192;
constexpr uint64_t kEnd = kBegin + kSlots * kPageBytes;

class Life {
 public:
  explicit Life(store::FakeDisk& disk, uint8_t key = 1)
      : memory_(SealedStream::ArenaBytes() + 65536), arena_(std::span<uint8_t>(memory_)) {
    crypto::Initialise();
    timers_ = std::make_unique<TimerWheel>(now_);
    random_ = std::make_unique<crypto::Random>(entropy_);
    stream = std::make_unique<SealedStream>(arena_, *timers_, *random_, &disk, kBegin, kEnd);
    std::array<uint8_t, SealedStream::kKeyBytes> bytes = {};
    bytes[0] = key;
    stream->Open(bytes);
  }
  bool Append(const std::string& text) { return stream->Append(AsBytes(text)); }
  void Run(int64_t milliseconds = kBehindMilliseconds + 100) {
    for (int64_t i = 0; i < milliseconds; i += 5) {
      now_ = now_ + Duration::Milliseconds(5);
      timers_->Advance(now_);
    }
  }
  std::string All() {
    std::string out;
    for (uint64_t at = stream->begin(); at < stream->end();) {
      uint8_t bytes[1000];
      const auto count = stream->Read(at, bytes);
      if (!count.ok()) {
        return "overwritten";
      }
      out += AsText(std::span(bytes).first(*count));
      at += *count;
    }
    return out;
  }

 private:
  std::vector<uint8_t> memory_;
  Arena arena_;
  Instant now_{1'000'000'000};
  net::test::SeededEntropy entropy_{3};
  std::unique_ptr<TimerWheel> timers_;
  std::unique_ptr<crypto::Random> random_;

 public:
  std::unique_ptr<SealedStream> stream;
};

struct SealedStreamTest : testing::Test {
  store::FakeDisk disk{512, kEnd / 512};
};

TEST_F(SealedStreamTest, KeepsWhatIsAppendedOverRestartsAndLaps) {
  std::string said;
  for (int start = 0; start < 8; ++start) {
    Life life(disk);
    EXPECT_EQ(life.stream->end(), said.size());
    for (int i = 0; i < 5; ++i) {
      const std::string piece =
          std::to_string(start) + ":" + std::to_string(i) + std::string(1700, 'x') + "\n";
      ASSERT_TRUE(life.Append(piece));
      said += piece;
    }
    life.Run();
    EXPECT_EQ(life.stream->end(), said.size());
    const std::string kept = life.All();
    EXPECT_GE(kept.size(), std::min<size_t>(said.size(), 20'000));
    EXPECT_LE(kept.size(), life.stream->bytes_capacity());
    EXPECT_TRUE(said.ends_with(kept));
  }
  EXPECT_LT(Life(disk).All().size(), said.size());  // it has gone round
}

TEST_F(SealedStreamTest, IsSealed) {
  {
    Life life(disk);
    ASSERT_TRUE(life.Append("nobody reads this"));
    life.Run();
    EXPECT_EQ(life.All(), "nobody reads this");
  }
  const std::string raw(disk.raw().begin(), disk.raw().end());
  EXPECT_EQ(raw.find("nobody"), std::string::npos);
  Life other(disk, 2);
  EXPECT_EQ(other.stream->end(), 0u);
  ASSERT_TRUE(other.Append("another record"));
  other.Run();
  EXPECT_EQ(other.All(), "another record");
}

TEST_F(SealedStreamTest, EraseLeavesNothing) {
  {
    Life life(disk);
    ASSERT_TRUE(life.Append(std::string(30'000, 'a')));
    life.Run();
    ASSERT_TRUE(life.stream->Erase().ok());
    EXPECT_EQ(life.All(), "");
    ASSERT_TRUE(life.Append("new"));
    life.Run();
  }
  Life life(disk);
  EXPECT_EQ(life.All(), "new");
}

TEST_F(SealedStreamTest, WhatWaitsIsBounded) {
  Life life(disk);
  disk.FailAt(1, true);
  EXPECT_TRUE(life.Append(std::string(kBehindMax, 'a')));
  EXPECT_FALSE(life.Append("b"));
  life.Run();
  EXPECT_STRNE(life.stream->fault(), "");
  disk.FailAt(0, false);
  life.Run(kPageRetryMilliseconds + 3000);
  EXPECT_STREQ(life.stream->fault(), "");
  EXPECT_TRUE(life.Append("b"));
  life.Run();
  EXPECT_EQ(life.stream->end(), kBehindMax + 1);
  EXPECT_TRUE(life.All().ends_with("aab"));
}

TEST_F(SealedStreamTest, APowerCutCostsWhatWasNotWritten) {
  for (uint64_t at = 0; at < 16; ++at) {
    store::FakeDisk fresh(512, kEnd / 512);
    std::mt19937_64 random(at);
    uint64_t durable = 0;
    std::string said;
    {
      Life life(fresh);
      fresh.CutAfter(at);
      for (int i = 0; i < 6; ++i) {
        const std::string piece(3000, static_cast<char>('a' + i));
        (void)life.Append(piece);
        said += piece;
        life.Run();
        durable = life.stream->end();
      }
      fresh.PowerCut(random);
    }
    Life after(fresh);
    EXPECT_GE(after.stream->end(), durable) << at;
    EXPECT_TRUE(said.starts_with(after.All())) << at;
  }
}

TEST_F(SealedStreamTest, ATooSmallPartHasNoRoom) {
  std::vector<uint8_t> memory(SealedStream::ArenaBytes() + 65536);
  Arena arena{std::span<uint8_t>(memory)};
  TimerWheel timers(Instant{1});
  net::test::SeededEntropy entropy{3};
  crypto::Random random(entropy);
  SealedStream none(arena, timers, random, nullptr, 0, 0);
  EXPECT_FALSE(none.has_room());
  EXPECT_FALSE(none.Append(AsBytes(std::string_view("x"))));
}

}  // namespace
}  // namespace gh::files
