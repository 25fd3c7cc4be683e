// The names by which other servers know us: users' e-mail addresses and their domains, and what the
// certificate has to name for all that is served.
#include <algorithm>
#include <utility>

#include "crypto/other_names.h"
#include "crypto/path_check.h"
#include "firmware/admin/status_text.h"
#include "firmware/messaging/federation_service.h"

namespace gh {

using namespace gh::log::event;
using log::AlarmId;

// --- What certificates name ----------------------------------------------------------------------

// Every domain that is served towards other servers, some maybe twice; a pattern comes as it is.
template <typename Visit>
void FederationService::ForEachName(Visit visit) {
  const s2s::Config& config = federation_->config();
  if (!config.enabled) {
    return;
  }
  const xmpp::Config& engine = parts_.xmpp.engine().config();
  for (uint32_t i = 0; i < engine.domain_count && !config.by_edge; ++i) {
    visit(engine.domains[i].view());
  }
  for (uint32_t i = 0; i < engine.rooms.host_count && !config.by_edge; ++i) {
    visit(engine.rooms.hosts[i].view());
  }
  for (uint32_t i = 0; i < config.partner_count && !config.by_edge; ++i) {
    visit(config.partners[i].domain.view());
  }
  if (config.emails && !config.by_edge) {
    for (const xmpp::EmailDomain& each : parts_.xmpp.engine().directory().email_domains()) {
      visit(each.name.view());
    }
    for (uint32_t i = 0; i < config.email_domain_count; ++i) {
      visit(config.email_domains[i].view());
    }
  }
  if (config.by_edge && engine.domain_count > 0) {
    visit(engine.domains[0].view());  // the Edge knows us by it
  }
}

std::string_view FederationService::CertificateNames() {
  names_.Clear();
  ForEachName([this](std::string_view served) {
    FixedString<xmpp::kDnsDomainMax> encoded;
    const std::string_view name = xmpp::DomainForDns(served, encoded) ? encoded.view() : "";
    for (const std::string_view each : {name, name.starts_with("*.") ? name.substr(2) : ""}) {
      if (!each.empty() && names_.size() + 1 + each.size() <= names_.capacity()) {
        names_.Append(names_.empty() ? "" : ",");
        names_.Append(each);
      }
    }
  });
  return names_.view();
}

// XCERT-004: other servers are shown the server certificate.
void FederationService::CheckCertificate() {
  crypto::Identities& identities = parts_.tls.parts().identities;
  const crypto::Identity* identity = identities.Acquire({});
  std::string_view missing;
  if (identity != nullptr && identity->chain != nullptr) {
    const mbedtls_x509_crt& leaf = *identity->chain;
    ForEachName([&](std::string_view name) {
      const std::string_view domain = name.starts_with("*.") ? name.substr(2) : name;
      FixedString<xmpp::kDnsDomainMax> encoded;
      if (missing.empty() &&
          !(xmpp::DomainForDns(domain, encoded) &&
            (crypto::NamesHost(leaf, encoded.view()) ||
             crypto::NamesService(leaf, "_xmpp-server", encoded.view()))) &&
          !crypto::NamesXmppDomain(leaf, domain)) {
        missing = domain;
      }
    });
  }
  parts_.alarms.Set(AlarmId::kXmppCertificateNames, !missing.empty(), missing);
  if (identity != nullptr) {
    identities.Release(*identity);
  }
}

// --- E-mail domains ------------------------------------------------------------------------------

// What changed since the last look. A domain that no user has any more is the administrator's from
// now on (EMAIL-016).
void FederationService::WatchNames() {
  CheckCertificate();
  KeepRoomHosts();
  const auto now = parts_.xmpp.engine().directory().email_domains();
  const auto is_in = [](auto& list, uint32_t count, std::string_view name) {
    return std::ranges::any_of(std::span(list).first(count),
                               [&](const auto& each) { return each == name; });
  };
  bool has_changed = now.size() != domain_count_;
  for (const xmpp::EmailDomain& each : now) {
    if (!is_in(domains_, domain_count_, each.name.view())) {
      has_changed = true;
      if (knows_domains_) {
        parts_.log.Emit(XmppDomainChanged{.domain = each.name.view(), .change = "in use"});
      }
    }
  }
  if (!has_changed) {
    knows_domains_ = true;
    return;
  }
  const auto before = domains_;
  const uint32_t before_count = domain_count_;
  domain_count_ = 0;
  for (const xmpp::EmailDomain& each : now) {
    domains_[domain_count_++] = each.name;
  }
  knows_domains_ = true;
  for (const auto& each : std::span(before).first(before_count)) {
    if (!is_in(domains_, domain_count_, each.view())) {
      KeepDomain(each.view());
    }
  }
}

void FederationService::KeepDomain(std::string_view domain) {
  config::Configuration& configuration = parts_.configuration;
  uint32_t free = 0;
  uint32_t index = 0;
  bool is_there = false;
  for (const auto& each : configuration.active().xmpp_federation_email_domain()) {
    ++index;
    is_there = is_there || each.name.view() == domain;
    free = free == 0 && each.name.empty() ? index : free;
  }
  const bool is_kept = is_there || KeepSetting("XMPP Federation EmailDomain", free, domain);
  parts_.log.Emit(XmppDomainChanged{
      .domain = domain, .change = is_kept ? "no user's any more, and kept" : "served no more"});
}

// False: there is no instance for it, or somebody else changes settings.
bool FederationService::KeepSetting(std::string_view group, uint32_t instance,
                                    std::string_view name) {
  config::Configuration& configuration = parts_.configuration;
  if (instance == 0 || configuration.in_change()) {
    return false;
  }
  uint8_t bytes[256];
  ByteWriter line(bytes);
  line.Text("xConfiguration ");
  line.Text(group);
  line.Char(' ');
  line.Decimal(instance);
  line.Text(" Name: ");
  line.Text(name);
  config::Message refused;
  configuration.Begin();
  if (!configuration.Apply(line.text(), refused).ok()) {
    configuration.Abort();
    return false;
  }
  return configuration.Commit(refused).ok();
}

// ALIAS-07: where a domain goes, or is named anew, its rooms keep their addresses: the alias that
// was the system's becomes one of the administrator's. One that cannot be kept is tried again.
void FederationService::KeepRoomHosts() {
  const xmpp::Engine& engine = parts_.xmpp.engine();
  if (!engine.config().enabled) {
    return;
  }
  const auto before = own_hosts_;
  const uint32_t before_count = std::exchange(own_host_count_, 0);
  const auto aliases = parts_.configuration.active().xmpp_room_alias();
  for (uint32_t i = 0; i < engine.config().rooms.host_count; ++i) {
    const auto& host = engine.config().rooms.hosts[i];
    if (!std::ranges::any_of(aliases,
                             [&](const auto& each) { return each.name.view() == host.view(); })) {
      own_hosts_[own_host_count_++].Assign(host.view());
    }
  }
  for (const auto& host : std::span(before).first(before_count)) {
    bool has_rooms = false;
    uint32_t cursor = 0;
    for (xmpp::RoomInfo room; !has_rooms && parts_.xmpp.engine().rooms().NextRoom(cursor, room);) {
      has_rooms = room.name.substr(room.name.find('@') + 1) == host.view();
    }
    if (!has_rooms || engine.Serves(host.view())) {
      continue;
    }
    uint32_t free = 0;
    for (uint32_t i = 0; i < aliases.size() && free == 0; ++i) {
      free = aliases[i].name.empty() ? i + 1 : 0;
    }
    if (KeepSetting("XMPP Room Alias", free, host.view())) {
      parts_.log.Emit(XmppDomainChanged{.domain = host.view(), .change = "of rooms, and kept"});
    } else if (own_host_count_ < own_hosts_.size()) {
      own_hosts_[own_host_count_++] = host;
    }
  }
}

// --- Commands and status -------------------------------------------------------------------------

void FederationService::AddNamesTo(admin::StatusTree& status, admin::CommandTable& commands) {
  status.AddMember<&FederationService::NextEmailDomain>(
      "XMPP EmailDomain", "Domains of users' e-mail addresses towards other servers", this);
  status.AddMember<&FederationService::NextPartner>(
      "XMPP Partner", "Components, the Edge and devices inside, which serve domains with us", this);
  admin::Command email;
  email.path = "XMPP User Email";
  email.help = "Gives an XMPP user the e-mail address that other servers know him by";
  email.value_help = "user@domain and the address, or None, a blank between";
  email.context = this;
  email.run_value = [](void* context, std::string_view by, std::string_view value,
                       ByteWriter& out) {
    return static_cast<FederationService*>(context)->RunEmail(by, value, out);
  };
  commands.Add(email);
}

Result<void> FederationService::SetEmail(std::string_view user, std::string_view email) {
  xmpp::Directory& directory = parts_.xmpp.engine().directory();
  const auto address = xmpp::Address::Parse(user);
  xmpp::Account* account = address.ok() ? directory.Find(address->full()) : nullptr;
  if (account == nullptr) {
    return Error{ErrorCode::kNotFound, "there is no such XMPP user"};
  }
  if (email.empty()) {
    return directory.SetEmail(*account, {});
  }
  const auto prepared = xmpp::Address::Parse(email);
  if (!prepared.ok()) {
    return Error{ErrorCode::kInvalidArgument, "expected an e-mail address"};
  }
  return directory.SetEmail(*account, prepared->full());
}

Result<void> FederationService::RunEmail(std::string_view by, std::string_view value,
                                         ByteWriter& out) {
  const size_t blank = value.find(' ');
  if (blank == std::string_view::npos) {
    return Error{ErrorCode::kInvalidArgument, "expected user@domain and an address, or None"};
  }
  const std::string_view user = value.substr(0, blank);
  const std::string_view email = value.substr(blank + 1);
  GH_TRY(SetEmail(user, email == "None" ? std::string_view() : email));
  parts_.xmpp.FlushRows();
  parts_.log.Emit(XmppUserChanged{
      .by = by,
      .user = user,
      .change = email == "None" ? "lost his e-mail address" : "has another e-mail address"});
  WatchNames();
  out.Text(email == "None" ? "E-mail address removed." : "E-mail address set.");
  return Ok();
}

// EMAIL-013, EMAIL-014: those of users are the system's, the others the administrator's.
bool FederationService::NextEmailDomain(uint64_t& cursor, ByteWriter& out) {
  const auto users = parts_.xmpp.engine().directory().email_domains();
  const s2s::Config& config = federation_->config();
  if (cursor < users.size()) {
    const xmpp::EmailDomain& each = users[cursor++];
    out.Text("XMPP EmailDomain ");
    out.Decimal(cursor);
    out.Text(": ");
    out.Text(each.name.view());
    Tell(out, "managed", "system");
    Tell(out, "users", each.users);
    return true;
  }
  for (; cursor < users.size() + config.email_domain_count;) {
    const auto& each = config.email_domains[cursor++ - users.size()];
    if (parts_.xmpp.engine().directory().HasEmailDomain(each.view())) {
      continue;
    }
    out.Text("XMPP EmailDomain ");
    out.Decimal(cursor);
    out.Text(": ");
    out.Text(each.view());
    Tell(out, "managed", "administrator");
    return true;
  }
  return false;
}

bool FederationService::NextPartner(uint64_t& cursor, ByteWriter& out) {
  const s2s::Config& config = federation_->config();
  if (cursor == 0 && config.by_edge) {
    ++cursor;
    out.Text("XMPP Partner Edge: ");
    out.Text(federation_->IsEdgeConnected() ? "connected" : "away");
    return true;
  }
  cursor += cursor == 0 ? 1 : 0;
  if (cursor > config.partner_count) {
    return false;
  }
  const auto partner = static_cast<uint32_t>(cursor++ - 1);
  out.Text("XMPP Partner ");
  out.Decimal(partner + 1);
  out.Text(config.partners[partner].is_component() ? ": component " : ": device ");
  out.Text(config.partners[partner].domain.view());
  Tell(out, "state", federation_->IsConnected(partner) ? "connected" : "away");
  if (!config.partners[partner].is_component()) {
    Tell(out, "peer", config.partners[partner].peer.view());
  }
  return true;
}

}  // namespace gh
