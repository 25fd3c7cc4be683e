// One configuration for each slot's image, so that going back gives the old one back.
//
// The store says whose configuration it holds (row "@image": slot and build). When an image finds
// that another one wrote it last, it first puts those rows aside, in the other's area of the boot
// state partition, and then brings back the rows of its own earlier run; an image that never ran
// here has none and goes on with what is there. So an update starts with the configuration as it
// was at the restart, changes after the upload included, and a way back, by trial, operator or
// loader, ends in what the former image had. Rows are moved as they are. There is one schema so
// far; the image that changes it will find the rows' own in "@schema" and move them forward.
//
// Order: snapshot, flushed, its header last; then the store, in one transaction with "@image". A
// cut in between repeats the whole. Fault model: areas hold anything; a snapshot counts when its
// checksum does. One that does not fit its area is told and not taken: going back then keeps the
// configuration that is there. The areas are erased by a factory reset (boot/chain.h) and, for a
// slot, when an update is written to it.
#pragma once

#include <span>
#include <string_view>

#include "firmware/store/store.h"
#include "firmware/upgrade/boot_record.h"
#include "hal/rt/arena.h"
#include "hal/rt/fixed_string.h"
#include "image/limits.h"

namespace gh::upgrade {

inline constexpr uint32_t kSnapshotBytes = image::kSnapshotsSize / image::kBootSlotCount;
inline constexpr std::string_view kImageKey = "@image";
inline constexpr std::string_view kSchemaKey = "@schema";
// Of the rows in the store. To be raised when a setting is renamed.
inline constexpr uint8_t kSchema = 1;

class SnapshotObserver {
 public:
  virtual void OnSnapshotTaken(char slot, uint32_t rows) = 0;
  virtual void OnSnapshotRestored(char slot, uint32_t rows) = 0;
  virtual void OnSnapshotFailed(char slot, std::string_view reason) = 0;

 protected:
  ~SnapshotObserver() = default;
};

class Snapshots {
 public:
  Snapshots(Arena& arena, BootRecord& record, SnapshotObserver& observer);
  Snapshots(const Snapshots&) = delete;
  Snapshots& operator=(const Snapshots&) = delete;

  // At the start, before the store is read. `slot` runs, as `build`.
  void AtStart(store::Store& store, uint32_t slot, std::string_view build);
  // An update is about to be written over `slot`.
  Result<void> Forget(uint32_t slot);

 private:
  class Collector;
  class Owner;
  Result<void> Save(store::Store& store, uint32_t slot, std::string_view build);
  Result<bool> Find(uint32_t slot, std::string_view build);
  Result<void> Restore(store::Store& store, std::string_view mine);
  Result<void> Claim(store::Store& store, std::string_view mine);
  Result<void> PutOwner(store::Store& store, std::string_view mine);

  BootRecord& record_;
  SnapshotObserver& observer_;
  std::span<uint8_t> buffer_;
  uint32_t rows_ = 0;
};

}  // namespace gh::upgrade
