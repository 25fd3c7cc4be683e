#include "board/host/crash.h"

#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <ctime>

#include "board/host/limits.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "hal/rt/crash_record.h"
#include "version.h"

extern "C" const char __executable_start;
extern "C" const char etext;

namespace gh::board {
namespace {

// One a process, as the panic handler itself: a crash ends the machine.
struct CrashState {
  int fd = -1;
  void (*cleanup)() = nullptr;
  hal::CrashWitness* witness = nullptr;
  int64_t start_ns = 0;
  std::atomic<pid_t> entered = 0;  // the thread that crashed first
  CrashRecord record;
  uint8_t encoded[kCrashRecordBytesMax];
  uint8_t text[kCrashTextMax];
  alignas(16) uint8_t signal_stack[kSignalStackBytes];
  alignas(16) uint8_t thread_signal_stack[kSignalStackBytes];
};
CrashState state;

int64_t ReadClock(clockid_t clock) {
  timespec now = {};
  (void)clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void WriteAll(int fd, std::span<const uint8_t> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put = write(fd, bytes.data() + done, bytes.size() - done);
    if (put <= 0) {
      return;
    }
    done += static_cast<size_t>(put);
  }
}

// In the order of CrashArchitecture::kX86_64; the control registers are not a process's to see, but
// the address of a page fault is.
void AddRegisters(const ucontext_t& context) {
#if defined(__x86_64__)
  static constexpr int kRegisters[] = {
      REG_RAX, REG_RBX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8, REG_R9,
      REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP, REG_EFL, REG_CR2};
  static_assert(sizeof(kRegisters) / sizeof(kRegisters[0]) < kCrashX86RegisterCount);
  state.record.architecture = CrashArchitecture::kX86_64;
  for (int index : kRegisters) {
    state.record.AddRegister(static_cast<uint64_t>(context.uc_mcontext.gregs[index]));
  }
#else
  (void)context;
#endif
}

void AddBacktrace() {
  void* frames[kCrashBacktraceMax];
  const int count = backtrace(frames, kCrashBacktraceMax);
  for (int i = 0; i < count; ++i) {
    // A shared library's frames have no offset in the image (a sanitizer's are the first).
    const auto address = reinterpret_cast<uintptr_t>(frames[i]);
    if (address >= state.record.image_base && address < reinterpret_cast<uintptr_t>(&etext)) {
      state.record.AddBacktrace(address);
    }
  }
}

void KeepRecord() {
  const Result<uint32_t> size = EncodeCrashRecord(state.record, state.encoded);
  if (state.fd < 0 || !size.ok()) {
    return;
  }
  [[maybe_unused]] const int cut = ftruncate(state.fd, 0);  // in a crash: on it goes
  (void)lseek(state.fd, 0, SEEK_SET);
  WriteAll(state.fd, std::span(state.encoded).first(*size));
  (void)fsync(state.fd);
}

void Finish(const void* context) {
  if (context != nullptr) {
    AddRegisters(*static_cast<const ucontext_t*>(context));
  } else {
    static ucontext_t own;
    if (getcontext(&own) == 0) {
      AddRegisters(own);
    }
  }
  AddBacktrace();
  KeepRecord();
  if (state.witness != nullptr) {
    state.witness->Describe(state.record);
    KeepRecord();
  }
  if (state.cleanup != nullptr) {
    state.cleanup();
  }
  ByteWriter out(state.text);
  FormatCrashRecord(state.record, out);
  WriteAll(STDERR_FILENO, out.written());
}

[[noreturn]] void EndBySignal(int number) {
  (void)signal(number, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  (void)sigprocmask(SIG_UNBLOCK, &set, nullptr);
  (void)raise(number);
  _exit(128 + number);
}

// A second failure while recording the first only ends the process; one of the other thread waits
// for that end.
void EnterOnce() {
  pid_t first = 0;
  if (const pid_t own = gettid(); !state.entered.compare_exchange_strong(first, own)) {
    if (first == own) {
      EndBySignal(SIGABRT);
    }
    for (;;) {
      const timespec second = {.tv_sec = 1, .tv_nsec = 0};
      (void)nanosleep(&second, nullptr);
    }
  }
  state.record.build_id.Assign(kBuildId);
  state.record.image_base = reinterpret_cast<uintptr_t>(&__executable_start);
  state.record.uptime_ns = ReadClock(CLOCK_MONOTONIC) - state.start_ns;
  state.record.unix_ns = ReadClock(CLOCK_REALTIME);
}

void OnPanic(const PanicInfo& info) {
  EnterOnce();
  state.record.SetPanic(info);
  Finish(nullptr);
  EndBySignal(SIGABRT);
}

const char* SignalReason(int number) {
  switch (number) {
    case SIGSEGV:
      return "SIGSEGV, invalid memory access";
    case SIGBUS:
      return "SIGBUS, memory or file went away";
    case SIGILL:
      return "SIGILL, illegal instruction";
    case SIGFPE:
      return "SIGFPE, arithmetic trap";
    case SIGSYS:
      return "SIGSYS, system call forbidden by the sandbox";
    case SIGABRT:
      return "SIGABRT, abort";
    default:
      return "fatal signal";
  }
}

// `left` is the signal's code; `right` the address, or the number of the forbidden system call.
void OnFatalSignal(int number, siginfo_t* info, void* context) {
  EnterOnce();
  state.record.cause = CrashCause::kException;
  state.record.message.Assign(SignalReason(number));
  state.record.has_values = true;
  state.record.left = info->si_code;
  state.record.right = number == SIGSYS
                           ? info->si_syscall
                           : static_cast<int64_t>(reinterpret_cast<uintptr_t>(info->si_addr));
  Finish(context);
  EndBySignal(number == SIGSYS ? SIGABRT : number);
}

}  // namespace

void InstallCrashHandlers(int fd) {
  state.fd = fd;
  state.start_ns = ReadClock(CLOCK_MONOTONIC);
  void* first[4];
  (void)backtrace(first, 4);
  const stack_t stack = {.ss_sp = state.signal_stack, .ss_flags = 0, .ss_size = kSignalStackBytes};
  GH_ASSERT_EQ(sigaltstack(&stack, nullptr), 0);
  struct sigaction action = {};
  action.sa_sigaction = OnFatalSignal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  for (int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS, SIGABRT}) {
    GH_ASSERT_EQ(sigaction(number, &action, nullptr), 0);
  }
  (void)SetPanicHandler(OnPanic);
}

void UseThreadCrashStack() {
  const stack_t stack = {
      .ss_sp = state.thread_signal_stack, .ss_flags = 0, .ss_size = kSignalStackBytes};
  GH_ASSERT_EQ(sigaltstack(&stack, nullptr), 0);
}

void SetCrashCleanup(void (*cleanup)()) { state.cleanup = cleanup; }
void SetCrashWitness(hal::CrashWitness* witness) { state.witness = witness; }

void EndWithRecord(const char* reason, void* context, int exit_code) {
  EnterOnce();
  state.record.cause = CrashCause::kWatchdog;
  state.record.message.Assign(reason);
  Finish(context);
  _exit(exit_code);
}

PreviousCrash ReadCrashRecord(int fd, std::span<uint8_t> buffer) {
  if (fd < 0) {
    return {};
  }
  const ssize_t got = pread(fd, buffer.data(), buffer.size(), 0);
  const std::span<const uint8_t> bytes = buffer.first(got > 0 ? static_cast<size_t>(got) : 0);
  static CrashRecord record;
  if (!DecodeCrashRecord(bytes, record).ok()) {
    return {};
  }
  const bool by_watchdog = record.cause == CrashCause::kWatchdog;
  return {bytes, by_watchdog ? hal::ResetCause::kWatchdog : hal::ResetCause::kPanic};
}

void ClearCrashRecord(int fd) {
  if (fd >= 0) {
    [[maybe_unused]] const int cut = ftruncate(fd, 0);  // else it is shown again
    (void)fsync(fd);
  }
}

}  // namespace gh::board
