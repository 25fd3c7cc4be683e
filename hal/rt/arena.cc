#include "hal/rt/arena.h"

#include <bit>
#include <cstring>

namespace gh {

void* Arena::Allocate(size_t size, size_t alignment) {
  if (sealed_) {
    GH_PANIC("arena: allocation after the seal");
  }
  GH_ASSERT(std::has_single_bit(alignment));
  if (account_count_ == 0) {
    OpenAccount("unnamed");
  }
  const auto base = reinterpret_cast<uintptr_t>(memory_.data()) + used_;
  const uint64_t padding = (alignment - base % alignment) % alignment;
  const uint64_t room = memory_.size() - used_;
  if (padding > room || size > room - padding) {
    PanicValues("arena: memory exhausted; the capacity profile does not fit (asked, left)",
                __FILE__, __LINE__, static_cast<int64_t>(size), static_cast<int64_t>(room));
  }
  uint8_t* allocated = memory_.data() + used_ + padding;
  used_ += padding + size;
  accounts_[account_current_].bytes += padding + size;
  UnpoisonMemory(allocated, size);
  if (size != 0) {
    std::memset(allocated, 0, size);
  }
  return allocated;
}

void Arena::OpenAccount(const char* name, uint64_t items) {
  if (sealed_) {
    GH_PANIC("arena: account opened after the seal");
  }
  for (uint32_t i = 0; i < account_count_; ++i) {
    if (std::strcmp(accounts_[i].name, name) == 0) {
      accounts_[i].items += items;
      account_current_ = i;
      return;
    }
  }
  GH_ASSERT_LT(account_count_, kArenaAccountMax);
  accounts_[account_count_] = {name, 0, items};
  account_current_ = account_count_++;
}

void Arena::Seal() {
  GH_ASSERT(!sealed_);
  uint64_t booked = 0;
  for (const ArenaAccount& account : accounts()) {
    booked += account.bytes;
  }
  GH_ASSERT_EQ(booked, used_);
  sealed_ = true;
}

}  // namespace gh
