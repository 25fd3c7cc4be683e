// A machine without a processor: a disk that loses power, the loader's whole decision on it, and
// the parts of the firmware that change what the next start does. Small: slots of 28 KiB.
//
// Beside the disk stands a witness: what was acknowledged before the power went, kept where no cut
// reaches. After each cut the machine is started again until it rests, and held against the
// witness. What may never happen, whatever the cut did, is checked in Boot() and Settle():
//   - an image is started that is not byte for byte one of those signed for this machine;
//   - its security version, or the record's, is below one that was confirmed;
//   - a trial is started with as many tries as it had before;
//   - nothing is started though an image is there that may be.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "board/sim/disk.h"
#include "boot/chain.h"
#include "image/bootstate_changes.h"
#include "image/tool/package.h"

namespace gh::powercut {

using Bytes = std::vector<uint8_t>;

// What the machine's disk can hold, made and signed once.
struct Image {
  std::string version;
  uint64_t security_version = 0;
  bool is_healthy = true;  // its firmware passes the health check
  Bytes bytes;
};

struct Library {
  Library();
  std::vector<image::TrustedKey> keys;
  Image golden;   // 1.0, security version 1
  Image update;   // 2.0, security version 2
  Image broken;   // 2.1, security version 2, never healthy
  Image rotated;  // 3.0, by a new key; brings the list that names it and revokes the others' key
  Image foreign;  // 6.6, security version 9, signed by a key nobody trusts
  const Image* Find(std::span<const uint8_t> slot) const;  // of those that are trusted
};
const Library& Images();

// What a run was told had been done.
struct Witness {
  uint64_t floor = 1;                                              // security version confirmed
  std::array<uint32_t, image::kBootSlotCount> tries = {255, 255};  // fewer than this are left
  bool is_key_revoked = false;                                     // the key list was confirmed
  bool is_install_acknowledged = false;
  bool is_confirm_acknowledged = false;
  bool is_reset_acknowledged = false;
  uint16_t seconds_acknowledged = image::kConfirmSecondsDefault;
  uint16_t seconds_tried = image::kConfirmSecondsDefault;
};

struct Started {
  std::string version;
  char letter = '-';
  boot::StartKind kind = boot::StartKind::kGolden;
  uint8_t tries_left = 0;
};

// Faults that a canary plants.
enum class Planted : uint8_t {
  kNothing,
  kFlushIgnored,    // nothing is durable before the jump
  kTryNotCounted,   // the record's writes in the loader are lost
  kStoreNotErased,  // the loader's writes to the store are lost
};

// The partitions on one simulated disk. The boot state partition's areas are cut short and the
// holes between them left out, to make a cut cheap.
class SceneDisk final : public boot::ChainDisk, public image::StateDisk {
 public:
  SceneDisk(uint64_t seed, std::span<const uint8_t> content);
  uint64_t Size(image::PartitionRole role) override;
  Result<void> Read(image::PartitionRole role, uint64_t offset, std::span<uint8_t> out) override;
  Result<void> Write(image::PartitionRole role, uint64_t offset,
                     std::span<const uint8_t> data) override;
  Result<void> Flush() override;
  // As StateDisk: the boot state partition.
  Result<void> Read(uint64_t offset, std::span<uint8_t> out) override;
  Result<void> Write(uint64_t offset, std::span<const uint8_t> data) override;

  static uint64_t total_size();
  // Bytes of a partition as they are on the medium.
  std::span<const uint8_t> Durable(image::PartitionRole role) const;

  sim::SimDisk sim;
  Planted planted = Planted::kNothing;
  bool is_loader_running = false;
};

class Scene {
 public:
  Scene(uint64_t seed, std::span<const uint8_t> content) : disk(seed, content) {}

  // One start: the loader's decision. Nothing when the power went, or when nothing is started.
  std::optional<Started> Boot(bool is_button_down = false);
  // What the started firmware does about its own slot: confirm if healthy.
  void RunFirmware(const Started& started);
  // Changes the record as the firmware does; false when it was not acknowledged.
  template <typename Change>
  bool ChangeRecord(Change change) {
    image::BootStateCopies copies(disk);
    auto state = copies.Load();
    if (!state.ok() || !change(*state)) {
      return false;
    }
    return copies.Save(*state).ok();
  }
  // The firmware's update, as it arrives: image/slot_stream.h's order.
  void Install(const Image& image, uint32_t slot);
  // Starts until a healthy firmware is confirmed, or nothing is started.
  std::optional<Started> Settle();

  bool is_powered() const { return !disk.sim.cut_happened(); }
  void Fail(const std::string& what) {
    if (failure.empty()) {
      failure = what;
    }
  }

  SceneDisk disk;
  Witness witness;
  std::string failure;          // the first invariant that was broken
  bool is_record_lost = false;  // all four copies: more damage than one cut can do
  bool is_stranded = false;     // the last start found nothing to start

 private:
  void CheckStart(const boot::Chain& chain, const boot::ChainStart& start);
  void CheckStranded(const boot::Chain& chain);
  Result<void> WriteSlot(const Image& image, image::PartitionRole role);
};

// A disk as it leaves the factory: golden in its place and in slot a, confirmed, secrets in every
// area that a reset must erase.
Bytes FactoryDisk();
// `FactoryDisk` after an update to `image` was installed in slot b; confirmed or on trial.
Bytes UpdatedDisk(const Image& image, bool is_confirmed);
// Occurrences of the planted secrets on the medium.
uint32_t CountSecrets(const SceneDisk& disk);
inline constexpr uint32_t kSecretCount = 4;  // store key, store, log, snapshots
bool HasKeptSettings(const SceneDisk& disk);

}  // namespace gh::powercut
