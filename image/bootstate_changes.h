// How the boot state record may change: pure functions that loader, firmware and tools share. Each
// says no (kWrongState, kRollback) rather than make a record that could strand the machine.
//
// What is never done here: raise tries without an install or the operator's choice, or lower the
// security version. `slot` is 0 (a) or 1 (b). The caller saves the record (BootStateCopies::Save).
#pragma once

#include <cstdint>
#include <string_view>

#include "hal/rt/result.h"
#include "image/bootstate.h"

namespace gh::image {

// Before the first byte of an update is written over `slot`: the slot is empty until InstallTrial.
// kWrongState: it is the slot this machine was started from.
Result<void> BeginInstall(BootState& state, uint32_t slot);
// After the whole slot is written, flushed and verified: it is started next, on trial.
Result<void> InstallTrial(BootState& state, uint32_t slot, uint64_t security_version);
// The firmware's health check passed: the started slot is good, and only now does the security
// version rise to its. Also for a confirmed slot, after each start: false when nothing changed and
// nothing needs saving. From golden: nothing to confirm. The key list that the loader verified the
// slot by comes into force with it.
bool Confirm(BootState& state, uint32_t slot, uint64_t security_version);
// Gives the started slot up (operator's word, or the health check's): the other slot or golden is
// next. A confirmed slot is only given up for a confirmed other one, and stays confirmed.
Result<void> Revert(BootState& state, uint32_t slot, std::string_view reason);
// Starts `slot` next, by the operator's word. A slot that was given up gets a new trial.
Result<void> SelectSlot(BootState& state, uint32_t slot);
// Starts golden next, once, by the operator's word; the slots stay as they are.
Result<void> SelectGolden(BootState& state);
// The list of this sequence, which lies in its entry, comes into force (image/key_list.h).
// kRollback: it is not newer than the one in force.
Result<void> UseKeyList(BootState& state, uint64_t sequence);
// Marks `slot` bad and remembers why, for the alarm; the loader's.
void GiveUp(BootState& state, uint32_t slot, std::string_view reason);
// Executed by the loader at the next start. A request for everything is never weakened.
void RequestReset(BootState& state, bool keep_network, ResetSource source = ResetSource::kOperator);
// Trial settings. kOutOfRange beyond image/limits.h.
Result<void> SetTrial(BootState& state, uint32_t tries, uint32_t confirm_seconds);
// The firmware has raised the alarm, or told of the reset.
void AcknowledgeRevert(BootState& state);
void AcknowledgeReset(BootState& state);

// The highest install sequence of all slots.
uint64_t NewestInstall(const BootState& state);

}  // namespace gh::image
