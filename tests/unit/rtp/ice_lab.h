// Two ICE agents and what is between them: a network without one, whose datagrams a test may drop
// or show from elsewhere, and whose clock is turned.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "crypto/init.h"
#include "firmware/rtp/ice_agent.h"
#include "tests/unit/net/fake_wire.h"
#include "tests/unit/rtp/world.h"

namespace gh::rtp::test {

struct Datagram {
  net::Endpoint from, to;
  Bytes data;
};

class Lab;

class Peer final : public IceUser {
 public:
  Peer(Lab& lab, std::string_view host, std::string_view relayed = "");
  void SendIce(uint32_t owner, IceLocal local, const net::Endpoint& to,
               std::span<const uint8_t> datagram) override;
  void OnIcePair(uint32_t, IceLocal local, const net::Endpoint& remote, bool is_agreed) override {
    at = remote;
    by = local;
    agreed += is_agreed ? 1 : 0;
  }
  void OnIceFailed(uint32_t, const char* why) override { failures.emplace_back(why); }
  IceTerms Terms(bool with_candidates = true) const {
    IceTerms terms;
    terms.is_set = true;
    terms.user.Assign(agent.own().user.view());
    terms.password.Assign(agent.own().password.view());
    if (with_candidates) {
      Add(terms, host, sdp::CandidateType::kHost, "1");
      if (relayed.port != 0) {
        Add(terms, relayed, sdp::CandidateType::kRelayed, "2");
      }
    }
    return terms;
  }
  static void Add(IceTerms& terms, const net::Endpoint& at, sdp::CandidateType type,
                  std::string_view foundation, uint32_t preference = 65535) {
    terms.Add({.foundation = foundation,
               .component = 1,
               .priority = sdp::PriorityOf(type, preference, 1),
               .at = at,
               .type = type,
               .related = {}});
  }

  Lab& lab;
  IceAgent agent;
  net::Endpoint host, relayed;
  net::Endpoint at;
  IceLocal by = IceLocal::kHost;
  int agreed = 0;
  std::vector<std::string> failures;

 private:
  IceParts parts_;
};

class Lab {
 public:
  Lab() : entropy_(11), random(entropy_), timers(clock.now) { crypto::Initialise(); }

  void Run(Duration duration) {
    for (int64_t left = duration.ns / 5'000'000; left > 0; --left) {
      clock.now = clock.now + Duration::Milliseconds(5);
      (void)timers.Advance(clock.now);
      Deliver();
    }
  }
  void Deliver() {
    for (uint32_t i = 0; i < 1000 && !wire.empty(); ++i) {
      Datagram d = wire.front();
      wire.pop_front();
      if (passes && !passes(d)) {
        continue;
      }
      for (Peer* peer : peers) {
        if (d.to == peer->host || (peer->relayed.port != 0 && d.to == peer->relayed)) {
          const bool is_relayed = !(d.to == peer->host);
          outcome =
              peer->agent.Take(is_relayed ? IceLocal::kRelayed : IceLocal::kHost, d.from, d.data);
        }
      }
    }
    EXPECT_TRUE(wire.empty()) << "they never stop";
  }
  // As by an offer of `a` and its answer.
  void Introduce(Peer& a, Peer& b) {
    b.agent.Start(a.Terms(), false, 1);
    a.agent.Start(b.Terms(), true, 1);
  }

  net::test::FakeClock clock;
  net::test::SeededEntropy entropy_;
  crypto::Random random;
  TimerWheel timers;
  std::deque<Datagram> wire;
  std::vector<Datagram> seen;  // all that was sent, before anybody dropped it
  std::vector<Peer*> peers;
  std::function<bool(Datagram&)> passes;
  IceAgent::Outcome outcome = IceAgent::Outcome::kTaken;
};

inline Peer::Peer(Lab& the_lab, std::string_view the_host, std::string_view the_relayed)
    : lab(the_lab), host(At(the_host)), parts_{*this, the_lab.timers, the_lab.random} {
  agent.Begin(parts_, static_cast<uint32_t>(lab.peers.size()), host);
  if (!the_relayed.empty()) {
    relayed = At(the_relayed);
    agent.SetRelayed(relayed);
  }
  lab.peers.push_back(this);
}

inline void Peer::SendIce(uint32_t, IceLocal local, const net::Endpoint& to,
                          std::span<const uint8_t> datagram) {
  const Datagram d{local == IceLocal::kHost ? host : relayed, to,
                   Bytes(datagram.begin(), datagram.end())};
  lab.wire.push_back(d);
  lab.seen.push_back(d);
}

}  // namespace gh::rtp::test
