// A minimal IPv4 host on a simulated switch: ARP, ICMP echo, UDP with checksums. Independent of the
// product's stack on purpose.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "board/sim/network.h"
#include "board/sim/world.h"

namespace gh::sim {

using Ipv4 = std::array<uint8_t, 4>;

std::string ToText(const Ipv4& address);
bool ParseIpv4(std::string_view text, Ipv4& out);

struct UdpPeer {
  Ipv4 address = {};
  uint16_t port = 0;
  friend bool operator==(const UdpPeer&, const UdpPeer&) = default;
};

class UdpHost : public Station {
 public:
  using Handler = std::function<void(const UdpPeer& from, std::string_view data)>;

  UdpHost(World& world, Switch& network, std::string name, const Ipv4& address,
          const LinkQuality& quality = {});
  UdpHost(const UdpHost&) = delete;
  UdpHost& operator=(const UdpHost&) = delete;

  void Bind(uint16_t port, Handler handler) { handlers_[port] = std::move(handler); }
  void SendUdp(uint16_t from_port, const UdpPeer& to, std::string_view data);
  // Counts in echo_replies().
  void Ping(const Ipv4& to);

  const Ipv4& address() const { return address_; }
  uint32_t cable() const { return cable_; }
  Switch& network() { return network_; }
  uint64_t bad_checksum_count() const { return bad_checksum_count_; }
  uint64_t echo_reply_count() const { return echo_reply_count_; }
  uint64_t unreachable_count() const { return unreachable_count_; }  // ARP gave up

 protected:
  ~UdpHost() = default;
  World& world_;
  std::string name_;

 private:
  static constexpr int kArpTries = 4;
  struct Resolving {
    std::vector<std::vector<uint8_t>> waiting;
    int tries = 0;
  };
  using Mac = std::array<uint8_t, 6>;

  void OnFrame(std::span<const uint8_t> frame) override;
  void OnArp(std::span<const uint8_t> packet);
  void OnIp(std::span<const uint8_t> packet);
  void OnIcmp(const Ipv4& from, std::span<const uint8_t> message);
  void OnUdp(const Ipv4& from, std::span<const uint8_t> datagram, std::span<const uint8_t> ip);
  void SendIp(const Ipv4& to, uint8_t protocol, std::vector<uint8_t> payload);
  void SendArp(uint8_t operation, const Mac& to, const Ipv4& target);
  void AskFor(const Ipv4& address);
  void SendFrame(const Mac& to, uint16_t type, std::span<const uint8_t> payload);

  Switch& network_;
  Ipv4 address_;
  Mac mac_;
  uint32_t cable_;
  uint16_t identification_ = 0;
  std::map<uint16_t, Handler> handlers_;
  std::map<Ipv4, Mac> neighbours_;
  std::map<Ipv4, Resolving> resolving_;
  uint64_t bad_checksum_count_ = 0;
  uint64_t echo_reply_count_ = 0;
  uint64_t unreachable_count_ = 0;
};

// A host that only listens, e.g. a syslog server.
class UdpSink final : public UdpHost {
 public:
  UdpSink(World& world, Switch& network, std::string name, const Ipv4& address, uint16_t port)
      : UdpHost(world, network, std::move(name), address) {
    Bind(port, [this](const UdpPeer&, std::string_view data) { lines_.emplace_back(data); });
  }
  const std::vector<std::string>& lines() const { return lines_; }
  bool Has(std::string_view text) const {
    for (const std::string& line : lines_) {
      if (line.find(text) != line.npos) {
        return true;
      }
    }
    return false;
  }

 private:
  std::vector<std::string> lines_;
};

}  // namespace gh::sim
