// Sealed sectors on a block device: XChaCha20-Poly1305 with a fresh random nonce for every write,
// the unit's number as associated data.
//
// A unit is 8 KiB: 4 KiB of cipher text, then nonce (24) and tag (16) and zeros. Both are written
// by one request, so they do not come apart but by a torn write, and a torn unit does not
// authenticate: to the reader it is a sector that never was. What was moved to another place does
// not authenticate either; an older text of the same place does, and is for BlockFiles to find.
#pragma once

#include <cstdint>
#include <span>

#include "crypto/random.h"
#include "firmware/store/key_record.h"
#include "firmware/store/limits.h"
#include "firmware/store/write_queue.h"
#include "hal/block_device.h"
#include "hal/rt/arena.h"
#include "hal/rt/result.h"

namespace gh::store {

class SealedUnits {
 public:
  SealedUnits(Arena& arena, hal::BlockDevice& device, crypto::Random& random);
  SealedUnits(const SealedUnits&) = delete;
  SealedUnits& operator=(const SealedUnits&) = delete;

  // kUnsupported, kOutOfRange: the device cannot be used.
  Result<void> Check() const;
  uint64_t count() const;
  void SetKey(const StoreKey& key) { key.Derive("pages", key_); }

  // kNotFound: zeros, never written. kUnauthentic: torn, damaged, or not of this place and key.
  Result<void> Read(uint64_t unit, std::span<uint8_t> out);
  // For who reads many in a row, while no write waits. How many of them were read, at least one;
  // each may then be opened once, with errors as above. Its content lies there until the next call.
  Result<uint64_t> Fetch(uint64_t first, uint64_t count);
  Result<std::span<const uint8_t>> OpenFetched(uint64_t unit);
  void ForgetFetched();
  Result<void> Write(uint64_t unit, std::span<const uint8_t> data);
  // All that was written is durable on return, or will be before anything that is written later.
  Result<void> Flush();
  // Whether writes and flushes are waited for. Before they are again: queue().Drain().
  void SetWaiting(bool waits);
  WriteQueue& queue() { return queue_; }
  const WriteQueue& queue() const { return queue_; }
  // Overwrites with zeros.
  Result<void> Erase(uint64_t unit);
  // The first bytes of the partition as they lie there.
  Result<std::span<const uint8_t>> ReadRaw(uint64_t unit);
  uint64_t write_count() const { return write_count_; }

 private:
  Result<void> OpenIn(uint64_t unit, std::span<uint8_t> raw) const;
  void Seal(uint64_t unit, std::span<const uint8_t> data, std::span<uint8_t> out);
  uint64_t BlockOf(uint64_t unit) const { return unit * (kUnitSize / device_.block_size()); }

  hal::BlockDevice& device_;
  crypto::Random& random_;
  std::span<uint8_t> buffer_;
  std::span<uint8_t> fetched_;
  uint64_t fetched_first_ = 0;
  KeyBytes key_;
  WriteQueue queue_;
  bool waits_ = true;
  uint64_t write_count_ = 0;
};

}  // namespace gh::store
