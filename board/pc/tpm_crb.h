// A TPM 2.0 behind a command response buffer (TCG PC Client Platform TPM Profile 1.05, 6.5), found
// by ACPI's table TPM2: firmware TPMs, and QEMU's tpm-crb. TPMs behind the older FIFO are left
// alone.
//
// Fault model: the TPM is slow or mute: every wait ends. Its answer's size is checked against the
// buffer. Used by one caller at a time.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "board/pc/acpi.h"
#include "board/pc/mmio.h"
#include "board/pc/paging.h"
#include "hal/clock.h"
#include "hal/tpm.h"

namespace gh::pc {

class TpmCrb final : public hal::Tpm {
 public:
  explicit TpmCrb(hal::Clock& clock) : clock_(clock) {}
  TpmCrb(const TpmCrb&) = delete;
  TpmCrb& operator=(const TpmCrb&) = delete;

  // kNotFound: there is none.
  Result<void> Initialise(PageTables& pages, const TpmInfo& info);
  Result<std::span<const uint8_t>> Run(std::span<const uint8_t> command) override;

 private:
  static constexpr uint32_t kBufferMax = 1024;
  static constexpr Duration kAnswerMax = Duration::Seconds(5);
  static constexpr Duration kRegisterMax = Duration::Milliseconds(200);

  // Whether the bits of a register become `wanted` in time.
  bool WaitFor(uint64_t offset, uint32_t mask, uint32_t wanted, Duration most) const;
  Result<void> Begin();

  hal::Clock& clock_;
  Mmio registers_;
  uint64_t command_at_ = 0;  // of the buffers, in registers_
  uint64_t answer_at_ = 0;
  uint32_t size_max_ = 0;
  std::array<uint8_t, kBufferMax> answer_ = {};
};

}  // namespace gh::pc
