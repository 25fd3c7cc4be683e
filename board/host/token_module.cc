#include "board/host/token_module.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>

#include "board/host/text.h"
#include "hal/rt/secret.h"

namespace gh::board {
namespace {

namespace p11 = crypto::pkcs11;

constexpr char kProgram[] = "gatehouse-hsm";

// Across restarts of the appliance in one process (tests), generations do not repeat.
std::atomic<uint32_t> next_generation = 0;

// The path of the program beside ours.
bool FindProgram(std::span<char> path) {
  const ssize_t size = readlink("/proc/self/exe", path.data(), path.size() - sizeof(kProgram) - 1);
  if (size <= 0) {
    return false;
  }
  path[static_cast<size_t>(size)] = '\0';
  char* slash = std::strrchr(path.data(), '/');
  if (slash == nullptr) {
    return false;
  }
  std::memcpy(slash + 1, kProgram, sizeof(kProgram));
  return true;
}

[[noreturn]] void RunProgram(const char* path, const char* module, int calls, int control) {
  char calls_text[12];
  char control_text[12];
  std::snprintf(calls_text, sizeof(calls_text), "%d", calls);
  std::snprintf(control_text, sizeof(control_text), "%d", control);
  (void)fcntl(calls, F_SETFD, 0);
  (void)fcntl(control, F_SETFD, 0);
  (void)setsid();  // signals of our terminal are not for it
  execl(path, kProgram, module, calls_text, control_text, nullptr);
  _exit(127);
}

}  // namespace

Result<void> StartModuleProcess(const char* program, const char* module, ModuleDescriptors& out) {
  char path[512];
  if (program[0] != '\0') {
    CopyText(path, program);
  } else if (!FindProgram(path)) {
    path[0] = '\0';
  }
  if (access(path, X_OK) != 0) {
    return Error(ErrorCode::kNotFound, "gatehouse-hsm is not beside this program");
  }
  if (access(module, R_OK) != 0) {
    return Error(ErrorCode::kNotFound, "expected a PKCS #11 module that can be read");
  }
  int calls[2];
  int control[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, calls) != 0 ||
      socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) != 0) {
    return Error(ErrorCode::kExhausted, "no sockets for the PKCS #11 module");
  }
  const pid_t process = fork();
  if (process < 0) {
    return Error(ErrorCode::kExhausted, "no process for the PKCS #11 module");
  }
  if (process == 0) {
    RunProgram(path, module, calls[1], control[1]);
  }
  close(calls[1]);
  close(control[1]);
  out = {calls[0], control[0]};
  return Ok();
}

void TokenModule::AskForNewProcess() {
  is_up_ = false;
  generation_ = ++next_generation;
  (void)send(descriptors_.control, &generation_, sizeof(generation_), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void TokenModule::FailAll(const Error& why) {
  std::array<UnderWay, kModuleCallsMax> ended = under_way_;
  const uint32_t count = under_way_count_;
  under_way_count_ = 0;
  for (uint32_t i = 0; i < count; ++i) {
    // A listener may forget calls that come after its own.
    p11::Call* call = ended[i].call;
    if (call != nullptr && call->is_pending) {
      call->is_pending = false;
      call->error = why;
      call->listener->OnCall(*call);
    }
  }
}

void TokenModule::Reset(const Error& why) {
  AskForNewProcess();
  FailAll(why);
}

bool TokenModule::Start(p11::Call& call, Instant now) {
  GH_ASSERT(!call.is_pending);
  if (!is_up_ || under_way_count_ == kModuleCallsMax || !PackCall(call, out_)) {
    return false;
  }
  out_.generation = generation_;
  out_.code = next_code_;
  const ssize_t sent = send(descriptors_.calls, &out_, sizeof(out_), MSG_DONTWAIT | MSG_NOSIGNAL);
  SecureZero(out_.blob);
  if (sent != static_cast<ssize_t>(sizeof(out_))) {
    return false;
  }
  call.is_pending = true;
  call.error = ErrorCode::kOk;
  call.started = now;
  call.code = next_code_++;
  under_way_[under_way_count_++] = {call.code, &call, now};
  return true;
}

void TokenModule::Forget(p11::Call& call) {
  if (!call.is_pending) {
    return;
  }
  call.is_pending = false;
  for (UnderWay& entry : std::span(under_way_).first(under_way_count_)) {
    if (entry.call == &call) {
      entry.call = nullptr;
    }
  }
}

Instant TokenModule::waiting_since() const {
  return under_way_count_ == 0 ? Instant::Max() : under_way_[0].started;
}

int16_t TokenModule::poll_events() const { return POLLIN; }

void TokenModule::Take(const WireAnswer& answer) {
  if (answer.generation != generation_) {
    return;
  }
  if (answer.kind != WireAnswer::Kind::kAnswer) {
    const bool was_up = is_up_;
    is_up_ = answer.kind == WireAnswer::Kind::kUp;
    if (was_up) {
      FailAll(Error{ErrorCode::kUnreachable, "the process of the PKCS #11 module has ended"});
    }
    return;
  }
  if (under_way_count_ == 0 || under_way_[0].code != answer.code) {
    Reset(Error{ErrorCode::kMalformed, "the PKCS #11 module answered what was not asked"});
    return;
  }
  p11::Call* call = under_way_[0].call;
  std::copy(under_way_.begin() + 1, under_way_.begin() + under_way_count_, under_way_.begin());
  --under_way_count_;
  if (call == nullptr) {
    return;
  }
  if (const auto unpacked = UnpackAnswer(answer, *call); !unpacked.ok()) {
    call->error = unpacked.error();
  }
  call->is_pending = false;
  call->listener->OnCall(*call);
}

bool TokenModule::Poll(Instant) {
  if (generation_ == 0) {
    AskForNewProcess();  // what an appliance before us left behind is not ours
  }
  for (uint32_t i = 0; i < kModuleCallsMax; ++i) {
    const ssize_t got = recv(descriptors_.calls, &in_, sizeof(in_), MSG_DONTWAIT);
    if (got == 0 && !is_over_) {
      is_over_ = true;
      is_up_ = false;
      FailAll(Error{ErrorCode::kUnreachable, "the process of the PKCS #11 module has ended"});
    }
    if (got != static_cast<ssize_t>(sizeof(in_))) {
      return false;
    }
    Take(in_);
    SecureZero(in_.output);
  }
  return true;
}

}  // namespace gh::board
