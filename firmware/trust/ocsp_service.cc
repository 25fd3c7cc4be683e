#include "firmware/trust/ocsp_service.h"

#include <algorithm>

#include "hal/rt/ascii.h"

namespace gh {
namespace {

using namespace gh::log::event;
using log::AlarmId;

// Seconds until the next try, by the number of failures so far.
constexpr int64_t kOcspRetry[] = {60, 300, 900, 3600};
constexpr int64_t kOcspPause = 60;
// Never sooner: a handshake may still be sending what was shown before.
constexpr Duration kHandshakeMax = Duration::Seconds(15);
constexpr Duration kMissingAfter = Duration::Seconds(60);
constexpr uint64_t kFields = 5;

std::string_view TitleOf(std::string_view domain) {
  return domain.empty() ? std::string_view("server") : domain;
}

const char* StatusText(keys::OcspStatus status) {
  switch (status) {
    case keys::OcspStatus::kGood:
      return "Good";
    case keys::OcspStatus::kRevoked:
      return "Revoked";
    case keys::OcspStatus::kUnknown:
      return "Unknown to the responder";
  }
  return "?";
}

}  // namespace

OcspService::OcspService(const OcspParts& parts) : parts_(parts) {
  Arena& arena = parts.arena;
  // For https, which answers never come over: what a TLS client wants to be made with.
  exchange_ = arena.New<net::HttpExchange>(
      parts.stack.streams(), parts.resolver, parts.loop.timers(), parts.certificates.environment(),
      parts.certificates.trust(), arena.NewArray<uint8_t>(keys::kOcspResponseMax));
  for (Entry& entry : entries_) {
    for (std::span<uint8_t>& room : entry.rooms) {
      room = arena.NewArray<uint8_t>(keys::kOcspResponseMax);
    }
  }
}

bool OcspService::is_on() const {
  return parts_.configuration.active().certificate_ocsp().stapling == config::OnOff::kOn;
}

void OcspService::Apply() { generation_seen_ = UINT32_MAX; }

// --- Which certificates -------------------------------------------------------------------------

OcspService::Entry* OcspService::EntryOf(const keys::Installed& installed) {
  const keys::Fingerprint fingerprint = keys::FingerprintOf(*installed.identity->chain);
  for (Entry& entry : entries_) {
    if (entry.is_used && entry.fingerprint.view() == fingerprint.view() &&
        EqualsIgnoringCase(entry.domain.view(), installed.info->domain.view())) {
      return &entry;
    }
  }
  return nullptr;
}

void OcspService::Forget(Entry& entry) {
  entry.is_used = false;
  entry.has_answer = false;
  entry.failure_count = 0;
  entry.fault = "";
}

// What is known of certificates that are still in force stays.
void OcspService::Rescan() {
  exchange_->Cancel();
  std::array<bool, keys::kSlotMax> stays = {};
  keys::Installed installed;
  const keys::KeyStore& keys = parts_.certificates.keys();
  for (uint32_t i = 0; is_on() && keys.At(i, installed); ++i) {
    if (Entry* entry = EntryOf(installed); entry != nullptr) {
      stays[static_cast<size_t>(entry - entries_.data())] = true;
    }
  }
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].is_used && !stays[i]) {
      Forget(entries_[i]);
    }
  }
  for (uint32_t i = 0; is_on() && keys.At(i, installed); ++i) {
    const mbedtls_x509_crt& leaf = *installed.identity->chain;
    const auto free = std::ranges::find_if(entries_, [](const Entry& one) { return !one.is_used; });
    if (EntryOf(installed) != nullptr || free == entries_.end() || keys::OcspUrlOf(leaf).empty()) {
      continue;
    }
    free->is_used = true;
    free->domain.Assign(installed.info->domain.view());
    free->fingerprint = keys::FingerprintOf(leaf);
    free->url.Assign(keys::OcspUrlOf(leaf));
    free->must_staple = keys::MustStaple(leaf);
    free->began = free->next_ask = parts_.loop.now();
  }
  if (!is_on()) {
    for (uint32_t i = 0; keys.At(i, installed); ++i) {
      parts_.certificates.keys().SetStaple(installed.info->domain.view(), {});
    }
  }
  for (Entry& entry : entries_) {
    if (entry.is_used) {
      Show(entry);
    }
  }
}

// Behind the leaf, or trusted.
const mbedtls_x509_crt* OcspService::IssuerOf(const mbedtls_x509_crt& leaf) const {
  if (leaf.next != nullptr) {
    return leaf.next;
  }
  const keys::TrustStore& trust = parts_.certificates.trust();
  for (uint32_t i = 0; i < trust.count(); ++i) {
    const mbedtls_x509_crt& one = trust.certificate(i);
    if (std::ranges::equal(std::span(one.subject_raw.p, one.subject_raw.len),
                           std::span(leaf.issuer_raw.p, leaf.issuer_raw.len))) {
      return &one;
    }
  }
  return nullptr;
}

// --- Asking -------------------------------------------------------------------------------------

void OcspService::Watch(Instant now) {
  const uint32_t generation = parts_.certificates.keys().generation();
  if (generation != generation_seen_) {
    generation_seen_ = generation;
    Rescan();
  }
  const WallTime wall = parts_.clock.Wall();
  if (!wall.is_set) {
    return;
  }
  for (Entry& entry : entries_) {
    if (!entry.is_used) {
      continue;
    }
    if (entry.has_answer && entry.answer.next_update_s <= wall.unix_seconds()) {
      entry.has_answer = false;
      Show(entry);
    }
    if (!exchange_->active() && now >= entry.next_ask) {
      if (const auto asked = Ask(entry); !asked.ok()) {
        Fail(entry, asked.error());
      }
    }
  }
  UpdateAlarms();
}

// The certificate in force that the entry is of, and its issuer's.
Result<OcspService::Asked> OcspService::FindAsked(const Entry& entry) const {
  keys::Installed installed;
  if (!parts_.certificates.keys().Find(entry.domain.view(), installed)) {
    return Error(ErrorCode::kNotFound, "the certificate is gone");
  }
  const Asked found = {installed.identity->chain, IssuerOf(*installed.identity->chain)};
  if (found.issuer == nullptr) {
    return Error(ErrorCode::kNotFound, "the issuer's certificate is neither shown nor trusted");
  }
  return found;
}

Result<void> OcspService::Ask(Entry& entry) {
  GH_TRY_ASSIGN(const Asked asked, FindAsked(entry));
  net::HttpAsk ask;
  ask.method = "POST";
  GH_TRY_ASSIGN(ask.url, net::HttpsUrl::ParseAny(entry.url.view()));
  GH_TRY_ASSIGN(ask.body, keys::WriteOcspRequest(*asked.leaf, *asked.issuer, request_));
  ask.content_type = "application/ocsp-request";
  ask.accept = "application/ocsp-response";
  current_ = static_cast<uint32_t>(&entry - entries_.data());
  return exchange_->Start(ask, *this);
}

void OcspService::OnHttpEnd(Result<uint32_t> status, std::span<const uint8_t> body) {
  Entry& entry = entries_[current_];
  Result<void> taken = Ok();
  if (!status.ok()) {
    taken = status.error();
  } else if (*status != 200) {
    taken = Error(ErrorCode::kRefused, "the responder answers with an HTTP error");
  } else {
    taken = Take(entry, body);
  }
  if (!taken.ok()) {
    Fail(entry, taken.error());
  }
}

Result<void> OcspService::Take(Entry& entry, std::span<const uint8_t> body) {
  GH_TRY_ASSIGN(const Asked asked, FindAsked(entry));
  const int64_t now_s = parts_.clock.Wall().unix_seconds();
  GH_TRY_ASSIGN(const keys::OcspAnswer answer,
                keys::ReadOcspResponse(parts_.certificates.environment(), body, *asked.leaf,
                                       *asked.issuer, now_s));
  const bool was_revoked = entry.has_answer && entry.answer.status == keys::OcspStatus::kRevoked;
  if (answer.status == keys::OcspStatus::kRevoked && !was_revoked) {
    parts_.log.Emit(OcspRevoked{.domain = TitleOf(entry.domain.view())});
  }
  entry.answer = answer;
  entry.has_answer = true;
  entry.answered_at = parts_.loop.now();
  entry.failure_count = 0;
  entry.fault = "";
  entry.buffer ^= 1;
  std::ranges::copy(body, entry.rooms[entry.buffer].begin());
  entry.sizes[entry.buffer] = static_cast<uint32_t>(body.size());
  const int64_t half = answer.this_update_s + (answer.next_update_s - answer.this_update_s) / 2;
  entry.next_ask =
      parts_.loop.now() + Duration::Seconds(std::max<int64_t>(half - now_s, kOcspPause));
  Show(entry);
  return Ok();
}

void OcspService::Refresh() {
  for (Entry& entry : entries_) {
    const Instant now = parts_.loop.now();
    entry.next_ask = entry.has_answer ? std::max(now, entry.answered_at + kHandshakeMax) : now;
  }
}

void OcspService::Fail(Entry& entry, const Error& error) {
  if (std::string_view(entry.fault) != error.what) {
    parts_.log.Emit(OcspFailed{.domain = TitleOf(entry.domain.view()), .reason = error.what});
  }
  entry.fault = error.what;
  const auto last = static_cast<uint32_t>(std::size(kOcspRetry)) - 1;
  entry.next_ask =
      parts_.loop.now() + Duration::Seconds(kOcspRetry[std::min(entry.failure_count, last)]);
  ++entry.failure_count;
}

// Only what says that the certificate is good: a client would refuse us for anything else, and one
// that asks the responder itself learns it anyway.
void OcspService::Show(Entry& entry) {
  const bool is_shown = entry.has_answer && entry.answer.status == keys::OcspStatus::kGood;
  const auto bytes =
      std::span<const uint8_t>(entry.rooms[entry.buffer]).first(entry.sizes[entry.buffer]);
  parts_.certificates.keys().SetStaple(entry.domain.view(),
                                       is_shown ? bytes : std::span<const uint8_t>());
}

void OcspService::UpdateAlarms() {
  std::string_view revoked;
  std::string_view missing;
  for (const Entry& entry : entries_) {
    if (!entry.is_used) {
      continue;
    }
    if (entry.has_answer && entry.answer.status == keys::OcspStatus::kRevoked) {
      revoked = TitleOf(entry.domain.view());
    }
    const bool is_known = entry.has_answer && entry.answer.status != keys::OcspStatus::kUnknown;
    if (entry.must_staple && !is_known && parts_.loop.now() - entry.began > kMissingAfter) {
      missing = TitleOf(entry.domain.view());
    }
  }
  // A certificate that must come with an answer, and nobody is asked for one.
  keys::Installed installed;
  for (uint32_t i = 0; !is_on() && parts_.certificates.keys().At(i, installed); ++i) {
    if (keys::MustStaple(*installed.identity->chain)) {
      missing = TitleOf(installed.info->domain.view());
    }
  }
  parts_.alarms.Set(AlarmId::kCertificateRevoked, !revoked.empty(), revoked);
  parts_.alarms.Set(AlarmId::kOcspMissing, !missing.empty(), missing);
}

// --- Status -------------------------------------------------------------------------------------

void OcspService::AddTo(admin::StatusTree& status, admin::CommandTable& commands) {
  admin::Command refresh = {"Certificate OCSP Refresh",
                            "Asks authorities now whether this device's certificates are good"};
  refresh.context = this;
  refresh.run = [](void* self, std::string_view, ByteWriter& out) -> Result<void> {
    static_cast<OcspService*>(self)->Refresh();
    out.Text("See xStatus Certificate OCSP.");
    return Ok();
  };
  commands.Add(refresh);
  status.AddMember<&OcspService::NextLine>(
      "Certificate OCSP", "What authorities say of this device's certificates", this);
}

bool OcspService::NextLine(uint64_t& cursor, ByteWriter& out) {
  while (cursor / kFields < entries_.size() && !entries_[cursor / kFields].is_used) {
    cursor = (cursor / kFields + 1) * kFields;
  }
  const uint64_t index = cursor / kFields;
  if (index >= entries_.size()) {
    return false;
  }
  const Entry& entry = entries_[index];
  out.Text("Certificate OCSP ");
  out.Decimal(index + 1);
  switch (cursor++ % kFields) {
    case 0:
      out.Text(" Domain: ");
      out.Text(entry.domain.empty() ? std::string_view("Server") : entry.domain.view());
      break;
    case 1:
      out.Text(" Responder: ");
      out.Text(entry.url.view());
      break;
    case 2:
      out.Text(" Status: ");
      out.Text(entry.has_answer ? StatusText(entry.answer.status) : "No answer");
      break;
    case 3:
      out.Text(" Left: ");
      out.Decimal(static_cast<uint64_t>(
          entry.has_answer ? std::max<int64_t>(
                                 entry.answer.next_update_s - parts_.clock.Wall().unix_seconds(), 0)
                           : 0));
      out.Text(" s");
      break;
    default:
      out.Text(" Fault: ");
      out.Text(entry.fault);
  }
  return true;
}

}  // namespace gh
