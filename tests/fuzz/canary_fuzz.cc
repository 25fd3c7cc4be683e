// The fuzzers' canary: a planted overrun that the test runner expects to be found. If it is not
// found, the fuzz targets that find nothing prove nothing.
#include <array>
#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::array<volatile std::uint8_t, 4> copy{};
  if (size < 8 || data[0] != 'G' || data[1] != 'H') {
    return 0;
  }
  volatile std::uint8_t* out = copy.data();
  for (std::size_t i = 0; i < size; ++i) {
    out[i] = data[i];
  }
  return 0;
}
