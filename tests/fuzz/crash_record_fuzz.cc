// Crash records found after a reset may be anything. The first byte says whether to make the
// checksum right, so that the fuzzer gets past it.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hal/rt/crash_record.h"
#include "hal/rt/crc32.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gh;
  static std::array<uint8_t, kCrashRecordBytesMax + 64> bytes;
  static std::array<uint8_t, 32'768> text;
  if (size < 1 || size - 1 > bytes.size()) {
    return 0;
  }
  const bool mend = (data[0] & 1) != 0;
  size -= 1;
  std::copy_n(data + 1, size, bytes.begin());
  if (mend && size >= 16 && size <= kCrashRecordBytesMax) {
    const uint8_t head[] = {'G', 'H', 'C', 'R', 1, 0};
    std::copy(std::begin(head), std::end(head), bytes.begin());
    ByteWriter(std::span(bytes).subspan(8, 4)).U32Le(static_cast<uint32_t>(size));
    ByteWriter(std::span(bytes).subspan(size - 4, 4))
        .U32Le(Crc32(std::span(bytes).first(size - 4)));
  }
  CrashRecord record;
  if (!DecodeCrashRecord(std::span(bytes).first(size), record).ok()) {
    return 0;
  }
  ByteWriter writer(text);
  FormatCrashRecord(record, writer);
  GH_ASSERT(writer.ok());
  // What decodes encodes to the same bytes.
  static std::array<uint8_t, kCrashRecordBytesMax> again;
  Result<uint32_t> encoded = EncodeCrashRecord(record, again);
  GH_ASSERT(encoded.ok());
  GH_ASSERT(*encoded <= size && std::memcmp(again.data(), bytes.data(), *encoded) == 0);
  return 0;
}
