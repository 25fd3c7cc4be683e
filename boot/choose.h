// Which slots to try, and in which order. Pure: the disk's state comes in, an order goes out.
//
// For now the order is fixed: a, b, golden. Confirmation, tries and the newest install join here
// when the boot chain reads the boot state record.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "boot/limits.h"
#include "image/partitions.h"

namespace gh::boot {

struct SlotChoice {
  image::PartitionRole role = image::PartitionRole::kFactory;
  char letter = '-';  // 'a', 'b', 'g' (golden): as in the hand-over
};

struct SlotOrder {
  std::array<SlotChoice, kSlotCount> choices;
  uint32_t count = 0;
  std::span<const SlotChoice> all() const { return {choices.data(), count}; }
};

// Slots that the disk has no partition for are left out.
SlotOrder ChooseSlots(const image::GptTable& table);

}  // namespace gh::boot
