// How the boot state record may change: install, confirm, revert, choice, reset.
#include "image/bootstate_changes.h"

#include <gtest/gtest.h>

#include <string>

namespace gh::image {
namespace {

// Started from slot a, confirmed, security version 4.
BootState Running() {
  BootState state;
  state.security_version = 4;
  state.slots[0].state = SlotState::kConfirmed;
  state.slots[0].security_version = 4;
  state.slots[0].install_sequence = 1;
  state.started = 0;
  return state;
}

TEST(BootStateChanges, AnUpdateIsATrialUntilConfirmed) {
  BootState state = Running();
  ASSERT_TRUE(BeginInstall(state, 1).ok());
  EXPECT_EQ(state.slots[1].state, SlotState::kEmpty);
  ASSERT_TRUE(InstallTrial(state, 1, 6).ok());
  EXPECT_EQ(state.slots[1].state, SlotState::kTrial);
  EXPECT_EQ(state.slots[1].tries_left, kTriesDefault);
  EXPECT_GT(state.slots[1].install_sequence, state.slots[0].install_sequence);
  EXPECT_EQ(state.security_version, 4u) << "raised only by confirmation";
  state.slots[1].key_list_sequence = 2;  // as the loader found it
  EXPECT_TRUE(Confirm(state, 1, 6));
  EXPECT_EQ(state.security_version, 6u);
  EXPECT_EQ(state.key_list_sequence, 2u);
  EXPECT_EQ(state.slots[1].tries_left, 0);
  state.slots[1].key_list_sequence = 2;
  EXPECT_FALSE(Confirm(state, 1, 6)) << "nothing changed: nothing to save";
  EXPECT_EQ(state.key_list_sequence, 2u);
}

TEST(BootStateChanges, WhatCannotBeInstalled) {
  BootState state = Running();
  EXPECT_EQ(BeginInstall(state, 0).code(), ErrorCode::kWrongState);
  EXPECT_EQ(InstallTrial(state, 1, 3).code(), ErrorCode::kRollback);
  EXPECT_TRUE(InstallTrial(state, 1, 4).ok());
  BootState trial = state;
  trial.started = 1;
  trial.is_started_on_trial = true;
  EXPECT_EQ(BeginInstall(trial, 0).code(), ErrorCode::kWrongState)
      << "would leave nothing to go back to";
  Confirm(trial, 1, 4);
  EXPECT_TRUE(BeginInstall(trial, 0).ok());
  RequestReset(state, true);
  EXPECT_EQ(BeginInstall(state, 1).code(), ErrorCode::kWrongState);
}

TEST(BootStateChanges, RevertGivesATrialUpAndLeavesAReason) {
  BootState state = Running();
  ASSERT_TRUE(InstallTrial(state, 1, 5).ok());
  ASSERT_TRUE(Revert(state, 1, "health check: no network\nsecond line").ok());
  EXPECT_EQ(state.slots[1].state, SlotState::kBad);
  EXPECT_EQ(state.slots[1].tries_left, 0);
  EXPECT_EQ(state.revert.slot, 1);
  EXPECT_EQ(state.revert.reason, std::string_view("health check: no network?second line"));
  AcknowledgeRevert(state);
  EXPECT_EQ(state.revert, RevertRecord());
  EXPECT_EQ(Revert(state, 0, "x").code(), ErrorCode::kWrongState) << "nowhere to go back to";
}

TEST(BootStateChanges, RevertOfAConfirmedSlotNeedsAConfirmedOtherOneOfNoOlderSecurity) {
  BootState state = Running();
  ASSERT_TRUE(InstallTrial(state, 1, 4).ok());
  Confirm(state, 1, 4);
  ASSERT_TRUE(Revert(state, 1, "operator").ok());
  EXPECT_GT(state.slots[0].install_sequence, state.slots[1].install_sequence);
  EXPECT_EQ(state.slots[1].state, SlotState::kConfirmed);
  Confirm(state, 1, 5);
  EXPECT_EQ(Revert(state, 1, "operator").code(), ErrorCode::kRollback);
}

TEST(BootStateChanges, TheOperatorMayChooseASlotAndTryABadOneAgain) {
  BootState state = Running();
  EXPECT_EQ(SelectSlot(state, 1).code(), ErrorCode::kWrongState);
  ASSERT_TRUE(InstallTrial(state, 1, 4).ok());
  GiveUp(state, 1, "bad block");
  ASSERT_TRUE(SelectSlot(state, 1).ok());
  EXPECT_EQ(state.slots[1].state, SlotState::kTrial);
  EXPECT_EQ(state.slots[1].tries_left, state.tries);
  ASSERT_TRUE(SelectSlot(state, 0).ok());
  EXPECT_GT(state.slots[0].install_sequence, state.slots[1].install_sequence);
  state.slots[1].security_version = 3;
  EXPECT_EQ(SelectSlot(state, 1).code(), ErrorCode::kRollback);
}

TEST(BootStateChanges, AResetForEverythingIsNotWeakened) {
  BootState state = Running();
  RequestReset(state, true);
  state.reset_step = 4;
  RequestReset(state, false, ResetSource::kButton);
  EXPECT_EQ(state.reset_intent, ResetIntent::kEverything);
  EXPECT_EQ(state.reset_step, 0) << "what was kept must go too";
  state.reset_step = 3;
  RequestReset(state, true);
  EXPECT_EQ(state.reset_intent, ResetIntent::kEverything);
  EXPECT_EQ(state.reset_step, 3);
  EXPECT_EQ(state.security_version, 4u);
}

TEST(BootStateChanges, TrialSettingsAtTheirEdges) {
  BootState state = Running();
  EXPECT_TRUE(SetTrial(state, 1, kConfirmSecondsMin).ok());
  EXPECT_TRUE(SetTrial(state, kTriesMax, kConfirmSecondsMax).ok());
  EXPECT_FALSE(SetTrial(state, 0, kConfirmSecondsMin).ok());
  EXPECT_FALSE(SetTrial(state, kTriesMax + 1, kConfirmSecondsMin).ok());
  EXPECT_FALSE(SetTrial(state, 1, kConfirmSecondsMin - 1).ok());
  EXPECT_FALSE(SetTrial(state, 1, kConfirmSecondsMax + 1).ok());
  EXPECT_EQ(state.tries, kTriesMax);
  GiveUp(state, 0, std::string(500, 'x'));
  EXPECT_EQ(state.slots[0].reason.size(), kSlotReasonSizeMax);
  std::array<uint8_t, kBootStateCopySize> bytes;
  EncodeBootState(state, 0, bytes);  // asserts that it reads back the same
}

}  // namespace
}  // namespace gh::image
