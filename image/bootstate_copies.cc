#include "image/bootstate_copies.h"

#include <algorithm>
#include <bit>

#include "hal/rt/assert.h"

namespace gh::image {

namespace {

constexpr CopyMask BitOf(uint32_t copy) { return static_cast<CopyMask>(1u << copy); }

CopyMask HoldersOf(const std::array<const BootState*, kBootStateCopyCount>& copies,
                   const BootState& state) {
  CopyMask holders = 0;
  for (uint32_t i = 0; i < kBootStateCopyCount; ++i) {
    if (copies[i] != nullptr && *copies[i] == state) {
      holders |= BitOf(i);
    }
  }
  return holders;
}

}  // namespace

bool BootStatePick::has_quorum() const {
  return static_cast<uint32_t>(std::popcount(holders)) >= kBootStateQuorum;
}

Result<BootStatePick> PickBootState(
    const std::array<const BootState*, kBootStateCopyCount>& copies) {
  const BootState* best = nullptr;
  CopyMask best_holders = 0;
  for (const BootState* copy : copies) {
    if (copy == nullptr) {
      continue;
    }
    const CopyMask holders = HoldersOf(copies, *copy);
    const bool is_newer = best == nullptr || copy->sequence > best->sequence;
    const bool has_more = best != nullptr && copy->sequence == best->sequence &&
                          std::popcount(holders) > std::popcount(best_holders);
    if (is_newer || has_more) {
      best = copy;
      best_holders = holders;
    }
  }
  if (best == nullptr) {
    return Error(ErrorCode::kNotFound, "all four copies of the boot state are lost");
  }
  BootStatePick pick;
  pick.state = *best;
  pick.holders = best_holders;
  pick.repair = static_cast<CopyMask>(kAllCopies & ~best_holders);
  pick.sequence_max = best->sequence;
  GH_ASSERT(pick.holders != 0);
  return pick;
}

BootStateWriteOrder OrderBootStateWrite(CopyMask holders) {
  GH_ASSERT_LE(holders, kAllCopies);
  CopyMask first = static_cast<CopyMask>(kAllCopies & ~holders);
  if (first == kAllCopies) {
    first = BitOf(0) | BitOf(1);  // nothing to keep: still never all at once
  }
  for (uint32_t i = 0; i < kBootStateCopyCount && std::popcount(first) < 2; ++i) {
    first |= BitOf(i);
  }
  return {first, static_cast<CopyMask>(kAllCopies & ~first)};
}

Result<BootState> BootStateCopies::Load() {
  std::array<BootState, kBootStateCopyCount> states;
  std::array<const BootState*, kBootStateCopyCount> copies = {};
  for (uint32_t i = 0; i < kBootStateCopyCount; ++i) {
    if (!disk_.Read(uint64_t{i} * kBootStateCopyStride, buffer_).ok()) {
      continue;  // a copy that cannot be read is a lost copy
    }
    const auto state = DecodeBootState(buffer_, i);
    if (state.ok()) {
      states[i] = *state;
      copies[i] = &states[i];
    }
  }
  const auto pick = PickBootState(copies);
  if (!pick.ok()) {
    status_ = RecordStatus::kLost;
    return pick.error();
  }
  holders_ = holders_at_load_ = pick->holders;
  sequence_max_ = pick->sequence_max;
  status_ = RecordStatus::kGood;
  if (pick->repair != 0) {
    const auto repaired = Write(pick->state, pick->repair);
    status_ = repaired.ok() ? RecordStatus::kRepaired : RecordStatus::kDamaged;
  }
  return pick->state;
}

Result<void> BootStateCopies::Write(const BootState& state, CopyMask copies) {
  for (uint32_t i = 0; i < kBootStateCopyCount; ++i) {
    if ((copies & BitOf(i)) != 0) {
      EncodeBootState(state, i, buffer_);
      holders_ &= static_cast<CopyMask>(~BitOf(i));
      GH_TRY(disk_.Write(uint64_t{i} * kBootStateCopyStride, buffer_));
    }
  }
  GH_TRY(disk_.Flush());
  holders_ |= copies;
  return Ok();
}

Result<void> BootStateCopies::Save(BootState& state) {
  GH_ASSERT(status_ != RecordStatus::kUnread);
  const BootStateWriteOrder order = OrderBootStateWrite(holders_);
  state.sequence = std::max(state.sequence, sequence_max_) + 1;
  sequence_max_ = state.sequence;
  GH_TRY(Write(state, order.first));
  holders_ = order.first;  // the others hold the record before this one
  GH_TRY(Write(state, order.second));
  GH_ASSERT_EQ(holders_, kAllCopies);
  return Ok();
}

}  // namespace gh::image
