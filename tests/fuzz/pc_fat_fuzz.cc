// The FAT reader over any volume.
#include <array>
#include <cstdint>
#include <cstring>

#include "board/pc/fat.h"

namespace {

class Sectors final : public gh::pc::SectorReader {
 public:
  Sectors(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  // As large a disk as the boot sector may wish for; what the input lacks reads as its own
  // repetition.
  uint64_t sector_count() const override { return 1u << 20; }
  gh::Result<void> Read(uint64_t sector, std::span<uint8_t, gh::pc::kFatSectorSize> out) override {
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = data_[(sector * out.size() + i) % size_];
    }
    return gh::Ok();
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < gh::pc::kFatSectorSize) {
    return 0;
  }
  Sectors sectors(data, size);
  gh::pc::FatVolume volume;
  if (!volume.Open(sectors).ok()) {
    return 0;
  }
  static std::array<uint8_t, 64 * 1024> out;
  const auto read = volume.ReadRootFile("provision.txt", out);
  if (read.ok() && *read > out.size()) {
    __builtin_trap();
  }
  return 0;
}
