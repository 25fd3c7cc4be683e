#include "firmware/key_store.h"

#include "crypto/x509_writer.h"
#include "firmware/config/settings.h"
#include "firmware/rooms.h"

namespace gh {
namespace {

using log::AlarmId;

constexpr int64_t kDay = 86400;
// From when a certificate counts that is made while nobody has set the clock.
constexpr int64_t kEarliest = 1'767'225'600;  // 2026-01-01
constexpr int64_t kTemporaryDays = 3650;

class NoListener final : public crypto::SignListener {
 public:
  void OnSigned(crypto::SignRequest&) override {}
};

}  // namespace

Certificates::Certificates(const CertificateParts& parts)
    : parts_(parts),
      heap_(parts.arena, keys::kHeapBytes),
      environment_{heap_, parts.random, parts.clock},
      keys_(parts.arena, environment_, parts.store, parts.log) {}

void Certificates::Load() {
  const auto refused = keys_.Load();
  if (!refused.ok() || *refused > 0) {
    parts_.alarms.Raise(AlarmId::kKeysUnusable,
                        refused.ok() ? "a stored certificate or its key" : refused.error().what);
  }
  if (!keys_.has_server_certificate()) {
    if (const auto made = MakeTemporary(); !made.ok()) {
      parts_.log.Emit(log::event::ServiceFailed{.service = "temporary certificate",
                                                .reason = made.error().what});
    }
  }
  UpdateAlarms();
}

void Certificates::UpdateAlarms() {
  keys::Installed installed;
  const bool found = keys_.Find("", installed);
  parts_.alarms.Set(AlarmId::kCertificateTemporary, found && installed.info->is_temporary, "");
}

// EC P-256, self-signed, for the device's name and its static addresses.
Result<void> Certificates::MakeTemporary() {
  const auto& settings = parts_.configuration.active();
  FixedString<64> name(settings.system().name.view());
  crypto::AlternativeName names[1];
  names[0].dns = name.view();
  crypto::SoftwareKey key(environment_);
  GH_TRY(key.GenerateEc(crypto::KeyType::kEcP256));
  const WallTime now = parts_.clock.Wall();
  crypto::SelfSigned terms;
  parts_.random.Fill(terms.serial);
  terms.valid_from_s = now.is_set ? now.unix_seconds() - kDay : kEarliest;
  terms.valid_until_s = terms.valid_from_s + kTemporaryDays * kDay;
  const auto scheme = crypto::CertificateSchemeOf(key.type());
  uint8_t info_bytes[1024];
  GH_TRY_ASSIGN(const auto info, crypto::WriteCertificateInfo({.common_name = name.view()}, names,
                                                              terms, key, scheme, info_bytes));
  uint8_t digest[crypto::kSignDigestMax];
  const size_t digest_size = crypto::DigestFor(scheme, info, digest);
  crypto::SignRequest request;
  NoListener nobody;
  request.Prepare(scheme, std::span(digest).first(digest_size), nobody, Instant{});
  key.Start(request);
  if (request.state() != crypto::SignRequest::State::kDone) {
    return request.error();
  }
  uint8_t der[1536];
  GH_TRY_ASSIGN(const size_t size, crypto::WriteSigned(info, scheme, request.signature(), der));
  const std::span<const uint8_t> chain[] = {std::span<const uint8_t>(der).first(size)};
  keys::SlotInfo slot;
  slot.is_temporary = true;
  return keys_.Install(slot, chain, key, "the system");
}

void Appliance::Rooms::BuildCertificates() {
  machine.arena.OpenAccount("firmware/keys");
  certificates = machine.arena.New<Certificates>(
      CertificateParts{machine.arena, machine.clock, random, *store, log, alarms, *configuration});
  certificates->Load();
}

}  // namespace gh
