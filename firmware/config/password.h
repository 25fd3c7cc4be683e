// Turns passwords into what is kept of them. The passwords themselves are kept nowhere.
#pragma once

#include <string_view>

#include "crypto/password.h"
#include "crypto/random.h"
#include "firmware/config/types.h"
#include "hal/rt/result.h"

namespace gh::config {

// The rules for administrators' passwords (spec R-ACC-01): long enough, three of four kinds of
// characters, and not the user name: as it is, reversed, or in other case.
Result<void> CheckAdminPassword(std::string_view user, std::string_view password,
                                Message& expected);
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
