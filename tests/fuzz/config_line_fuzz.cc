// xConfiguration and provisioning text from anybody: parsed, resolved, staged; never crashes, and
// what is staged survives being stored and read.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "firmware/config/line.h"
#include "firmware/config/settings.h"
#include "firmware/config/tree.h"
#include "firmware/config/value.h"

using namespace gh;
using namespace gh::config;

namespace {

void OneLine(std::string_view text, Settings& settings) {
  Message message;
  const auto line = ParseLine(text, message);
  if (!line.ok()) {
    if (message.empty()) {
      std::abort();  // every refusal says what was expected
    }
    return;
  }
  std::array<NextWord, kNextWordMax> next;
  NextWords(line->path(), settings, next);
  const auto selector = FindSetting(line->path(), settings, message);
  if (!selector.ok() || !line->has_value || InfoOf(*selector).is_secret()) {
    return;
  }
  const SettingInfo& info = InfoOf(*selector);
  if (!ParseValue(info, line->value.view(), settings.Field(*selector), message).ok()) {
    return;
  }
  uint8_t stored_bytes[512];
  ByteWriter stored(stored_bytes);
  EncodeStored(info, settings.Field(*selector), stored);
  std::vector<uint8_t> copy(ValueSize(info), 0);
  if (!DecodeStored(info, stored.written(), copy.data()).ok() ||
      std::memcmp(copy.data(), settings.Field(*selector), copy.size()) != 0) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static std::vector<uint8_t> memory(4u << 20);
  static Arena arena({memory.data(), memory.size()});
  static Settings settings(arena, 10);
  std::string_view text(reinterpret_cast<const char*>(data), size);
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    OneLine(text.substr(0, end), settings);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return 0;
}
