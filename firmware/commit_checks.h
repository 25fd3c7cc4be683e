// What a change of settings is held to by rooms that the configuration does not know: a time zone
// that exists, syslog's categories and fingerprints. A wrong one is refused when it is typed.
#pragma once

#include "firmware/config/configuration.h"
#include "firmware/dialplan/pattern.h"

namespace gh {

class CommitChecks final : public config::CommitCheck {
 public:
  Result<void> Check(const config::Settings& settings, config::Message& expected) const override;
  // Where patterns of the dial plan are tried; without it they are not looked at.
  void SetPatterns(dialplan::PatternStore& patterns) { patterns_ = &patterns; }

 private:
  dialplan::PatternStore* patterns_ = nullptr;
};

}  // namespace gh
