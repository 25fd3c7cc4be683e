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

}  // namespace gh::boot
