#include "firmware/rtp/turn_client.h"

#include <algorithm>
#include <bit>

#include "crypto/digest.h"
#include "firmware/turn/long_term_key.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "net/packet.h"

namespace gh::rtp {
namespace {

constexpr uint32_t kUdp = 17u << 24;
constexpr uint32_t kLifetimeSeconds = 600;
constexpr uint16_t kUnauthenticated = 401;
constexpr uint16_t kStaleNonce = 438;
// A server answers a stranger with little more than he sent: this makes room for a whole challenge.
constexpr std::string_view kSoftware = "Gatehouse, media of SIP calls by ICE";
constexpr uint8_t kSha256[4] = {0, 2, 0, 0};  // of PASSWORD-ALGORITHM

uint16_t CodeOf(const turn::Message& answer) {
  const auto value = answer.Value(turn::kErrorCode);
  return value.size() >= 4 ? static_cast<uint16_t>(value[2] * 100 + value[3]) : uint16_t{0};
}

// RFC 8489 14.11: algorithms with their parameters.
bool OffersSha256(std::span<const uint8_t> algorithms) {
  while (algorithms.size() >= 4) {
    const uint32_t size = static_cast<uint32_t>(algorithms[2]) << 8 | algorithms[3];
    if (algorithms[0] == 0 && algorithms[1] == 2 && size == 0) {
      return true;
    }
    algorithms = algorithms.subspan(std::min<size_t>(4 + ((size + 3) & ~3u), algorithms.size()));
  }
  return false;
}

}  // namespace

void TurnClient::Begin(const TurnParts& parts, const net::Endpoint& local) {
  parts_ = &parts;
  local_ = local;
  server_ = parts.server.at;
  timer_.Bind<&TurnClient::OnTimer>(this);
  Want(kAllocate);
}

void TurnClient::End() {
  parts_->timers.Cancel(timer_);
  if (!is_ready() || is_lost_) {
    return;
  }
  parts_->random.Fill(transaction_);
  uint8_t bytes[kTurnRequestMax];
  turn::Builder request(bytes, turn::Class::kRequest, turn::Method::kRefresh, transaction_);
  request.U32(turn::kLifetime, 0);
  Prove(request);
  parts_->user.SendTurn(*this, request.Finish());
  relayed_ = {};
}

void TurnClient::Lose(const char* why) {
  if (is_lost_) {
    return;
  }
  is_lost_ = true;
  is_bound_ = false;
  relayed_ = {};
  needs_ = in_hand_ = kNothing;
  parts_->timers.Cancel(timer_);
  parts_->user.OnTurnLost(*this, why);
}

// --- Requests -----------------------------------------------------------------------------------

void TurnClient::Want(uint8_t needs) {
  if (is_lost_) {
    return;
  }
  needs_ = static_cast<uint8_t>(needs_ | needs);
  if (in_hand_ == kNothing) {
    Ask();
  }
}

// The next one, when there is any.
void TurnClient::Ask() {
  in_hand_ = static_cast<uint8_t>(needs_ & -needs_);  // the lowest bit
  sends_ = 0;
  if (in_hand_ != kNothing) {
    needs_ = static_cast<uint8_t>(needs_ & ~in_hand_);
    parts_->random.Fill(transaction_);
    SendRequest();
  }
  Arm();
}

void TurnClient::Prove(turn::Builder& request) {
  if (key_size_ != 0) {
    request.Text(turn::kUserName, parts_->server.user.view());
    request.Text(turn::kRealm, realm_.view());
    request.Text(turn::kNonce, nonce_.view());
    if (!algorithms_.empty()) {
      request.Text(turn::kPasswordAlgorithms, algorithms_.view());
      request.Bytes(turn::kPasswordAlgorithm, kSha256);
    }
    request.Sign(algorithms_.empty() ? turn::Integrity::kSha1 : turn::Integrity::kSha256, key());
  }
  request.Fingerprint();
}

void TurnClient::SendRequest() {
  ++sends_;
  Duration wait = kTurnRto;
  for (uint32_t i = 1; i < sends_; ++i) {
    wait = wait + wait;
  }
  due_ = parts_->timers.now() + wait;
  const turn::Method method = in_hand_ == kAllocate ? turn::Method::kAllocate
                              : in_hand_ == kPermit ? turn::Method::kCreatePermission
                              : in_hand_ == kBind   ? turn::Method::kChannelBind
                                                    : turn::Method::kRefresh;
  uint8_t bytes[kTurnRequestMax];
  turn::Builder request(bytes, turn::Class::kRequest, method, transaction_);
  switch (in_hand_) {
    case kAllocate:
      request.U32(turn::kRequestedTransport, kUdp);
      request.Text(turn::kSoftware, kSoftware);
      break;
    case kPermit:
      for (const net::IpAddress& peer : std::span(peers_).first(peer_count_)) {
        request.XorAddress(turn::kXorPeerAddress, {peer, 0});
      }
      break;
    case kBind:
      request.U32(turn::kChannelNumber, static_cast<uint32_t>(kTurnChannel) << 16);
      request.XorAddress(turn::kXorPeerAddress, channel_peer_);
      break;
    default:
      request.U32(turn::kLifetime, kLifetimeSeconds);
      break;
  }
  Prove(request);
  parts_->user.SendTurn(*this, request.Finish());
}

void TurnClient::OnTimer() {
  const Instant now = parts_->timers.now();
  if (in_hand_ == kNothing) {
    if (is_ready() && renew_ <= now) {
      renew_ = now + kTurnRenewal;
      Want(static_cast<uint8_t>(kRefresh | (peer_count_ != 0 ? kPermit : 0) |
                                (is_bound_ ? kBind : 0)));
      return;
    }
    if (is_ready() && keep_ <= now) {
      KeepAlive();
    }
  } else if (due_ <= now) {
    if (sends_ == kTurnSendsMax) {
      Lose("the TURN server does not answer");
      return;
    }
    SendRequest();
  }
  Arm();
}

void TurnClient::Arm() {
  if (in_hand_ != kNothing) {
    parts_->timers.Arm(timer_, due_);
  } else if (is_ready()) {
    parts_->timers.Arm(timer_, std::min(renew_, keep_));
  }
}

// RFC 8445 11: nobody answers, what is between us and the server is reminded.
void TurnClient::KeepAlive() {
  keep_ = parts_->timers.now() + kTurnKeepAlive;
  turn::TransactionId id;
  parts_->random.Fill(id);
  uint8_t bytes[32];
  turn::Builder indication(bytes, turn::Class::kIndication, turn::Method::kBinding, id);
  indication.Fingerprint();
  parts_->user.SendTurn(*this, indication.Finish());
}

// --- Peers --------------------------------------------------------------------------------------

bool TurnClient::IsPermitted(const net::IpAddress& peer) {
  const auto known = std::span(peers_).first(peer_count_);
  if (std::ranges::find(known, peer) != known.end()) {
    return true;  // or asked for: what is sent too early is lost
  }
  if (peer_count_ == kTurnPeersMax || !is_ready()) {
    return false;
  }
  peers_[peer_count_++] = peer;
  Want(kPermit);
  return true;
}

void TurnClient::BindChannel(const net::Endpoint& peer) {
  if (is_ready() && IsPermitted(peer.address) && channel_peer_.port == 0) {
    channel_peer_ = peer;  // a number is bound to one peer for good (RFC 8656 12)
    Want(kBind);
  }
}

void TurnClient::Send(const net::Endpoint& peer, std::span<const uint8_t> data) {
  if (!is_ready() || data.size() > kPacketMax || !IsPermitted(peer.address)) {
    return;
  }
  uint8_t bytes[kPacketMax + 64];
  if (const uint16_t channel = ChannelOf(peer); channel != 0) {
    net::StoreBe16(bytes, channel);
    net::StoreBe16(bytes + 2, static_cast<uint16_t>(data.size()));
    std::ranges::copy(data, bytes + turn::kChannelHeaderSize);
    parts_->user.SendTurn(*this, {bytes, data.size() + turn::kChannelHeaderSize});
    return;
  }
  turn::TransactionId id;
  parts_->random.Fill(id);
  turn::Builder indication(bytes, turn::Class::kIndication, turn::Method::kSend, id);
  indication.XorAddress(turn::kXorPeerAddress, peer);
  indication.Bytes(turn::kData, data);
  const auto built = indication.Finish();
  if (!built.empty()) {
    parts_->user.SendTurn(*this, built);
  }
}

// --- What comes ---------------------------------------------------------------------------------

void TurnClient::Take(std::span<uint8_t> datagram) {
  if (turn::IsChannelData(datagram)) {
    const auto frame = turn::ParseChannelData(datagram);
    if (frame.ok() && frame->number == kTurnChannel && channel_peer_.port != 0 && is_ready()) {
      parts_->user.OnTurnData(*this, channel_peer_,
                              datagram.subspan(turn::kChannelHeaderSize, frame->data.size()));
    }
    return;
  }
  const auto message = turn::Message::Parse(datagram);
  if (!message.ok()) {
    return;
  }
  if (message->cls() == turn::Class::kIndication && message->method() == turn::Method::kData) {
    OnData(*message);
    return;
  }
  const bool is_answer =
      message->cls() == turn::Class::kSuccess || message->cls() == turn::Class::kError;
  if (!is_answer || in_hand_ == kNothing || message->transaction() != transaction_) {
    return;
  }
  if (message->cls() == turn::Class::kSuccess) {
    if (key_size_ != 0 && message->IsAuthentic(key())) {
      OnSuccess(*message);
    }
  } else {
    OnError(*message);
  }
}

void TurnClient::OnData(const turn::Message& message) {
  const auto peer = message.XorAddress(turn::kXorPeerAddress);
  const auto data = message.Value(turn::kData);
  if (is_ready() && peer.ok() && !data.empty() && data.size() <= kPacketMax) {
    uint8_t copy[kPacketMax];
    std::ranges::copy(data, copy);
    parts_->user.OnTurnData(*this, *peer, {copy, data.size()});
  }
}

void TurnClient::OnSuccess(const turn::Message& answer) {
  const uint8_t done = in_hand_;
  const Instant now = parts_->timers.now();
  stale_ = 0;
  if (done == kAllocate || done == kRefresh) {
    const uint32_t lifetime = answer.U32(turn::kLifetime).value_or(kLifetimeSeconds);
    const Duration half = Duration::Seconds(std::clamp<int64_t>(lifetime, 20, 3600) / 2);
    renew_ = now + std::min(half, kTurnRenewal);
    keep_ = now + kTurnKeepAlive;
  }
  if (done == kAllocate) {
    relayed_ = answer.XorAddress(turn::kXorRelayedAddress).value_or({});
    mapped_ = answer.XorAddress(turn::kXorMappedAddress).value_or({});
    if (relayed_.port == 0) {
      Lose("the TURN server gives no address");
      return;
    }
  }
  Ask();
  if (done == kBind && !is_bound_) {
    is_bound_ = true;
    parts_->user.OnTurnChannel(*this);
  }
}

// True: the request may be made anew with what the server says.
bool TurnClient::TakeChallenge(const turn::Message& answer) {
  const auto offered = answer.Value(turn::kPasswordAlgorithms);
  const bool fits = realm_.Assign(answer.Text(turn::kRealm)) &&
                    nonce_.Assign(answer.Text(turn::kNonce)) && !nonce_.empty();
  if (!fits) {
    return false;
  }
  const TurnServer& server = parts_->server;
  if (OffersSha256(offered) && algorithms_.Assign(AsText(offered))) {
    key_.Set(turn::LongTermKey<crypto::Sha256>(server.user.view(), realm_.view(),
                                               server.password.view()));
    key_size_ = 32;
    return true;
  }
  algorithms_.Clear();
  const auto md5 =
      turn::LongTermKey<crypto::Md5>(server.user.view(), realm_.view(), server.password.view());
  std::ranges::copy(md5, key_.Expose().begin());
  key_size_ = 16;
  return true;
}

void TurnClient::OnError(const turn::Message& answer) {
  const uint16_t code = CodeOf(answer);
  const bool is_first = code == kUnauthenticated && key_size_ == 0;
  if (is_first || (code == kStaleNonce && ++stale_ <= kTurnStaleMax)) {
    if (TakeChallenge(answer)) {
      needs_ = static_cast<uint8_t>(needs_ | in_hand_);
      Ask();
      return;
    }
  }
  // Nobody but the server may end it: once there is a key an answer has to bear it.
  if (key_size_ != 0 && answer.integrity() != turn::Integrity::kNone &&
      !answer.IsAuthentic(key())) {
    return;
  }
  if (in_hand_ == kPermit || in_hand_ == kBind) {
    Ask();  // that peer is not to be had
    return;
  }
  Lose(code == kUnauthenticated ? "the TURN server does not know us" : "the TURN server refuses");
}

}  // namespace gh::rtp
