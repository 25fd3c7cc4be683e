// One configuration for each slot's image, so that going back gives the old one back.
//
// The store says whose configuration it holds (row "@image": slot and build). When an image finds
// that another one wrote it last, it first puts those rows aside, under "@A/" or "@B/", and then
// brings back the rows of its own earlier run; an image that never ran here has none and goes on
// with what is there. So an update starts with the configuration as it was at the restart, changes
// after the upload included, and a way back, by trial, operator or loader, ends in what the former
// image had. Rows are moved as they are, their schema with them ("@configured"), and brought
// forward afterwards (firmware/config/migrations.h).
//
// Everything happens in one transaction of the store: a cut leaves it undone or done, what is put
// aside is as large as the store allows, and as well protected as all that lies there. A store too
// full to put rows aside says so; going back then keeps the configuration that is there. A factory
// reset erases the store (boot/chain.h); an update that is written to a slot forgets its rows.
#pragma once

#include <span>
#include <string_view>

#include "firmware/store/store.h"
#include "hal/rt/fixed_string.h"
#include "image/limits.h"

namespace gh::upgrade {

inline constexpr std::string_view kImageKey = "@image";

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
  explicit Snapshots(SnapshotObserver& observer) : observer_(observer) {}
  Snapshots(const Snapshots&) = delete;
  Snapshots& operator=(const Snapshots&) = delete;

  // At the start, before anything reads the store. `slot` runs, as `build`.
  void AtStart(store::Store& store, uint32_t slot, std::string_view build);
  // An update is about to be written over `slot`.
  Result<void> Forget(store::Store& store, uint32_t slot);

 private:
  using Owner = FixedString<80>;  // "A build"
  struct Change {
    store::Store& store;
    uint32_t slot;
    const Owner& mine;
    const Owner& before;
  };
  Result<void> Switch(const Change& change);
  Result<void> Claim(store::Store& store, const Owner& mine);

  SnapshotObserver& observer_;
  uint32_t taken_ = 0;
  uint32_t restored_ = 0;
};

}  // namespace gh::upgrade
