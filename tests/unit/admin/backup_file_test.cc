// The backup file: what is written comes back; every way it can be wrong has its own words.
#include "firmware/admin/backup_file.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "crypto/init.h"
#include "hal/entropy.h"
#include "hal/rt/crc32.h"

namespace gh::admin {
namespace {

class CountingEntropy final : public hal::Entropy {
 public:
  void Fill(std::span<uint8_t> out) override {
    for (uint8_t& byte : out) {
      byte = next++;
    }
  }
  const char* source() const override { return "counting"; }
  uint8_t next = 1;
};

class Rows final : public BackupSource, public BackupVisitor {
 public:
  Result<bool> NextRow(ByteWriter& path, ByteWriter& value) override {
    if (at == rows.size()) {
      return false;
    }
    path.Text(rows[at].first);
    value.Text(rows[at].second);
    ++at;
    return true;
  }
  Result<void> OnRow(std::string_view path, std::span<const uint8_t> value) override {
    rows.emplace_back(std::string(path), std::string(AsText(value)));
    return Ok();
  }
  std::vector<std::pair<std::string, std::string>> rows;
  size_t at = 0;
};

class BackupFileTest : public ::testing::Test {
 protected:
  BackupFileTest() : memory_(1u << 20), arena_({memory_.data(), memory_.size()}) {
    crypto::Initialise();
    hasher_ = arena_.New<crypto::PasswordHasher>(arena_, crypto::PasswordCost{64, 1});
    codec_ = std::make_unique<BackupCodec>(*hasher_, random_);
    for (int i = 0; i < 300; ++i) {
      rows_.rows.emplace_back("Authentication User " + std::to_string(i) + " Name",
                              "planted-secret-" + std::to_string(i));
    }
    file_.resize(64 * 1024);
    uint32_t count = 0;
    const auto size = codec_->Write("correct horse", 1234, rows_, file_, count);
    EXPECT_TRUE(size.ok());
    EXPECT_EQ(count, 300u);
    file_.resize(size.value_or(0));
  }
  std::string Read(std::string_view password, const std::vector<uint8_t>& file) {
    Rows got;
    const auto info = codec_->Read(password, file, got);
    if (!info.ok()) {
      EXPECT_TRUE(got.rows.empty()) << "nothing is used before all is known to be whole";
      return info.error().what;
    }
    EXPECT_EQ(got.rows, rows_.rows);
    EXPECT_EQ(info->made_at_s, 1234);
    return "";
  }

  std::vector<uint8_t> memory_;
  Arena arena_;
  CountingEntropy entropy_;
  crypto::Random random_{entropy_};
  crypto::PasswordHasher* hasher_ = nullptr;
  std::unique_ptr<BackupCodec> codec_;
  Rows rows_;
  std::vector<uint8_t> file_;
};

TEST_F(BackupFileTest, ComesBackWhole) { EXPECT_EQ(Read("correct horse", file_), ""); }

TEST_F(BackupFileTest, HoldsNothingInClear) {
  EXPECT_EQ(AsText(file_).find("planted"), std::string_view::npos);
  EXPECT_EQ(AsText(file_).find("Authentication"), std::string_view::npos);
}

TEST_F(BackupFileTest, WrongPassword) {
  EXPECT_EQ(Read("wrong horse", file_), "wrong password for this backup");
  EXPECT_EQ(Read("", file_), "wrong password for this backup");
}

TEST_F(BackupFileTest, EveryCutIsSaidToBeOne) {
  for (size_t size = 8; size < file_.size(); size += size < 200 ? 1 : 977) {
    auto cut = file_;
    cut.resize(size);
    EXPECT_EQ(Read("correct horse", cut), "the backup is cut short") << size;
  }
  EXPECT_EQ(Read("correct horse", {}), "this is not a backup of this product");
  auto longer = file_;
  longer.push_back(0);
  EXPECT_EQ(Read("correct horse", longer), "the backup is damaged");
}

TEST_F(BackupFileTest, EveryFlippedByteIsDamage) {
  for (size_t at = 10; at < file_.size(); at += at < 120 ? 1 : 509) {
    auto damaged = file_;
    damaged[at] ^= 0x20;
    EXPECT_EQ(Read("correct horse", damaged), "the backup is damaged") << at;
  }
  auto other = file_;
  other[0] ^= 1;
  EXPECT_EQ(Read("correct horse", other), "this is not a backup of this product");
}

TEST_F(BackupFileTest, ANewerVersionIsSaidToBeOne) {
  auto newer = file_;
  newer[8] = 2;
  EXPECT_EQ(Read("correct horse", newer),
            "the backup was made by a newer version: upgrade this system first");
}

TEST_F(BackupFileTest, SwappedChunksAndForeignHeadersAreDamage) {
  auto swapped = file_;
  std::swap_ranges(swapped.begin() + 96, swapped.begin() + 96 + 4112, swapped.begin() + 96 + 4112);
  EXPECT_EQ(Read("correct horse", swapped), "the backup is damaged");
  auto header = file_;
  header[32] ^= 1;  // another date, with a CRC that fits
  const uint32_t crc = Crc32(std::span<const uint8_t>(header).first(92));
  ByteWriter writer{std::span<uint8_t>(header).subspan(92, 4)};
  writer.U32Le(crc);
  EXPECT_EQ(Read("correct horse", header), "the backup is damaged");
}

TEST_F(BackupFileTest, RefusesShortPasswordsAndSmallRooms) {
  uint32_t count = 0;
  std::vector<uint8_t> room(64 * 1024);
  EXPECT_EQ(codec_->Write("seven77", 0, rows_, room, count).code(), ErrorCode::kInvalidArgument);
  rows_.at = 0;
  room.resize(file_.size() - 1);
  EXPECT_EQ(codec_->Write("correct horse", 0, rows_, room, count).code(), ErrorCode::kTooLarge);
  rows_.at = 0;
  room.resize(file_.size());
  EXPECT_TRUE(codec_->Write("correct horse", 0, rows_, room, count).ok());
}

}  // namespace
}  // namespace gh::admin
