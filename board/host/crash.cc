#include "board/host/crash.h"

#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

#include "board/host/limits.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "version.h"

extern "C" const char __executable_start;

namespace gh::board {
namespace {

constexpr std::string_view kHead = "gatehouse crash record 1\n";
constexpr std::string_view kTail = "end of crash record\n";
constexpr std::string_view kWatchdogReason = "reason: watchdog";

// One a process, as the panic handler itself: a crash ends the machine.
struct CrashState {
  int fd = -1;
  void (*cleanup)() = nullptr;
  volatile sig_atomic_t entered = 0;
  uint8_t text[kCrashRecordBytesMax];
  alignas(16) uint8_t signal_stack[kSignalStackBytes];
};
CrashState state;

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

void WriteRegisters(ByteWriter& out, const ucontext_t& context) {
#if defined(__x86_64__)
  static constexpr struct {
    const char* name;
    int index;
  } kRegisters[] = {{"rip", REG_RIP}, {"rsp", REG_RSP}, {"rbp", REG_RBP}, {"rax", REG_RAX},
                    {"rbx", REG_RBX}, {"rcx", REG_RCX}, {"rdx", REG_RDX}, {"rsi", REG_RSI},
                    {"rdi", REG_RDI}, {"r8", REG_R8},   {"r9", REG_R9},   {"r10", REG_R10},
                    {"r11", REG_R11}, {"r12", REG_R12}, {"r13", REG_R13}, {"r14", REG_R14},
                    {"r15", REG_R15}, {"err", REG_ERR}};
  uint32_t count = 0;
  for (const auto& entry : kRegisters) {
    out.Text(count % 4 == 0 ? "\n " : " ");
    out.Text(entry.name);
    out.Char('=');
    out.Hex(static_cast<uint64_t>(context.uc_mcontext.gregs[entry.index]), 16);
    ++count;
  }
  out.Char('\n');
#else
  (void)out;
  (void)context;
#endif
}

// Addresses relative to the program, which `addr2line -e out/host/gatehouse` turns into lines.
void WriteBacktrace(ByteWriter& out) {
  void* frames[kBacktraceFramesMax];
  const int count = backtrace(frames, kBacktraceFramesMax);
  const auto base = reinterpret_cast<uintptr_t>(&__executable_start);
  out.Text("backtrace:");
  for (int i = 0; i < count; ++i) {
    const auto address = reinterpret_cast<uintptr_t>(frames[i]);
    out.Text(i % 4 == 0 ? "\n  " : " ");
    out.Text(address >= base ? "+0x" : "0x");
    out.Hex(address >= base ? address - base : address, 6);
  }
  out.Char('\n');
}

void WriteHead(ByteWriter& out, std::string_view reason) {
  timespec now = {};
  (void)clock_gettime(CLOCK_REALTIME, &now);
  out.Text(kHead);
  out.Text("version: ");
  out.Text(kVersion);
  out.Text(" commit ");
  out.Text(kCommit);
  out.Text(" build ");
  out.Text(kBuildId);
  out.Text("\ntime: ");
  out.Decimal(static_cast<uint64_t>(now.tv_sec));
  out.Text(" s UTC since 1970\nreason: ");
  out.Text(reason);
  out.Char('\n');
}

void Finish(ByteWriter& out, const void* context) {
  if (context != nullptr) {
    out.Text("registers:");
    WriteRegisters(out, *static_cast<const ucontext_t*>(context));
  }
  WriteBacktrace(out);
  out.Text(kTail);
  if (state.fd >= 0) {
    [[maybe_unused]] const int cut = ftruncate(state.fd, 0);  // in a crash: on it goes
    (void)lseek(state.fd, 0, SEEK_SET);
    WriteAll(state.fd, out.written());
    (void)fsync(state.fd);
  }
  if (state.cleanup != nullptr) {
    state.cleanup();
  }
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

// A second failure while recording the first only ends the process.
void EnterOnce() {
  if (state.entered != 0) {
    EndBySignal(SIGABRT);
  }
  state.entered = 1;
}

void OnPanic(const PanicInfo& info) {
  EnterOnce();
  ByteWriter out(state.text);
  WriteHead(out, info.message);
  out.Text("place: ");
  out.Text(info.file);
  out.Char(':');
  out.Decimal(info.line);
  out.Char('\n');
  if (info.has_values) {
    out.Text("values: ");
    out.SignedDecimal(info.left);
    out.Text(" and ");
    out.SignedDecimal(info.right);
    out.Char('\n');
  }
  Finish(out, nullptr);
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

void OnFatalSignal(int number, siginfo_t* info, void* context) {
  EnterOnce();
  ByteWriter out(state.text);
  WriteHead(out, SignalReason(number));
  out.Text("detail: code ");
  out.SignedDecimal(info->si_code);
  if (number == SIGSYS) {
    out.Text(", system call ");
    out.SignedDecimal(info->si_syscall);
  } else {
    out.Text(", address 0x");
    out.Hex(reinterpret_cast<uintptr_t>(info->si_addr));
  }
  out.Char('\n');
  Finish(out, context);
  EndBySignal(number == SIGSYS ? SIGABRT : number);
}

}  // namespace

void InstallCrashHandlers(int fd) {
  state.fd = fd;
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

void SetCrashCleanup(void (*cleanup)()) { state.cleanup = cleanup; }

void EndWithRecord(const char* reason, void* context, int exit_code) {
  EnterOnce();
  ByteWriter out(state.text);
  WriteHead(out, reason);
  Finish(out, context);
  _exit(exit_code);
}

PreviousCrash ReadCrashRecord(int fd, std::span<char> buffer) {
  if (fd < 0) {
    return {};
  }
  const ssize_t got = pread(fd, buffer.data(), buffer.size(), 0);
  const std::string_view text(buffer.data(), got > 0 ? static_cast<size_t>(got) : 0);
  if (!text.starts_with(kHead) || !text.ends_with(kTail)) {
    return {};
  }
  for (char& c : buffer.first(text.size())) {
    if (c != '\n' && (c < 0x20 || c > 0x7e)) {
      c = '?';
    }
  }
  const bool by_watchdog = text.find(kWatchdogReason) != text.npos;
  return {text, by_watchdog ? hal::ResetCause::kWatchdog : hal::ResetCause::kPanic};
}

void ClearCrashRecord(int fd) {
  if (fd >= 0) {
    [[maybe_unused]] const int cut = ftruncate(fd, 0);  // else it is shown again
    (void)fsync(fd);
  }
}

}  // namespace gh::board
