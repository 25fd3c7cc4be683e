// What the loader hands to the image it verified, and the state it leaves the machine in.
//
// The loader places the image's ELF segments at `image_start` (page-aligned, identity-mapped, BSS
// zeroed), applies its R_X86_64_RELATIVE relocations, leaves boot services and jumps to the ELF
// entry with RDI = Handover* (SysV ABI) on the boot processor: long mode, interrupts off, an
// identity mapping of all RAM, some stack that is good until the image takes its own. Application
// processors stay as the firmware left them. Nothing of UEFI is called after the jump.
//
// The structure lives in memory of kind kLoader; the image copies what it keeps, then may use that
// memory. It trusts the loader (which verified it) but not the tables `acpi_rsdp` points to.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gh::boot {

inline constexpr uint64_t kHandoverMagic = 0x3152564f484e4748;  // "HGNHOVR1", little endian
inline constexpr uint32_t kHandoverVersion = 2;
inline constexpr uint32_t kMemoryRangeMax = 512;
inline constexpr uint32_t kBootSeedSize = 64;
inline constexpr uint32_t kHandoverPcrMax = 4;
inline constexpr uint32_t kSlotFailureMax = 4;
inline constexpr uint32_t kHandoverKeyMax = 16;
// RAM that survives a warm reset: the loader reserves it at this address when the firmware leaves
// it free, and never writes to it. The image keeps the crash record and the reset reason there.
inline constexpr uint64_t kPersistentAddress = 0x2000000;  // 32 MiB
inline constexpr uint64_t kPersistentSize = 0x10000;

enum class MemoryKind : uint32_t {
  kReserved = 0,         // not ours, not RAM we may touch
  kFree = 1,             // conventional memory and boot services' code and data
  kLoader = 2,           // the loader, its stack, this structure: free once the image copied it
  kImage = 3,            // [image_start, image_start + image_size)
  kAcpiTables = 4,       // ACPI reclaim: read the tables first
  kFirmwareRuntime = 5,  // UEFI runtime services, ACPI NVS: leave alone
  kMmio = 6,
  kPersistent = 7,  // [persistent_start, persistent_start + persistent_size)
};

// Page-aligned, ascending by `start`, not overlapping; neighbours of one kind are merged.
struct MemoryRange {
  uint64_t start;
  uint64_t size;
  MemoryKind kind;
  uint32_t uefi_type;  // of the first descriptor merged into it, for diagnosis
};

enum HandoverFlags : uint32_t {
  kHandoverDevelopment = 1 << 0,  // the manifest is marked as a development image
  kHandoverSecureBoot = 1 << 1,   // UEFI Secure Boot was on
  kHandoverMeasured = 1 << 2,     // a TPM 2.0 took the measurements of boot/tpm.h
};

// A register of the TPM as it stood just before the jump, SHA-256 bank.
struct PcrValue {
  uint32_t index;
  uint32_t reserved;
  uint8_t sha256[32];
};

// Why this slot was started.
enum class StartReason : uint8_t {
  kConfirmed = 0,  // the newest confirmed slot
  kTrial = 1,      // a new image, not yet confirmed; `tries_left` more starts after this one
  kFallback = 2,   // a better choice failed: see `failures`
  kGolden = 3,     // neither slot could be started: see `failures`
  kOperator = 4,   // chosen at the recovery console, for this start only
};

// Which counter the record's security version is held against.
enum class CounterKind : uint8_t {
  kRecord = 0,        // none but the boot state record
  kTpm = 1,           // an NV counter of the TPM 2.0
  kUefiVariable = 2,  // a variable that only boot services reach
};

// A slot that was not started, or whose trial ended in this boot, and why.
struct SlotFailure {
  char slot;  // 'a', 'b', 'g'
  uint8_t reserved[7];
  char text[56];  // as on the console, NUL-terminated
};

// A key this loader was built to trust; `role` as in image/manifest.proto.
struct HandoverKey {
  uint8_t key[32];
  uint32_t role;
  uint32_t is_development;
};

struct Handover {
  uint64_t magic;    // kHandoverMagic
  uint32_t version;  // kHandoverVersion
  uint32_t size;     // sizeof(Handover)

  uint64_t image_start;       // physical = virtual
  uint64_t image_size;        // whole pages, BSS included
  uint64_t acpi_rsdp;         // 0: none
  uint64_t persistent_start;  // 0: could not be had
  uint64_t persistent_size;

  uint64_t tsc_entry;  // at the loader's entry
  uint64_t tsc_jump;   // just before the jump

  uint32_t flags;  // HandoverFlags
  char slot;       // 'a', 'b', 'g' (golden)
  uint8_t reserved0[3];
  uint64_t security_version;
  char image_version[32];  // from the manifest, NUL-terminated
  char key_id[17];         // hex, of the first valid signature, NUL-terminated
  uint8_t reserved1[7];
  char firmware_vendor[32];  // UEFI vendor, ASCII, NUL-terminated, "" if unknown
  uint32_t firmware_revision;
  uint32_t loader_version;
  uint8_t disk_guid[16];  // GPT disk GUID of the disk that was booted, as stored on disk

  uint32_t seed_size;  // bytes of `seed` from EFI_RNG_PROTOCOL, 0: none
  uint32_t memory_range_count;
  uint8_t seed[kBootSeedSize];
  uint32_t pcr_count;          // of `pcrs`; 0: no TPM
  uint32_t trusted_key_count;  // of `trusted_keys`

  StartReason start_reason;
  uint8_t tries_left;      // of a trial, after this start
  uint8_t reset_done;      // 1: this boot completed a factory reset
  uint8_t is_button_held;  // the reset button, at power-on
  CounterKind counter_kind;
  uint8_t root_signature_count_min;  // root keys that must sign a key list; 0: not said, 1
  uint8_t reserved3[2];
  uint32_t watchdog_ms;    // of the watchdog armed before the jump, 0: none; Pet or Disarm it
  uint32_t failure_count;  // of `failures`
  uint64_t record_security_version;   // the least that is started, as the record says
  uint64_t counter_security_version;  // as the counter says, 0: there is none
  uint64_t record_sequence;           // of the record as it stood at the jump, 0: no record
  SlotFailure failures[kSlotFailureMax];
  MemoryRange memory_ranges[kMemoryRangeMax];
  PcrValue pcrs[kHandoverPcrMax];
  HandoverKey trusted_keys[kHandoverKeyMax];
};
static_assert(offsetof(Handover, memory_ranges) % 8 == 0);
static_assert(sizeof(MemoryRange) == 24);
static_assert(sizeof(PcrValue) == 40);
static_assert(sizeof(HandoverKey) == 40);
static_assert(sizeof(SlotFailure) == 64);

}  // namespace gh::boot
