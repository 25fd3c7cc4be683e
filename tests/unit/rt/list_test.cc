// The intrusive list against a model.
#include "hal/rt/list.h"

#include <gtest/gtest.h>

#include <list>
#include <random>
#include <vector>

namespace gh {
namespace {

struct Item {
  virtual ~Item() = default;  // not standard layout, as Pollable is not
  int value = 0;
  ListNode first_node;
  ListNode second_node;
};
using First = List<Item, &Item::first_node>;
using Second = List<Item, &Item::second_node>;

std::vector<int> Values(First& list) {
  std::vector<int> values;
  for (Item& item : list) {
    values.push_back(item.value);
  }
  return values;
}

TEST(ListTest, OrderAndMembershipInTwoLists) {
  Item items[3];
  for (int i = 0; i < 3; ++i) {
    items[i].value = i;
  }
  First first;
  Second second;
  EXPECT_TRUE(first.empty());
  EXPECT_EQ(first.front(), nullptr);
  EXPECT_EQ(first.back(), nullptr);
  EXPECT_EQ(first.PopFront(), nullptr);
  first.PushBack(items[0]);
  first.PushBack(items[1]);
  first.PushFront(items[2]);
  second.PushFront(items[0]);
  EXPECT_EQ(Values(first), (std::vector<int>{2, 0, 1}));
  EXPECT_EQ(first.Next(items[2]), &items[0]);
  EXPECT_EQ(first.Next(items[1]), nullptr);
  EXPECT_EQ(first.back(), &items[1]);
  first.Remove(items[0]);
  EXPECT_FALSE(First::IsLinked(items[0]));
  EXPECT_TRUE(Second::IsLinked(items[0]));
  EXPECT_EQ(first.PopFront(), &items[2]);
  EXPECT_EQ(first.size(), 1u);
}

TEST(ListTest, RemovingTheCurrentWhileWalking) {
  Item items[5];
  First list;
  for (int i = 0; i < 5; ++i) {
    items[i].value = i;
    list.PushBack(items[i]);
  }
  for (Item& item : list) {
    if (item.value % 2 == 0) {
      list.Remove(item);
    }
  }
  EXPECT_EQ(Values(list), (std::vector<int>{1, 3}));
}

TEST(ListDeathTest, MisuseIsCaught) {
  Item item;
  First list;
  EXPECT_DEATH(list.Remove(item), "linked");
  list.PushBack(item);
  EXPECT_DEATH(list.PushBack(item), "linked");
}

TEST(ListTest, AgreesWithAModel) {
  std::mt19937 random(7);
  std::vector<Item> items(64);
  First list;
  std::list<int> model;
  for (int i = 0; i < 64; ++i) {
    items[static_cast<size_t>(i)].value = i;
  }
  for (int step = 0; step < 20'000; ++step) {
    Item& item = items[random() % items.size()];
    if (First::IsLinked(item)) {
      list.Remove(item);
      model.remove(item.value);
    } else if (random() % 2 == 0) {
      list.PushBack(item);
      model.push_back(item.value);
    } else {
      list.PushFront(item);
      model.push_front(item.value);
    }
    ASSERT_EQ(list.size(), model.size());
  }
  EXPECT_EQ(Values(list), std::vector<int>(model.begin(), model.end()));
}

}  // namespace
}  // namespace gh
