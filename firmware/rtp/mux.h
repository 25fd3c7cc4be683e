// Media of a traversal zone on one port (README.md, "Between Core and Edge"): what is said of it in
// descriptions, the frames, and what is held for one stream.
//
// The side that is the traversal server draws a channel number and a password for each stream; the
// client proves by a STUN request that it knows them, which opens the way through its firewall and
// shows the server from where it comes. After that packets pass as ChannelData (RFC 8656 12.4) of
// that number in both directions, RTP and RTCP alike.
//
// Fault model: the words of a description and the datagrams are hostile. What is not understood is
// as if it had not been said; a datagram that is not of a proven stream is dropped.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "firmware/rtp/ice.h"
#include "firmware/rtp/limits.h"
#include "firmware/turn/stun.h"
#include "hal/rt/bytes.h"
#include "hal/rt/hash_table.h"
#include "hal/rt/timer_wheel.h"
#include "net/address.h"

namespace gh::rtp {

class Relay;

// The attribute's value: "1" (the client can), or "1 2776 16384 user password" (the server's).
struct MuxOffer {
  uint16_t port = 0;  // 0: said by a client
  uint16_t channel = 0;
  std::string_view user;
  std::string_view password;
};
// The port where no other is set, of an appliance for so many calls: the first of those a firewall
// between such a pair is open for, 2776 and 2777, or 36000 to 36011 for the large ones.
uint16_t UsualMuxPort(uint32_t calls);

std::optional<MuxOffer> ParseMux(std::string_view value);
void WriteMux(const MuxOffer& offer, ByteWriter& out);

struct MuxKey {
  net::Endpoint remote;
  uint16_t channel = 0;
  friend bool operator==(const MuxKey&, const MuxKey&) = default;
};

// Of one end of a stream that is reached by a shared port.
struct Mux {
  Relay* relay = nullptr;
  uint32_t owner = 0;  // of the relay: stream and end
  bool is_server = false;
  bool is_bound = false;
  uint16_t channel = 0;
  IceCredentials credentials;  // the server's
  // The client's.
  net::Endpoint peer;
  turn::TransactionId transaction = {};
  uint32_t unanswered = 0;
  Timer timer;
  HashNode node;

  void OnTimer();
};

struct MuxTraits {
  using Key = MuxKey;
  static Key KeyOf(const Mux& mux) { return {mux.peer, mux.channel}; }
  static uint64_t HashOf(const SipKey& key, const Key& k);
};

}  // namespace gh::rtp
