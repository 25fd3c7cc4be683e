// Builds small ELF64 images by hand, every field open to change.
#pragma once

#include <cstdint>
#include <vector>

#include "hal/rt/bytes.h"

namespace gh::boot::test {

struct SampleHeader {
  uint32_t type = 1;
  uint32_t flags = 0;
  uint64_t offset = 0;
  uint64_t address = 0;
  uint64_t file_size = 0;
  uint64_t memory_size = 0;
  uint64_t alignment = 0x1000;
};

// Layout of the file: headers at 0, code at 0x200, relocations at 0x300, dynamic at 0x400, data at
// 0x500 (file) / 0x2000 (memory).
struct SampleElf {
  uint16_t type = 3;
  uint16_t machine = 62;
  uint64_t entry = 0x200;
  uint64_t table_offset = 64;
  uint16_t entry_size = 56;
  std::vector<SampleHeader> headers = {
      {1, 5, 0, 0, 0x500, 0x500},           // code, relocations, dynamic
      {1, 6, 0x500, 0x2000, 0x20, 0x3000},  // data and zeroes
      {2, 6, 0x400, 0x400, 0x60, 0x60, 8},  // dynamic section
  };
  struct Relocation {
    uint64_t where, info, addend;
  };
  std::vector<Relocation> relocations = {{0x2000, 8, 0x200}, {0x2010, 8, 0x4fff}};
  std::vector<std::pair<uint64_t, uint64_t>> dynamic = {{7, 0x300},      {8, 48}, {9, 24},
                                                        {0x6ffffff9, 2}, {0, 0},  {0, 0}};

  std::vector<uint8_t> Encode() const {
    std::vector<uint8_t> file(0x520);
    for (size_t i = 0; i < file.size(); ++i) {
      file[i] = static_cast<uint8_t>(i * 31);
    }
    ByteWriter out(file);
    const uint8_t ident[16] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    out.Bytes(ident);
    out.U16Le(type);
    out.U16Le(machine);
    out.U32Le(1);
    out.U64Le(entry);
    out.U64Le(table_offset);
    out.U64Le(0);
    out.U32Le(0);
    out.U16Le(64);
    out.U16Le(entry_size);
    out.U16Le(static_cast<uint16_t>(headers.size()));
    out.U16Le(0);
    out.U16Le(0);
    out.U16Le(0);
    for (const auto& header : headers) {
      out.U32Le(header.type);
      out.U32Le(header.flags);
      out.U64Le(header.offset);
      out.U64Le(header.address);
      out.U64Le(header.address);
      out.U64Le(header.file_size);
      out.U64Le(header.memory_size);
      out.U64Le(header.alignment);
    }
    ByteWriter table(std::span<uint8_t>(file).subspan(0x300, 0x100));
    for (const auto& relocation : relocations) {
      table.U64Le(relocation.where);
      table.U64Le(relocation.info);
      table.U64Le(relocation.addend);
    }
    ByteWriter section(std::span<uint8_t>(file).subspan(0x400, 0x100));
    for (const auto& [tag, value] : dynamic) {
      section.U64Le(tag);
      section.U64Le(value);
    }
    return file;
  }
};

}  // namespace gh::boot::test
