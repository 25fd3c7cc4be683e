// The operator's settings as the rooms want them. Pure: settings in, a room's configuration out.
#pragma once

#include <array>
#include <span>

#include "firmware/config/settings.h"
#include "firmware/log/syslog.h"
#include "firmware/sip/config.h"
#include "net/address.h"
#include "net/stack_config.h"

namespace gh {

// `dmi`: LAN3 as the management interface of this run; null: LAN3 is a port like the others.
net::StackConfig NetConfigOf(const config::Settings& settings,
                             const config::NetworkDmi* dmi = nullptr);

// `addresses`: those SIP is to listen on; each must be an address of ours.
sip::Config SipConfigOf(const config::Settings& settings,
                        std::span<const net::IpAddress> addresses);

std::array<log::SyslogServerConfig, log::kSyslogServerMax> SyslogConfigOf(
    const config::Settings& settings);

}  // namespace gh
