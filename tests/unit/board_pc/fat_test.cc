// The reader against volumes made by mkfs.vfat and mtools (dosfstools and mtools are needed anyway
// to make the image), and against damaged ones.
#include "board/pc/fat.h"

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

class MemorySectors final : public SectorReader {
 public:
  explicit MemorySectors(Bytes content) : bytes(std::move(content)) {}
  uint64_t sector_count() const override { return bytes.size() / kFatSectorSize; }
  Result<void> Read(uint64_t sector, std::span<uint8_t, kFatSectorSize> out) override {
    ++read_count;
    if (sector >= sector_count() || sector == bad_sector) {
      return ErrorCode::kIoError;
    }
    std::memcpy(out.data(), bytes.data() + sector * kFatSectorSize, kFatSectorSize);
    return Ok();
  }
  Bytes bytes;
  uint64_t bad_sector = UINT64_MAX;
  uint64_t read_count = 0;
};

std::string Text(size_t size) {
  std::string text;
  for (uint32_t line = 1; text.size() < size; ++line) {
    text += "xConfiguration Line " + std::to_string(line) + "\n";
  }
  text.resize(size);
  return text;
}

Bytes ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  Bytes bytes(static_cast<size_t>(file.tellg()));
  file.seekg(0).read(reinterpret_cast<char*>(bytes.data()), static_cast<long>(bytes.size()));
  return bytes;
}

// A volume of `bits` with `files` in its root directory.
Bytes MakeVolume(int bits, uint32_t kib,
                 const std::vector<std::pair<std::string, std::string>>& files) {
  const std::string folder = testing::TempDir() + "fat_test." + std::to_string(getpid());
  const std::string image = folder + "/volume.img";
  const auto run = [](const std::string& command) {
    EXPECT_EQ(std::system(("(" + command + ") >/dev/null 2>&1").c_str()), 0) << command;
  };
  run("rm -rf " + folder + " && mkdir -p " + folder + "/files");
  for (const auto& [name, text] : files) {
    std::ofstream(folder + "/files/" + name, std::ios::binary) << text;
  }
  run("PATH=$PATH:/usr/sbin mkfs.vfat -C -F " + std::to_string(bits) + " -s 1 -n GATEHOUSE " +
      image + " " + std::to_string(kib) + " && mcopy -i " + image + " " + folder + "/files/* ::");
  Bytes bytes = ReadAll(image);
  run("rm -rf " + folder);
  return bytes;
}

struct Kind {
  int bits;
  uint32_t kib;
};
class FatKinds : public testing::TestWithParam<Kind> {};

TEST_P(FatKinds, ReadsAFileByItsLongName) {
  const std::string text = Text(70'000);
  MemorySectors disk(MakeVolume(GetParam().bits, GetParam().kib,
                                {{"readme.txt", "other"}, {"provision.txt", text}}));
  FatVolume volume;
  ASSERT_TRUE(volume.Open(disk).ok());
  EXPECT_EQ(volume.bits(), static_cast<uint32_t>(GetParam().bits));
  EXPECT_EQ(volume.label(), "GATEHOUSE");
  Bytes out(100'000);
  for (const char* name : {"provision.txt", "PROVISION.TXT", "Provision.Txt"}) {
    const auto size = volume.ReadRootFile(name, out);
    ASSERT_TRUE(size.ok()) << name;
    EXPECT_EQ(AsText(std::span(out).first(*size)), text);
  }
  const auto other = volume.ReadRootFile("README.TXT", out);
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(AsText(std::span(out).first(*other)), "other");
  EXPECT_EQ(volume.ReadRootFile("absent.txt", out).code(), ErrorCode::kNotFound);
  EXPECT_EQ(volume.ReadRootFile("provision.tx", out).code(), ErrorCode::kNotFound);
  Bytes small(69'999);
  EXPECT_EQ(volume.ReadRootFile("provision.txt", small).code(), ErrorCode::kTooLarge);
}

TEST_P(FatKinds, AnEmptyFileIsEmpty) {
  MemorySectors disk(MakeVolume(GetParam().bits, GetParam().kib, {{"provision.txt", ""}}));
  FatVolume volume;
  ASSERT_TRUE(volume.Open(disk).ok());
  Bytes out(16);
  const auto size = volume.ReadRootFile("provision.txt", out);
  ASSERT_TRUE(size.ok());
  EXPECT_EQ(*size, 0u);
}

TEST_P(FatKinds, ManyFilesSpanSeveralSectors) {
  std::vector<std::pair<std::string, std::string>> files;
  for (int i = 0; i < 40; ++i) {
    files.emplace_back("a rather long file name " + std::to_string(i) + ".text", "x");
  }
  files.emplace_back("provision.txt", "last");
  MemorySectors disk(MakeVolume(GetParam().bits, GetParam().kib, files));
  FatVolume volume;
  ASSERT_TRUE(volume.Open(disk).ok());
  Bytes out(16);
  const auto size = volume.ReadRootFile("provision.txt", out);
  ASSERT_TRUE(size.ok());
  EXPECT_EQ(AsText(std::span(out).first(*size)), "last");
}

INSTANTIATE_TEST_SUITE_P(All, FatKinds,
                         testing::Values(Kind{12, 1440}, Kind{16, 8192}, Kind{32, 40'000}));

class FatDamage : public testing::Test {
 protected:
  FatDamage() : disk_(MakeVolume(12, 1440, {{"provision.txt", Text(5000)}})) {}
  ErrorCode ReadCode() {
    FatVolume volume;
    Bytes out(10'000);
    const auto opened = volume.Open(disk_);
    return opened.ok() ? volume.ReadRootFile("provision.txt", out).code() : opened.code();
  }
  MemorySectors disk_;
};

TEST_F(FatDamage, WhatIsNoFatIsNotFound) {
  ASSERT_EQ(ReadCode(), ErrorCode::kOk);
  disk_.bytes[510] = 0;
  EXPECT_EQ(ReadCode(), ErrorCode::kNotFound);
  disk_.bytes.assign(disk_.bytes.size(), 0);
  EXPECT_EQ(ReadCode(), ErrorCode::kNotFound);
  disk_.bytes.clear();
  EXPECT_NE(ReadCode(), ErrorCode::kOk);
}

// Every value of every byte of the boot sector's geometry: an error or a correct read, never more.
TEST_F(FatDamage, NoGeometryMakesItReadOutside) {
  const Bytes good = disk_.bytes;
  for (size_t at = 11; at < 62; ++at) {
    for (uint32_t value : {0u, 1u, 2u, 3u, 0x7fu, 0x80u, 0xfeu, 0xffu}) {
      disk_.bytes = good;
      disk_.bytes[at] = static_cast<uint8_t>(value);
      disk_.read_count = 0;
      (void)ReadCode();
      EXPECT_LT(disk_.read_count, 2000u) << at << " " << value;
    }
  }
}

TEST_F(FatDamage, ALoopInTheChainEnds) {
  // Every FAT entry points at cluster 2.
  const size_t fat_start = size_t{disk_.bytes[14]} * kFatSectorSize;
  const size_t fat_size = size_t{disk_.bytes[22]} * kFatSectorSize;
  for (size_t i = 0; i + 2 < fat_size; i += 3) {
    disk_.bytes[fat_start + i] = 0x02;
    disk_.bytes[fat_start + i + 1] = 0x20;
    disk_.bytes[fat_start + i + 2] = 0x00;
  }
  disk_.read_count = 0;
  (void)ReadCode();
  EXPECT_LT(disk_.read_count, 2000u);
}

TEST_F(FatDamage, AChainThatEndsEarlyIsMalformed) {
  const size_t fat_start = size_t{disk_.bytes[14]} * kFatSectorSize;
  const size_t fat_size = size_t{disk_.bytes[22]} * kFatSectorSize;
  std::fill_n(disk_.bytes.begin() + static_cast<long>(fat_start), fat_size, uint8_t{0xff});
  EXPECT_EQ(ReadCode(), ErrorCode::kMalformed);
  std::fill_n(disk_.bytes.begin() + static_cast<long>(fat_start), fat_size, uint8_t{0});
  EXPECT_EQ(ReadCode(), ErrorCode::kMalformed);
}

TEST_F(FatDamage, AReadErrorIsReported) {
  for (uint64_t sector = 0; sector < 40; ++sector) {
    disk_.bad_sector = sector;
    const ErrorCode code = ReadCode();
    EXPECT_TRUE(code == ErrorCode::kOk || code == ErrorCode::kIoError) << sector;
  }
  disk_.bad_sector = 0;
  EXPECT_EQ(ReadCode(), ErrorCode::kIoError);
}

}  // namespace
}  // namespace gh::pc
