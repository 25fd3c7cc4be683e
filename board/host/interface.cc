#include "board/host/interface.h"

#include "board/host/text.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <string_view>

namespace gh::board {
namespace {

ifreq RequestFor(const char* name) {
  ifreq request = {};
  CopyText(request.ifr_name, name);
  return request;
}

sockaddr ToSockaddr(uint32_t address_be) {
  sockaddr_in in = {};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = address_be;
  sockaddr out = {};
  std::memcpy(&out, &in, sizeof(out));
  return out;
}

Result<void> SetAddress(int socket, const char* name, std::string_view text) {
  const size_t slash = text.find('/');
  char address[16] = {};
  uint32_t length = 99;
  if (slash < sizeof(address)) {  // npos is larger
    std::memcpy(address, text.data(), slash);
    std::from_chars(text.data() + slash + 1, text.data() + text.size(), length);
  }
  in_addr parsed = {};
  if (length == 0 || length > 32 || inet_pton(AF_INET, address, &parsed) != 1) {
    return Error(ErrorCode::kMalformed, "expected a host address as 192.0.2.1/24");
  }
  ifreq request = RequestFor(name);
  request.ifr_addr = ToSockaddr(parsed.s_addr);
  if (ioctl(socket, SIOCSIFADDR, &request) != 0) {
    return Error(ErrorCode::kPermissionDenied, "cannot set the host address of the interface");
  }
  request.ifr_netmask = ToSockaddr(htonl(0xffffffffu << (32 - length)));
  if (ioctl(socket, SIOCSIFNETMASK, &request) != 0) {
    return Error(ErrorCode::kPermissionDenied, "cannot set the netmask of the interface");
  }
  return Ok();
}

}  // namespace

Result<void> LinkState::Open(const char* interface, hal::Clock& clock) {
  CopyText(name_, interface);
  clock_ = &clock;
  socket_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0) {
    return Error(ErrorCode::kIoError, "cannot open a control socket");
  }
  ifreq request = RequestFor(name_);
  if (ioctl(socket_, SIOCGIFINDEX, &request) != 0) {
    return Error(ErrorCode::kNotFound, "no such interface");
  }
  index_ = request.ifr_ifindex;
  request = RequestFor(name_);
  if (ioctl(socket_, SIOCGIFHWADDR, &request) == 0) {
    std::memcpy(mac_.data(), request.ifr_hwaddr.sa_data, mac_.size());
  }
  request = RequestFor(name_);
  if (ioctl(socket_, SIOCGIFMTU, &request) == 0 && request.ifr_mtu < 1500) {
    mtu_ = static_cast<uint16_t>(request.ifr_mtu);
  }
  return Ok();
}

bool LinkState::up() {
  const Instant now = clock_->Now();
  if (known_ && now - asked_ < kLinkPollInterval) {
    return up_;
  }
  ifreq request = RequestFor(name_);
  known_ = true;
  asked_ = now;
  constexpr int kBoth = IFF_UP | IFF_RUNNING;
  up_ = ioctl(socket_, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & kBoth) == kBoth;
  return up_;
}

Result<void> LinkState::Raise(const char* address) {
  if (address[0] != '\0') {
    GH_TRY(SetAddress(socket_, name_, address));
  }
  ifreq request = RequestFor(name_);
  if (ioctl(socket_, SIOCGIFFLAGS, &request) != 0) {
    return Error(ErrorCode::kNotFound, "no such interface");
  }
  request.ifr_flags = static_cast<int16_t>(request.ifr_flags | IFF_UP);
  if (ioctl(socket_, SIOCSIFFLAGS, &request) != 0) {
    return Error(ErrorCode::kPermissionDenied, "cannot bring the interface up");
  }
  return Ok();
}

}  // namespace gh::board
