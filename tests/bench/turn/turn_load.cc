// Load for a TURN server, ours or a peer's: standard allocations over UDP sockets of the kernel,
// then media at a given rate in both directions, counted and timed as it comes back.
//
//   turn_load SERVER PORT USER PASSWORD LOCAL PEER INTERFACE FIRST_CLIENT_PORT
//
// LOCAL and PEER are IPv4 addresses of INTERFACE. Commands on stdin, one line of JSON each as
// answer: "allocate COUNT", "pretend 1" (media without an allocation),
// "strangers COUNT" (unauthenticated Allocates, bytes in and out),
// "run RATE SECONDS PAYLOAD channel|send" and "quit". Media is injected as prepared frames with
// the checksum left to the device, as a local sender's are, and counted from a capture ring: what
// the generator costs the machine stays small. Fault model: none, it is a tool; it exits on errors.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "crypto/init.h"
#include "crypto/legacy.h"
#include "crypto/mac.h"
#include "firmware/turn/stun.h"

namespace gh::bench {
namespace {

using turn::Builder;
using turn::Class;
using turn::Message;
using turn::Method;

constexpr uint32_t kWindow = 64;  // requests on their way
constexpr uint16_t kPeerPort = 40000;
constexpr uint32_t kBatch = 32;
constexpr uint32_t kVnetSize = 10;
constexpr uint32_t kHeadersSize = 14 + 20 + 8;
constexpr uint64_t kMagic = 0x6768'7475'726e'0000;
constexpr uint32_t kRingBlocks = 64;
constexpr uint32_t kRingBlockSize = 1u << 18;
constexpr uint32_t kSnap = 160;

uint64_t NowNs() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

[[noreturn]] void Die(const std::string& text) {
  std::cerr << "turn_load: " << text << ": " << std::strerror(errno) << "\n";
  std::exit(1);
}

sockaddr_in SocketAddress(uint32_t address_be, uint16_t port) {
  sockaddr_in out = {};
  out.sin_family = AF_INET;
  out.sin_addr.s_addr = address_be;
  out.sin_port = htons(port);
  return out;
}

struct Settings {
  uint32_t server = 0;  // big endian, as all addresses here
  uint16_t port = 0;
  std::string user;
  std::string password;
  uint32_t local = 0;
  uint32_t peer = 0;
  std::string interface;
  uint16_t first_port = 0;
};

enum class Step : uint8_t { kChallenge, kAllocate, kPermit, kBind, kDone };

struct Client {
  int fd = -1;
  Step step = Step::kChallenge;
  std::string realm;
  std::string nonce;
  uint16_t relay_port = 0;
  uint32_t relay_address = 0;
  uint64_t sent_at = 0;
  uint32_t tries = 0;
  uint32_t transaction = 0;
};

// Latencies in quarter powers of two of a nanosecond: 25 % apart at most.
struct Histogram {
  std::array<uint64_t, 256> counts = {};
  uint64_t total = 0;
  static uint32_t Bin(uint64_t ns) {
    if (ns < 16) {
      return static_cast<uint32_t>(ns);
    }
    const auto log = static_cast<uint32_t>(63 - __builtin_clzll(ns));
    return std::min(255u, log * 8 - 16 + static_cast<uint32_t>(ns >> (log - 3) & 7));
  }
  static double Value(uint32_t bin) {
    return bin < 16 ? bin : static_cast<double>(uint64_t{8 + (bin & 7)} << ((bin + 16) / 8 - 3));
  }
  void Add(uint64_t ns) {
    ++counts[Bin(ns)];
    ++total;
  }
  double At(double share) const {
    uint64_t left = static_cast<uint64_t>(share * static_cast<double>(total));
    for (uint32_t i = 0; i < counts.size(); ++i) {
      if (counts[i] > left) {
        return Value(i) / 1000;
      }
      left -= counts[i];
    }
    return 0;
  }
};

class Load {
 public:
  explicit Load(Settings settings) : settings_(std::move(settings)) {
    rlimit limit = {100'000, 100'000};
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    peer_fd_ = BoundSocket(settings_.peer, kPeerPort);
    OpenRing();
    OpenInjector();
  }

  void Allocate(uint32_t count) {
    const int poller = epoll_create1(0);
    const size_t first = clients_.size();
    clients_.resize(first + count);
    const uint64_t start = NowNs();
    size_t next = first;
    size_t busy = 0;
    uint32_t again = 0;
    while (next < clients_.size() || busy > 0) {
      for (; next < clients_.size() && busy < kWindow; ++next, ++busy) {
        Client& client = clients_[next];
        const auto port = static_cast<uint16_t>(settings_.first_port + next);
        client.fd = BoundSocket(settings_.local, port);
        const sockaddr_in to = SocketAddress(settings_.server, settings_.port);
        if (connect(client.fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
          Die("connect");
        }
        epoll_event event = {.events = EPOLLIN, .data = {.u64 = next}};
        (void)epoll_ctl(poller, EPOLL_CTL_ADD, client.fd, &event);
        Ask(client);
      }
      epoll_event events[kWindow];
      const int ready = epoll_wait(poller, events, kWindow, 100);
      for (int i = 0; i < ready; ++i) {
        Client& client = clients_[events[i].data.u64];
        busy -= Answer(client) ? 1 : 0;
        if (client.step == Step::kDone) {
          (void)epoll_ctl(poller, EPOLL_CTL_DEL, client.fd, nullptr);
        }
      }
      for (size_t i = first; i < next && ready == 0; ++i) {
        Client& client = clients_[i];
        if (client.step != Step::kDone && NowNs() - client.sent_at > 500'000'000) {
          if (++client.tries > 12) {
            Die("no answer to an Allocate");
          }
          ++again;
          Ask(client);
        }
      }
    }
    close(poller);
    const double seconds = static_cast<double>(NowNs() - start) / 1e9;
    std::printf("{\"allocations\": %u, \"seconds\": %.6f, \"repeated\": %u}\n", count, seconds,
                again);
  }

  // One client as if it had an allocation, for a forwarder that knows none.
  void Pretend() {
    Client client;
    client.relay_address = settings_.server;
    client.relay_port = 24000;
    clients_.assign(1, client);
    std::printf("{}\n");
  }

  // Allocates with nothing to prove them, each from another port; what was said back is counted.
  void Strangers(uint32_t count) {
    uint64_t out_bytes = 0;
    uint64_t in_bytes = 0;
    uint64_t answers = 0;
    uint8_t buffer[2048];
    for (uint32_t i = 0; i < count; ++i) {
      const int fd = BoundSocket(settings_.local, static_cast<uint16_t>(1024 + i % 64000));
      const sockaddr_in to = SocketAddress(settings_.server, settings_.port);
      Client stranger;
      stranger.transaction = i + 1;
      const size_t size = Compose(stranger, buffer);
      (void)sendto(fd, buffer, size, 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
      out_bytes += size;
      pollfd wait = {.fd = fd, .events = POLLIN, .revents = 0};
      if (poll(&wait, 1, i < 200 ? 20 : 0) > 0) {
        const ssize_t got = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
        in_bytes += got > 0 ? static_cast<uint64_t>(got) : 0;
        answers += got > 0 ? 1 : 0;
      }
      close(fd);
    }
    std::printf("{\"asked\": %u, \"bytes_out\": %lu, \"answers\": %lu, \"bytes_in\": %lu}\n", count,
                out_bytes, answers, in_bytes);
  }

  void Run(uint32_t rate, double seconds, uint32_t payload, bool by_send) {
    PrepareFrames(payload, by_send);
    counting_ = true;
    received_ = 0;
    packets_ = 0;
    payload_ = payload;
    histogram_ = {};
    std::thread counter([this] { Count(); });
    const uint64_t start = NowNs();
    const auto end = start + static_cast<uint64_t>(seconds * 1e9);
    uint64_t sent = 0;
    uint64_t refused = 0;
    for (uint64_t now = start; now < end; now = NowNs()) {
      const uint64_t due = (now - start) * rate / 1'000'000'000;
      if (due <= sent + refused) {
        const timespec nap = {0, 20'000};
        nanosleep(&nap, nullptr);
        continue;
      }
      const auto want = static_cast<uint32_t>(std::min<uint64_t>(due - sent - refused, kBatch));
      const uint32_t done = Inject(want, now);
      sent += done;
      refused += want - done;
    }
    const double took = static_cast<double>(NowNs() - start) / 1e9;
    const timespec drain = {0, 300'000'000};
    nanosleep(&drain, nullptr);
    counting_ = false;
    counter.join();
    std::printf(
        "{\"sent\": %lu, \"received\": %lu, \"packets\": %lu, \"seconds\": %.6f, \"p50_us\": %.1f, "
        "\"p99_us\": %.1f, \"p999_us\": %.1f}\n",
        sent, received_, packets_, took, histogram_.At(0.5), histogram_.At(0.99),
        histogram_.At(0.999));
  }

 private:
  static int BoundSocket(uint32_t address, uint16_t port) {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    const int small = 4096;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    const sockaddr_in at = SocketAddress(address, port);
    if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0) {
      Die("bind to port " + std::to_string(port));
    }
    return fd;
  }

  net::Endpoint PeerEndpoint() const {
    net::Endpoint out;
    out.address.family = net::IpFamily::kIpv4;
    std::memcpy(out.address.bytes.data(), &settings_.peer, 4);
    out.port = kPeerPort;
    return out;
  }

  size_t Compose(const Client& client, std::span<uint8_t> out) const {
    turn::TransactionId id = {};
    std::memcpy(id.data(), &client.transaction, 4);
    const Method method = client.step == Step::kPermit ? Method::kCreatePermission
                          : client.step == Step::kBind ? Method::kChannelBind
                                                       : Method::kAllocate;
    Builder builder(out, Class::kRequest, method, id);
    if (method == Method::kAllocate) {
      builder.U32(turn::kRequestedTransport, 17u << 24);
    } else {
      builder.XorAddress(turn::kXorPeerAddress, PeerEndpoint());
    }
    if (method == Method::kChannelBind) {
      builder.U32(turn::kChannelNumber, 0x4000u << 16);
    }
    if (client.step != Step::kChallenge) {
      builder.Text(turn::kUserName, settings_.user);
      builder.Text(turn::kRealm, client.realm);
      builder.Text(turn::kNonce, client.nonce);
      builder.Sign(turn::Integrity::kSha1,
                   crypto::Md5::Of(settings_.user + ":" + client.realm + ":" + settings_.password));
    }
    return builder.Finish().size();
  }

  void Ask(Client& client) {
    uint8_t out[1024];
    client.transaction = ++transaction_;
    const size_t size = Compose(client, out);
    client.sent_at = NowNs();
    (void)send(client.fd, out, size, 0);
  }

  // True: this client is ready.
  bool Answer(Client& client) {
    uint8_t buffer[2048];
    const ssize_t got = recv(client.fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (got <= 0 || client.step == Step::kDone) {
      return false;
    }
    const auto message = Message::Parse(std::span(buffer).first(static_cast<size_t>(got)));
    if (!message.ok() || std::memcmp(message->transaction().data(), &client.transaction, 4) != 0) {
      return false;
    }
    if (message->cls() == Class::kError && client.step == Step::kChallenge) {
      client.realm = message->Text(turn::kRealm);
      client.nonce = message->Text(turn::kNonce);
      client.step = Step::kAllocate;
      Ask(client);
      return false;
    }
    if (message->cls() != Class::kSuccess) {
      const auto code = message->U32(turn::kErrorCode);
      Die("a request failed with " + std::to_string(code.ok() ? *code & 0x7ff : 0));
    }
    if (client.step == Step::kAllocate) {
      const auto relay = message->XorAddress(turn::kXorRelayedAddress);
      client.relay_port = relay->port;
      std::memcpy(&client.relay_address, relay->address.bytes.data(), 4);
    }
    client.step = static_cast<Step>(static_cast<uint8_t>(client.step) + 1);
    if (client.step == Step::kDone) {
      return true;
    }
    Ask(client);
    return false;
  }

  // --- Media ---------------------------------------------------------------------------------

  void LearnHardware() {
    (void)sendto(peer_fd_, "x", 1, 0, nullptr, 0);
    ifreq request = {};
    std::strncpy(request.ifr_name, settings_.interface.c_str(), IFNAMSIZ - 1);
    if (ioctl(peer_fd_, SIOCGIFHWADDR, &request) != 0) {
      Die("SIOCGIFHWADDR");
    }
    std::memcpy(own_mac_, request.ifr_hwaddr.sa_data, 6);
    std::ifstream table("/proc/net/arp");
    in_addr wanted = {.s_addr = settings_.server};
    char text[32];
    inet_ntop(AF_INET, &wanted, text, sizeof(text));
    for (std::string line; std::getline(table, line);) {
      std::istringstream words(line);
      std::string address, type, flags, mac;
      words >> address >> type >> flags >> mac;
      if (address == text) {
        unsigned m[6];
        (void)std::sscanf(mac.c_str(), "%x:%x:%x:%x:%x:%x", m, m + 1, m + 2, m + 3, m + 4, m + 5);
        std::copy(m, m + 6, server_mac_);
        return;
      }
    }
    Die("the server's neighbour entry is missing");
  }

  struct Frame {
    std::vector<uint8_t> bytes;
    uint32_t stamp_at = 0;
  };

  Frame MakeFrame(uint32_t from, uint16_t from_port, uint32_t to, uint16_t to_port,
                  const std::vector<uint8_t>& data, uint32_t stamp_in_data) const {
    Frame frame;
    frame.bytes.resize(kVnetSize + kHeadersSize + data.size());
    uint8_t* vnet = frame.bytes.data();
    const uint16_t start = 34;
    const uint16_t offset = 6;
    vnet[0] = 1;  // needs checksum
    std::memcpy(vnet + 6, &start, 2);
    std::memcpy(vnet + 8, &offset, 2);
    uint8_t* ether = vnet + kVnetSize;
    std::memcpy(ether, server_mac_, 6);
    std::memcpy(ether + 6, own_mac_, 6);
    ether[12] = 8;
    uint8_t* ip = ether + 14;
    const auto put16 = [](uint8_t* at, size_t value) {
      at[0] = static_cast<uint8_t>(value >> 8);
      at[1] = static_cast<uint8_t>(value);
    };
    ip[0] = 0x45;
    put16(ip + 2, 28 + data.size());
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = 17;
    std::memcpy(ip + 12, &from, 4);
    std::memcpy(ip + 16, &to, 4);
    put16(ip + 10, static_cast<uint16_t>(~Sum(ip, 20, 0)));
    uint8_t* udp = ip + 20;
    put16(udp, from_port);
    put16(udp + 2, to_port);
    put16(udp + 4, 8 + data.size());
    put16(udp + 6, Sum(ip + 12, 8, static_cast<uint32_t>(17 + 8 + data.size())));
    std::copy(data.begin(), data.end(), udp + 8);
    frame.stamp_at = kVnetSize + kHeadersSize + stamp_in_data;
    return frame;
  }

  static uint16_t Sum(const uint8_t* at, size_t size, uint32_t sum) {
    for (size_t i = 0; i < size; i += 2) {
      sum += static_cast<uint32_t>(at[i] << 8 | at[i + 1]);
    }
    while (sum >> 16 != 0) {
      sum = (sum & 0xffff) + (sum >> 16);
    }
    return static_cast<uint16_t>(sum);
  }

  // Up and down in turn, client by client.
  void PrepareFrames(uint32_t payload, bool by_send) {
    LearnHardware();
    frames_.clear();
    std::vector<uint8_t> media(payload, 0x5a);
    std::memcpy(media.data(), &kMagic, 8);
    for (size_t i = 0; i < clients_.size(); ++i) {
      const Client& client = clients_[i];
      std::vector<uint8_t> up;
      if (by_send) {
        std::vector<uint8_t> out(2048);
        Builder builder(out, Class::kIndication, Method::kSend, {});
        builder.XorAddress(turn::kXorPeerAddress, PeerEndpoint());
        builder.Bytes(turn::kData, media);
        const auto bytes = builder.Finish();
        up.assign(bytes.begin(), bytes.end());
      } else {
        up.resize(4 + media.size());
        up[0] = 0x40;
        up[2] = static_cast<uint8_t>(payload >> 8);
        up[3] = static_cast<uint8_t>(payload);
        std::copy(media.begin(), media.end(), up.begin() + 4);
      }
      const auto magic = std::search(up.begin(), up.end(), media.begin(), media.begin() + 8);
      const auto at = static_cast<uint32_t>(magic - up.begin());
      frames_.push_back(MakeFrame(settings_.local, static_cast<uint16_t>(settings_.first_port + i),
                                  settings_.server, settings_.port, up, at + 8));
      frames_.push_back(
          MakeFrame(settings_.peer, kPeerPort, client.relay_address, client.relay_port, media, 8));
    }
    next_frame_ = 0;
  }

  uint32_t Inject(uint32_t count, uint64_t now) {
    mmsghdr messages[kBatch] = {};
    iovec parts[kBatch];
    for (uint32_t i = 0; i < count; ++i) {
      Frame& frame = frames_[next_frame_];
      next_frame_ = next_frame_ + 1 == frames_.size() ? 0 : next_frame_ + 1;
      std::memcpy(frame.bytes.data() + frame.stamp_at, &now, 8);
      parts[i] = {frame.bytes.data(), frame.bytes.size()};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int sent = sendmmsg(inject_fd_, messages, count, 0);
    return sent > 0 ? static_cast<uint32_t>(sent) : 0;
  }

  void OpenInjector() {
    inject_fd_ = socket(AF_PACKET, SOCK_RAW, 0);
    sockaddr_ll at = {};
    at.sll_family = AF_PACKET;
    at.sll_ifindex = static_cast<int>(if_nametoindex(settings_.interface.c_str()));
    const int on = 1;
    if (inject_fd_ < 0 ||
        setsockopt(inject_fd_, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) != 0 ||
        setsockopt(inject_fd_, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) != 0 ||
        bind(inject_fd_, reinterpret_cast<sockaddr*>(&at), sizeof(at)) != 0) {
      Die("packet socket");
    }
  }

  void OpenRing() {
    ring_fd_ = socket(AF_PACKET, SOCK_RAW, 0);
    const int version = TPACKET_V3;
    tpacket_req3 request = {};
    request.tp_block_size = kRingBlockSize;
    request.tp_block_nr = kRingBlocks;
    request.tp_frame_size = 2048;
    request.tp_frame_nr = kRingBlocks * (kRingBlockSize / 2048);
    request.tp_retire_blk_tov = 2;
    const int on = 1;
    // UDP over IPv4 from the server, the first bytes alone.
    sock_filter code[] = {{BPF_LD | BPF_H | BPF_ABS, 0, 0, 12},
                          {BPF_JMP | BPF_JEQ | BPF_K, 0, 5, ETH_P_IP},
                          {BPF_LD | BPF_B | BPF_ABS, 0, 0, 23},
                          {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 17},
                          {BPF_LD | BPF_W | BPF_ABS, 0, 0, 26},
                          {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, ntohl(settings_.server)},
                          {BPF_RET | BPF_K, 0, 0, kSnap},
                          {BPF_RET | BPF_K, 0, 0, 0}};
    const sock_fprog filter = {static_cast<unsigned short>(std::size(code)), code};
    sockaddr_ll at = {};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_IP);
    at.sll_ifindex = static_cast<int>(if_nametoindex(settings_.interface.c_str()));
    if (ring_fd_ < 0 ||
        setsockopt(ring_fd_, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) != 0 ||
        setsockopt(ring_fd_, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) != 0 ||
        setsockopt(ring_fd_, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) != 0 ||
        setsockopt(ring_fd_, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) != 0) {
      Die("capture ring");
    }
    ring_ = static_cast<uint8_t*>(mmap(nullptr, size_t{kRingBlocks} * kRingBlockSize,
                                       PROT_READ | PROT_WRITE, MAP_SHARED, ring_fd_, 0));
    if (ring_ == MAP_FAILED || bind(ring_fd_, reinterpret_cast<sockaddr*>(&at), sizeof(at)) != 0) {
      Die("capture ring");
    }
  }

  void Count() {
    while (counting_) {
      auto* block = reinterpret_cast<tpacket_block_desc*>(ring_ + ring_at_ * kRingBlockSize);
      if ((__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) == 0) {
        pollfd wait = {.fd = ring_fd_, .events = POLLIN, .revents = 0};
        (void)poll(&wait, 1, 10);
        continue;
      }
      auto* packet = reinterpret_cast<uint8_t*>(block) + block->hdr.bh1.offset_to_first_pkt;
      for (uint32_t i = 0; i < block->hdr.bh1.num_pkts; ++i) {
        const auto* header = reinterpret_cast<tpacket3_hdr*>(packet);
        CountPacket(packet + header->tp_mac, header->tp_snaplen, header->tp_len,
                    uint64_t{header->tp_sec} * 1'000'000'000 + header->tp_nsec);
        packet += header->tp_next_offset;
      }
      __atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
      ring_at_ = (ring_at_ + 1) % kRingBlocks;
    }
  }

  // Bytes of the datagram at `bytes` as it was sent: bare, behind a channel header, or in a Data
  // indication. What the server sends in one go may arrive as one packet, not yet cut.
  uint32_t DatagramSize(const uint8_t* bytes, uint32_t magic_at) const {
    const uint32_t length = uint32_t{bytes[2]} << 8 | bytes[3];
    return magic_at == 0 ? payload_ : length + (magic_at == 4 ? 4 : 20);
  }

  void CountPacket(const uint8_t* bytes, uint32_t size, uint32_t whole_size, uint64_t arrived_at) {
    static const uint64_t offset = [] {
      timespec real;
      clock_gettime(CLOCK_REALTIME, &real);
      return static_cast<uint64_t>(real.tv_sec) * 1'000'000'000 +
             static_cast<uint64_t>(real.tv_nsec) - NowNs();
    }();
    for (uint32_t at = kHeadersSize; at + 16 <= size; at += 4) {
      uint64_t words[2];
      std::memcpy(words, bytes + at, 16);
      if (words[0] == kMagic) {
        const uint32_t each = DatagramSize(bytes + kHeadersSize, at - kHeadersSize);
        received_ += std::max(1u, (whole_size - kHeadersSize) / each);
        ++packets_;
        histogram_.Add(arrived_at - offset > words[1] ? arrived_at - offset - words[1] : 0);
        return;
      }
    }
  }

  Settings settings_;
  std::vector<Client> clients_;
  uint32_t transaction_ = 0;
  int peer_fd_ = -1;
  int inject_fd_ = -1;
  int ring_fd_ = -1;
  uint8_t* ring_ = nullptr;
  uint32_t ring_at_ = 0;
  uint8_t own_mac_[6] = {};
  uint8_t server_mac_[6] = {};
  std::vector<Frame> frames_;
  size_t next_frame_ = 0;
  std::atomic<bool> counting_ = false;
  uint64_t received_ = 0;  // datagrams
  uint64_t packets_ = 0;   // what they came in
  uint32_t payload_ = 0;
  Histogram histogram_;
};

int Main(int count, char** words) {
  if (count != 9) {
    std::cerr << "turn_load SERVER PORT USER PASSWORD LOCAL PEER INTERFACE FIRST_CLIENT_PORT\n";
    return 2;
  }
  crypto::Initialise();
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  Load load({inet_addr(words[1]), static_cast<uint16_t>(std::atoi(words[2])), words[3], words[4],
             inet_addr(words[5]), inet_addr(words[6]), words[7],
             static_cast<uint16_t>(std::atoi(words[8]))});
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::string verb, kind;
    uint32_t number = 0, payload = 0;
    double seconds = 0;
    in >> verb >> number;
    if (verb == "allocate") {
      load.Allocate(number);
    } else if (verb == "pretend") {
      load.Pretend();
    } else if (verb == "strangers") {
      load.Strangers(number);
    } else if (verb == "run" && in >> seconds >> payload >> kind) {
      load.Run(number, seconds, payload, kind == "send");
    } else {
      break;
    }
  }
  return 0;
}

}  // namespace
}  // namespace gh::bench

int main(int count, char** words) { return gh::bench::Main(count, words); }
