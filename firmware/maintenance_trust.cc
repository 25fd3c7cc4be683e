// Who may sign what this machine starts, as the operator meets it: key lists, the choice of golden.
//
// A key list is put in force only when the running image stays one that may be started under it:
// a list can take away keys, never the image that takes it. What else it refuses is told.
#include <algorithm>

#include "firmware/maintenance.h"
#include "firmware/rooms.h"
#include "image/key_list.h"

namespace gh {
namespace {

using namespace gh::log::event;

constexpr const char* kPlaceNames[] = {"slot A", "slot B", "golden"};

// Whether the image on `device` would be started under `policy`, its payload aside.
Result<void> CheckSigned(hal::BlockDevice& device, const image::TrustPolicy& policy,
                         std::span<uint8_t> scratch) {
  GH_TRY(hal::ReadBlocks(device, 0, scratch.first(image::kSlotHeaderSize)));
  GH_TRY_ASSIGN(const image::SlotLayout layout,
                image::ParseSlotHeader(scratch, device.block_count() * device.block_size()));
  const auto metadata = scratch.first(layout.payload_offset);
  GH_TRY(hal::ReadBlocks(device, 0, metadata));
  image::VerifiedSlot verified;
  return image::VerifyMetadata(layout, metadata, policy, verified);
}

}  // namespace

// What an image must satisfy now, as the loader will ask.
image::TrustPolicy Maintenance::PolicyNow() {
  const hal::BootReport& report = rooms_.machine.boot.report();
  image::TrustPolicy policy;
  policy.keys = std::span(keys_).first(key_count_);
  policy.root_signature_count_min = report.root_signature_count_min;
  static_assert(image::kKeyListSizeMax <= image::kSlotHeaderSize + image::kManifestSizeMax);
  record_->LoadKeyRing(policy.keys, policy.root_signature_count_min, scratch_, ring_);
  policy.ring = &ring_;
  policy.key_list_sequence_min = record_->state().key_list_sequence;
  policy.board = rooms_.machine.board;
  policy.loader_version = report.loader_version;
  policy.security_version_min = std::max(report.security_floor, record_->state().security_version);
  return policy;
}

Result<uint64_t> Maintenance::TakeKeyList(std::span<const uint8_t> list,
                                          std::span<uint8_t> scratch) {
  GH_TRY(record_->MayInstall(TargetSlot()));
  image::TrustPolicy policy = PolicyNow();
  GH_TRY_ASSIGN(const image::KeyListParts parts, image::ParseKeyList(list));
  image::KeyRing wanted;
  GH_TRY(image::VerifyKeyList(parts, policy.keys, policy.root_signature_count_min, wanted));
  if (wanted.sequence <= record_->state().key_list_sequence) {
    return Error(ErrorCode::kRollback, wanted.sequence == record_->state().key_list_sequence
                                           ? "this key list is in force already"
                                           : "key list is older than the one in force");
  }
  policy.ring = &wanted;
  policy.key_list_sequence_min = wanted.sequence;
  hal::Machine& machine = rooms_.machine;
  hal::BlockDevice* running = runs_from_slot() ? machine.slots[running_slot()] : machine.factory;
  if (running == nullptr || !CheckSigned(*running, policy, scratch).ok()) {
    return Error(ErrorCode::kRefused,
                 "the running image is not signed by the keys of this list: first install an "
                 "update that is");
  }
  GH_TRY(record_->PutKeyList(policy.keys, policy.root_signature_count_min, scratch_, list,
                             wanted.sequence));
  ring_ = wanted;
  rooms_.log.Emit(KeyListInstalled{
      .list = ring_.sequence, .keys = ring_.count, .signers = ring_.signature_count_min});
  policy.ring = &ring_;
  WarnOfRefused(policy, scratch);
  return ring_.sequence;
}

// Slots that hold an image which the keys in force do not open any more.
void Maintenance::WarnOfRefused(const image::TrustPolicy& policy, std::span<uint8_t> scratch) {
  const hal::Machine& machine = rooms_.machine;
  hal::BlockDevice* const devices[] = {machine.slots[0], machine.slots[1], machine.factory};
  for (uint32_t place = 0; place < std::size(devices); ++place) {
    const bool is_empty = place < image::kBootSlotCount &&
                          record_->state().slots[place].state == image::SlotState::kEmpty;
    if (devices[place] == nullptr || is_empty) {
      continue;
    }
    const auto checked = CheckSigned(*devices[place], policy, scratch);
    if (!checked.ok() && checked.code() != ErrorCode::kNotFound) {
      rooms_.log.Emit(
          KeyListRefusesImage{.slot = kPlaceNames[place], .reason = checked.error().what});
    }
  }
}

Result<void> Maintenance::ChooseGolden(std::string_view by) {
  hal::BlockDevice* factory = rooms_.machine.factory;
  if (!has_chain() || factory == nullptr) {
    return Error(ErrorCode::kNoDevice, "this machine has no golden image");
  }
  GH_TRY(CheckSigned(*factory, PolicyNow(), upgrade_->scratch()));
  GH_TRY(record_->SelectGolden());
  rooms_.log.Emit(BootSlotChosen{.slot = "Golden", .by = by});
  return Ok();
}

// --- What a factory reset keeps
// ---------------------------------------------------------------------

void Maintenance::PresetNetwork() {
  class Taker final : public store::EntryVisitor {
   public:
    explicit Taker(config::Configuration& configuration) : configuration_(configuration) {}
    void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
      (void)configuration_.Preset(key, value);  // unknown to this version: left out
    }

   private:
    config::Configuration& configuration_;
  };
  config::Configuration& configuration = *rooms_.configuration;
  if (kept_ == nullptr || !configuration.is_factory()) {
    return;
  }
  Taker taker(configuration);
  const auto found = kept_->ForEach(taker);
  if (!found.ok()) {
    rooms_.log.Emit(BootStateFailed{.reason = found.error().what});
  } else if (configuration.preset_count() > 0) {
    rooms_.log.Emit(NetworkSettingsKept{.settings = configuration.preset_count()});
    rooms_.console.PutLine("The network settings of before the factory reset are in force");
  }
}

Result<void> Maintenance::KeepNetwork() {
  if (kept_ == nullptr || rooms_.configuration->is_factory()) {
    return Ok();
  }
  auto kept = kept_->Keep(rooms_.configuration->active());
  if (!kept.ok()) {
    rooms_.log.Emit(NetworkSettingsNotKept{.reason = kept.error().what});
  }
  return kept;
}

// --- Status
// -----------------------------------------------------------------------------------------

// Lines of xStatus Boot behind those of the slots. "Boot " is there already.
bool Maintenance::NextKey(uint64_t line, ByteWriter& out) {
  constexpr uint64_t kFixedLines = 5;
  const std::span<const image::TrustedKey> built_in = std::span(keys_).first(key_count_);
  switch (line) {
    case 0:
      out.Text("Golden Version: ");
      out.Text(versions_[image::kStartedGolden].empty() ? std::string_view("-")
                                                        : versions_[image::kStartedGolden].view());
      return true;
    case 1:
      out.Text("Golden Next: ");
      out.Text(record_->state().is_golden_next ? "Yes" : "No");
      return true;
    case 2:
      out.Text("KeyList Sequence: ");
      out.Decimal(ring_.sequence);
      return true;
    case 3:
      out.Text("KeyList Signers: ");
      out.Decimal(ring_.signature_count_min);
      return true;
    case 4:
      out.Text("KeyList RootSigners: ");
      out.Decimal(rooms_.machine.boot.report().root_signature_count_min);
      return true;
    default:
      break;
  }
  const bool has_list = ring_.sequence != 0;
  const auto keys = has_list ? ring_.all() : built_in;
  const uint64_t index = line - kFixedLines;
  if (index >= keys.size()) {
    return false;
  }
  const image::TrustedKey& key = keys[index];
  out.Text("KeyList Key ");
  out.Decimal(index + 1);
  out.Text(": ");
  out.HexBytes(crypto::KeyIdOf(key.key));
  out.Text(key.role == gatehouse_image_KeyRole_KEY_ROOT ? " root" : " release");
  out.Text(has_list ? " by the list" : " built in");
  out.Text(key.is_development ? ", DEVELOPMENT" : "");
  return true;
}

}  // namespace gh
