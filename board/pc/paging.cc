#include "board/pc/paging.h"

#include <algorithm>
#include <cstring>

#include "board/pc/control_flow.h"
#include "board/pc/cpu.h"
#include "board/pc/image_layout.h"
#include "board/pc/limits.h"

namespace gh::pc {
namespace {

constexpr uint64_t kPresent = 1ull << 0;
constexpr uint64_t kWritable = 1ull << 1;
constexpr uint64_t kWriteThrough = 1ull << 3;
constexpr uint64_t kCacheDisable = 1ull << 4;
constexpr uint64_t kDirty = 1ull << 6;
constexpr uint64_t kLarge = 1ull << 7;
constexpr uint64_t kGlobal = 1ull << 8;
constexpr uint64_t kNoExecute = 1ull << 63;
constexpr uint64_t kAddressMask = 0x000f'ffff'ffff'f000;
constexpr uint64_t kAddressEnd = 1ull << 47;

constexpr uint64_t kCr0WriteProtect = 1ull << 16;
constexpr uint64_t kCr4GlobalPages = 1ull << 7;
constexpr uint64_t kCr4Umip = 1ull << 11;
constexpr uint64_t kCr4Smep = 1ull << 20;
constexpr uint64_t kCr4Smap = 1ull << 21;
constexpr uint32_t kMsrEfer = 0xc0000080;
constexpr uint64_t kEferNoExecute = 1ull << 11;

constexpr uint64_t kSizeOfLevel[] = {kPageSize, kLargePageSize, kHugePageSize, 512 * kHugePageSize};

uint64_t FlagsOf(PageRights rights) {
  switch (rights) {
    case PageRights::kReadOnly:
      return kPresent | kGlobal | kNoExecute;
    case PageRights::kReadWrite:
      return kPresent | kGlobal | kNoExecute | kWritable;
    case PageRights::kExecute:
      return kPresent | kGlobal;
    case PageRights::kShadowStack:
      // Not writable and dirty: that is what makes it one (Intel SDM volume 3, 4.6.1).
      return kPresent | kGlobal | kNoExecute | kDirty;
    case PageRights::kMmio:
      // PAT entry 3 after reset: uncached.
      return kPresent | kGlobal | kNoExecute | kWritable | kCacheDisable | kWriteThrough;
  }
  GH_UNREACHABLE();
}

uint32_t IndexAt(uint64_t address, uint32_t level) {
  return static_cast<uint32_t>(address >> (12 + 9 * level)) & 511;
}

}  // namespace

PageTables::PageTables(std::span<uint8_t> tables)
    : tables_(reinterpret_cast<Table*>(tables.data()), tables.size() / sizeof(Table)) {
  GH_ASSERT_EQ(AddressOf(tables.data()) % kPageSize, 0u);
  root_ = NewTable();
  GH_ASSERT(root_ != nullptr);
  if (Cpuid(0x80000000).eax >= 0x80000001) {
    has_huge_pages_ = (Cpuid(0x80000001).edx & 1u << 26) != 0;
  }
}

PageTables::Table* PageTables::NewTable() {
  if (tables_used_ == tables_.size()) {
    return nullptr;
  }
  Table* table = &tables_[tables_used_++];
  std::memset(table, 0, sizeof(*table));
  return table;
}

uint64_t PageTables::Lookup(uint64_t address) const {
  const Table* table = root_;
  for (uint32_t level = 3;; --level) {
    const uint64_t entry = table->entries[IndexAt(address, level)];
    if ((entry & kPresent) == 0) {
      return 0;
    }
    if (level == 0 || (entry & kLarge) != 0) {
      return entry;
    }
    table = reinterpret_cast<const Table*>(entry & kAddressMask);
  }
}

// Maps the largest page that fits at `address`; returns its size.
Result<uint64_t> PageTables::MapOne(uint64_t address, uint64_t size_left, PageRights rights) {
  Table* table = root_;
  for (uint32_t level = 3;; --level) {
    uint64_t& entry = table->entries[IndexAt(address, level)];
    const uint64_t page_size = kSizeOfLevel[level];
    const bool may_be_leaf = level == 0 || level == 1 || (level == 2 && has_huge_pages_);
    if (may_be_leaf && entry == 0 && address % page_size == 0 && size_left >= page_size) {
      entry = address | FlagsOf(rights) | (level == 0 ? 0 : kLarge);
      return page_size;
    }
    if ((entry & kPresent) != 0 && (level == 0 || (entry & kLarge) != 0)) {
      return Error(ErrorCode::kAlreadyExists, "address is mapped already");
    }
    if (entry == 0) {
      Table* below = NewTable();
      if (below == nullptr) {
        return Error(ErrorCode::kExhausted, "no room for page tables");
      }
      entry = AddressOf(below) | kPresent | kWritable;
    }
    table = reinterpret_cast<Table*>(entry & kAddressMask);
  }
}

Result<void> PageTables::MapRange(uint64_t start, uint64_t size, PageRights rights) {
  while (size != 0) {
    GH_TRY_ASSIGN(const uint64_t mapped, MapOne(start, size, rights));
    start += mapped;
    size -= mapped;
  }
  return Ok();
}

void PageTables::Map(uint64_t start, uint64_t size, PageRights rights) {
  GH_ASSERT_EQ(start % kPageSize, 0u);
  GH_ASSERT_EQ(size % kPageSize, 0u);
  GH_ASSERT(start < kAddressEnd && size <= kAddressEnd - start);
  const Result<void> result = MapRange(start, size, rights);
  GH_ASSERT(result.ok());
}

void PageTables::ChangePage(uint64_t address, PageRights rights) {
  Table* table = root_;
  for (uint32_t level = 3; level > 0; --level) {
    const uint64_t entry = table->entries[IndexAt(address, level)];
    GH_ASSERT((entry & kPresent) != 0 && (entry & kLarge) == 0);
    table = reinterpret_cast<Table*>(entry & kAddressMask);
  }
  uint64_t& entry = table->entries[IndexAt(address, 0)];
  GH_ASSERT_EQ(entry & kAddressMask, address);
  entry = address | FlagsOf(rights);
  InvalidatePage(address);
}

void PageTables::MapImage(std::span<const uint64_t> guard_pages) {
  const uint64_t text = AddressOf(__text_start);
  const uint64_t text_end = AddressOf(__text_end);
  const uint64_t relro_end = AddressOf(__relro_end);
  const uint64_t image_end = AddressOf(__image_end);
  Map(text, text_end - text, PageRights::kExecute);
  Map(text_end, relro_end - text_end, PageRights::kReadOnly);
  uint32_t guard_count = 0;
  for (uint64_t page = relro_end; page < image_end; page += kPageSize) {
    if (std::find(guard_pages.begin(), guard_pages.end(), page) != guard_pages.end()) {
      ++guard_count;
      continue;
    }
    Map(page, kPageSize, IsShadowStack(page) ? PageRights::kShadowStack : PageRights::kReadWrite);
  }
  GH_ASSERT_EQ(guard_count, guard_pages.size());
}

Result<Mmio> PageTables::MapMmio(uint64_t address, uint64_t size) {
  if (size == 0 || size > kMmioSizeMax || address < kPageSize || address >= kAddressEnd ||
      size > kAddressEnd - address) {
    return Error(ErrorCode::kOutOfRange, "device window out of range");
  }
  const uint64_t first = address & ~(kPageSize - 1);
  const uint64_t end = (address + size + kPageSize - 1) & ~(kPageSize - 1);
  for (uint64_t page = first; page < end;) {
    const uint64_t entry = Lookup(page);
    if (entry != 0) {
      if ((entry & kCacheDisable) == 0) {
        return Error(ErrorCode::kAlreadyExists, "device window covers memory");
      }
      page += kPageSize;
      continue;
    }
    // A large page may only be used where nothing of it is mapped: MapOne checks the entry.
    GH_TRY_ASSIGN(const uint64_t mapped, MapOne(page, end - page, PageRights::kMmio));
    page += mapped;
  }
  return Mmio(address, size);
}

void PageTables::Activate() {
  const uint64_t features = Cpuid(0).eax >= 7 ? Cpuid(7).ebx : 0;
  const uint64_t features_ecx = Cpuid(0).eax >= 7 ? Cpuid(7).ecx : 0;
  GH_ASSERT((Cpuid(0x80000001).edx & 1u << 20) != 0);  // NX: every x86-64 we can run on has it
  WriteMsr(kMsrEfer, ReadMsr(kMsrEfer) | kEferNoExecute);
  WriteCr0(ReadCr0() | kCr0WriteProtect);
  protections_.Append("NX WP");
  uint64_t cr4 = ReadCr4() | kCr4GlobalPages;
  if ((features & 1u << 7) != 0) {
    cr4 |= kCr4Smep;
    Note("SMEP");
  }
  if ((features & 1u << 20) != 0) {
    cr4 |= kCr4Smap;
    Note("SMAP");
  }
  if ((features_ecx & 1u << 2) != 0) {
    cr4 |= kCr4Umip;
    Note("UMIP");
  }
  WriteCr4(cr4 & ~kCr4GlobalPages);  // drops the firmware's global entries
  WriteCr3(AddressOf(root_));
  WriteCr4(cr4);
}

void PageTables::Note(const char* protection) {
  protections_.Append(" ");
  protections_.Append(protection);
}

void PageTables::AuditEntry(uint64_t entry, uint64_t address, uint64_t size, PageAudit& audit) {
  ++audit.page_count;
  audit.mapped_bytes += size;
  const bool executable = (entry & kNoExecute) == 0;
  const bool in_text =
      address >= AddressOf(__text_start) && address + size <= AddressOf(__text_end);
  audit.executable_count += executable ? 1 : 0;
  const bool writable = (entry & kWritable) != 0;
  audit.shadow_count += !writable && (entry & kDirty) != 0 ? 1 : 0;
  const bool moved = (entry & kAddressMask & ~(size - 1)) != address;
  if (moved || (executable && (writable || !in_text))) {
    ++audit.violation_count;
  }
}

// A walk of fixed depth over what the processor itself uses (CR3), not over what we remember.
PageAudit PageTables::Audit() const {
  PageAudit audit;
  const auto* root = reinterpret_cast<const Table*>(ReadCr3() & kAddressMask);
  const auto below = [](uint64_t entry) {
    return reinterpret_cast<const Table*>(entry & kAddressMask);
  };
  const auto visit = [&audit](uint64_t entry, uint64_t address, uint32_t level) {
    if ((entry & kPresent) == 0) {
      return false;
    }
    if (level != 0 && (entry & kLarge) == 0) {
      return true;
    }
    AuditEntry(entry, address, kSizeOfLevel[level], audit);
    return false;
  };
  for (uint64_t a = 0; a < 512; ++a) {
    if (!visit(root->entries[a], a << 39, 3)) {
      continue;
    }
    const Table* level3 = below(root->entries[a]);
    for (uint64_t b = 0; b < 512; ++b) {
      if (!visit(level3->entries[b], a << 39 | b << 30, 2)) {
        continue;
      }
      const Table* level2 = below(level3->entries[b]);
      for (uint64_t c = 0; c < 512; ++c) {
        if (!visit(level2->entries[c], a << 39 | b << 30 | c << 21, 1)) {
          continue;
        }
        const Table* level1 = below(level2->entries[c]);
        for (uint64_t d = 0; d < 512; ++d) {
          (void)visit(level1->entries[d], a << 39 | b << 30 | c << 21 | d << 12, 0);
        }
      }
    }
  }
  return audit;
}

}  // namespace gh::pc
