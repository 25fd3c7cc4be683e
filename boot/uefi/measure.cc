#include "boot/uefi/measure.h"

#include <algorithm>
#include <array>

#include "boot/limits.h"
#include "boot/tpm.h"

namespace gh::boot {

bool Tpm::Open(efi::BootServices& boot) {
  void* protocol = nullptr;
  if (efi::Failed(boot.locate_protocol(&efi::kTcg2Protocol, nullptr, &protocol))) {
    return false;
  }
  auto* tcg2 = static_cast<efi::Tcg2*>(protocol);
  efi::Tcg2Capability capability = {};
  capability.size = sizeof(capability);
  if (efi::Failed(tcg2->get_capability(tcg2, &capability)) || !capability.is_tpm_present) {
    return false;
  }
  tcg2_ = tcg2;
  return true;
}

Result<void> Tpm::Extend(uint32_t pcr, std::string_view text, std::span<const uint8_t> data) {
  std::array<uint8_t, kTpmEventSizeMax> buffer;
  const std::span<uint8_t> event = EncodeTpmEvent(pcr, text, buffer);
  const efi::Status status = tcg2_->hash_log_extend_event(
      tcg2_, 0, reinterpret_cast<uint64_t>(data.data()), data.size(), event.data());
  // A full log is the firmware's affair: the register was extended all the same.
  if (event.empty() || (efi::Failed(status) && status != efi::kVolumeFull)) {
    return Error(ErrorCode::kIoError, "the TPM did not take a measurement");
  }
  return Ok();
}

Result<void> Tpm::Measure(const image::VerifiedSlot& slot, std::span<const uint8_t> metadata) {
  GH_TRY(Extend(kPcrManifest, "gatehouse.manifest",
                metadata.subspan(slot.layout.manifest_offset, slot.layout.manifest_size)));
  std::array<uint8_t, image::kSegmentCountMax * image::kHashSize> roots;
  size_t size = 0;
  for (uint32_t i = 0; i < slot.manifest.segments_count; ++i) {
    const auto& root = slot.manifest.segments[i].tree_root;
    static_assert(sizeof(root) == image::kHashSize);
    std::copy_n(root, image::kHashSize, roots.begin() + size);
    size += image::kHashSize;
  }
  return Extend(kPcrPayload, "gatehouse.payload", std::span(roots).first(size));
}

Result<void> Tpm::Show(Handover& handover) {
  std::array<uint8_t, kTpmCommandSizeMax> command;
  std::array<uint8_t, kTpmResponseSizeMax> response = {};
  const std::span<uint8_t> request = EncodePcrRead(kShownPcrs, command);
  if (efi::Failed(tcg2_->submit_command(tcg2_, static_cast<uint32_t>(request.size()),
                                        request.data(), response.size(), response.data()))) {
    return Error(ErrorCode::kIoError, "the TPM does not give its registers");
  }
  GH_TRY_ASSIGN(handover.pcr_count, DecodePcrRead(response, handover.pcrs));
  return Ok();
}

Result<void> Tpm::Submit(std::span<const uint8_t> command, std::span<uint8_t> response) {
  if (command.empty() || efi::Failed(tcg2_->submit_command(
                             tcg2_, static_cast<uint32_t>(command.size()), command.data(),
                             static_cast<uint32_t>(response.size()), response.data()))) {
    return Error(ErrorCode::kIoError, "the TPM takes no command");
  }
  return Ok();
}

}  // namespace gh::boot
