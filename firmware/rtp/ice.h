// The answers to connectivity checks of ICE (RFC 8445 7.3), as a lite agent (2.5) and as a full
// one. Pure functions over bytes; whoever owns the port decides what a good check means.
//
// Fault model: any datagram may come. Only a request that carries our user fragment and verifies
// under our password is answered by success; the password is told to the peer in signalling alone.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/random.h"
#include "firmware/rtp/limits.h"
#include "hal/rt/fixed_string.h"
#include "net/address.h"

namespace gh::rtp {

// What we tell a peer, and it tells us in return.
struct IceCredentials {
  FixedString<kIceUserSize> user;
  FixedString<kIcePasswordSize> password;
  bool is_set() const { return !user.view().empty(); }
  void Draw(crypto::Random& random);
};

struct IceCheck {
  enum class Kind : uint8_t {
    kIgnored,  // not a check of ours
    kRefused,  // answered by an error
    kGood,
  };
  Kind kind = Kind::kIgnored;
  bool is_nominated = false;          // USE-CANDIDATE
  bool switches_role = false;         // the peer has the role we had, and the stronger claim
  uint32_t priority = 0;              // of its candidate, as we may learn it; 0: not said
  std::string_view peer;              // its user fragment; into the datagram
  std::span<const uint8_t> answer{};  // into `out`
};

// RFC 7983: STUN, by a datagram's first byte.
constexpr bool IsStun(uint8_t first) { return first < 4; }

// RFC 8445 16.1. Those below 0x8000 have to be understood.
inline constexpr uint16_t kPriority = 0x0024;
inline constexpr uint16_t kUseCandidate = 0x0025;
inline constexpr uint16_t kIceControlled = 0x8029;
inline constexpr uint16_t kIceControlling = 0x802a;
inline constexpr uint16_t kRoleConflict = 487;

// What we are. A lite agent is always controlled.
struct IceRole {
  bool is_lite = true;
  bool is_controlling = false;
  uint64_t tie_breaker = 0;
};

// `out`: kIceAnswerMax bytes.
IceCheck AnswerCheck(const IceCredentials& own, std::span<const uint8_t> datagram,
                     const net::Endpoint& remote, std::span<uint8_t> out, const IceRole& role = {});

}  // namespace gh::rtp
