// The servers the appliance itself asks: DNS, for all names and per domain, and time servers.
#include "firmware/admin/status_text.h"
#include "firmware/rooms.h"

namespace gh {
namespace {

using namespace gh::log::event;

static_assert(static_cast<uint8_t>(config::NtpKeyAlgorithm::kAes128) ==
              static_cast<uint8_t>(net::NtpDigest::kAesCmac));

void WriteMilliseconds(Duration duration, ByteWriter& out) {
  const bool negative = duration.ns < 0;
  const auto microseconds = static_cast<uint64_t>((negative ? -duration.ns : duration.ns) / 1000);
  out.Text(negative ? "-" : "");
  out.Decimal(microseconds / 1000);
  out.Char('.');
  out.Decimal(microseconds / 100 % 10);
  out.Decimal(microseconds / 10 % 10);
  out.Decimal(microseconds % 10);
}

}  // namespace

// The configured ones first, then those the network told of.
void Appliance::Rooms::ApplyServers() {
  const config::Settings& settings = configuration->active();
  std::array<net::IpAddress, net::kDnsServerMax> dns;
  resolver->SetServers(std::span(dns).first(stack->DnsServers(dns)));
  resolver->ClearDomainServers();
  for (const config::DnsPerDomainServer& server : settings.dns_per_domain_server()) {
    for (const std::string_view domain : {server.domain1.view(), server.domain2.view()}) {
      if (!server.address.is_none() && !domain.empty()) {
        resolver->AddDomainServer(domain, server.address)
            .ignore("a host name, and no more than there are settings");
      }
    }
  }
  std::array<net::NtpServerConfig, net::kNtpServerMax> servers;
  std::array<net::EndpointText, net::kNtpServerMax> learnt_text;
  std::array<net::IpAddress, net::kNtpServerMax> learnt;
  uint32_t count = 0;
  for (const config::NtpServer& server : settings.ntp_server()) {
    if (server.address.empty() || count == servers.size()) {
      continue;
    }
    servers[count].name = server.address.view();
    if (server.key_id != 0) {
      const auto key =
          net::MakeNtpKey(static_cast<uint32_t>(server.key_id),
                          static_cast<net::NtpDigest>(server.key_algorithm), server.key.view());
      if (!key.ok()) {  // the settings are checked: they were stored by another version
        log.Emit(ServiceFailed{.service = "time server", .reason = key.error().what});
        continue;
      }
      servers[count].key = *key;
    }
    ++count;
  }
  const uint32_t learnt_count = stack->LearntNtpServers(learnt);
  for (uint32_t i = 0; i < learnt_count && count < servers.size(); ++i) {
    learnt_text[i] = net::ToText(learnt[i]);
    servers[count++].name = learnt_text[i].view();
  }
  sntp->SetPoll({Duration::Seconds(settings.ntp().poll_min),
                 Duration::Seconds(std::max(settings.ntp().poll_min, settings.ntp().poll_max))});
  const auto set = sntp->SetServers(std::span<const net::NtpServerConfig>(servers).first(count));
  if (!set.ok()) {
    log.Emit(ServiceFailed{.service = "time servers", .reason = set.error().what});
  }
}

// Timers run on the machine's own clock, which is never set: a step moves the time of day alone.
void Appliance::Rooms::OnTimeStep(Duration offset, bool was_set, const net::IpAddress& server) {
  log.Emit(ClockSet{.source = net::ToText(server).view(),
                    .step_ms = was_set ? offset.milliseconds() : 0});
}

void Appliance::Rooms::OnTimeLost() { log.Emit(TimeLost{}); }

bool Appliance::Rooms::NextNtpLine(uint64_t& cursor, ByteWriter& out) {
  const uint64_t at = cursor++;
  if (at == 0) {
    out.Text("NTP State: ");
    out.Text(sntp->status().synchronised ? "Synchronised" : "Not synchronised");
    return true;
  }
  if (at > sntp->server_count()) {
    return false;
  }
  const net::NtpServerStatus server = sntp->server_status(static_cast<uint32_t>(at - 1));
  out.Text("NTP Server ");
  out.Decimal(at);
  out.Text(": ");
  out.Text(server.name);
  out.Text(server.chosen     ? " chosen"
           : server.answered ? " good"
           : server.avoided  ? " avoided"
                             : " silent");
  if (!server.address.is_none()) {
    out.Text(" address=");
    server.address.Format(out);
  }
  if (server.answered) {
    Tell(out, "stratum", server.stratum);
    out.Text(" offset_ms=");
    WriteMilliseconds(server.offset, out);
    out.Text(" round_trip_ms=");
    WriteMilliseconds(server.round_trip, out);
  }
  out.Text(server.has_key ? " key=Yes" : " key=No");
  Tell(out, "sent", server.sent_count);
  Tell(out, "good", server.good_count);
  Tell(out, "rejected", server.rejected_count);
  Tell(out, "unauthentic", server.unauthentic_count);
  return true;
}

bool Appliance::Rooms::NextDnsLine(uint64_t& cursor, ByteWriter& out) {
  if (cursor++ != 0) {
    return false;
  }
  const net::DnsStatus counters = resolver->status();
  out.Text("DNS Statistics:");
  Tell(out, "questions", counters.question_count);
  Tell(out, "from_cache", counters.cache_hit_count);
  Tell(out, "sent", counters.sent_count);
  Tell(out, "timeouts", counters.timeout_count);
  Tell(out, "rejected", counters.rejected_count);
  Tell(out, "pending", counters.pending_count);
  Tell(out, "cached", counters.cache_count);
  return true;
}

}  // namespace gh
