// The appliance as a Linux process. Start-up as a list: options, hardware, memory, machine,
// appliance, seal, sandbox; then turns until it ends.
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <new>

#include "board/host/boot_heap.h"
#include "board/host/hardware.h"
#include "board/host/host_machine.h"
#include "board/host/inject.h"
#include "board/host/memory.h"
#include "board/host/options.h"
#include "board/host/sandbox.h"
#include "firmware/appliance.h"
#include "version.h"

namespace {

using gh::board::Hardware;
using gh::board::HostMachine;
using gh::board::Options;

// SIGTERM and SIGINT: a flag for the loop and a descriptor for the wait, so that none is lost.
class StopSignal final : public gh::board::PollSource {
 public:
  void Install() {
    fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct sigaction action = {};
    action.sa_handler = OnSignal;
    action.sa_flags = SA_RESTART;
    for (int number : {SIGTERM, SIGINT, SIGHUP}) {
      (void)sigaction(number, &action, nullptr);
    }
    (void)signal(SIGPIPE, SIG_IGN);
  }
  bool raised() const { return raised_ != 0; }
  int poll_fd() const override { return fd_; }
  int16_t poll_events() const override { return 1; }  // POLLIN

 private:
  static void OnSignal(int) {
    const int saved = errno;
    const uint64_t one = 1;
    raised_ = 1;
    if (write(fd_, &one, sizeof(one)) < 0) {
      _exit(1);
    }
    errno = saved;
  }
  inline static volatile sig_atomic_t raised_ = 0;
  inline static int fd_ = -1;
};

const gh::board::ConsoleDescriptors* console_to_restore = nullptr;

void RestoreConsole() { gh::board::RestoreTerminal(*console_to_restore); }

[[noreturn]] void RunForever(HostMachine& host, gh::Appliance& appliance, StopSignal& stop) {
  while (!stop.raised()) {
    host.machine().idle.WaitUntil(appliance.RunOnce());
  }
  appliance.PrepareToStop("terminated by a signal");
  host.machine().boot.PowerOff();
  GH_UNREACHABLE();
}

int Run(const Options& options, Hardware& hardware, gh::hal::ResetCause cause) {
  const gh::Instant start = gh::board::HostClock().Now();
  StopSignal stop;
  stop.Install();
  gh::board::InstallCrashHandlers(hardware.crash_fd);
  console_to_restore = &hardware.console;
  gh::board::SetCrashCleanup(RestoreConsole);

  gh::board::MemoryReport memory;
  auto mapped = gh::board::MapMemory(options.memory_bytes, memory);
  if (!mapped.ok()) {
    std::fprintf(stderr, "gatehouse: --memory: %s\n", mapped.error().what);
    return 1;
  }
  alignas(gh::Arena) static uint8_t arena_place[sizeof(gh::Arena)];
  auto* arena = new (arena_place) gh::Arena(*mapped);
  arena->OpenAccount("board/machine");
  auto* host = arena->New<HostMachine>(*arena, options, hardware, cause, start);
  if (!host->Start(options, hardware).ok()) {
    return 1;
  }
  host->idle().Add(stop);
  if (options.lock_memory && !gh::board::LockMemory(options.memory_bytes, memory).ok()) {
    return 1;
  }
  host->Describe(memory);

  arena->OpenAccount("appliance");
  auto* appliance = arena->New<gh::Appliance>(
      host->machine(),
      gh::ApplianceOptions{.profile = options.profile, .token_module = host->token_module()});
  if (auto started = appliance->Start(); !started.ok()) {
    std::fprintf(stderr, "gatehouse: cannot start: %s\r\n", started.error().what);
    host->Stop();
    return 1;
  }
  if (!arena->sealed()) {
    arena->Seal();
  }
  if (options.sandbox) {
    if (auto entered = gh::board::EnterSandbox(); !entered.ok()) {
      std::fprintf(stderr, "gatehouse: sandbox: %s\r\n", entered.error().what);
      host->Stop();
      return 1;
    }
  }
  gh::board::SealBootHeap();
  if (!gh::board::IsMediaFault(options.fault)) {
    gh::board::Inject(options.fault);
  }
  RunForever(*host, *appliance, stop);
}

Hardware hardware;

}  // namespace

int main(int argc, char** argv) {
  Options options;
  gh::board::OptionsError error;
  std::span<char* const> arguments(argv + 1, argc > 0 ? static_cast<size_t>(argc - 1) : 0);
  if (!gh::board::ParseOptions(arguments, options, error).ok()) {
    std::fprintf(stderr, "gatehouse: %s: %s\n", error.culprit, error.what);
    return 2;
  }
  if (options.help) {
    std::fputs(gh::board::HelpText(), stdout);
    return 0;
  }
  if (options.version) {
    std::printf("Gatehouse %s commit %s build %s\n", gh::kVersion, gh::kCommit, gh::kBuildId);
    return 0;
  }
  if (!gh::board::OpenHardware(options, hardware).ok()) {
    gh::board::RestoreTerminal(hardware.console);
    return 1;
  }
  if (options.supervise) {
    return gh::board::Supervise(options, hardware, Run);
  }
  const int code = Run(options, hardware, gh::hal::ResetCause::kPowerOn);
  gh::board::RestoreTerminal(hardware.console);
  return code;
}
