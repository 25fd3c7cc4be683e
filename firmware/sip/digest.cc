#include "firmware/sip/digest.h"

#include "crypto/digest.h"
#include "hal/rt/secret.h"

namespace gh::sip {
namespace {

void ToHex(std::span<const uint8_t> bytes, char* out) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
    out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
  }
}

bool FromHex(std::string_view text, uint64_t& out) {
  out = 0;
  for (char c : text) {
    const int digit = HexValue(c);
    if (digit < 0) {
      return false;
    }
    out = out << 4 | static_cast<uint64_t>(digit);
  }
  return true;
}

struct AlgorithmInfo {
  DigestAlgorithm algorithm;
  std::string_view name;
  uint8_t policies;  // a bit for each DigestPolicy
};
constexpr uint8_t Bit(DigestPolicy policy) { return uint8_t(1u << static_cast<unsigned>(policy)); }
// The order of challenges.
constexpr AlgorithmInfo kAlgorithms[] = {
    {DigestAlgorithm::kSha512_256, "SHA-512-256",
     Bit(DigestPolicy::kAll) | Bit(DigestPolicy::kSha2) | Bit(DigestPolicy::kSha512_256Only)},
    {DigestAlgorithm::kSha256, "SHA-256",
     Bit(DigestPolicy::kAll) | Bit(DigestPolicy::kSha2) | Bit(DigestPolicy::kSha256AndMd5) |
         Bit(DigestPolicy::kSha256Only)},
    {DigestAlgorithm::kMd5, "MD5",
     Bit(DigestPolicy::kAll) | Bit(DigestPolicy::kSha256AndMd5) | Bit(DigestPolicy::kMd5Only)},
};

const AlgorithmInfo& InfoOf(DigestAlgorithm algorithm) {
  const size_t at = algorithm == DigestAlgorithm::kSha512_256 ? 0
                    : algorithm == DigestAlgorithm::kSha256   ? 1
                                                              : 2;
  return kAlgorithms[at];
}

template <typename Hash>
size_t Response(std::span<const uint8_t> ha1, std::string_view method, const DigestCredentials& c,
                char (&out)[64]) {
  Hash a2;
  a2.Update(method);
  a2.Update(":");
  a2.Update(c.uri);
  char ha1_hex[64];
  char ha2_hex[64];
  ToHex(ha1, ha1_hex);
  ToHex(a2.Finish(), ha2_hex);
  const size_t size = ha1.size() * 2;
  Hash response;
  response.Update(std::string_view(ha1_hex, size));
  response.Update(":");
  response.Update(c.nonce);
  response.Update(":");
  if (!c.qop.empty()) {
    response.Update(c.nc);
    response.Update(":");
    response.Update(c.cnonce);
    response.Update(":");
    response.Update(c.qop);
    response.Update(":");
  }
  response.Update(std::string_view(ha2_hex, size));
  ToHex(response.Finish(), out);
  return size;
}

// A value without quotes: a token by the book; also what some phones leave unquoted (a nonce with
// '=' or '/'), up to the comma.
std::string_view TakeBareValue(Scanner& scanner) {
  scanner.SkipLws();
  const std::string_view rest = scanner.rest();
  size_t size = 0;
  while (size < rest.size() && rest[size] != ',' && Is(rest[size], kToken | kOpaqueChar)) {
    ++size;
  }
  scanner.Skip(size);
  return rest.substr(0, size);
}

// Of a challenge's qop="auth,auth-int".
bool OffersAuth(std::string_view qop) {
  Scanner scanner(qop);
  while (!scanner.at_end()) {
    scanner.SkipLws();
    if (EqualsNoCase(scanner.Run(kToken), "auth")) {
      return true;
    }
    scanner.SkipLws();
    if (!scanner.Take(',')) {
      return false;
    }
  }
  return false;
}

struct Field {
  std::string_view name;
  std::string_view DigestCredentials::*member;
};
constexpr Field kFields[] = {
    {"username", &DigestCredentials::user},     {"realm", &DigestCredentials::realm},
    {"nonce", &DigestCredentials::nonce},       {"uri", &DigestCredentials::uri},
    {"response", &DigestCredentials::response}, {"algorithm", &DigestCredentials::algorithm},
    {"opaque", &DigestCredentials::opaque},     {"qop", &DigestCredentials::qop},
    {"cnonce", &DigestCredentials::cnonce},     {"nc", &DigestCredentials::nc},
};

}  // namespace

std::optional<DigestAlgorithm> DigestAlgorithmOf(std::string_view name) {
  for (const AlgorithmInfo& info : kAlgorithms) {
    if (EqualsNoCase(name, info.name)) {
      return info.algorithm;
    }
  }
  return name.empty() ? std::optional(DigestAlgorithm::kMd5) : std::nullopt;
}

std::string_view DigestAlgorithmName(DigestAlgorithm algorithm) { return InfoOf(algorithm).name; }

bool Offers(DigestPolicy policy, DigestAlgorithm algorithm) {
  return (InfoOf(algorithm).policies & Bit(policy)) != 0;
}

Result<DigestCredentials> ParseDigestCredentials(std::string_view value) {
  Scanner scanner(value);
  if (!EqualsNoCase(scanner.Run(kToken), "Digest")) {
    return Error(ErrorCode::kUnsupported, "authentication scheme");
  }
  DigestCredentials out;
  size_t count = 0;
  while (!scanner.at_end()) {
    const std::string_view name = scanner.Run(kToken);
    if (name.empty() || !scanner.Take('=') || ++count > kParamCountMax) {
      return Error(ErrorCode::kMalformed, "credentials");
    }
    std::string_view text;
    if (scanner.PeekIs('"')) {
      const auto inside = scanner.Quoted();
      if (!inside) {
        return Error(ErrorCode::kMalformed, "credentials");
      }
      text = *inside;
      out.escaped = out.escaped || text.find('\\') != std::string_view::npos;
    } else {
      text = TakeBareValue(scanner);
    }
    if (text.size() > kCredentialFieldMax && !EqualsNoCase(name, "uri")) {
      return Error(ErrorCode::kTooLarge, "credentials");
    }
    for (const Field& field : kFields) {
      if (EqualsNoCase(name, field.name)) {
        if (!(out.*field.member).empty()) {
          return Error(ErrorCode::kMalformed, "repeated credential field");
        }
        out.*field.member = text;
      }
    }
    if (!scanner.at_end() && !scanner.Take(',')) {
      return Error(ErrorCode::kMalformed, "credentials");
    }
  }
  return out;
}

Ha1 ComputeHa1(DigestAlgorithm algorithm, std::string_view user, std::string_view realm,
               std::string_view password) {
  Ha1 ha1;
  const auto fill = [&](auto hash) {
    hash.Update(user);
    hash.Update(":");
    hash.Update(realm);
    hash.Update(":");
    hash.Update(password);
    const auto digest = hash.Finish();
    std::memcpy(ha1.bytes.data(), digest.data(), digest.size());
  };
  if (algorithm == DigestAlgorithm::kMd5) {
    fill(crypto::Md5());
  } else if (algorithm == DigestAlgorithm::kSha256) {
    fill(crypto::Sha256());
  } else {
    fill(crypto::Sha512_256());
  }
  return ha1;
}

size_t ComputeDigestResponse(DigestAlgorithm algorithm, const Ha1& ha1, std::string_view method,
                             const DigestCredentials& credentials, char (&out)[64]) {
  if (algorithm == DigestAlgorithm::kMd5) {
    return Response<crypto::Md5>(std::span(ha1.bytes).first(16), method, credentials, out);
  }
  return algorithm == DigestAlgorithm::kSha256
             ? Response<crypto::Sha256>(ha1.bytes, method, credentials, out)
             : Response<crypto::Sha512_256>(ha1.bytes, method, credentials, out);
}

bool WriteDigestAnswer(ByteWriter& out, const DigestCredentials& challenge,
                       const DigestProof& proof) {
  const auto algorithm = DigestAlgorithmOf(challenge.algorithm);
  const bool is_plain = challenge.qop.empty();  // RFC 2069: no count, no cnonce
  if (!algorithm || challenge.escaped || !(is_plain || OffersAuth(challenge.qop))) {
    return false;
  }
  DigestCredentials answer = challenge;
  answer.uri = proof.uri;
  answer.cnonce = proof.cnonce;
  answer.nc = "00000001";
  answer.qop = is_plain ? "" : "auth";
  Ha1 ha1 = ComputeHa1(*algorithm, proof.user, challenge.realm, proof.password);
  char response[64];
  const size_t size = ComputeDigestResponse(*algorithm, ha1, proof.method, answer, response);
  SecureZero(ha1.bytes);
  const auto quoted = [&](std::string_view name, std::string_view value) {
    out.Text(name);
    out.Text("=\"");
    out.Text(value);
    out.Text("\", ");
  };
  out.Text("Authorization: Digest ");
  quoted("username", proof.user);
  quoted("realm", challenge.realm);
  quoted("nonce", challenge.nonce);
  quoted("uri", proof.uri);
  quoted("response", {response, size});
  if (!challenge.opaque.empty()) {
    quoted("opaque", challenge.opaque);
  }
  if (!is_plain) {
    quoted("cnonce", proof.cnonce);
    out.Text("qop=auth, nc=00000001, ");
  }
  out.Text("algorithm=");
  out.Text(InfoOf(*algorithm).name);
  out.Text("\r\n");
  return out.ok();
}

Authenticator::Authenticator(Core& core, Arena& arena)
    : core_(core), slots_(arena.NewArray<NonceSlot>(kNonceTableSize)) {
  serial_ = (core_.random.U64() >> 16) + 1;
}

// Starts at 1 so that a floor of 0 refuses nothing.
uint32_t Authenticator::NowSeconds() const {
  return static_cast<uint32_t>((core_.now() - core_.started).seconds()) + 1;
}

uint64_t Authenticator::NonceTag(uint32_t issued_s, uint64_t serial,
                                 const net::IpAddress& source) const {
  return core_.Hash(kHashNonce)
      .Add(uint64_t{issued_s})
      .Add(serial)
      .Add(std::span<const uint8_t>(source.bytes))
      .Add(core_.config.Realm())
      .Value();
}

// Nonce text: 8 digits of time, 16 of serial number, 16 of tag.
std::optional<Authenticator::Nonce> Authenticator::ReadNonce(std::string_view text,
                                                             const net::IpAddress& source) const {
  uint64_t issued = 0;
  uint64_t serial = 0;
  uint64_t tag = 0;
  if (text.size() != 40 || !FromHex(text.substr(0, 8), issued) ||
      !FromHex(text.substr(8, 16), serial) || !FromHex(text.substr(24, 16), tag)) {
    return std::nullopt;
  }
  const uint64_t expected = NonceTag(static_cast<uint32_t>(issued), serial, source);
  if (expected != tag) {
    return std::nullopt;
  }
  return Nonce{static_cast<uint32_t>(issued), serial};
}

// Whether this count of this nonce was not used before; marks it used.
bool Authenticator::TakeCount(const Nonce& nonce, uint32_t count) {
  const uint64_t at = core_.Hash(kHashNonceSlot).Add(nonce.serial).Value() % kNonceTableSize;
  NonceSlot& slot = slots_[at];
  if (slot.serial != nonce.serial) {
    // Serial numbers rise: the newer nonce takes the slot, and nothing as old as the one it pushed
    // out is taken here again.
    if (nonce.serial <= slot.serial) {
      return false;
    }
    slot = {nonce.serial, 1, count};
    return true;
  }
  if (count > slot.highest) {
    const uint32_t step = count - slot.highest;
    slot.seen = step >= kNonceWindow ? 1 : slot.seen << step | 1;
    slot.highest = count;
    return true;
  }
  const uint32_t back = slot.highest - count;
  if (back >= kNonceWindow || (slot.seen >> back & 1) != 0) {
    return false;
  }
  slot.seen |= uint64_t{1} << back;
  return true;
}

std::optional<DigestAlgorithm> Authenticator::Acceptable(const DigestCredentials& c,
                                                         uint64_t& count) const {
  const auto algorithm = DigestAlgorithmOf(c.algorithm);
  const bool legacy = c.qop.empty();
  const bool count_good = legacy || (c.nc.size() == 8 && FromHex(c.nc, count) && count != 0);
  if (!algorithm || !Offers(core_.config.digest, *algorithm) || c.escaped || c.user.empty() ||
      !count_good || (!legacy && (!EqualsNoCase(c.qop, "auth") || c.cnonce.empty()))) {
    return std::nullopt;
  }
  return algorithm;
}

AuthOutcome Authenticator::VerifyOne(const Message& request, const DigestCredentials& c,
                                     const net::IpAddress& source) {
  AuthOutcome outcome{AuthResult::kBad, c.user};
  uint64_t count = 1;
  const auto algorithm = Acceptable(c, count);
  if (!algorithm) {
    return outcome;
  }
  // The digest covers the URI of the credentials; it has to be the one requested. A proxy on the
  // way may have changed its form, so equivalence is enough.
  if (c.uri != request.uri_text()) {
    const auto uri = ParseUri(c.uri);
    if (!uri.ok() || !UriEquals(*uri, request.uri())) {
      return outcome;
    }
  }
  const auto nonce = ReadNonce(c.nonce, source);
  const uint32_t now_s = NowSeconds();
  const bool fresh =
      nonce && nonce->issued_s <= now_s && now_s - nonce->issued_s <= core_.config.nonce_lifetime_s;
  Ha1 ha1;
  const bool known = core_.credentials.FindHa1(core_.config.Realm(), c.user, *algorithm, ha1);
  char expected[64] = {};
  const size_t size = ComputeDigestResponse(*algorithm, ha1, request.method_text(), c, expected);
  char given[64] = {};
  for (size_t i = 0; i < size && i < c.response.size(); ++i) {
    given[i] = Lower(c.response[i]);
  }
  const bool equal = ConstantTimeEqual(AsBytes({expected, 64}), AsBytes({given, 64}));
  SecureZero(ha1.bytes);
  if (!known || !equal || c.response.size() != size) {
    // A phone that took an algorithm its user has no digest of did not guess: it is asked again.
    outcome.is_guess = fresh && (known || !HasHa1(c.user, DigestAlgorithm::kSha256));
    return outcome;
  }
  // The password is right: a nonce that is old, foreign or spent only costs another round.
  outcome.result = fresh && TakeCount(*nonce, static_cast<uint32_t>(count)) ? AuthResult::kGood
                                                                            : AuthResult::kStale;
  return outcome;
}

bool Authenticator::HasOurNonce(const Message& request, HeaderId header,
                                const net::IpAddress& source) const {
  const HeaderField* field = request.First(header);
  if (field == nullptr) {
    return false;
  }
  const auto credentials = ParseDigestCredentials(request.Value(*field));
  const auto nonce = credentials.ok() ? ReadNonce(credentials->nonce, source) : std::nullopt;
  const uint32_t now_s = NowSeconds();
  return nonce && nonce->issued_s <= now_s &&
         now_s - nonce->issued_s <= core_.config.nonce_lifetime_s;
}

AuthOutcome Authenticator::Verify(const Message& request, HeaderId header,
                                  const net::IpAddress& source) {
  AuthOutcome best;
  AuthOutcome good;
  size_t count = 0;
  for (const HeaderField* f = request.First(header); f != nullptr && count < kCredentialCountMax;
       f = request.NextSame(*f), ++count) {
    const auto credentials = ParseDigestCredentials(request.Value(*f));
    if (!credentials.ok() || credentials->realm != core_.config.Realm()) {
      continue;
    }
    const AuthOutcome outcome = VerifyOne(request, *credentials, source);
    if (outcome.result == AuthResult::kGood) {
      good = good.result == AuthResult::kGood ? good : outcome;
    } else if (outcome.is_guess || (best.result != AuthResult::kStale && !best.is_guess)) {
      best = outcome;
    }
  }
  // Nobody tries another's password beside his own, where it would count for nothing.
  if (good.result == AuthResult::kGood && !best.is_guess) {
    return good;
  }
  core_.statistics.auth_failures += best.result == AuthResult::kBad ? 1 : 0;
  return best;
}

void Authenticator::WriteOne(ByteWriter& out, HeaderId header, const net::IpAddress& source,
                             bool stale, std::string_view algorithm) {
  out.Text(header == HeaderId::kAuthorization ? "WWW-Authenticate" : "Proxy-Authenticate");
  out.Text(": Digest realm=\"");
  out.Text(core_.config.Realm());
  out.Text("\", nonce=\"");
  const uint32_t issued = NowSeconds();
  ++serial_;
  out.Hex(issued, 8);
  out.Hex(serial_, 16);
  out.Hex(NonceTag(issued, serial_, source), 16);
  out.Text("\", algorithm=");
  out.Text(algorithm);
  out.Text(", qop=\"auth\"");
  if (stale) {
    out.Text(", stale=true");
  }
  out.Text("\r\n");
}

bool Authenticator::HasHa1(std::string_view user, DigestAlgorithm algorithm) const {
  Ha1 ha1;
  const bool known = core_.credentials.FindHa1(core_.config.Realm(), user, algorithm, ha1);
  SecureZero(ha1.bytes);
  return known;
}

// Whose password was stored before SHA-512-256 was there is asked by the others. So that strangers
// learn no names from that, half of the names we do not know are asked in the same way.
bool Authenticator::OffersTo(std::string_view user, DigestAlgorithm algorithm) const {
  const DigestPolicy policy = core_.config.digest;
  if (algorithm != DigestAlgorithm::kSha512_256 || policy == DigestPolicy::kSha512_256Only ||
      !core_.config.digest_is_partial || user.empty()) {
    return Offers(policy, algorithm);
  }
  const bool is_even = core_.Hash(kHashAlgorithm).Add(user).Value() % 2 == 0;
  const bool is_known = HasHa1(user, DigestAlgorithm::kSha256);
  return Offers(policy, algorithm) && (is_known ? HasHa1(user, algorithm) : is_even);
}

void Authenticator::WriteChallenge(ByteWriter& out, HeaderId header, const net::IpAddress& source,
                                   bool stale, std::string_view user) {
  ++core_.statistics.challenges;
  for (const AlgorithmInfo& info : kAlgorithms) {
    if (OffersTo(user, info.algorithm)) {
      WriteOne(out, header, source, stale, info.name);
    }
  }
}

}  // namespace gh::sip
