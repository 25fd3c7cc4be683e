#include "board/host/hardware.h"

#include "board/host/token_socket.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "board/host/clock.h"
#include "board/host/crash.h"
#include "board/host/file_block_device.h"
#include "board/host/media_thread.h"
#include "board/host/packet_port.h"
#include "board/host/tap_port.h"

namespace gh::board {
namespace {

constexpr int kExitGaveUp = 70;

Result<void> Explain(const char* thing, const char* name, const Error& error) {
  std::fprintf(stderr, "gatehouse: %s %s: %s\n", thing, name, error.what);
  return error;
}

Result<void> OpenDisk(const char* thing, const DiskOptions& disk, int& fd) {
  if (disk.path[0] == '\0') {
    return Ok();
  }
  auto opened = OpenDiskFile(disk.path, disk.bytes);
  if (!opened.ok()) {
    return Explain(thing, disk.path, opened.error());
  }
  fd = *opened;
  return Ok();
}

Result<void> OpenPorts(const Options& options, Hardware& hardware) {
  for (uint32_t i = 0; i < options.port_count; ++i) {
    const PortOptions& port = options.ports[i];
    auto fd = port.kind == PortKind::kTap ? OpenTap(port) : OpenPacket(port);
    if (!fd.ok()) {
      return Explain("interface", port.interface, fd.error());
    }
    hardware.port_fds[i] = *fd;
    if (port.kind != PortKind::kTap) {
      continue;
    }
    LinkState link;
    HostClock clock;
    auto raised = link.Open(port.interface, clock);
    if (raised.ok()) {
      raised = link.Raise(port.host_address);
    }
    if (!raised.ok()) {
      return Explain("interface", port.interface, raised.error());
    }
  }
  return Ok();
}

Result<void> OpenCrashRecord(const Options& options, Hardware& hardware) {
  char path[4096];
  const bool named = options.crash_path[0] != '\0';
  if (!named && options.store.path[0] == '\0') {
    return Ok();
  }
  const int size =
      std::snprintf(path, sizeof(path), "%s%s", named ? options.crash_path : options.store.path,
                    named ? "" : ".crash");
  if (size < 0 || static_cast<size_t>(size) >= sizeof(path)) {
    return Explain("crash record", options.crash_path,
                   Error(ErrorCode::kTooLarge, "the file name is too long"));
  }
  hardware.crash_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (hardware.crash_fd < 0) {
    return Explain("crash record", path,
                   Error(ErrorCode::kPermissionDenied, "cannot open or create the file"));
  }
  return Ok();
}

Result<void> ReadProvisioning(const Options& options, Hardware& hardware) {
  if (options.provision_path[0] == '\0') {
    return Ok();
  }
  const int fd = open(options.provision_path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return Explain("provisioning", options.provision_path,
                   Error(ErrorCode::kNotFound, "cannot open the file"));
  }
  ssize_t got = 0;
  do {
    hardware.provision_size += static_cast<size_t>(got);
    got = read(fd, hardware.provision + hardware.provision_size,
               kProvisionBytesMax - hardware.provision_size);
  } while (got > 0);
  close(fd);
  if (got < 0 || hardware.provision_size == kProvisionBytesMax) {
    return Explain("provisioning", options.provision_path,
                   Error(ErrorCode::kTooLarge, "cannot be read, or is larger than 512 KiB"));
  }
  return Ok();
}

const char* CauseText(hal::ResetCause cause) {
  switch (cause) {
    case hal::ResetCause::kRestart:
      return "restarting";
    case hal::ResetCause::kWatchdog:
      return "reset by the watchdog; starting again";
    default:
      return "panic; starting again";
  }
}

// At most kRestartBurstMax crashes in kRestartBurstSeconds.
class CrashBudget {
 public:
  bool Spend() {
    timespec now = {};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - window_start_ > kRestartBurstSeconds) {
      window_start_ = now.tv_sec;
      count_ = 0;
    }
    return ++count_ <= kRestartBurstMax;
  }

 private:
  int64_t window_start_ = -kRestartBurstSeconds;
  uint32_t count_ = 0;
};

// Waits for the child, passing on the signals that ask for an end.
int WaitForChild(pid_t child, const sigset_t& signals, bool& stopping) {
  for (;;) {
    int status = 0;
    if (waitpid(child, &status, WNOHANG) == child) {
      return status;
    }
    siginfo_t info = {};
    const int number = sigwaitinfo(&signals, &info);
    if (number == SIGTERM || number == SIGINT || number == SIGHUP) {
      stopping = true;
      (void)kill(child, SIGTERM);
    }
  }
}

}  // namespace

Result<void> OpenHardware(const Options& options, Hardware& hardware) {
  GH_TRY(OpenDisk("store", options.store, hardware.store_fd));
  GH_TRY(OpenDisk("log", options.log, hardware.log_fd));
  GH_TRY(OpenCrashRecord(options, hardware));
  GH_TRY(ReadProvisioning(options, hardware));
  GH_TRY(OpenPorts(options, hardware));
  if (options.token_path[0] != '\0') {
    if (auto token = OpenTokenSocket(options.token_path, hardware.token_listener); !token.ok()) {
      return Explain("token", options.token_path, token.error());
    }
  }
  if (options.token_module[0] != '\0' && options.token_path[0] != '\0') {
    return Explain("token-module", options.token_module,
                   {ErrorCode::kInvalidArgument, "there is --token already: one local HSM"});
  }
  if (options.token_module[0] != '\0') {
    const OffMediaCpu off(options);
    auto module = StartModuleProcess("", options.token_module, hardware.token_module);
    if (!module.ok()) {
      return Explain("token-module", options.token_module, module.error());
    }
  }
  auto console = OpenConsole(options, hardware.console);
  if (!console.ok()) {
    return Explain("console", options.console_path, console.error());
  }
  return Ok();
}

ChildEnd Interpret(int wait_status) {
  if (WIFEXITED(wait_status)) {
    const int code = WEXITSTATUS(wait_status);
    if (code == kExitRestart) {
      return {Outcome::kRestart, hal::ResetCause::kRestart, code};
    }
    if (code == kExitWatchdog) {
      return {Outcome::kCrashed, hal::ResetCause::kWatchdog, code};
    }
    return {Outcome::kEnded, hal::ResetCause::kPowerOn, code};
  }
  const int number = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
  // Killed from outside (an operator, the OOM killer) is not ours to repeat.
  if (number == SIGKILL || number == SIGTERM) {
    return {Outcome::kEnded, hal::ResetCause::kPowerOn, 128 + number};
  }
  return {Outcome::kCrashed, hal::ResetCause::kPanic, 128 + number};
}

int Supervise(const Options& options, Hardware& hardware, RunAppliance run) {
  sigset_t signals;
  sigset_t previous;
  sigemptyset(&signals);
  for (int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) {
    sigaddset(&signals, number);
  }
  (void)sigprocmask(SIG_BLOCK, &signals, &previous);
  const pid_t parent = getpid();
  hal::ResetCause cause = hal::ResetCause::kPowerOn;
  CrashBudget budget;
  bool stopping = false;
  for (;;) {
    const pid_t child = fork();
    if (child < 0) {
      std::fprintf(stderr, "gatehouse: cannot start a process: %s\n", std::strerror(errno));
      return 1;
    }
    if (child == 0) {
      (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) {
        _exit(1);
      }
      (void)sigprocmask(SIG_SETMASK, &previous, nullptr);
      _exit(run(options, hardware, cause));
    }
    const ChildEnd end = Interpret(WaitForChild(child, signals, stopping));
    if (end.outcome == Outcome::kEnded || stopping) {
      RestoreTerminal(hardware.console);
      return end.outcome == Outcome::kRestart ? 0 : end.exit_code;
    }
    cause = end.cause;
    std::fprintf(stderr, "gatehouse: %s (exit status %d)\r\n", CauseText(cause), end.exit_code);
    if (end.outcome == Outcome::kCrashed && !budget.Spend()) {
      RestoreTerminal(hardware.console);
      std::fprintf(stderr, "gatehouse: %u panics within %lld s, giving up\n", kRestartBurstMax,
                   static_cast<long long>(kRestartBurstSeconds));
      return kExitGaveUp;
    }
  }
}

}  // namespace gh::board
