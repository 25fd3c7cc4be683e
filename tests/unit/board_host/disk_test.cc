// The file-backed block device: contract of hal/block_device.h on a real file.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "board/host/clock.h"
#include "board/host/file_block_device.h"

namespace gh::board {
namespace {

class Disk : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/gatehouse-disk-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    path_ = folder_ + "/store.img";
  }
  void TearDown() override {
    (void)unlink(path_.c_str());
    (void)rmdir(folder_.c_str());
  }
  int Open() {
    auto fd = OpenDiskFile(path_.c_str(), 1 << 20);
    EXPECT_TRUE(fd.ok());
    return fd.value_or(-1);
  }
  std::string folder_;
  std::string path_;
};

TEST_F(Disk, IsCreatedWithItsSpaceReservedAndPrivate) {
  const int fd = Open();
  struct stat info = {};
  ASSERT_EQ(fstat(fd, &info), 0);
  EXPECT_EQ(info.st_size, 1 << 20);
  EXPECT_GE(info.st_blocks * 512, 1 << 20);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  close(fd);
}

TEST_F(Disk, IsLockedAgainstASecondProcess) {
  const int fd = Open();
  EXPECT_EQ(OpenDiskFile(path_.c_str(), 1 << 20).code(), ErrorCode::kAlreadyExists);
  close(fd);
  const int again = Open();
  EXPECT_GE(again, 0);
  close(again);
}

TEST_F(Disk, WrongFilesAreRefused) {
  EXPECT_EQ(OpenDiskFile("/dev/null", 1 << 20).code(), ErrorCode::kUnsupported);
  EXPECT_EQ(OpenDiskFile("/nowhere/at/all", 1 << 20).code(), ErrorCode::kPermissionDenied);
  const int fd = open(path_.c_str(), O_CREAT | O_WRONLY, 0600);
  ASSERT_EQ(ftruncate(fd, 5000), 0);
  close(fd);
  EXPECT_EQ(OpenDiskFile(path_.c_str(), 1 << 20).code(), ErrorCode::kCorrupt);
}

TEST_F(Disk, WritesReachTheFileAndComeBack) {
  const int fd = Open();
  std::vector<uint8_t> data(3 * 512);
  for (size_t i = 0; i < data.size(); ++i) {
    data[i] = static_cast<uint8_t>(i * 7);
  }
  {
    FileBlockDevice disk("store", fd, 512);
    ASSERT_TRUE(disk.Start().ok());
    EXPECT_EQ(disk.block_count(), 2048u);
    ASSERT_TRUE(hal::WriteBlocks(disk, 2045, data).ok());
    ASSERT_TRUE(hal::FlushBlocks(disk).ok());
    EXPECT_EQ(disk.flush_count(), 1u);
    EXPECT_EQ(hal::WriteBlocks(disk, 2046, data).code(), ErrorCode::kOutOfRange);
  }
  std::vector<uint8_t> read(data.size());
  ASSERT_EQ(pread(fd, read.data(), read.size(), 2045 * 512), static_cast<ssize_t>(read.size()));
  EXPECT_EQ(read, data);
  FileBlockDevice disk("store", fd, 4096);
  ASSERT_TRUE(disk.Start().ok());
  EXPECT_EQ(disk.block_count(), 256u);
  std::vector<uint8_t> block(4096);
  ASSERT_TRUE(hal::ReadBlocks(disk, 255, block).ok());
  EXPECT_TRUE(std::equal(data.begin(), data.end(), block.begin() + 4096 - 1536));
  close(fd);
}

struct Note {
  int done = 0;
};

TEST_F(Disk, CompletionsComeFromPollAndTheQueueIsBounded) {
  const int fd = Open();
  FileBlockDevice disk("store", fd, 512);
  ASSERT_TRUE(disk.Start().ok());
  Note note;
  std::vector<uint8_t> data(512);
  std::array<hal::BlockRequest, kDiskQueueMax + 1> requests;
  for (uint32_t i = 0; i < requests.size(); ++i) {
    requests[i].op = i % 2 == 0 ? hal::BlockOp::kWrite : hal::BlockOp::kFlush;
    requests[i].block = i;
    requests[i].block_count = 1;
    requests[i].data = data.data();
    requests[i].context = &note;
    requests[i].done = [](hal::BlockRequest& r) { ++static_cast<Note*>(r.context)->done; };
  }
  for (uint32_t i = 0; i < kDiskQueueMax; ++i) {
    ASSERT_TRUE(disk.Submit(requests[i]).ok());
  }
  EXPECT_EQ(disk.Submit(requests[kDiskQueueMax]).code(), ErrorCode::kExhausted);
  usleep(20'000);
  EXPECT_EQ(note.done, 0);  // never but from Poll()
  while (disk.in_flight() > 0) {
    disk.Poll();
  }
  EXPECT_EQ(note.done, static_cast<int>(kDiskQueueMax));
  EXPECT_TRUE(disk.Submit(requests[kDiskQueueMax]).ok());
  disk.Drain();
  EXPECT_EQ(note.done, static_cast<int>(kDiskQueueMax) + 1);
  close(fd);
}

TEST_F(Disk, WhatIsCarriedAtOnceIsToldByPollAndKeepsTheMachineAwake) {
  const int fd = Open();
  FileBlockDevice disk("store", fd, 512);
  ASSERT_TRUE(disk.Start().ok());
  Note note;
  std::vector<uint8_t> data(512, 0x5A), read(512);
  hal::BlockRequest write{};
  write.op = hal::BlockOp::kWrite;
  write.block_count = 1;
  write.data = data.data();
  write.context = &note;
  write.done = [](hal::BlockRequest& r) { ++static_cast<Note*>(r.context)->done; };
  ASSERT_TRUE(disk.Submit(write).ok());
  EXPECT_EQ(note.done, 0);
  EXPECT_TRUE(disk.has_pending());
  hal::BlockRequest flush = write;  // behind it, by the worker
  flush.op = hal::BlockOp::kFlush;
  ASSERT_TRUE(disk.Submit(flush).ok());
  while (disk.in_flight() > 0) {
    disk.Poll();
  }
  EXPECT_EQ(note.done, 2);
  EXPECT_FALSE(disk.has_pending());
  ASSERT_EQ(pread(fd, read.data(), read.size(), 0), 512);
  EXPECT_EQ(read, data);
  close(fd);
}

TEST_F(Disk, ADescriptorSaysWhenThereAreCompletionsAndGoesQuiet) {
  const int fd = Open();
  FileBlockDevice disk("store", fd, 512);
  ASSERT_TRUE(disk.Start().ok());
  HostClock clock;
  HostIdle idle(clock, 0, 100);
  idle.Add(disk);
  for (int round = 0; round < 200; ++round) {
    Note note;
    hal::BlockRequest flush{};
    flush.op = hal::BlockOp::kFlush;
    flush.context = &note;
    flush.done = [](hal::BlockRequest& r) { ++static_cast<Note*>(r.context)->done; };
    ASSERT_TRUE(disk.Submit(flush).ok());
    const Instant start = clock.Now();
    while (note.done == 0) {
      idle.WaitUntil(clock.Now() + Duration::Seconds(10));
      disk.Poll();
      ASSERT_LT(clock.Now() - start, Duration::Seconds(9)) << "a wake-up was lost";
    }
  }
  // Nothing in flight: the wait lasts its time (a wake-up left over may end it once).
  disk.Poll();
  usleep(1000);
  disk.Poll();
  const Instant start = clock.Now();
  idle.WaitUntil(start + Duration::Milliseconds(30));
  EXPECT_GE(clock.Now() - start, Duration::Milliseconds(30));
  close(fd);
}

TEST_F(Disk, AFailingDiskReportsIt) {
  const int fd = Open();
  const int read_only = open(path_.c_str(), O_RDONLY);
  FileBlockDevice disk("store", read_only, 512);
  ASSERT_TRUE(disk.Start().ok());
  std::vector<uint8_t> data(512);
  EXPECT_TRUE(hal::ReadBlocks(disk, 0, data).ok());
  EXPECT_EQ(hal::WriteBlocks(disk, 0, data).code(), ErrorCode::kIoError);
  close(read_only);
  close(fd);
}

TEST_F(Disk, DiscardedBlocksReadAsZero) {
  const int fd = Open();
  FileBlockDevice disk("store", fd, 512);
  ASSERT_TRUE(disk.Start().ok());
  std::vector<uint8_t> data(1024, 0x77);
  ASSERT_TRUE(hal::WriteBlocks(disk, 8, data).ok());
  bool done = false;
  hal::BlockRequest discard{};
  discard.op = hal::BlockOp::kDiscard;
  discard.block = 8;
  discard.block_count = 1;
  discard.context = &done;
  discard.done = [](hal::BlockRequest& r) { *static_cast<bool*>(r.context) = true; };
  ASSERT_TRUE(disk.Submit(discard).ok());
  while (!done) {
    disk.Poll();
  }
  ASSERT_EQ(discard.status, ErrorCode::kOk);
  ASSERT_TRUE(hal::ReadBlocks(disk, 8, data).ok());
  EXPECT_EQ(data[512], 0x77);
  EXPECT_TRUE(data[0] == 0 || data[0] == 0x77);  // advice: some file systems cannot
  close(fd);
}

}  // namespace
}  // namespace gh::board
