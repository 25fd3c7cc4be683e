// A full ICE agent (RFC 8445) for one stream of one component: RTP and RTCP share it. It pairs our
// candidates with the peer's, asks by checks at a pace, answers the peer's, agrees on one pair, and
// then asks for consent to go on (RFC 7675). Towards a lite peer it is controlling and does all the
// asking.
//
// Ours are two at most: the address of our port (host; a static NAT shows it as another one), and
// one that a TURN server relays for us. A server-reflexive one has the host's base: peers are told
// of it, and it makes no pair of its own (RFC 8445 6.1.2.4). It does no I/O: checks leave by the
// user, time comes by the wheel.
//
// Fault model: datagrams are hostile and come from anybody, candidates are the peer's word. Nothing
// but a check under our password, or an answer under the peer's to a request of ours from where it
// went, changes anything. Candidates, pairs, repetitions and time are bounded.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/random.h"
#include "firmware/rtp/ice.h"
#include "firmware/rtp/limits.h"
#include "firmware/sdp/candidate.h"
#include "firmware/turn/stun.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/timer_wheel.h"
#include "net/address.h"

namespace gh::rtp {

// Which of our candidates something leaves from or came to.
enum class IceLocal : uint8_t { kHost, kRelayed };

class IceUser {
 public:
  virtual void SendIce(uint32_t owner, IceLocal local, const net::Endpoint& to,
                       std::span<const uint8_t> datagram) = 0;
  // Packets go by this pair from now on. `is_agreed`: it was nominated, and not only the first that
  // works.
  virtual void OnIcePair(uint32_t owner, IceLocal local, const net::Endpoint& remote,
                         bool is_agreed) = 0;
  // Nothing works, or the peer does not consent any more: no packet may leave.
  virtual void OnIceFailed(uint32_t owner, const char* why) = 0;

 protected:
  ~IceUser() = default;
};

// What a peer's description says of ICE.
struct IceTerms {
  struct Remote {
    net::Endpoint at;
    uint32_t priority = 0;
    uint32_t foundation = 0;  // a hash
  };
  bool is_set = false;
  bool is_lite = false;
  FixedString<kIceTheirTextMax> user;
  FixedString<kIceTheirTextMax> password;
  std::array<Remote, kIceRemoteMax> remotes = {};
  uint32_t remote_count = 0;
  void Add(const sdp::Candidate& candidate);
  bool IsSameSession(const IceTerms& other) const {
    return user.view() == other.user.view() && password.view() == other.password.view();
  }
};

struct IceParts {
  IceUser& user;
  TimerWheel& timers;
  crypto::Random& random;
};

class IceAgent {
 public:
  enum class State : uint8_t { kIdle, kChecking, kAgreed, kFailed };

  IceAgent() = default;
  IceAgent(const IceAgent&) = delete;
  IceAgent& operator=(const IceAgent&) = delete;

  // Draws credentials. `owner` is given back with what is told.
  void Begin(const IceParts& parts, uint32_t owner, const net::Endpoint& host);
  // What a TURN server relays for us; a port of 0: nothing any more.
  void SetRelayed(const net::Endpoint& relayed);
  // Before an offer of ours that begins anew, or the answer to such a one.
  void DrawCredentials() { own_.Draw(parts_->random); }
  // Both descriptions are known: checks begin, or anew where the peer's user fragment is another.
  // `we_offered`: the offer was ours, and so is the control of it (RFC 8445 6.1.1).
  void Start(const IceTerms& terms, bool we_offered, uint32_t streams);
  void Stop();

  // A STUN message that came to one of our candidates.
  enum class Outcome : uint8_t { kTaken, kStranger, kRefused };
  Outcome Take(IceLocal local, const net::Endpoint& remote, std::span<const uint8_t> datagram);

  State state() const { return state_; }
  bool is_started() const { return state_ != State::kIdle; }
  bool is_controlling() const { return is_controlling_; }
  const IceCredentials& own() const { return own_; }
  const IceTerms& terms() const { return terms_; }
  uint32_t pair_count() const { return pair_count_; }
  std::string_view peer_user() const { return terms_.user.view(); }

 private:
  enum class PairState : uint8_t { kFrozen, kWaiting, kAsking, kGood, kFailed };
  struct Pair {
    uint64_t priority = 0;
    Instant due;  // kAsking: of the next repetition, or of giving up
    turn::TransactionId transaction = {};
    PairState state = PairState::kFrozen;
    IceLocal local = IceLocal::kHost;
    uint8_t remote = 0;  // in terms_.remotes
    uint8_t sends = 0;   // of the check in hand
    bool is_triggered = false;
    bool nominates = false;     // we control: the check in hand says USE-CANDIDATE
    bool is_nominated = false;  // the peer has said so, it holds once the pair is good
  };
  static constexpr uint8_t kNone = UINT8_MAX;

  std::span<Pair> pairs() { return std::span(pairs_).first(pair_count_); }
  std::span<const Pair> pairs() const { return std::span(pairs_).first(pair_count_); }
  net::Endpoint RemoteOf(const Pair& pair) const { return terms_.remotes[pair.remote].at; }
  uint64_t PriorityOf(IceLocal local, uint32_t remote_priority) const;
  uint32_t LocalPriority(IceLocal local, bool as_peer_reflexive) const;
  void FormPairs();
  uint8_t AddPair(IceLocal local, uint8_t remote);
  void Unfreeze(const Pair& good);
  void SetRole(bool is_controlling);
  uint8_t FindRemote(const net::Endpoint& remote) const;
  uint8_t LearnRemote(const net::Endpoint& remote, uint32_t priority);
  uint8_t FindPair(IceLocal local, const net::Endpoint& remote) const;
  void OnRequest(IceLocal local, const net::Endpoint& remote, const IceCheck& check);
  Outcome TakeAnswer(IceLocal local, const net::Endpoint& remote, const turn::Message& answer);
  void OnGood(uint8_t index);
  void OnConflict(uint8_t index, bool was_controlling);
  void Nominate(uint8_t index);
  void Agree(uint8_t index);
  void Conclude();
  uint8_t NextPair();
  void Ask(Pair& pair);
  void Send(Pair& pair);
  void SendRequest(const Pair& pair, const turn::TransactionId& transaction, bool nominates);
  void AskConsent();
  void OnTimer();
  void Arm();
  void Fail(const char* why);
  bool IsAnyOpen() const;

  const IceParts* parts_ = nullptr;
  uint32_t owner_ = 0;
  uint32_t streams_ = 1;
  State state_ = State::kIdle;
  bool is_controlling_ = false;
  bool has_good_ = false;
  bool has_failed_ = false;  // it was told
  uint8_t selected_ = kNone;
  uint8_t provisional_ = kNone;
  uint64_t tie_breaker_ = 0;
  net::Endpoint host_;
  net::Endpoint relayed_;  // port 0: none
  IceCredentials own_;
  IceTerms terms_;
  std::array<Pair, kIcePairMax> pairs_ = {};
  uint32_t pair_count_ = 0;
  Instant began_;
  Instant next_ask_;
  Instant first_good_;
  Instant heard_;    // of the last check on the pair in use
  Instant consent_;  // until then
  turn::TransactionId consent_transaction_ = {};
  Timer timer_;
};

}  // namespace gh::rtp
