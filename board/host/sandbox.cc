#include "board/host/sandbox.h"

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace gh::board {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif

constexpr int kAllowed[] = {
    // Ethernet, console, disks.
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_recvmmsg,
    SYS_sendmmsg,
    SYS_recvmsg,
    SYS_sendmsg,
    SYS_recvfrom,
    SYS_sendto,
    SYS_accept4,
    SYS_getsockopt,  // what a full ring has lost
    SYS_close,
    SYS_pread64,
    SYS_pwrite64,
    SYS_fdatasync,
    SYS_fsync,
    SYS_fallocate,
    SYS_ftruncate,
    SYS_lseek,
    // Time, waiting, entropy.
    SYS_ppoll,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_futex,
    SYS_sched_yield,
    SYS_getrandom,
    SYS_setitimer,
    SYS_restart_syscall,
    // Signals and the end.
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_tgkill,
    SYS_getpid,
    SYS_gettid,
    SYS_madvise,
    SYS_exit,
    SYS_exit_group,
};
// ioctl is a thousand calls in one: only these.
constexpr uint32_t kAllowedIoctls[] = {SIOCGIFFLAGS, TCGETS, TCSETS};

constexpr size_t kProgramMax = 8 + 2 * std::size(kAllowed) + 2 * std::size(kAllowedIoctls) + 4;
static_assert(kProgramMax < BPF_MAXINSNS);

struct Program {
  std::array<sock_filter, kProgramMax> code = {};
  uint16_t size = 0;

  void Add(uint32_t operation, uint32_t value, uint8_t if_true = 0, uint8_t if_false = 0) {
    code[size++] = {static_cast<uint16_t>(operation), if_true, if_false, value};
  }
  void Load(size_t offset) { Add(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)); }
  void Return(uint32_t verdict) { Add(BPF_RET | BPF_K, verdict); }
  void AllowIfEqual(uint32_t value) {
    Add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    Return(SECCOMP_RET_ALLOW);
  }
};

Program BuildProgram() {
  Program program;
  program.Load(offsetof(seccomp_data, arch));
  program.Add(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0);
  program.Return(SECCOMP_RET_KILL_PROCESS);
  program.Load(offsetof(seccomp_data, nr));
  for (int number : kAllowed) {
    program.AllowIfEqual(static_cast<uint32_t>(number));
  }
  program.Add(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 1, 0);
  program.Return(SECCOMP_RET_TRAP);
  program.Load(offsetof(seccomp_data, args[1]));
  for (uint32_t request : kAllowedIoctls) {
    program.AllowIfEqual(request);
  }
  program.Return(SECCOMP_RET_TRAP);
  return program;
}

}  // namespace

void DropCapabilities() {
  for (unsigned long capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const __user_cap_data_struct none[2] = {};
  (void)syscall(SYS_capset, &header, none);
}

Result<void> EnterSandbox() {
  DropCapabilities();
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return Error(ErrorCode::kUnsupported, "cannot give up privileges");
  }
  Program program = BuildProgram();
  const sock_fprog filter = {.len = program.size, .filter = program.code.data()};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) != 0) {
    return Error(ErrorCode::kUnsupported, "this kernel has no seccomp filters (--no-sandbox)");
  }
  return Ok();
}

}  // namespace gh::board
