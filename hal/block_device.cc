#include "hal/block_device.h"

namespace gh::hal {
namespace {

// The largest single request of the synchronous forms; a larger transfer is several requests.
constexpr uint32_t kSyncTransferBytesMax = 256 * 1024;

// The device owes a completion for everything it took, with kTimeout or kIoError if need be.
Result<void> RunToDone(BlockDevice& device, BlockRequest& request) {
  bool done = false;
  request.context = &done;
  request.done = [](BlockRequest& finished) { *static_cast<bool*>(finished.context) = true; };
  for (;;) {
    Result<void> submitted = device.Submit(request);
    if (submitted.ok()) {
      break;
    }
    if (submitted.code() != ErrorCode::kExhausted) {
      return submitted.error();
    }
    device.Poll();
  }
  GH_ASSERT(!done);  // never from Submit()
  while (!done) {
    device.Poll();
  }
  if (request.status != ErrorCode::kOk) {
    return Error(request.status, "block device request failed");
  }
  return {};
}

Result<void> Transfer(BlockDevice& device, BlockOp op, uint64_t block, uint8_t* data,
                      size_t byte_count) {
  const uint32_t block_size = device.block_size();
  GH_ASSERT_EQ(byte_count % block_size, 0u);
  uint64_t left = byte_count / block_size;
  if (block > device.block_count() || left > device.block_count() - block) {
    return Error(ErrorCode::kOutOfRange, "beyond the end of the block device");
  }
  const uint32_t step_max = kSyncTransferBytesMax / block_size;
  while (left > 0) {
    BlockRequest request;
    request.op = op;
    request.block = block;
    request.block_count = left < step_max ? static_cast<uint32_t>(left) : step_max;
    request.data = data;
    GH_TRY(RunToDone(device, request));
    block += request.block_count;
    left -= request.block_count;
    data += size_t{request.block_count} * block_size;
  }
  return {};
}

}  // namespace

Result<void> ReadBlocks(BlockDevice& device, uint64_t block, std::span<uint8_t> out) {
  return Transfer(device, BlockOp::kRead, block, out.data(), out.size());
}

Result<void> WriteBlocks(BlockDevice& device, uint64_t block, std::span<const uint8_t> data) {
  // A write does not touch its data; the request's pointer is shared with reads.
  return Transfer(device, BlockOp::kWrite, block, const_cast<uint8_t*>(data.data()), data.size());
}

Result<void> FlushBlocks(BlockDevice& device) {
  BlockRequest request;
  request.op = BlockOp::kFlush;
  return RunToDone(device, request);
}

}  // namespace gh::hal
