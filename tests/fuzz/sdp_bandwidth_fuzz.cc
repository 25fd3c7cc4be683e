// Descriptions through firmware/sdp/bandwidth: what is written asks for no more than the limit, and
// writing it again changes nothing.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "firmware/sdp/bandwidth.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gh;
  if (size < 2) {
    return 0;
  }
  const uint32_t limit = 64u + (uint32_t{data[0]} << 8 | data[1]);
  const std::string_view body = AsText({data + 2, size - 2});
  const uint32_t wanted = sdp::BandwidthOf(body);
  std::vector<uint8_t> once(size * 12 + 64);
  ByteWriter out(once);
  sdp::LimitBandwidth(body, limit, out);
  if (!out.ok()) {
    std::abort();
  }
  // Rounding of small lines never takes one below 1: that much more there may be.
  const uint32_t now = sdp::BandwidthOf(out.text());
  if (wanted != 0 && now > limit + size) {
    std::abort();
  }
  if (wanted != 0 && wanted <= limit && out.text() != body) {
    std::abort();
  }
  return 0;
}
