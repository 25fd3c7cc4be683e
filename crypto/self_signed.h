// A certificate that its own key signs, whole: what a device shows before an authority has
// certified it, and what answers tls-alpn-01.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/software_key.h"
#include "crypto/x509_writer.h"
#include "hal/rt/result.h"

namespace gh::crypto {

inline constexpr size_t kSelfSignedBytesMax = 1536;

// DER at the front of `out` (kSelfSignedBytesMax). The serial number is the caller's (`terms`).
// kInvalidArgument: a name no certificate can have; kTooLarge.
Result<size_t> WriteSelfSigned(std::string_view common_name, std::span<const AlternativeName> names,
                               const SelfSigned& terms, SoftwareKey& key, std::span<uint8_t> out);

}  // namespace gh::crypto
