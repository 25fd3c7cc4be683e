#include "tests/sim/udp_host.h"

#include <algorithm>
#include <cstdio>

namespace gh::sim {
namespace {

constexpr uint16_t kTypeIp = 0x0800;
constexpr uint16_t kTypeArp = 0x0806;
constexpr uint8_t kIcmp = 1;
constexpr uint8_t kUdp = 17;

uint16_t U16(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}
void PutU16(std::vector<uint8_t>& out, size_t value) {
  out.push_back(static_cast<uint8_t>(value >> 8));
  out.push_back(static_cast<uint8_t>(value));
}
void SetU16(std::vector<uint8_t>& out, size_t at, uint32_t value) {
  out[at] = static_cast<uint8_t>(value >> 8);
  out[at + 1] = static_cast<uint8_t>(value);
}

uint32_t Add(uint32_t sum, std::span<const uint8_t> bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? uint32_t{bytes[i]} << 8 : bytes[i];
  }
  return sum;
}
uint16_t Fold(uint32_t sum) {
  while (sum >> 16 != 0) {
    sum = (sum >> 16) + (sum & 0xffff);
  }
  return static_cast<uint16_t>(sum);
}

Ipv4 AddressAt(std::span<const uint8_t> bytes, size_t at) {
  return {bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]};
}

}  // namespace

std::string ToText(const Ipv4& a) {
  char text[16];
  std::snprintf(text, sizeof(text), "%d.%d.%d.%d", a[0], a[1], a[2], a[3]);
  return text;
}

bool ParseIpv4(std::string_view text, Ipv4& out) {
  unsigned a, b, c, d;
  char rest;
  if (std::sscanf(std::string(text).c_str(), "%3u.%3u.%3u.%3u%c", &a, &b, &c, &d, &rest) != 4 ||
      std::max({a, b, c, d}) > 255) {
    return false;
  }
  out = {static_cast<uint8_t>(a), static_cast<uint8_t>(b), static_cast<uint8_t>(c),
         static_cast<uint8_t>(d)};
  return true;
}

UdpHost::UdpHost(World& world, Switch& network, std::string name, const Ipv4& address,
                 const LinkQuality& quality)
    : world_(world), name_(std::move(name)), network_(network), address_(address) {
  mac_ = {0x02, 0x50, address[0], address[1], address[2], address[3]};
  cable_ = network.Attach(*this, quality);
}

void UdpHost::SendFrame(const Mac& to, uint16_t type, std::span<const uint8_t> payload) {
  std::vector<uint8_t> frame(to.begin(), to.end());
  frame.insert(frame.end(), mac_.begin(), mac_.end());
  PutU16(frame, type);
  frame.insert(frame.end(), payload.begin(), payload.end());
  frame.resize(std::max<size_t>(frame.size(), 60));
  network_.Send(cable_, frame);
}

void UdpHost::SendArp(uint8_t operation, const Mac& to, const Ipv4& target) {
  std::vector<uint8_t> packet = {0, 1, 8, 0, 6, 4, 0, operation};
  packet.insert(packet.end(), mac_.begin(), mac_.end());
  packet.insert(packet.end(), address_.begin(), address_.end());
  const Mac asked = operation == 1 ? Mac{} : to;
  packet.insert(packet.end(), asked.begin(), asked.end());
  packet.insert(packet.end(), target.begin(), target.end());
  SendFrame(to, kTypeArp, packet);
}

void UdpHost::AskFor(const Ipv4& address) {
  Resolving& resolving = resolving_[address];
  if (++resolving.tries > kArpTries) {
    unreachable_count_ += resolving.waiting.size();
    resolving_.erase(address);
    return;
  }
  SendArp(1, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, address);
  world_.After(Duration::Milliseconds(500), "arp again", [this, address] {
    if (resolving_.contains(address)) {
      AskFor(address);
    }
  });
}

void UdpHost::SendIp(const Ipv4& to, uint8_t protocol, std::vector<uint8_t> payload) {
  GH_ASSERT_LE(payload.size(), 1480u);
  std::vector<uint8_t> packet = {0x45, 0};
  PutU16(packet, 20 + payload.size());
  PutU16(packet, ++identification_);
  packet.insert(packet.end(), {0x40, 0, 64, protocol, 0, 0});
  packet.insert(packet.end(), address_.begin(), address_.end());
  packet.insert(packet.end(), to.begin(), to.end());
  SetU16(packet, 10, ~uint32_t{Fold(Add(0, packet))});
  packet.insert(packet.end(), payload.begin(), payload.end());
  const auto known = neighbours_.find(to);
  if (known != neighbours_.end()) {
    SendFrame(known->second, kTypeIp, packet);
    return;
  }
  const bool already_asking = resolving_.contains(to);
  resolving_[to].waiting.push_back(std::move(packet));
  if (!already_asking) {
    AskFor(to);
  }
}

void UdpHost::SendUdp(uint16_t from_port, const UdpPeer& to, std::string_view data) {
  std::vector<uint8_t> datagram;
  PutU16(datagram, from_port);
  PutU16(datagram, to.port);
  PutU16(datagram, 8 + data.size());
  PutU16(datagram, 0);
  datagram.insert(datagram.end(), data.begin(), data.end());
  uint32_t sum = kUdp + static_cast<uint32_t>(datagram.size());
  sum = Add(Add(Add(sum, address_), to.address), datagram);
  const uint16_t checksum = static_cast<uint16_t>(~Fold(sum));
  SetU16(datagram, 6, checksum == 0 ? 0xffff : checksum);
  SendIp(to.address, kUdp, std::move(datagram));
}

void UdpHost::Ping(const Ipv4& to) {
  std::vector<uint8_t> message = {8, 0, 0, 0, 0, 1, 0, 1, 'p', 'i', 'n', 'g'};
  SetU16(message, 2, ~uint32_t{Fold(Add(0, message))});
  SendIp(to, kIcmp, std::move(message));
}

void UdpHost::OnFrame(std::span<const uint8_t> frame) {
  const bool mine = std::equal(mac_.begin(), mac_.end(), frame.begin());
  if (frame.size() < 34 || (!mine && (frame[0] & 1) == 0)) {
    return;
  }
  const uint16_t type = U16(frame, 12);
  if (type == kTypeArp && frame.size() >= 14 + 28) {
    OnArp(frame.subspan(14));
  } else if (type == kTypeIp && mine) {
    OnIp(frame.subspan(14));
  }
}

void UdpHost::OnArp(std::span<const uint8_t> packet) {
  Mac sender;
  std::copy_n(packet.begin() + 8, 6, sender.begin());
  const Ipv4 address = AddressAt(packet, 14);
  if (AddressAt(packet, 24) == address_ || neighbours_.contains(address)) {
    neighbours_[address] = sender;
  }
  if (packet[7] == 1 && AddressAt(packet, 24) == address_) {
    SendArp(2, sender, address);
  }
  const auto asked = resolving_.find(address);
  if (asked != resolving_.end() && neighbours_.contains(address)) {
    const std::vector<std::vector<uint8_t>> waiting = std::move(asked->second.waiting);
    resolving_.erase(asked);
    for (const std::vector<uint8_t>& ip : waiting) {
      SendFrame(sender, kTypeIp, ip);
    }
  }
}

void UdpHost::OnIp(std::span<const uint8_t> packet) {
  const size_t header = (packet[0] & 0xfu) * 4;
  const size_t total = U16(packet, 2);
  const bool whole = packet[0] >> 4 == 4 && header >= 20 && total >= header &&
                     total <= packet.size() && (U16(packet, 6) & 0x3fff) == 0;
  if (!whole || AddressAt(packet, 16) != address_) {
    return;
  }
  if (Fold(Add(0, packet.first(header))) != 0xffff) {
    ++bad_checksum_count_;
    return;
  }
  const auto payload = packet.subspan(header, total - header);
  if (packet[9] == kIcmp && payload.size() >= 8) {
    OnIcmp(AddressAt(packet, 12), payload);
  } else if (packet[9] == kUdp && payload.size() >= 8) {
    OnUdp(AddressAt(packet, 12), payload, packet);
  }
}

void UdpHost::OnIcmp(const Ipv4& from, std::span<const uint8_t> message) {
  if (Fold(Add(0, message)) != 0xffff) {
    ++bad_checksum_count_;
    return;
  }
  if (message[0] == 0) {
    ++echo_reply_count_;
  } else if (message[0] == 8) {
    std::vector<uint8_t> reply(message.begin(), message.end());
    reply[0] = 0;
    SetU16(reply, 2, 0);
    SetU16(reply, 2, ~uint32_t{Fold(Add(0, reply))});
    SendIp(from, kIcmp, std::move(reply));
  }
}

void UdpHost::OnUdp(const Ipv4& from, std::span<const uint8_t> datagram,
                    std::span<const uint8_t> ip) {
  const size_t size = U16(datagram, 4);
  if (size < 8 || size > datagram.size()) {
    return;
  }
  const auto used = datagram.first(size);
  const uint32_t sum = Add(kUdp + static_cast<uint32_t>(size), ip.subspan(12, 8));
  if (U16(used, 6) != 0 && Fold(Add(sum, used)) != 0xffff) {
    ++bad_checksum_count_;
    return;
  }
  const auto handler = handlers_.find(U16(used, 2));
  if (handler != handlers_.end()) {
    const auto data = used.subspan(8);
    handler->second({from, U16(used, 0)},
                    {reinterpret_cast<const char*>(data.data()), data.size()});
  }
}

}  // namespace gh::sim
