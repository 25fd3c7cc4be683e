// Stored rows are outside data: first byte a setting, the rest its stored value.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "firmware/config/settings.h"
#include "firmware/config/value.h"

using namespace gh::config;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) {
    return 0;
  }
  const SettingInfo& info = kSettings[data[0] % kSettingCount];
  std::vector<uint8_t> value(ValueSize(info), 0);
  if (!DecodeStored(info, {data + 1, size - 1}, value.data()).ok()) {
    return 0;
  }
  uint8_t bytes[512];
  gh::ByteWriter out(bytes);
  FormatValue(info, value.data(), out);
  EncodeStored(info, value.data(), out);
  if (!out.ok()) {
    std::abort();
  }
  return 0;
}
