// The order in which slots are tried.
#include "boot/choose.h"

#include <gtest/gtest.h>

#include <string>

namespace gh::boot {
namespace {

std::string OrderOf(std::initializer_list<image::PartitionRole> roles) {
  image::GptTable table;
  for (const auto role : roles) {
    table.partitions[table.partition_count++].type = image::SpecOf(role).type;
  }
  std::string letters;
  const SlotOrder order = ChooseSlots(table);
  for (const SlotChoice& choice : order.all()) {
    letters += choice.letter;
  }
  return letters;
}

TEST(Choose, FixedOrderOfWhatIsThere) {
  using enum image::PartitionRole;
  EXPECT_EQ(OrderOf({kEsp, kFactory, kSlotB, kSlotA, kStore}), "abg");
  EXPECT_EQ(OrderOf({kFactory, kSlotB}), "bg");
  EXPECT_EQ(OrderOf({kFactory}), "g");
  EXPECT_EQ(OrderOf({kEsp, kLog}), "");
}

}  // namespace
}  // namespace gh::boot
