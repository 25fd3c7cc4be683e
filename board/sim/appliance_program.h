// The appliance as the program of a simulated machine.
#pragma once

#include "board/sim/machine.h"
#include "firmware/appliance.h"

namespace gh::sim {

class ApplianceProgram final : public Program {
 public:
  explicit ApplianceProgram(hal::Machine& machine, const ApplianceOptions& options = {})
      : appliance_(machine, options) {}
  Result<void> Start() override { return appliance_.Start(); }
  Instant RunOnce() override { return appliance_.RunOnce(); }
  Appliance& appliance() { return appliance_; }

 private:
  Appliance appliance_;
};

inline ProgramFactory MakeAppliance(const ApplianceOptions& options = {}) {
  return [options](hal::Machine& machine) -> Program* {
    return machine.arena.New<ApplianceProgram>(machine, options);
  };
}

}  // namespace gh::sim
