#include "image/tool/disk.h"

#include <algorithm>
#include <cstring>

#include "crypto/digest.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "image/bootstate.h"
#include "image/tool/fat.h"

namespace gh::image::tool {

namespace {

// A GUID that depends on the build and the name only (RFC 9562, version 8).
Guid DerivedGuid(const std::string& build_id, const std::string& name) {
  crypto::Blake2b256 hash("gatehouse.guid");
  hash.Update(build_id);
  hash.Update(std::string_view("/"));
  hash.Update(name);
  const auto digest = hash.Finish();
  Guid guid;
  std::copy_n(digest.begin(), guid.size(), guid.begin());
  guid[7] = static_cast<uint8_t>((guid[7] & 0x0f) | 0x80);
  guid[8] = static_cast<uint8_t>((guid[8] & 0x3f) | 0x80);
  return guid;
}

GptTable PlanTable(const std::string& build_id, uint64_t store_size) {
  GptTable table;
  table.disk = DerivedGuid(build_id, "disk");
  uint64_t next = kMebibyte;
  for (const PartitionSpec& spec : kPartitions) {
    GptPartition& partition = table.partitions[table.partition_count++];
    const uint64_t size = spec.role == PartitionRole::kStore ? store_size : spec.size;
    partition.type = spec.type;
    partition.unique = DerivedGuid(build_id, spec.name);
    partition.first_block = next / kDiskBlockSize;
    partition.last_block = (next + size) / kDiskBlockSize - 1;
    partition.name.Assign(spec.name);
    next += size;
  }
  return table;
}

void WriteBootState(RandomFile& disk, uint64_t offset, uint64_t security_version) {
  BootState state;
  state.sequence = 1;
  state.security_version = security_version;
  state.slots[0].state = SlotState::kConfirmed;
  state.slots[0].security_version = security_version;
  state.slots[0].install_sequence = 1;
  for (uint32_t copy = 0; copy < kBootStateCopyCount; ++copy) {
    std::array<uint8_t, kBootStateCopySize> bytes;
    EncodeBootState(state, copy, bytes);
    disk.Write(offset + uint64_t{copy} * kBootStateCopyStride, bytes);
  }
}

class FileReader final : public BlockReader {
 public:
  explicit FileReader(const RandomFile& file) : file_(file) {}
  uint32_t block_size() const override { return kDiskBlockSize; }
  uint64_t block_count() const override { return file_.size() / kDiskBlockSize; }
  Result<void> Read(uint64_t block, std::span<uint8_t> out) override {
    if (block * kDiskBlockSize + out.size() > file_.size()) {
      return Error(ErrorCode::kTruncated, "beyond the end of the file");
    }
    file_.Read(block * kDiskBlockSize, out);
    return Ok();
  }

 private:
  const RandomFile& file_;
};

}  // namespace

void WriteDisk(const DiskPlan& plan) {
  const GptTable table = PlanTable(plan.build_id, plan.store_size);
  const GptPartition& last = table.partitions[table.partition_count - 1];
  const uint64_t size = (last.last_block + 1) * kDiskBlockSize + kMebibyte;
  const std::string part = plan.output + ".part";
  {
    RandomFile disk(part, RandomFile::Mode::kCreate);
    disk.Resize(size);
    Bytes start(GptStartSize(kDiskBlockSize)), end(GptEndSize(kDiskBlockSize));
    EncodeGpt(table, kDiskBlockSize, size / kDiskBlockSize, start, end);
    disk.Write(0, start);
    disk.Write(size - end.size(), end);
    const auto offset_of = [&](PartitionRole role) {
      return table.FindType(SpecOf(role).type)->first_block * kDiskBlockSize;
    };
    uint32_t serial;
    std::memcpy(&serial, DerivedGuid(plan.build_id, "esp-serial").data(), sizeof(serial));
    WriteEsp(disk, offset_of(PartitionRole::kEsp), SpecOf(PartitionRole::kEsp).size, serial,
             plan.loader);
    WriteBootState(disk, offset_of(PartitionRole::kBootState), plan.security_version);
    disk.Write(offset_of(PartitionRole::kSlotA), plan.slot_a);
    disk.Write(offset_of(PartitionRole::kSlotB), plan.slot_b);
    disk.Write(offset_of(PartitionRole::kFactory), plan.factory);
  }
  if (std::rename(part.c_str(), plan.output.c_str()) != 0) {
    Die("cannot write " + plan.output);
  }
}

std::optional<GptTable> ReadDiskTable(const RandomFile& file) {
  FileReader reader(file);
  std::array<uint8_t, kGptScratchSize> scratch;
  GptTable table;
  if (!ReadGpt(reader, scratch, table).ok()) {
    return std::nullopt;
  }
  return table;
}

std::vector<SlotPlace> FindSlots(const RandomFile& file) {
  const auto table = ReadDiskTable(file);
  if (!table) {
    return {{"", 0, file.size()}};
  }
  std::vector<SlotPlace> places;
  for (auto role : {PartitionRole::kSlotA, PartitionRole::kSlotB, PartitionRole::kFactory}) {
    if (const GptPartition* partition = table->FindType(SpecOf(role).type)) {
      places.push_back({SpecOf(role).name, partition->first_block * kDiskBlockSize,
                        partition->block_count() * kDiskBlockSize});
    }
  }
  return places;
}

}  // namespace gh::image::tool
