// A secret sealed by a TPM 2.0: what only this TPM opens again.
//
// Under a storage key (ECC P-256) that the TPM derives from its own seed each time, by the empty
// authorization; TPM2_Clear makes it another. Sealed to the TPM, not to what was started: who may
// speak to it is the machine's chain of trust.
//
// The sealed bytes are the TPM's own TPM2B_PRIVATE and TPM2B_PUBLIC, one behind the other; they are
// encrypted and authenticated by it. Fault model: the TPM answers nonsense, or what is sealed comes
// from a damaged disk: every length is checked. What crosses the wires to a discrete TPM can be
// read by who taps them.
#pragma once

#include <cstdint>
#include <span>

#include "hal/rt/result.h"
#include "hal/tpm.h"

namespace gh::crypto {

inline constexpr size_t kTpmSecretMax = 64;
inline constexpr size_t kTpmSealedMax = 512;

// How much of `out` (kTpmSealedMax) was filled.
Result<size_t> TpmSeal(hal::Tpm& tpm, std::span<const uint8_t> secret, std::span<uint8_t> out);
// `secret` is filled, all of it. kUnauthentic: this TPM did not seal it, or it is damaged.
Result<void> TpmUnseal(hal::Tpm& tpm, std::span<const uint8_t> sealed, std::span<uint8_t> secret);

}  // namespace gh::crypto
