#include "board/host/options.h"

#include <charconv>
#include <cstring>
#include <string_view>

namespace gh::board {
namespace {

constexpr const char* kHelp =
    R"(Gatehouse as a Linux process: the same appliance, on TAP or AF_PACKET Ethernet.

usage: gatehouse [options]

Ethernet (each --tap or --packet is the next port: LAN1, LAN2, LAN3)
  --tap NAME             create or attach TAP interface NAME (needs CAP_NET_ADMIN; `unshare -rn`
                         gives it to anyone, inside a network namespace)
  --packet NAME          use interface NAME by AF_PACKET, e.g. one end of a veth pair; Linux itself
                         should have no address on it (needs CAP_NET_RAW)
  --mac XX:XX:XX:XX:XX:XX  MAC address of the port before it; default: derived from the TAP's name,
                         or the interface's own
  --host-address A.B.C.D/N  Linux's own address on the TAP before it; the TAP is brought up anyway

Storage
  --store FILE           the store partition, created when missing; none: nothing persists
  --store-size SIZE      size at creation, default 64M
  --log FILE             the log partition
  --log-size SIZE        size at creation, default 16M
  --block-size N         512 (default) or 4096
  --provision FILE       first-boot provisioning: xConfiguration lines, taken in factory state only
  --reset-button         start with the factory-reset button held
  --crash-record FILE    default: the store's name with .crash appended, else none

HSM
  --token PATH           Unix socket where the server of a local HSM connects (p11-kit remote)
  --token-module FILE    PKCS #11 module of this machine, e.g. /usr/lib/softhsm/libsofthsm2.so

Console
  --console stdio        default; Ctrl-] ends the process
  --console pty[:LINK]   a pseudo-terminal; its name is printed, LINK becomes a symbolic link to it
  --console unix:PATH    one client at a time on a Unix socket
  --console none

Memory and processor
  --profile NAME         capacity profile: small, medium, large
  --memory SIZE          all memory the appliance will ever use, default 256M
  --frames N             Ethernet frames of 2 KiB in the pool (part of --memory), default 8192
  --cores auto|1|2       two: the media plane has a thread and a CPU of its own, when the appliance
                         wants it (xConfiguration System MediaCore). Default auto: as there are CPUs
  --media-priority N     1 to 99: the media plane's thread takes turns with nobody on its CPU
                         (SCHED_FIFO; needs CAP_SYS_NICE). Default 0: a thread as any other
  --no-mlock             development: go on without locking memory
  --busy-poll USEC       spin this long before sleeping, default 0
  --moderation USEC      under load let frames gather this long before the next wake-up, as a
                         network card moderates interrupts; 0: never. Default 1000
  --media-moderation USEC
                         the same of the loop that relays media, default 250

Ends and guards
  --no-supervisor        one process: a restart is exit code 42, a panic aborts. Normally a small
                         parent holds the interfaces and starts the appliance again
  --no-watchdog          the watchdog is reported absent
  --no-sandbox           keep capabilities and allow every system call
  --version              print version, commit and build id
  --help                 this text

Testing
  --inject FAULT         after the seal: malloc, new, panic, segv, hang or syscall; in the media
                         plane's thread: media-panic, media-segv or media-hang
  --flush-ms N           every flush of a disk takes so much longer

Exit codes: 0 powered off or terminated, 1 could not start, 2 bad options, 42 restart wanted
(--no-supervisor), 70 gave up after repeated panics.
)";

using Setter = const char* (*)(Options& options, const char* value);  // what was expected, or null

PortOptions* LastPort(Options& options) {
  return options.port_count == 0 ? nullptr : &options.ports[options.port_count - 1];
}

const char* AddPort(Options& options, PortKind kind, const char* name) {
  if (options.port_count == hal::kEthernetPortMax) {
    return "at most three Ethernet ports";
  }
  const size_t size = std::strlen(name);
  if (size == 0 || size > 15 || std::strchr(name, '/') != nullptr) {
    return "expected an interface name of 1 to 15 characters";
  }
  options.ports[options.port_count].kind = kind;
  options.ports[options.port_count].interface = name;
  ++options.port_count;
  return nullptr;
}

const char* SetMac(Options& options, const char* value) {
  PortOptions* port = LastPort(options);
  if (port == nullptr) {
    return "--mac follows the --tap or --packet it is for";
  }
  auto mac = ParseMac(value);
  if (!mac.ok()) {
    return mac.error().what;
  }
  port->mac = *mac;
  port->has_mac = true;
  return nullptr;
}

const char* SetHostAddress(Options& options, const char* value) {
  PortOptions* port = LastPort(options);
  if (port == nullptr || port->kind != PortKind::kTap) {
    return "--host-address follows the --tap it is for";
  }
  port->host_address = value;
  return nullptr;
}

const char* SetConsole(Options& options, const char* value) {
  const std::string_view text = value;
  options.console_path = "";
  if (text == "stdio") {
    options.console = ConsoleKind::kStdio;
  } else if (text == "none") {
    options.console = ConsoleKind::kNone;
  } else if (text == "pty") {
    options.console = ConsoleKind::kPty;
  } else if (text.starts_with("pty:") && text.size() > 4) {
    options.console = ConsoleKind::kPty;
    options.console_path = value + 4;
  } else if (text.starts_with("unix:") && text.size() > 5 && text.size() < 5 + 108) {
    options.console = ConsoleKind::kUnix;
    options.console_path = value + 5;
  } else {
    return "expected stdio, pty, pty:LINK, unix:PATH or none";
  }
  return nullptr;
}

const char* SetDiskBytes(DiskOptions& disk, const char* value) {
  auto bytes = ParseBytes(value);
  if (!bytes.ok() || *bytes < kDiskBytesMin || *bytes > kDiskBytesMax || *bytes % 4096 != 0) {
    return "expected a size from 64K to 1024G, a multiple of 4096";
  }
  disk.bytes = *bytes;
  return nullptr;
}

const char* SetNumber(uint32_t& out, const char* value, uint32_t min, uint32_t max,
                      const char* expected) {
  auto number = ParseBytes(value);
  if (!number.ok() || *number < min || *number > max) {
    return expected;
  }
  out = static_cast<uint32_t>(*number);
  return nullptr;
}

const char* SetBlockSize(Options& options, const char* value) {
  const std::string_view text = value;
  if (text != "512" && text != "4096") {
    return "expected 512 or 4096";
  }
  options.block_size = text == "512" ? 512 : 4096;
  return nullptr;
}

const char* SetMemory(Options& options, const char* value) {
  auto bytes = ParseBytes(value);
  if (!bytes.ok() || *bytes < kMemoryBytesMin || *bytes > kDiskBytesMax) {
    return "expected a size from 16M";
  }
  options.memory_bytes = (*bytes + 0xfff) & ~uint64_t{0xfff};
  return nullptr;
}

const char* SetFault(Options& options, const char* value) {
  static constexpr struct {
    const char* name;
    Fault fault;
  } kFaults[] = {{"malloc", Fault::kMalloc},
                 {"new", Fault::kNew},
                 {"panic", Fault::kPanic},
                 {"segv", Fault::kSegv},
                 {"hang", Fault::kHang},
                 {"syscall", Fault::kSyscall},
                 {"media-panic", Fault::kMediaPanic},
                 {"media-segv", Fault::kMediaSegv},
                 {"media-hang", Fault::kMediaHang}};
  for (const auto& entry : kFaults) {
    if (std::strcmp(entry.name, value) == 0) {
      options.fault = entry.fault;
      return nullptr;
    }
  }
  return "expected malloc, new, panic, segv, hang, syscall, media-panic, media-segv or media-hang";
}

const char* SetCores(Options& options, const char* value) {
  const std::string_view text = value;
  options.cores = text == "1" ? 1 : text == "2" ? 2 : 0;
  return options.cores != 0 || text == "auto" ? nullptr : "expected auto, 1 or 2";
}

const char* SetPath(const char*& out, const char* value) {
  if (value[0] == '\0') {
    return "expected a file name";
  }
  out = value;
  return nullptr;
}

const char* SetToken(Options& options, const char* value) {
  const size_t size = std::strlen(value);
  options.token_path = value;
  return size > 0 && size < 108 ? nullptr : "expected a path of 1 to 107 bytes";
}

struct Flag {
  const char* name;
  Setter set;                       // takes a value
  void (*raise)(Options& options);  // takes none
};

// clang-format off
constexpr Flag kFlags[] = {
  {"--tap", [](Options& o, const char* v) { return AddPort(o, PortKind::kTap, v); }, nullptr},
  {"--packet", [](Options& o, const char* v) { return AddPort(o, PortKind::kPacket, v); }, nullptr},
  {"--mac", SetMac, nullptr},
  {"--host-address", SetHostAddress, nullptr},
  {"--store", [](Options& o, const char* v) { return SetPath(o.store.path, v); }, nullptr},
  {"--store-size", [](Options& o, const char* v) { return SetDiskBytes(o.store, v); }, nullptr},
  {"--log", [](Options& o, const char* v) { return SetPath(o.log.path, v); }, nullptr},
  {"--log-size", [](Options& o, const char* v) { return SetDiskBytes(o.log, v); }, nullptr},
  {"--block-size", SetBlockSize, nullptr},
  {"--provision", [](Options& o, const char* v) { return SetPath(o.provision_path, v); }, nullptr},
  {"--crash-record", [](Options& o, const char* v) { return SetPath(o.crash_path, v); }, nullptr},
  {"--token", SetToken, nullptr},
  {"--token-module", [](Options& o, const char* v) { return SetPath(o.token_module, v); }, nullptr},
  {"--console", SetConsole, nullptr},
  {"--profile", [](Options& o, const char* v) { return SetPath(o.profile, v); }, nullptr},
  {"--memory", SetMemory, nullptr},
  {"--frames", [](Options& o, const char* v) {
     return SetNumber(o.frame_count, v, 64, 1u << 22, "expected 64 to 4194304 frames"); }, nullptr},
  {"--busy-poll", [](Options& o, const char* v) {
     return SetNumber(o.busy_poll_us, v, 0, 1'000'000, "expected 0 to 1000000 us"); }, nullptr},
  {"--moderation", [](Options& o, const char* v) {
     return SetNumber(o.moderation_us, v, 0, 1000, "expected 0 to 1000 us"); }, nullptr},
  {"--media-moderation", [](Options& o, const char* v) {
     return SetNumber(o.media_moderation_us, v, 0, 1000, "expected 0 to 1000 us"); }, nullptr},
  {"--cores", SetCores, nullptr},
  {"--media-priority", [](Options& o, const char* v) {
     return SetNumber(o.media_priority, v, 0, 99, "expected 0 to 99"); }, nullptr},
  {"--inject", SetFault, nullptr},
  {"--flush-ms", [](Options& o, const char* v) {
     return SetNumber(o.flush_ms, v, 0, 10'000, "expected 0 to 10000 ms"); }, nullptr},
  {"--reset-button", nullptr, [](Options& o) { o.reset_button = true; }},
  {"--no-mlock", nullptr, [](Options& o) { o.lock_memory = false; }},
  {"--no-supervisor", nullptr, [](Options& o) { o.supervise = false; }},
  {"--no-watchdog", nullptr, [](Options& o) { o.watchdog = false; }},
  {"--no-sandbox", nullptr, [](Options& o) { o.sandbox = false; }},
  {"--version", nullptr, [](Options& o) { o.version = true; }},
  {"--help", nullptr, [](Options& o) { o.help = true; }},
  {"-h", nullptr, [](Options& o) { o.help = true; }},
};
// clang-format on

const Flag* FindFlag(std::string_view name) {
  for (const Flag& flag : kFlags) {
    if (name == flag.name) {
      return &flag;
    }
  }
  return nullptr;
}

Result<void> Fail(OptionsError& error, const char* what, const char* culprit) {
  error.what = what;
  error.culprit = culprit;
  return Error(ErrorCode::kInvalidArgument, what);
}

}  // namespace

const char* HelpText() { return kHelp; }

Result<uint64_t> ParseBytes(const char* text) {
  const char* end = text + std::strlen(text);
  uint64_t number = 0;
  auto [rest, status] = std::from_chars(text, end, number);
  if (status != std::errc() || rest == text) {
    return Error(ErrorCode::kMalformed, "expected a number");
  }
  uint32_t shift = 0;
  if (rest != end) {
    const std::string_view unit(rest, static_cast<size_t>(end - rest));
    shift = unit == "K" ? 10 : unit == "M" ? 20 : unit == "G" ? 30 : 99;
  }
  if (shift == 99 || number > (UINT64_MAX >> shift)) {
    return Error(ErrorCode::kMalformed, "expected a number, with K, M or G if you like");
  }
  return number << shift;
}

Result<hal::MacAddress> ParseMac(const char* text) {
  static constexpr const char* kExpected = "expected a unicast MAC address as 02:00:5e:10:00:01";
  hal::MacAddress mac = {};
  if (std::strlen(text) != 17) {
    return Error(ErrorCode::kMalformed, kExpected);
  }
  for (size_t i = 0; i < 6; ++i) {
    const char* pair = text + i * 3;
    auto [rest, status] = std::from_chars(pair, pair + 2, mac[i], 16);
    if (status != std::errc() || rest != pair + 2 || (i < 5 && pair[2] != ':')) {
      return Error(ErrorCode::kMalformed, kExpected);
    }
  }
  if ((mac[0] & 1) != 0 || mac == hal::MacAddress{}) {
    return Error(ErrorCode::kMalformed, kExpected);
  }
  return mac;
}

Result<void> ParseOptions(std::span<char* const> arguments, Options& options, OptionsError& error) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    char* argument = arguments[i];
    char* equals = std::strncmp(argument, "--", 2) == 0 ? std::strchr(argument, '=') : nullptr;
    const size_t name_size =
        equals != nullptr ? static_cast<size_t>(equals - argument) : std::strlen(argument);
    const Flag* flag = FindFlag({argument, name_size});
    if (flag == nullptr) {
      return Fail(error, "unknown option (see --help)", argument);
    }
    if (flag->raise != nullptr) {
      if (equals != nullptr) {
        return Fail(error, "takes no value", argument);
      }
      flag->raise(options);
      continue;
    }
    const char* value = equals != nullptr ? equals + 1 : nullptr;
    if (value == nullptr) {
      if (i + 1 == arguments.size()) {
        return Fail(error, "needs a value (see --help)", argument);
      }
      value = arguments[++i];
    }
    if (const char* expected = flag->set(options, value); expected != nullptr) {
      return Fail(error, expected, argument);
    }
  }
  return Ok();
}

}  // namespace gh::board
