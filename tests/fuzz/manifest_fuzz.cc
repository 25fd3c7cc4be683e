// Manifest bytes: decoding never reads or writes out of bounds, and what it yields is plain text.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "image/slot.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto manifest = gh::image::DecodeManifest({data, size});
  if (manifest.ok()) {
    if (std::strlen(manifest->version) >= sizeof(manifest->version) ||
        manifest->segments_count > gh::image::kSegmentCountMax) {
      std::abort();
    }
  }
  return 0;
}
