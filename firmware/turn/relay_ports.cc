#include "firmware/turn/relay_ports.h"

#include <algorithm>

namespace gh::turn {
namespace {

constexpr uint32_t kRandomTries = 32;

}  // namespace

RelayPorts::RelayPorts(Arena& arena, crypto::Random& random, uint32_t capacity)
    : random_(random),
      free_(arena.NewArray<uint16_t>(capacity)),
      position_(arena.NewArray<uint16_t>(capacity)),
      owner_(arena.NewArray<uint32_t>(capacity)),
      resting_(arena.NewArray<Resting>(capacity)) {
  GH_ASSERT_LT(capacity, kNotFree);
}

void RelayPorts::SetRange(uint16_t first, uint16_t last, Duration rest) {
  GH_ASSERT_EQ(used_count(), 0u);
  const uint32_t wanted = last >= first ? last - first + 1u : 0u;
  first_ = first;
  rest_ = rest;
  count_ = std::min(wanted, static_cast<uint32_t>(free_.size()));
  free_count_ = resting_first_ = resting_count_ = 0;
  for (uint32_t i = 0; i < count_; ++i) {
    owner_[i] = kNobody;
    MakeFree(static_cast<uint16_t>(i));
  }
}

void RelayPorts::MakeFree(uint16_t offset) {
  position_[offset] = static_cast<uint16_t>(free_count_);
  free_[free_count_++] = offset;
}

void RelayPorts::TakeOffset(uint16_t offset, uint32_t owner) {
  GH_ASSERT(IsFree(offset));
  GH_ASSERT_NE(owner, kNobody);
  const uint16_t last = free_[--free_count_];
  free_[position_[offset]] = last;
  position_[last] = position_[offset];
  position_[offset] = kNotFree;
  owner_[offset] = owner;
}

void RelayPorts::Wake(Instant now) {
  while (resting_count_ > 0 && resting_[resting_first_].until <= now) {
    MakeFree(resting_[resting_first_].offset);
    resting_first_ = (resting_first_ + 1) % static_cast<uint32_t>(resting_.size());
    --resting_count_;
  }
}

Result<uint16_t> RelayPorts::Take(Instant now, uint32_t owner) {
  Wake(now);
  if (free_count_ == 0) {
    return ErrorCode::kExhausted;
  }
  const uint16_t offset = free_[random_.Below(free_count_)];
  TakeOffset(offset, owner);
  return static_cast<uint16_t>(first_ + offset);
}

Result<uint16_t> RelayPorts::TakeEven(Instant now, uint32_t owner, bool pair) {
  Wake(now);
  const auto fits = [&](uint32_t offset) {
    return (first_ + offset) % 2 == 0 && IsFree(offset) && (!pair || IsFree(offset + 1));
  };
  uint32_t found = count_;
  for (uint32_t i = 0; i < kRandomTries && found == count_ && free_count_ > 0; ++i) {
    const uint32_t offset = free_[random_.Below(free_count_)];
    found = fits(offset) ? offset : found;
  }
  // Crowded: from a random place on, all of them once.
  const uint32_t start = count_ > 0 ? random_.Below(count_) : 0;
  for (uint32_t i = 0; i < count_ && found == count_; ++i) {
    const uint32_t offset = (start + i) % count_;
    found = fits(offset) ? offset : found;
  }
  if (found == count_) {
    return ErrorCode::kExhausted;
  }
  TakeOffset(static_cast<uint16_t>(found), owner);
  if (pair) {
    TakeOffset(static_cast<uint16_t>(found + 1), owner);
  }
  return static_cast<uint16_t>(first_ + found);
}

void RelayPorts::Give(Instant now, uint16_t port) {
  const uint32_t offset = static_cast<uint32_t>(port) - first_;
  GH_ASSERT_LT(offset, count_);
  GH_ASSERT_NE(owner_[offset], kNobody);
  owner_[offset] = kNobody;
  if (rest_.ns <= 0) {
    MakeFree(static_cast<uint16_t>(offset));
    return;
  }
  const uint32_t at = (resting_first_ + resting_count_) % static_cast<uint32_t>(resting_.size());
  resting_[at] = {static_cast<uint16_t>(offset), now + rest_};
  ++resting_count_;
}

void RelayPorts::SetOwner(uint16_t port, uint32_t owner) {
  const uint32_t offset = static_cast<uint32_t>(port) - first_;
  GH_ASSERT_LT(offset, count_);
  GH_ASSERT_NE(owner_[offset], kNobody);
  owner_[offset] = owner;
}

uint32_t RelayPorts::OwnerOf(uint16_t port) const {
  const uint32_t offset = static_cast<uint32_t>(port) - first_;
  return port >= first_ && offset < count_ ? owner_[offset] : kNobody;
}

}  // namespace gh::turn
