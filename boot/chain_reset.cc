// The factory reset of the boot chain: what is erased, in which order, and how it goes on after a
// power cut. boot/chain.h says why this order.
#include <algorithm>
#include <cstring>

#include "boot/chain.h"
#include "crypto/digest.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "image/bootstate_changes.h"

namespace gh::boot {

namespace {

using image::PartitionRole;
using image::ResetIntent;

enum ResetStep : uint8_t {
  kStoreKey = 1,
  kStore,
  kLog,
  kSettings,
  kGoldenCopy,
  kMarker,
  kLastStep = kMarker,
};

// In the store key's place while a reset runs: magic, the intent, zeros, a checksum over all.
constexpr std::array<uint8_t, 8> kMarkerMagic = {'G', 'H', 'R', 'E', 'S', 'E', 'T', '1'};
constexpr size_t kMarkerSize = 4096;

void EncodeMarker(ResetIntent intent, std::span<uint8_t, kMarkerSize> out) {
  std::fill(out.begin(), out.end(), uint8_t{0});
  std::copy(kMarkerMagic.begin(), kMarkerMagic.end(), out.begin());
  out[kMarkerMagic.size()] = static_cast<uint8_t>(intent);
  crypto::Blake2b256 hash("gatehouse.reset");
  hash.Update(out.first(kMarkerSize - image::kHashSize));
  const auto checksum = hash.Finish();
  std::copy(checksum.begin(), checksum.end(), out.end() - image::kHashSize);
}

}  // namespace

// A marker without an intent: the record was lost, or the intent was. The key is gone already, so
// going on is the only way that leaves a usable store.
void Chain::CheckResetMarker() {
  if (disk_.Size(PartitionRole::kBootState) < image::kSnapshotsOffset ||
      !partition_.Read(image::kStoreKeyOffset, block_).ok()) {
    return;
  }
  alignas(16) std::array<uint8_t, kMarkerSize> marker;
  for (const ResetIntent intent : {ResetIntent::kKeepNetwork, ResetIntent::kEverything}) {
    EncodeMarker(intent, marker);
    if (block_ == marker && state_.reset_intent == ResetIntent::kNone) {
      image::RequestReset(state_, intent == ResetIntent::kKeepNetwork);
      is_changed_ = true;
    }
  }
}

Result<void> Chain::RunReset() {
  if (state_.reset_intent == ResetIntent::kNone) {
    return Ok();
  }
  ReleaseSlot();
  report_.Line(state_.reset_intent == ResetIntent::kKeepNetwork
                   ? "factory reset: erasing everything but the network settings"
                   : "factory reset: erasing everything");
  if (is_changed_) {
    GH_TRY(SaveState());  // the intent first: from here on it is done to the end
  }
  while (state_.reset_step < kLastStep) {
    const uint8_t step = static_cast<uint8_t>(state_.reset_step + 1);
    GH_TRY(RunResetStep(step));
    GH_TRY(disk_.Flush());
    state_.reset_step = step;
    GH_TRY(SaveState());
  }
  FinishReset();
  GH_TRY(SaveState());
  history_.was_reset = true;
  report_.Line("factory reset: done");
  return Ok();
}

Result<void> Chain::RunResetStep(uint8_t step) {
  const bool is_whole = state_.reset_intent == ResetIntent::kEverything;
  switch (step) {
    case kStoreKey:
      GH_TRY(WriteMarker());
      GH_TRY(disk_.Flush());
      return EraseArea(PartitionRole::kBootState, image::kStoreKeyOffset + kMarkerSize,
                       image::kStoreKeySize - kMarkerSize);
    case kStore:
      return EraseArea(PartitionRole::kStore, 0, disk_.Size(PartitionRole::kStore));
    case kLog:
      return EraseArea(PartitionRole::kLog, 0, disk_.Size(PartitionRole::kLog));
    case kSettings:
      GH_TRY(EraseArea(PartitionRole::kBootState, image::kSnapshotsOffset, image::kSnapshotsSize));
      if (is_whole) {
        return EraseArea(PartitionRole::kBootState, image::kKeptSettingsOffset,
                         image::kKeptSettingsSize);
      }
      return Ok();
    case kGoldenCopy:
      return InstallGolden();
    case kMarker:
      return EraseArea(PartitionRole::kBootState, image::kStoreKeyOffset, kMarkerSize);
    default:
      GH_UNREACHABLE();
  }
}

void Chain::FinishReset() {
  state_.reset_intent = ResetIntent::kNone;
  state_.reset_step = 0;
  state_.was_reset = true;
  state_.is_golden_next = false;
  state_.revert = image::RevertRecord();
  const image::BootState defaults;
  state_.tries = defaults.tries;
  state_.confirm_seconds = defaults.confirm_seconds;
}

Result<void> Chain::WriteMarker() {
  EncodeMarker(state_.reset_intent, block_);
  return partition_.Write(image::kStoreKeyOffset, block_);
}

// Overwrites with zeros, the end of a partition of odd size included.
Result<void> Chain::EraseArea(PartitionRole role, uint64_t offset, uint64_t size) {
  const uint64_t total = std::min(size, disk_.Size(role) - std::min(offset, disk_.Size(role)));
  std::span<uint8_t> zeros = block_;
  auto chunk = memory_.Allocate(std::min<uint64_t>(total, kEraseChunkSize));
  if (chunk.ok() && chunk->size() > block_.size()) {
    zeros = *chunk;
  }
  std::fill(zeros.begin(), zeros.end(), uint8_t{0});
  Result<void> result;
  for (uint64_t done = 0; done < total && result.ok();) {
    const uint64_t count = std::min<uint64_t>(zeros.size(), total - done);
    result = disk_.Write(role, offset + done, zeros.first(count));
    done += count;
    report_.Progress(image::SpecOf(role).name, done, total);
  }
  if (chunk.ok()) {
    memory_.Release(*chunk);
  }
  return result;
}

// Golden into slot a, from the memory it was verified in. An image that may not be started is no
// reason to lose the slots that may.
Result<void> Chain::InstallGolden() {
  ChainStart golden;
  const auto loaded = LoadSlot(PartitionRole::kFactory, golden);
  if (!loaded.ok()) {
    ReleaseSlot();
    report_.Warning("factory reset: golden image cannot be used, the slots stay as they are:");
    report_.Warning(loaded.error().what);
    return Ok();
  }
  const auto copied = CopyToSlotA(golden.slot);
  const uint64_t newest = image::NewestInstall(state_);
  state_.slots = {};
  if (copied.ok()) {
    state_.slots[0].state = image::SlotState::kConfirmed;
    state_.slots[0].security_version = golden.verified.manifest.security_version;
    state_.slots[0].install_sequence = newest + 1;
    report_.Line("factory reset: golden image installed in slot-a");
  } else {
    report_.Warning("factory reset: slot-a cannot be written, golden image starts from its place:");
    report_.Warning(copied.error().what);
  }
  ReleaseSlot();
  return Ok();
}

// The headers go first and slot a's comes back last: at no time is there half an image.
Result<void> Chain::CopyToSlotA(std::span<const uint8_t> slot) {
  constexpr uint64_t kHeader = image::kSlotHeaderSize;
  if (slot.size() > disk_.Size(PartitionRole::kSlotA)) {
    return Error(ErrorCode::kNoSpace, "slot-a is smaller than the golden image");
  }
  if (disk_.Size(PartitionRole::kSlotB) != 0) {
    GH_TRY(EraseArea(PartitionRole::kSlotB, 0, kHeader));
  }
  GH_TRY(EraseArea(PartitionRole::kSlotA, 0, kHeader));
  GH_TRY(disk_.Flush());
  GH_TRY(disk_.Write(PartitionRole::kSlotA, kHeader, slot.subspan(kHeader)));
  GH_TRY(disk_.Flush());
  GH_TRY(disk_.Write(PartitionRole::kSlotA, 0, slot.first(kHeader)));
  GH_TRY(disk_.Flush());
  return CompareSlotA(slot);
}

Result<void> Chain::CompareSlotA(std::span<const uint8_t> slot) {
  for (uint64_t offset = 0; offset < slot.size(); offset += block_.size()) {
    GH_TRY(disk_.Read(PartitionRole::kSlotA, offset, block_));
    if (std::memcmp(block_.data(), slot.data() + offset, block_.size()) != 0) {
      return Error(ErrorCode::kCorrupt, "what was written to slot-a does not read back");
    }
  }
  return Ok();
}

}  // namespace gh::boot
