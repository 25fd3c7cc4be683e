// Hardware that remembers the security version: a TPM's NV counter (boot/tpm.h) or, where there is
// none, a UEFI variable.
//
// The variable is not authenticated: nothing on the machine could sign a new value. It is one that
// only boot services reach, so that no system that runs later can change it; what can are programs
// that the firmware starts, which UEFI Secure Boot restricts to signed ones, and the firmware's own
// reset to defaults. It is written when the version rises and at no other time.
#pragma once

#include <cstdint>

#include "boot/chain.h"
#include "boot/handover.h"
#include "boot/uefi/efi.h"
#include "boot/uefi/measure.h"

namespace gh::boot {

class HardwareCounter : public RollbackCounter {
 public:
  virtual CounterKind kind() const = 0;
  uint64_t value() const { return value_; }  // as last read or raised

 protected:
  ~HardwareCounter() = default;
  uint64_t value_ = 0;
};

class TpmCounter final : public HardwareCounter {
 public:
  bool Open(efi::BootServices& boot) { return tpm_.Open(boot); }
  Result<uint64_t> Read() override;
  Result<void> Raise(uint64_t value) override;
  CounterKind kind() const override { return CounterKind::kTpm; }

 private:
  Result<void> Run(std::span<const uint8_t> command);
  Result<uint64_t> ReadCount(uint32_t index);
  Result<uint64_t> ReadBase();
  Result<uint64_t> LearnBase();
  Result<void> Define();

  Tpm tpm_;
  std::array<uint8_t, kTpmCommandSizeMax> command_;
  std::array<uint8_t, kTpmResponseSizeMax> response_;
};

class VariableCounter final : public HardwareCounter {
 public:
  explicit VariableCounter(efi::RuntimeServices& runtime) : runtime_(runtime) {}
  Result<uint64_t> Read() override;
  Result<void> Raise(uint64_t value) override;
  CounterKind kind() const override { return CounterKind::kUefiVariable; }

 private:
  efi::RuntimeServices& runtime_;
};

}  // namespace gh::boot
