// Tokens to log in again by (XEP-0484), one place for each of a user's clients, and the mechanism
// that shows them: HT-SHA-256 (draft-schmaus-kitten-sasl-ht). Kept as rows, read when they are
// wanted; memory holds their numbers alone.
//
// A place holds the token in use, and the one that follows it until the client has shown that. A
// token is good for the mechanism and the client it was given to, until it expires, is replaced,
// or the password is another. Fault model: what is shown is anybody's; a row that cannot be read
// or written is no token, and the client has its password.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/xmpp/directory.h"
#include "hal/rt/secret.h"

namespace gh::xmpp {

struct HashedTokenMechanism {
  std::string_view name;
  Binding binding;
};
// As offered, best first.
inline constexpr HashedTokenMechanism kHashedTokenMechanisms[] = {
    {"HT-SHA-256-EXPR", Binding::kExporter},
    {"HT-SHA-256-ENDP", Binding::kEndPoint},
    {"HT-SHA-256-NONE", Binding::kNone},
};
// Null: it is none of them.
const HashedTokenMechanism* FindHashedToken(std::string_view name);

// Whose client it is: a digest of what the client calls itself.
using ClientDigest = std::array<uint8_t, 32>;
inline constexpr uint32_t kTokenTextMax = 44;

class Tokens {
 public:
  Tokens(Keeper& keeper, ChainPool& chains, crypto::Random& random)
      : keeper_(keeper), chains_(chains), random_(random) {}

  // A row as it was kept.
  Result<void> Load(Account& account, const RowName& name, std::span<const uint8_t> value);
  // Another token for a client, which holds when it is used first. False: it cannot be kept.
  bool Give(Account& account, const ClientDigest& client, Binding binding, int64_t expires,
            FixedString<kTokenTextMax>& token);
  // Whether `hash` is of a good token and the channel; what is answered goes to `answer`. From
  // here on the token is the one in use. kUnauthentic, kTimeout: it has expired.
  Result<void> Check(Account& account, const ClientDigest& client, Binding binding,
                     std::span<const uint8_t> hash, std::span<const uint8_t> channel, int64_t now,
                     std::span<uint8_t, 32> answer);
  void Remove(Account& account, const ClientDigest& client);
  uint32_t RemoveAll(Account& account);
  uint32_t CountOf(const Account& account) const { return account.tokens.size / 8; }

 private:
  struct Token {
    SecretBytes<32> bytes;
    int64_t expires = 0;  // 0: there is none
  };
  struct Place {
    Binding binding = Binding::kNone;
    ClientDigest client = {};
    std::array<uint8_t, 16> salt = {};  // of the password it came by
    Token used;
    Token next;
  };
  static uint64_t NumberOf(const ClientDigest& client);
  bool Read(const Account& account, const ClientDigest& client, Place& out);
  bool Write(Account& account, const Place& place);
  bool Remember(Account& account, uint64_t number);
  void Forget(Account& account, uint64_t number);

  Keeper& keeper_;
  ChainPool& chains_;
  crypto::Random& random_;
};

}  // namespace gh::xmpp
