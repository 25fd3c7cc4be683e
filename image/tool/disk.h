// Disk images: assembling them, and finding the slots in them.
#pragma once

#include <optional>
#include <string>

#include "image/gpt.h"
#include "image/partitions.h"
#include "image/tool/file.h"

namespace gh::image::tool {

struct DiskPlan {
  std::string output;
  Bytes loader;
  Bytes slot_a;
  Bytes slot_b;  // empty: none
  Bytes factory;
  std::string build_id;  // disk and partition GUIDs are derived from it
  uint64_t security_version = 0;
  uint64_t store_size = SpecOf(PartitionRole::kStore).size;  // bytes, a multiple of 1 MiB
};

void WriteDisk(const DiskPlan& plan);

// A slot within a file: a partition of a disk image, or the whole of an update file.
struct SlotPlace {
  std::string name;  // "slot-a", "slot-b", "factory"; "" for an update file
  uint64_t offset = 0;
  uint64_t size = 0;
};

// The GPT of an image file, if it has one.
std::optional<GptTable> ReadDiskTable(const RandomFile& file);
// All slots of a disk image, or the one of an update file.
std::vector<SlotPlace> FindSlots(const RandomFile& file);

inline constexpr uint32_t kDiskBlockSize = 512;

}  // namespace gh::image::tool
