// A TPM 2.0, spoken to in whole commands (TPM 2.0 part 3).
#pragma once

#include <cstdint>
#include <span>

#include "hal/rt/result.h"

namespace gh::hal {

class Tpm {
 public:
  // One command and its answer, which is good until the next. It waits, seconds at most: for the
  // start, and for what an operator asks for by a slow command.
  virtual Result<std::span<const uint8_t>> Run(std::span<const uint8_t> command) = 0;

 protected:
  ~Tpm() = default;
};

}  // namespace gh::hal
