#include "firmware/turn/auth.h"

#include <algorithm>
#include <charconv>

#include "crypto/legacy.h"
#include "crypto/mac.h"
#include "firmware/turn/long_term_key.h"

namespace gh::turn {
namespace {

constexpr std::string_view kCookie = "obMatJos2";  // RFC 8489 9.2
// Three bytes of security features in base64: bit 0 password algorithms, bit 1 user anonymity.
constexpr std::string_view kFeatures = "wAAA";
constexpr size_t kPlainNonceSize = 12;
constexpr uint32_t kTimeMask = 0xffffff;
constexpr uint8_t kAlgorithms[8] = {0, 2, 0, 0, 0, 1, 0, 0};  // SHA-256, then MD5
constexpr uint8_t kSha256Alone[4] = {0, 2, 0, 0};
constexpr Duration kKeyPeriodMin = Duration::Hours(1);
constexpr size_t kHeaderOfAttribute = 4;
constexpr size_t kTokenTagSize = 16;
constexpr int64_t kTokenSlack = 5;  // seconds by which clocks may differ (RFC 7635 4.1.1)
constexpr uint16_t kTokenKeyMin = 16;
constexpr uint16_t kTokenKeyMax = 32;

constexpr size_t Padded(size_t size) { return (size + 3) & ~size_t{3}; }

constexpr char kBase64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Standard base64 with padding; `out` has room for all of it.
size_t EncodeBase64(std::span<const uint8_t> bytes, char* out) {
  size_t size = 0;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = bytes.size() - i;
    const uint32_t word = static_cast<uint32_t>(bytes[i]) << 16 |
                          (left > 1 ? static_cast<uint32_t>(bytes[i + 1]) << 8 : 0u) |
                          (left > 2 ? bytes[i + 2] : 0u);
    out[size++] = kBase64[word >> 18];
    out[size++] = kBase64[word >> 12 & 63];
    out[size++] = left > 1 ? kBase64[word >> 6 & 63] : '=';
    out[size++] = left > 2 ? kBase64[word & 63] : '=';
  }
  return size;
}

int ValueOf(char c) {
  const auto* at = std::find(kBase64, kBase64 + 64, c);
  return at == kBase64 + 64 ? -1 : static_cast<int>(at - kBase64);
}

// Twelve characters to nine bytes.
bool DecodeNonce(std::string_view text, std::array<uint8_t, 9>& out) {
  for (size_t i = 0, o = 0; i < kPlainNonceSize; i += 4) {
    uint32_t word = 0;
    for (size_t k = 0; k < 4; ++k) {
      const int value = ValueOf(text[i + k]);
      if (value < 0) {
        return false;
      }
      word = word << 6 | static_cast<uint32_t>(value);
    }
    out[o++] = static_cast<uint8_t>(word >> 16);
    out[o++] = static_cast<uint8_t>(word >> 8);
    out[o++] = static_cast<uint8_t>(word);
  }
  return true;
}

bool IsSha256Nonce(std::string_view nonce) {
  return nonce.size() == kCookie.size() + kFeatures.size() + kPlainNonceSize &&
         nonce.starts_with(kCookie) && nonce.substr(kCookie.size()).starts_with(kFeatures);
}

// coturn's clients sign with the first 16 bytes of a longer key when they sign with SHA-1; their
// answer is signed alike.
bool IsSignedBy(const Message& message, Identity& identity) {
  if (message.IsAuthentic(identity.key_bytes())) {
    return true;
  }
  identity.key_size = std::min<uint32_t>(identity.key_size, kTokenKeyMin);
  return identity.integrity == Integrity::kSha1 && message.IsAuthentic(identity.key_bytes());
}

}  // namespace

Authenticator::Authenticator(Arena& arena, crypto::Random& random, hal::Clock& clock,
                             Credentials& credentials, const Config& config)
    : random_(random),
      clock_(clock),
      credentials_(credentials),
      config_(config),
      buckets_(arena.NewArray<Bucket>(kRateTableSize)) {
  random_.Fill(keys_[0].Expose());
  random_.Fill(keys_[1].Expose());
  std::array<uint8_t, 16> bytes;
  random_.Fill(bytes);
  bucket_key_ = SipKey::FromBytes(bytes);
}

// --- Nonces -------------------------------------------------------------------------------------

void Authenticator::RotateKeys(Instant now) {
  const Duration period =
      std::max(kKeyPeriodMin, Duration::Seconds(int64_t{config_.nonce_lifetime_s}));
  if (now - rotated_at_ < period) {
    return;
  }
  rotated_at_ = now;
  keys_[1].TakeFrom(keys_[0]);
  random_.Fill(keys_[0].Expose());
}

std::array<uint8_t, 6> Authenticator::MacOf(uint32_t time, const Asked& asked, bool offers_sha256,
                                            const SecretBytes<32>& key) {
  const net::Endpoint& sender = asked.sender;
  const uint8_t head[7] = {static_cast<uint8_t>(time >> 16),
                           static_cast<uint8_t>(time >> 8),
                           static_cast<uint8_t>(time),
                           static_cast<uint8_t>(sender.port >> 8),
                           static_cast<uint8_t>(sender.port),
                           static_cast<uint8_t>(offers_sha256 ? 1 : 0),
                           static_cast<uint8_t>(sender.address.family)};
  crypto::HmacSha256 mac(key.Expose());
  mac.Update(std::span<const uint8_t>(head));
  mac.Update(std::span<const uint8_t>(sender.address.bytes));
  mac.Update(asked.realm.name);
  const auto tag = mac.Finish();
  std::array<uint8_t, 6> out;
  std::copy_n(tag.begin(), out.size(), out.begin());
  return out;
}

Authenticator::NonceText Authenticator::MakeNonce(Instant now, const Asked& asked,
                                                  bool offers_sha256) {
  RotateKeys(now);
  const auto time = static_cast<uint32_t>(now.ns / 1'000'000'000) & kTimeMask;
  const auto mac = MacOf(time, asked, offers_sha256, keys_[0]);
  uint8_t bytes[9] = {static_cast<uint8_t>(time >> 16), static_cast<uint8_t>(time >> 8),
                      static_cast<uint8_t>(time)};
  std::copy(mac.begin(), mac.end(), bytes + 3);
  char text[kPlainNonceSize];
  EncodeBase64(bytes, text);
  NonceText nonce;
  if (offers_sha256) {
    nonce.Append(kCookie);
    nonce.Append(kFeatures);
  }
  nonce.Append(std::string_view(text, sizeof(text)));
  return nonce;
}

Verdict Authenticator::CheckNonce(Instant now, std::string_view nonce, const Asked& asked) {
  const bool offers_sha256 = IsSha256Nonce(nonce);
  if (offers_sha256) {
    nonce.remove_prefix(kCookie.size() + kFeatures.size());
  }
  std::array<uint8_t, 9> bytes;
  if (nonce.size() != kPlainNonceSize || !DecodeNonce(nonce, bytes)) {
    return Verdict::kStale;
  }
  RotateKeys(now);
  const uint32_t time = static_cast<uint32_t>(bytes[0]) << 16 | bytes[1] << 8 | bytes[2];
  const auto age = (static_cast<uint32_t>(now.ns / 1'000'000'000) - time) & kTimeMask;
  const auto mac = std::span(bytes).subspan(3);
  bool is_ours = false;
  for (const SecretBytes<32>& key : keys_) {
    is_ours = ConstantTimeEqual(MacOf(time, asked, offers_sha256, key), mac) || is_ours;
  }
  return is_ours && age <= config_.nonce_lifetime_s ? Verdict::kAuthentic : Verdict::kStale;
}

bool Authenticator::WriteChallenge(Instant now, const net::Endpoint& sender, const Realm& realm,
                                   size_t size_written, size_t size_max, Builder& builder) {
  // Where there are tokens, their server is named before SHA-256 is offered.
  const size_t third_size =
      config_.token_server.empty() ? 0 : kHeaderOfAttribute + Padded(config_.token_server.size());
  const size_t realm_size = kHeaderOfAttribute + Padded(realm.name.size());
  const bool names_server = third_size != 0 && size_written + realm_size + kHeaderOfAttribute +
                                                       Padded(kPlainNonceSize) + third_size <=
                                                   size_max;
  size_written += names_server ? third_size : 0;
  const size_t plain_size =
      size_written + realm_size + kHeaderOfAttribute + Padded(kPlainNonceSize);
  const auto algorithms = config_.keys == KeyPolicy::kSha256Only
                              ? std::span<const uint8_t>(kSha256Alone)
                              : std::span<const uint8_t>(kAlgorithms);
  const size_t full_size = plain_size + Padded(kCookie.size() + kFeatures.size() + 12) - 12 +
                           kHeaderOfAttribute + algorithms.size();
  const bool offers_sha256 = config_.keys != KeyPolicy::kMd5Only && full_size <= size_max;
  if (!offers_sha256 && (plain_size > size_max || config_.keys == KeyPolicy::kSha256Only)) {
    return false;
  }
  builder.Text(kRealm, realm.name);
  builder.Text(kNonce, MakeNonce(now, {sender, realm}, offers_sha256).view());
  if (offers_sha256) {
    builder.Bytes(kPasswordAlgorithms, algorithms);
  }
  if (names_server) {
    builder.Text(kThirdPartyAuthorization, config_.token_server.view());
  }
  return true;
}

// --- Credentials --------------------------------------------------------------------------------

// RFC 8489 9.2.4: what was offered must come back unchanged, or nothing of it.
Verdict Authenticator::CheckAlgorithms(const Message& message, bool* is_sha256) const {
  *is_sha256 = false;
  const auto offered = message.Value(kPasswordAlgorithms);
  const auto chosen = message.Value(kPasswordAlgorithm);
  if (!message.Has(kPasswordAlgorithms) && !message.Has(kPasswordAlgorithm)) {
    return config_.keys == KeyPolicy::kSha256Only ? Verdict::kWrong : Verdict::kAuthentic;
  }
  const auto expected = config_.keys == KeyPolicy::kSha256Only
                            ? std::span<const uint8_t>(kSha256Alone)
                            : std::span<const uint8_t>(kAlgorithms);
  if (!IsSha256Nonce(message.Text(kNonce)) || !std::ranges::equal(offered, expected) ||
      chosen.size() < 4 || chosen[0] != 0 || chosen[2] != 0 || chosen[3] != 0) {
    return Verdict::kBadRequest;
  }
  *is_sha256 = chosen[1] == 2;
  const bool is_known =
      chosen[1] == 2 || (chosen[1] == 1 && config_.keys != KeyPolicy::kSha256Only);
  return is_known ? Verdict::kAuthentic : Verdict::kBadRequest;
}

Verdict Authenticator::Check(Instant now, const Message& message, const net::Endpoint& sender,
                             const Realm& realm, const SessionKey* held, Identity& out) {
  out.integrity = message.integrity();
  out.realm = realm.number;
  if (out.integrity == Integrity::kNone) {
    return Verdict::kChallenge;
  }
  const bool is_hashed = message.Has(kUserHash);
  if (message.Has(kUserName) == is_hashed || !message.Has(kRealm) || !message.Has(kNonce)) {
    return Verdict::kBadRequest;
  }
  if (CheckNonce(now, message.Text(kNonce), {sender, realm}) != Verdict::kAuthentic) {
    return Verdict::kStale;
  }
  if (message.Has(kAccessToken)) {
    return CheckToken(message, realm, out);
  }
  if (held != nullptr && !is_hashed) {
    return CheckHeld(now, message, realm, *held, out);
  }
  bool is_sha256 = false;
  if (const Verdict algorithms = CheckAlgorithms(message, &is_sha256);
      algorithms != Verdict::kAuthentic) {
    return algorithms;
  }
  const std::string_view user = is_hashed ? credentials_.FindByHash(message.Value(kUserHash), realm)
                                          : message.Text(kUserName);
  if (user.empty() || user.size() > kUserNameMax || message.Text(kRealm) != realm.name) {
    return Verdict::kWrong;
  }
  const bool is_right = CheckUser(message, realm, user, is_sha256, out) ||
                        (!is_hashed && CheckSecrets(message, realm, user, is_sha256, out));
  if (is_right) {
    out.user.Assign(user);
  }
  return is_right ? Verdict::kAuthentic : Verdict::kWrong;
}

Result<Token> ReadToken(std::span<const uint8_t> bytes) {
  ByteReader reader(bytes);
  const uint16_t key_size = reader.U16Be();
  Token token;
  token.key = reader.Take(key_size);
  token.granted_s = reader.U64Be() >> 16;  // 48 bits of seconds, 16 of their fraction
  token.lifetime_s = reader.U32Be();
  if (!reader.ok() || reader.remaining() != 0 || key_size < kTokenKeyMin ||
      key_size > kTokenKeyMax) {
    return ErrorCode::kMalformed;
  }
  return token;
}

// RFC 7635: USERNAME names the key that the token is sealed with; the message is signed with the
// key within. Whoever holds the token is whom the authorisation server let in.
Verdict Authenticator::CheckToken(const Message& message, const Realm& realm, Identity& out) {
  const auto value = message.Value(kAccessToken);
  const std::string_view name = message.Text(kUserName);
  const WallTime wall = clock_.Wall();
  std::array<uint8_t, kTokenMax> bytes;
  ByteReader reader(value);
  const uint16_t nonce_size = reader.U16Be();
  const auto nonce = reader.Take(nonce_size);
  if (config_.token_server.empty() || !message.Has(kUserName) || name.size() > kUserNameMax ||
      message.Text(kRealm) != realm.name || !wall.is_set) {
    return Verdict::kWrong;
  }
  if (!reader.ok() || nonce_size != 12 || value.size() > kTokenMax ||
      reader.remaining() <= kTokenTagSize) {
    return Verdict::kBadRequest;
  }
  const auto sealed = reader.Rest();
  const auto data = std::span(bytes).first(sealed.size() - kTokenTagSize);
  std::copy_n(sealed.begin(), data.size(), data.begin());
  Verdict verdict = Verdict::kWrong;
  if (credentials_.OpenToken(name, config_.token_server.view(), nonce.first<12>(), data,
                             sealed.last<kTokenTagSize>())) {
    const auto token = ReadToken(data);
    const int64_t age =
        token.ok() ? wall.unix_seconds() - static_cast<int64_t>(token->granted_s) : 0;
    if (token.ok() && age >= -kTokenSlack && age <= int64_t{token->lifetime_s} + kTokenSlack) {
      std::ranges::copy(token->key, out.key.Expose().begin());
      out.key_size = static_cast<uint32_t>(token->key.size());
      out.lifetime_max_s =
          static_cast<uint32_t>(std::max<int64_t>(token->lifetime_s - age, kTokenSlack));
      out.user.Assign(config_.token_server.view());
      out.token_key_size = out.key_size;
      verdict = IsSignedBy(message, out) ? Verdict::kAuthentic : Verdict::kWrong;
    }
  }
  SecureZero(bytes);
  return verdict;
}

// Requests behind the one with the token are signed with its key (RFC 7635 section 4.1).
Verdict Authenticator::CheckHeld(Instant now, const Message& message, const Realm& realm,
                                 const SessionKey& held, Identity& out) {
  if (now >= held.until || message.Text(kRealm) != realm.name) {
    return Verdict::kWrong;
  }
  std::ranges::copy(held.key.Expose(), out.key.Expose().begin());
  out.key_size = held.key_size;
  out.lifetime_max_s =
      static_cast<uint32_t>(std::max<int64_t>((held.until - now).seconds(), kTokenSlack));
  out.user.Assign(config_.token_server.view());
  return IsSignedBy(message, out) ? Verdict::kAuthentic : Verdict::kWrong;
}

bool Authenticator::CheckUser(const Message& message, const Realm& realm, std::string_view user,
                              bool is_sha256, Identity& out) {
  UserKeys keys;
  // An unknown user costs what a known one with a wrong password costs.
  const bool is_known = credentials_.FindKeys(user, realm, keys);
  out.key_size = is_sha256 ? 32 : 16;
  const auto key = is_sha256 ? std::span<const uint8_t>(keys.sha256.Expose())
                             : std::span<const uint8_t>(keys.md5.Expose());
  std::copy(key.begin(), key.end(), out.key.Expose().begin());
  return message.IsAuthentic(out.key_bytes()) && is_known;
}

// User names of the form <unix time of expiry>[:<anything>].
bool Authenticator::CheckSecrets(const Message& message, const Realm& realm, std::string_view user,
                                 bool is_sha256, Identity& out) {
  const WallTime wall = clock_.Wall();
  int64_t expiry = 0;
  const char* end = user.data() + user.size();
  const auto [stop, error] = std::from_chars(user.data(), end, expiry);
  if (realm.secrets.empty() || error != std::errc() || (stop != end && *stop != ':') ||
      !wall.is_set || expiry <= wall.unix_seconds()) {
    return false;
  }
  for (const Secret& secret : realm.secrets) {
    const auto tag = crypto::HmacSha1(AsBytes(secret.view()), AsBytes(user));
    char password[28];
    const size_t size = EncodeBase64(tag, password);
    const std::string_view text(password, size);
    if (is_sha256) {
      const auto key = LongTermKey<crypto::Sha256>(user, realm.name, text);
      std::copy(key.begin(), key.end(), out.key.Expose().begin());
    } else {
      const auto key = LongTermKey<crypto::Md5>(user, realm.name, text);
      std::copy(key.begin(), key.end(), out.key.Expose().begin());
    }
    out.key_size = is_sha256 ? 32 : 16;
    SecureZero({reinterpret_cast<uint8_t*>(password), sizeof(password)});
    if (message.IsAuthentic(out.key_bytes())) {
      return true;
    }
  }
  return false;
}

// --- Strangers ----------------------------------------------------------------------------------

bool Authenticator::MayReply(Instant now, const net::IpAddress& sender) {
  const int64_t now_ms = now.ns / 1'000'000;
  const int64_t total_max = int64_t{config_.unproven_total_per_s} * 1000;
  total_milli_tokens_ = std::min(
      total_milli_tokens_ + (now_ms - total_filled_ms_) * config_.unproven_total_per_s, total_max);
  total_filled_ms_ = now_ms;
  const std::span<const uint8_t> prefix(sender.bytes.data(), sender.is_v6() ? 6 : 3);
  Bucket& bucket = buckets_[SipHash13(bucket_key_, prefix) % buckets_.size()];
  const int64_t burst = int64_t{config_.unproven_replies_burst} * 1000;
  if (!bucket.used) {
    bucket = {now_ms, burst, true};
  }
  bucket.milli_tokens = std::min(
      bucket.milli_tokens + (now_ms - bucket.filled_ms) * config_.unproven_replies_per_s, burst);
  bucket.filled_ms = now_ms;
  if (bucket.milli_tokens < 1000 || total_milli_tokens_ < 1000) {
    ++rate_limited_count_;
    return false;
  }
  bucket.milli_tokens -= 1000;
  total_milli_tokens_ -= 1000;
  return true;
}

}  // namespace gh::turn
