#include "board/host/token_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "board/host/text.h"

namespace gh::board {

Result<void> OpenTokenSocket(const char* path, int& listener) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  CopyText(address.sun_path, path);
  listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  (void)unlink(path);
  const mode_t previous = umask(0177);
  const bool bound = listener >= 0 &&
                     bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
                     listen(listener, 1) == 0;
  umask(previous);
  return bound ? Ok()
               : Result<void>(
                     Error(ErrorCode::kPermissionDenied, "cannot listen on the token's socket"));
}

void TokenSocket::Close() {
  close(client_);
  client_ = -1;
}

int16_t TokenSocket::poll_events() const { return POLLIN; }

uint32_t TokenSocket::Read(std::span<uint8_t> out) {
  if (client_ < 0) {
    client_ = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  }
  if (client_ < 0 || out.empty()) {
    return 0;
  }
  const ssize_t got = read(client_, out.data(), out.size());
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
    Close();
  }
  return got > 0 ? static_cast<uint32_t>(got) : 0;
}

uint32_t TokenSocket::Write(std::span<const uint8_t> data) {
  if (client_ < 0 || data.empty()) {
    return 0;
  }
  const ssize_t put = send(client_, data.data(), data.size(), MSG_NOSIGNAL);
  if (put < 0 && errno != EAGAIN && errno != EINTR) {
    Close();
  }
  return put > 0 ? static_cast<uint32_t>(put) : 0;
}

}  // namespace gh::board
