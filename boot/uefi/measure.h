// The TPM behind the firmware's EFI_TCG2_PROTOCOL (TCG EFI Protocol Specification, family 2.0).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "boot/handover.h"
#include "boot/uefi/efi.h"
#include "hal/rt/result.h"
#include "image/slot.h"

namespace gh::boot {

class Tpm {
 public:
  // False: the machine has no TPM 2.0, or its firmware does not know it.
  bool Open(efi::BootServices& boot);
  // Measures a verified slot (boot/tpm.h says what goes where). `metadata` is the slot's.
  Result<void> Measure(const image::VerifiedSlot& slot, std::span<const uint8_t> metadata);
  // Reads kShownPcrs back from the TPM into the hand-over.
  Result<void> Show(Handover& handover);
  // Sends a command (boot/tpm.h) and gives what the TPM answered, in `response`.
  Result<void> Submit(std::span<const uint8_t> command, std::span<uint8_t> response);

 private:
  Result<void> Extend(uint32_t pcr, std::string_view text, std::span<const uint8_t> data);
  efi::Tcg2* tcg2_ = nullptr;
};

}  // namespace gh::boot
