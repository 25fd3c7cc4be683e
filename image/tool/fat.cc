#include "image/tool/fat.h"

#include <cstring>
#include <string_view>

#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

namespace gh::image::tool {

namespace {

constexpr uint32_t kSector = 512;  // also the cluster size
constexpr uint32_t kReservedSectors = 32;
constexpr uint32_t kFatCount = 2;
constexpr uint32_t kRootCluster = 2;
constexpr uint32_t kEfiCluster = 3;
constexpr uint32_t kBootCluster = 4;
constexpr uint32_t kFileCluster = 5;
constexpr uint32_t kEndOfChain = 0x0fffffff;
constexpr uint32_t kFat32ClusterMin = 65525;
constexpr uint16_t kDate = 0x0021;  // 1980-01-01
constexpr uint8_t kDirectory = 0x10;
constexpr uint8_t kArchive = 0x20;
constexpr uint8_t kVolumeLabel = 0x08;
constexpr std::string_view kLabel = "GATE-ESP   ";

struct Geometry {
  uint32_t sector_count;
  uint32_t fat_sectors;
  uint32_t cluster_count;
  uint32_t data_sector;  // of cluster 2
};

Geometry Plan(uint64_t size) {
  Geometry plan = {};
  plan.sector_count = static_cast<uint32_t>(size / kSector);
  // A little more than needed: a FAT may be larger than its clusters.
  plan.fat_sectors = (plan.sector_count - kReservedSectors + 2) / (kSector / 4) + 1;
  plan.data_sector = kReservedSectors + kFatCount * plan.fat_sectors;
  plan.cluster_count = plan.sector_count - plan.data_sector;
  GH_ASSERT_GE(plan.cluster_count, kFat32ClusterMin);
  return plan;
}

std::array<uint8_t, kSector> BootSector(const Geometry& plan, uint64_t offset, uint32_t serial) {
  std::array<uint8_t, kSector> sector = {};
  ByteWriter out(sector);
  out.Bytes(std::array<uint8_t, 3>{0xeb, 0x58, 0x90});
  out.Text("GATEHOUS");
  out.U16Le(kSector);
  out.U8(1);
  out.U16Le(kReservedSectors);
  out.U8(kFatCount);
  out.U16Le(0);
  out.U16Le(0);
  out.U8(0xf8);
  out.U16Le(0);
  out.U16Le(63);
  out.U16Le(255);
  out.U32Le(static_cast<uint32_t>(offset / kSector));
  out.U32Le(plan.sector_count);
  out.U32Le(plan.fat_sectors);
  out.U16Le(0);
  out.U16Le(0);
  out.U32Le(kRootCluster);
  out.U16Le(1);  // FSInfo
  out.U16Le(6);  // copy of this sector
  (void)out.Reserve(12);
  out.U8(0x80);
  out.U8(0);
  out.U8(0x29);
  out.U32Le(serial);
  out.Text(kLabel);
  out.Text("FAT32   ");
  GH_ASSERT(out.ok());
  sector[510] = 0x55;
  sector[511] = 0xaa;
  return sector;
}

std::array<uint8_t, kSector> InfoSector(uint32_t free_count, uint32_t next_free) {
  std::array<uint8_t, kSector> sector = {};
  ByteWriter(sector).U32Le(0x41615252);
  ByteWriter out{std::span(sector).subspan(484)};
  out.U32Le(0x61417272);
  out.U32Le(free_count);
  out.U32Le(next_free);
  sector[510] = 0x55;
  sector[511] = 0xaa;
  return sector;
}

void Entry(ByteWriter& out, std::string_view name, uint8_t attributes, uint32_t cluster,
           uint32_t size) {
  GH_ASSERT_EQ(name.size(), 11u);
  out.Text(name);
  out.U8(attributes);
  out.U8(0);
  out.U8(0);
  out.U16Le(0);
  out.U16Le(kDate);
  out.U16Le(kDate);
  out.U16Le(static_cast<uint16_t>(cluster >> 16));
  out.U16Le(0);
  out.U16Le(kDate);
  out.U16Le(static_cast<uint16_t>(cluster));
  out.U32Le(size);
}

}  // namespace

void WriteEsp(RandomFile& disk, uint64_t offset, uint64_t size, uint32_t serial,
              std::span<const uint8_t> loader) {
  const Geometry plan = Plan(size);
  const auto file_clusters = static_cast<uint32_t>((loader.size() + kSector - 1) / kSector);
  const uint32_t used = kFileCluster - kRootCluster + file_clusters;
  if (loader.empty() || used > plan.cluster_count) {
    Die("the loader does not fit into the ESP");
  }
  const auto sector_at = [&](uint32_t sector) { return offset + uint64_t{sector} * kSector; };
  const auto boot = BootSector(plan, offset, serial);
  const auto info = InfoSector(plan.cluster_count - used, kRootCluster + used);
  for (uint32_t copy : {0u, 6u}) {
    disk.Write(sector_at(copy), boot);
    disk.Write(sector_at(copy + 1), info);
  }

  Bytes fat(size_t{plan.fat_sectors} * kSector);
  ByteWriter chain(fat);
  chain.U32Le(0x0ffffff8);
  chain.U32Le(kEndOfChain);
  for (uint32_t i = kRootCluster; i < kFileCluster; ++i) {
    chain.U32Le(kEndOfChain);
  }
  for (uint32_t i = 1; i <= file_clusters; ++i) {
    chain.U32Le(i == file_clusters ? kEndOfChain : kFileCluster + i);
  }
  for (uint32_t copy = 0; copy < kFatCount; ++copy) {
    disk.Write(sector_at(kReservedSectors + copy * plan.fat_sectors), fat);
  }

  Bytes folders(size_t{kFileCluster - kRootCluster} * kSector);
  ByteWriter root{std::span(folders).first(kSector)};
  Entry(root, kLabel, kVolumeLabel, 0, 0);
  Entry(root, "EFI        ", kDirectory, kEfiCluster, 0);
  ByteWriter efi{std::span(folders).subspan(kSector, kSector)};
  Entry(efi, ".          ", kDirectory, kEfiCluster, 0);
  Entry(efi, "..         ", kDirectory, 0, 0);
  Entry(efi, "BOOT       ", kDirectory, kBootCluster, 0);
  ByteWriter inner{std::span(folders).subspan(2 * kSector, kSector)};
  Entry(inner, ".          ", kDirectory, kBootCluster, 0);
  Entry(inner, "..         ", kDirectory, kEfiCluster, 0);
  Entry(inner, "BOOTX64 EFI", kArchive, kFileCluster, static_cast<uint32_t>(loader.size()));
  disk.Write(sector_at(plan.data_sector), folders);
  disk.Write(sector_at(plan.data_sector + kFileCluster - kRootCluster), loader);
}

}  // namespace gh::image::tool
