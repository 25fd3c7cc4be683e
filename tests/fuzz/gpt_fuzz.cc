// A disk's first and last blocks: any table that is accepted keeps its promises.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "hal/rt/bytes.h"
#include "hal/rt/crc32.h"
#include "image/gpt.h"

namespace {

using gh::image::kGptEntriesSize;

// `data` is the disk; checksums of the primary header and its entries are mended on the way.
class FuzzDisk final : public gh::image::BlockReader {
 public:
  explicit FuzzDisk(std::vector<uint8_t> bytes) : bytes_(std::move(bytes)) {}
  uint32_t block_size() const override { return 512; }
  uint64_t block_count() const override { return bytes_.size() / 512; }
  gh::Result<void> Read(uint64_t block, std::span<uint8_t> out) override {
    if (block > block_count() || out.size() / 512 > block_count() - block) {
      std::abort();  // the reader must never ask for this
    }
    std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(block * 512), out.size(), out.begin());
    return gh::Ok();
  }

 private:
  std::vector<uint8_t> bytes_;
};

void Mend(std::vector<uint8_t>& disk) {
  const std::span<uint8_t> bytes(disk);
  const uint32_t count = gh::ByteReader(bytes.subspan(512 + 80, 4)).U32Le();
  if (count <= 128 && disk.size() >= 1024 + count * 128) {
    gh::ByteWriter{bytes.subspan(512 + 88, 4)}.U32Le(gh::Crc32(bytes.subspan(1024, count * 128)));
  }
  const uint32_t size = gh::ByteReader(bytes.subspan(512 + 12, 4)).U32Le();
  if (size >= 92 && size <= 512) {
    gh::ByteWriter{bytes.subspan(512 + 16, 4)}.U32Le(0);
    gh::ByteWriter{bytes.subspan(512 + 16, 4)}.U32Le(gh::Crc32(bytes.subspan(512, size)));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2048) {
    return 0;
  }
  std::vector<uint8_t> bytes(data, data + size / 512 * 512);
  Mend(bytes);
  FuzzDisk disk(std::move(bytes));
  std::array<uint8_t, gh::image::kGptScratchSize> scratch;
  gh::image::GptTable table;
  if (!gh::image::ReadGpt(disk, scratch, table).ok()) {
    return 0;
  }
  for (const auto& partition : table.all()) {
    if (partition.first_block > partition.last_block ||
        partition.last_block >= disk.block_count()) {
      std::abort();
    }
  }
  return 0;
}
