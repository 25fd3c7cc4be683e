// Sealed files: what is written is read again, over restarts and power cuts; what is removed is
// gone, and its room is free; nothing of it lies open on the disk.
#include "firmware/files/sealed_files.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "crypto/init.h"
#include "tests/unit/net/fake_wire.h"
#include "tests/unit/store/fake_disk.h"

namespace gh::files {
namespace {

constexpr uint64_t kBegin = 64 * 1024;
constexpr uint32_t kChunks = 40;
constexpr uint64_t kEnd = kBegin + uint64_t{kChunks} * kChunkBytes;

std::string Text(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::string out(size, '\0');
  for (char& c : out) {
    c = static_cast<char>(random());
  }
  return out;
}

// A run, on a disk that outlives it.
class Life final : public TransferOwner {
 public:
  explicit Life(store::FakeDisk& disk, uint8_t key = 1, uint64_t end = kEnd)
      : memory_(SealedFiles::ArenaBytes() + (1 << 20)), arena_(std::span<uint8_t>(memory_)) {
    crypto::Initialise();
    timers_ = std::make_unique<TimerWheel>(now_);
    random_ = std::make_unique<crypto::Random>(entropy_);
    files = std::make_unique<SealedFiles>(arena_, *timers_, *random_,
                                          SealedFiles::Part{&disk, kBegin, end});
    std::array<uint8_t, SealedFiles::kKeyBytes> bytes = {};
    bytes[0] = key;
    files->Open(bytes);
    Run();
  }
  void Run(int turns = 80) {
    for (int i = 0; i < turns; ++i) {
      now_ = now_ + Duration::Milliseconds(1);
      timers_->Advance(now_);
    }
  }
  void OnTransfer(Transfer& transfer) override {
    ++told;
    if (transfer.is_writing()) {
      Go(transfer);
    }
  }
  static FileHead Head(uint64_t number, uint64_t size, int64_t ends = 1000) {
    FileHead head;
    head.id = {number, 7};
    head.size = size;
    head.ends_s = ends;
    head.owner.Assign("alice@example.com");
    head.name.Assign("a%20picture.png");
    head.type.Assign("image/png");
    return head;
  }
  File* Keep(uint64_t number, const std::string& text, int64_t ends = 1000) {
    auto file = files->Reserve(Head(number, text.size(), ends));
    if (!file.ok() || !WriteTo(**file, text)) {
      return nullptr;
    }
    return *file;
  }
  bool WriteTo(File& file, const std::string& text) {
    writes_ = text;
    given_ = 0;
    Transfer* transfer = files->Write(file, *this);
    if (transfer == nullptr) {
      return false;
    }
    Go(*transfer);
    Run();
    const bool done = transfer->is_done();
    files->Close(*transfer);
    return done;
  }
  std::string Get(uint64_t number) {
    File* file = files->Find({number, 7});
    Transfer* transfer = file != nullptr ? files->Read(*file, *this) : nullptr;
    if (transfer == nullptr) {
      return "none";
    }
    std::string out;
    for (int i = 0; i < 3000 && transfer->left() > 0 && !transfer->has_failed(); ++i) {
      const auto piece = files->Peek(*transfer);
      const size_t count = std::min<size_t>(piece.size(), 5000);
      out += AsText(piece.first(count));
      files->Take(*transfer, count);
      Run(1);
    }
    const bool failed = transfer->has_failed();
    files->Close(*transfer);
    return failed ? "failed" : out;
  }

 private:
  void Go(Transfer& transfer) {
    given_ += files->Give(transfer, AsBytes(std::string_view(writes_).substr(given_)));
  }
  std::vector<uint8_t> memory_;
  Arena arena_;
  Instant now_{1'000'000'000};
  net::test::SeededEntropy entropy_{3};
  std::string writes_;
  size_t given_ = 0;

 public:
  int told = 0;
  std::unique_ptr<TimerWheel> timers_;
  std::unique_ptr<crypto::Random> random_;
  std::unique_ptr<SealedFiles> files;
};

struct SealedFilesTest : testing::Test {
  store::FakeDisk disk{512, kEnd / 512 + 8};
};

TEST_F(SealedFilesTest, KeepWhatIsWrittenOverRestarts) {
  const size_t sizes[] = {1,
                          kPayloadBytes - 1,
                          kPayloadBytes,
                          kPayloadBytes + 1,
                          3 * kPayloadBytes,
                          3 * kPayloadBytes + 1,
                          300'000};
  {
    Life life(disk);
    for (size_t i = 0; i < std::size(sizes); ++i) {
      ASSERT_NE(life.Keep(i, Text(sizes[i], i)), nullptr) << sizes[i];
      EXPECT_EQ(life.Get(i), Text(sizes[i], i)) << sizes[i];
    }
    EXPECT_GT(life.told, 0);
  }
  Life life(disk);
  EXPECT_EQ(life.files->file_count(), std::size(sizes));
  for (size_t i = 0; i < std::size(sizes); ++i) {
    EXPECT_EQ(life.Get(i), Text(sizes[i], i)) << sizes[i];
  }
  const File* file = life.files->Find({2, 7});
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->head.owner, "alice@example.com");
  EXPECT_EQ(file->head.name, "a%20picture.png");
  EXPECT_EQ(file->head.type, "image/png");
}

TEST_F(SealedFilesTest, AreUnreadableWithoutTheKey) {
  const std::string secret = "nobody else reads this" + std::string(5000, 'x');
  {
    Life life(disk);
    ASSERT_NE(life.Keep(1, secret), nullptr);
  }
  const std::string raw(disk.raw().begin(), disk.raw().end());
  EXPECT_EQ(raw.find("nobody else"), std::string::npos);
  EXPECT_EQ(raw.find("alice"), std::string::npos);
  Life other(disk, 2);
  EXPECT_EQ(other.files->file_count(), 0u);
  ASSERT_NE(other.Keep(1, "its room is free"), nullptr);
  EXPECT_EQ(other.Get(1), "its room is free");
}

TEST_F(SealedFilesTest, DamageIsFound) {
  Life life(disk);
  ASSERT_NE(life.Keep(1, Text(40'000, 1)), nullptr);
  disk.FlipBit((kBegin + kBlockBytes + 100) * 8);  // in the first block behind the head
  EXPECT_EQ(life.Get(1), "failed");
  EXPECT_STRNE(life.files->fault(), "");
  disk.FlipBit((kBegin + 100) * 8);  // in the head
  Life again(disk);
  EXPECT_EQ(again.files->file_count(), 0u);
}

TEST_F(SealedFilesTest, BlocksDoNotStandInForOthers) {
  Life life(disk);
  ASSERT_NE(life.Keep(1, Text(40'000, 1)), nullptr);
  const auto at = static_cast<ptrdiff_t>(kBegin + kBlockBytes);
  const std::vector<uint8_t> second(disk.raw().begin() + at + kBlockBytes,
                                    disk.raw().begin() + at + 2 * kBlockBytes);
  disk.Put(static_cast<uint64_t>(at), second);
  EXPECT_EQ(life.Get(1), "failed");
}

TEST_F(SealedFilesTest, RoomIsBoundedAndComesBack) {
  Life life(disk);
  EXPECT_EQ(life.files->Reserve(Life::Head(1, 0)).code(), ErrorCode::kTooLarge);
  EXPECT_EQ(life.files->Reserve(Life::Head(1, kFileBytesMax + 1)).code(), ErrorCode::kTooLarge);
  EXPECT_EQ(life.files->Reserve(Life::Head(1, kFileBytesMax)).code(), ErrorCode::kExhausted);
  const uint64_t whole = (uint64_t{kChunks} * kChunkBlocks - 1) * kPayloadBytes;
  auto file = life.files->Reserve(Life::Head(2, whole));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(life.files->bytes_used(), life.files->bytes_capacity());
  EXPECT_EQ(life.files->Reserve(Life::Head(3, 1)).code(), ErrorCode::kExhausted);
  life.files->Remove(**file);
  EXPECT_EQ(life.files->bytes_used(), 0u);
  for (uint32_t i = 0; i < kChunks; ++i) {
    ASSERT_NE(life.Keep(i, "one chunk each"), nullptr);
  }
  EXPECT_EQ(life.Keep(99, "one more"), nullptr);
  life.files->Remove(*life.files->Find({5, 7}));
  EXPECT_EQ(life.files->Find({5, 7}), nullptr);
  life.Run();
  ASSERT_NE(life.Keep(99, "one more"), nullptr);
  EXPECT_EQ(life.Get(99), "one more");
  Life again(disk);
  EXPECT_EQ(again.Get(5), "none");
  EXPECT_EQ(again.files->file_count(), kChunks);
}

TEST_F(SealedFilesTest, TimeRemovesThem) {
  Life life(disk);
  ASSERT_NE(life.Keep(1, "short", 100), nullptr);
  ASSERT_NE(life.Keep(2, "long", 200), nullptr);
  life.files->Expire(99);
  EXPECT_EQ(life.Get(1), "short");
  life.files->Expire(100);
  EXPECT_EQ(life.Get(1), "none");
  EXPECT_EQ(life.Get(2), "long");
  EXPECT_EQ(life.files->counters().expired, 1u);
}

TEST_F(SealedFilesTest, WhoReadsReadsToTheEnd) {
  Life life(disk);
  File* file = life.Keep(1, Text(60'000, 1));
  ASSERT_NE(file, nullptr);
  Transfer* transfer = life.files->Read(*file, life);
  ASSERT_NE(transfer, nullptr);
  life.files->Remove(*file);
  life.Run();
  std::string got;
  while (transfer->left() > 0) {
    const auto piece = life.files->Peek(*transfer);
    got += AsText(piece);
    life.files->Take(*transfer, piece.size());
    life.Run(3);
    ASSERT_FALSE(transfer->has_failed());
  }
  EXPECT_EQ(got, Text(60'000, 1));
  EXPECT_GT(life.files->bytes_used(), 0u);
  life.files->Close(*transfer);
  life.Run();
  EXPECT_EQ(life.files->bytes_used(), 0u);
}

TEST_F(SealedFilesTest, TransfersAreBoundedAndMayBeGivenUp) {
  Life life(disk);
  File* file = life.Keep(1, "text");
  std::vector<Transfer*> all;
  for (uint32_t i = 0; i < kTransferMax; ++i) {
    all.push_back(life.files->Read(*file, life));
    ASSERT_NE(all.back(), nullptr);
  }
  EXPECT_EQ(life.files->Read(*file, life), nullptr);
  for (Transfer* each : all) {
    life.files->Close(*each);  // while the disk has them
  }
  life.Run();
  EXPECT_EQ(life.Get(1), "text");
  // A file that was not whole may be written once more.
  File* half = *life.files->Reserve(Life::Head(2, 30'000));
  Transfer* transfer = life.files->Write(*half, life);
  const std::string some = Text(20'000, 2);
  EXPECT_EQ(life.files->Give(*transfer, AsBytes(some)), kPayloadBytes);  // then the disk has it
  EXPECT_EQ(life.files->Write(*half, life), nullptr);
  EXPECT_EQ(life.files->Read(*half, life), nullptr);
  life.files->Close(*transfer);
  life.Run();
  EXPECT_TRUE(life.WriteTo(*half, Text(30'000, 3)));
  EXPECT_EQ(life.Get(2), Text(30'000, 3));
}

TEST_F(SealedFilesTest, ADiskThatFailsIsTold) {
  Life life(disk);
  disk.FailAt(1, true);
  EXPECT_EQ(life.Keep(1, "text"), nullptr);
  EXPECT_STRNE(life.files->fault(), "");
  disk.FailAt(0, false);
  EXPECT_TRUE(life.WriteTo(*life.files->Find({1, 7}), "text"));
  EXPECT_STREQ(life.files->fault(), "");
  // What cannot be erased keeps its room until it can.
  disk.FailAt(1, true);
  life.files->Remove(*life.files->Find({1, 7}));
  life.Run();
  EXPECT_GT(life.files->bytes_used(), 0u);
  disk.FailAt(0, false);
  life.Run(2 * kRetryMilliseconds);
  EXPECT_EQ(life.files->bytes_used(), 0u);
}

TEST_F(SealedFilesTest, ATooSmallPartHasNoRoom) {
  Life life(disk, 1, kBegin + kChunkBytes - 512);
  EXPECT_FALSE(life.files->has_room());
  EXPECT_EQ(life.files->Reserve(Life::Head(1, 1)).code(), ErrorCode::kWrongState);
}

// Cut at every write and flush of a file that replaces another: what was said to be whole is whole,
// what was removed and told so stays away, and no file has the bytes of another.
TEST_F(SealedFilesTest, SurvivePowerCuts) {
  uint64_t cuts = 0;
  constexpr uint64_t kCutsMax = 20;
  constexpr uint64_t kSmallEnd = kBegin + uint64_t{8} * kChunkBytes;
  for (uint64_t seed = 0; seed < 3; ++seed) {
    for (uint64_t at = 0; at < kCutsMax; ++at) {
      store::FakeDisk fresh(512, kSmallEnd / 512);
      std::mt19937_64 random(seed * 100 + at);
      {
        Life life(fresh, 1, kSmallEnd);
        ASSERT_NE(life.Keep(1, Text(70'000, 1)), nullptr);
        fresh.CutAfter(at);
        life.files->Remove(*life.files->Find({1, 7}));
        life.Run();
        const bool is_gone = life.files->bytes_used() == 0;
        const bool is_whole = life.Keep(2, Text(90'000, 2)) != nullptr;
        cuts += fresh.is_off() ? 1 : 0;
        EXPECT_FALSE(at == kCutsMax - 1 && fresh.is_off()) << "not every write was cut";
        fresh.PowerCut(random);
        Life after(fresh, 1, kSmallEnd);
        const std::string one = after.Get(1);
        const std::string two = after.Get(2);
        EXPECT_TRUE(one == "none" || (!is_gone && one == Text(70'000, 1))) << seed << " " << at;
        EXPECT_TRUE(two == Text(90'000, 2) || (!is_whole && two == "none")) << seed << " " << at;
      }
    }
  }
  EXPECT_GE(cuts, 30u);  // else the disk was never off in the middle
}

}  // namespace
}  // namespace gh::files
