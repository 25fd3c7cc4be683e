// Intrusion protection of SIP: an address that shows wrong passwords too often is kept away from
// SIP's ports for a while by the firewall. A failure counts only where the credentials answer a
// challenge of ours that went to that very address: nobody gets another one blocked by writing its
// address into packets. The table is the console's (admin/intrusion.h), the exemptions too.
#pragma once

#include "firmware/admin/intrusion.h"
#include "firmware/config/configuration.h"
#include "firmware/log/log.h"
#include "hal/clock.h"

namespace gh {

class SipGuard {
 public:
  struct Parts {
    const config::Configuration& configuration;
    log::Log& log;
    hal::Clock& clock;
    admin::AddressBlocker& blocker;
  };
  explicit SipGuard(const Parts& parts) : parts_(parts) { intrusion_.SetBlocker(&parts_.blocker); }
  SipGuard(const SipGuard&) = delete;
  SipGuard& operator=(const SipGuard&) = delete;

  void OnGuess(const net::IpAddress& source);
  admin::Intrusion& intrusion() { return intrusion_; }
  bool NextLine(uint64_t& cursor, ByteWriter& out) const;

 private:
  bool IsExempt(const net::IpAddress& address) const;

  Parts parts_;
  admin::Intrusion intrusion_;
};

}  // namespace gh
