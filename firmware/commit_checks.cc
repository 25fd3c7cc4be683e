#include "firmware/commit_checks.h"

#include "firmware/calls/dial_plan_service.h"
#include "firmware/log/syslog.h"
#include "firmware/log/time_zone.h"

namespace gh {

namespace {
constexpr int32_t kMultiplexPortMin = 1024;  // but 0, which is the profile's
}  // namespace

Result<void> CommitChecks::Check(const config::Settings& settings,
                                 config::Message& expected) const {
  if (const auto zone = log::TimeZone::Of(settings.time().zone.view()); !zone.ok()) {
    config::MessageWriter(expected).Add(zone.error().what).Add(": Time Zone");
    return Error{ErrorCode::kInvalidArgument, "not a time zone"};
  }
  const auto servers = settings.syslog_server();
  for (size_t i = 0; i < servers.size(); ++i) {
    const auto categories = log::ParseCategories(servers[i].categories.view());
    const auto fingerprint = log::ParseFingerprint(servers[i].fingerprint.view());
    const bool is_pinned_wrongly = !servers[i].fingerprint.empty() && !fingerprint.ok();
    if (categories.ok() && !is_pinned_wrongly) {
      continue;
    }
    config::MessageWriter(expected)
        .Add(categories.ok() ? fingerprint.error().what : categories.error().what)
        .Add(": Syslog Server ")
        .Add(static_cast<int64_t>(i + 1))
        .Add(categories.ok() ? " Fingerprint" : " Categories");
    return Error{ErrorCode::kInvalidArgument, "not a setting of syslog"};
  }
  const int32_t port = settings.traversal_media().multiplex_port;
  if (port != 0 && port < kMultiplexPortMin) {
    config::MessageWriter(expected).Add("0, or 1024 and more: Traversal Media Multiplex Port");
    return Error{ErrorCode::kInvalidArgument, "not a port of media"};
  }
  return patterns_ == nullptr ? Ok() : CheckDialPlan(settings, *patterns_, expected);
}

}  // namespace gh
