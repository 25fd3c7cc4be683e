// Receives a signed image by YMODEM and writes it to a slot, verified as it arrives.
//
// Nothing is written until the manifest is verified: a file that is not for this machine leaves the
// slot as it was. Then the slot's header is erased first and written last, so that a transfer that
// breaks off leaves an empty slot, never a half one; and the record takes the slot out first and
// puts it on trial last. The file is never staged.
#pragma once

#include <cstdint>
#include <span>

#include "boot/chain.h"
#include "boot/uefi/console.h"
#include "boot/uefi/partitions.h"
#include "boot/uefi/services.h"
#include "image/slot_stream.h"
#include "image/ymodem.h"

namespace gh::boot {

class Receiver {
 public:
  Receiver(Services& services, Console& console, PartitionDisk& disk, Chain& chain,
           uint64_t tsc_per_ms)
      : services_(services),
        console_(console),
        disk_(disk),
        chain_(chain),
        tsc_per_ms_(tsc_per_ms) {}
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;

  // `slot`: 0 (a) or 1 (b). Tells on the console how it went.
  void Run(uint32_t slot);

 private:
  Instant Now() const;
  Result<void> Prepare();
  Result<void> Transfer(image::YmodemReceiver& line, image::SlotStream& stream, uint32_t slot);
  Result<void> TakeData(std::span<const uint8_t> bytes, image::SlotStream& stream, uint32_t slot);
  Result<void> TakeStep(image::SlotStreamStep step, image::SlotStream& stream, uint32_t slot);
  void SendReplies(image::YmodemReceiver& line);
  void Tell(const Result<void>& result, const image::YmodemReceiver& line,
            const image::SlotStream& stream, uint32_t slot, Instant start);

  Services& services_;
  Console& console_;
  PartitionDisk& disk_;
  Chain& chain_;
  uint64_t tsc_per_ms_;
  bool has_file_ = false;
  std::span<uint8_t> metadata_;
  std::span<uint8_t> block_;
};

}  // namespace gh::boot
