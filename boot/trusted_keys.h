// The public keys this loader trusts, embedded when it is built (gatehouse-image embed).
#pragma once

#include <span>

#include "image/slot.h"

namespace gh::boot {

std::span<const image::TrustedKey> TrustedKeys();
// How many of the root keys must sign a key list.
uint32_t RootSignatureCountMin();

}  // namespace gh::boot
