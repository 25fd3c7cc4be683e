// A block device: asynchronous requests, explicit flush, no ordering between requests in flight.
//
// Fault model: a completed write is durable only after a later Flush completes; a power cut may
// keep any subset of unflushed blocks, in any order, and tear the block being written.
#pragma once

#include <cstdint>
#include <span>

#include "hal/rt/result.h"

namespace gh::hal {

enum class BlockOp : uint8_t { kRead, kWrite, kFlush, kDiscard };

struct BlockRequest {
  BlockOp op = BlockOp::kRead;
  uint64_t block = 0;        // first block
  uint32_t block_count = 0;  // read, write, discard
  uint8_t* data = nullptr;   // block_count * block_size bytes, DMA-able (arena memory)
  void (*done)(BlockRequest& request) = nullptr;  // called from Poll(), never from Submit()
  void* context = nullptr;
  ErrorCode status = ErrorCode::kOk;  // valid when done() runs
  BlockRequest* next = nullptr;       // device's queue link while in flight
};

class BlockDevice {
 public:
  virtual uint32_t block_size() const = 0;  // 512 or 4096
  virtual uint64_t block_count() const = 0;
  virtual const char* name() const = 0;
  // The request stays the device's until done(). kExhausted: queue full, try after Poll().
  virtual Result<void> Submit(BlockRequest& request) = 0;
  // Runs completions; returns how many.
  virtual uint32_t Poll() = 0;

 protected:
  ~BlockDevice() = default;
};

// Synchronous forms, for boot and for the control plane's bounded work: submit and poll until done.
// Not from within Poll(): completions of other requests run meanwhile. The span is a whole number
// of blocks in DMA-able memory; a device completes whatever it took, with kTimeout if need be.
// kOutOfRange: beyond the device; else the device's own status.
Result<void> ReadBlocks(BlockDevice& device, uint64_t block, std::span<uint8_t> out);
Result<void> WriteBlocks(BlockDevice& device, uint64_t block, std::span<const uint8_t> data);
Result<void> FlushBlocks(BlockDevice& device);

}  // namespace gh::hal
