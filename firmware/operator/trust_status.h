// What the operator sees of the chain of trust below the firmware, and of what is inside it:
// xStatus SecureBoot, xStatus TPM, xStatus Software, xCommand SBOM.
//
// What the loader measured and saw is told as it told it. A board without a loader, or a machine
// without a TPM, says so; nothing is claimed that was not measured.
#pragma once

#include <cstdint>

#include "firmware/admin/commands.h"
#include "firmware/admin/status.h"
#include "hal/boot_control.h"
#include "hal/rt/bytes.h"

namespace gh {

class TrustStatus {
 public:
  explicit TrustStatus(const hal::BootControl& boot) : boot_(boot) {}
  void AddTo(admin::StatusTree& tree);
  void AddTo(admin::CommandTable& commands);

 private:
  bool NextSecureBoot(uint64_t& cursor, ByteWriter& out);
  bool NextTpm(uint64_t& cursor, ByteWriter& out);
  bool NextSoftware(uint64_t& cursor, ByteWriter& out);

  const hal::BootControl& boot_;
};

}  // namespace gh
