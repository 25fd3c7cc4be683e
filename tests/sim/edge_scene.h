// The scene of the appliance's simulation tests: one Gatehouse, two phones, a syslog server.
#pragma once

#include <memory>
#include <string>

#include "board/sim/appliance_program.h"
#include "board/sim/machine.h"
#include "tests/sim/sip_phone.h"

namespace gh::sim {

inline constexpr Ipv4 kEdge = {10, 77, 0, 2};
inline constexpr const char* kProvision =
    "xConfiguration System Name: edge1\n"
    "xConfiguration Network Port 1 IPv4 Mode: Static\n"
    "xConfiguration Network Port 1 IPv4 Address: 10.77.0.2\n"
    "xConfiguration Network Port 1 IPv4 PrefixLength: 24\n"
    "xConfiguration SIP Domain 1 Name: example.com\n"
    "xConfiguration Authentication User 1 Name: alice\n"
    "xConfiguration Authentication User 1 Password: a-Secret-1\n"
    "xConfiguration Authentication User 2 Name: bob\n"
    "xConfiguration Authentication User 2 Password: b-Secret-2\n"
    "xConfiguration Administrator 1 Name: admin\n"
    "xConfiguration Administrator 1 Password: Gate-house-42\n"
    "xConfiguration Syslog Server 1 Address: 10.77.0.21\n"
    "xConfiguration Syslog Server 1 Port: 514\n"
    "xConfiguration Syslog Server 1 Transport: UDP\n";

struct EdgeScene {
  explicit EdgeScene(uint64_t seed, const LinkQuality& quality = {}, bool power_on = true)
      : world(seed),
        network(world, "lan"),
        edge(world, {.arena_bytes = uint64_t{128} << 20, .provision = kProvision},
             MakeAppliance({.profile = "small"})),
        alice(world, network, PhoneFor("alice", "a-Secret-1", 11, quality)),
        bob(world, network, PhoneFor("bob", "b-Secret-2", 12, quality)),
        log(world, network, "log", {10, 77, 0, 21}, 514) {
    edge.Plug(0, network, quality);
    bob.options().use_sha256 = true;
    if (power_on) {
      edge.PowerOn();
      world.RunFor(Duration::Seconds(2));
    }
  }

  static PhoneOptions PhoneFor(std::string user, std::string password, uint8_t last,
                               const LinkQuality& quality) {
    return {.user = std::move(user),
            .password = std::move(password),
            .address = {10, 77, 0, last},
            .proxy = {kEdge, 5060},
            .quality = quality};
  }

  bool BothRegister(Duration limit = Duration::Seconds(40)) {
    alice.StartRegistering();
    bob.StartRegistering();
    return world.RunUntil([&] { return alice.registered() && bob.registered(); }, limit);
  }
  bool CallIsUp(Duration limit = Duration::Seconds(60)) {
    return world.RunUntil(
        [&] {
          return alice.call_state() == CallState::kConfirmed &&
                 bob.call_state() == CallState::kConfirmed;
        },
        limit);
  }
  bool CallIsOver(Duration limit = Duration::Seconds(60)) {
    return world.RunUntil(
        [&] {
          return alice.call_state() == CallState::kEnded && bob.call_state() == CallState::kEnded;
        },
        limit);
  }
  std::string Failures() const {
    std::string all;
    for (const std::string& failure : world.failures()) {
      all += failure + "\n";
    }
    return all;
  }

  World world;
  Switch network;
  SimMachine edge;
  SipPhone alice;
  SipPhone bob;
  UdpSink log;
};

}  // namespace gh::sim
