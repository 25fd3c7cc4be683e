// ICE lite (RFC 8445 2.5): the answers to connectivity checks at one of our ports, which has one
// candidate. Pure functions over bytes; whoever owns the port decides what a good check means.
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
  std::string_view peer;              // its user fragment; into the datagram
  std::span<const uint8_t> answer{};  // into `out`
};

// RFC 7983: STUN, by a datagram's first byte.
constexpr bool IsStun(uint8_t first) { return first < 4; }

// `out`: kIceAnswerMax bytes.
IceCheck AnswerCheck(const IceCredentials& own, std::span<const uint8_t> datagram,
                     const net::Endpoint& remote, std::span<uint8_t> out);

}  // namespace gh::rtp
