// Who works at a session and from where: what the gate (accounts.h) finds out and the audit log
// repeats.
#pragma once

#include <cstdint>
#include <string_view>

#include "firmware/config/settings.h"
#include "hal/rt/bytes.h"
#include "hal/rt/fixed_string.h"
#include "net/address.h"

namespace gh::admin {

enum class Service : uint8_t { kSerial, kSsh, kRest };

// Where somebody comes from. The serial console has no address; it is never blocked or locked out,
// because it is the way back in.
struct Origin {
  Service service = Service::kSerial;
  net::IpAddress address;

  static Origin Serial() { return {}; }
  static Origin Ssh(const net::IpAddress& address) { return {Service::kSsh, address}; }
  bool is_serial() const { return service == Service::kSerial; }
  // "serial", "ssh 198.51.100.7"
  FixedString<64> text() const {
    FixedString<64> text(service == Service::kSerial ? "serial"
                         : service == Service::kSsh  ? "ssh"
                                                     : "rest");
    if (!address.is_none()) {
      text.Append(' ');
      text.Append(net::ToText(address).view());
    }
    return text;
  }
};

// What a role may do. Each line holds the ones above it but for the auditor, who does not read the
// configuration.
enum class Right : uint8_t {
  kLook,               // state, events, alarms: every role
  kReadConfiguration,  // settings: all but Auditor
  kChange,             // settings and commands: Administrator and ReadWrite
  kAdminister,         // accounts, passwords, backups, factory reset: Administrator
};

constexpr bool MayDo(config::Role role, Right right) {
  switch (right) {
    case Right::kLook:
      return true;
    case Right::kReadConfiguration:
      return role != config::Role::kAuditor;
    case Right::kChange:
      return role == config::Role::kAdministrator || role == config::Role::kReadWrite;
    case Right::kAdminister:
      return role == config::Role::kAdministrator;
  }
  return false;
}

struct Identity {
  FixedString<63> user;  // empty: nobody yet
  config::Role role = config::Role::kAuditor;

  bool is_known() const { return !user.empty(); }
  bool May(Right right) const { return is_known() && MayDo(role, right); }
};

// "admin@ssh 198.51.100.7", for the audit log.
using Actor = FixedString<136>;
inline Actor ActorOf(const Identity& identity, const Origin& origin) {
  Actor actor(identity.user.view());
  actor.Append('@');
  actor.Append(origin.text().view());
  return actor;
}

}  // namespace gh::admin
