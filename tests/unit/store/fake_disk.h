// A block device in memory that can fail and lose power as real ones do.
//
// Writes become durable at a flush. PowerCut() keeps a random subset of the unflushed writes, in
// random order, tears some of them inside a block, and forgets the rest.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "hal/block_device.h"
#include "hal/clock.h"

namespace gh::store {

class FakeDisk final : public hal::BlockDevice {
 public:
  FakeDisk(uint32_t block_size, uint64_t block_count)
      : block_size_(block_size), data_(block_size * block_count), durable_(data_) {}

  uint32_t block_size() const override { return block_size_; }
  uint64_t block_count() const override { return data_.size() / block_size_; }
  const char* name() const override { return "fake"; }

  Result<void> Submit(hal::BlockRequest& request) override {
    queue_.push_back(&request);
    return Ok();
  }
  uint32_t Poll() override {
    std::vector<hal::BlockRequest*> ready;
    ready.swap(queue_);
    for (hal::BlockRequest* request : ready) {
      request->status = Run(*request);
      request->done(*request);
    }
    return static_cast<uint32_t>(ready.size());
  }

  // Operations (reads, writes, flushes) from now on; the `at`-th fails, all later ones too when
  // `stays` is set. 0: none.
  void FailAt(uint64_t at, bool stays) {
    fail_at_ = at;
    fail_stays_ = stays;
    operation_count_ = 0;
  }
  bool failed() const { return failed_; }
  void ClearFailed() { failed_ = false; }
  uint64_t write_count() const { return write_count_; }
  // After `count` more writes or flushes everything fails: the power is gone.
  void CutAfter(uint64_t count) {
    cut_after_ = count;
    armed_ = true;
  }
  bool is_off() const { return off_; }
  void IgnoreFlushes() { ignore_flushes_ = true; }

  void PowerCut(std::mt19937_64& random) {
    std::shuffle(pending_.begin(), pending_.end(), random);
    for (const Write& write : pending_) {
      const uint64_t fate = random() % 4;
      if (fate == 0) {
        continue;
      }
      for (size_t at = 0; at < write.data.size(); at += block_size_) {
        uint8_t* place = durable_.data() + write.offset + at;
        if (fate == 1 && random() % 2 == 0) {  // torn: a part, or rubbish
          const size_t part = random() % block_size_;
          std::memcpy(place, write.data.data() + at, part);
          if (random() % 2 == 0) {
            place[random() % block_size_] ^= static_cast<uint8_t>(1 + random() % 255);
          }
          continue;
        }
        if (fate == 2 && random() % 2 == 0) {  // some of its blocks
          continue;
        }
        std::memcpy(place, write.data.data() + at, block_size_);
      }
    }
    pending_.clear();
    data_ = durable_;
    off_ = armed_ = false;
    fail_at_ = 0;
  }
  std::vector<uint8_t>& raw() { return data_; }
  void Put(uint64_t at, std::span<const uint8_t> bytes) {
    std::copy(bytes.begin(), bytes.end(), data_.begin() + static_cast<long>(at));
    std::copy(bytes.begin(), bytes.end(), durable_.begin() + static_cast<long>(at));
  }
  void FlipBit(uint64_t bit) {
    data_[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    durable_ = data_;
  }

 private:
  struct Write {
    uint64_t offset;
    std::vector<uint8_t> data;
  };

  ErrorCode Run(hal::BlockRequest& request) {
    ++operation_count_;
    if (fail_at_ != 0 &&
        (operation_count_ == fail_at_ || (fail_stays_ && operation_count_ > fail_at_))) {
      failed_ = true;
      return ErrorCode::kIoError;
    }
    if (request.op != hal::BlockOp::kRead && armed_) {
      off_ = off_ || cut_after_ == 0;
      cut_after_ -= off_ ? 0 : 1;
    }
    const uint64_t offset = request.block * block_size_;
    const size_t size = size_t{request.block_count} * block_size_;
    if (request.op == hal::BlockOp::kWrite) {
      ++write_count_;
      pending_.push_back({offset, {request.data, request.data + size}});  // may be torn
    }
    if (off_) {
      return ErrorCode::kIoError;
    }
    if (request.op == hal::BlockOp::kRead) {
      std::memcpy(request.data, data_.data() + offset, size);
    } else if (request.op == hal::BlockOp::kWrite) {
      std::memcpy(data_.data() + offset, request.data, size);
    } else if (request.op == hal::BlockOp::kFlush && !ignore_flushes_) {
      durable_ = data_;
      pending_.clear();
    }
    return ErrorCode::kOk;
  }

  bool ignore_flushes_ = false;
  uint32_t block_size_;
  std::vector<uint8_t> data_;
  std::vector<uint8_t> durable_;
  std::vector<Write> pending_;
  std::vector<hal::BlockRequest*> queue_;
  uint64_t operation_count_ = 0;
  uint64_t fail_at_ = 0;
  bool fail_stays_ = false;
  bool failed_ = false;
  uint64_t write_count_ = 0;
  uint64_t cut_after_ = 0;
  bool armed_ = false;
  bool off_ = false;
};

class FakeClock final : public hal::Clock {
 public:
  Instant Now() override { return now; }
  WallTime Wall() override { return wall; }
  void SetWall(int64_t unix_ns) override { wall = {unix_ns, true}; }
  Instant now{1'000'000'000};
  WallTime wall;
};

}  // namespace gh::store
