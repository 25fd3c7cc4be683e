#include "firmware/upgrade/boot_record.h"

#include "image/key_list.h"

namespace gh::upgrade {

Result<void> BootRecord::Disk::Read(uint64_t offset, std::span<uint8_t> out) {
  return hal::ReadBlocks(*device_, offset / device_->block_size(), out);
}

Result<void> BootRecord::Disk::Write(uint64_t offset, std::span<const uint8_t> data) {
  return hal::WriteBlocks(*device_, offset / device_->block_size(), data);
}

Result<void> BootRecord::Disk::Flush() { return hal::FlushBlocks(*device_); }

Result<void> BootRecord::Load() {
  if (!disk_.present()) {
    return Error(ErrorCode::kNoDevice, "this machine keeps no boot state");
  }
  GH_TRY_ASSIGN(state_, copies_.Load());
  is_loaded_ = true;
  return Ok();
}

void BootRecord::LoadKeyRing(std::span<const image::TrustedKey> keys,
                             uint32_t root_signature_count_min, std::span<uint8_t> scratch,
                             image::KeyRing& out) {
  out = image::KeyRing();
  if (is_loaded_ && state_.key_list_sequence != 0) {
    image::KeyListArea(disk_, scratch)
        .Load(keys, root_signature_count_min, state_.key_list_sequence, out);
  }
}

// The entry first, then the record: in between the list before is in force.
Result<void> BootRecord::PutKeyList(std::span<const image::TrustedKey> keys,
                                    uint32_t root_signature_count_min, std::span<uint8_t> scratch,
                                    std::span<const uint8_t> list, uint64_t sequence) {
  image::BootState next = state_;
  GH_TRY(image::UseKeyList(next, sequence));
  image::KeyListArea area(disk_, scratch);
  image::KeyRing in_force;
  area.Load(keys, root_signature_count_min, state_.key_list_sequence, in_force);
  GH_TRY(area.Store(list));
  return Apply([&](image::BootState& state) { return image::UseKeyList(state, sequence); });
}

Result<void> BootRecord::MayInstall(uint32_t slot) const {
  if (!is_loaded_) {
    return Error(ErrorCode::kNoDevice, "this machine has no boot state: it cannot be upgraded");
  }
  image::BootState next = state_;
  return image::BeginInstall(next, slot);
}

Result<void> BootRecord::SelectGolden() {
  return Apply([](image::BootState& state) { return image::SelectGolden(state); });
}

// `change` alters a copy of the record and says whether it may be; only then is it written.
template <typename Change>
Result<void> BootRecord::Apply(Change change) {
  if (!is_loaded_) {
    return Error(ErrorCode::kWrongState, "the boot state cannot be read");
  }
  image::BootState next = state_;
  GH_TRY(change(next));
  if (next == state_) {
    return Ok();
  }
  GH_TRY(copies_.Save(next));
  state_ = next;
  return Ok();
}

Result<void> BootRecord::ForgetSlot(uint32_t slot) {
  return Apply([&](image::BootState& state) { return image::BeginInstall(state, slot); });
}

Result<void> BootRecord::OfferTrial(uint32_t slot, uint64_t security_version) {
  return Apply(
      [&](image::BootState& state) { return image::InstallTrial(state, slot, security_version); });
}

Result<bool> BootRecord::Confirm(uint32_t slot, uint64_t security_version) {
  bool changed = false;
  GH_TRY(Apply([&](image::BootState& state) -> Result<void> {
    changed = image::Confirm(state, slot, security_version);
    return Ok();
  }));
  return changed;
}

Result<void> BootRecord::Revert(uint32_t slot, std::string_view reason) {
  return Apply([&](image::BootState& state) { return image::Revert(state, slot, reason); });
}

Result<void> BootRecord::Select(uint32_t slot) {
  return Apply([&](image::BootState& state) { return image::SelectSlot(state, slot); });
}

Result<void> BootRecord::RequestReset(bool keep_network, image::ResetSource source) {
  return Apply([&](image::BootState& state) -> Result<void> {
    image::RequestReset(state, keep_network, source);
    return Ok();
  });
}

Result<void> BootRecord::SetTrial(uint32_t tries, uint32_t confirm_seconds) {
  return Apply(
      [&](image::BootState& state) { return image::SetTrial(state, tries, confirm_seconds); });
}

Result<void> BootRecord::AcknowledgeRevert() {
  return Apply([&](image::BootState& state) -> Result<void> {
    image::AcknowledgeRevert(state);
    return Ok();
  });
}

Result<void> BootRecord::AcknowledgeReset() {
  return Apply([&](image::BootState& state) -> Result<void> {
    image::AcknowledgeReset(state);
    return Ok();
  });
}

Result<void> BootRecord::ReadArea(uint64_t offset, std::span<uint8_t> data) {
  return disk_.present() ? disk_.Read(offset, data)
                         : Result<void>(Error(ErrorCode::kNoDevice, "no boot state"));
}

Result<void> BootRecord::WriteArea(uint64_t offset, std::span<const uint8_t> data) {
  if (!disk_.present()) {
    return Error(ErrorCode::kNoDevice, "no boot state");
  }
  GH_TRY(disk_.Write(offset, data));
  return disk_.Flush();
}

}  // namespace gh::upgrade
