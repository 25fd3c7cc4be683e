// The seam between sources of updates and what becomes of them; README.md, "Sources of updates",
// says how another source is made.
#pragma once

#include <cstdint>
#include <string_view>

#include "hal/rt/result.h"
#include "hal/rt/time.h"

namespace gh::upgrade {

// Where an update goes on this machine, by which rules it is taken, and whether now.
class Intake {
 public:
  // Ok: an update may begin. Else why not, in words for an operator: there are no slots, another
  // update is on its way, a trial is not confirmed yet, a factory reset waits for the restart.
  virtual Result<void> MayUpgrade() const = 0;
  // Begins one: upgrade::Upgrade takes its bytes from now on. `source` is named in status and
  // events ("console", "sftp"); `announced` is the file's size, 0 when the source does not know.
  virtual Result<void> BeginUpgrade(std::string_view source, uint64_t announced, Instant now) = 0;

 protected:
  ~Intake() = default;
};

}  // namespace gh::upgrade
