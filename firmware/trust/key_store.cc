#include "firmware/trust/key_store.h"

#include <algorithm>

#include "crypto/path_check.h"
#include "crypto/self_signed.h"
#include "firmware/config/settings.h"
#include "firmware/keys/x509_text.h"
#include "net/limits.h"

namespace gh {
namespace {

using log::AlarmId;

constexpr int64_t kDay = 86400;
// From when a certificate counts that is made while nobody has set the clock.
constexpr int64_t kEarliest = 1'767'225'600;  // 2026-01-01
constexpr int64_t kTemporaryDays = 3650;
constexpr uint32_t kTemporaryTries = 3;
constexpr int64_t kExpiryPeriod = 3600;

// Those that are set; what DHCP gives may be another tomorrow.
uint32_t OwnAddresses(const config::Settings& settings, std::span<crypto::AlternativeName> out) {
  uint32_t count = 0;
  const auto add = [&](const net::IpAddress& address) {
    if (!address.is_none() && count < out.size()) {
      out[count].address = address.bytes;
      out[count++].address_size = static_cast<uint8_t>(address.byte_count());
    }
  };
  for (const auto& port : settings.network_port()) {
    if (port.ipv4_mode == config::Ipv4Mode::kStatic) {
      add(port.ipv4_address);
    }
    if (port.ipv6_mode == config::Ipv6Mode::kStatic) {
      add(port.ipv6_address);
    }
  }
  return count;
}

}  // namespace

Certificates::Certificates(const CertificateParts& parts)
    : parts_(parts),
      heap_(parts.arena, keys::kHeapBytes),
      environment_{heap_, parts.random, parts.clock},
      keys_(parts.arena, environment_, parts.store, parts.log),
      trust_(environment_, parts.store, parts.log),
      decode_room_(parts.arena.NewArray<uint8_t>(keys::kUploadBytesMax)),
      trust_commands_(parts.arena, trust_, parts.arena.NewArray<uint8_t>(keys::kUploadBytesMax),
                      decode_room_),
      requests_(parts.arena, environment_, parts.store, parts.log),
      commands_({{environment_, keys_, trust_, requests_, parts.log, password_},
                 tokens_,
                 trust_commands_,
                 parts.configuration,
                 parts.deferred,
                 parts.loop,
                 parts.arena.NewArray<uint8_t>(keys::kUploadBytesMax),
                 parts.arena.NewArray<uint8_t>(keys::kUploadBytesMax),
                 decode_room_}) {}

void Certificates::AddTo(admin::StatusTree& status, admin::CommandTable& commands) {
  commands_.AddTo(status, commands);
  trust_commands_.AddTo(commands);
}

void Certificates::Load() {
  const auto refused = keys_.Load();
  if (!refused.ok() || *refused > 0) {
    parts_.alarms.Raise(AlarmId::kKeysUnusable,
                        refused.ok() ? "a stored certificate or its key" : refused.error().what);
  }
  if (const auto left_out = trust_.Load(); !left_out.ok() || *left_out > 0) {
    parts_.log.Emit(log::event::ServiceFailed{
        .service = "trusted certificates",
        .reason = left_out.ok() ? "one in the store is not accepted" : left_out.error().what});
  }
  if (!keys_.has_server_certificate()) {
    if (const auto made = MakeTemporary({}); !made.ok()) {
      parts_.log.Emit(log::event::ServiceFailed{.service = "temporary certificate",
                                                .reason = made.error().what});
    }
  }
  if (const auto loaded = requests_.Load(tokens_); !loaded.ok()) {
    parts_.log.Emit(
        log::event::ServiceFailed{.service = "certificate request", .reason = loaded.error().what});
  }
  UpdateAlarms();
}

void Certificates::SetHsm(hsm::Keys& hsm) {
  hsm_tokens_.hsm = &hsm;
  tokens_ = &hsm_tokens_;
  keys_.SetTokenKeys(hsm_tokens_);
  keys_.FindTokenKeys();
  TellHsm();
  if (requests_.state() == keys::Requests::State::kNone) {
    requests_.Load(tokens_).ignore("told at the start");
  }
}

// Which key it must keep: that of the server certificate.
void Certificates::TellHsm() {
  keys::Installed installed;
  if (hsm_tokens_.hsm != nullptr) {
    hsm_tokens_.hsm->SetCertificateKey(keys_.Find("", installed) ? installed.token_label
                                                                 : std::string_view());
  }
}

// Made when it is first needed, to be told to the HSM's server.
void Certificates::WatchHsmLink() {
  const config::Settings& settings = parts_.configuration.active();
  const bool is_needed = settings.hsm().mode == config::OnOff::kOn &&
                         std::ranges::any_of(settings.hsm_module(), [](const auto& module) {
                           return module.transport == config::HsmTransport::kNetwork;
                         });
  keys::Installed installed;
  if (!is_needed || hsm_link_failed_ || keys_.Find(kHsmLinkName, installed)) {
    return;
  }
  if (const auto made = MakeTemporary(kHsmLinkName); !made.ok()) {
    hsm_link_failed_ = true;
    parts_.log.Emit(log::event::ServiceFailed{.service = "certificate for network HSMs",
                                              .reason = made.error().what});
  }
}

void Certificates::Watch() {
  UpdateAlarms();
  WatchTemporary();
  WatchHsmLink();
  if (generation_told_ != keys_.generation()) {
    generation_told_ = keys_.generation();
    TellHsm();
    keys_.FindTokenKeys();
  }
  const WallTime now = parts_.clock.Wall();
  const bool is_changed = generation_seen_ != keys_.generation();
  const int64_t passed = now.unix_seconds() - checked_at_s_;
  if (now.is_set && (is_changed || passed >= kExpiryPeriod || passed < 0)) {
    CheckExpiry(now);
    checked_at_s_ = now.unix_seconds();
    generation_seen_ = keys_.generation();
  }
}

namespace {

// Tells once, on the day of each mark: `before` is when it was looked at last.
struct Expiry {
  log::Log& log;
  int64_t now_s;
  int64_t before_s;
  bool has_expiring = false;
  bool has_expired = false;
  FixedString<alarm::kDetailMax> detail = {};

  void Look(std::string_view what, const mbedtls_x509_crt& certificate) {
    const int64_t left = keys::UnixSecondsOf(certificate.valid_to) - now_s;
    if (left > keys::kExpiryDays[0] * kDay) {
      return;
    }
    uint8_t bytes[220];
    ByteWriter subject(bytes);
    keys::WriteName(certificate.subject, subject);
    const int64_t left_before = left + (now_s - before_s);
    if (left < 0) {
      has_expired = true;
      if (left_before >= 0 || before_s == 0) {
        log.Emit(log::event::CertificateExpired{.what = what, .subject = subject.text()});
      }
    } else {
      has_expiring = true;
      const bool is_mark = std::ranges::any_of(keys::kExpiryDays, [&](uint32_t days) {
        return left <= days * kDay && (left_before > days * kDay || before_s == 0);
      });
      if (is_mark) {
        log.Emit(log::event::CertificateExpiring{
            .what = what, .subject = subject.text(), .days = static_cast<uint64_t>(left / kDay)});
      }
    }
    detail.Assign(what);
    detail.Append(": ");
    detail.Append(subject.text());
  }
};

}  // namespace

void Certificates::CheckExpiry(const WallTime& now) {
  Expiry expiry{parts_.log, now.unix_seconds(),
                generation_seen_ == keys_.generation() ? checked_at_s_ : 0};
  keys::Installed installed;
  for (uint32_t i = 0; keys_.At(i, installed); ++i) {
    expiry.Look(
        installed.info->domain.empty() ? std::string_view("server") : installed.info->domain.view(),
        *installed.identity->chain);
  }
  for (uint32_t i = 0; i < trust_.count(); ++i) {
    expiry.Look("trusted", trust_.certificate(i));
  }
  parts_.alarms.Set(AlarmId::kCertificateExpiring, expiry.has_expiring, expiry.detail.view());
  parts_.alarms.Set(AlarmId::kCertificateExpired, expiry.has_expired, expiry.detail.view());
  bool is_outdated = false;
  for (uint32_t i = 0; i < trust_.crl_count(); ++i) {
    const mbedtls_x509_crl& crl = trust_.crl(i);
    if (crl.next_update.year == 0 || keys::UnixSecondsOf(crl.next_update) > now.unix_seconds()) {
      continue;
    }
    uint8_t bytes[200];
    ByteWriter issuer(bytes);
    keys::WriteName(crl.issuer, issuer);
    if (!parts_.alarms.IsRaised(AlarmId::kCrlOutdated)) {
      parts_.log.Emit(log::event::CrlOutdated{.issuer = issuer.text()});
    }
    parts_.alarms.Raise(AlarmId::kCrlOutdated, issuer.text());
    is_outdated = true;
  }
  if (!is_outdated) {
    parts_.alarms.Lower(AlarmId::kCrlOutdated);
  }
}

void Certificates::UpdateAlarms() {
  keys::Installed installed;
  const bool found = keys_.Find("", installed);
  parts_.alarms.Set(AlarmId::kCertificateTemporary, found && installed.info->is_temporary, "");
}

// A temporary certificate names the device as it is called and reached now.
void Certificates::WatchTemporary() {
  keys::Installed installed;
  if (!keys_.Find("", installed) || !installed.info->is_temporary) {
    return;
  }
  const auto& settings = parts_.configuration.active();
  const mbedtls_x509_crt& leaf = *installed.identity->chain;
  std::array<crypto::AlternativeName, 2 * net::kPortMax> room;
  const auto addresses = std::span(room).first(OwnAddresses(settings, room));
  const bool is_named = crypto::NamesHost(leaf, settings.system().name.view()) &&
                        std::ranges::all_of(addresses, [&](const crypto::AlternativeName& one) {
                          net::IpAddress address;
                          address.family =
                              one.address_size == 4 ? net::IpFamily::kIpv4 : net::IpFamily::kIpv6;
                          address.bytes = one.address;
                          return crypto::NamesHost(leaf, net::ToText(address).view());
                        });
  if (is_named) {
    temporary_tries_ = 0;
  } else if (temporary_tries_ < kTemporaryTries) {
    ++temporary_tries_;  // a name that no certificate can have is not tried for ever
    MakeTemporary({}).ignore("the former one stays");
  }
}

// EC P-256, self-signed: for the device's name and addresses, or for a domain.
Result<void> Certificates::MakeTemporary(std::string_view domain) {
  const auto& settings = parts_.configuration.active();
  FixedString<64> name(settings.system().name.view());
  std::array<crypto::AlternativeName, 1 + 2 * net::kPortMax> name_room;
  name_room[0].dns = domain.empty() ? name.view() : domain;
  const uint32_t address_count =
      domain.empty() ? OwnAddresses(settings, std::span(name_room).subspan(1)) : 0;
  const auto names = std::span(name_room).first(1 + address_count);
  crypto::SoftwareKey key(environment_);
  GH_TRY(key.GenerateEc(crypto::KeyType::kEcP256));
  const WallTime now = parts_.clock.Wall();
  crypto::SelfSigned terms;
  parts_.random.Fill(terms.serial);
  terms.valid_from_s = now.is_set ? now.unix_seconds() - kDay : kEarliest;
  terms.valid_until_s = terms.valid_from_s + kTemporaryDays * kDay;
  uint8_t der[crypto::kSelfSignedBytesMax];
  GH_TRY_ASSIGN(const size_t size, crypto::WriteSelfSigned(name.view(), names, terms, key, der));
  const std::span<const uint8_t> chain[] = {std::span<const uint8_t>(der).first(size)};
  keys::SlotInfo slot;
  slot.domain.Assign(domain);
  slot.is_temporary = true;
  return keys_.Install(slot, chain, key, "the system");
}

}  // namespace gh
