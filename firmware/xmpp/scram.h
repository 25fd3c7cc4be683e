// SCRAM as a server (RFC 5802, RFC 7677), with channel binding (RFC 5929, RFC 9266). Only verifiers
// of passwords are kept; one record serves SHA-256 and SHA-1.
//
// Fault model: whoever is unknown is answered like somebody known, with a salt that is always the
// same for the name and as many iterations as somebody known has, and fails at the end; proofs are
// compared in constant time.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/random.h"
#include "firmware/xmpp/limits.h"
#include "hal/rt/bytes.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::xmpp {

enum class ScramHash : uint8_t { kSha1, kSha256 };
enum class Binding : uint8_t { kNone, kExporter, kEndPoint };

struct Verifier {
  std::array<uint8_t, 16> salt = {};
  uint32_t iterations = 0;  // 0: there is none
  std::array<uint8_t, 32> stored_sha256 = {};
  std::array<uint8_t, 32> server_sha256 = {};
  std::array<uint8_t, 20> stored_sha1 = {};
  std::array<uint8_t, 20> server_sha1 = {};
};

// Takes tens of milliseconds. kInvalidArgument: empty, or longer than kPasswordMax.
Result<Verifier> MakeVerifier(std::string_view password, uint32_t iterations,
                              crypto::Random& random);
// Whether the password is the verifier's; takes half of that time.
bool IsPasswordOf(const Verifier& verifier, std::string_view password);
// A verifier as RFC 5803 writes it, of SHA-256 alone: nobody proves himself by SHA-1 then.
inline constexpr std::string_view kVerifierTag = "SCRAM-SHA-256$";
Result<Verifier> ReadVerifier(std::string_view text);

// How many users have which number of iterations: one that nobody of ours has would tell who is
// nobody. Beyond kIterationSharesMax different ones the others are not noted.
class IterationShares {
 public:
  void Add(uint32_t iterations);
  void Remove(uint32_t iterations);
  // `point` of all numbers below 2^32, in the order of iterations: a few users more or less move
  // few points elsewhere.
  uint32_t At(uint32_t point) const;
  uint32_t count() const { return count_; }

 private:
  struct Share {
    uint32_t iterations = 0;
    uint32_t users = 0;
  };
  std::array<Share, kIterationSharesMax> shares_ = {};  // by iterations
  uint32_t count_ = 0;
};

// For a name that nobody has. Where the iterations become others so does the salt, as with another
// password.
Verifier NoVerifier(std::span<const uint8_t, 32> secret, std::string_view user,
                    const IterationShares& shares);

// One attempt.
class ScramLogin {
 public:
  ScramLogin() = default;
  ~ScramLogin();
  ScramLogin(const ScramLogin&) = delete;
  ScramLogin& operator=(const ScramLogin&) = delete;

  // The client's first message. `plus`: the mechanism binds the channel; `plus_offered`: it could
  // have. After it user() and binding() say who and what is meant.
  Result<void> First(std::string_view message, ScramHash hash, bool plus, bool plus_offered);
  std::string_view user() const { return user_.view(); }
  std::string_view authorisation() const { return authorisation_.view(); }
  Binding binding() const { return binding_; }
  // The server's first message. `offered`: mechanisms and bindings as XEP-0474 writes them, whose
  // hash goes along; empty: none does.
  void Challenge(const Verifier& verifier, std::string_view offered, crypto::Random& random,
                 ByteWriter& out);
  // The client's final message; the server's goes to `out`. `channel`: the binding's data.
  // kUnauthentic: the proof, the nonce or the binding is not right.
  Result<void> Final(std::string_view message, std::span<const uint8_t> channel, ByteWriter& out);

 private:
  ScramHash hash_ = ScramHash::kSha256;
  Binding binding_ = Binding::kNone;
  FixedString<kLocalMax> user_;
  FixedString<256> authorisation_;
  FixedString<320> gs2_;
  FixedString<512> first_;   // the client's, bare
  FixedString<400> server_;  // the server's first
  FixedString<320> nonce_;
  Verifier verifier_;
};

}  // namespace gh::xmpp
