// The gate: passwords, keys, waits, locks and blocks. See accounts.h.
#include "firmware/admin/accounts.h"

#include <algorithm>

#include "crypto/digest.h"
#include "firmware/config/ssh_key.h"
#include "firmware/log/render.h"

namespace gh::admin {
namespace {

using namespace gh::log::event;

// A record nobody has the password of: an unknown name costs the same time as a wrong password.
constexpr std::string_view kNobodysRecord =
    "$argon2id$v=19$m=12288,t=3,p=1$AAECAwQFBgcICQoLDA0ODw$"
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

constexpr Duration kForEver = Duration::Seconds(int64_t{10} * 365 * 86400);

// Failures at the serial console count apart from those of the network.
FixedString<64> GuardName(std::string_view user, bool is_serial) {
  FixedString<64> name(is_serial ? "<" : ">");
  name.Append(user);
  return name;
}

}  // namespace

const char* VerdictName(Verdict verdict) {
  static constexpr const char* kNames[] = {"accepted", "wrong name or password", "account locked",
                                           "address blocked"};
  return kNames[static_cast<uint8_t>(verdict)];
}

void PasswordCheck::RunDeferred(Instant now) { accounts_->Decide(*this, now); }

bool Accounts::Admits(const Origin& origin) {
  return origin.is_serial() || !intrusion_.Refuses(origin.address, parts_.clock.Now());
}

Duration Accounts::WaitFor(const Origin& origin, std::string_view user) const {
  return guard_.WaitFor(GuardName(user, origin.is_serial()).view(), parts_.clock.Now());
}

void Accounts::BeginPasswordCheck(PasswordCheck& check, const Origin& origin, std::string_view user,
                                  std::string_view password, PasswordCheck::Observer& observer) {
  GH_ASSERT(!check.is_pending());
  check.accounts_ = this;
  check.observer_ = &observer;
  check.origin_ = origin;
  check.user_.Assign(user);
  // A password that is too long is a wrong one; cut, it might be a right one.
  check.password_size_ = password.size() <= config::kPasswordMax ? password.size() : 0;
  std::memcpy(check.password_.Expose().data(), password.data(), check.password_size_);
  parts_.deferred.Add(check, parts_.clock.Now() + WaitFor(origin, user));
}

void Accounts::Cancel(PasswordCheck& check) {
  parts_.deferred.Remove(check);
  check.password_.Zero();
  check.password_size_ = 0;
}

void Accounts::Decide(PasswordCheck& check, Instant now) {
  const Origin origin = check.origin_;
  const config::Administrator* account = parts_.configuration.FindAdministrator(check.user_.view());
  Verdict verdict = Verdict::kRefused;
  if (!Admits(origin)) {
    verdict = Verdict::kBlocked;  // while it waited
  } else {
    const std::string_view record =
        account != nullptr ? account->password.hash.view() : kNobodysRecord;
    const std::string_view password =
        AsText(std::span<const uint8_t>(check.password_.Expose()).first(check.password_size_));
    const bool good = parts_.hasher.Verify(password, record).ok() && account != nullptr;
    const bool locked = !origin.is_serial() && account != nullptr && IsLocked(check.user_.view());
    verdict = locked ? Verdict::kLocked : good ? Verdict::kAccepted : Verdict::kRefused;
  }
  check.password_.Zero();
  check.password_size_ = 0;
  Identity identity;
  if (verdict == Verdict::kAccepted) {
    identity.user = check.user_;
    identity.role = account->role;
    Succeed(identity, origin, "password");
  } else {
    Fail(check.user_.view(), origin, VerdictName(verdict), account != nullptr, now);
  }
  check.observer_->OnPasswordChecked(verdict, identity);
}

void Accounts::Fail(std::string_view user, const Origin& origin, const char* why, bool is_account,
                    Instant now) {
  ++refused_;
  const FixedString<64> name = GuardName(user, origin.is_serial());
  const bool was_locked = guard_.IsLocked(name.view(), now);
  const uint32_t failures = guard_.Failed(name.view(), now, is_account);
  parts_.log.Emit(LoginRefused{
      .user = user, .from = origin.text().view(), .failures = failures, .reason = why});
  if (is_account) {
    ++LastLoginOf(user).failures_since;
  }
  const auto& rules = parts_.configuration.active().administration_lock_out();
  const bool locks = is_account && !origin.is_serial() && !was_locked && rules.failures > 0 &&
                     failures >= static_cast<uint32_t>(rules.failures);
  if (locks) {
    guard_.Lock(name.view(),
                now + (rules.duration == 0 ? kForEver : Duration::Minutes(rules.duration)));
    parts_.log.Emit(AccountLocked{.user = user,
                                  .from = origin.text().view(),
                                  .failures = failures,
                                  .minutes = static_cast<uint64_t>(rules.duration)});
  }
  if (!origin.is_serial() && !IsExempt(origin.address) &&
      intrusion_.Failed(origin.address, intrusion_settings(), now)) {
    parts_.log.Emit(AddressBlocked{
        .source = net::ToText(origin.address).view(),
        .service = origin.service == Service::kSsh ? "ssh" : "rest",
        .seconds = static_cast<uint64_t>(intrusion_settings().block_time.seconds())});
  }
}

bool Accounts::Refuse(std::string_view user, const Origin& origin, const char* why) {
  const Instant now = parts_.clock.Now();
  Fail(user, origin, why, parts_.configuration.FindAdministrator(user) != nullptr, now);
  return !intrusion_.IsBlocked(origin.address, now);
}

void Accounts::Succeed(const Identity& identity, const Origin& origin, const char* method) {
  ++accepted_;
  guard_.Succeeded(GuardName(identity.user.view(), origin.is_serial()).view());
  if (origin.is_serial()) {  // the owner is at the box: the network's lock ends too
    Unlock(identity.user.view());
  }
  LastLogin& last = LastLoginOf(identity.user.view());
  shown_ = last;
  last.is_known = true;
  last.when = parts_.clock.Wall();
  last.from = origin.text();
  last.failures_since = 0;
  parts_.log.Emit(
      LoggedIn{.user = identity.user.view(), .from = origin.text().view(), .method = method});
}

// --- Public keys --------------------------------------------------------------------------------

bool Accounts::FindKey(std::string_view user, std::span<const uint8_t> key_blob) const {
  for (const config::Administrator& one : parts_.configuration.active().administrator()) {
    if (one.name.empty() || one.name.view() != user) {
      continue;
    }
    for (const auto* key : {&one.key_1, &one.key_2, &one.key_3, &one.key_4}) {
      uint8_t bytes[config::kSshKeyBlobMax];
      ByteWriter blob(bytes);
      if (config::ReadSshKey(key->view(), blob) && ConstantTimeEqual(blob.written(), key_blob)) {
        return true;
      }
      uint8_t digest_bytes[config::kSshKeyDigestSize];
      ByteWriter digest(digest_bytes);
      if (config::ReadSshKeyDigest(key->view(), digest) &&
          ConstantTimeEqual(digest.written(), crypto::Sha256::Of(key_blob))) {
        return true;
      }
    }
  }
  return false;
}

Result<Identity> Accounts::AcceptKey(std::string_view user, std::span<const uint8_t> key_blob,
                                     const Origin& origin) {
  if (!FindKey(user, key_blob)) {
    return Error{ErrorCode::kPermissionDenied, "not a key of this account"};
  }
  Identity identity;
  identity.user.Assign(user);
  identity = Refresh(identity);
  if (!identity.is_known()) {
    return Error{ErrorCode::kPermissionDenied, "no such account"};
  }
  Succeed(identity, origin, "public key");
  return identity;
}

Identity Accounts::Refresh(const Identity& identity) const {
  Identity fresh;
  for (const config::Administrator& one : parts_.configuration.active().administrator()) {
    const bool usable = one.password.is_set() || !one.key_1.empty() || !one.key_2.empty() ||
                        !one.key_3.empty() || !one.key_4.empty();
    if (identity.is_known() && usable && one.name.view() == identity.user.view()) {
      fresh.user = identity.user;
      fresh.role = one.role;
    }
  }
  return fresh;
}

// --- Locks, blocks, last log-ins ----------------------------------------------------------------

bool Accounts::Unlock(std::string_view user) {
  const bool was = IsLocked(user);
  guard_.Succeeded(GuardName(user, false).view());
  if (was) {
    parts_.log.Emit(AccountUnlocked{.user = user});
  }
  return was;
}

bool Accounts::IsLocked(std::string_view user) const {
  return guard_.IsLocked(GuardName(user, false).view(), parts_.clock.Now());
}

Instant Accounts::LockedUntil(std::string_view user) const {
  return guard_.LockedUntil(GuardName(user, false).view());
}

IntrusionSettings Accounts::intrusion_settings() const {
  const auto& wanted = parts_.configuration.active().intrusion_protection();
  return {.is_on = wanted.mode == config::OnOff::kOn,
          .failures_max = static_cast<uint32_t>(wanted.failures),
          .window = Duration::Seconds(wanted.window),
          .block_time = Duration::Seconds(wanted.block_time)};
}

bool Accounts::IsExempt(const net::IpAddress& address) const {
  for (const auto& exemption : parts_.configuration.active().intrusion_protection_exemption()) {
    if (!exemption.address.address.is_none() && exemption.address.Contains(address)) {
      return true;
    }
  }
  return false;
}

// The entry of that user; else one of a user that is gone, else the first.
LastLogin& Accounts::LastLoginOf(std::string_view user) {
  LastLogin* place = nullptr;
  for (LastLogin& one : last_logins_) {
    if (!one.user.empty() && one.user.view() == user) {
      return one;
    }
    const bool is_free =
        one.user.empty() || parts_.configuration.FindAdministrator(one.user.view()) == nullptr;
    place = place == nullptr && is_free ? &one : place;
  }
  place = place == nullptr ? last_logins_.data() : place;
  *place = {};
  place->user.Assign(user);
  return *place;
}

const LastLogin* Accounts::FindLastLogin(std::string_view user) const {
  for (const LastLogin& one : last_logins_) {
    if (!one.user.empty() && one.user.view() == user) {
      return &one;
    }
  }
  return nullptr;
}

void Accounts::WriteWelcome(const Identity& identity, ByteWriter& out) {
  const bool is_his = shown_.user.view() == identity.user.view();
  if (is_his && shown_.is_known) {
    out.Text("Last log-in: ");
    if (shown_.when.is_set) {
      log::FormatTimestamp(shown_.when, out);
      out.Text(" from ");
    } else {
      out.Text("from ");
    }
    out.Text(shown_.from.view());
    out.Text(".\n");
  }
  if (is_his && shown_.failures_since > 0) {
    out.Decimal(shown_.failures_since);
    out.Text(shown_.failures_since == 1 ? " log-in was" : " log-ins were");
    out.Text(" refused since then.\n");
  }
}

}  // namespace gh::admin
