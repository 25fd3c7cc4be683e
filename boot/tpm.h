// What the loader says to a TPM 2.0, as bytes: pure, so that hosts can test and fuzz it.
//
// The loader measures what it verified, just before the jump, into two registers that UEFI leaves
// to the operating system (TCG PC Client Platform Firmware Profile, 2.3.4):
//   PCR 8  the signed manifest, byte for byte
//   PCR 9  the roots of the payload's hash trees, in segment order: every byte of the payload
// The firmware itself measured the loader (PCR 4) and the Secure Boot keys (PCR 7) before. All four
// are read back from the TPM and handed over, SHA-256 bank.
// The security version is kept in an NV index of type counter: a TPM only ever counts it up, and a
// counter that is deleted and made again goes on above the highest that any counter ever had. So
// that it may still begin anywhere, the value it began at is part of its definition, in the field
// for a policy: security version = counter - base. The index belongs to the owner hierarchy. Who
// holds its authorization (nobody sets one here) could delete the index and make another; who only
// has the disk cannot, and that is the rollback this is against. Secure Boot keeps other systems
// from the TPM.
// Fault model: the TPM answers nonsense: every length is checked. A machine without a TPM, or with
// a broken one, still starts; its registers then open no secret that is sealed to them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "boot/handover.h"
#include "hal/rt/result.h"

namespace gh::boot {

inline constexpr uint32_t kPcrLoader = 4;
inline constexpr uint32_t kPcrSecureBoot = 7;
inline constexpr uint32_t kPcrManifest = 8;
inline constexpr uint32_t kPcrPayload = 9;
inline constexpr std::array<uint32_t, kHandoverPcrMax> kShownPcrs = {kPcrLoader, kPcrSecureBoot,
                                                                     kPcrManifest, kPcrPayload};

// EFI_TCG2_EVENT of type EV_IPL (TCG EFI Protocol Specification, 6.6.1). Empty when `out` is too
// small.
std::span<uint8_t> EncodeTpmEvent(uint32_t pcr, std::string_view text, std::span<uint8_t> out);

// TPM2_PCR_Read of the SHA-256 bank (TPM 2.0 part 3, 22.4); PCR numbers are below 24.
std::span<uint8_t> EncodePcrRead(std::span<const uint32_t> pcrs, std::span<uint8_t> out);

// Its response: the values the TPM chose to give, in order of PCR numbers; how many were written to
// `out`. kMalformed for anything else than a well-formed answer.
Result<uint32_t> DecodePcrRead(std::span<const uint8_t> response, std::span<PcrValue> out);

// --- The counter (TPM 2.0 part 3, chapter 31) ---
inline constexpr uint32_t kNvCounterIndex = 0x01a74853;  // in the owner's range
inline constexpr uint32_t kNvProbeIndex = 0x01a74854;    // made and deleted to learn the base

std::span<uint8_t> EncodeNvDefineCounter(uint32_t index, uint64_t base, std::span<uint8_t> out);
std::span<uint8_t> EncodeNvUndefine(uint32_t index, std::span<uint8_t> out);
std::span<uint8_t> EncodeNvIncrement(uint32_t index, std::span<uint8_t> out);
std::span<uint8_t> EncodeNvRead(uint32_t index, std::span<uint8_t> out);
std::span<uint8_t> EncodeNvReadPublic(uint32_t index, std::span<uint8_t> out);

// Whether a command succeeded. kNotFound: no such index. kWrongState: it was never counted up.
// kRefused: any other refusal. kMalformed: no answer at all.
Result<void> DecodeTpmStatus(std::span<const uint8_t> response);
// The counter's value; errors as DecodeTpmStatus.
Result<uint64_t> DecodeNvRead(std::span<const uint8_t> response);
// The base in a counter's definition. kIncompatible: the index is not one of ours.
Result<uint64_t> DecodeNvPublic(std::span<const uint8_t> response, uint32_t index);

}  // namespace gh::boot
