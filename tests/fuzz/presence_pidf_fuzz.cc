// Presence documents, hostile: one is taken whole or not at all, and what is told of it is a good
// document again, that says the same.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "firmware/presence/pidf.h"

namespace {

class FixedEntropy final : public gh::hal::Entropy {
 public:
  void Fill(std::span<uint8_t> out) override {
    for (uint8_t& byte : out) {
      byte = 7;
    }
  }
  const char* source() const override { return "fuzz"; }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gh::presence;
  static uint8_t memory[2u << 20];
  static gh::Arena arena(memory);
  static FixedEntropy entropy;
  static gh::crypto::Random random(entropy);
  static PidfReader reader(arena, random);
  uint8_t bytes[kPartsBytesMax];
  gh::ByteWriter out(bytes);
  const auto parts = reader.Read({data, size}, 1, out);
  if (!parts.ok()) {
    return 0;
  }
  uint8_t told[kDocumentBytesMax];
  gh::ByteWriter document(told);
  BeginPidf(document, "sip:alice@example.com");
  document.Text(parts->text());
  EndPidf(document);
  uint8_t again_bytes[2 * kPartsBytesMax];
  gh::ByteWriter again_out(again_bytes);
  const auto again = reader.Read(document.written(), 2, again_out);
  if (!document.ok() || !again.ok() || again->is_open != parts->is_open ||
      again->tuples.empty() != parts->tuples.empty() ||
      again->others.empty() != parts->others.empty()) {
    std::abort();
  }
  return 0;
}
