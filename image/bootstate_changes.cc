#include "image/bootstate_changes.h"

#include <algorithm>

#include "hal/rt/assert.h"

namespace gh::image {

namespace {

// Text for the record: printable ASCII only, cut to what fits.
void AssignReason(SlotReason& out, std::string_view text) {
  out.Clear();
  for (const char c : text.substr(0, SlotReason::capacity())) {
    out.Append(c >= 0x20 && c < 0x7f ? c : '?');
  }
}

}  // namespace

uint64_t NewestInstall(const BootState& state) {
  return std::max(state.slots[0].install_sequence, state.slots[1].install_sequence);
}

Result<void> BeginInstall(BootState& state, uint32_t slot) {
  GH_ASSERT_LT(slot, kBootSlotCount);
  if (state.started == slot) {
    return Error(ErrorCode::kWrongState, "the running slot is never written");
  }
  if (state.started < kBootSlotCount && state.is_started_on_trial &&
      state.slots[state.started].state == SlotState::kTrial) {
    return Error(ErrorCode::kWrongState, "confirm or revert the running trial first");
  }
  if (state.reset_intent != ResetIntent::kNone) {
    return Error(ErrorCode::kWrongState, "a factory reset waits for the restart");
  }
  state.slots[slot] = SlotRecord();
  return Ok();
}

Result<void> InstallTrial(BootState& state, uint32_t slot, uint64_t security_version) {
  GH_ASSERT_LT(slot, kBootSlotCount);
  if (security_version < state.security_version) {
    return Error(ErrorCode::kRollback, "image's security version is older than this machine's");
  }
  const uint64_t newest = NewestInstall(state);
  SlotRecord& record = state.slots[slot];
  record = SlotRecord();
  record.state = SlotState::kTrial;
  record.tries_left = state.tries;
  record.security_version = security_version;
  record.install_sequence = newest + 1;
  state.is_golden_next = false;
  return Ok();
}

bool Confirm(BootState& state, uint32_t slot, uint64_t security_version) {
  GH_ASSERT_LT(slot, kBootSlotCount);
  const BootState before = state;
  SlotRecord& record = state.slots[slot];
  record.state = SlotState::kConfirmed;
  record.tries_left = 0;
  record.unhealthy_starts = 0;
  record.reason.Clear();
  record.security_version = security_version;
  state.security_version = std::max(state.security_version, security_version);
  state.key_list_sequence = std::max(state.key_list_sequence, record.key_list_sequence);
  return !(state == before);
}

void GiveUp(BootState& state, uint32_t slot, std::string_view reason) {
  GH_ASSERT_LT(slot, kBootSlotCount);
  SlotRecord& record = state.slots[slot];
  record.state = SlotState::kBad;
  record.tries_left = 0;
  AssignReason(record.reason, reason);
  state.revert.slot = static_cast<uint8_t>(slot);
  AssignReason(state.revert.reason, reason);
}

Result<void> Revert(BootState& state, uint32_t slot, std::string_view reason) {
  GH_ASSERT_LT(slot, kBootSlotCount);
  if (state.slots[slot].state == SlotState::kTrial) {
    GiveUp(state, slot, reason);
    return Ok();
  }
  SlotRecord& other = state.slots[1 - slot];
  if (other.state != SlotState::kConfirmed) {
    return Error(ErrorCode::kWrongState, "there is no other confirmed slot to go back to");
  }
  if (other.security_version < state.security_version) {
    return Error(ErrorCode::kRollback,
                 "the other slot's security version is too old to go back to");
  }
  other.install_sequence = NewestInstall(state) + 1;
  return Ok();
}

Result<void> SelectSlot(BootState& state, uint32_t slot) {
  GH_ASSERT_LT(slot, kBootSlotCount);
  SlotRecord& record = state.slots[slot];
  if (record.state == SlotState::kEmpty) {
    return Error(ErrorCode::kWrongState, "that slot is empty");
  }
  if (record.security_version < state.security_version) {
    return Error(ErrorCode::kRollback, "that slot's security version is older than this machine's");
  }
  if (record.state == SlotState::kBad) {
    record.state = SlotState::kTrial;
    record.tries_left = state.tries;
    record.reason.Clear();
  }
  record.unhealthy_starts = 0;
  state.is_golden_next = false;
  if (record.install_sequence < NewestInstall(state) ||
      state.slots[1 - slot].install_sequence == record.install_sequence) {
    record.install_sequence = NewestInstall(state) + 1;
  }
  return Ok();
}

Result<void> SelectGolden(BootState& state) {
  if (state.reset_intent != ResetIntent::kNone) {
    return Error(ErrorCode::kWrongState, "a factory reset waits for the restart");
  }
  state.is_golden_next = true;
  return Ok();
}

Result<void> UseKeyList(BootState& state, uint64_t sequence) {
  if (sequence <= state.key_list_sequence) {
    return Error(ErrorCode::kRollback, sequence == state.key_list_sequence
                                           ? "this key list is in force already"
                                           : "key list is older than the one in force");
  }
  state.key_list_sequence = sequence;
  return Ok();
}

void RequestReset(BootState& state, bool keep_network, ResetSource source) {
  const ResetIntent wanted = keep_network ? ResetIntent::kKeepNetwork : ResetIntent::kEverything;
  if (state.reset_intent >= wanted) {
    return;
  }
  if (state.reset_intent == ResetIntent::kNone) {
    state.reset_source = source;
  }
  state.reset_step = 0;  // a request that asks for more starts again
  state.reset_intent = wanted;
}

Result<void> SetTrial(BootState& state, uint32_t tries, uint32_t confirm_seconds) {
  if (tries < 1 || tries > kTriesMax || confirm_seconds < kConfirmSecondsMin ||
      confirm_seconds > kConfirmSecondsMax) {
    return Error(ErrorCode::kOutOfRange, "trial settings are out of range");
  }
  state.tries = static_cast<uint8_t>(tries);
  state.confirm_seconds = static_cast<uint16_t>(confirm_seconds);
  return Ok();
}

void AcknowledgeRevert(BootState& state) { state.revert = RevertRecord(); }
void AcknowledgeReset(BootState& state) { state.was_reset = false; }

}  // namespace gh::image
