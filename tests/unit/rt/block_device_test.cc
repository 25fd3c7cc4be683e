// The synchronous block helpers over a slow, failing disk with a queue of one.
#include "hal/block_device.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <vector>

namespace gh::hal {
namespace {

// A disk in memory with a queue of one, that completes a request on the second Poll() after it.
class SlowDisk final : public BlockDevice {
 public:
  explicit SlowDisk(uint32_t block_count) : bytes(block_count * 512) {}
  uint32_t block_size() const override { return 512; }
  uint64_t block_count() const override { return bytes.size() / 512; }
  const char* name() const override { return "slow"; }
  Result<void> Submit(BlockRequest& request) override {
    if (submit_error != ErrorCode::kOk) {
      return submit_error;
    }
    if (pending != nullptr || busy_polls > 0) {
      return ErrorCode::kExhausted;
    }
    pending = &request;
    delay = 1;
    ops.push_back(request.op);
    counts.push_back(request.block_count);
    return {};
  }
  uint32_t Poll() override {
    ++poll_count;
    if (busy_polls > 0) {
      --busy_polls;
      return 0;
    }
    if (pending == nullptr || delay-- > 0) {
      return 0;
    }
    BlockRequest& request = *pending;
    pending = nullptr;
    const size_t size = size_t{request.block_count} * 512;
    if (request.op == BlockOp::kRead) {
      std::memcpy(request.data, bytes.data() + request.block * 512, size);
    } else if (request.op == BlockOp::kWrite) {
      std::memcpy(bytes.data() + request.block * 512, request.data, size);
    }
    request.status = --good_requests < 0 ? ErrorCode::kIoError : ErrorCode::kOk;
    request.done(request);
    return 1;
  }

  std::vector<uint8_t> bytes;
  BlockRequest* pending = nullptr;
  int delay = 0;
  int busy_polls = 0;
  int poll_count = 0;
  int good_requests = 1000;
  ErrorCode submit_error = ErrorCode::kOk;
  std::vector<BlockOp> ops;
  std::vector<uint32_t> counts;
};

TEST(BlockDeviceTest, WritesAndReadsBack) {
  SlowDisk disk(16);
  std::vector<uint8_t> data(3 * 512), back(3 * 512);
  std::iota(data.begin(), data.end(), uint8_t{1});
  ASSERT_TRUE(WriteBlocks(disk, 13, data).ok());
  ASSERT_TRUE(FlushBlocks(disk).ok());
  ASSERT_TRUE(ReadBlocks(disk, 13, back).ok());
  EXPECT_EQ(back, data);
  EXPECT_EQ(disk.ops, (std::vector<BlockOp>{BlockOp::kWrite, BlockOp::kFlush, BlockOp::kRead}));
}

TEST(BlockDeviceTest, LargeTransfersAreSeveralRequests) {
  SlowDisk disk(2000);
  std::vector<uint8_t> data(1300 * 512), back(1300 * 512);
  for (size_t i = 0; i < data.size(); ++i) {
    data[i] = static_cast<uint8_t>(i / 512 + i);
  }
  ASSERT_TRUE(WriteBlocks(disk, 700, data).ok());
  ASSERT_TRUE(ReadBlocks(disk, 700, back).ok());
  EXPECT_EQ(back, data);
  EXPECT_EQ(disk.counts, (std::vector<uint32_t>{512, 512, 276, 512, 512, 276}));
}

TEST(BlockDeviceTest, WaitsOutAFullQueue) {
  SlowDisk disk(4);
  disk.busy_polls = 5;
  std::vector<uint8_t> data(512);
  EXPECT_TRUE(ReadBlocks(disk, 0, data).ok());
  EXPECT_GE(disk.poll_count, 7);
}

TEST(BlockDeviceTest, RefusesRangesBeyondTheEnd) {
  SlowDisk disk(4);
  std::vector<uint8_t> data(1024);
  EXPECT_TRUE(ReadBlocks(disk, 2, data).ok());
  EXPECT_EQ(ReadBlocks(disk, 3, data).code(), ErrorCode::kOutOfRange);
  EXPECT_EQ(WriteBlocks(disk, UINT64_MAX, data).code(), ErrorCode::kOutOfRange);
  EXPECT_EQ(disk.ops.size(), 1u);
  EXPECT_TRUE(ReadBlocks(disk, 4, {}).ok());
}

TEST(BlockDeviceTest, PassesErrorsOn) {
  SlowDisk disk(2000);
  std::vector<uint8_t> data(1200 * 512);
  disk.good_requests = 1;  // the second of three fails
  EXPECT_EQ(ReadBlocks(disk, 0, data).code(), ErrorCode::kIoError);
  EXPECT_EQ(disk.ops.size(), 2u);
  EXPECT_EQ(FlushBlocks(disk).code(), ErrorCode::kIoError);
  disk.submit_error = ErrorCode::kNoDevice;
  EXPECT_EQ(WriteBlocks(disk, 0, data).code(), ErrorCode::kNoDevice);
}

TEST(BlockDeviceDeathTest, WholeBlocksOnly) {
  SlowDisk disk(4);
  std::vector<uint8_t> data(513);
  EXPECT_DEATH((void)ReadBlocks(disk, 0, data), "block_size");
}

}  // namespace
}  // namespace gh::hal
