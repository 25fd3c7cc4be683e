// Who sends a request: nonces, long-term keys (RFC 8489 9.2) and time-limited credentials.
//
// Stateless until a request is authentic: a nonce is a time and a MAC over it and over the sender's
// address and port. Two keys: the new one signs, both verify. What a stranger gets is at most 2.5
// times what he sent, and only as often as the buckets allow; beyond them there is silence.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "crypto/random.h"
#include "firmware/turn/config.h"
#include "firmware/turn/stun.h"
#include "hal/clock.h"
#include "hal/rt/arena.h"
#include "hal/rt/secret.h"
#include "hal/rt/siphash.h"

namespace gh::turn {

// The long-term keys of one user: MD5 and SHA-256 of user:realm:password.
struct UserKeys {
  SecretBytes<16> md5;
  SecretBytes<32> sha256;
};

class Credentials {
 public:
  virtual bool FindKeys(std::string_view user, const Realm& realm, UserKeys& out) = 0;
  // The user whose USERHASH (SHA-256 of user:realm) this is; empty: none.
  virtual std::string_view FindByHash(std::span<const uint8_t> hash, const Realm& realm) = 0;
  // Opens in place what the authorisation server has sealed with the key of this name (AES-GCM);
  // false: there is no such key, or it is not authentic.
  virtual bool OpenToken(std::string_view key_name, std::string_view server,
                         std::span<const uint8_t, 12> nonce, std::span<uint8_t> data,
                         std::span<const uint8_t, 16> tag) = 0;

 protected:
  ~Credentials() = default;
};

// What a token brought: the key of the requests that follow without one, and until when.
struct SessionKey {
  SecretBytes<32> key;
  uint32_t key_size = 0;  // 0: none
  Instant until;
};

// Who a request is from, and the key its answer is signed with.
struct Identity {
  FixedString<kUserNameMax> user;
  Integrity integrity = Integrity::kNone;
  SecretBytes<32> key;
  uint32_t key_size = 0;
  uint32_t lifetime_max_s = UINT32_MAX;  // what is left of a token
  uint8_t realm = 0;                     // its number
  uint32_t token_key_size = 0;           // of the whole key, when a token was in this very request
  std::span<const uint8_t> key_bytes() const { return key.Expose().first(key_size); }
};

// What an authorisation server grants (RFC 7635 6.2), opened.
struct Token {
  std::span<const uint8_t> key;  // of MESSAGE-INTEGRITY, within the bytes it was read from
  uint64_t granted_s = 0;        // Unix time
  uint32_t lifetime_s = 0;
};
// kMalformed: not such a token, cut short, too long, or a key of another size than 16 to 32 bytes.
Result<Token> ReadToken(std::span<const uint8_t> bytes);

enum class Verdict : uint8_t {
  kAuthentic,
  kChallenge,   // 401: no credentials
  kWrong,       // 401: credentials that are not right
  kStale,       // 438
  kBadRequest,  // 400
};

class Authenticator {
 public:
  Authenticator(Arena& arena, crypto::Random& random, hal::Clock& clock, Credentials& credentials,
                const Config& config);

  // `held`: of the allocation there, if a token let it in.
  Verdict Check(Instant now, const Message& message, const net::Endpoint& sender,
                const Realm& realm, const SessionKey* held, Identity& out);
  // Whether one more reply may go to a stranger there.
  bool MayReply(Instant now, const net::IpAddress& sender);
  // REALM, NONCE and, where `size_max` has room and it is in force, PASSWORD-ALGORITHMS. False: not
  // even the least fits; nothing was written.
  bool WriteChallenge(Instant now, const net::Endpoint& sender, const Realm& realm,
                      size_t size_written, size_t size_max, Builder& builder);
  uint64_t rate_limited_count() const { return rate_limited_count_; }

 private:
  struct Bucket {
    int64_t filled_ms = 0;
    int64_t milli_tokens = 0;
    bool used = false;
  };
  using NonceText = FixedString<32>;

  // What a nonce is good for: one sender in one realm.
  struct Asked {
    const net::Endpoint& sender;
    const Realm& realm;
  };
  NonceText MakeNonce(Instant now, const Asked& asked, bool offers_sha256);
  static std::array<uint8_t, 6> MacOf(uint32_t time, const Asked& asked, bool offers_sha256,
                                      const SecretBytes<32>& key);
  Verdict CheckNonce(Instant now, std::string_view nonce, const Asked& asked);
  Verdict CheckAlgorithms(const Message& message, bool* is_sha256) const;
  Verdict CheckToken(const Message& message, const Realm& realm, Identity& out);
  Verdict CheckHeld(Instant now, const Message& message, const Realm& realm, const SessionKey& held,
                    Identity& out);
  bool CheckUser(const Message& message, const Realm& realm, std::string_view user, bool is_sha256,
                 Identity& out);
  bool CheckSecrets(const Message& message, const Realm& realm, std::string_view user,
                    bool is_sha256, Identity& out);
  void RotateKeys(Instant now);

  crypto::Random& random_;
  hal::Clock& clock_;
  Credentials& credentials_;
  const Config& config_;
  std::array<SecretBytes<32>, 2> keys_;  // new, old
  Instant rotated_at_;
  SipKey bucket_key_;
  std::span<Bucket> buckets_;
  int64_t total_milli_tokens_ = 0;
  int64_t total_filled_ms_ = 0;
  uint64_t rate_limited_count_ = 0;
};

}  // namespace gh::turn
