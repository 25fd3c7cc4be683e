// The boot state record as the firmware sees and changes it: every change is one rule of
// image/bootstate_changes.h, durable when the call returns.
//
// Calls wait for the disk (four blocks and two flushes): an operator's doing, never a packet's.
// Fault model: the record may be lost or its disk fail; then status() says so, and every change is
// refused with that reason.
#pragma once

#include <span>
#include <string_view>

#include "firmware/upgrade/upgrade.h"
#include "hal/block_device.h"
#include "hal/rt/arena.h"
#include "image/bootstate.h"
#include "image/bootstate_changes.h"
#include "image/bootstate_copies.h"
#include "image/slot.h"

namespace gh::upgrade {

class BootRecord final : public SlotLedger {
 public:
  // `device` is null on a machine without one. In the arena: the disk reads into it.
  explicit BootRecord(hal::BlockDevice* device) : disk_(device), copies_(disk_) {}
  BootRecord(const BootRecord&) = delete;
  BootRecord& operator=(const BootRecord&) = delete;

  // Once, before anything else. kNoDevice, kNotFound (lost), or the disk's error.
  Result<void> Load();
  bool is_loaded() const { return is_loaded_; }
  image::RecordStatus status() const { return copies_.status(); }
  const image::BootState& state() const { return state_; }

  Result<void> ForgetSlot(uint32_t slot) override;
  Result<void> OfferTrial(uint32_t slot, uint64_t security_version) override;
  // False: nothing had to be written.
  Result<bool> Confirm(uint32_t slot, uint64_t security_version);
  Result<void> Revert(uint32_t slot, std::string_view reason);
  Result<void> Select(uint32_t slot);
  Result<void> RequestReset(bool keep_network, image::ResetSource source);
  Result<void> SelectGolden();
  // Whether an update may be written to `slot` now; else why not.
  Result<void> MayInstall(uint32_t slot) const;
  // Writes only when one of them differs.
  Result<void> SetTrial(uint32_t tries, uint32_t confirm_seconds);
  // The operator knows of the revert; the log knows of the reset.
  Result<void> AcknowledgeRevert();
  Result<void> AcknowledgeReset();

  // The areas beside the record (image/limits.h). `data` is DMA-able, whole blocks.
  Result<void> ReadArea(uint64_t offset, std::span<uint8_t> data);
  Result<void> WriteArea(uint64_t offset, std::span<const uint8_t> data);

  // The key list in force (image/key_list.h); sequence 0 in `out`: none. `scratch` holds
  // image::kKeyListSizeMax bytes of arena memory.
  void LoadKeyRing(std::span<const image::TrustedKey> keys, uint32_t root_signature_count_min,
                   std::span<uint8_t> scratch, image::KeyRing& out);
  // Puts a list that was verified, of this sequence, into its entry and then in force.
  Result<void> PutKeyList(std::span<const image::TrustedKey> keys,
                          uint32_t root_signature_count_min, std::span<uint8_t> scratch,
                          std::span<const uint8_t> list, uint64_t sequence);

 private:
  class Disk final : public image::StateDisk {
   public:
    explicit Disk(hal::BlockDevice* device) : device_(device) {}
    bool present() const { return device_ != nullptr; }
    Result<void> Read(uint64_t offset, std::span<uint8_t> out) override;
    Result<void> Write(uint64_t offset, std::span<const uint8_t> data) override;
    Result<void> Flush() override;

   private:
    hal::BlockDevice* device_;
  };
  template <typename Change>
  Result<void> Apply(Change change);

  Disk disk_;
  image::BootStateCopies copies_;
  image::BootState state_;
  bool is_loaded_ = false;
};

}  // namespace gh::upgrade
