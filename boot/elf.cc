#include "boot/elf.h"

#include <algorithm>
#include <cstring>

#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

namespace gh::boot {

namespace {

constexpr std::array<uint8_t, 7> kIdent = {0x7f, 'E', 'L', 'F', 2, 1, 1};  // 64-bit, little, v1
constexpr uint32_t kIdentSize = 16;
constexpr uint16_t kTypeDyn = 3;
constexpr uint16_t kMachineX86_64 = 62;
constexpr uint32_t kProgramHeaderSize = 56;
constexpr uint32_t kProgramHeaderMax = 32;
constexpr uint32_t kLoad = 1;
constexpr uint32_t kDynamic = 2;
constexpr uint32_t kInterpreter = 3;
constexpr uint32_t kThreadLocal = 7;
constexpr uint32_t kFlagExecute = 1;
constexpr uint32_t kRelocationSize = 24;
constexpr uint32_t kRelocationNone = 0;
constexpr uint32_t kRelocationRelative = 8;

enum DynamicTag : uint64_t {
  kDtNull = 0,
  kDtNeeded = 1,
  kDtPltRelSize = 2,
  kDtRela = 7,
  kDtRelaSize = 8,
  kDtRelaEntry = 9,
  kDtRel = 17,
  kDtRelSize = 18,
  kDtRelrSize = 35,
};

struct ProgramHeader {
  uint32_t type;
  uint32_t flags;
  uint64_t offset;
  uint64_t address;
  uint64_t file_size;
  uint64_t memory_size;
  uint64_t alignment;
};

ProgramHeader ReadProgramHeader(std::span<const uint8_t> bytes) {
  ByteReader reader(bytes);
  ProgramHeader header = {};
  header.type = reader.U32Le();
  header.flags = reader.U32Le();
  header.offset = reader.U64Le();
  header.address = reader.U64Le();
  reader.Skip(8);  // physical address
  header.file_size = reader.U64Le();
  header.memory_size = reader.U64Le();
  header.alignment = reader.U64Le();
  GH_ASSERT(reader.ok() && reader.at_end());
  return header;
}

bool FitsFile(const ProgramHeader& header, uint64_t file_size) {
  return header.offset <= file_size && header.file_size <= file_size - header.offset;
}

Result<void> AddSegment(const ProgramHeader& header, uint64_t file_size, ElfPlan& plan) {
  if (header.memory_size == 0) {
    return Ok();
  }
  if (plan.segment_count == kElfSegmentMax) {
    return Error(ErrorCode::kTooLarge, "ELF: too many segments");
  }
  if (!FitsFile(header, file_size) || header.file_size > header.memory_size) {
    return Error(ErrorCode::kMalformed, "ELF: a segment lies outside the file");
  }
  if (header.memory_size > kElfMemorySizeMax ||
      header.address > kElfMemorySizeMax - header.memory_size) {
    return Error(ErrorCode::kTooLarge, "ELF: a segment lies outside the image's memory");
  }
  if (header.alignment > kPageSize) {
    return Error(ErrorCode::kUnsupported, "ELF: a segment wants more than page alignment");
  }
  const uint64_t end = header.address + header.memory_size;
  if (plan.segment_count > 0) {
    const ElfSegment& before = plan.segments[plan.segment_count - 1];
    if (header.address < before.address + before.memory_size) {
      return Error(ErrorCode::kMalformed, "ELF: segments overlap or are out of order");
    }
  }
  plan.segments[plan.segment_count++] = {header.offset, header.file_size, header.address,
                                         header.memory_size, (header.flags & kFlagExecute) != 0};
  plan.memory_size = (end + kPageSize - 1) / kPageSize * kPageSize;
  return Ok();
}

// The relocation table's place, from the dynamic section; anything we would have to do besides
// is refused, not skipped.
Result<void> ReadDynamic(std::span<const uint8_t> section, ElfPlan& plan) {
  ByteReader reader(section);
  uint64_t entry_size = kRelocationSize;
  for (uint32_t i = 0; i < kElfDynamicMax && reader.remaining() >= 16; ++i) {
    const uint64_t tag = reader.U64Le();
    const uint64_t value = reader.U64Le();
    switch (tag) {
      case kDtNull:
        if (plan.relocations_size % kRelocationSize != 0 || entry_size != kRelocationSize) {
          return Error(ErrorCode::kMalformed, "ELF: relocation table has a wrong size");
        }
        return Ok();
      case kDtRela:
        plan.relocations_address = value;
        break;
      case kDtRelaSize:
        plan.relocations_size = value;
        break;
      case kDtRelaEntry:
        entry_size = value;
        break;
      case kDtNeeded:
      case kDtRel:
        return Error(ErrorCode::kUnsupported, "ELF: needs a library or a foreign relocation");
      case kDtRelSize:
      case kDtRelrSize:
      case kDtPltRelSize:
        if (value != 0) {
          return Error(ErrorCode::kUnsupported, "ELF: has relocations of another kind");
        }
        break;
      default:
        break;
    }
  }
  return Error(ErrorCode::kMalformed, "ELF: dynamic section has no end");
}

struct FileHeader {
  uint64_t entry;
  uint64_t table_offset;
  uint32_t count;
};

Result<FileHeader> ReadFileHeader(std::span<const uint8_t> file) {
  if (file.size() > kElfFileSizeMax) {
    return Error(ErrorCode::kTooLarge, "ELF: file is too large");
  }
  ByteReader reader(file);
  std::array<uint8_t, kIdent.size()> ident;
  reader.Copy(ident);
  reader.Skip(kIdentSize - kIdent.size());
  const uint16_t type = reader.U16Le();
  const uint16_t machine = reader.U16Le();
  reader.Skip(4);  // version
  FileHeader header = {};
  header.entry = reader.U64Le();
  header.table_offset = reader.U64Le();
  reader.Skip(8 + 4 + 2);  // section table, flags, header size
  const uint16_t entry_size = reader.U16Le();
  header.count = reader.U16Le();
  if (!reader.ok() || ident != kIdent) {
    return Error(ErrorCode::kMalformed, "firmware is not an ELF64 file");
  }
  if (type != kTypeDyn || machine != kMachineX86_64) {
    return Error(ErrorCode::kUnsupported, "ELF: not a position-independent x86-64 image");
  }
  if (entry_size != kProgramHeaderSize || header.count == 0 || header.count > kProgramHeaderMax ||
      header.table_offset > file.size() ||
      uint64_t{header.count} * kProgramHeaderSize > file.size() - header.table_offset) {
    return Error(ErrorCode::kMalformed, "ELF: program headers are out of range");
  }
  return header;
}

bool Contains(const ElfPlan& plan, uint64_t address, uint64_t size) {
  return std::any_of(plan.all().begin(), plan.all().end(), [&](const ElfSegment& segment) {
    return address >= segment.address && size <= segment.memory_size &&
           address - segment.address <= segment.memory_size - size;
  });
}

bool IsCode(const ElfPlan& plan, uint64_t address) {
  return std::any_of(plan.all().begin(), plan.all().end(), [&](const ElfSegment& segment) {
    return segment.is_code && address >= segment.address &&
           address - segment.address < segment.file_size;
  });
}

}  // namespace

Result<ElfPlan> PlanElf(std::span<const uint8_t> file) {
  GH_TRY_ASSIGN(const FileHeader header, ReadFileHeader(file));
  ElfPlan plan;
  for (uint32_t i = 0; i < header.count; ++i) {
    const auto program = ReadProgramHeader(
        file.subspan(header.table_offset + uint64_t{i} * kProgramHeaderSize, kProgramHeaderSize));
    switch (program.type) {
      case kLoad:
        GH_TRY(AddSegment(program, file.size(), plan));
        break;
      case kDynamic:
        if (!FitsFile(program, file.size())) {
          return Error(ErrorCode::kMalformed, "ELF: dynamic section lies outside the file");
        }
        GH_TRY(ReadDynamic(file.subspan(program.offset, program.file_size), plan));
        break;
      case kInterpreter:
      case kThreadLocal:
        return Error(ErrorCode::kUnsupported, "ELF: wants an interpreter or thread-local data");
      default:
        break;
    }
  }
  if (!IsCode(plan, header.entry)) {
    return Error(ErrorCode::kMalformed, "ELF: entry point is not in its code");
  }
  if (plan.relocations_size == 0) {
    plan.relocations_address = 0;  // an address without a table may be anywhere
  } else if (!Contains(plan, plan.relocations_address, plan.relocations_size)) {
    return Error(ErrorCode::kMalformed, "ELF: relocation table lies outside the image");
  }
  plan.entry = header.entry;
  return plan;
}

Result<void> LoadElf(const ElfPlan& plan, std::span<const uint8_t> file, std::span<uint8_t> memory,
                     uint64_t base) {
  GH_ASSERT_EQ(memory.size(), plan.memory_size);
  std::memset(memory.data(), 0, memory.size());
  for (const ElfSegment& segment : plan.all()) {
    const auto source = file.subspan(segment.file_offset, segment.file_size);
    if (!source.empty()) {
      std::memcpy(memory.subspan(segment.address, segment.file_size).data(), source.data(),
                  source.size());
    }
  }
  const auto table = memory.subspan(plan.relocations_address, plan.relocations_size);
  for (uint64_t at = 0; at < plan.relocations_size; at += kRelocationSize) {
    ByteReader reader(table.subspan(at, kRelocationSize));
    const uint64_t where = reader.U64Le();
    const uint64_t info = reader.U64Le();
    const uint64_t addend = reader.U64Le();
    if (info == kRelocationNone) {
      continue;
    }
    if (info != kRelocationRelative) {
      return Error(ErrorCode::kUnsupported, "ELF: relocation is not relative");
    }
    if (!Contains(plan, where, sizeof(uint64_t))) {
      return Error(ErrorCode::kMalformed, "ELF: relocation points outside the image");
    }
    ByteWriter(memory.subspan(where, sizeof(uint64_t))).U64Le(base + addend);
  }
  return Ok();
}

}  // namespace gh::boot
