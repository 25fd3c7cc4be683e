// GPT: what we write we read, either copy alone is enough, and hostile tables are refused.
#include "image/gpt.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "hal/rt/bytes.h"
#include "hal/rt/crc32.h"
#include "image/partitions.h"

namespace gh::image {
namespace {

class MemoryDisk final : public BlockReader {
 public:
  MemoryDisk(uint32_t block_size, uint64_t block_count)
      : bytes(block_size * block_count), block_size_(block_size) {}
  uint32_t block_size() const override { return block_size_; }
  uint64_t block_count() const override { return bytes.size() / block_size_; }
  Result<void> Read(uint64_t block, std::span<uint8_t> out) override {
    EXPECT_EQ(out.size() % block_size_, 0u);
    EXPECT_LE(block * block_size_ + out.size(), bytes.size());
    if (block == broken_block) {
      return Error(ErrorCode::kIoError, "broken block");
    }
    std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(block * block_size_), out.size(),
                out.begin());
    return Ok();
  }
  std::vector<uint8_t> bytes;
  uint64_t broken_block = UINT64_MAX;

 private:
  uint32_t block_size_;
};

GptTable SampleTable() {
  GptTable table;
  table.disk.fill(0xd1);
  const struct {
    const char* name;
    uint64_t first, last;
    uint8_t type;
  } rows[] = {{"esp", 40, 49, 1}, {"slot-a", 50, 79, 2}, {"store", 100, 120, 5}};
  for (const auto& row : rows) {
    auto& partition = table.partitions[table.partition_count++];
    partition.type = GatehouseType(row.type);
    partition.unique.fill(row.type);
    partition.first_block = row.first;
    partition.last_block = row.last;
    partition.name.Assign(row.name);
  }
  return table;
}

MemoryDisk MakeDisk(const GptTable& table, uint32_t block_size = 512, uint64_t blocks = 200) {
  MemoryDisk disk(block_size, blocks);
  const std::span<uint8_t> bytes(disk.bytes);
  EncodeGpt(table, block_size, blocks, bytes.first(GptStartSize(block_size)),
            bytes.last(GptEndSize(block_size)));
  return disk;
}

Result<GptTable> Read(MemoryDisk& disk) {
  std::array<uint8_t, kGptScratchSize> scratch;
  GptTable table;
  GH_TRY(ReadGpt(disk, scratch, table));
  return table;
}

void ExpectSample(const GptTable& table) {
  const GptTable sample = SampleTable();
  ASSERT_EQ(table.partition_count, sample.partition_count);
  EXPECT_EQ(table.disk, sample.disk);
  for (uint32_t i = 0; i < sample.partition_count; ++i) {
    EXPECT_EQ(table.partitions[i].type, sample.partitions[i].type);
    EXPECT_EQ(table.partitions[i].unique, sample.partitions[i].unique);
    EXPECT_EQ(table.partitions[i].first_block, sample.partitions[i].first_block);
    EXPECT_EQ(table.partitions[i].last_block, sample.partitions[i].last_block);
    EXPECT_EQ(table.partitions[i].name.view(), sample.partitions[i].name.view());
  }
}

TEST(Gpt, RoundTripsWithBothBlockSizes) {
  for (const uint32_t block_size : {512u, 4096u}) {
    auto disk = MakeDisk(SampleTable(), block_size);
    const auto table = Read(disk);
    ASSERT_TRUE(table.ok()) << table.error().what;
    ExpectSample(*table);
    EXPECT_FALSE(table->is_backup);
    EXPECT_EQ(table->FindType(GatehouseType(2)), &table->partitions[1]);
    EXPECT_EQ(table->FindType(GatehouseType(9)), nullptr);
    EXPECT_EQ(disk.bytes[510], 0x55);
    EXPECT_EQ(disk.bytes[450], 0xee);
  }
}

TEST(Gpt, AnyChangedByteOfThePrimaryFallsBackToTheBackup) {
  auto disk = MakeDisk(SampleTable());
  for (size_t at = 512; at < 512 + 92; ++at) {
    disk.bytes[at] ^= 0x04;
    const auto table = Read(disk);
    ASSERT_TRUE(table.ok()) << at;
    EXPECT_TRUE(table->is_backup) << at;
    ExpectSample(*table);
    disk.bytes[at] ^= 0x04;
  }
  for (size_t at = 1024; at < GptStartSize(512); at += 13) {
    disk.bytes[at] ^= 0x40;
    const auto table = Read(disk);
    ASSERT_TRUE(table.ok()) << at;
    EXPECT_TRUE(table->is_backup) << at;
    disk.bytes[at] ^= 0x40;
  }
}

TEST(Gpt, UnreadablePrimaryFallsBackToTheBackup) {
  auto disk = MakeDisk(SampleTable());
  for (const uint64_t block : {1u, 2u}) {
    disk.broken_block = block;
    const auto table = Read(disk);
    ASSERT_TRUE(table.ok());
    EXPECT_TRUE(table->is_backup);
  }
}

TEST(Gpt, BothCopiesDamagedSaysWhatIsWrongWithTheFirst) {
  auto disk = MakeDisk(SampleTable());
  disk.bytes[512 + 60] ^= 1;
  disk.bytes[disk.bytes.size() - 512 + 60] ^= 1;
  const auto table = Read(disk);
  ASSERT_FALSE(table.ok());
  EXPECT_STREQ(table.error().what, "GPT: header checksum is wrong");
}

TEST(Gpt, EmptyDiskIsNotFound) {
  MemoryDisk disk(512, 200);
  EXPECT_EQ(Read(disk).code(), ErrorCode::kNotFound);
}

TEST(Gpt, OddDisksAreRefused) {
  MemoryDisk tiny(512, 2);
  EXPECT_EQ(Read(tiny).code(), ErrorCode::kUnsupported);
  MemoryDisk odd(1024, 100);
  EXPECT_EQ(Read(odd).code(), ErrorCode::kUnsupported);
}

// A header's fields, hostile, with a mended checksum; the backup is wiped.
class HostileGpt : public testing::Test {
 protected:
  HostileGpt() : disk_(MakeDisk(SampleTable())) {
    std::fill(disk_.bytes.end() - 512, disk_.bytes.end(), uint8_t{0});
  }
  void SetHeader(size_t offset, uint64_t value, size_t size) {
    auto field = std::span(disk_.bytes).subspan(512 + offset, size);
    ByteWriter writer(field);
    size == 8 ? writer.U64Le(value) : writer.U32Le(static_cast<uint32_t>(value));
    Mend();
  }
  void SetEntry(uint32_t index, size_t offset, uint64_t value) {
    ByteWriter{std::span(disk_.bytes).subspan(1024 + index * 128 + offset, 8)}.U64Le(value);
    const uint32_t crc = Crc32(std::span(disk_.bytes).subspan(1024, kGptEntriesSize));
    SetHeader(88, crc, 4);
  }
  void Mend() {
    auto header = std::span(disk_.bytes).subspan(512, 92);
    ByteWriter{header.subspan(16, 4)}.U32Le(0);
    ByteWriter{header.subspan(16, 4)}.U32Le(Crc32(header));
  }
  std::string Refusal() {
    const auto table = Read(disk_);
    return table.ok() ? "accepted" : table.error().what;
  }
  MemoryDisk disk_;
};

TEST_F(HostileGpt, Baseline) {
  Mend();
  EXPECT_EQ(Refusal(), "accepted");
}

TEST_F(HostileGpt, HeaderFields) {
  const struct {
    size_t offset;
    size_t size;
    uint64_t value;
    const char* reason;
  } cases[] = {
      {24, 8, 2, "GPT: header is not in its place"},
      {80, 4, 0, "GPT: entry count or size is out of range"},
      {80, 4, 129, "GPT: entry count or size is out of range"},
      {80, 4, 0xffffffff, "GPT: entry count or size is out of range"},
      {84, 4, 0, "GPT: entry count or size is out of range"},
      {84, 4, 64, "GPT: entry count or size is out of range"},
      {84, 4, 0x80000000, "GPT: entry count or size is out of range"},
      {72, 8, 199, "GPT: entries lie outside the disk"},
      {72, 8, UINT64_MAX, "GPT: entries lie outside the disk"},
      {72, 8, UINT64_MAX - 10, "GPT: entries lie outside the disk"},
      {72, 8, 3, "GPT: checksum of the entries is wrong"},
      {48, 8, 200, "GPT: usable range is outside the disk"},
      {48, 8, UINT64_MAX, "GPT: usable range is outside the disk"},
      {40, 8, UINT64_MAX, "GPT: usable range is outside the disk"},
  };
  for (const auto& c : cases) {
    const auto saved = disk_.bytes;
    SetHeader(c.offset, c.value, c.size);
    EXPECT_EQ(Refusal(), c.reason) << c.offset << " = " << c.value;
    disk_.bytes = saved;
  }
  for (const uint32_t size : {0u, 91u, 513u, 0xffffffffu}) {
    auto field = std::span(disk_.bytes).subspan(512 + 12, 4);
    ByteWriter{field}.U32Le(size);
    EXPECT_EQ(Refusal(), "GPT: header size is out of range");
  }
}

TEST_F(HostileGpt, PartitionsOutsideReversedOrOverlapping) {
  const struct {
    uint32_t entry;
    size_t offset;
    uint64_t value;
    const char* reason;
  } cases[] = {
      {0, 32, 0, "GPT: a partition lies outside the usable range"},
      {0, 32, 33, "GPT: a partition lies outside the usable range"},
      {0, 32, 50, "GPT: a partition lies outside the usable range"},  // after its end
      {2, 40, 199, "GPT: a partition lies outside the usable range"},
      {2, 40, UINT64_MAX, "GPT: a partition lies outside the usable range"},
      {1, 40, 100, nullptr},
      {1, 32, 49, "GPT: partitions overlap"},
  };
  for (const auto& c : cases) {
    const auto saved = disk_.bytes;
    SetEntry(c.entry, c.offset, c.value);
    EXPECT_EQ(Refusal(), c.reason == nullptr ? "GPT: partitions overlap" : c.reason)
        << c.entry << " " << c.offset << " = " << c.value;
    disk_.bytes = saved;
  }
}

TEST_F(HostileGpt, TooManyPartitions) {
  for (uint32_t i = 3; i <= kGptPartitionMax; ++i) {
    SetEntry(i, 0, 77);
    SetEntry(i, 32, 121 + i);
    SetEntry(i, 40, 121 + i);
  }
  EXPECT_EQ(Refusal(), "GPT: too many partitions");
}

}  // namespace
}  // namespace gh::image
