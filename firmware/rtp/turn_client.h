// A client of a TURN server (RFC 8656, over UDP): one allocation, whose relayed address is a
// candidate of one stream. It keeps the allocation, the permissions of the peers that are asked and
// the channel of the one that is agreed on alive, one request at a time, until it is let go.
//
// It does no I/O: datagrams leave by the user, from the port that is the allocation's own; time
// comes by the wheel. Long-term credentials are proven by MD5 or, where the server offers it, by
// SHA-256 (RFC 8489 9.2).
//
// Fault model: datagrams are hostile. Once the key is known answers have to bear it; requests are
// repeated a bounded number of times, then the allocation is lost and that is told once.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "crypto/random.h"
#include "firmware/rtp/limits.h"
#include "firmware/turn/stun.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/secret.h"
#include "hal/rt/timer_wheel.h"
#include "net/address.h"

namespace gh::rtp {

struct TurnServer {
  net::Endpoint at;  // port 0: there is none
  FixedString<64> user;
  FixedString<64> password;
  friend bool operator==(const TurnServer& a, const TurnServer& b) {
    return a.at == b.at && a.user == b.user && a.password == b.password;
  }
};

class TurnClient;

class TurnClientUser {
 public:
  virtual void SendTurn(const TurnClient& client, std::span<const uint8_t> datagram) = 0;
  virtual void OnTurnData(TurnClient& client, const net::Endpoint& peer,
                          std::span<uint8_t> data) = 0;
  virtual void OnTurnChannel(TurnClient& client) = 0;  // bound
  // It is of no use any more.
  virtual void OnTurnLost(TurnClient& client, const char* why) = 0;

 protected:
  ~TurnClientUser() = default;
};

struct TurnParts {
  TurnClientUser& user;
  TimerWheel& timers;
  crypto::Random& random;
  const TurnServer& server;
};

class TurnClient {
 public:
  static constexpr uint32_t kNobody = UINT32_MAX;

  TurnClient() = default;
  TurnClient(const TurnClient&) = delete;
  TurnClient& operator=(const TurnClient&) = delete;

  // Asks for an allocation, from our port `local`.
  void Begin(const TurnParts& parts, const net::Endpoint& local);
  // Gives it back, by one word that may be lost.
  void End();
  void Take(std::span<uint8_t> datagram);
  // To a peer; the first datagrams are lost until there is a permission.
  void Send(const net::Endpoint& peer, std::span<const uint8_t> data);
  // What is sent often goes by a channel from now on.
  void BindChannel(const net::Endpoint& peer);

  bool is_ready() const { return relayed_.port != 0; }
  bool is_lost() const { return is_lost_; }
  const net::Endpoint& relayed() const { return relayed_; }
  const net::Endpoint& mapped() const { return mapped_; }  // ours, as the server sees it
  const net::Endpoint& local() const { return local_; }
  const net::Endpoint& server() const { return server_; }
  bool IsBetween(const net::Endpoint& local, const net::Endpoint& remote) const {
    return local == local_ && remote == server_;
  }
  // 0: the peer has none.
  uint16_t ChannelOf(const net::Endpoint& peer) const {
    return is_bound_ && channel_peer_ == peer ? kTurnChannel : uint16_t{0};
  }
  uint32_t owner = kNobody;  // the user's: whose candidate it is

 private:
  enum Need : uint8_t { kNothing = 0, kAllocate = 1, kPermit = 2, kBind = 4, kRefresh = 8 };

  void Want(uint8_t needs);
  void Ask();
  void SendRequest();
  void KeepAlive();
  void Prove(turn::Builder& request);
  void OnTimer();
  void Arm();
  void OnData(const turn::Message& message);
  void OnSuccess(const turn::Message& answer);
  void OnError(const turn::Message& answer);
  bool TakeChallenge(const turn::Message& answer);
  bool IsPermitted(const net::IpAddress& peer);
  std::span<const uint8_t> key() const { return key_.Expose().first(key_size_); }
  void Lose(const char* why);

  const TurnParts* parts_ = nullptr;
  net::Endpoint local_;
  net::Endpoint server_;
  net::Endpoint relayed_;
  net::Endpoint mapped_;
  FixedString<kTurnTextMax> realm_;
  FixedString<kTurnTextMax> nonce_;
  FixedString<16> algorithms_;  // PASSWORD-ALGORITHMS as it came; empty: by MD5
  SecretBytes<32> key_;
  uint32_t key_size_ = 0;  // 0: not known yet
  std::array<net::IpAddress, kTurnPeersMax> peers_ = {};
  uint32_t peer_count_ = 0;
  net::Endpoint channel_peer_;
  bool is_bound_ = false;
  bool is_lost_ = false;
  uint8_t needs_ = kNothing;
  uint8_t in_hand_ = kNothing;
  uint32_t sends_ = 0;
  uint32_t stale_ = 0;
  turn::TransactionId transaction_ = {};
  Instant due_;    // of what is in hand
  Instant renew_;  // of all that lasts for a time
  Instant keep_;   // of a NAT's binding in between
  Timer timer_;
};

}  // namespace gh::rtp
