#include "tests/powercut/scene.h"

#include <algorithm>
#include <cstring>

#include "crypto/init.h"
#include "hal/rt/bytes.h"
#include "image/slot_stream.h"

namespace gh::powercut {

namespace {

using image::PartitionRole;

// A third of the time is digests: libsodium's code for this processor, before the first of them.
[[maybe_unused]] const bool is_prepared = [] {
  crypto::Initialise();
  return true;
}();

constexpr uint64_t kSlotBytes = 32 * 1024;
constexpr uint64_t kStoreBytes = 32 * 1024;
constexpr uint64_t kLogBytes = 16 * 1024;
constexpr std::string_view kSecret = "correct horse battery staple";
constexpr std::string_view kKept = "address 192.0.2.7/24";
constexpr uint32_t kBootMax = 24;

// An area of the boot state partition: where it is there and on the simulated disk.
struct Area {
  uint64_t offset;
  uint64_t size;
};
constexpr Area kAreas[] = {
    {0 * image::kBootStateCopyStride, image::kBootStateCopySize},
    {1 * image::kBootStateCopyStride, image::kBootStateCopySize},
    {2 * image::kBootStateCopyStride, image::kBootStateCopySize},
    {3 * image::kBootStateCopyStride, image::kBootStateCopySize},
    {image::kStoreKeyOffset, 8192},
    {image::kKeyListAreaOffset, 8192},
    {image::kKeyListAreaOffset + image::kKeyListAreaStride, 8192},
    {image::kKeptSettingsOffset, 8192},
    {image::kSnapshotsOffset, 8192},
};
constexpr uint64_t kStateBytes = 4 * image::kBootStateCopySize + 5 * 8192;

struct Region {
  PartitionRole role;
  uint64_t start;
  uint64_t size;
};
constexpr Region kRegions[] = {
    {PartitionRole::kBootState, 0, kStateBytes},
    {PartitionRole::kSlotA, kStateBytes, kSlotBytes},
    {PartitionRole::kSlotB, kStateBytes + kSlotBytes, kSlotBytes},
    {PartitionRole::kFactory, kStateBytes + 2 * kSlotBytes, kSlotBytes},
    {PartitionRole::kStore, kStateBytes + 3 * kSlotBytes, kStoreBytes},
    {PartitionRole::kLog, kStateBytes + 3 * kSlotBytes + kStoreBytes, kLogBytes},
};
constexpr uint64_t kTotalBytes = kStateBytes + 3 * kSlotBytes + kStoreBytes + kLogBytes;
static_assert(kTotalBytes % 4096 == 0);

const Region* RegionOf(PartitionRole role) {
  for (const Region& region : kRegions) {
    if (region.role == role) {
      return &region;
    }
  }
  return nullptr;
}

// Where a byte range of a partition lies; nothing for the holes. A range never leaves its area by
// the loader's own 4 KiB steps, but an erase goes on into the hole behind it.
std::optional<Area> Place(PartitionRole role, uint64_t offset, uint64_t size) {
  const Region* region = RegionOf(role);
  if (region == nullptr) {
    return std::nullopt;
  }
  if (role != PartitionRole::kBootState) {
    return Area{region->start + offset, size};
  }
  uint64_t at = 0;
  for (const Area& area : kAreas) {
    if (offset >= area.offset && offset < area.offset + area.size) {
      return Area{at + (offset - area.offset), std::min(size, area.offset + area.size - offset)};
    }
    at += area.size;
  }
  return std::nullopt;
}

void KeyOf(uint8_t seed, image::tool::SigningKey& out) {
  std::array<uint8_t, crypto::kSigningSeedSize> bytes;
  bytes.fill(seed);
  image::tool::KeyFromSeed(bytes, true, out);
}

Image MakeImage(const image::tool::SigningKey& key, const char* version, uint64_t security_version,
                uint8_t fill, bool is_healthy, const Bytes& key_list = {}) {
  image::tool::Package package;
  package.version = version;
  package.build_id = std::string("build-") + version;
  package.security_version = security_version;
  package.block_size = 4096;
  package.key_list = key_list;
  package.segments.push_back(
      {gatehouse_image_SegmentKind_SEGMENT_FIRMWARE, "firmware", Bytes(5000, fill)});
  const std::array<const image::tool::SigningKey*, 1> keys = {&key};
  Image image{version, security_version, is_healthy, image::tool::BuildSlot(package, keys)};
  GH_ASSERT_LE(image.bytes.size(), kSlotBytes);
  return image;
}

class Memory final : public boot::ChainMemory {
 public:
  Result<std::span<uint8_t>> Allocate(uint64_t size) override {
    held_.push_back(std::make_unique<Bytes>(size));
    return std::span<uint8_t>(*held_.back());
  }
  void Release(std::span<uint8_t> memory) override {
    std::erase_if(held_, [&](const auto& one) { return one->data() == memory.data(); });
  }

 private:
  std::vector<std::unique_ptr<Bytes>> held_;
};

class Silence final : public boot::ChainReport {
 public:
  void Line(std::string_view /*text*/) override {}
  void Warning(std::string_view /*text*/) override {}
};

image::TrustPolicy FirmwarePolicy(uint64_t floor) {
  image::TrustPolicy policy;
  policy.keys = Images().keys;
  policy.board = "pc";
  policy.loader_version = boot::kLoaderVersion;
  policy.security_version_min = floor;
  return policy;
}

void PutText(Bytes& disk, PartitionRole role, uint64_t offset, std::string_view text) {
  std::copy(text.begin(), text.end(),
            disk.begin() + static_cast<ptrdiff_t>(Place(role, offset, text.size())->offset));
}

void PutImage(Bytes& disk, PartitionRole role, const Image& image) {
  std::copy(image.bytes.begin(), image.bytes.end(),
            disk.begin() + static_cast<ptrdiff_t>(RegionOf(role)->start));
}

void PutState(Bytes& disk, const image::BootState& state) {
  for (uint32_t copy = 0; copy < image::kBootStateCopyCount; ++copy) {
    image::EncodeBootState(state, copy,
                           std::span(disk)
                               .subspan(size_t{copy} * image::kBootStateCopySize)
                               .first<image::kBootStateCopySize>());
  }
}

image::BootState FactoryState() {
  image::BootState state;
  state.sequence = 1;
  state.security_version = 1;
  state.slots[0].state = image::SlotState::kConfirmed;
  state.slots[0].security_version = 1;
  state.slots[0].install_sequence = 1;
  return state;
}

}  // namespace

Library::Library() {
  image::tool::SigningKey trusted, other, root, next;
  KeyOf(1, trusted);
  KeyOf(2, other);
  KeyOf(3, root);
  KeyOf(4, next);
  root.trusted.role = gatehouse_image_KeyRole_KEY_ROOT;
  keys = {root.trusted, trusted.trusted};
  const std::array<image::tool::KeyListEntry, 2> entries = {
      {{next.trusted, false}, {trusted.trusted, true}}};
  const std::array<const image::tool::SigningKey*, 1> roots = {&root};
  const Bytes list = image::tool::BuildKeyList(1, 1, entries, roots);
  rotated = MakeImage(next, "3.0", 1, 0x44, true, list);
  golden = MakeImage(trusted, "1.0", 1, 0x11, true);
  update = MakeImage(trusted, "2.0", 2, 0x22, true);
  broken = MakeImage(trusted, "2.1", 2, 0x33, false);
  foreign = MakeImage(other, "6.6", 9, 0x66, true);
}

const Image* Library::Find(std::span<const uint8_t> slot) const {
  for (const Image* image : {&golden, &update, &broken, &rotated}) {
    if (slot.size() >= image->bytes.size() &&
        std::equal(image->bytes.begin(), image->bytes.end(), slot.begin())) {
      return image;
    }
  }
  return nullptr;
}

const Library& Images() {
  static const Library library;
  return library;
}

SceneDisk::SceneDisk(uint64_t seed, std::span<const uint8_t> content)
    : sim("disk", sim::Random(seed), kTotalBytes) {
  sim.Restore(content);
}

uint64_t SceneDisk::total_size() { return kTotalBytes; }

uint64_t SceneDisk::Size(PartitionRole role) {
  const Region* region = RegionOf(role);
  if (region == nullptr) {
    return 0;
  }
  return role == PartitionRole::kBootState ? image::kSnapshotsOffset + 8192 : region->size;
}

Result<void> SceneDisk::Read(PartitionRole role, uint64_t offset, std::span<uint8_t> out) {
  const auto place = Place(role, offset, out.size());
  GH_ASSERT(place);
  std::fill(out.begin() + static_cast<ptrdiff_t>(place->size), out.end(), uint8_t{0});
  return hal::ReadBlocks(sim, place->offset / 512, out.first(place->size));
}

Result<void> SceneDisk::Write(PartitionRole role, uint64_t offset, std::span<const uint8_t> data) {
  const bool is_lost = is_loader_running &&
                       ((planted == Planted::kTryNotCounted && role == PartitionRole::kBootState &&
                         offset < image::kStoreKeyOffset) ||
                        (planted == Planted::kStoreNotErased && role == PartitionRole::kStore));
  const auto place = Place(role, offset, data.size());
  if (!place || is_lost) {
    return Ok();  // a hole
  }
  return hal::WriteBlocks(sim, place->offset / 512, data.first(place->size));
}

Result<void> SceneDisk::Flush() {
  return planted == Planted::kFlushIgnored ? Ok() : hal::FlushBlocks(sim);
}

Result<void> SceneDisk::Read(uint64_t offset, std::span<uint8_t> out) {
  return Read(PartitionRole::kBootState, offset, out);
}

Result<void> SceneDisk::Write(uint64_t offset, std::span<const uint8_t> data) {
  return Write(PartitionRole::kBootState, offset, data);
}

std::span<const uint8_t> SceneDisk::Durable(PartitionRole role) const {
  const Region* region = RegionOf(role);
  return sim.durable().subspan(region->start, region->size);
}

void Scene::CheckStart(const boot::Chain& chain, const boot::ChainStart& start) {
  const Image* image = Images().Find(start.slot);
  if (image == nullptr) {
    return Fail("an image is started that nobody signed");
  }
  if (image->security_version < witness.floor) {
    Fail("image " + image->version + " is below the confirmed security version");
  }
  if (witness.is_key_revoked && image->version != Images().rotated.version) {
    Fail("image " + image->version + " is started though its key is revoked");
  }
  if (chain.state().security_version < witness.floor) {
    Fail("the security counter fell");
  }
  if (start.kind != boot::StartKind::kTrial) {
    return;
  }
  uint32_t& tries = witness.tries[start.letter == 'a' ? 0 : 1];
  if (start.tries_left >= tries) {
    Fail("a trial has " + std::to_string(start.tries_left) + " tries left after it had " +
         std::to_string(tries));
  }
  tries = start.tries_left;
}

// Nothing was started: then golden is damaged, or older than the record allows. (The record may
// know of a confirmation that was not acknowledged: the witness's floor can be lower.)
void Scene::CheckStranded(const boot::Chain& chain) {
  const Image* image = Images().Find(disk.Durable(PartitionRole::kFactory));
  if (image != nullptr && image->security_version >= chain.security_floor() &&
      chain.state().key_list_sequence == 0) {  // else its key is revoked
    Fail("nothing is started though the golden image is whole");
  }
}

std::optional<Started> Scene::Boot(bool is_button_down) {
  Memory memory;
  Silence silence;
  boot::ChainPolicy policy;
  policy.keys = Images().keys;
  policy.is_reset_button_down = is_button_down;
  disk.is_loader_running = true;
  boot::Chain chain(disk, memory, nullptr, silence, policy);
  boot::ChainStart start;
  chain.Begin();
  const bool is_started = chain.Next(start);
  disk.is_loader_running = false;
  if (!is_powered()) {
    return std::nullopt;  // the power went before the jump
  }
  is_record_lost = is_record_lost || chain.history().record == image::RecordStatus::kLost;
  is_stranded = !is_started;
  if (!is_started) {
    CheckStranded(chain);
    return std::nullopt;
  }
  CheckStart(chain, start);
  return Started{start.verified.manifest.version, start.letter, start.kind, start.tries_left};
}

void Scene::RunFirmware(const Started& started) {
  const Image* image = nullptr;
  for (const Image* one :
       {&Images().golden, &Images().update, &Images().broken, &Images().rotated}) {
    image = one->version == started.version ? one : image;
  }
  if (image == nullptr || !image->is_healthy || started.letter == 'g') {
    return;
  }
  bool is_changed = true;
  const bool is_saved = ChangeRecord([&](image::BootState& state) {
    is_changed = image::Confirm(state, started.letter == 'a' ? 0 : 1, image->security_version);
    return is_changed;
  });
  if (is_saved || (!is_changed && is_powered())) {
    witness.floor = std::max(witness.floor, image->security_version);
    witness.is_confirm_acknowledged = true;
    witness.is_key_revoked = witness.is_key_revoked || image == &Images().rotated;
  }
}

std::optional<Started> Scene::Settle() {
  for (uint32_t i = 0; i < kBootMax; ++i) {
    const auto started = Boot();
    if (!started || !is_powered()) {
      return std::nullopt;
    }
    RunFirmware(*started);
    if (!is_powered()) {
      return std::nullopt;
    }
    if (started->version != Images().broken.version) {
      return started;
    }
  }
  Fail("the machine goes round in circles");
  return std::nullopt;
}

void Scene::Install(const Image& image, uint32_t slot) {
  const PartitionRole role = slot == 0 ? PartitionRole::kSlotA : PartitionRole::kSlotB;
  if (!ChangeRecord([&](auto& state) { return image::BeginInstall(state, slot).ok(); }) ||
      !WriteSlot(image, role).ok()) {
    return;
  }
  witness.tries[slot] = image::kTriesDefault;  // may be on the disk from here on
  witness.is_install_acknowledged = ChangeRecord([&](image::BootState& state) {
    return image::InstallTrial(state, slot, image.security_version).ok();
  });
}

Result<void> Scene::WriteSlot(const Image& image, PartitionRole role) {
  Bytes metadata(image::kMetadataSizeMax), block(image::kBlockSizeMax);
  const auto policy = FirmwarePolicy(1);
  auto stream = std::make_unique<image::SlotStream>(metadata, block, policy, kSlotBytes);
  std::span<const uint8_t> rest(image.bytes);
  while (true) {
    GH_TRY_ASSIGN(const auto step, stream->Feed(rest));
    switch (step) {
      case image::SlotStreamStep::kHeader: {
        const Bytes zeros(image::kSlotHeaderSize);
        GH_TRY(disk.Write(role, 0, zeros));
        GH_TRY(disk.Flush());
        break;
      }
      case image::SlotStreamStep::kManifest:
        GH_TRY(disk.Write(role, image::kSlotHeaderSize, stream->Metadata()));
        break;
      case image::SlotStreamStep::kBlock:
        GH_TRY(disk.Write(role, stream->block_offset(), stream->block()));
        break;
      case image::SlotStreamStep::kComplete:
        GH_TRY(disk.Flush());
        GH_TRY(disk.Write(role, 0, stream->Header()));
        return disk.Flush();
      case image::SlotStreamStep::kNeedMore:
        return Error(ErrorCode::kTruncated, "the update ended early");
    }
  }
}

Bytes FactoryDisk() {
  Bytes disk(kTotalBytes);
  PutState(disk, FactoryState());
  PutImage(disk, PartitionRole::kSlotA, Images().golden);
  PutImage(disk, PartitionRole::kFactory, Images().golden);
  PutText(disk, PartitionRole::kBootState, image::kStoreKeyOffset + 100, kSecret);
  PutText(disk, PartitionRole::kBootState, image::kSnapshotsOffset + 4096 + 7, kSecret);
  PutText(disk, PartitionRole::kStore, 20000, kSecret);
  PutText(disk, PartitionRole::kLog, 9000, kSecret);
  PutText(disk, PartitionRole::kBootState, image::kKeptSettingsOffset, kKept);
  return disk;
}

Bytes UpdatedDisk(const Image& image, bool is_confirmed) {
  Bytes disk = FactoryDisk();
  image::BootState state = FactoryState();
  PutImage(disk, PartitionRole::kSlotB, image);
  GH_ASSERT(image::InstallTrial(state, 1, image.security_version).ok());
  if (is_confirmed) {
    image::Confirm(state, 1, image.security_version);
    state.started = 1;
  }
  PutState(disk, state);
  return disk;
}

uint32_t CountSecrets(const SceneDisk& disk) {
  const auto medium = AsText(disk.sim.durable());
  uint32_t count = 0;
  for (size_t at = medium.find(kSecret); at != std::string_view::npos;
       at = medium.find(kSecret, at + 1)) {
    ++count;
  }
  return count;
}

bool HasKeptSettings(const SceneDisk& disk) {
  return AsText(disk.sim.durable()).find(kKept) != std::string_view::npos;
}

}  // namespace gh::powercut
