#include "firmware/calls/turn_credentials.h"

#include <algorithm>
#include <cstring>

#include "crypto/cipher.h"
#include "crypto/digest.h"
#include "crypto/legacy.h"
#include "firmware/turn/long_term_key.h"
#include "hal/rt/base64.h"

namespace gh {
namespace {

uint64_t PrefixOf(std::span<const uint8_t> hash) {
  uint64_t prefix = 0;
  std::memcpy(&prefix, hash.data(), sizeof(prefix));
  return prefix;
}

crypto::Sha256::Digest UserHashOf(std::string_view user, std::string_view realm) {
  crypto::Sha256 hash;
  hash.Update(user);
  hash.Update(":");
  hash.Update(realm);
  return hash.Finish();
}

}  // namespace

TurnCredentials::TurnCredentials(Arena& arena, const config::Configuration& configuration,
                                 crypto::TlsEnvironment& environment, uint32_t user_count)
    : configuration_(configuration),
      environment_(environment),
      entries_(arena.NewArray<Entry>(user_count +
                                     configuration.active().traversal_server_turn_user().size())) {}

std::string_view TurnCredentials::NameOf(const Entry& entry) const {
  const config::Settings& settings = configuration_.active();
  return entry.is_own ? settings.traversal_server_turn_user()[entry.instance].name.view()
                      : settings.authentication_user()[entry.instance].name.view();
}

void TurnCredentials::Refresh(const turn::Config& config) {
  count_ = 0;
  const config::Settings& settings = configuration_.active();
  const auto users = settings.authentication_user();
  for (uint32_t i = 0; i < users.size() && count_ < entries_.size(); ++i) {
    if (!users[i].name.empty()) {
      entries_[count_++] = {PrefixOf(UserHashOf(users[i].name.view(), config.realm.view())), i};
    }
  }
  const auto own = settings.traversal_server_turn_user();
  for (uint32_t i = 0; i < own.size() && count_ < entries_.size(); ++i) {
    if (!own[i].name.empty()) {
      const turn::Realm realm = config.RealmAt(static_cast<uint32_t>(own[i].realm));
      entries_[count_++] = {PrefixOf(UserHashOf(own[i].name.view(), realm.name)), i, true};
    }
  }
  std::sort(entries_.begin(), entries_.begin() + count_,
            [](const Entry& a, const Entry& b) { return a.prefix < b.prefix; });
}

const config::TraversalServerTurnUser* TurnCredentials::FindOwn(std::string_view user,
                                                                uint8_t realm) const {
  for (const auto& own : configuration_.active().traversal_server_turn_user()) {
    if (!own.name.empty() && own.realm == realm && own.name.view() == user) {
      return &own;
    }
  }
  return nullptr;
}

bool TurnCredentials::FindKeys(std::string_view user, const turn::Realm& realm,
                               turn::UserKeys& out) {
  // Hashed in any case: how long the answer takes does not tell whether there is such a user.
  const config::TraversalServerTurnUser* own = FindOwn(user, realm.number);
  const std::string_view password = own != nullptr ? own->password.view() : std::string_view();
  out.md5.Set(turn::LongTermKey<crypto::Md5>(user, realm.name, password));
  out.sha256.Set(turn::LongTermKey<crypto::Sha256>(user, realm.name, password));
  if (own != nullptr) {
    return !password.empty();
  }
  const config::AuthenticationUser* found = configuration_.FindUser(user);
  if (found == nullptr || realm.number != 0 ||
      realm.name != config::Configuration::RealmOf(configuration_.active())) {
    return false;
  }
  out.md5.Set(std::span<const uint8_t, 16>(found->password.ha1_md5));
  out.sha256.Set(std::span<const uint8_t, 32>(found->password.ha1_sha256));
  return true;
}

std::string_view TurnCredentials::FindByHash(std::span<const uint8_t> hash,
                                             const turn::Realm& realm) {
  if (hash.size() != crypto::Sha256::kSize) {
    return {};
  }
  const auto end = entries_.begin() + count_;
  auto at = std::lower_bound(entries_.begin(), end, PrefixOf(hash),
                             [](const Entry& entry, uint64_t p) { return entry.prefix < p; });
  for (; at != end && at->prefix == PrefixOf(hash); ++at) {
    if (std::ranges::equal(UserHashOf(NameOf(*at), realm.name), hash)) {
      return NameOf(*at);
    }
  }
  return {};
}

bool TurnCredentials::OpenToken(std::string_view key_name, std::string_view server,
                                std::span<const uint8_t, 12> nonce, std::span<uint8_t> data,
                                std::span<const uint8_t, 16> tag) {
  for (const auto& token : configuration_.active().traversal_server_turn_token()) {
    if (token.name.empty() || token.name.view() != key_name) {
      continue;
    }
    SecretBytes<48> key;
    ByteWriter bytes(key.Expose());
    crypto::AesGcm cipher;
    return ReadBase64(token.key.view(), bytes) && (bytes.size() == 16 || bytes.size() == 32) &&
           cipher.SetKey(environment_, bytes.written()).ok() &&
           cipher.Open(nonce, AsBytes(server), data, tag).ok();
  }
  return false;
}

}  // namespace gh
