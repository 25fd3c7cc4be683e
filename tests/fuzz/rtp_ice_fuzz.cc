// An ICE agent and a client of TURN as sequences: the input says what each of a few steps is: time
// that passes, a description that comes, a check or an answer with the right words or wrong ones, a
// datagram of any kind from anywhere. Whatever comes: no pair is taken but with a place that proved
// the password, checks and timers stay bounded, and all stops when it is told to.
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "crypto/digest.h"
#include "crypto/init.h"
#include "firmware/rtp/ice_agent.h"
#include "firmware/rtp/turn_client.h"
#include "hal/rt/bytes.h"
#include "tests/unit/net/fake_wire.h"

using namespace gh;
using rtp::IceAgent;
using rtp::IceLocal;

namespace {

void Expect(bool holds) {
  if (!holds) {
    std::abort();
  }
}

constexpr std::string_view kTheirUser = "theirs", kTheirPassword = "their-password-of-22-ch";

// Places 0 to 3 belong to who knows the passwords; the others to strangers.
net::Endpoint PlaceOf(uint8_t number) {
  return {net::IpAddress::V4(198, 51, 100, static_cast<uint8_t>(1 + (number & 7))),
          static_cast<uint16_t>(4000 + (number >> 3 & 3))};
}
bool IsPeer(const net::Endpoint& at) { return at.address.bytes[3] <= 4; }

class Scene final : rtp::IceUser, rtp::TurnClientUser {
 public:
  Scene() : entropy_(5), random_(entropy_), timers_(clock_.now) {
    agent_.Begin(ice_, 1, {net::IpAddress::V4(192, 0, 2, 1), 36000});
    server_.at = {net::IpAddress::V4(9, 9, 9, 9), 3478};
    server_.user.Assign("alice");
    server_.password.Assign("secret");
    client_.Begin(turn_, {net::IpAddress::V4(192, 0, 2, 1), 36002});
  }
  ~Scene() {
    agent_.Stop();
    client_.End();
    Expect(timers_.armed_count() == 0);
  }

  void Step(ByteReader& in) {
    const uint8_t what = in.U8();
    const uint8_t more = in.U8();
    sends_ = 0;
    switch (what % 8) {
      case 0:
        Pass(Duration::Milliseconds(more * 20));
        break;
      case 1:
        Describe(in, more);
        break;
      case 2:
        Check(in, more);
        break;
      case 3:
        Answer(in, more);
        break;
      case 4:
        agent_.SetRelayed((more & 1) != 0 ? net::Endpoint{net::IpAddress::V4(9, 9, 9, 9), 24000}
                                          : net::Endpoint{});
        break;
      case 5:
        FromServer(in, more);
        break;
      case 6:
        (more & 1) != 0 ? client_.Send(PlaceOf(more), kWord) : client_.BindChannel(PlaceOf(more));
        break;
      default:
        Any(in, more);
        break;
    }
    Expect(agent_.pair_count() <= rtp::kIcePairMax && sends_ < 400);
  }

 private:
  static constexpr std::array<uint8_t, 3> kWord = {'a', 'b', 'c'};

  void Pass(Duration duration) {
    clock_.now = clock_.now + duration;
    (void)timers_.Advance(clock_.now, 1000);
  }
  void Describe(ByteReader& in, uint8_t flags) {
    rtp::IceTerms terms;
    terms.is_set = true;
    terms.is_lite = (flags & 1) != 0;
    terms.user.Assign(kTheirUser);
    terms.password.Assign(kTheirPassword);
    generation_ += (flags & 4) != 0 ? 1 : 0;
    terms.user.Append(static_cast<char>('a' + generation_ % 26));
    for (uint32_t i = 0; i < (flags >> 3 & 15); ++i) {
      sdp::Candidate candidate;
      candidate.foundation = (flags & 128) != 0 ? "1" : "2";
      candidate.at = PlaceOf(in.U8());
      candidate.priority = 1 + in.U8();
      terms.Add(candidate);
    }
    if (in.ok()) {
      agent_.Start(terms, (flags & 2) != 0, 1 + (flags & 3));
    }
  }
  // One of the peer's, or of somebody who does not know the password.
  void Check(ByteReader& in, uint8_t flags) {
    const net::Endpoint from = PlaceOf(in.U8());
    uint8_t bytes[rtp::kIceRequestMax];
    turn::TransactionId id = {flags, 1, 2};
    turn::Builder request(bytes, turn::Class::kRequest, turn::Method::kBinding, id);
    std::string name(agent_.own().user.view());
    name += ':';
    name += kTheirUser;
    name += static_cast<char>('a' + generation_ % 26);
    request.Text(turn::kUserName, name);
    if ((flags & 1) != 0) {
      request.U32(rtp::kPriority, in.U8());
    }
    const std::array<uint8_t, 8> claim = {in.U8()};
    request.Bytes((flags & 2) != 0 ? rtp::kIceControlling : rtp::kIceControlled, claim);
    if ((flags & 4) != 0) {
      request.Bytes(rtp::kUseCandidate, {});
    }
    request.Sign(turn::Integrity::kSha1,
                 IsPeer(from) ? AsBytes(agent_.own().password.view()) : AsBytes(kTheirPassword));
    request.Fingerprint();
    Give(from, request.Finish(), flags);
  }
  // To the latest request of ours, from where it went or from elsewhere.
  void Answer(ByteReader& in, uint8_t flags) {
    const bool is_straight = (flags & 1) != 0;
    const net::Endpoint from = is_straight ? asked_ : PlaceOf(in.U8());
    uint8_t bytes[rtp::kIceAnswerMax];
    turn::Builder answer(bytes, (flags & 2) != 0 ? turn::Class::kError : turn::Class::kSuccess,
                         turn::Method::kBinding, transaction_);
    if ((flags & 2) != 0) {
      answer.Error((flags & 4) != 0 ? rtp::kRoleConflict : uint16_t{400});
    }
    answer.Sign(turn::Integrity::kSha1,
                IsPeer(from) ? AsBytes(kTheirPassword) : AsBytes(std::string_view("guess")));
    answer.Fingerprint();
    Give(from, answer.Finish(), flags);
  }
  void FromServer(ByteReader& in, uint8_t flags) {
    std::array<uint8_t, 200> bytes = {};
    if ((flags & 1) != 0) {
      turn::Builder answer(bytes, (flags & 2) != 0 ? turn::Class::kError : turn::Class::kSuccess,
                           turn::Method::kAllocate, turn_transaction_);
      if ((flags & 2) != 0) {
        answer.Error((flags & 4) != 0 ? 438 : 401);
        answer.Text(turn::kRealm, "example.com");
        answer.Text(turn::kNonce, "nonce");
      } else {
        answer.XorAddress(turn::kXorRelayedAddress, {net::IpAddress::V4(9, 9, 9, 9), 24000});
        answer.U32(turn::kLifetime, flags);
      }
      const auto key = crypto::Md5::Of("alice:example.com:secret");
      answer.Sign(turn::Integrity::kSha1, key);
      client_.Take(std::span(bytes).first(answer.Finish().size()));
      return;
    }
    const auto raw = in.Take(std::min<size_t>(flags, in.remaining()));
    std::memcpy(bytes.data(), raw.data(), std::min(raw.size(), bytes.size()));
    client_.Take(std::span(bytes).first(std::min(raw.size(), bytes.size())));
  }
  void Any(ByteReader& in, uint8_t size) {
    const auto raw = in.Take(std::min<size_t>(size, in.remaining()));
    Give(PlaceOf(4), raw, size);
  }
  void Give(const net::Endpoint& from, std::span<const uint8_t> datagram, uint8_t flags) {
    (void)agent_.Take((flags & 64) != 0 ? IceLocal::kRelayed : IceLocal::kHost, from, datagram);
  }

  void SendIce(uint32_t owner, IceLocal, const net::Endpoint& to,
               std::span<const uint8_t> datagram) override {
    Expect(owner == 1 && !datagram.empty());
    ++sends_;
    const auto message = turn::Message::Parse(datagram);
    Expect(message.ok());
    if (message->cls() == turn::Class::kRequest) {
      asked_ = to;
      transaction_ = message->transaction();
    }
  }
  void OnIcePair(uint32_t, IceLocal, const net::Endpoint& remote, bool) override {
    Expect(IsPeer(remote));
  }
  void OnIceFailed(uint32_t, const char* why) override { Expect(why != nullptr); }
  void SendTurn(const rtp::TurnClient&, std::span<const uint8_t> datagram) override {
    ++sends_;
    const auto message = turn::Message::Parse(datagram);
    if (message.ok() && message->cls() == turn::Class::kRequest) {
      turn_transaction_ = message->transaction();
    }
  }
  void OnTurnData(rtp::TurnClient& client, const net::Endpoint&, std::span<uint8_t>) override {
    Expect(client.is_ready());
  }
  void OnTurnChannel(rtp::TurnClient& client) override { Expect(client.is_ready()); }
  void OnTurnLost(rtp::TurnClient& client, const char*) override {
    Expect(!client.is_ready() && ++lost_ == 1);
  }

  net::test::FakeClock clock_;
  net::test::SeededEntropy entropy_;
  crypto::Random random_;
  TimerWheel timers_;
  rtp::IceParts ice_{*this, timers_, random_};
  rtp::TurnServer server_;
  rtp::TurnParts turn_{*this, timers_, random_, server_};
  IceAgent agent_;
  rtp::TurnClient client_;
  net::Endpoint asked_;
  turn::TransactionId transaction_ = {};
  turn::TransactionId turn_transaction_ = {};
  uint32_t generation_ = 0;
  uint32_t sends_ = 0;
  int lost_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool is_ready = (crypto::Initialise(), true);
  (void)is_ready;
  Scene scene;
  ByteReader in({data, size});
  for (uint32_t i = 0; i < 200 && in.remaining() >= 2; ++i) {
    scene.Step(in);
  }
  return 0;
}
