#include "firmware/trust/acme_service.h"

#include <algorithm>
#include <charconv>

#include "crypto/path_check.h"
#include "crypto/self_signed.h"
#include "firmware/acme/renewal.h"
#include "firmware/keys/upload.h"
#include "firmware/keys/x509_text.h"
#include "firmware/operator/certificate_commands.h"
#include "firmware/store/row_taker.h"
#include "firmware/trust/ocsp_service.h"
#include "hal/rt/ascii.h"

namespace gh {
namespace {

using namespace gh::log::event;
using log::AlarmId;

constexpr std::string_view kAccountRow = "acme-account";
constexpr Duration kCheckPeriod = Duration::Seconds(5);
constexpr Duration kTokenWait = Duration::Seconds(20);
constexpr int64_t kChallengeSeconds = 7 * 86'400;
constexpr uint64_t kTargetFields = 4;
constexpr std::string_view kRequestType = "application/jose+json";

std::string_view TitleOf(std::string_view domain) {
  return domain.empty() ? std::string_view("server") : domain;
}

}  // namespace

AcmeService::AcmeService(const AcmeParts& parts)
    : parts_(parts),
      environment_(parts.certificates.environment()),
      requests_(parts.arena, environment_, parts.store, parts.log, "acme"),
      names_(*parts.arena.New<keys::RequestNames>()),
      account_(environment_),
      decode_room_(parts.certificates.decode_room()) {
  Arena& arena = parts.arena;
  auto* heap = arena.New<Heap>(arena, crypto::kTlsClientHeap);
  client_environment_ = arena.New<crypto::TlsEnvironment>(*heap, parts.random, parts.clock);
  exchange_ = arena.New<net::HttpExchange>(
      parts.stack.streams(), parts.resolver, parts.loop.timers(), *client_environment_,
      parts.certificates.trust(), arena.NewArray<uint8_t>(acme::kResponseBytesMax));
  order_ = arena.New<acme::Order>(*this, account_, arena.NewArray<uint8_t>(acme::kRequestBytesMax));
  responder_ = arena.New<AcmeResponder>(parts.tls_services.streams());
}

Instant AcmeService::now() const { return parts_.loop.now(); }

// --- What is wanted -----------------------------------------------------------------------------

AcmeService::Target* AcmeService::FindTarget(std::string_view domain) {
  for (Target& target : std::span(targets_).first(target_count_)) {
    if (EqualsIgnoringCase(target.domain.view(), domain)) {
      return &target;
    }
  }
  return nullptr;
}

// With what was known of it.
void AcmeService::KeepTarget(std::string_view domain, std::span<const Target> before) {
  if (target_count_ == targets_.size() || FindTarget(domain) != nullptr) {
    return;
  }
  Target& target = targets_[target_count_++];
  target = {};
  for (const Target& one : before) {
    if (EqualsIgnoringCase(one.domain.view(), domain)) {
      target = one;
    }
  }
  target.domain.Assign(domain);
}

void AcmeService::Apply() {
  const config::CertificateAcme& settings = parts_.configuration.active().certificate_acme();
  Stop();
  const auto before = targets_;
  const uint32_t before_count = target_count_;
  const auto known = std::span(before).first(before_count);
  target_count_ = 0;
  if (settings.mode == config::OnOff::kOn) {
    if (settings.server == config::OnOff::kOn) {
      KeepTarget({}, known);
    }
    std::string_view list = settings.domains.view();
    while (!list.empty()) {
      const size_t comma = std::min(list.find(','), list.size());
      const std::string_view domain = TrimBlanks(list.substr(0, comma));
      list.remove_prefix(std::min(comma + 1, list.size()));
      if (!domain.empty() && domain.size() <= keys::kDomainNameMax) {
        KeepTarget(domain, known);
      }
    }
  }
  // Who changes settings wants to see what comes of it.
  for (Target& target : std::span(targets_).first(target_count_)) {
    target.next_try = now();
  }
  checked_at_ = Instant{};
  UpdateAlarm();
}

bool AcmeService::NamesAll(const mbedtls_x509_crt& leaf, std::string_view domain) {
  if (!names_.Fill(RequestPlanOf(parts_.configuration.active()), domain).ok()) {
    return false;  // told when it is tried
  }
  return std::ranges::all_of(names_.names(), [&](const crypto::AlternativeName& name) {
    if (!name.dns.empty()) {
      return crypto::NamesHost(leaf, name.dns);
    }
    net::IpAddress address;
    address.family = name.address_size == 4 ? net::IpFamily::kIpv4 : net::IpFamily::kIpv6;
    std::copy_n(name.address.begin(), name.address_size, address.bytes.begin());
    return crypto::NamesHost(leaf, net::ToText(address).view());
  });
}

bool AcmeService::IsDue(const Target& target, int64_t now_s) {
  if (now() < target.next_try) {
    return false;
  }
  keys::Installed installed;
  if (target.is_forced || !parts_.certificates.keys().Find(target.domain.view(), installed) ||
      !installed.info->is_acme) {
    return true;
  }
  const mbedtls_x509_crt& leaf = *installed.identity->chain;
  return acme::IsRenewalDue(keys::UnixSecondsOf(leaf.valid_from),
                            keys::UnixSecondsOf(leaf.valid_to), now_s) ||
         !NamesAll(leaf, target.domain.view());
}

// --- One order ----------------------------------------------------------------------------------

void AcmeService::Watch(Instant now) {
  responder_->Watch(now);
  if (phase_ == Phase::kRequest) {
    return WatchRequest();
  }
  if (phase_ == Phase::kOrder) {
    return order_->OnTimer(now);
  }
  const WallTime wall = parts_.clock.Wall();
  if (target_count_ == 0 || !wall.is_set || now < checked_at_) {
    return;
  }
  checked_at_ = now + kCheckPeriod;
  for (Target& target : std::span(targets_).first(target_count_)) {
    if (IsDue(target, wall.unix_seconds())) {
      return Begin(target);
    }
  }
}

void AcmeService::Begin(Target& target) {
  current_ = static_cast<uint32_t>(&target - targets_.data());
  target.is_forced = false;
  Result<void> begun = LoadAccount();
  if (begun.ok()) {
    begun = BeginRequest(target);
  }
  if (!begun.ok()) {
    Fail(begun.error());
  }
}

// Made when it is first needed.
Result<void> AcmeService::LoadAccount() {
  if (account_.is_set()) {
    return Ok();
  }
  SecretBytes<crypto::kPrivateKeyDerMax> row;
  store::RowTaker reader(kAccountRow, row.Expose());
  GH_TRY(parts_.store.ForEachIn(store::Table::kKeys, "acme-accoun", UINT32_MAX, reader));
  if (reader.size > 0 &&
      account_.Load(std::span<const uint8_t>(row.Expose()).first(reader.size)).ok()) {
    return Ok();
  }
  return MakeAccount();
}

Result<void> AcmeService::MakeAccount() {
  GH_TRY(account_.GenerateEc(crypto::KeyType::kEcP256));
  SecretBytes<crypto::kPrivateKeyDerMax> row;
  const auto size = account_.Save(row.Expose());
  Result<void> stored = size.ok() ? Ok() : Result<void>(size.error());
  if (stored.ok()) {
    stored = parts_.store.Begin();
  }
  if (stored.ok()) {
    stored = parts_.store.PutIn(store::Table::kKeys, kAccountRow,
                                std::span<const uint8_t>(row.Expose()).first(*size));
    stored = stored.ok() ? parts_.store.Commit() : stored;
    if (!stored.ok()) {
      parts_.store.Rollback();
    }
  }
  if (!stored.ok()) {
    account_.Clear();
    return stored;
  }
  FixedString<43> thumbprint;
  GH_TRY(acme::WriteThumbprint(account_, thumbprint));
  parts_.log.Emit(
      AcmeAccount{.directory = parts_.configuration.active().certificate_acme().directory.view(),
                  .thumbprint = thumbprint.view()});
  return Ok();
}

Result<void> AcmeService::BeginRequest(Target& target) {
  const config::Settings& settings = parts_.configuration.active();
  const keys::RequestPlan plan = RequestPlanOf(settings);
  const std::string_view label = settings.certificate_acme().token_key.view();
  const auto scheme = RequestSchemeOf(settings);
  if (requests_.state() != keys::Requests::State::kNone) {
    GH_TRY(requests_.Discard("ACME"));  // of an order that a restart has cut off
  }
  phase_ = Phase::kRequest;
  if (!label.empty() && target.domain.empty()) {
    keys::TokenKeys* tokens = parts_.certificates.tokens();
    crypto::SigningKey* key = tokens == nullptr ? nullptr : tokens->FindKey(label);
    if (key == nullptr) {
      return Error(ErrorCode::kNotFound, "the token has no key of this label");
    }
    GH_TRY(requests_.BeginToken(plan, target.domain.view(), label, *key, scheme, "ACME",
                                now() + kTokenWait));
  } else {
    const auto kind = static_cast<keys::RequestKey>(settings.certificate_request().key);
    GH_TRY(requests_.Begin(plan, target.domain.view(), kind, scheme, "ACME"));
  }
  if (requests_.state() == keys::Requests::State::kSearching) {
    parts_.deferred.Add(*this, now());
  }
  WatchRequest();
  return Ok();
}

void AcmeService::RunDeferred(Instant now) {
  if (phase_ == Phase::kRequest && requests_.Step()) {
    parts_.deferred.Add(*this, now);
  }
}

void AcmeService::WatchRequest() {
  if (requests_.state() == keys::Requests::State::kNone) {
    return Fail(Error(ErrorCode::kIoError, requests_.fault()));
  }
  if (requests_.state() != keys::Requests::State::kReady) {
    return;
  }
  phase_ = Phase::kOrder;
  if (const auto begun = BeginOrder(); !begun.ok()) {
    Fail(begun.error());
  }
}

Result<void> AcmeService::BeginOrder() {
  const config::CertificateAcme& settings = parts_.configuration.active().certificate_acme();
  challenge_ = settings.challenge == config::AcmeChallenge::kTlsAlpn ? acme::Challenge::kTlsAlpn
                                                                     : acme::Challenge::kHttp;
  acme::Binding binding;
  ByteWriter key(binding_key_.Expose());
  if (!settings.binding_name.view().empty()) {
    binding.name = settings.binding_name.view();
    if (!acme::ReadBase64Url(settings.binding_key.view(), key) || key.size() == 0) {
      return Error(ErrorCode::kInvalidArgument, "BindingKey is not base64url of 1 to 96 bytes");
    }
    binding.key = key.written();
  }
  return order_->Start({.directory = settings.directory.view(),
                        .contact = settings.contact.view(),
                        .terms_agreed = settings.terms_agreed == config::OnOff::kOn,
                        .challenge = challenge_,
                        .binding = binding,
                        .names = requests_.names(),
                        .request = requests_.request()},
                       now());
}

// --- acme::OrderPort ----------------------------------------------------------------------------

Result<void> AcmeService::Send(const acme::Ask& ask) {
  net::HttpAsk request;
  request.method = ask.method;
  GH_TRY_ASSIGN(request.url, net::HttpsUrl::Parse(ask.url));
  request.content_type = ask.body.empty() ? std::string_view() : kRequestType;
  request.accept = ask.accept;
  request.body = ask.body;
  nonce_.Clear();
  location_.Clear();
  retry_after_s_ = 0;
  return exchange_->Start(request, *this);
}

void AcmeService::OnHttpField(std::string_view name, std::string_view value) {
  if (EqualsIgnoringCase(name, "replay-nonce")) {
    nonce_.Assign(value);
  } else if (EqualsIgnoringCase(name, "location")) {
    location_.Assign(value);
  } else if (EqualsIgnoringCase(name, "retry-after")) {
    int64_t seconds = 0;  // a date is not read: the authority is asked again as if it had said none
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
    retry_after_s_ = error == std::errc() && end == value.data() + value.size() ? seconds : 0;
  }
}

void AcmeService::OnHttpEnd(Result<uint32_t> status, std::span<const uint8_t> body) {
  if (phase_ != Phase::kOrder) {
    return;
  }
  if (!status.ok()) {
    return order_->OnNoAnswer(status.error(), now());
  }
  order_->OnAnswer({.status = *status,
                    .nonce = nonce_.truncated() ? std::string_view() : nonce_.view(),
                    .location = location_.truncated() ? std::string_view() : location_.view(),
                    .retry_after_s = retry_after_s_,
                    .body = AsText(body)},
                   now());
}

Result<void> AcmeService::Offer(const acme::Proof& proof) {
  if (proof.challenge == acme::Challenge::kHttp) {
    GH_TRY(responder_->OpenHttp(proof.token, proof.key_authorization, now()));
    parts_.services.Open(ServiceId::kAcmeHttp, AcmeResponder::kHttpPort);
  } else {
    GH_TRY(OfferCertificate(proof));
    GH_TRY(responder_->OpenTls(now()));
    parts_.services.Open(ServiceId::kAcmeTls, AcmeResponder::kTlsPort);
  }
  parts_.services.Apply();
  return Ok();
}

// RFC 8737 section 3: self-signed, for that name, with the hash of the key authorization.
Result<void> AcmeService::OfferCertificate(const acme::Proof& proof) {
  crypto::SoftwareKey key(environment_);
  GH_TRY(key.GenerateEc(crypto::KeyType::kEcP256));
  crypto::AlternativeName names[1];
  if (const auto address = net::IpAddress::Parse(proof.name); address.ok()) {
    names[0].address_size = static_cast<uint8_t>(address->byte_count());
    names[0].address = address->bytes;
  } else {
    names[0].dns = proof.name;
  }
  const auto hash = crypto::Sha256::Of(proof.key_authorization);
  crypto::SelfSigned terms;
  parts_.random.Fill(terms.serial);
  terms.valid_from_s = parts_.clock.Wall().unix_seconds() - 3600;
  terms.valid_until_s = terms.valid_from_s + kChallengeSeconds;
  terms.acme_identifier = hash;
  uint8_t der[crypto::kSelfSignedBytesMax];
  GH_TRY_ASSIGN(const size_t size,
                crypto::WriteSelfSigned("acme challenge", names, terms, key, der));
  return parts_.certificates.keys().SetChallenge(proof.name,
                                                 std::span<const uint8_t>(der).first(size), key);
}

void AcmeService::Withdraw() {
  responder_->Close();
  parts_.certificates.keys().ClearChallenge();
  parts_.services.Open(ServiceId::kAcmeHttp, 0);
  parts_.services.Open(ServiceId::kAcmeTls, 0);
  parts_.services.Apply();
}

void AcmeService::OnOrderEnd(Result<std::string_view> chain) {
  if (!chain.ok()) {
    return Fail(chain.error());
  }
  Certificates& certificates = parts_.certificates;
  keys::FilePassword none;
  uint8_t said_bytes[240];
  ByteWriter said(said_bytes);
  const auto taken = keys::TakeIssued(
      {environment_, certificates.keys(), certificates.trust(), requests_, parts_.log, none},
      targets_[current_].domain.view(), AsBytes(*chain), decode_room_, said);
  if (!taken.ok()) {
    return Fail(taken.error());
  }
  Succeed();
}

void AcmeService::Succeed() {
  Target& target = targets_[current_];
  target.failure_count = 0;
  target.fault.Clear();
  target.next_try = now();
  phase_ = Phase::kIdle;
  checked_at_ = now();
  ++issued_count_;
  binding_key_.Zero();
  UpdateAlarm();
}

void AcmeService::Fail(const Error& error) {
  Target& target = targets_[current_];
  const bool has_words = phase_ == Phase::kOrder && !order_->fault().empty();
  target.fault.Assign(has_words ? order_->fault() : std::string_view(error.what));
  const int64_t wait = acme::BackOffSeconds(target.failure_count,
                                            phase_ == Phase::kOrder ? order_->retry_after_s() : 0);
  ++target.failure_count;
  target.next_try = now() + Duration::Seconds(wait);
  Stop();
  parts_.log.Emit(AcmeFailed{.domain = TitleOf(target.domain.view()),
                             .reason = target.fault.view(),
                             .minutes = static_cast<uint64_t>(wait / 60)});
  UpdateAlarm();
}

// Leaves nothing under way.
void AcmeService::Stop() {
  if (phase_ == Phase::kIdle) {
    return;
  }
  phase_ = Phase::kIdle;
  order_->Cancel();
  exchange_->Cancel();
  parts_.deferred.Remove(*this);
  if (requests_.state() != keys::Requests::State::kNone) {
    requests_.Discard("ACME").ignore("its rows go with the next one's");
  }
  binding_key_.Zero();
}

void AcmeService::UpdateAlarm() {
  FixedString<alarm::kDetailMax> detail;
  for (const Target& target : std::span(targets_).first(target_count_)) {
    if (target.failure_count > 0) {
      detail.Assign(TitleOf(target.domain.view()));
      detail.Append(": ");
      detail.Append(target.fault.view());
    }
  }
  parts_.alarms.Set(AlarmId::kAcmeFailed, !detail.empty(), detail.view());
}

// --- Commands and status ------------------------------------------------------------------------

Result<void> AcmeService::Renew(std::string_view value, ByteWriter& out) {
  Target* target = FindTarget(EqualsIgnoringCase(value, "server") ? std::string_view() : value);
  if (target == nullptr) {
    return Error(ErrorCode::kNotFound,
                 "ACME does not look after this one: see xConfiguration Certificate ACME");
  }
  if (!parts_.clock.Wall().is_set) {
    return Error(ErrorCode::kWrongState, "the clock is not set: validity cannot be judged");
  }
  target->is_forced = true;
  target->next_try = now();
  checked_at_ = now();
  out.Text(phase_ == Phase::kIdle ? "It is asked for now; " : "It is next; ");
  out.Text("see xStatus Certificate ACME.");
  return Ok();
}

Result<void> AcmeService::NewAccount() {
  if (phase_ != Phase::kIdle) {
    return Error(ErrorCode::kWrongState, "an order is under way; try again when it is over");
  }
  return MakeAccount();
}

void AcmeService::AddTo(admin::StatusTree& status, admin::CommandTable& commands) {
  admin::Command renew = {"Certificate ACME Renew",
                          "Asks the ACME authority for a certificate now"};
  renew.context = this;
  renew.administrator_only = true;
  renew.value_help = "Server, or a domain";
  renew.run_value = [](void* self, std::string_view, std::string_view value, ByteWriter& out) {
    return static_cast<AcmeService*>(self)->Renew(value, out);
  };
  commands.Add(renew);
  admin::Command account = {
      "Certificate ACME Account New", "Gives the account a new key, which is a new account",
      "What the authority knows of the former account is lost to this device. "
      "Go on?"};
  account.context = this;
  account.administrator_only = true;
  account.run = [](void* self, std::string_view, ByteWriter&) {
    return static_cast<AcmeService*>(self)->NewAccount();
  };
  commands.Add(account);
  status.AddMember<&AcmeService::NextLine>("Certificate ACME",
                                           "Certificates that an authority gives by itself", this);
}

bool AcmeService::NextLine(uint64_t& cursor, ByteWriter& out) {
  constexpr uint64_t kHeadLines = 3;
  const uint64_t at = cursor++;
  if (at >= kHeadLines) {
    const uint64_t line = at - kHeadLines;
    return NextTargetLine(line / kTargetFields, line % kTargetFields, out);
  }
  out.Text("Certificate ACME ");
  if (at == 0) {
    out.Text("State: ");
    out.Text(parts_.configuration.active().certificate_acme().mode == config::OnOff::kOff ? "Off"
             : !parts_.clock.Wall().is_set ? "Waiting for the clock to be set"
             : phase_ == Phase::kRequest   ? "Making a request"
             : phase_ == Phase::kOrder     ? order_->step()
                                           : "Idle");
  } else if (at == 1) {
    out.Text("Issued: ");
    out.Decimal(issued_count_);
  } else {
    out.Text("Account: ");
    out.Text(order_->account().empty() ? std::string_view("None in this run") : order_->account());
  }
  return true;
}

bool AcmeService::NextTargetLine(uint64_t index, uint64_t field, ByteWriter& out) {
  if (index >= target_count_) {
    return false;
  }
  const Target& target = targets_[index];
  const bool is_current = phase_ != Phase::kIdle && current_ == index;
  out.Text("Certificate ACME ");
  out.Decimal(index + 1);
  if (field == 0) {
    out.Text(" Domain: ");
    out.Text(target.domain.empty() ? std::string_view("Server") : target.domain.view());
  } else if (field == 1) {
    keys::Installed installed;
    const bool found =
        parts_.certificates.keys().Find(target.domain.view(), installed) && installed.info->is_acme;
    out.Text(" State: ");
    out.Text(is_current                 ? "Being obtained"
             : target.failure_count > 0 ? (found ? "Not renewed" : "Not obtained")
             : found                    ? "In force"
                                        : "Waiting");
  } else if (field == 2) {
    out.Text(" Fault: ");
    out.Text(target.fault.view());
  } else {
    out.Text(" Next: ");
    const int64_t wait = target.failure_count == 0 || target.next_try <= now()
                             ? 0
                             : (target.next_try - now()).seconds();
    out.Decimal(static_cast<uint64_t>(wait));
    out.Text(" s");
  }
  return true;
}

}  // namespace gh
