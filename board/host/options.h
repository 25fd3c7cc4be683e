// The command line of out/host/gatehouse. Pure: no system call, so that every line is tested.
#pragma once

#include <cstdint>
#include <span>

#include "board/host/limits.h"
#include "hal/rt/result.h"

namespace gh::board {

enum class PortKind : uint8_t { kNone, kTap, kPacket };
enum class ConsoleKind : uint8_t { kStdio, kPty, kUnix, kNone };
enum class Fault : uint8_t {
  kNone,
  kMalloc,
  kNew,
  kPanic,
  kSegv,
  kHang,
  kSyscall,
  kMediaPanic,
  kMediaSegv,
  kMediaHang
};

struct PortOptions {
  PortKind kind = PortKind::kNone;
  const char* interface = "";
  hal::MacAddress mac = {};
  bool has_mac = false;
  const char* host_address = "";  // TAP: "192.0.2.1/24" for the Linux side, empty: leave alone
};

struct DiskOptions {
  const char* path = "";
  uint64_t bytes = 0;
};

struct Options {
  PortOptions ports[hal::kEthernetPortMax];
  uint32_t port_count = 0;
  ConsoleKind console = ConsoleKind::kStdio;
  const char* console_path = "";
  DiskOptions store = {"", uint64_t{64} << 20};
  DiskOptions log = {"", uint64_t{16} << 20};
  uint32_t block_size = kDiskBlockSizeDefault;
  const char* provision_path = "";
  const char* crash_path = "";    // empty: beside the store
  const char* token_path = "";    // empty: no local HSM by a socket
  const char* token_module = "";  // empty: none by a PKCS #11 module
  const char* profile = "";
  uint64_t memory_bytes = uint64_t{256} << 20;
  uint32_t frame_count = kFramesDefault;
  uint32_t busy_poll_us = 0;
  uint32_t moderation_us = 1000;
  uint32_t media_moderation_us = 250;
  uint32_t cores = 0;           // 0: two where there are two CPUs
  uint32_t flush_ms = 0;        // more that every flush of a disk takes
  uint32_t media_priority = 0;  // SCHED_FIFO of the media plane's thread; 0: as any other
  bool reset_button = false;
  bool lock_memory = true;
  bool sandbox = true;
  bool supervise = true;
  bool watchdog = true;
  bool help = false;
  bool version = false;
  Fault fault = Fault::kNone;
};

// On failure `what` says what was expected and `culprit` is the argument it is about.
struct OptionsError {
  const char* what = "";
  const char* culprit = "";
};

Result<void> ParseOptions(std::span<char* const> arguments, Options& options, OptionsError& error);
const char* HelpText();

// "64M", "1G", "4096", "512K": powers of 1024.
Result<uint64_t> ParseBytes(const char* text);
Result<hal::MacAddress> ParseMac(const char* text);

}  // namespace gh::board
