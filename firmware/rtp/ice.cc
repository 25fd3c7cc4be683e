#include "firmware/rtp/ice.h"

#include <algorithm>

#include "firmware/turn/stun.h"
#include "hal/rt/bytes.h"

namespace gh::rtp {
namespace {

constexpr uint16_t kUnauthenticated = 401;
constexpr uint16_t kUnknownAttribute = 420;

template <uint32_t N>
void DrawText(crypto::Random& random, FixedString<N>& out) {
  // ice-char (RFC 8839 5.4): 64 of them.
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  static_assert(kAlphabet.size() == 64);
  uint8_t bytes[N];
  random.Fill(bytes);
  out.Clear();
  for (const uint8_t byte : bytes) {
    out.Append(kAlphabet[byte & 63]);
  }
}

// RFC 8445 7.3.1.1. True: both have the same role.
bool IsConflict(const turn::Message& message, const IceRole& role) {
  return message.Has(role.is_controlling ? kIceControlling : kIceControlled);
}

// Of a conflict: whether it is we who change.
bool IsOursToSwitch(const turn::Message& message, const IceRole& role) {
  const auto value = message.Value(role.is_controlling ? kIceControlling : kIceControlled);
  if (role.is_lite || value.size() != 8) {
    return false;
  }
  uint64_t theirs = 0;
  for (const uint8_t byte : value) {
    theirs = theirs << 8 | byte;
  }
  // The larger one controls.
  return role.is_controlling ? role.tie_breaker < theirs : role.tie_breaker >= theirs;
}

}  // namespace

void IceCredentials::Draw(crypto::Random& random) {
  DrawText(random, user);
  DrawText(random, password);
}

IceCheck AnswerCheck(const IceCredentials& own, std::span<const uint8_t> datagram,
                     const net::Endpoint& remote, std::span<uint8_t> out, const IceRole& role) {
  IceCheck check;
  const auto message = turn::Message::Parse(datagram);
  if (!message.ok() || message->cls() != turn::Class::kRequest ||
      message->method() != turn::Method::kBinding || !own.is_set()) {
    return check;
  }
  const std::string_view name = message->Text(turn::kUserName);
  const std::string_view user = own.user.view();
  if (name.size() <= user.size() || !name.starts_with(user) || name[user.size()] != ':') {
    return check;  // of an older generation, or a stranger's: no answer tells it more
  }
  const auto key = AsBytes(own.password.view());
  const bool is_authentic = message->IsAuthentic(key);
  const auto is_known = [](uint16_t type) { return type == kPriority || type == kUseCandidate; };
  const bool is_conflict = IsConflict(*message, role);
  check.switches_role = is_authentic && is_conflict && IsOursToSwitch(*message, role);
  const uint16_t error = !is_authentic                                        ? kUnauthenticated
                         : !std::ranges::all_of(message->unknown(), is_known) ? kUnknownAttribute
                         : is_conflict && !check.switches_role                ? kRoleConflict
                                                                              : uint16_t{0};
  turn::Builder answer(out, error != 0 ? turn::Class::kError : turn::Class::kSuccess,
                       turn::Method::kBinding, message->transaction());
  if (error != 0) {
    answer.Error(error);
  } else {
    answer.XorAddress(turn::kXorMappedAddress, remote);
  }
  if (is_authentic) {
    answer.Sign(message->integrity(), key);
  }
  answer.Fingerprint();
  check.kind = error != 0 ? IceCheck::Kind::kRefused : IceCheck::Kind::kGood;
  check.is_nominated =
      std::ranges::find(message->unknown(), kUseCandidate) != message->unknown().end();
  check.priority = message->U32(kPriority).value_or(0);
  check.peer = name.substr(user.size() + 1);
  check.answer = answer.Finish();
  return check;
}

}  // namespace gh::rtp
