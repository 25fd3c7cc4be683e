#include "boot/uefi/partitions.h"

#include "boot/limits.h"
#include "boot/uefi/cpu.h"

namespace gh::boot {

namespace {

class Stopwatch {
 public:
  explicit Stopwatch(uint64_t& total) : total_(total), start_(ReadTsc()) {}
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() { total_ += ReadTsc() - start_; }

 private:
  uint64_t& total_;
  uint64_t start_;
};

}  // namespace

uint64_t PartitionDisk::Size(image::PartitionRole role) {
  const image::GptPartition* const partition = table_.FindType(image::SpecOf(role).type);
  return partition == nullptr ? 0 : partition->block_count() * disk_.block_size();
}

Result<uint64_t> PartitionDisk::Locate(image::PartitionRole role, uint64_t offset, uint64_t size) {
  const image::GptPartition* const partition = table_.FindType(image::SpecOf(role).type);
  if (partition == nullptr) {
    return Error(ErrorCode::kNoDevice, "the disk has no such partition");
  }
  const uint64_t whole = partition->block_count() * disk_.block_size();
  if (offset > whole || size > whole - offset) {
    return Error(ErrorCode::kOutOfRange, "access beyond the end of a partition");
  }
  GH_ASSERT_EQ(offset % disk_.block_size(), 0u);
  return partition->first_block + offset / disk_.block_size();
}

Result<void> PartitionDisk::Read(image::PartitionRole role, uint64_t offset,
                                 std::span<uint8_t> out) {
  const Stopwatch watch(tsc_spent_);
  GH_TRY_ASSIGN(const uint64_t block, Locate(role, offset, out.size()));
  return disk_.Read(block, out);
}

Result<void> PartitionDisk::Write(image::PartitionRole role, uint64_t offset,
                                  std::span<const uint8_t> data) {
  const Stopwatch watch(tsc_spent_);
  GH_TRY_ASSIGN(const uint64_t block, Locate(role, offset, data.size()));
  return disk_.Write(block, data);
}

Result<void> PartitionDisk::Flush() {
  const Stopwatch watch(tsc_spent_);
  return disk_.Flush();
}

Result<std::span<uint8_t>> SlotMemory::Allocate(uint64_t size) {
  GH_TRY_ASSIGN(auto pages, services_.AllocatePages(size, efi::kLoaderData));
  return pages.first(size);
}

void SlotMemory::Release(std::span<uint8_t> memory) {
  const uint64_t whole = (memory.size() + kPageSize - 1) / kPageSize * kPageSize;
  services_.FreePages({memory.data(), whole});
}

}  // namespace gh::boot
