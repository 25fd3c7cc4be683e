// Answers of a TPM: whatever they hold, only whole registers come out, and no more than asked for.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "boot/tpm.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> response(data, size);
  const auto counter = gh::boot::DecodeNvRead(response);
  const auto base = gh::boot::DecodeNvPublic(response, gh::boot::kNvCounterIndex);
  if ((counter.ok() && size < 24) || (base.ok() && size < 58) || (counter.ok() && base.ok())) {
    std::abort();
  }
  std::array<gh::boot::PcrValue, gh::boot::kHandoverPcrMax> pcrs;
  const auto count = gh::boot::DecodePcrRead({data, size}, pcrs);
  if (!count.ok()) {
    return 0;
  }
  if (*count > pcrs.size() || size < 28 + 34 * *count) {
    std::abort();
  }
  for (uint32_t i = 0; i < *count; ++i) {
    if (pcrs[i].index >= 24 || (i > 0 && pcrs[i].index <= pcrs[i - 1].index)) {
      std::abort();
    }
  }
  return 0;
}
