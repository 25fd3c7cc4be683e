// Writes an ESP: FAT32 with one file, EFI/BOOT/BOOTX64.EFI. Deterministic: fixed dates, a serial
// number given by the caller.
#pragma once

#include <span>

#include "image/tool/file.h"

namespace gh::image::tool {

void WriteEsp(RandomFile& disk, uint64_t offset, uint64_t size, uint32_t serial,
              std::span<const uint8_t> loader);

}  // namespace gh::image::tool
