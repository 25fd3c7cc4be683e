// What a factory reset kept beside the store: any bytes, with a right checksum too, give rows or an
// error; each row that the configuration takes is a setting of the network.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "crypto/digest.h"
#include "firmware/upgrade/kept_network.h"
#include "hal/rt/assert.h"

namespace {

class Sink final : public gh::store::EntryVisitor {
 public:
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    for (const char c : key) {
      sum += static_cast<uint8_t>(c);
    }
    for (const uint8_t byte : value) {
      sum += byte;
    }
  }
  uint32_t sum = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Sink sink;
  std::vector<uint8_t> copy(data, data + size);
  (void)gh::upgrade::KeptNetwork::Parse(copy, sink).ok();
  if (size < gh::upgrade::KeptNetwork::kHeaderBytes) {
    return 0;
  }
  // The same rows behind a header that holds.
  const auto rows = static_cast<uint32_t>(size - gh::upgrade::KeptNetwork::kHeaderBytes);
  const uint8_t head[16] = {'G',
                            'H',
                            'K',
                            'E',
                            'P',
                            'T',
                            '0',
                            '1',
                            static_cast<uint8_t>(rows),
                            static_cast<uint8_t>(rows >> 8),
                            static_cast<uint8_t>(rows >> 16),
                            static_cast<uint8_t>(rows >> 24)};
  std::copy(std::begin(head), std::end(head), copy.begin());
  gh::crypto::Blake2b256 hash("gatehouse.kept");
  hash.Update(std::span(copy).first(16));
  hash.Update(std::span(copy).subspan(gh::upgrade::KeptNetwork::kHeaderBytes));
  const auto sum = hash.Finish();
  std::copy(sum.begin(), sum.end(), copy.begin() + 16);
  const auto parsed = gh::upgrade::KeptNetwork::Parse(copy, sink);
  asm volatile("" : : "r"(sink.sum));  // every byte was read
  GH_ASSERT(parsed.ok() || parsed.code() == gh::ErrorCode::kCorrupt);
  return 0;
}
