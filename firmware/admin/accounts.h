// The gate: who may work at a session, for every way in alike (serial console, SSH, later REST).
//
// A password is checked with Argon2id when nothing else is due (deferred.h); a public key at once.
// Failures cost the account name a wait and in the end a lock (login.h), and the source address a
// block (intrusion.h). Every decision is an event. Keys are not guessed, so a lock of the password
// does not hold back who has a key; the serial console is neither locked nor blocked.
//
// The caller of a way in does, in this order: Admits() for a new connection; BeginPasswordCheck()
// or FindKey() and, when the signature was good, AcceptKey(), else Refuse(); Sessions::Open().
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/password.h"
#include "firmware/admin/deferred.h"
#include "firmware/admin/identity.h"
#include "firmware/admin/intrusion.h"
#include "firmware/admin/limits.h"
#include "firmware/admin/login.h"
#include "firmware/config/configuration.h"
#include "firmware/log/log.h"
#include "hal/clock.h"
#include "hal/rt/secret.h"

namespace gh::admin {

enum class Verdict : uint8_t {
  kAccepted,
  kRefused,  // name or password wrong
  kLocked,   // the account is locked to the network
  kBlocked,  // the source address is blocked
};
const char* VerdictName(Verdict verdict);

// One password on its way to a verdict. A member of whoever asks, which cancels it before it goes.
class PasswordCheck final : public DeferredWork {
 public:
  class Observer {
   public:
    // `identity` is who it is when accepted. A new check may begin from here.
    virtual void OnPasswordChecked(Verdict verdict, const Identity& identity) = 0;

   protected:
    ~Observer() = default;
  };
  bool is_pending() const { return is_deferred(); }
  void RunDeferred(Instant now) override;

 private:
  friend class Accounts;
  class Accounts* accounts_ = nullptr;
  Observer* observer_ = nullptr;
  Origin origin_;
  FixedString<63> user_;
  SecretBytes<config::kPasswordMax> password_;
  size_t password_size_ = 0;
};

struct LastLogin {
  FixedString<63> user;
  bool is_known = false;
  WallTime when;
  FixedString<64> from;
  uint32_t failures_since = 0;
};

class Accounts {
 public:
  struct Parts {
    config::Configuration& configuration;
    log::Log& log;
    crypto::PasswordHasher& hasher;
    hal::Clock& clock;
    DeferredQueue& deferred;
  };
  explicit Accounts(const Parts& parts) : parts_(parts) {}
  Accounts(const Accounts&) = delete;
  Accounts& operator=(const Accounts&) = delete;

  // Whether this source may try at all. False: close the connection without a word.
  bool Admits(const Origin& origin);

  // The verdict comes later, from the deferred queue. `password` is copied and wiped afterwards.
  void BeginPasswordCheck(PasswordCheck& check, const Origin& origin, std::string_view user,
                          std::string_view password, PasswordCheck::Observer& observer);
  void Cancel(PasswordCheck& check);
  // When the check will be made at the latest, for a caller that shows nothing meanwhile.
  Duration WaitFor(const Origin& origin, std::string_view user) const;

  // Whether `user` has this public key (the SSH wire form, RFC 4253 6.6: what is base64 in an
  // OpenSSH .pub file). Tells nothing to a peer that is not told the answer.
  bool FindKey(std::string_view user, std::span<const uint8_t> key_blob) const;
  // The signature was good and FindKey() is still true: who it is. kPermissionDenied otherwise.
  Result<Identity> AcceptKey(std::string_view user, std::span<const uint8_t> key_blob,
                             const Origin& origin);
  // A bad signature or another failure that a guesser makes. False: the source is blocked now.
  bool Refuse(std::string_view user, const Origin& origin, const char* why);

  // The identity again, after a change of the configuration: the role may have changed or the
  // account may be gone (then unknown).
  Identity Refresh(const Identity& identity) const;

  // Ends an account's lock. False: it is not locked.
  bool Unlock(std::string_view user);
  bool IsLocked(std::string_view user) const;
  Instant LockedUntil(std::string_view user) const;
  const LastLogin* FindLastLogin(std::string_view user) const;
  // Lines that are shown after log-in: banner, the log-in before, failures since.
  void WriteWelcome(const Identity& identity, ByteWriter& out);

  Intrusion& intrusion() { return intrusion_; }
  const Intrusion& intrusion() const { return intrusion_; }
  uint64_t refused_count() const { return refused_; }
  uint64_t accepted_count() const { return accepted_; }

 private:
  friend class PasswordCheck;
  void Decide(PasswordCheck& check, Instant now);
  void Fail(std::string_view user, const Origin& origin, const char* why, bool is_account,
            Instant now);
  void Succeed(const Identity& identity, const Origin& origin, const char* method);
  LastLogin& LastLoginOf(std::string_view user);
  bool IsExempt(const net::IpAddress& address) const;
  IntrusionSettings intrusion_settings() const;

  Parts parts_;
  LoginGuard guard_;
  Intrusion intrusion_;
  std::array<LastLogin, kAdministratorMax> last_logins_ = {};
  LastLogin shown_;  // the log-in before the present one
  uint64_t refused_ = 0;
  uint64_t accepted_ = 0;
};

}  // namespace gh::admin
