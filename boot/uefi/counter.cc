#include "boot/uefi/counter.h"

#include "boot/limits.h"
#include "boot/tpm.h"
#include "hal/rt/bytes.h"

namespace gh::boot {

namespace {
constexpr char16_t kVariableName[] = u"GatehouseSecurityVersion";
constexpr uint32_t kVariableAttributes = efi::kVariableNonVolatile | efi::kVariableBootService;
}  // namespace

Result<void> TpmCounter::Run(std::span<const uint8_t> command) {
  response_ = {};
  GH_TRY(tpm_.Submit(command, response_));
  return DecodeTpmStatus(response_);
}

Result<uint64_t> TpmCounter::ReadCount(uint32_t index) {
  GH_TRY(Run(EncodeNvRead(index, command_)));
  return DecodeNvRead(response_);
}

Result<uint64_t> TpmCounter::ReadBase() {
  GH_TRY(Run(EncodeNvReadPublic(kNvCounterIndex, command_)));
  return DecodeNvPublic(response_, kNvCounterIndex);
}

Result<uint64_t> TpmCounter::Read() {
  GH_TRY_ASSIGN(const uint64_t base, ReadBase());
  const auto count = ReadCount(kNvCounterIndex);
  if (!count.ok() && count.code() != ErrorCode::kWrongState) {
    return count.error();
  }
  const uint64_t now = count.value_or(base);
  if (now < base) {
    return Error(ErrorCode::kCorrupt, "the TPM's counter is below where it began");
  }
  value_ = now - base;
  return value_;
}

// A new counter begins one above the highest that any counter of this TPM ever had: one that is
// made for this and deleted again tells what that is.
Result<uint64_t> TpmCounter::LearnBase() {
  Run(EncodeNvUndefine(kNvProbeIndex, command_))
      .ignore("left by a start that was cut short, or not there");
  GH_TRY(Run(EncodeNvDefineCounter(kNvProbeIndex, 0, command_)));
  GH_TRY(Run(EncodeNvIncrement(kNvProbeIndex, command_)));
  GH_TRY_ASSIGN(const uint64_t count, ReadCount(kNvProbeIndex));
  GH_TRY(Run(EncodeNvUndefine(kNvProbeIndex, command_)));
  return count;
}

Result<void> TpmCounter::Define() {
  GH_TRY_ASSIGN(const uint64_t base, LearnBase());
  return Run(EncodeNvDefineCounter(kNvCounterIndex, base, command_));
}

Result<void> TpmCounter::Raise(uint64_t value) {
  auto now = Read();
  if (!now.ok() && now.code() == ErrorCode::kNotFound) {
    GH_TRY(Define());
    now = Read();
  }
  if (!now.ok()) {
    return now.error();
  }
  if (value > *now && value - *now > kTpmCounterStepMax) {
    return Error(ErrorCode::kOutOfRange, "the security version is too far ahead of the TPM's");
  }
  for (uint64_t at = *now; at < value; ++at) {
    GH_TRY(Run(EncodeNvIncrement(kNvCounterIndex, command_)));
  }
  GH_TRY_ASSIGN(const uint64_t raised, Read());
  return raised == value ? Ok() : Error(ErrorCode::kIoError, "the TPM's counter does not count");
}

Result<uint64_t> VariableCounter::Read() {
  std::array<uint8_t, 8> bytes = {};
  uint64_t size = bytes.size();
  uint32_t attributes = 0;
  const efi::Status status = runtime_.get_variable(kVariableName, &efi::kGatehouseVariable,
                                                   &attributes, &size, bytes.data());
  if (status == efi::kNotFound) {
    return Error(ErrorCode::kNotFound, "the firmware has no variable for the security version");
  }
  if (efi::Failed(status) || size != bytes.size() || attributes != kVariableAttributes) {
    return Error(ErrorCode::kIncompatible,
                 "the firmware's variable for the security version is "
                 "not ours");
  }
  value_ = ByteReader(bytes).U64Le();
  return value_;
}

Result<void> VariableCounter::Raise(uint64_t value) {
  std::array<uint8_t, 8> bytes = {};
  ByteWriter(bytes).U64Le(value);
  if (efi::Failed(runtime_.set_variable(kVariableName, &efi::kGatehouseVariable,
                                        kVariableAttributes, bytes.size(), bytes.data()))) {
    return Error(ErrorCode::kIoError, "the firmware does not keep the security version");
  }
  GH_TRY_ASSIGN(const uint64_t raised, Read());
  return raised == value ? Ok()
                         : Error(ErrorCode::kIoError,
                                 "the firmware forgot the security "
                                 "version");
}

}  // namespace gh::boot
