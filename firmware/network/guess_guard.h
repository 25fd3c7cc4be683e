// Intrusion protection of a service that users log in to: an address that shows wrong passwords too
// often is kept away from the service's ports for a while by the firewall. A guess counts only
// where its sender proved that he receives at that address (a challenge of SIP's went there, TCP
// has its connection): nobody gets another one blocked by writing its address into packets. The
// table is the console's (admin/intrusion.h), the exemptions too.
#pragma once

#include "firmware/admin/intrusion.h"
#include "firmware/config/configuration.h"
#include "firmware/log/log.h"
#include "hal/clock.h"

namespace gh {

class GuessGuard {
 public:
  // One of its own for each service.
  struct Rules {
    bool is_on = true;
    uint32_t failures_max = 50;
  };
  struct Parts {
    const config::Configuration& configuration;
    log::Log& log;
    hal::Clock& clock;
    admin::AddressBlocker& blocker;
    const char* name;     // in the status
    const char* service;  // in events
    Rules (*rules)(const config::Settings& settings);
  };
  explicit GuessGuard(const Parts& parts) : parts_(parts) {
    intrusion_.SetBlocker(&parts_.blocker);
  }
  GuessGuard(const GuessGuard&) = delete;
  GuessGuard& operator=(const GuessGuard&) = delete;

  void OnGuess(const net::IpAddress& source);
  admin::Intrusion& intrusion() { return intrusion_; }
  bool NextLine(uint64_t& cursor, ByteWriter& out) const;

 private:
  bool IsExempt(const net::IpAddress& address) const;

  Parts parts_;
  admin::Intrusion intrusion_;
};

}  // namespace gh
