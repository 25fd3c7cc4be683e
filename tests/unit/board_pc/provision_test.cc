#include "board/pc/provision.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "hal/rt/bytes.h"

namespace gh::pc {
namespace {

using Bytes = std::vector<uint8_t>;

class MemoryDisk final : public hal::BlockDevice {
 public:
  MemoryDisk(Bytes bytes, uint32_t block_size) : bytes_(std::move(bytes)), block_size_(block_size) {
    bytes_.resize((bytes_.size() + block_size - 1) / block_size * block_size);
  }
  uint32_t block_size() const override { return block_size_; }
  uint64_t block_count() const override { return bytes_.size() / block_size_; }
  const char* name() const override { return "memory"; }
  Result<void> Submit(hal::BlockRequest& request) override {
    std::memcpy(request.data, bytes_.data() + request.block * block_size_,
                size_t{request.block_count} * block_size_);
    request.status = ErrorCode::kOk;
    pending_ = &request;
    return Ok();
  }
  uint32_t Poll() override {
    hal::BlockRequest* request = std::exchange(pending_, nullptr);
    if (request == nullptr) {
      return 0;
    }
    request->done(*request);
    return 1;
  }

 private:
  Bytes bytes_;
  uint32_t block_size_;
  hal::BlockRequest* pending_ = nullptr;
};

Bytes Volume(const std::string& label, const std::string& text) {
  const std::string base = testing::TempDir() + "provision_test." + std::to_string(getpid());
  std::ofstream(base + ".txt") << text;
  const std::string command =
      "(rm -f " + base + ".img; PATH=$PATH:/usr/sbin mkfs.vfat -C -F 12 -n " + label + " " + base +
      ".img 1440 && mcopy -i " + base + ".img " + base + ".txt ::provision.txt) >/dev/null 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 0);
  std::ifstream file(base + ".img", std::ios::binary);
  Bytes bytes(std::istreambuf_iterator<char>(file), {});
  std::remove((base + ".img").c_str());
  std::remove((base + ".txt").c_str());
  return bytes;
}

// The volume at sector 64 of a disk with an MBR.
Bytes InMbr(const Bytes& volume) {
  Bytes disk(64 * 512);
  const size_t entry = 446 + 16;  // the second entry; the first is empty
  disk[entry + 4] = 0x0c;
  disk[entry + 8] = 64;
  for (uint32_t i = 0; i < 4; ++i) {
    disk[entry + 12 + i] = static_cast<uint8_t>(volume.size() / 512 >> 8 * i);
  }
  disk[510] = 0x55;
  disk[511] = 0xaa;
  disk.insert(disk.end(), volume.begin(), volume.end());
  return disk;
}

Bytes InGpt(const Bytes& volume, uint32_t block_size) {
  constexpr uint64_t kFirst = 128;
  const uint64_t blocks = kFirst + volume.size() / block_size + 64;
  image::GptTable table;
  table.disk[0] = 1;
  table.partition_count = 1;
  table.partitions[0].type[0] = 2;
  table.partitions[0].unique[0] = 3;
  table.partitions[0].first_block = kFirst;
  table.partitions[0].last_block = kFirst + volume.size() / block_size - 1;
  Bytes disk(blocks * block_size);
  Bytes start(image::GptStartSize(block_size));
  Bytes end(image::GptEndSize(block_size));
  image::EncodeGpt(table, block_size, blocks, start, end);
  std::copy(start.begin(), start.end(), disk.begin());
  std::copy(volume.begin(), volume.end(), disk.begin() + kFirst * block_size);
  std::copy(end.begin(), end.end(), disk.end() - static_cast<long>(end.size()));
  return disk;
}

class ProvisionTest : public testing::TestWithParam<uint32_t> {
 protected:
  Result<uint32_t> Read(Bytes bytes) {
    MemoryDisk disk(std::move(bytes), GetParam());
    return ReadProvisionVolume(disk, std::span<uint8_t, image::kGptScratchSize>(scratch_), out_);
  }
  std::string Text(const Result<uint32_t>& size) {
    return size.ok() ? std::string(AsText(std::span(out_).first(*size))) : "";
  }
  std::array<uint8_t, image::kGptScratchSize> scratch_ = {};
  std::array<uint8_t, 4096> out_ = {};
};

INSTANTIATE_TEST_SUITE_P(BlockSizes, ProvisionTest, testing::Values(512u, 4096u));

TEST_P(ProvisionTest, FindsTheVolumeOnABareDiskAndInAnMbr) {
  const Bytes volume = Volume("GATEHOUSE", "xConfiguration SystemUnit Name: \"edge\"\n");
  EXPECT_EQ(Text(Read(volume)), "xConfiguration SystemUnit Name: \"edge\"\n");
  EXPECT_EQ(Text(Read(InMbr(volume))), "xConfiguration SystemUnit Name: \"edge\"\n");
}

TEST_P(ProvisionTest, FindsTheVolumeInAGpt) {
  EXPECT_EQ(Text(Read(InGpt(Volume("GATEHOUSE", "text"), GetParam()))), "text");
}

TEST_P(ProvisionTest, AnotherLabelIsNotOurs) {
  EXPECT_EQ(Read(Volume("HOLIDAYS", "text")).code(), ErrorCode::kNotFound);
  EXPECT_EQ(Read(InMbr(Volume("HOLIDAYS", "text"))).code(), ErrorCode::kNotFound);
}

TEST_P(ProvisionTest, TooMuchTextIsRefused) {
  EXPECT_EQ(Read(Volume("GATEHOUSE", std::string(5000, 'x'))).code(), ErrorCode::kTooLarge);
}

TEST_P(ProvisionTest, AnEmptyDiskHasNone) {
  EXPECT_EQ(Read(Bytes(1 << 20)).code(), ErrorCode::kNotFound);
}

TEST_P(ProvisionTest, AnMbrThatPointsOutsideIsHarmless) {
  Bytes disk = InMbr(Volume("GATEHOUSE", "text"));
  disk[446 + 16 + 11] = 0xff;
  EXPECT_EQ(Read(disk).code(), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace gh::pc
