// Digest authentication (RFC 7616, RFC 8760; RFC 3261 22): challenges, credentials, verification.
//
// Algorithms are MD5, SHA-256 and SHA-512-256 with qop "auth"; session variants (MD5-sess, ...) and
// "auth-int" are neither offered nor taken, and a challenge that has nothing else is not met.
//
// Nonces are stateless: time, a serial number and a keyed tag over them and the sender's address.
// State is spent only on nonces that were used with a right password: a fixed table remembers the
// highest nonce count of each and a window of 64 below it. Newer nonces push older
// ones out; a nonce older than its slot's is never taken, so none can be replayed: its owner is
// asked again with stale=true. A response without qop (RFC 2069) has no nonce count; its nonce is
// good once.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "firmware/sip/core.h"
#include "firmware/sip/message.h"
#include "hal/rt/bytes.h"

namespace gh::sip {

// One (Proxy-)Authorization value; views into the message, quotes removed.
struct DigestCredentials {
  std::string_view user, realm, nonce, uri, response, algorithm, opaque, qop, cnonce, nc;
  bool escaped = false;  // a quoted value has escapes: refused where the value matters
};
// kUnsupported: not Digest. kMalformed otherwise.
Result<DigestCredentials> ParseDigestCredentials(std::string_view value);

// What `algorithm=` says; none: MD5 (RFC 7616 3.3). Nothing for those we do not speak.
std::optional<DigestAlgorithm> DigestAlgorithmOf(std::string_view name);
std::string_view DigestAlgorithmName(DigestAlgorithm algorithm);
bool Offers(DigestPolicy policy, DigestAlgorithm algorithm);

// H(user:realm:password), for stores and tests.
Ha1 ComputeHa1(DigestAlgorithm algorithm, std::string_view user, std::string_view realm,
               std::string_view password);
// The response in lower-case hexadecimal (64 or 32 characters of `out`). `qop` empty: RFC 2069.
size_t ComputeDigestResponse(DigestAlgorithm algorithm, const Ha1& ha1, std::string_view method,
                             const DigestCredentials& credentials, char (&out)[64]);

// How we prove ourselves to a peer that asks.
struct DigestProof {
  std::string_view user, password;
  std::string_view method, uri, cnonce;
};
// An Authorization line that meets `challenge`; false when we do not speak its algorithm or qop.
bool WriteDigestAnswer(ByteWriter& out, const DigestCredentials& challenge,
                       const DigestProof& proof);

enum class AuthResult : uint8_t {
  kGood,
  kAbsent,
  kStale,
  kBad,
};

struct AuthOutcome {
  AuthResult result = AuthResult::kAbsent;
  std::string_view user;  // as in the credentials
  bool is_guess = false;  // kBad, for a challenge that this very address got
};

class Authenticator {
 public:
  Authenticator(Core& core, Arena& arena);

  // Looks for credentials of our realm in `header` (Authorization or Proxy-Authorization).
  AuthOutcome Verify(const Message& request, HeaderId header, const net::IpAddress& source);
  // Whether the first credentials answer a challenge this address got from us, not too long ago.
  bool HasOurNonce(const Message& request, HeaderId header, const net::IpAddress& source) const;
  // Writes WWW-Authenticate or Proxy-Authenticate lines. `user`: who is asked, as he says; empty:
  // nobody known.
  void WriteChallenge(ByteWriter& out, HeaderId header, const net::IpAddress& source, bool stale,
                      std::string_view user);

 private:
  struct NonceSlot {
    uint64_t serial = 0;  // 0: free. Older ones are refused.
    uint64_t seen = 0;    // bit i: count highest - i was used
    uint32_t highest = 0;
  };
  struct Nonce {
    uint32_t issued_s = 0;
    uint64_t serial = 0;
  };

  uint32_t NowSeconds() const;
  uint64_t NonceTag(uint32_t issued_s, uint64_t serial, const net::IpAddress& source) const;
  std::optional<Nonce> ReadNonce(std::string_view text, const net::IpAddress& source) const;
  bool TakeCount(const Nonce& nonce, uint32_t count);
  bool HasHa1(std::string_view user, DigestAlgorithm algorithm) const;
  bool OffersTo(std::string_view user, DigestAlgorithm algorithm) const;
  // What the credentials say of themselves is well formed and of an algorithm that is offered.
  std::optional<DigestAlgorithm> Acceptable(const DigestCredentials& c, uint64_t& count) const;
  AuthOutcome VerifyOne(const Message& request, const DigestCredentials& c,
                        const net::IpAddress& source);
  void WriteOne(ByteWriter& out, HeaderId header, const net::IpAddress& source, bool stale,
                std::string_view algorithm);

  Core& core_;
  uint64_t serial_ = 0;
  std::span<NonceSlot> slots_;
};

}  // namespace gh::sip
