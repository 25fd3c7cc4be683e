#include "firmware/network/guess_guard.h"

#include <algorithm>

#include "firmware/admin/status_text.h"

namespace gh {

using namespace gh::log::event;

bool GuessGuard::IsExempt(const net::IpAddress& address) const {
  return std::ranges::any_of(
      parts_.configuration.active().intrusion_protection_exemption(), [&](const auto& exemption) {
        return !exemption.address.address.is_none() && exemption.address.Contains(address);
      });
}

void GuessGuard::OnGuess(const net::IpAddress& source) {
  const config::Settings& settings = parts_.configuration.active();
  const auto& shared = settings.intrusion_protection();
  const Rules own = parts_.rules(settings);
  const admin::IntrusionSettings rules = {.is_on = own.is_on,
                                          .failures_max = own.failures_max,
                                          .window = Duration::Seconds(shared.window),
                                          .block_time = Duration::Seconds(shared.block_time)};
  if (!IsExempt(source) && intrusion_.Failed(source, rules, parts_.clock.Now())) {
    parts_.log.Emit(AddressBlocked{.source = net::ToText(source).view(),
                                   .service = parts_.service,
                                   .seconds = static_cast<uint64_t>(shared.block_time)});
  }
}

bool GuessGuard::NextLine(uint64_t& cursor, ByteWriter& out) const {
  const Instant now = parts_.clock.Now();
  if (cursor == 0) {
    ++cursor;
    out.Text("IntrusionProtection ");
    out.Text(parts_.name);
    out.Char(':');
    Tell(out, "blocked", intrusion_.BlockedCount(now));
    Tell(out, "blocks", intrusion_.blocks());
    return true;
  }
  const auto entries = intrusion_.entries();
  while (cursor <= entries.size()) {
    const admin::IntrusionEntry& entry = entries[cursor++ - 1];
    if (!entry.is_used()) {
      continue;
    }
    out.Text("IntrusionProtection ");
    out.Text(parts_.name);
    out.Text(" Source ");
    entry.source.address.Format(out);
    out.Text(entry.source.address.is_v6() ? "/64:" : ":");
    Tell(out, "failures", entry.failures);
    Tell(out, "blocks", entry.block_count);
    if (entry.blocked_until > now) {
      Tell(out, "blocked_s", static_cast<uint64_t>((entry.blocked_until - now).seconds() + 1));
    }
    return true;
  }
  return false;
}

}  // namespace gh
