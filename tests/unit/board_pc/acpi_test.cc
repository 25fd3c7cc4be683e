#include "board/pc/acpi.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "hal/rt/bytes.h"

namespace gh::pc {
namespace {

using Bytes = std::vector<uint8_t>;

// Tables at addresses; everything between them is not there.
class FakeMemory final : public PhysicalMemory {
 public:
  std::span<const uint8_t> At(uint64_t address, uint64_t size) const override {
    for (const auto& [start, bytes] : tables) {
      if (address >= start && address - start <= bytes.size() &&
          size <= bytes.size() - (address - start)) {
        return std::span(bytes).subspan(address - start, size);
      }
    }
    return {};
  }
  std::map<uint64_t, Bytes> tables;
};

void Put(Bytes& bytes, size_t at, uint64_t value, size_t size) {
  bytes.resize(std::max(bytes.size(), at + size));
  for (size_t i = 0; i < size; ++i) {
    bytes[at + i] = static_cast<uint8_t>(value >> 8 * i);
  }
}

void FixChecksum(Bytes& bytes, size_t at, size_t size) {
  bytes[at] = 0;
  const uint8_t sum =
      std::accumulate(bytes.begin(), bytes.begin() + static_cast<long>(size), uint8_t{0});
  bytes[at] = static_cast<uint8_t>(-sum);
}

Bytes Table(const std::string& signature, Bytes bytes) {
  bytes.resize(std::max<size_t>(bytes.size(), 36));
  std::copy(signature.begin(), signature.end(), bytes.begin());
  Put(bytes, 4, bytes.size(), 4);
  FixChecksum(bytes, 9, bytes.size());
  return bytes;
}

constexpr uint64_t kRsdp = 0x1000;
constexpr uint64_t kXsdt = 0x2000;
constexpr uint64_t kDsdt = 0x9000;

Bytes Rsdp() {
  Bytes bytes(36);
  const std::string signature = "RSD PTR ";
  std::copy(signature.begin(), signature.end(), bytes.begin());
  bytes[15] = 2;
  Put(bytes, 20, 36, 4);
  Put(bytes, 24, kXsdt, 8);
  FixChecksum(bytes, 8, 20);
  FixChecksum(bytes, 32, 36);
  return bytes;
}

Bytes Dsdt(const std::string& aml) {
  Bytes bytes(36);
  bytes.insert(bytes.end(), aml.begin(), aml.end());
  return Table("DSDT", bytes);
}

const std::string kS5("\x08_S5_\x12\x08\x04\x0a\x05\x0a\x06\x00\x00", 14);

Bytes Fadt() {
  Bytes b(244);
  Put(b, 40, kDsdt, 4);
  Put(b, 64, 0x604, 4);  // PM1a control
  Put(b, 76, 0x608, 4);  // PM timer
  b[91] = 4;
  b[108] = 0x32;
  Put(b, 112, 1 << 10 | 1 << 8, 4);
  b[116] = 1;  // reset register: port 0xcf9
  b[117] = 8;
  Put(b, 120, 0xcf9, 8);
  b[128] = 0x0f;
  return Table("FACP", b);
}

Bytes Madt() {
  Bytes b(44);
  const Bytes entries = {0, 8,  0, 0, 1,  0, 0,    0,                    // CPU 0
                         0, 8,  1, 1, 1,  0, 0,    0,                    // CPU 1
                         0, 8,  2, 2, 0,  0, 0,    0,                    // not enabled
                         1, 12, 0, 0, 0,  0, 0xc0, 0xfe, 0,    0, 0, 0,  // I/O APIC
                         2, 10, 0, 4, 14, 0, 0,    0,    0x0f, 0};       // IRQ 4 -> 14, low, level
  b.insert(b.end(), entries.begin(), entries.end());
  return Table("APIC", b);
}

Bytes Mcfg() {
  Bytes b(60);
  Put(b, 44, 0xe0000000, 8);
  b[54] = 0;
  b[55] = 255;
  return Table("MCFG", b);
}

Bytes Hpet() {
  Bytes b(56);
  Put(b, 44, 0xfed00000, 8);
  return Table("HPET", b);
}

Bytes Tpm2() {
  Bytes b(76);
  Put(b, 40, 0xfed40040, 8);
  Put(b, 48, 7, 4);
  return Table("TPM2", b);
}

class Acpi : public testing::Test {
 protected:
  Acpi() {
    memory_.tables[kRsdp] = Rsdp();
    Add(Fadt());
    Add(Madt());
    Add(Mcfg());
    Add(Hpet());
    memory_.tables[kDsdt] = Dsdt("xyz" + kS5);
    Link();
  }
  void Add(Bytes table) {
    const uint64_t address = 0x3000 + 0x1000 * addresses_.size();
    memory_.tables[address] = std::move(table);
    addresses_.push_back(address);
  }
  void Link() {
    Bytes xsdt(36);
    for (uint64_t address : addresses_) {
      Put(xsdt, xsdt.size(), address, 8);
    }
    memory_.tables[kXsdt] = Table("XSDT", xsdt);
  }
  Result<void> Read() { return ReadAcpi(memory_, kRsdp, info_); }

  FakeMemory memory_;
  std::vector<uint64_t> addresses_;
  AcpiInfo info_;
};

TEST_F(Acpi, FindsWhatTheBoardNeeds) {
  ASSERT_TRUE(Read().ok());
  EXPECT_EQ(info_.table_count, 5u);
  EXPECT_EQ(info_.refused_count, 0u);
  EXPECT_TRUE(info_.fadt.has_reset);
  EXPECT_EQ(info_.fadt.reset.address, 0xcf9u);
  EXPECT_EQ(info_.fadt.reset_value, 0x0f);
  EXPECT_EQ(info_.fadt.pm1a_control, 0x604);
  EXPECT_EQ(info_.fadt.pm_timer, 0x608);
  EXPECT_TRUE(info_.fadt.pm_timer_is_32_bit);
  EXPECT_EQ(info_.fadt.century_register, 0x32);
  EXPECT_TRUE(info_.fadt.has_s5);
  EXPECT_EQ(info_.fadt.s5_type_a, 5);
  EXPECT_EQ(info_.fadt.s5_type_b, 6);
  EXPECT_EQ(info_.madt.cpu_count, 2u);
  ASSERT_EQ(info_.madt.io_apic_count, 1u);
  EXPECT_EQ(info_.madt.io_apics[0].address, 0xfec00000u);
  ASSERT_EQ(info_.madt.override_count, 1u);
  EXPECT_EQ(info_.madt.overrides[0].line, 14u);
  EXPECT_TRUE(info_.madt.overrides[0].is_low);
  EXPECT_TRUE(info_.madt.overrides[0].is_level);
  EXPECT_TRUE(info_.mcfg.present);
  EXPECT_EQ(info_.mcfg.address, 0xe0000000u);
  EXPECT_EQ(info_.mcfg.last_bus, 255);
  EXPECT_EQ(info_.hpet.address, 0xfed00000u);
}

TEST_F(Acpi, FindsATpm) {
  ASSERT_TRUE(Read().ok());
  EXPECT_FALSE(info_.tpm.present);
  Add(Tpm2());
  Link();
  ASSERT_TRUE(Read().ok());
  EXPECT_TRUE(info_.tpm.present);
  EXPECT_EQ(info_.tpm.control_area, 0xfed40040u);
  EXPECT_EQ(info_.tpm.start_method, 7u);
  memory_.tables[addresses_.back()] = Table("TPM2", Bytes(40));  // cut off
  info_ = {};
  ASSERT_TRUE(Read().ok());
  EXPECT_FALSE(info_.tpm.present);
}

TEST_F(Acpi, ATableWithABadChecksumIsIgnored) {
  memory_.tables[addresses_[0]][100] ^= 1;
  ASSERT_TRUE(Read().ok());
  EXPECT_FALSE(info_.fadt.present);
  EXPECT_EQ(info_.refused_count, 1u);
  EXPECT_TRUE(info_.mcfg.present);
}

TEST_F(Acpi, EveryFlippedByteOfTheRootIsRefused) {
  for (size_t i = 0; i < 36; ++i) {
    memory_.tables[kRsdp] = Rsdp();
    memory_.tables[kRsdp][i] ^= 0x40;
    AcpiInfo info;
    const bool ok = ReadAcpi(memory_, kRsdp, info).ok();
    // Byte 15 is the revision: with less than 2 the old, shorter checksum applies and must fail
    // too.
    EXPECT_FALSE(ok) << i;
  }
}

TEST_F(Acpi, TablesOutsideMemoryAreRefused) {
  addresses_.push_back(0xffff'ffff'ffff'f000);
  addresses_.push_back(0);
  Link();
  ASSERT_TRUE(Read().ok());
  EXPECT_EQ(info_.refused_count, 2u);
  EXPECT_FALSE(ReadAcpi(memory_, 0, info_).ok());
  EXPECT_FALSE(ReadAcpi(memory_, 0x77777, info_).ok());
}

TEST_F(Acpi, OddLengthsAreRefused) {
  for (uint32_t size : {0u, 8u, 35u, kAcpiTableSizeMax + 1, UINT32_MAX}) {
    Bytes table = Fadt();
    Put(table, 4, size, 4);
    memory_.tables[addresses_[0]] = table;
    AcpiInfo info;
    ASSERT_TRUE(ReadAcpi(memory_, kRsdp, info).ok());
    EXPECT_FALSE(info.fadt.present) << size;
  }
}

TEST_F(Acpi, AMadtEntryThatOverrunsEndsTheWalk) {
  for (uint8_t size : {uint8_t{0}, uint8_t{1}, uint8_t{200}}) {
    Bytes madt = Madt();
    madt[44 + 8 + 1] = size;  // the second entry's length
    madt = Table("APIC", madt);
    memory_.tables[addresses_[1]] = madt;
    AcpiInfo info;
    ASSERT_TRUE(ReadAcpi(memory_, kRsdp, info).ok());
    EXPECT_EQ(info.madt.cpu_count, 1u);
  }
}

TEST_F(Acpi, S5IsFoundOnlyInItsEncoding) {
  const struct {
    std::string aml;
    bool found;
  } cases[] = {
      {kS5, true},
      {std::string("\x08\\_S5_\x12\x08\x04\x0a\x05\x0a\x06\x00\x00", 15), true},
      {std::string("\x08_S5_\x12\x06\x04\x01\x01\x00\x00", 12), true},      // OneOp
      {std::string("\x08_S5_\x12\x48\x00\x04\x0a\x05\x0a\x06", 13), true},  // 2-byte PkgLength
      {std::string("_S5_\x12\x08\x04\x0a\x05\x0a\x06", 11), false},         // not a Name()
      {std::string("\x08_S5_\x11\x08\x04\x0a\x05", 10), false},             // not a package
      {std::string("\x08_S5_\x12\x08\x00\x0a\x05", 10), false},             // empty package
      {std::string("\x08_S5_\x12\x08\x04\x0b\x05\x00", 11), false},         // word constant
      {std::string("\x08_S5_\x12", 6), false},                              // cut off
      {std::string("\x08_S5_", 5), false},
      {std::string("\x08_S5_\x12\xc8\x04\x04", 9), false},
      {"", false},
  };
  for (const auto& test : cases) {
    memory_.tables[kDsdt] = Dsdt(test.aml);
    AcpiInfo info;
    ASSERT_TRUE(ReadAcpi(memory_, kRsdp, info).ok());
    EXPECT_EQ(info.fadt.has_s5, test.found) << testing::PrintToString(test.aml);
  }
}

TEST_F(Acpi, CountsAreBounded) {
  Bytes madt(44);
  for (uint32_t i = 0; i < 2000; ++i) {
    const Bytes cpu = {0, 8, 0, static_cast<uint8_t>(i), 1, 0, 0, 0};
    const Bytes io = {1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0};
    const Bytes line = {2, 10, 0, 4, 4, 0, 0, 0, 0, 0};
    madt.insert(madt.end(), cpu.begin(), cpu.end());
    madt.insert(madt.end(), io.begin(), io.end());
    madt.insert(madt.end(), line.begin(), line.end());
  }
  memory_.tables[addresses_[1]] = {};
  memory_.tables[0x100000] = Table("APIC", madt);
  addresses_[1] = 0x100000;
  Link();
  ASSERT_TRUE(Read().ok());
  EXPECT_EQ(info_.madt.cpu_count, kCpuMax);
  EXPECT_EQ(info_.madt.io_apic_count, kIoApicMax);
  EXPECT_EQ(info_.madt.override_count, info_.madt.overrides.size());
}

}  // namespace
}  // namespace gh::pc
