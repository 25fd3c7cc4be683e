// Every bound of the bare-metal board in one place.
#pragma once

#include <cstdint>

namespace gh::pc {

inline constexpr uint64_t kPageSize = 4096;
inline constexpr uint64_t kLargePageSize = 2u << 20;
inline constexpr uint64_t kHugePageSize = 1u << 30;

// The boot processor, and the media plane's where there is a second.
inline constexpr uint32_t kProcessorMax = 2;
inline constexpr uint32_t kBootProcessor = 0;
inline constexpr uint32_t kMediaProcessor = 1;

inline constexpr uint32_t kMainStackSize = 256 * 1024;
inline constexpr uint32_t kTrapStackSize = 16 * 1024;
inline constexpr uint32_t kTrapStackCount = 4;
// A return address for every 16 bytes of stack at the most; a page holds what a trap does.
inline constexpr uint32_t kMainShadowStackSize = kMainStackSize / 2;
inline constexpr uint32_t kTrapShadowStackSize = 8 * 1024;

// Page tables are carved once, for the RAM there is and this much besides (MMIO windows).
inline constexpr uint32_t kTablePagesSpare = 320;
// No device window is mapped that is larger: ECAM of 256 buses is 256 MiB.
inline constexpr uint64_t kMmioSizeMax = 256ull << 20;

inline constexpr uint32_t kAcpiTableMax = 128;          // XSDT entries looked at
inline constexpr uint32_t kAcpiTableSizeMax = 1 << 20;  // bytes of one table
inline constexpr uint32_t kIoApicMax = 8;
inline constexpr uint32_t kCpuMax = 256;

inline constexpr uint32_t kPciDeviceMax = 128;
inline constexpr uint32_t kPciBusMax = 256;
inline constexpr uint32_t kPciCapabilityMax = 48;

inline constexpr uint32_t kDeviceVectorMax = 16;
inline constexpr uint32_t kVirtqueueSizeMax = 256;
inline constexpr uint32_t kBlockDiskMax = 4;
inline constexpr uint32_t kBlockRequestMax = 64;  // in flight, a disk
inline constexpr uint32_t kBlockTransferMax = 1 << 20;
inline constexpr uint32_t kSerialPortMax = 8;  // virtio-serial ports set up, by id

inline constexpr uint32_t kUartRingSize = 16 * 1024;
inline constexpr uint32_t kProvisionSizeMax = 256 * 1024;
inline constexpr uint32_t kReachSizeMax = 1024;
inline constexpr uint32_t kFwCfgFileMax = 512;
inline constexpr uint32_t kCrashTextMax = 8 * 1024;

inline constexpr uint32_t kFrameCountMin = 2048;
inline constexpr uint32_t kFrameCountMax = 32768;
// One frame of 2 KiB for so much arena: 1/32 of the memory holds packets.
inline constexpr uint64_t kArenaBytesPerFrame = 64 * 1024;
inline constexpr uint64_t kArenaSizeMin = 64ull << 20;

}  // namespace gh::pc
