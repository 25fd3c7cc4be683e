// What a change of settings is held to by rooms that the configuration does not know: a time zone
// that exists, syslog's categories and fingerprints. A wrong one is refused when it is typed.
#pragma once

#include "firmware/config/configuration.h"

namespace gh {

class CommitChecks final : public config::CommitCheck {
 public:
  Result<void> Check(const config::Settings& settings, config::Message& expected) const override;
};

}  // namespace gh
