// A scripted SIP phone for simulations: registers with digest authentication and keeps the
// registration fresh, makes, answers, cancels and ends one call at a time, sends and receives
// MESSAGE. Timers as RFC 3261 has them over UDP. Shares no code with the product.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "board/sim/random.h"
#include "tests/sim/sip_text.h"
#include "tests/sim/udp_host.h"

namespace gh::sim {

enum class OnInvite : uint8_t { kAnswer, kBusy, kOnlyRing };
enum class CallState : uint8_t {
  kIdle,       // no call yet, or since Forget()
  kCalling,    // INVITE sent
  kRinging,    // 180 received, or sent
  kConfirmed,  // 200 and ACK: media would flow
  kEnded,      // call_status() says how
};

struct PhoneOptions {
  std::string user = "";
  std::string password = "";
  std::string domain = "example.com";
  Ipv4 address = {};
  UdpPeer proxy = {};
  LinkQuality quality = {};
  bool use_sha256 = false;
  uint32_t expires_s = 300;
  Duration refresh = Duration::Seconds(60);
  OnInvite on_invite = OnInvite::kAnswer;
  Duration ring_time = Duration::Milliseconds(300);
};

class SipPhone final : public UdpHost {
 public:
  SipPhone(World& world, Switch& network, const PhoneOptions& options);

  // Registers now and again every `refresh`, and after a failure `refresh` later.
  void StartRegistering();
  void StopRegistering() { refreshing_ = false; }
  void Unregister();
  bool registered() const { return world_.now() < registered_until_; }
  uint64_t register_ok_count() const { return register_ok_count_; }
  uint64_t register_failed_count() const { return register_failed_count_; }
  int register_status() const { return register_status_; }
  size_t contact_count() const { return contact_count_; }  // in the latest 200

  void Call(std::string_view user);
  void Cancel();  // the outgoing call, before it is answered
  void Hangup();
  void Forget();  // back to kIdle, whatever there was
  CallState call_state() const { return state_; }
  int call_status() const { return call_status_; }  // final status of the INVITE; 200 after BYE
  bool ended_by_peer() const { return ended_by_peer_; }
  const std::string& remote_sdp() const { return remote_sdp_; }

  void SendMessage(std::string_view user, std::string_view text);
  int message_status() const { return message_status_; }  // 0 while pending
  const std::vector<std::string>& messages() const { return messages_; }

  uint64_t retransmission_count() const { return retransmission_count_; }
  uint64_t timeout_count() const { return timeout_count_; }
  uint64_t malformed_count() const { return malformed_count_; }
  PhoneOptions& options() { return options_; }

 private:
  static constexpr Duration kT1 = Duration::Milliseconds(500);
  static constexpr Duration kT2 = Duration::Seconds(4);
  static constexpr Duration kGiveUp = Duration::Milliseconds(500 * 64);

  using OnFinal = std::function<void(const SipText& response)>;

  struct Client {
    SipText request;
    UdpPeer to;
    OnFinal on_final;
    Duration interval = kT1;
    Instant give_up;
    bool provisional = false;
    bool completed = false;
    int challenge_count = 0;
  };
  struct Server {
    UdpPeer peer;
    std::string response;  // the latest, for retransmissions
    int status = 0;
    bool acked = false;
  };
  struct Dialog {
    std::string call_id;
    std::string local;   // From or To value with our tag
    std::string remote;  // with theirs
    std::string target;  // remote URI
    std::vector<std::string> route;
    uint32_t cseq = 1;
    bool established = false;
  };

  // Building.
  std::string Token(std::string_view prefix);
  std::string OwnUri() const;
  std::string OwnContact() const;
  std::string Sdp() const;
  SipText NewRequest(std::string_view method, std::string_view uri, std::string_view to);
  SipText DialogRequest(std::string_view method);
  UdpPeer NextHop(const SipText& request) const;
  std::string Credentials(const SipText& request, const SipText& challenge, bool proxy) const;

  // Client side.
  std::string SendRequest(SipText request, OnFinal on_final, int challenge_count = 0);
  void Retransmit(const std::string& branch);
  void OnResponse(const SipText& response);
  bool AnswerChallenge(const std::string& branch, const SipText& response);
  void AckRefusal(const Client& client, const SipText& response);
  void OnInviteResponse(const SipText& response);
  void SendAck();
  void SendRegister(uint32_t expires_s);

  // Server side.
  void OnRequest(const UdpPeer& from, const SipText& request);
  void Reply(const UdpPeer& from, const SipText& request, int status, std::string_view reason,
             bool with_contact = false, std::string_view body = "");
  void RepeatRefusal(const std::string& key, Duration interval, Instant give_up);
  void OnInvite(const UdpPeer& from, const SipText& request);
  void OnCancel(const UdpPeer& from, const SipText& request);
  void AnswerInvite(const std::string& call_id);
  void RepeatAnswer(const std::string& call_id, Duration interval, Instant give_up);

  void OnDatagram(const UdpPeer& from, std::string_view data);
  void End(int status, bool by_peer);

  PhoneOptions options_;
  Random random_;
  std::map<std::string, Client> clients_;  // by branch
  std::map<std::string, Server> servers_;  // by branch and method
  std::map<std::string, int> nonce_counts_;

  bool refreshing_ = false;
  Instant registered_until_ = {};
  std::string register_call_id_;
  uint32_t register_cseq_ = 0;
  uint64_t register_ok_count_ = 0;
  uint64_t register_failed_count_ = 0;
  int register_status_ = 0;
  size_t contact_count_ = 0;

  CallState state_ = CallState::kIdle;
  int call_status_ = 0;
  bool outgoing_ = false;
  bool ended_by_peer_ = false;
  bool cancel_wanted_ = false;
  std::string invite_branch_;
  Dialog dialog_;
  SipText invite_;  // incoming, to be answered
  UdpPeer invite_from_;
  std::string ack_;  // for repeated 200s
  UdpPeer ack_to_;
  std::string remote_sdp_;
  std::string local_tag_;
  bool acked_ = false;

  int message_status_ = 0;
  std::vector<std::string> messages_;
  uint64_t retransmission_count_ = 0;
  uint64_t timeout_count_ = 0;
  uint64_t malformed_count_ = 0;
};

}  // namespace gh::sim
