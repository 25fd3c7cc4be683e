// Finds the first-boot provisioning text: fw_cfg first, then a volume labelled GATEHOUSE.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "board/pc/fw_cfg.h"
#include "hal/block_device.h"
#include "hal/rt/result.h"
#include "image/gpt.h"

namespace gh::pc {

inline constexpr std::string_view kProvisionVolume = "GATEHOUSE";
inline constexpr std::string_view kProvisionFile = "provision.txt";

// A disk's GPT, read synchronously. kNotFound: it has none.
Result<void> ReadDiskGpt(hal::BlockDevice& disk, std::span<uint8_t, image::kGptScratchSize> scratch,
                         image::GptTable& table);

// The file's size in `out`. Looks at the bare disk, then at its partitions (GPT or MBR).
// kNotFound: no such volume on this disk.
Result<uint32_t> ReadProvisionVolume(hal::BlockDevice& disk,
                                     std::span<uint8_t, image::kGptScratchSize> scratch,
                                     std::span<uint8_t> out);

}  // namespace gh::pc
