// An update that a protocol of another room pushes here, in order from its first byte: SFTP, SCP.
//
//   Open -> Write ... Write -> Close until it is not kPending     (README.md has an example)
//
// It never blocks and holds nothing: what Write does not take is offered again in a later turn.
// A push source that was opened and then left alone is given up by the upgrade room itself, which
// waits kSourceSilenceMax for bytes. Fault model: the protocol gives anything, at any pace, and
// may stop anywhere; other sources may have begun an update since this one failed.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/upgrade/intake.h"
#include "firmware/upgrade/upgrade.h"

namespace gh::upgrade {

class PushSource {
 public:
  enum class End : uint8_t { kPending, kInstalled, kFailed };

  PushSource(Upgrade& upgrade, Intake& intake) : upgrade_(upgrade), intake_(intake) {}
  PushSource(const PushSource&) = delete;
  PushSource& operator=(const PushSource&) = delete;

  // `name` as for Intake::BeginUpgrade. An error says why no update is taken now.
  Result<void> Open(std::string_view name, uint64_t announced, Instant now);
  bool is_open() const { return run_ != 0; }
  // Bytes taken off the front; 0: busy with the disk. An error: the update was refused, and why;
  // the text stays until the next update begins.
  Result<size_t> Write(std::span<const uint8_t> bytes, Instant now);
  // The source has no more. kPending: the disk is still at work, ask again in a later turn.
  // Installed or failed: closed, outcome() tells.
  End Close(Instant now);
  // The connection is gone, the client gave up; `why` is a constant. Fine when it is not open.
  void Abort(const char* why, Instant now);
  // Of an update that has ended: kRefused with the reason, or Ok.
  Result<void> outcome() const;

 private:
  bool is_mine() const { return run_ != 0 && upgrade_.run() == run_; }

  Upgrade& upgrade_;
  Intake& intake_;
  uint64_t run_ = 0;   // which of the upgrade room's runs is ours; 0: closed
  uint64_t last_ = 0;  // the run that outcome() tells of
};

}  // namespace gh::upgrade
