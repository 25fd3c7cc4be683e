#include "board/host/console.h"

#include "board/host/text.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace gh::board {
namespace {

// A description of our own, so that O_NONBLOCK does not reach whoever shares the terminal.
int Reopen(int fd, int flags) {
  char path[32];
  std::snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
  const int own = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (own >= 0) {
    return own;
  }
  const int shared = fcntl(fd, F_DUPFD_CLOEXEC, 3);  // a socket, or a file we may not open again
  if (shared >= 0) {
    (void)fcntl(shared, F_SETFL, fcntl(shared, F_GETFL) | O_NONBLOCK);
  }
  return shared;
}

void MakeRaw(int fd, const termios& found) {
  termios raw = found;
  cfmakeraw(&raw);
  (void)tcsetattr(fd, TCSANOW, &raw);
}

void OpenStdio(ConsoleDescriptors& console) {
  console.input = Reopen(STDIN_FILENO, O_RDONLY);
  console.output = Reopen(STDOUT_FILENO, O_WRONLY);
  std::snprintf(console.name, sizeof(console.name), "stdio");
  if (isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &console.settings) == 0) {
    console.terminal = STDIN_FILENO;
    MakeRaw(STDIN_FILENO, console.settings);
  }
}

Result<void> OpenPty(const char* link, ConsoleDescriptors& console) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
    return Error(ErrorCode::kNoDevice, "cannot make a pseudo-terminal");
  }
  char path[48];
  if (ptsname_r(master, path, sizeof(path)) != 0) {
    return Error(ErrorCode::kNoDevice, "cannot name the pseudo-terminal");
  }
  // Held open so that the master never reports a hang-up between two users.
  const int slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
  termios settings = {};
  if (slave < 0 || tcgetattr(slave, &settings) != 0) {
    return Error(ErrorCode::kNoDevice, "cannot open the pseudo-terminal");
  }
  MakeRaw(slave, settings);
  if (link[0] != '\0') {
    (void)unlink(link);
    if (symlink(path, link) != 0) {
      return Error(ErrorCode::kPermissionDenied, "cannot make the link to the pseudo-terminal");
    }
  }
  console.input = console.output = master;
  std::snprintf(console.name, sizeof(console.name), "pty %s", path);
  std::fprintf(stderr, "gatehouse: console on %s\n", path);
  return Ok();
}

Result<void> OpenUnix(const char* path, ConsoleDescriptors& console) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  CopyText(address.sun_path, path);
  console.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  (void)unlink(path);
  const mode_t previous = umask(0177);
  const bool bound =
      console.listener >= 0 &&
      bind(console.listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
      listen(console.listener, 1) == 0;
  umask(previous);
  if (!bound) {
    return Error(ErrorCode::kPermissionDenied, "cannot listen on the console's socket");
  }
  std::snprintf(console.name, sizeof(console.name), "unix %.50s", path);
  return Ok();
}

}  // namespace

Result<void> OpenConsole(const Options& options, ConsoleDescriptors& console) {
  switch (options.console) {
    case ConsoleKind::kStdio:
      OpenStdio(console);
      return Ok();
    case ConsoleKind::kPty:
      return OpenPty(options.console_path, console);
    case ConsoleKind::kUnix:
      return OpenUnix(options.console_path, console);
    case ConsoleKind::kNone:
      return Ok();
  }
  return Ok();
}

void RestoreTerminal(const ConsoleDescriptors& console) {
  if (console.terminal >= 0) {
    (void)tcsetattr(console.terminal, TCSANOW, &console.settings);
  }
}

void HostConsole::AcceptClient() {
  const int client = accept4(console_.listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (client >= 0) {
    console_.input = console_.output = client;
  }
}

// The far end is gone: a socket waits for the next client, stdio stays silent for good.
void HostConsole::LoseClient() {
  if (console_.listener >= 0) {
    close(console_.input);
    console_.output = -1;
  }
  console_.input = -1;
  write_blocked_ = false;
}

uint32_t HostConsole::Read(std::span<uint8_t> out) {
  if (console_.input < 0 && console_.listener >= 0) {
    AcceptClient();
  }
  if (console_.input < 0 || out.empty()) {
    return 0;
  }
  const ssize_t got = read(console_.input, out.data(), out.size());
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
    LoseClient();
  }
  if (got <= 0) {
    return 0;
  }
  const auto count = static_cast<size_t>(got);
  if (console_.terminal >= 0 && std::memchr(out.data(), kEscape, count) != nullptr) {
    (void)raise(SIGTERM);
    return 0;
  }
  return static_cast<uint32_t>(count);
}

uint32_t HostConsole::Write(std::span<const uint8_t> data) {
  if (console_.output < 0 || data.empty()) {
    return static_cast<uint32_t>(data.size());  // nobody listens: as on an unconnected UART
  }
  const ssize_t put = write(console_.output, data.data(), data.size());
  if (put < 0 && errno != EAGAIN && errno != EINTR) {
    if (console_.listener >= 0) {
      LoseClient();
    } else {
      console_.output = -1;
    }
    return static_cast<uint32_t>(data.size());
  }
  const uint32_t taken = put > 0 ? static_cast<uint32_t>(put) : 0;
  write_blocked_ = taken < data.size();
  return taken;
}

int HostConsole::poll_fd() const {
  if (console_.input >= 0) {
    return console_.input;
  }
  return console_.listener;
}

int16_t HostConsole::poll_events() const { return POLLIN; }

int16_t HostConsole::OutputSource::poll_events() const { return POLLOUT; }

}  // namespace gh::board
