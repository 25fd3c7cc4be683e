#include "firmware/keys/request.h"

#include <mbedtls/x509.h>

#include <algorithm>

#include "firmware/store/row_taker.h"
#include "firmware/store/transaction.h"
#include "hal/rt/ascii.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "hal/rt/secret.h"

namespace gh::keys {
namespace {

using store::Table;

constexpr uint8_t kKeyInMemory = 1;
constexpr uint8_t kKeyInToken = 2;

// Calls `each` with the words of a list; an error ends it.
template <typename Each>
Result<void> ForEachWord(std::string_view list, Each each) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view word = TrimBlanks(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
    if (!word.empty()) {
      GH_TRY(each(word));
    }
  }
  return Ok();
}

// The row behind a key that is just before it.
Result<size_t> ReadRow(store::Store& store, Table table, std::string_view key,
                       std::span<uint8_t> out) {
  const FixedString<store::kKeyMax> before(key.substr(0, key.size() - 1));
  store::RowTaker taker(key, out);
  GH_TRY(store.ForEachIn(table, before.view(), UINT32_MAX, taker));
  return taker.size;
}

}  // namespace

bool IsFullName(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (!crypto::IsDnsName(name, false) || name.find('_') != name.npos || dot == name.npos) {
    return false;
  }
  const char c = AsciiLower(name[dot + 1]);
  return c >= 'a' && c <= 'z';
}

// --- RequestNames -------------------------------------------------------------------------------

Result<void> RequestNames::Add(std::string_view name, bool wildcard, const char* wrong) {
  for (uint32_t i = 0; i < count_; ++i) {
    if (EqualsIgnoringCase(texts_[i].view(), name)) {
      return Ok();
    }
  }
  if (count_ == kRequestNameMax) {
    return Error(ErrorCode::kTooLarge, "there are more than 64 names to certify");
  }
  crypto::AlternativeName& entry = names_[count_];
  entry = {};
  FixedString<255>& text = texts_[count_];
  text.Assign(name);
  const size_t size = mbedtls_x509_crt_parse_cn_inet_pton(text.c_str(), entry.address.data());
  if (size > 0) {
    entry.address_size = static_cast<uint8_t>(size);
  } else if (crypto::IsDnsName(name, wildcard)) {
    entry.dns = text.view();
  } else {
    return Error(ErrorCode::kInvalidArgument, wrong);
  }
  ++count_;
  return Ok();
}

Result<void> RequestNames::AddList(std::string_view list, std::string_view prefix,
                                   const char* wrong) {
  return ForEachWord(list, [&](std::string_view word) {
    FixedString<255> name(prefix);
    if (!name.Append(word)) {
      return Result<void>(Error(ErrorCode::kInvalidArgument, wrong));
    }
    return Add(name.view(), prefix.empty(), wrong);
  });
}

Result<void> RequestNames::Fill(const RequestPlan& plan, std::string_view domain) {
  count_ = 0;
  if (!domain.empty()) {
    GH_TRY(Add(domain, true, "the domain is not a DNS name"));
    return AddList(plan.additional_names, "", "an additional name is not a DNS name");
  }
  GH_TRY(Add(plan.name, false, "the name of the device is not a DNS name"));
  GH_TRY(AddList(plan.cluster_name, "", "the cluster name is not a DNS name"));
  GH_TRY(AddList(plan.additional_names, "", "an additional name is not a DNS name"));
  if (plan.is_edge) {
    GH_TRY(AddList(plan.registration_domains, plan.collab_edge_prefix ? "collab-edge." : "",
                   "a registration domain is not a DNS name"));
    GH_TRY(AddList(plan.federation_domains, "", "a federation domain is not a DNS name"));
  }
  GH_TRY(AddList(plan.chat_aliases, "", "a chat node alias is not a DNS name"));
  GH_TRY(AddList(plan.xmpp_domains, "", "a domain of XMPP is not a DNS name"));
  if (plan.is_edge) {
    return Ok();
  }
  return ForEachWord(plan.phone_profiles, [&](std::string_view word) {
    const char* wrong = "a phone security profile is not a full name (profile.example.com)";
    return IsFullName(word) ? Add(word, false, wrong)
                            : Result<void>(Error(ErrorCode::kInvalidArgument, wrong));
  });
}

// --- Requests -----------------------------------------------------------------------------------

Requests::Requests(Arena& arena, crypto::TlsEnvironment& environment, store::Store& store,
                   log::Log& log, std::string_view row)
    : environment_(environment),
      store_(store),
      log_(log),
      row_(row),
      info_row_(row),
      key_(environment),
      search_(environment),
      names_(*arena.New<RequestNames>()),
      info_room_(arena.NewArray<uint8_t>(crypto::kRequestInfoMax)),
      der_(arena.NewArray<uint8_t>(store::kValueMax)) {
  info_row_.Append("/info");
}

Result<void> Requests::Load(TokenKeys* tokens) {
  Forget();
  SecretBytes<1 + crypto::kPrivateKeyDerMax> row;
  GH_TRY_ASSIGN(const size_t key_size, ReadRow(store_, Table::kKeys, row_, row.Expose()));
  GH_TRY_ASSIGN(der_size_, ReadRow(store_, Table::kCertificates, row_, der_));
  if (key_size < 2 || der_size_ == 0) {
    Forget();
    return Ok();
  }
  uint8_t info[kDomainNameMax];
  GH_TRY_ASSIGN(const size_t info_size,
                ReadRow(store_, Table::kCertificates, info_row_.view(), info));
  domain_.Assign(AsText(std::span<const uint8_t>(info).first(info_size)));
  const auto value = std::span<const uint8_t>(row.Expose()).subspan(1, key_size - 1);
  if (row.Expose()[0] == kKeyInToken) {
    label_.Assign(AsText(value));
    signer_ = tokens == nullptr ? nullptr : tokens->FindKey(label_.view());
  } else {
    const auto loaded = key_.Load(value);
    if (!loaded.ok()) {
      Forget();
      return loaded;
    }
    signer_ = &key_;
  }
  state_ = State::kReady;
  return Ok();
}

Result<void> Requests::Prepare(const RequestPlan& plan, std::string_view domain,
                               std::string_view by) {
  if (state_ != State::kNone) {
    return Error(ErrorCode::kWrongState,
                 "a request is in progress: xCommand Certificate CSR Discard gives it up");
  }
  if (domain.size() > kDomainNameMax) {
    return Error(ErrorCode::kInvalidArgument, "a domain has at most 100 characters");
  }
  GH_TRY(names_.Fill(plan, domain));
  const std::string_view common_name = domain.empty() ? plan.name : domain;
  const std::string_view fields[] = {
      common_name.size() > crypto::kSubjectFieldMax ? std::string_view() : common_name,
      plan.subject.unit,
      plan.subject.organization,
      plan.subject.locality,
      plan.subject.state,
      plan.subject.country};
  for (size_t i = 0; i < subject_texts_.size(); ++i) {
    if (!subject_texts_[i].Assign(fields[i])) {
      return Error(ErrorCode::kInvalidArgument, "a field of the subject is too long");
    }
  }
  subject_ = {subject_texts_[0].view(), subject_texts_[1].view(), subject_texts_[2].view(),
              subject_texts_[3].view(), subject_texts_[4].view(), subject_texts_[5].view()};
  domain_.Assign(domain);
  by_.Assign(by);
  fault_ = "";
  return Ok();
}

Result<void> Requests::Begin(const RequestPlan& plan, std::string_view domain, RequestKey key,
                             crypto::SignatureScheme rsa_scheme, std::string_view by) {
  GH_TRY(Prepare(plan, domain, by));
  rsa_scheme_ = rsa_scheme;
  if (key == RequestKey::kEcP256 || key == RequestKey::kEcP384) {
    GH_TRY(key_.GenerateEc(key == RequestKey::kEcP256 ? crypto::KeyType::kEcP256
                                                      : crypto::KeyType::kEcP384));
    auto done = Sign(key_, Instant{});
    if (!done.ok()) {
      Forget();
    }
    return done;
  }
  GH_TRY(search_.Start(key == RequestKey::kRsa2048   ? 2048
                       : key == RequestKey::kRsa3072 ? 3072
                                                     : 4096));
  state_ = State::kSearching;
  Report("begun", by);
  return Ok();
}

Result<void> Requests::BeginToken(const RequestPlan& plan, std::string_view domain,
                                  std::string_view label, crypto::SigningKey& key,
                                  crypto::SignatureScheme rsa_scheme, std::string_view by,
                                  Instant deadline) {
  GH_TRY(Prepare(plan, domain, by));
  if (!label_.Assign(label)) {
    return Error(ErrorCode::kInvalidArgument, "a label has at most 64 characters");
  }
  rsa_scheme_ = rsa_scheme;
  auto done = Sign(key, deadline);
  if (!done.ok()) {
    Forget();
  }
  return done;
}

bool Requests::Step() {
  if (state_ != State::kSearching) {
    return false;
  }
  const auto found = search_.Step(key_);
  if (!found.ok()) {
    Fail(found.error());
    return false;
  }
  if (!*found) {
    return true;
  }
  if (const auto signing = Sign(key_, Instant{}); !signing.ok()) {
    Fail(signing.error());
  }
  return false;
}

Result<void> Requests::Sign(crypto::SigningKey& key, Instant deadline) {
  signer_ = &key;
  GH_TRY_ASSIGN(info_, crypto::WriteRequestInfo(subject_, names_.names(), key, info_room_));
  const auto scheme =
      key.type() == crypto::KeyType::kRsa ? rsa_scheme_ : crypto::CertificateSchemeOf(key.type());
  uint8_t digest[crypto::kSignDigestMax];
  const size_t size = crypto::DigestFor(scheme, info_, digest);
  signing_.Prepare(scheme, std::span<const uint8_t>(digest).first(size), *this, deadline);
  state_ = State::kSigning;
  key.Start(signing_);
  if (signing_.state() == crypto::SignRequest::State::kFailed) {
    return signing_.error();
  }
  return signing_.state() == crypto::SignRequest::State::kDone ? Finish() : Ok();
}

void Requests::OnSigned(crypto::SignRequest& request) {
  const Result<void> done = request.state() == crypto::SignRequest::State::kDone
                                ? Finish()
                                : Result<void>(request.error());
  if (!done.ok()) {
    Fail(done.error());
  }
}

Result<void> Requests::Finish() {
  GH_TRY_ASSIGN(der_size_,
                crypto::WriteSigned(info_, signing_.scheme(), signing_.signature(), der_));
  GH_TRY(Save());
  state_ = State::kReady;
  Report("made", by_.view());
  return Ok();
}

Result<void> Requests::Save() {
  SecretBytes<1 + crypto::kPrivateKeyDerMax> row;
  std::span<uint8_t> bytes = row.Expose();
  size_t size = 0;
  if (label_.empty()) {
    bytes[0] = kKeyInMemory;
    GH_TRY_ASSIGN(size, key_.Save(bytes.subspan(1)));
  } else {
    bytes[0] = kKeyInToken;
    std::ranges::copy(AsBytes(label_.view()), bytes.begin() + 1);
    size = label_.size();
  }
  return InTransaction(store_, [&]() -> Result<void> {
    GH_TRY(store_.PutIn(Table::kKeys, row_, bytes.first(1 + size)));
    GH_TRY(store_.PutIn(Table::kCertificates, row_, request()));
    return store_.PutIn(Table::kCertificates, info_row_.view(), AsBytes(domain_.view()));
  });
}

Result<void> Requests::RemoveRows() {
  return InTransaction(store_, [&]() -> Result<void> {
    GH_TRY(store_.RemoveIn(Table::kKeys, row_));
    GH_TRY(store_.RemoveIn(Table::kCertificates, row_));
    return store_.RemoveIn(Table::kCertificates, info_row_.view());
  });
}

Result<void> Requests::Discard(std::string_view by, const char* action) {
  if (state_ == State::kNone) {
    return Error(ErrorCode::kNotFound, "no request is in progress");
  }
  GH_TRY(RemoveRows());
  if (state_ == State::kSigning) {
    signer_->Cancel(signing_);
  }
  Report(action, by);
  Forget();
  return Ok();
}

void Requests::Fail(const Error& error) {
  fault_ = error.what;
  Report("given up", by_.view());
  Forget();
}

void Requests::Forget() {
  search_.Stop();
  key_.Clear();
  signer_ = nullptr;
  der_size_ = 0;
  info_ = {};
  domain_.Clear();
  label_.Clear();
  state_ = State::kNone;
}

void Requests::Report(const char* action, std::string_view by) {
  log_.Emit(log::event::CsrChanged{
      .action = action,
      .domain = domain_.empty() ? std::string_view("the server") : domain_.view(),
      .key = state_ == State::kSearching || signer_ == nullptr
                 ? "RSA"
                 : crypto::KeyTypeText(signer_->type(), signer_->bits()),
      .by = by});
}

}  // namespace gh::keys
