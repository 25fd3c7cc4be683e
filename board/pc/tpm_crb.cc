#include "board/pc/tpm_crb.h"

#include <algorithm>
#include <span>

#include "hal/rt/bytes.h"

namespace gh::pc {
namespace {

constexpr uint64_t kWindow = 4096;
constexpr uint32_t kStartMethodCrb = 7;
// Registers of locality 0, from the page's begin.
constexpr uint64_t kLocalityControl = 0x08;
constexpr uint64_t kLocalityStatus = 0x0c;
constexpr uint64_t kRequest = 0x40;  // the control area of ACPI's table
constexpr uint64_t kStatus = 0x44;
constexpr uint64_t kStart = 0x4c;
constexpr uint64_t kCommandSize = 0x58;
constexpr uint64_t kCommandAddress = 0x5c;
constexpr uint64_t kAnswerSize = 0x64;
constexpr uint64_t kAnswerAddress = 0x68;
constexpr uint64_t kBuffers = 0x80;

constexpr uint32_t kRequestReady = 1;
constexpr uint32_t kRequestIdle = 2;
constexpr uint32_t kStatusFatal = 1;
constexpr uint32_t kHeaderSize = 10;

constexpr Error kNoAnswer = {ErrorCode::kTimeout, "the TPM does not answer"};

}  // namespace

Result<void> TpmCrb::Initialise(PageTables& pages, const TpmInfo& info) {
  if (!info.present) {
    return Error(ErrorCode::kNotFound, "none");
  }
  if (info.start_method != kStartMethodCrb || info.control_area % kWindow != kRequest) {
    return Error(ErrorCode::kUnsupported, "not behind a command response buffer");
  }
  const uint64_t page = info.control_area - kRequest;
  GH_TRY_ASSIGN(registers_, pages.MapMmio(page, kWindow));
  const uint64_t command =
      registers_.Read32(kCommandAddress) | uint64_t{registers_.Read32(kCommandAddress + 4)} << 32;
  const uint64_t answer =
      registers_.Read32(kAnswerAddress) | uint64_t{registers_.Read32(kAnswerAddress + 4)} << 32;
  for (const uint64_t address : {command, answer}) {
    if (address < page + kBuffers || address >= page + kWindow) {
      return Error(ErrorCode::kUnsupported, "its buffer is elsewhere");
    }
  }
  command_at_ = command - page;
  answer_at_ = answer - page;
  const uint64_t room = std::min({uint64_t{kBufferMax}, uint64_t{registers_.Read32(kCommandSize)},
                                  uint64_t{registers_.Read32(kAnswerSize)}, kWindow - command_at_,
                                  kWindow - answer_at_});
  size_max_ = static_cast<uint32_t>(room);
  return size_max_ < 512 ? Result<void>(Error(ErrorCode::kUnsupported, "its buffer is too small"))
                         : Ok();
}

bool TpmCrb::WaitFor(uint64_t offset, uint32_t mask, uint32_t wanted, Duration most) const {
  const Instant end = clock_.Now() + most;
  while ((registers_.Read32(offset) & mask) != wanted) {
    if (clock_.Now() >= end) {
      return false;
    }
  }
  return true;
}

Result<void> TpmCrb::Begin() {
  registers_.Write32(kLocalityControl, 1);  // ours from now on
  if (!WaitFor(kLocalityStatus, 1, 1, kRegisterMax)) {
    return Error(ErrorCode::kTimeout, "the TPM is held by another");
  }
  registers_.Write32(kRequest, kRequestReady);
  return WaitFor(kRequest, kRequestReady, 0, kRegisterMax) ? Ok() : Result<void>(kNoAnswer);
}

Result<std::span<const uint8_t>> TpmCrb::Run(std::span<const uint8_t> command) {
  if (command.size() > size_max_) {
    return Error(ErrorCode::kTooLarge, "the TPM's buffer is too small");
  }
  GH_TRY(Begin());
  for (size_t i = 0; i < command.size(); ++i) {
    registers_.Write8(command_at_ + i, command[i]);
  }
  registers_.Write32(kStart, 1);
  const bool answered = WaitFor(kStart, 1, 0, kAnswerMax);
  // What was sent may be a secret: nothing of it stays.
  for (size_t i = 0; answered && command_at_ != answer_at_ && i < command.size(); ++i) {
    registers_.Write8(command_at_ + i, 0);
  }
  if (!answered || (registers_.Read32(kStatus) & kStatusFatal) != 0) {
    return kNoAnswer;
  }
  for (uint32_t i = 0; i < kHeaderSize; ++i) {
    answer_[i] = registers_.Read8(answer_at_ + i);
  }
  ByteReader header({answer_.data() + 2, 4});
  const uint32_t size = header.U32Be();
  if (size < kHeaderSize || size > size_max_) {
    return Error(ErrorCode::kMalformed, "the TPM's answer is malformed");
  }
  for (uint32_t i = 0; i < size; ++i) {
    answer_[i] = registers_.Read8(answer_at_ + i);
    registers_.Write8(answer_at_ + i, 0);
  }
  registers_.Write32(kRequest, kRequestIdle);
  return std::span<const uint8_t>(answer_.data(), size);
}

}  // namespace gh::pc
