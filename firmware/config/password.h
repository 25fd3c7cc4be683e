// Turns passwords into what is kept of them. The passwords themselves are kept nowhere.
#pragma once

#include <string_view>

#include "crypto/password.h"
#include "crypto/random.h"
#include "firmware/config/types.h"
#include "hal/rt/result.h"

namespace gh::config {

struct AdministrationPassword;  // the rules as settings (settings.gen.h)

// The rules for administrators' passwords (spec R-ACC-01): long enough, of several kinds of
// characters, not the user name (as it is, reversed, in other case) and not a common word with
// digits around it. With rules.strict off only kLaxPasswordMin holds.
Result<void> CheckAdminPassword(const AdministrationPassword& rules, std::string_view user,
                                std::string_view password, Message& expected);
// Whether it is a word that guessers try first, letters replaced by digits or not.
bool IsCommonPassword(std::string_view password);
Result<void> CheckSipPassword(std::string_view password, Message& expected);

// HA1 for user:realm:password.
DigestSecret MakeDigestSecret(std::string_view user, std::string_view realm,
                              std::string_view password);
// Whether `secret` was made for this user name and realm.
bool IsBoundTo(const DigestSecret& secret, std::string_view user, std::string_view realm);

// Argon2id; takes tens of milliseconds of the processor.
Result<AdminSecret> MakeAdminSecret(crypto::PasswordHasher& hasher, crypto::Random& random,
                                    std::string_view password);

}  // namespace gh::config
