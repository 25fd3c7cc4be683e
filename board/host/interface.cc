#include "board/host/interface.h"

#include "board/host/text.h"

#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
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

bool LinkState::CutsUdp() const {
  constexpr uint32_t kFeaturesMax = 128;
  alignas(ethtool_gstrings)
      uint8_t names[sizeof(ethtool_gstrings) + kFeaturesMax * ETH_GSTRING_LEN] = {};
  auto* strings = reinterpret_cast<ethtool_gstrings*>(names);
  strings->cmd = ETHTOOL_GSTRINGS;
  strings->string_set = ETH_SS_FEATURES;
  alignas(ethtool_gfeatures) uint8_t
      states[sizeof(ethtool_gfeatures) + kFeaturesMax / 32 * sizeof(ethtool_get_features_block)];
  auto* features = reinterpret_cast<ethtool_gfeatures*>(states);
  features->cmd = ETHTOOL_GFEATURES;
  features->size = kFeaturesMax / 32;
  ifreq request = RequestFor(name_);
  // The kernel writes as many names as it has, whatever was asked for.
  alignas(ethtool_sset_info) uint8_t count_bytes[sizeof(ethtool_sset_info) + sizeof(uint32_t)] = {};
  auto* set = reinterpret_cast<ethtool_sset_info*>(count_bytes);
  set->cmd = ETHTOOL_GSSET_INFO;
  set->sset_mask = 1ull << ETH_SS_FEATURES;
  request.ifr_data = reinterpret_cast<char*>(count_bytes);
  if (ioctl(socket_, SIOCETHTOOL, &request) != 0 || set->data[0] > kFeaturesMax) {
    return false;
  }
  request.ifr_data = reinterpret_cast<char*>(names);
  if (ioctl(socket_, SIOCETHTOOL, &request) != 0) {
    return false;
  }
  request.ifr_data = reinterpret_cast<char*>(states);
  if (ioctl(socket_, SIOCETHTOOL, &request) != 0) {
    return false;
  }
  for (uint32_t i = 0; i < set->data[0]; ++i) {
    const char* name = reinterpret_cast<const char*>(strings->data) + size_t{i} * ETH_GSTRING_LEN;
    if (std::strncmp(name, "tx-udp-segmentation", ETH_GSTRING_LEN) == 0) {
      return (features->features[i / 32].active >> i % 32 & 1) != 0;
    }
  }
  return false;
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
