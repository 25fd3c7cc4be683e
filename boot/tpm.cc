#include "boot/tpm.h"

#include "boot/limits.h"
#include "hal/rt/bytes.h"

namespace gh::boot {

namespace {

constexpr uint16_t kTagNoSessions = 0x8001;
constexpr uint32_t kCommandPcrRead = 0x17e;
constexpr uint16_t kAlgorithmSha256 = 0x000b;
constexpr uint8_t kSelectSize = 3;  // bytes: 24 registers
constexpr uint32_t kPcrCount = 8 * kSelectSize;
constexpr uint32_t kEventIpl = 0x0d;
constexpr uint32_t kEventHeaderSize = 14;
constexpr uint16_t kEventHeaderVersion = 1;

constexpr uint16_t kTagSessions = 0x8002;
constexpr uint32_t kCommandNvUndefine = 0x122;
constexpr uint32_t kCommandNvDefine = 0x12a;
constexpr uint32_t kCommandNvIncrement = 0x134;
constexpr uint32_t kCommandNvRead = 0x14e;
constexpr uint32_t kCommandNvReadPublic = 0x169;
constexpr uint32_t kOwner = 0x40000001;
constexpr uint32_t kPasswordSession = 0x40000009;
// Counter; written and read by the owner or with the index' own (empty) authorization; no lockout.
constexpr uint32_t kCounterAttributes = 0x02060016;
constexpr uint32_t kAttributeWritten = 1u << 29;
constexpr uint16_t kCounterSize = 8;
constexpr uint16_t kPolicySize = 32;  // of the index' name algorithm, SHA-256
constexpr std::array<uint8_t, 24> kPolicyMagic = {'g', 'a', 't', 'e', 'h', 'o', 'u', 's',
                                                  'e', '.', 's', 'e', 'c', 'u', 'r', 'i',
                                                  't', 'y', '.', 'b', 'a', 's', 'e', '1'};
static_assert(kPolicyMagic.size() + kCounterSize == kPolicySize);
constexpr uint32_t kResponseHeaderSize = 10;

// Begins a command; EndCommand() fills in its size.
void BeginCommand(ByteWriter& writer, uint16_t tag, uint32_t command) {
  writer.U16Be(tag);
  writer.U32Be(0);
  writer.U32Be(command);
}

// An empty password.
void WriteAuthorization(ByteWriter& writer) {
  writer.U32Be(9);
  writer.U32Be(kPasswordSession);
  writer.U16Be(0);
  writer.U8(0);
  writer.U16Be(0);
}

std::span<uint8_t> EndCommand(const ByteWriter& writer) {
  if (!writer.ok()) {
    return {};
  }
  const std::span<uint8_t> command = writer.written();
  ByteWriter(command.subspan(2)).U32Be(static_cast<uint32_t>(command.size()));
  return command;
}

}  // namespace

std::span<uint8_t> EncodeTpmEvent(uint32_t pcr, std::string_view text, std::span<uint8_t> out) {
  if (text.size() > kTpmEventTextMax) {
    return {};
  }
  ByteWriter writer(out);
  writer.U32Le(static_cast<uint32_t>(4 + kEventHeaderSize + text.size()));
  writer.U32Le(kEventHeaderSize);
  writer.U16Le(kEventHeaderVersion);
  writer.U32Le(pcr);
  writer.U32Le(kEventIpl);
  writer.Text(text);
  return writer.ok() ? writer.written() : std::span<uint8_t>();
}

std::span<uint8_t> EncodePcrRead(std::span<const uint32_t> pcrs, std::span<uint8_t> out) {
  std::array<uint8_t, kSelectSize> select = {};
  for (const uint32_t pcr : pcrs) {
    if (pcr >= kPcrCount) {
      return {};
    }
    select[pcr / 8] = static_cast<uint8_t>(select[pcr / 8] | 1u << pcr % 8);
  }
  ByteWriter writer(out);
  writer.U16Be(kTagNoSessions);
  writer.U32Be(2 + 4 + 4 + 4 + 2 + 1 + kSelectSize);
  writer.U32Be(kCommandPcrRead);
  writer.U32Be(1);
  writer.U16Be(kAlgorithmSha256);
  writer.U8(kSelectSize);
  writer.Bytes(select);
  return writer.ok() ? writer.written() : std::span<uint8_t>();
}

Result<uint32_t> DecodePcrRead(std::span<const uint8_t> response, std::span<PcrValue> out) {
  constexpr uint32_t kHeaderSize = 10;
  ByteReader header(response);
  const uint16_t tag = header.U16Be();
  const uint32_t size = header.U32Be();
  const uint32_t code = header.U32Be();
  if (!header.ok() || tag != kTagNoSessions || size < kHeaderSize || size > response.size()) {
    return Error(ErrorCode::kMalformed, "the TPM's answer is malformed");
  }
  if (code != 0) {
    return Error(ErrorCode::kUnsupported, "the TPM refuses to give its registers");
  }
  ByteReader reader(response.subspan(kHeaderSize, size - kHeaderSize));
  reader.Skip(4);  // the update counter
  const uint32_t selections = reader.U32Be();
  const uint16_t algorithm = reader.U16Be();
  const uint8_t select_size = reader.U8();
  std::array<uint8_t, kSelectSize> select = {};
  reader.Copy(select);
  if (!reader.ok() || selections != 1 || algorithm != kAlgorithmSha256 ||
      select_size != kSelectSize) {
    return Error(ErrorCode::kMalformed, "the TPM answers for other registers");
  }
  const uint32_t digests = reader.U32Be();
  uint32_t count = 0;
  for (uint32_t pcr = 0; pcr < kPcrCount; ++pcr) {
    if ((select[pcr / 8] >> pcr % 8 & 1) == 0) {
      continue;
    }
    if (count == out.size() || reader.U16Be() != sizeof(PcrValue::sha256)) {
      return Error(ErrorCode::kMalformed, "the TPM's registers are malformed");
    }
    out[count].index = pcr;
    out[count].reserved = 0;
    reader.Copy(out[count].sha256);
    ++count;
  }
  if (!reader.ok() || count != digests || !reader.at_end()) {
    return Error(ErrorCode::kMalformed, "the TPM's registers are malformed");
  }
  return count;
}

std::span<uint8_t> EncodeNvDefineCounter(uint32_t index, uint64_t base, std::span<uint8_t> out) {
  ByteWriter writer(out);
  BeginCommand(writer, kTagSessions, kCommandNvDefine);
  writer.U32Be(kOwner);
  WriteAuthorization(writer);
  writer.U16Be(0);  // its own authorization: empty
  writer.U16Be(4 + 2 + 4 + 2 + kPolicySize + 2);
  writer.U32Be(index);
  writer.U16Be(kAlgorithmSha256);
  writer.U32Be(kCounterAttributes);
  writer.U16Be(kPolicySize);
  writer.Bytes(kPolicyMagic);
  writer.U64Be(base);
  writer.U16Be(kCounterSize);
  return EndCommand(writer);
}

std::span<uint8_t> EncodeNvUndefine(uint32_t index, std::span<uint8_t> out) {
  ByteWriter writer(out);
  BeginCommand(writer, kTagSessions, kCommandNvUndefine);
  writer.U32Be(kOwner);
  writer.U32Be(index);
  WriteAuthorization(writer);
  return EndCommand(writer);
}

std::span<uint8_t> EncodeNvIncrement(uint32_t index, std::span<uint8_t> out) {
  ByteWriter writer(out);
  BeginCommand(writer, kTagSessions, kCommandNvIncrement);
  writer.U32Be(index);
  writer.U32Be(index);
  WriteAuthorization(writer);
  return EndCommand(writer);
}

std::span<uint8_t> EncodeNvRead(uint32_t index, std::span<uint8_t> out) {
  ByteWriter writer(out);
  BeginCommand(writer, kTagSessions, kCommandNvRead);
  writer.U32Be(index);
  writer.U32Be(index);
  WriteAuthorization(writer);
  writer.U16Be(kCounterSize);
  writer.U16Be(0);
  return EndCommand(writer);
}

std::span<uint8_t> EncodeNvReadPublic(uint32_t index, std::span<uint8_t> out) {
  ByteWriter writer(out);
  BeginCommand(writer, kTagNoSessions, kCommandNvReadPublic);
  writer.U32Be(index);
  return EndCommand(writer);
}

Result<void> DecodeTpmStatus(std::span<const uint8_t> response) {
  constexpr uint32_t kFormatOne = 0x80;
  constexpr uint32_t kErrorMask = 0x3f;
  constexpr uint32_t kHandleError = 0x0b;
  constexpr uint32_t kUninitialised = 0x14a;
  ByteReader reader(response);
  const uint16_t tag = reader.U16Be();
  const uint32_t size = reader.U32Be();
  const uint32_t code = reader.U32Be();
  if (!reader.ok() || (tag != kTagNoSessions && tag != kTagSessions) ||
      size < kResponseHeaderSize || size > response.size()) {
    return Error(ErrorCode::kMalformed, "the TPM's answer is malformed");
  }
  if (code == 0) {
    return Ok();
  }
  if ((code & kFormatOne) != 0 && (code & kErrorMask) == kHandleError) {
    return Error(ErrorCode::kNotFound, "the TPM has no such counter");
  }
  if (code == kUninitialised) {
    return Error(ErrorCode::kWrongState, "the TPM's counter never counted");
  }
  return Error(ErrorCode::kRefused, "the TPM refuses a command for its counter");
}

Result<uint64_t> DecodeNvRead(std::span<const uint8_t> response) {
  GH_TRY(DecodeTpmStatus(response));
  ByteReader reader(response);
  const bool has_sessions = reader.U16Be() == kTagSessions;
  reader.Skip(8);
  reader.Skip(4);  // size of the parameters
  const uint16_t size = reader.U16Be();
  const uint64_t value = reader.U64Be();
  if (!reader.ok() || !has_sessions || size != kCounterSize) {
    return Error(ErrorCode::kMalformed, "the TPM's counter is malformed");
  }
  return value;
}

Result<uint64_t> DecodeNvPublic(std::span<const uint8_t> response, uint32_t index) {
  GH_TRY(DecodeTpmStatus(response));
  ByteReader reader(response);
  reader.Skip(kResponseHeaderSize);
  const uint16_t size = reader.U16Be();
  ByteReader area(reader.Take(size));
  const uint32_t own_index = area.U32Be();
  const uint16_t algorithm = area.U16Be();
  const uint32_t attributes = area.U32Be();
  const uint16_t policy_size = area.U16Be();
  std::array<uint8_t, kPolicyMagic.size()> magic = {};
  area.Copy(magic);
  const uint64_t base = area.U64Be();
  const uint16_t data_size = area.U16Be();
  if (!reader.ok()) {
    return Error(ErrorCode::kMalformed, "the TPM's counter is malformed");
  }
  if (!area.ok() || !area.at_end() || own_index != index || algorithm != kAlgorithmSha256 ||
      (attributes & ~kAttributeWritten) != kCounterAttributes || policy_size != kPolicySize ||
      magic != kPolicyMagic || data_size != kCounterSize) {
    return Error(ErrorCode::kIncompatible, "the TPM's index for the counter is not ours");
  }
  return base;
}

}  // namespace gh::boot
