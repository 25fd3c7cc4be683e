#include "firmware/config/password.h"

#include <algorithm>

#include "crypto/digest.h"
#include "firmware/config/line.h"

namespace gh::config {
namespace {

char Fold(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool EqualsReversed(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.rbegin(),
                                            [](char x, char y) { return Fold(x) == Fold(y); });
}

template <typename Hash>
typename Hash::Digest DigestOf(std::string_view user, std::string_view realm,
                               std::string_view password) {
  Hash hash;
  hash.Update(user);
  hash.Update(std::string_view(":"));
  hash.Update(realm);
  hash.Update(std::string_view(":"));
  hash.Update(password);
  return hash.Finish();
}

std::array<uint8_t, 8> BindingOf(std::string_view user, std::string_view realm) {
  const auto digest = DigestOf<crypto::Sha256>(user, realm, "");
  std::array<uint8_t, 8> binding;
  std::copy_n(digest.begin(), binding.size(), binding.begin());
  return binding;
}

}  // namespace

Result<void> CheckAdminPassword(std::string_view user, std::string_view password,
                                Message& expected) {
  uint32_t lower = 0, upper = 0, digit = 0, other = 0;
  for (char c : password) {
    lower |= c >= 'a' && c <= 'z';
    upper |= c >= 'A' && c <= 'Z';
    digit |= c >= '0' && c <= '9';
    other |= Fold(c) < 'a' || Fold(c) > 'z' ? !(c >= '0' && c <= '9') : 0;
  }
  if (password.size() < kAdminPasswordMin || password.size() > kPasswordMax) {
    MessageWriter(expected)
        .Add("expected a password of ")
        .Add(kAdminPasswordMin)
        .Add("..")
        .Add(kPasswordMax)
        .Add(" characters");
    return Error{ErrorCode::kInvalidArgument, "password length"};
  }
  if (lower + upper + digit + other < 3) {
    MessageWriter(expected).Add(
        "expected a password with three of: lower case, upper case, digits, other characters");
    return Error{ErrorCode::kInvalidArgument, "password too simple"};
  }
  if (EqualsIgnoreCase(user, password) || EqualsReversed(user, password)) {
    MessageWriter(expected).Add("expected a password that is not the user name");
    return Error{ErrorCode::kInvalidArgument, "password is the user name"};
  }
  return Ok();
}

Result<void> CheckSipPassword(std::string_view password, Message& expected) {
  if (password.size() < kSipPasswordMin || password.size() > kPasswordMax) {
    MessageWriter(expected)
        .Add("expected a password of ")
        .Add(kSipPasswordMin)
        .Add("..")
        .Add(kPasswordMax)
        .Add(" characters");
    return Error{ErrorCode::kInvalidArgument, "password length"};
  }
  return Ok();
}

DigestSecret MakeDigestSecret(std::string_view user, std::string_view realm,
                              std::string_view password) {
  DigestSecret secret;
  secret.set = 1;
  secret.binding = BindingOf(user, realm);
  secret.ha1_md5 = DigestOf<crypto::Md5>(user, realm, password);
  secret.ha1_sha256 = DigestOf<crypto::Sha256>(user, realm, password);
  return secret;
}

bool IsBoundTo(const DigestSecret& secret, std::string_view user, std::string_view realm) {
  return secret.is_set() && secret.binding == BindingOf(user, realm);
}

Result<AdminSecret> MakeAdminSecret(crypto::PasswordHasher& hasher, crypto::Random& random,
                                    std::string_view password) {
  GH_TRY_ASSIGN(const crypto::PasswordRecord record, hasher.Hash(password, random));
  if (record.text().size() > kAdminHashMax) {
    return Error{ErrorCode::kTooLarge, "password record too long"};
  }
  AdminSecret secret;
  secret.hash.Set(record.text());
  return secret;
}

}  // namespace gh::config
