#include "board/pc/acpi.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "hal/rt/bytes.h"

namespace gh::pc {
namespace {

constexpr size_t kHeaderSize = 36;

bool ChecksumIsZero(std::span<const uint8_t> bytes) {
  uint8_t sum = 0;
  for (uint8_t byte : bytes) {
    sum = static_cast<uint8_t>(sum + byte);
  }
  return sum == 0;
}

// A whole table by its own length field, checked; empty when there is anything wrong with it.
std::span<const uint8_t> TableAt(const PhysicalMemory& memory, uint64_t address) {
  const auto header = memory.At(address, kHeaderSize);
  if (header.size() != kHeaderSize) {
    return {};
  }
  ByteReader reader(header);
  reader.Skip(4);
  const uint32_t size = reader.U32Le();
  if (size < kHeaderSize || size > kAcpiTableSizeMax) {
    return {};
  }
  const auto table = memory.At(address, size);
  if (table.size() != size || !ChecksumIsZero(table)) {
    return {};
  }
  return table;
}

// Fields beyond the table's end read as zero: older revisions are shorter.
class Fields {
 public:
  explicit Fields(std::span<const uint8_t> table) : table_(table) {}
  uint64_t Little(size_t offset, size_t size) const {
    if (offset > table_.size() || table_.size() - offset < size) {
      return 0;
    }
    uint64_t value = 0;
    for (size_t i = size; i > 0; --i) {
      value = value << 8 | table_[offset + i - 1];
    }
    return value;
  }
  uint8_t U8(size_t offset) const { return static_cast<uint8_t>(Little(offset, 1)); }
  uint16_t U16(size_t offset) const { return static_cast<uint16_t>(Little(offset, 2)); }
  uint32_t U32(size_t offset) const { return static_cast<uint32_t>(Little(offset, 4)); }
  uint64_t U64(size_t offset) const { return Little(offset, 8); }
  // A generic address structure; all zeros (or cut off) means none.
  AcpiAddress Address(size_t offset) const {
    AcpiAddress a;
    a.address = U64(offset + 4);
    if (a.address != 0) {
      a.space = static_cast<AcpiAddress::Space>(U8(offset));
      a.bit_width = U8(offset + 1);
    }
    return a;
  }

 private:
  std::span<const uint8_t> table_;
};

// A port of a PM block: the 64-bit address when it names a port, else the 32-bit field.
uint16_t PortOf(const Fields& fadt, size_t extended_offset, size_t legacy_offset) {
  const AcpiAddress extended = fadt.Address(extended_offset);
  if (extended.space == AcpiAddress::Space::kPort && extended.address <= UINT16_MAX) {
    return static_cast<uint16_t>(extended.address);
  }
  const uint32_t legacy = fadt.U32(legacy_offset);
  return legacy <= UINT16_MAX ? static_cast<uint16_t>(legacy) : 0;
}

// AML: an integer constant of at most a byte; how many bytes it took, 0 if it is none.
size_t AmlSmallInteger(std::span<const uint8_t> aml, uint8_t& value) {
  if (aml.size() >= 2 && aml[0] == 0x0a) {  // BytePrefix
    value = aml[1];
    return 2;
  }
  if (!aml.empty() && aml[0] <= 1) {  // ZeroOp, OneOp
    value = aml[0];
    return 1;
  }
  return 0;
}

// Finds Name(\_S5, Package(){a, b, ...}) by its encoding, as everyone without an AML interpreter
// does: NameOp, optional root prefix, "_S5_", PackageOp, PkgLength, NumElements, integers.
bool FindS5(std::span<const uint8_t> aml, uint8_t& type_a, uint8_t& type_b) {
  constexpr std::string_view kName = "_S5_";
  const std::string_view text = AsText(aml);
  for (size_t at = text.find(kName); at != text.npos; at = text.find(kName, at + 1)) {
    const bool named =
        (at >= 1 && aml[at - 1] == 0x08) || (at >= 2 && aml[at - 1] == '\\' && aml[at - 2] == 0x08);
    auto rest = aml.subspan(at + kName.size());
    if (!named || rest.size() < 4 || rest[0] != 0x12) {
      continue;
    }
    const size_t length_bytes = 1 + (rest[1] >> 6);  // PkgLength: 1 to 4 bytes
    if (rest.size() < 1 + length_bytes + 1) {
      continue;
    }
    const uint8_t element_count = rest[1 + length_bytes];
    rest = rest.subspan(1 + length_bytes + 1);
    const size_t first = AmlSmallInteger(rest, type_a);
    if (element_count == 0 || first == 0) {
      continue;
    }
    type_b = 0;
    if (element_count >= 2) {
      (void)AmlSmallInteger(rest.subspan(first), type_b);
    }
    return true;
  }
  return false;
}

void ReadFadt(const PhysicalMemory& memory, std::span<const uint8_t> table, AcpiInfo& info) {
  const Fields fields(table);
  FadtInfo& fadt = info.fadt;
  fadt.present = true;
  const uint32_t flags = fields.U32(112);
  fadt.has_reset = (flags & 1u << 10) != 0;
  fadt.reset = fields.Address(116);
  fadt.reset_value = fields.U8(128);
  fadt.pm1a_event = PortOf(fields, 148, 56);
  fadt.pm1_event_size = fields.U8(88);
  fadt.pm1a_control = PortOf(fields, 172, 64);
  fadt.pm1b_control = PortOf(fields, 184, 68);
  fadt.pm_timer = fields.U8(91) == 4 ? PortOf(fields, 208, 76) : 0;
  fadt.pm_timer_is_32_bit = (flags & 1u << 8) != 0;
  const uint32_t smi = fields.U32(48);
  fadt.smi_command = smi <= UINT16_MAX ? static_cast<uint16_t>(smi) : 0;
  fadt.acpi_enable = fields.U8(52);
  fadt.century_register = fields.U8(108);
  const uint64_t dsdt_address = fields.U64(140) != 0 ? fields.U64(140) : fields.U32(40);
  const auto dsdt = TableAt(memory, dsdt_address);
  if (dsdt.empty() || AsText(dsdt.first(4)) != "DSDT") {
    ++info.refused_count;
    return;
  }
  ++info.table_count;
  fadt.has_s5 = FindS5(dsdt.subspan(kHeaderSize), fadt.s5_type_a, fadt.s5_type_b);
}

void AddProcessor(MadtInfo& madt, uint32_t apic_id, uint32_t flags) {
  if ((flags & 1) != 0 && madt.cpu_count < kCpuMax) {
    madt.apic_ids[madt.cpu_count++] = apic_id;
  }
}

void ReadMadt(std::span<const uint8_t> table, MadtInfo& madt) {
  if (table.size() < 44) {
    return;
  }
  // Entries are at least 2 bytes long, so the table's size bounds the walk.
  for (auto rest = table.subspan(44); rest.size() >= 2;) {
    const size_t size = rest[1];
    if (size < 2 || size > rest.size()) {
      return;
    }
    const Fields entry(rest.first(size));
    const uint8_t type = rest[0];
    if (type == 0 && size >= 8) {
      AddProcessor(madt, entry.U8(3), entry.U32(4));
    } else if (type == 9 && size >= 16) {
      AddProcessor(madt, entry.U32(4), entry.U32(8));
    } else if (type == 1 && size >= 12 && madt.io_apic_count < kIoApicMax) {
      madt.io_apics[madt.io_apic_count++] = {entry.U32(4), entry.U32(8)};
    } else if (type == 2 && size >= 10 && madt.override_count < madt.overrides.size()) {
      const uint16_t flags = entry.U16(8);
      madt.overrides[madt.override_count++] = {.isa_irq = entry.U8(3),
                                               .line = entry.U32(4),
                                               .is_low = (flags & 3) == 3,
                                               .is_level = (flags >> 2 & 3) == 3};
    }
    rest = rest.subspan(size);
  }
}

void ReadMcfg(std::span<const uint8_t> table, McfgInfo& mcfg) {
  for (size_t at = 44; !mcfg.present && at + 16 <= table.size(); at += 16) {
    const Fields entry(table.subspan(at, 16));
    if (entry.U16(8) != 0 || entry.U8(10) > entry.U8(11)) {
      continue;  // another segment, or buses the wrong way round
    }
    mcfg = {true, entry.U64(0), entry.U8(10), entry.U8(11)};
  }
}

void ReadHpet(std::span<const uint8_t> table, HpetInfo& hpet) {
  const Fields fields(table);
  const AcpiAddress address = fields.Address(40);
  if (address.space == AcpiAddress::Space::kMemory) {
    hpet = {true, address.address};
  }
}

void ReadTpm2(std::span<const uint8_t> table, TpmInfo& tpm) {
  const Fields fields(table);
  tpm = {fields.U64(40) != 0, fields.U64(40), fields.U32(48)};
}

void ReadTable(const PhysicalMemory& memory, std::span<const uint8_t> table, AcpiInfo& info) {
  const std::string_view signature = AsText(table.first(4));
  if (signature == "FACP" && !info.fadt.present) {
    ReadFadt(memory, table, info);
  } else if (signature == "APIC" && info.madt.cpu_count == 0) {
    ReadMadt(table, info.madt);
  } else if (signature == "MCFG") {
    ReadMcfg(table, info.mcfg);
  } else if (signature == "HPET" && !info.hpet.present) {
    ReadHpet(table, info.hpet);
  } else if (signature == "TPM2" && !info.tpm.present) {
    ReadTpm2(table, info.tpm);
  }
}

}  // namespace

Result<void> ReadAcpi(const PhysicalMemory& memory, uint64_t rsdp, AcpiInfo& info) {
  const auto head = memory.At(rsdp, 20);
  if (rsdp == 0 || head.size() != 20 || AsText(head.first(8)) != "RSD PTR " ||
      !ChecksumIsZero(head)) {
    return Error(ErrorCode::kMalformed, "no valid ACPI root pointer");
  }
  const bool is_extended = head[15] >= 2;
  const auto whole = memory.At(rsdp, is_extended ? 36 : 20);
  if (is_extended && (whole.size() != 36 || !ChecksumIsZero(whole))) {
    return Error(ErrorCode::kMalformed, "ACPI root pointer has a bad checksum");
  }
  const Fields root_fields(whole);
  const bool is_xsdt = is_extended && root_fields.U64(24) != 0;
  const auto root = TableAt(memory, is_xsdt ? root_fields.U64(24) : root_fields.U32(16));
  if (root.empty() || AsText(root.first(4)) != (is_xsdt ? "XSDT" : "RSDT")) {
    return Error(ErrorCode::kMalformed, "ACPI root table is not valid");
  }
  const size_t entry_size = is_xsdt ? 8 : 4;
  const Fields entries(root);
  const size_t entry_count =
      std::min<size_t>((root.size() - kHeaderSize) / entry_size, kAcpiTableMax);
  for (size_t i = 0; i < entry_count; ++i) {
    const uint64_t address = entries.Little(kHeaderSize + i * entry_size, entry_size);
    const auto table = TableAt(memory, address);
    if (table.empty()) {
      ++info.refused_count;
      continue;
    }
    ++info.table_count;
    ReadTable(memory, table, info);
  }
  return Ok();
}

}  // namespace gh::pc
