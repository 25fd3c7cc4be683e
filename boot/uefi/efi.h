// The little of UEFI 2.10 that the loader calls. Unused table entries are placeholders.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gh::boot::efi {

using Status = uint64_t;
using Handle = void*;
inline constexpr Status kSuccess = 0;
inline constexpr Status kErrorBit = 1ull << 63;
inline constexpr Status kInvalidParameter = kErrorBit | 2;
inline constexpr Status kBufferTooSmall = kErrorBit | 5;
inline constexpr Status kVolumeFull = kErrorBit | 11;
constexpr bool Failed(Status status) { return (status & kErrorBit) != 0; }

struct Guid {
  uint32_t a;
  uint16_t b;
  uint16_t c;
  uint8_t d[8];
};

inline constexpr Guid kLoadedImageProtocol = {
    0x5b1b31a1, 0x9562, 0x11d2, {0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
inline constexpr Guid kDevicePathProtocol = {
    0x09576e91, 0x6d3f, 0x11d2, {0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
inline constexpr Guid kBlockIoProtocol = {
    0x964e5b21, 0x6459, 0x11d2, {0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
inline constexpr Guid kRngProtocol = {
    0x3152bca5, 0xeade, 0x433d, {0x86, 0x2e, 0xc0, 0x1c, 0xdc, 0x29, 0x1f, 0x44}};
inline constexpr Guid kTcg2Protocol = {
    0x607f766c, 0x7455, 0x42be, {0x93, 0x0b, 0xe4, 0xd7, 0x6d, 0xb2, 0x72, 0x0f}};
inline constexpr Guid kAcpi20Table = {
    0x8868e871, 0xe4f1, 0x11d3, {0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81}};
inline constexpr Guid kAcpi10Table = {
    0xeb9d2d30, 0x2d88, 0x11d3, {0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d}};
inline constexpr Guid kGlobalVariable = {
    0x8be4df61, 0x93ca, 0x11d2, {0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c}};

inline constexpr Guid kGatehouseVariable = {
    0x47617465, 0x686f, 0x7573, {0x65, 0x2d, 0x76, 0x61, 0x72, 0x73, 0x2d, 0x31}};
inline constexpr Status kNotFound = kErrorBit | 14;
inline constexpr uint32_t kVariableNonVolatile = 1;
inline constexpr uint32_t kVariableBootService = 2;

enum AllocateType : uint32_t { kAnyPages = 0, kMaxAddress = 1, kAddress = 2 };
enum MemoryType : uint32_t { kReservedMemory = 0, kLoaderCode = 1, kLoaderData = 2 };

struct TableHeader {
  uint64_t signature;
  uint32_t revision;
  uint32_t header_size;
  uint32_t crc;
  uint32_t reserved;
};

struct InputKey {
  uint16_t scan_code;
  char16_t unicode;
};
inline constexpr uint16_t kScanEscape = 0x17;

struct TextInput {
  void* reset;
  Status (*read_key_stroke)(TextInput* self, InputKey* key);
};

struct TextOutput {
  void* reset;
  Status (*output_string)(TextOutput* self, const char16_t* text);
};

struct DevicePath {
  uint8_t type;
  uint8_t subtype;
  uint8_t length[2];
};
inline constexpr uint8_t kPathMedia = 4;
inline constexpr uint8_t kPathHardDrive = 1;
inline constexpr uint8_t kPathEnd = 0x7f;

struct BootServices {
  TableHeader header;
  uint64_t (*raise_tpl)(uint64_t level);
  void (*restore_tpl)(uint64_t level);
  Status (*allocate_pages)(uint32_t type, uint32_t memory_type, uint64_t pages, uint64_t* address);
  Status (*free_pages)(uint64_t address, uint64_t pages);
  Status (*get_memory_map)(uint64_t* size, void* map, uint64_t* key, uint64_t* descriptor_size,
                           uint32_t* descriptor_version);
  void* allocate_pool;
  void* free_pool;
  void* events[6];
  void* install_protocol;
  void* reinstall_protocol;
  void* uninstall_protocol;
  Status (*handle_protocol)(Handle handle, const Guid* protocol, void** out);
  void* reserved;
  void* register_protocol_notify;
  void* locate_handle;
  Status (*locate_device_path)(const Guid* protocol, DevicePath** path, Handle* handle);
  void* install_configuration_table;
  void* load_image;
  void* start_image;
  void* exit;
  void* unload_image;
  Status (*exit_boot_services)(Handle image, uint64_t key);
  void* get_next_monotonic_count;
  Status (*stall)(uint64_t microseconds);
  Status (*set_watchdog_timer)(uint64_t seconds, uint64_t code, uint64_t size, char16_t* data);
  void* connect[2];
  void* open_protocol[3];
  void* protocols_per_handle;
  void* locate_handle_buffer;
  Status (*locate_protocol)(const Guid* protocol, void* registration, void** out);
};
static_assert(offsetof(BootServices, allocate_pages) == 40);
static_assert(offsetof(BootServices, handle_protocol) == 152);
static_assert(offsetof(BootServices, locate_device_path) == 184);
static_assert(offsetof(BootServices, exit_boot_services) == 232);
static_assert(offsetof(BootServices, stall) == 248);
static_assert(offsetof(BootServices, locate_protocol) == 320);

// Above it no timer of the firmware runs: its terminal driver does not take our serial input.
inline constexpr uint64_t kTplNotify = 16;

enum ResetType : uint32_t { kResetCold = 0, kResetWarm = 1, kResetShutdown = 2 };

struct RuntimeServices {
  TableHeader header;
  void* time[4];
  void* virtual_map[2];
  Status (*get_variable)(const char16_t* name, const Guid* vendor, uint32_t* attributes,
                         uint64_t* size, void* data);
  void* get_next_variable_name;
  Status (*set_variable)(const char16_t* name, const Guid* vendor, uint32_t attributes,
                         uint64_t size, const void* data);
  void* get_next_high_monotonic_count;
  void (*reset_system)(uint32_t type, Status status, uint64_t size, const void* data);
};
static_assert(offsetof(RuntimeServices, get_variable) == 72);
static_assert(offsetof(RuntimeServices, reset_system) == 104);

struct ConfigurationTable {
  Guid vendor;
  const void* table;
};

struct SystemTable {
  TableHeader header;
  const char16_t* firmware_vendor;
  uint32_t firmware_revision;
  uint32_t padding;
  Handle console_in_handle;
  TextInput* console_in;
  Handle console_out_handle;
  TextOutput* console_out;
  Handle standard_error_handle;
  TextOutput* standard_error;
  RuntimeServices* runtime;
  BootServices* boot;
  uint64_t table_count;
  const ConfigurationTable* tables;
};

struct LoadedImage {
  uint32_t revision;
  Handle parent;
  SystemTable* system;
  Handle device;
};

struct BlockIoMedia {
  uint32_t media_id;
  bool removable;
  bool present;
  bool logical_partition;
  bool read_only;
  bool write_caching;
  uint32_t block_size;
  uint32_t io_align;
  uint64_t last_block;
};

struct BlockIo {
  uint64_t revision;
  BlockIoMedia* media;
  void* reset;
  Status (*read_blocks)(BlockIo* self, uint32_t media_id, uint64_t block, uint64_t size,
                        void* buffer);
  Status (*write_blocks)(BlockIo* self, uint32_t media_id, uint64_t block, uint64_t size,
                         const void* buffer);
  Status (*flush_blocks)(BlockIo* self);
};

struct Rng {
  void* get_info;
  Status (*get_rng)(Rng* self, const Guid* algorithm, uint64_t size, uint8_t* out);
};

// TCG EFI Protocol Specification, family 2.0.
struct Tcg2Capability {
  uint8_t size;
  uint8_t structure_version[2];
  uint8_t protocol_version[2];
  uint32_t hash_algorithms;
  uint32_t event_logs;
  bool is_tpm_present;
  uint16_t command_size_max;
  uint16_t response_size_max;
  uint32_t manufacturer;
  uint32_t bank_count;
  uint32_t active_banks;
};
static_assert(sizeof(Tcg2Capability) == 36);

struct Tcg2 {
  Status (*get_capability)(Tcg2* self, Tcg2Capability* out);
  void* get_event_log;
  Status (*hash_log_extend_event)(Tcg2* self, uint64_t flags, uint64_t data, uint64_t size,
                                  const void* event);
  Status (*submit_command)(Tcg2* self, uint32_t input_size, const void* input, uint32_t output_size,
                           void* output);
};

}  // namespace gh::boot::efi
