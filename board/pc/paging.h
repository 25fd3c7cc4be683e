// Our own page tables: an identity map in which nothing is both writable and executable.
//
// Text is R-X, constants and relocated data R--, everything else RW- or (device windows) RW-
// uncached; page 0 and the guard pages around stacks are not mapped. RAM uses 2 MiB and 1 GiB pages
// where it can. After boot the tables change only by MapMmio(), whose addresses come from firmware
// tables and devices: an odd one is refused, it never moves or covers what is mapped already.
#pragma once

#include <cstdint>
#include <span>

#include "board/pc/mmio.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::pc {

enum class PageRights : uint8_t { kReadOnly, kReadWrite, kExecute, kMmio, kShadowStack };

// What a walk over all tables found.
struct PageAudit {
  uint64_t page_count = 0;        // mappings of any size
  uint64_t executable_count = 0;  // of them executable
  uint64_t violation_count = 0;   // writable and executable, or executable outside the text
  uint64_t shadow_count = 0;      // pages of shadow stacks
  uint64_t mapped_bytes = 0;
};

class PageTables {
 public:
  // `tables`: zeroed, page-aligned memory for the tables themselves.
  explicit PageTables(std::span<uint8_t> tables);
  PageTables(const PageTables&) = delete;
  PageTables& operator=(const PageTables&) = delete;

  // Page-aligned ranges that must not overlap what is mapped: our own mistake otherwise.
  void Map(uint64_t start, uint64_t size, PageRights rights);
  // The image by its sections, with holes where guard pages are.
  void MapImage(std::span<const uint64_t> guard_pages);
  // Any byte range; mapping the same window again is fine. kAlreadyExists: it is RAM or code.
  Result<Mmio> MapMmio(uint64_t address, uint64_t size);

  // Gives one mapped page of 4 KiB other rights, on the processor that calls: before a second runs.
  void ChangePage(uint64_t address, PageRights rights);
  uint64_t root() const { return reinterpret_cast<uint64_t>(root_); }

  // As in the list that the boot report prints, after those of Activate().
  void Note(const char* protection);
  // Sets NX, WP, SMEP, SMAP, UMIP, PGE as the processor has them and loads the tables.
  void Activate();
  PageAudit Audit() const;
  bool IsMapped(uint64_t address) const { return Lookup(address) != 0; }
  const char* protections() const { return protections_.c_str(); }
  uint32_t table_count() const { return tables_used_; }

 private:
  struct Table {
    uint64_t entries[512];
  };

  Table* NewTable();
  uint64_t Lookup(uint64_t address) const;
  Result<void> MapRange(uint64_t start, uint64_t size, PageRights rights);
  Result<uint64_t> MapOne(uint64_t address, uint64_t size_left, PageRights rights);
  static void AuditEntry(uint64_t entry, uint64_t address, uint64_t size, PageAudit& audit);

  std::span<Table> tables_;
  uint32_t tables_used_ = 0;
  Table* root_ = nullptr;
  bool has_huge_pages_ = false;
  FixedString<96> protections_;
};

}  // namespace gh::pc
