// Log-in over a transport (RFC 4252): public key and password, tries counted, `none` refused.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/admin/ssh/ports.h"
#include "firmware/admin/ssh/transport.h"
#include "hal/rt/fixed_string.h"

namespace gh::ssh {

struct AuthenticationSettings {
  uint32_t tries_max = 6;
  bool allows_password = true;
  FixedString<kBannerMax> banner;  // shown before log-in; empty: none
};

class LoginObserver {
 public:
  virtual void OnLoggedIn(std::string_view user, std::string_view method,
                          std::string_view fingerprint) = 0;
  virtual void OnLoginRefused(std::string_view user, std::string_view method) = 0;

 protected:
  ~LoginObserver() = default;
};

class Authentication {
 public:
  Authentication(Handle id, const net::IpAddress& remote, crypto::TlsEnvironment& environment,
                 const AuthenticationSettings& settings, Transport& transport,
                 Authenticator& authenticator, LoginObserver& observer)
      : id_(id),
        remote_(remote),
        environment_(environment),
        settings_(settings),
        transport_(transport),
        authenticator_(authenticator),
        observer_(observer) {}
  Authentication(const Authentication&) = delete;
  Authentication& operator=(const Authentication&) = delete;
  ~Authentication();

  // False: no message of log-in.
  bool OnPacket(std::span<const uint8_t> payload);
  bool is_pending() const { return is_pending_; }
  void OnPasswordChecked(bool accepted);

  bool done() const { return done_; }
  std::string_view user() const { return user_.view(); }
  std::string_view method() const { return method_; }
  std::string_view fingerprint() const { return fingerprint_.view(); }

 private:
  void HandleServiceRequest(ByteReader& in);
  void HandleRequest(ByteReader& in);
  bool TakeUser(std::string_view user, std::string_view service);
  void HandlePassword(ByteReader& in);
  void HandlePublicKey(ByteReader& in);
  bool IsSigned(const PublicKeyView& key, std::string_view algorithm,
                std::span<const uint8_t> signature) const;
  void Accept(std::string_view method);
  void Refuse(std::string_view method, bool counts);
  void SendBanner();

  Handle id_;
  net::IpAddress remote_;
  crypto::TlsEnvironment& environment_;
  const AuthenticationSettings& settings_;
  Transport& transport_;
  Authenticator& authenticator_;
  LoginObserver& observer_;

  bool has_service_ = false;
  bool has_user_ = false;
  bool has_banner_ = false;
  bool is_pending_ = false;
  bool done_ = false;
  uint32_t tries_ = 0;
  uint32_t queries_ = 0;
  std::string_view method_;
  FixedString<kUserNameMax> user_;
  Fingerprint fingerprint_;
};

}  // namespace gh::ssh
