#include "firmware/xmpp/scram.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "crypto/digest.h"
#include "crypto/legacy.h"
#include "crypto/mac.h"
#include "firmware/xmpp/address.h"
#include "hal/rt/base64.h"
#include "hal/rt/secret.h"

namespace gh::xmpp {
namespace {

constexpr Error kBad{ErrorCode::kMalformed, "not a message of SCRAM"};
constexpr uint32_t kNonceBytes = 18;
constexpr uint32_t kMessageMax = 1400;

struct Sha256Of {
  static constexpr size_t kSize = 32;
  static std::array<uint8_t, 32> Mac(std::span<const uint8_t> key, std::span<const uint8_t> bytes) {
    return crypto::HmacSha256::Of(key, bytes);
  }
  static std::array<uint8_t, 32> Hash(std::span<const uint8_t> bytes) {
    return crypto::Sha256::Of(bytes);
  }
};

struct Sha1Of {
  static constexpr size_t kSize = 20;
  static std::array<uint8_t, 20> Mac(std::span<const uint8_t> key, std::span<const uint8_t> bytes) {
    return crypto::HmacSha1(key, bytes);
  }
  static std::array<uint8_t, 20> Hash(std::span<const uint8_t> bytes) {
    return crypto::Sha1::Of(bytes);
  }
};

// Hi() of RFC 5802, then what is kept of it.
template <typename Hash>
void Derive(std::string_view password, const Verifier& verifier,
            std::array<uint8_t, Hash::kSize>& stored, std::array<uint8_t, Hash::kSize>& server) {
  std::array<uint8_t, 20> salt = {};
  std::ranges::copy(verifier.salt, salt.begin());
  salt[19] = 1;
  auto u = Hash::Mac(AsBytes(password), salt);
  auto salted = u;
  for (uint32_t i = 1; i < verifier.iterations; ++i) {
    u = Hash::Mac(AsBytes(password), u);
    for (size_t k = 0; k < u.size(); ++k) {
      salted[k] = static_cast<uint8_t>(salted[k] ^ u[k]);
    }
  }
  auto client = Hash::Mac(salted, AsBytes(std::string_view("Client Key")));
  stored = Hash::Hash(client);
  server = Hash::Mac(salted, AsBytes(std::string_view("Server Key")));
  SecureZero(client);
  SecureZero(salted);
  SecureZero(u);
}

// "x=value" off the front, up to the next comma.
bool TakeField(std::string_view& text, char name, std::string_view& value) {
  if (text.size() < 2 || text[0] != name || text[1] != '=') {
    return false;
  }
  const size_t end = std::min(text.find(','), text.size());
  value = text.substr(2, end - 2);
  text.remove_prefix(std::min(end + 1, text.size()));
  return true;
}

// RFC 5802's saslname: =2C and =3D stand for comma and equals sign.
template <uint32_t N>
bool Unescape(std::string_view text, FixedString<N>& out) {
  out.Clear();
  while (!text.empty()) {
    if (text[0] != '=') {
      out.Append(text[0]);
      text.remove_prefix(1);
    } else if (text.starts_with("=2C") || text.starts_with("=3D")) {
      out.Append(text[1] == '2' ? ',' : '=');
      text.remove_prefix(3);
    } else {
      return false;
    }
  }
  return !out.truncated();
}

// Whether the proof is that of the verifier's password.
template <typename Hash>
bool Proves(std::span<const uint8_t> proof, std::span<const uint8_t> stored,
            std::span<const uint8_t> message) {
  if (proof.size() != Hash::kSize) {
    return false;
  }
  auto key = Hash::Mac(stored, message);
  for (size_t i = 0; i < key.size(); ++i) {
    key[i] = static_cast<uint8_t>(key[i] ^ proof[i]);
  }
  const bool same = ConstantTimeEqual(Hash::Hash(key), stored);
  SecureZero(key);
  return same;
}

}  // namespace

bool IsPasswordOf(const Verifier& verifier, std::string_view password) {
  std::array<uint8_t, 32> stored = {};
  std::array<uint8_t, 32> server = {};
  if (password.empty() || password.size() > kPasswordMax) {
    return false;
  }
  Derive<Sha256Of>(password, verifier, stored, server);
  const bool same = ConstantTimeEqual(stored, verifier.stored_sha256);
  SecureZero(stored);
  SecureZero(server);
  return same;
}

Result<Verifier> MakeVerifier(std::string_view password, uint32_t iterations,
                              crypto::Random& random) {
  if (password.empty() || password.size() > kPasswordMax) {
    return Error{ErrorCode::kInvalidArgument, "a password has 1 to 128 bytes"};
  }
  Verifier out;
  random.Fill(out.salt);
  out.iterations = iterations;
  Derive<Sha256Of>(password, out, out.stored_sha256, out.server_sha256);
  Derive<Sha1Of>(password, out, out.stored_sha1, out.server_sha1);
  return out;
}

Result<Verifier> ReadVerifier(std::string_view text) {
  constexpr Error kNone{ErrorCode::kMalformed, "not a verifier of SCRAM-SHA-256"};
  if (!text.starts_with(kVerifierTag)) {
    return kNone;
  }
  text.remove_prefix(kVerifierTag.size());
  const auto take = [&](char end) {
    const size_t size = std::min(text.find(end), text.size());
    const std::string_view field = text.substr(0, size);
    text.remove_prefix(std::min(size + 1, text.size()));
    return field;
  };
  const std::string_view count = take(':');
  const std::string_view parts[] = {take('$'), take(':'), text};
  Verifier out;
  const auto [stop, error] =
      std::from_chars(count.data(), count.data() + count.size(), out.iterations);
  if (error != std::errc() || stop != count.data() + count.size() ||
      out.iterations < kScramIterationsMin || out.iterations > kScramIterationsMax) {
    return kNone;
  }
  const std::span<uint8_t> places[] = {out.salt, out.stored_sha256, out.server_sha256};
  for (size_t i = 0; i < 3; ++i) {
    ByteWriter bytes(places[i]);
    if (!ReadBase64(parts[i], bytes) || bytes.size() != places[i].size()) {
      return kNone;
    }
  }
  return out;
}

void IterationShares::Add(uint32_t iterations) {
  const auto end = shares_.begin() + count_;
  const auto at = std::lower_bound(
      shares_.begin(), end, iterations,
      [](const Share& share, uint32_t number) { return share.iterations < number; });
  if (at != end && at->iterations == iterations) {
    ++at->users;
  } else if (count_ < shares_.size()) {
    std::copy_backward(at, end, end + 1);
    *at = {iterations, 1};
    ++count_;
  }
}

void IterationShares::Remove(uint32_t iterations) {
  const auto end = shares_.begin() + count_;
  const auto at = std::find_if(shares_.begin(), end,
                               [&](const Share& share) { return share.iterations == iterations; });
  if (at != end && --at->users == 0) {
    std::copy(at + 1, end, at);
    --count_;
  }
}

uint32_t IterationShares::At(uint32_t point) const {
  uint64_t users = 0;
  for (const Share& share : std::span(shares_).first(count_)) {
    users += share.users;
  }
  uint64_t left = point * users >> 32;
  for (const Share& share : std::span(shares_).first(count_)) {
    if (left < share.users) {
      return share.iterations;
    }
    left -= share.users;
  }
  return kScramIterations;
}

Verifier NoVerifier(std::span<const uint8_t, 32> secret, std::string_view user,
                    const IterationShares& shares) {
  Verifier out;
  const auto name = crypto::HmacSha256::Of(secret, AsBytes(user));
  ByteReader point(name);
  out.iterations = shares.At(point.U32Be());
  uint8_t number[4];
  ByteWriter(number).U32Be(out.iterations);
  const auto tag = crypto::HmacSha256::Of(name, number);
  std::copy_n(tag.begin(), out.salt.size(), out.salt.begin());
  // Nobody knows a key with this hash.
  out.stored_sha256 = crypto::HmacSha256::Of(tag, AsBytes(user));
  std::copy_n(out.stored_sha256.begin(), out.stored_sha1.size(), out.stored_sha1.begin());
  return out;
}

ScramLogin::~ScramLogin() {
  SecureZero({reinterpret_cast<uint8_t*>(&verifier_), sizeof(verifier_)});
}

Result<void> ScramLogin::First(std::string_view message, ScramHash hash, bool plus,
                               bool plus_offered) {
  hash_ = hash;
  const std::string_view whole = message;
  std::string_view value;
  if (TakeField(message, 'p', value)) {
    binding_ = value == "tls-exporter"           ? Binding::kExporter
               : value == "tls-server-end-point" ? Binding::kEndPoint
                                                 : Binding::kNone;
    if (!plus || binding_ == Binding::kNone) {
      return Error{ErrorCode::kUnauthentic, "a channel binding that is not offered"};
    }
  } else if (message.starts_with("n,") || message.starts_with("y,")) {
    // "y": the client believes that we cannot, so somebody took it out of our list.
    if (plus || (message[0] == 'y' && plus_offered)) {
      return Error{ErrorCode::kUnauthentic, "the channel binding was taken away"};
    }
    message.remove_prefix(2);
  } else {
    return kBad;
  }
  if (TakeField(message, 'a', value)) {
    if (!Unescape(value, authorisation_)) {
      return kBad;
    }
  } else if (message.starts_with(",")) {
    message.remove_prefix(1);
  } else {
    return kBad;
  }
  gs2_.Assign(whole.substr(0, whole.size() - message.size()));
  first_.Assign(message);
  FixedString<256> name;
  std::string_view nonce;
  if (!TakeField(message, 'n', value) || !Unescape(value, name) ||
      !TakeField(message, 'r', nonce) || nonce.empty() || first_.truncated() || gs2_.truncated()) {
    return kBad;
  }
  GH_TRY(PrepareLocal(name.view(), user_));
  nonce_.Assign(nonce);
  return nonce.size() <= 256 ? Ok() : Result<void>(kBad);
}

void ScramLogin::Challenge(const Verifier& verifier, std::string_view offered,
                           crypto::Random& random, ByteWriter& out) {
  verifier_ = verifier;
  std::array<uint8_t, kNonceBytes> own;
  random.Fill(own);
  uint8_t bytes[Base64Size(kNonceBytes)];
  ByteWriter text(bytes);
  WriteBase64(own, text);
  nonce_.Append(text.text());
  const size_t from = out.size();
  out.Text("r=");
  out.Text(nonce_.view());
  out.Text(",s=");
  WriteBase64(verifier_.salt, out);
  out.Text(",i=");
  out.Decimal(verifier_.iterations);
  if (!offered.empty()) {
    out.Text(",h=");
    if (hash_ == ScramHash::kSha256) {
      WriteBase64(crypto::Sha256::Of(offered), out);
    } else {
      WriteBase64(crypto::Sha1::Of(offered), out);
    }
  }
  server_.Assign(out.text().substr(from));
}

Result<void> ScramLogin::Final(std::string_view message, std::span<const uint8_t> channel,
                               ByteWriter& out) {
  constexpr Error kWrong{ErrorCode::kUnauthentic, "wrong user or password"};
  const std::string_view whole = message;
  std::string_view bound;
  std::string_view nonce;
  if (!TakeField(message, 'c', bound) || !TakeField(message, 'r', nonce)) {
    return kBad;
  }
  const size_t proof_at = whole.rfind(",p=");
  if (proof_at == std::string_view::npos || whole.size() > kMessageMax / 2) {
    return kBad;
  }
  uint8_t expected_bytes[512];
  ByteWriter expected(expected_bytes);
  expected.Text(gs2_.view());
  expected.Bytes(channel);
  uint8_t got_bytes[512];
  ByteWriter got(got_bytes);
  uint8_t proof_bytes[48];
  ByteWriter proof(proof_bytes);
  if (!ReadBase64(bound, got) || !ReadBase64(whole.substr(proof_at + 3), proof)) {
    return kBad;
  }
  uint8_t all[kMessageMax];
  ByteWriter signed_text(all);
  signed_text.Text(first_.view());
  signed_text.Char(',');
  signed_text.Text(server_.view());
  signed_text.Char(',');
  signed_text.Text(whole.substr(0, proof_at));
  const bool is_sha256 = hash_ == ScramHash::kSha256;
  const bool proven =
      is_sha256 ? Proves<Sha256Of>(proof.written(), verifier_.stored_sha256, signed_text.written())
                : Proves<Sha1Of>(proof.written(), verifier_.stored_sha1, signed_text.written());
  const bool same_channel = ConstantTimeEqual(expected.written(), got.written());
  if (!signed_text.ok() || !proven || !same_channel || nonce != nonce_.view()) {
    return kWrong;
  }
  out.Text("v=");
  if (is_sha256) {
    WriteBase64(Sha256Of::Mac(verifier_.server_sha256, signed_text.written()), out);
  } else {
    WriteBase64(Sha1Of::Mac(verifier_.server_sha1, signed_text.written()), out);
  }
  return Ok();
}

}  // namespace gh::xmpp
