// The ACPI reader over any memory: the input is the memory from address 0x1000 on. Checksums are
// forced where they stand in the way of the fuzzer.
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "board/pc/acpi.h"

namespace {

constexpr uint64_t kBase = 0x1000;

class Memory final : public gh::pc::PhysicalMemory {
 public:
  explicit Memory(std::vector<uint8_t>& bytes) : bytes_(bytes) {}
  std::span<const uint8_t> At(uint64_t address, uint64_t size) const override {
    const uint64_t offset = address - kBase;
    if (address < kBase || offset > bytes_.size() || size > bytes_.size() - offset) {
      return {};
    }
    auto found = std::span(bytes_).subspan(offset, size);
    // Make what is asked for sum to zero, in a byte that no field uses.
    if (size > 36) {
      Fix(found, 9);
    } else if (address == kBase && size == 20) {
      Fix(found, 8);
    } else if (address == kBase && size == 36) {
      Fix(found, 33);
    }
    return found;
  }

 private:
  static void Fix(std::span<uint8_t> bytes, size_t at) {
    uint8_t sum = 0;
    for (uint8_t byte : bytes) {
      sum = static_cast<uint8_t>(sum + byte);
    }
    bytes[at] = static_cast<uint8_t>(bytes[at] - sum);
  }
  std::vector<uint8_t>& bytes_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes(data, data + size);
  Memory memory(bytes);
  auto info = std::make_unique<gh::pc::AcpiInfo>();
  (void)gh::pc::ReadAcpi(memory, kBase, *info);
  const bool bounded =
      info->madt.cpu_count <= gh::pc::kCpuMax && info->madt.io_apic_count <= gh::pc::kIoApicMax;
  if (!bounded) {
    __builtin_trap();
  }
  return 0;
}
