#include "firmware/calls/sip_guard.h"

#include <algorithm>

#include "firmware/admin/status_text.h"

namespace gh {

using namespace gh::log::event;

bool SipGuard::IsExempt(const net::IpAddress& address) const {
  return std::ranges::any_of(
      parts_.configuration.active().intrusion_protection_exemption(), [&](const auto& exemption) {
        return !exemption.address.address.is_none() && exemption.address.Contains(address);
      });
}

void SipGuard::OnGuess(const net::IpAddress& source) {
  const config::Settings& settings = parts_.configuration.active();
  const auto& shared = settings.intrusion_protection();
  const admin::IntrusionSettings rules = {
      .is_on = settings.intrusion_protection_sip().mode == config::OnOff::kOn,
      .failures_max = static_cast<uint32_t>(settings.intrusion_protection_sip().failures),
      .window = Duration::Seconds(shared.window),
      .block_time = Duration::Seconds(shared.block_time)};
  if (!IsExempt(source) && intrusion_.Failed(source, rules, parts_.clock.Now())) {
    parts_.log.Emit(AddressBlocked{.source = net::ToText(source).view(),
                                   .service = "sip",
                                   .seconds = static_cast<uint64_t>(shared.block_time)});
  }
}

bool SipGuard::NextLine(uint64_t& cursor, ByteWriter& out) const {
  const Instant now = parts_.clock.Now();
  if (cursor == 0) {
    ++cursor;
    out.Text("IntrusionProtection SIP:");
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
    out.Text("IntrusionProtection SIP Source ");
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
