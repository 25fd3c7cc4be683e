#include "firmware/config/password.h"

#include <algorithm>

#include "crypto/digest.h"
#include "firmware/config/line.h"
#include "firmware/config/settings.h"

namespace gh::config {
namespace {

char Fold(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool EqualsReversed(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.rbegin(),
                                            [](char x, char y) { return Fold(x) == Fold(y); });
}

const char* Spelled(int32_t number) {
  static constexpr const char* kWords[] = {"none", "one", "two", "three", "four"};
  return kWords[std::clamp(number, 0, 4)];
}

// What guessers try first; digits and signs around the word and for letters do not help.
constexpr std::string_view kCommonWords[] = {
    "password",   "passwort",   "passphrase", "administrator", "admin",      "adminadmin",
    "root",       "rootroot",   "toor",       "welcome",       "willkommen", "letmein",
    "changeme",   "changeit",   "default",    "secret",        "geheim",     "qwerty",
    "qwertyuiop", "qwertz",     "qwertzuiop", "asdfghjkl",     "azerty",     "zaqwsx",
    "abc",        "abcd",       "abcdef",     "abcdefgh",      "iloveyou",   "monkey",
    "dragon",     "sunshine",   "princess",   "football",      "baseball",   "superman",
    "batman",     "master",     "shadow",     "michael",       "jennifer",   "trustno",
    "whatever",   "starwars",   "computer",   "internet",      "server",     "gateway",
    "gatehouse",  "expressway", "cisco",      "ciscocisco",    "tandberg",   "system",
    "manager",    "operator",   "support",    "service",       "guest",      "test",
    "testtest",   "testing",    "login",      "access",        "security",   "private",
    "public",     "company",    "network",    "telephone",     "passw",      "passpass",
    "spring",     "summer",     "autumn",     "winter",        "january",    "february",
    "march",      "april",      "june",       "july",          "august",     "september",
    "october",    "november",   "december",   "monday",        "friday",     "sunday",
};

bool IsLetter(char c) { return Fold(c) >= 'a' && Fold(c) <= 'z'; }
// A letter, or what stands for one at the beginning of a word.
bool IsLetterLike(char c) { return IsLetter(c) || c == '@' || c == '$'; }

char Unleet(char c) {
  switch (c) {
    case '0':
      return 'o';
    case '1':
    case '!':
      return 'i';
    case '3':
      return 'e';
    case '4':
    case '@':
      return 'a';
    case '5':
    case '$':
      return 's';
    case '7':
      return 't';
    default:
      return Fold(c);
  }
}

// Kinds of characters, how many of each, and how often one in a row.
Result<void> CheckClasses(const AdministrationPassword& rules, std::string_view password,
                          Message& expected) {
  int32_t lower = 0, upper = 0, digits = 0, others = 0, run = 0, run_longest = 0;
  char previous = '\0';
  for (char c : password) {
    const bool is_lower = c >= 'a' && c <= 'z';
    const bool is_upper = c >= 'A' && c <= 'Z';
    const bool is_digit = c >= '0' && c <= '9';
    lower += is_lower;
    upper += is_upper;
    digits += is_digit;
    others += !is_lower && !is_upper && !is_digit;
    run = c == previous ? run + 1 : 1;
    run_longest = std::max(run, run_longest);
    previous = c;
  }
  const int32_t classes = (lower > 0) + (upper > 0) + (digits > 0) + (others > 0);
  if (classes < rules.classes_min) {
    MessageWriter(expected)
        .Add("expected a password with ")
        .Add(Spelled(rules.classes_min))
        .Add(" of: lower case, upper case, digits, other characters");
    return Error{ErrorCode::kInvalidArgument, "password too simple"};
  }
  const struct {
    int32_t count, wanted;
    const char* name;
  } counts[] = {{lower, rules.lower_min, " lower case letters"},
                {upper, rules.upper_min, " upper case letters"},
                {digits, rules.digits_min, " digits"},
                {others, rules.others_min, " other characters"}};
  for (const auto& one : counts) {
    if (one.count < one.wanted) {
      MessageWriter(expected)
          .Add("expected a password with at least ")
          .Add(one.wanted)
          .Add(one.name);
      return Error{ErrorCode::kInvalidArgument, "password too simple"};
    }
  }
  if (rules.repeat_max > 0 && run_longest > rules.repeat_max) {
    MessageWriter(expected)
        .Add("expected a password with the same character at most ")
        .Add(rules.repeat_max)
        .Add(" times in a row");
    return Error{ErrorCode::kInvalidArgument, "password repeats a character"};
  }
  return Ok();
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

bool IsCommonPassword(std::string_view password) {
  while (!password.empty() && !IsLetterLike(password.front())) {
    password.remove_prefix(1);
  }
  while (!password.empty() && !IsLetter(password.back())) {
    password.remove_suffix(1);
  }
  for (std::string_view word : kCommonWords) {
    const bool same = password.size() == word.size() &&
                      std::equal(password.begin(), password.end(), word.begin(),
                                 [](char typed, char plain) { return Unleet(typed) == plain; });
    if (same) {
      return true;
    }
  }
  return false;
}

Result<void> CheckAdminPassword(const AdministrationPassword& rules, std::string_view user,
                                std::string_view password, Message& expected) {
  const bool strict = rules.strict == OnOff::kOn;
  const uint32_t length_min = strict ? static_cast<uint32_t>(rules.length_min) : kLaxPasswordMin;
  if (password.size() < length_min || password.size() > kPasswordMax) {
    MessageWriter(expected)
        .Add("expected a password of ")
        .Add(length_min)
        .Add("..")
        .Add(kPasswordMax)
        .Add(" characters");
    return Error{ErrorCode::kInvalidArgument, "password length"};
  }
  if (!strict) {
    return Ok();
  }
  GH_TRY(CheckClasses(rules, password, expected));
  if (EqualsIgnoreCase(user, password) || EqualsReversed(user, password)) {
    MessageWriter(expected).Add("expected a password that is not the user name");
    return Error{ErrorCode::kInvalidArgument, "password is the user name"};
  }
  if (IsCommonPassword(password)) {
    MessageWriter(expected).Add("expected a password that is not a common word");
    return Error{ErrorCode::kInvalidArgument, "password is a common word"};
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
  secret.set = DigestSecret::kWithSha512256;
  secret.binding = BindingOf(user, realm);
  secret.ha1_md5 = DigestOf<crypto::Md5>(user, realm, password);
  secret.ha1_sha256 = DigestOf<crypto::Sha256>(user, realm, password);
  secret.ha1_sha512_256 = DigestOf<crypto::Sha512_256>(user, realm, password);
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
