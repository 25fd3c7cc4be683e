#include "board/host/tap_port.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "board/host/offload.h"
#include "board/host/text.h"

namespace gh::board {
namespace {

constexpr size_t kHeaderBytes = sizeof(VirtioNetHeader);

}  // namespace

Result<int> OpenTap(const PortOptions& options) {
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    return Error(ErrorCode::kNoDevice, "cannot open /dev/net/tun (is the tun module there?)");
  }
  ifreq request = {};
  CopyText(request.ifr_name, options.interface);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (ioctl(fd, TUNSETIFF, &request) != 0) {
    const bool denied = errno == EPERM;
    const bool busy = errno == EBUSY;
    close(fd);
    if (denied) {
      return Error(ErrorCode::kPermissionDenied,
                   "no permission to make a TAP interface (CAP_NET_ADMIN; try `unshare -rn`)");
    }
    return busy ? Error(ErrorCode::kAlreadyExists, "another process holds this TAP interface")
                : Error(ErrorCode::kIoError, "this is not a TAP interface we can use");
  }
  int header_bytes = kHeaderBytes;
  if (ioctl(fd, TUNSETVNETHDRSZ, &header_bytes) != 0 || ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM) != 0) {
    close(fd);
    return Error(ErrorCode::kUnsupported, "this kernel's TAP lacks the virtio header");
  }
  return fd;
}

hal::MacAddress DeriveMac(const char* interface) {
  char host[64] = {};
  (void)gethostname(host, sizeof(host) - 1);
  uint64_t hash = 0xcbf29ce484222325;
  for (const char* text : {static_cast<const char*>(host), interface}) {
    for (const char* c = text; *c != '\0'; ++c) {
      hash = (hash ^ static_cast<uint8_t>(*c)) * 0x100000001b3;
    }
    hash = (hash ^ 0xff) * 0x100000001b3;
  }
  hal::MacAddress mac = {0x02};
  for (size_t i = 1; i < mac.size(); ++i) {
    mac[i] = static_cast<uint8_t>(hash >> (i * 8));
  }
  return mac;
}

Result<void> TapPort::Start(const PortOptions& options, hal::Clock& clock) {
  GH_TRY(link_.Open(options.interface, clock));
  mac_ = options.has_mac ? options.mac : DeriveMac(options.interface);
  return Ok();
}

int16_t TapPort::poll_events() const { return POLLIN; }

int TapPort::ReadOne(hal::Frame& frame) {
  uint8_t* target = frame.data() - kHeaderBytes;
  const size_t room = kHeaderBytes + frame.tailroom();
  const ssize_t got = read(fd_, target, room);
  if (got < 0) {
    if (errno == EBADFD || errno == EFAULT) {
      fd_ = -1;  // the interface was deleted under us: the link is down for good
    }
    return 0;
  }
  const auto size = static_cast<size_t>(got);
  VirtioNetHeader header;
  if (size < kHeaderBytes + 14 || size == room) {
    ++counters_.rx_dropped;
    return -1;
  }
  std::memcpy(&header, target, kHeaderBytes);
  frame.size = static_cast<uint16_t>(size - kHeaderBytes);
  frame.port_index = port_index_;
  if (header.gso_type != kVirtioGsoNone || !AcceptReceived(frame, header)) {
    ++counters_.rx_dropped;
    frame.size = 0;
    return -1;
  }
  return 1;
}

// The pool is empty: take a packet off the interface all the same, or the descriptor would stay
// ready and the machine would spin instead of sleeping.
bool TapPort::DropOne() {
  uint8_t scratch[64];
  if (read(fd_, scratch, sizeof(scratch)) < 0) {
    return false;
  }
  ++counters_.rx_dropped;
  return true;
}

uint32_t TapPort::Receive(std::span<hal::Frame*> out) {
  uint32_t count = 0;
  hal::Frame* frame = nullptr;
  for (size_t tries = 0; count < out.size() && tries < out.size() && fd_ >= 0; ++tries) {
    frame = frame != nullptr ? frame : pool_->Allocate();
    if (frame == nullptr) {
      if (!DropOne()) {
        break;
      }
      continue;
    }
    const int taken = ReadOne(*frame);
    if (taken == 0) {
      break;
    }
    if (taken > 0) {
      ++counters_.rx_frames;
      counters_.rx_bytes += frame->size;
      out[count++] = frame;
      frame = nullptr;
    }
  }
  if (frame != nullptr) {
    pool_->Release(frame);
  }
  return count;
}

void TapPort::Send(hal::Frame& frame) {
  VirtioNetHeader header = HeaderFor(frame);
  iovec parts[2] = {{&header, kHeaderBytes}, {frame.data(), frame.size}};
  if (fd_ >= 0 && writev(fd_, parts, 2) == static_cast<ssize_t>(kHeaderBytes + frame.size)) {
    ++counters_.tx_frames;
    counters_.tx_bytes += frame.size;
  } else {
    ++counters_.tx_dropped;
  }
}

void TapPort::Transmit(std::span<hal::Frame* const> frames) {
  for (hal::Frame* frame : frames) {
    Send(*frame);
    pool_->Release(frame);
  }
}

}  // namespace gh::board
