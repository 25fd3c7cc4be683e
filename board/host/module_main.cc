// gatehouse-hsm MODULE CALLS CONTROL: the process that holds a PKCS #11 module for the appliance
// (board/host/token_module.h), started by it with two descriptors.
//
// Two processes: a keeper, and its child, which loads the module and serves one call after the
// other. The keeper ends the child and starts another when it is told a new generation, starts
// another a while after one has ended, and ends when the appliance has.
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "board/host/module_calls.h"

namespace {

using gh::board::WireAnswer;
using gh::board::WireCall;

constexpr int kRestartMs = 500;
constexpr int kLoadFailedMs = 10'000;
constexpr int kLoadFailedCode = 3;

void Say(int calls, WireAnswer::Kind kind, uint32_t generation) {
  static WireAnswer answer;
  answer.kind = kind;
  answer.generation = generation;
  (void)send(calls, &answer, sizeof(answer), MSG_NOSIGNAL);
}

[[noreturn]] void ServeModule(const char* path, int calls, uint32_t generation) {
  static WireCall call;
  static WireAnswer answer;
  gh::board::LoadedModule module;
  if (const char* why = module.Load(path); why != nullptr) {
    std::fprintf(stderr, "gatehouse-hsm: %s: %s\n", path, why);
    _exit(kLoadFailedCode);
  }
  Say(calls, WireAnswer::Kind::kUp, generation);
  for (;;) {
    const ssize_t got = recv(calls, &call, sizeof(call), 0);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      _exit(0);
    }
    if (got != static_cast<ssize_t>(sizeof(call)) || call.generation != generation) {
      continue;
    }
    answer = WireAnswer{};
    answer.kind = WireAnswer::Kind::kAnswer;
    answer.generation = generation;
    module.Serve(call, answer);
    explicit_bzero(call.blob, sizeof(call.blob));
    (void)send(calls, &answer, sizeof(answer), MSG_NOSIGNAL);
    explicit_bzero(answer.output, sizeof(answer.output));
  }
}

class Keeper {
 public:
  Keeper(const char* module, int calls, int control)
      : module_(module), calls_(calls), control_(control) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &signals, nullptr);
    ended_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  }

  int Run() {
    for (;;) {
      pollfd sources[2] = {{control_, POLLIN, 0}, {ended_, POLLIN, 0}};
      const bool is_due = generation_ != 0 && child_ < 0;
      const int ready = poll(sources, 2, is_due ? wait_ms_ : -1);
      if (ready == 0) {
        Begin();
        continue;
      }
      if (sources[0].revents != 0 && !TakeGeneration()) {
        End();
        return 0;
      }
      if (sources[1].revents != 0) {
        signalfd_siginfo info;
        (void)!read(ended_, &info, sizeof(info));
        Reap();
      }
    }
  }

 private:
  void Begin() {
    const pid_t keeper = getpid();
    child_ = fork();
    if (child_ != 0) {
      return;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != keeper) {
      _exit(0);
    }
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, nullptr);
    close(control_);
    close(ended_);
    ServeModule(module_, calls_, generation_);
  }
  void End() {
    if (child_ > 0) {
      (void)kill(child_, SIGKILL);
      (void)waitpid(child_, nullptr, 0);
    }
    child_ = -1;
  }
  bool TakeGeneration() {
    uint32_t generation = 0;
    const ssize_t got = recv(control_, &generation, sizeof(generation), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      return true;
    }
    if (got != static_cast<ssize_t>(sizeof(generation))) {
      return false;
    }
    End();
    generation_ = generation;
    Begin();
    return true;
  }
  void Reap() {
    int status = 0;
    if (child_ <= 0 || waitpid(child_, &status, WNOHANG) != child_) {
      return;
    }
    child_ = -1;
    const bool is_unloadable = WIFEXITED(status) && WEXITSTATUS(status) == kLoadFailedCode;
    wait_ms_ = is_unloadable ? kLoadFailedMs : kRestartMs;
    Say(calls_, WireAnswer::Kind::kGone, generation_);
  }

  const char* const module_;
  const int calls_;
  const int control_;
  int ended_ = -1;
  pid_t child_ = -1;
  uint32_t generation_ = 0;  // 0: not told one yet
  int wait_ms_ = kRestartMs;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("gatehouse-hsm is started by gatehouse (--token-module)\n", stderr);
    return 2;
  }
  return Keeper(argv[1], std::atoi(argv[2]), std::atoi(argv[3])).Run();
}
