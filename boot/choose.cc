#include "boot/choose.h"

namespace gh::boot {

SlotOrder ChooseSlots(const image::GptTable& table) {
  static constexpr SlotChoice kOrder[kSlotCount] = {
      {image::PartitionRole::kSlotA, 'a'},
      {image::PartitionRole::kSlotB, 'b'},
      {image::PartitionRole::kFactory, 'g'},
  };
  SlotOrder order;
  for (const SlotChoice& choice : kOrder) {
    if (table.FindType(image::SpecOf(choice.role).type) != nullptr) {
      order.choices[order.count++] = choice;
    }
  }
  return order;
}

}  // namespace gh::boot
