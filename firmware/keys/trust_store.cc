#include "firmware/keys/trust_store.h"

#include <algorithm>

#include "crypto/digest.h"
#include "firmware/keys/ocsp.h"
#include "firmware/keys/x509_text.h"
#include "firmware/store/transaction.h"
#include "hal/rt/ascii.h"
#include "hal/rt/assert.h"
#include "hal/rt/fixed_string.h"

namespace gh::keys {
namespace {

using store::Table;
using namespace gh::log::event;

constexpr std::string_view kRoleWords[] = {"Server", "Client", "Federation"};
static_assert(std::size(kRoleWords) == crypto::kPeerRoleCount);
constexpr size_t kFingerprintSize = 64;
// A list of revocations is rows of this size: "crl/<issuer>/<nn>".
constexpr size_t kCrlRowBytes = store::kValueMax;
constexpr uint32_t kCrlRowMax = (kCrlBytesMax + kCrlRowBytes - 1) / kCrlRowBytes;
static_assert(kCrlRowMax < 100);

// "<fingerprint>/<roles>", and "<fingerprint>" of before there were roles: servers.
FixedString<store::kKeyMax> KeyOf(const mbedtls_x509_crt& certificate, uint8_t roles) {
  FixedString<store::kKeyMax> key(FingerprintOf(certificate).view());
  if (roles != RoleBit(crypto::PeerRole::kServer)) {
    key.Append('/');
    key.Append(static_cast<char>('0' + roles));
  }
  return key;
}

uint8_t RolesOfKey(std::string_view key) {
  if (key.size() == kFingerprintSize) {
    return RoleBit(crypto::PeerRole::kServer);
  }
  if (key.size() != kFingerprintSize + 2 || key[kFingerprintSize] != '/') {
    return 0;
  }
  const int roles = key.back() - '0';
  return roles > 0 && roles <= kAllRoles ? static_cast<uint8_t>(roles) : 0;
}

FixedString<store::kKeyMax> CrlKey(const mbedtls_x509_crl& crl, uint32_t row) {
  uint8_t bytes[store::kKeyMax];
  ByteWriter key(bytes);
  key.Text("crl/");
  key.HexBytes(crypto::Sha256::Of(std::span<const uint8_t>(crl.issuer_raw.p, crl.issuer_raw.len)));
  key.Char('/');
  key.Char(static_cast<char>('0' + row / 10));
  key.Char(static_cast<char>('0' + row % 10));
  return FixedString<store::kKeyMax>(key.text());
}

bool SameName(const mbedtls_x509_buf& a, const mbedtls_x509_buf& b) {
  return std::ranges::equal(std::span(a.p, a.len), std::span(b.p, b.len));
}

}  // namespace

uint8_t ParseRoles(std::string_view text) {
  uint8_t roles = 0;
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view word = TrimBlanks(text.substr(0, comma));
    uint8_t role = EqualsIgnoringCase(word, "All") ? kAllRoles : 0;
    for (uint32_t i = 0; i < crypto::kPeerRoleCount; ++i) {
      role = EqualsIgnoringCase(word, kRoleWords[i]) ? static_cast<uint8_t>(1u << i) : role;
    }
    if (role == 0) {
      return 0;
    }
    roles = static_cast<uint8_t>(roles | role);
    if (comma == text.npos) {
      return roles;
    }
    text.remove_prefix(comma + 1);
  }
}

void WriteRoles(uint8_t roles, ByteWriter& out) {
  if (roles == kAllRoles) {
    out.Text("All");
    return;
  }
  bool is_first = true;
  for (uint32_t i = 0; i < crypto::kPeerRoleCount; ++i) {
    if ((roles >> i & 1) != 0) {
      out.Text(is_first ? "" : ",");
      out.Text(kRoleWords[i]);
      is_first = false;
    }
  }
}

TrustStore::TrustStore(crypto::TlsEnvironment& environment, store::Store& store, log::Log& log)
    : environment_(environment), store_(store), log_(log) {
  for (Entry& entry : entries_) {
    mbedtls_x509_crt_init(&entry.certificate);
  }
  for (mbedtls_x509_crl& crl : crls_) {
    mbedtls_x509_crl_init(&crl);
  }
}

TrustStore::~TrustStore() { Forget(); }

void TrustStore::Forget() {
  const crypto::TlsScope scope(environment_);
  for (; count_ > 0; --count_) {
    mbedtls_x509_crt& certificate = entries_[count_ - 1].certificate;
    certificate.next = nullptr;
    mbedtls_x509_crt_free(&certificate);
    mbedtls_x509_crt_init(&certificate);
  }
  for (; crl_count_ > 0; --crl_count_) {
    mbedtls_x509_crl& crl = crls_[crl_count_ - 1];
    crl.next = nullptr;
    mbedtls_x509_crl_free(&crl);
    mbedtls_x509_crl_init(&crl);
  }
}

// --- From the store -----------------------------------------------------------------------------

class TrustStore::Loader final : public store::EntryVisitor {
 public:
  explicit Loader(TrustStore& trust) : trust_(trust) {}
  void OnEntry(std::string_view key, std::span<const uint8_t> der) override {
    const uint8_t roles = RolesOfKey(key);
    if (roles == 0 || trust_.count_ == kTrustMax) {
      ++refused;
      return;
    }
    Entry& entry = trust_.entries_[trust_.count_];
    if (!trust_.Parse(der, entry).ok()) {
      ++refused;
      return;
    }
    entry.roles = roles;
    ++trust_.count_;
  }
  uint32_t refused = 0;

 private:
  TrustStore& trust_;
};

Result<uint32_t> TrustStore::Load() {
  Forget();
  Loader loader(*this);
  GH_TRY(store_.ForEachIn(Table::kTrust, "", UINT32_MAX, loader));
  LoadCrls(loader.refused);
  return loader.refused;
}

// One after the other, its rows put together on the heap.
void TrustStore::LoadCrls(uint32_t& refused) {
  class Rows final : public store::EntryVisitor {
   public:
    Rows(std::string_view issuer, std::span<uint8_t> room) : issuer_(issuer), room_(room) {}
    void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
      const bool is_crl = key.starts_with("crl/") && key.size() > 3;
      const std::string_view of = key.substr(0, key.rfind('/'));
      if (!is_crl || over_ || (!issuer_.empty() && of != issuer_.view())) {
        over_ = over_ || !issuer_.empty();
        return;
      }
      issuer_.Assign(of);
      last_.Assign(key);
      if (value.size() <= room_.size() - size_) {
        std::ranges::copy(value, room_.begin() + static_cast<std::ptrdiff_t>(size_));
        size_ += value.size();
      }
    }
    FixedString<store::kKeyMax> issuer_;
    FixedString<store::kKeyMax> last_;
    size_t size_ = 0;

   private:
    std::span<uint8_t> room_;
    bool over_ = false;
  };
  auto* bytes = static_cast<uint8_t*>(environment_.heap.Allocate(kCrlBytesMax));
  FixedString<store::kKeyMax> after("crl/");
  while (bytes != nullptr) {
    Rows rows("", {bytes, kCrlBytesMax});
    const auto read = store_.ForEachIn(Table::kCertificates, after.view(), kCrlRowMax, rows);
    if (!read.ok() || rows.size_ == 0) {
      break;
    }
    after.Assign(rows.last_.view());
    if (crl_count_ == kCrlMax ||
        !ParseCrl(std::span<const uint8_t>(bytes, rows.size_), crls_[crl_count_]).ok()) {
      ++refused;
      continue;
    }
    ++crl_count_;
  }
  environment_.heap.Free(bytes);
}

// --- Certificates -------------------------------------------------------------------------------

Result<void> TrustStore::Parse(std::span<const uint8_t> der, Entry& out) {
  const crypto::TlsScope scope(environment_);
  mbedtls_x509_crt_init(&out.certificate);
  const int status = mbedtls_x509_crt_parse_der(&out.certificate, der.data(), der.size());
  if (status == MBEDTLS_ERR_X509_ALLOC_FAILED) {
    return Error(ErrorCode::kExhausted, "no memory for the certificate");
  }
  if (status != 0 || out.certificate.raw.len != der.size()) {
    mbedtls_x509_crt_free(&out.certificate);
    return Error(ErrorCode::kMalformed, "expected one X.509 certificate");
  }
  return Ok();
}

Result<void> TrustStore::CheckNew(const Entry& entry) const {
  const mbedtls_x509_crt& certificate = entry.certificate;
  const bool is_self_signed = IsSelfIssued(certificate);
  for (uint32_t i = 0; i < count_; ++i) {
    const mbedtls_x509_crt& other = entries_[i].certificate;
    if (SameName(other.raw, certificate.raw)) {
      return Error(ErrorCode::kAlreadyExists, "this certificate is trusted already");
    }
    if (is_self_signed && IsSelfIssued(other) && !CommonNameOf(certificate.subject).empty() &&
        EqualsIgnoringCase(CommonNameOf(other.subject), CommonNameOf(certificate.subject))) {
      return Error(ErrorCode::kInvalidArgument,
                   "a self-signed certificate of the same common name is trusted already");
    }
  }
  // Version 1 certificates have no such mark; they are taken as what the operator says they are.
  // One that vouches for itself alone is a peer's own.
  if (certificate.version == 3 && mbedtls_x509_crt_get_ca_istrue(&certificate) != 1 &&
      !is_self_signed) {
    return Error(ErrorCode::kInvalidArgument, "the certificate is not one of an authority (CA)");
  }
  const auto bits = mbedtls_pk_get_bitlen(&certificate.pk);
  if (mbedtls_pk_get_type(&certificate.pk) == MBEDTLS_PK_RSA && bits < 2048) {
    return Error(ErrorCode::kInvalidArgument, "its RSA key is shorter than 2048 bits");
  }
  return Ok();
}

Result<void> TrustStore::Add(std::span<const uint8_t> der, uint8_t roles, std::string_view by) {
  GH_ASSERT(roles != 0 && roles <= kAllRoles);
  if (der.size() > kCertificateBytesMax) {
    return Error(ErrorCode::kTooLarge, "the certificate is larger than 3840 bytes");
  }
  if (count_ == kTrustMax) {
    return Error(ErrorCode::kNoSpace, "64 certificates are trusted already");
  }
  Entry& entry = entries_[count_];
  GH_TRY(Parse(der, entry));
  Result<void> done = CheckNew(entry);
  if (done.ok()) {
    const auto key = KeyOf(entry.certificate, roles);
    done = InTransaction(store_, [&] { return store_.PutIn(Table::kTrust, key.view(), der); });
  }
  if (!done.ok()) {
    const crypto::TlsScope scope(environment_);
    mbedtls_x509_crt_free(&entry.certificate);
    return done;
  }
  entry.roles = roles;
  ++count_;
  Report("added", entry.certificate, by);
  return Ok();
}

Result<void> TrustStore::SetRoles(uint32_t index, uint8_t roles, std::string_view by) {
  if (index >= count_ || roles == 0 || roles > kAllRoles) {
    return Error(ErrorCode::kInvalidArgument, "expected a number of xCommand Trust List");
  }
  Entry& entry = entries_[index];
  const std::span<const uint8_t> der(entry.certificate.raw.p, entry.certificate.raw.len);
  const auto before = KeyOf(entry.certificate, entry.roles);
  const auto after = KeyOf(entry.certificate, roles);
  const auto stored = InTransaction(store_, [&]() -> Result<void> {
    GH_TRY(store_.RemoveIn(Table::kTrust, before.view()));
    return store_.PutIn(Table::kTrust, after.view(), der);
  });
  if (!stored.ok()) {
    return stored.error();
  }
  entry.roles = roles;
  uint8_t role_bytes[48];
  ByteWriter words(role_bytes);
  WriteRoles(roles, words);
  uint8_t bytes[255];
  ByteWriter subject(bytes);
  DescribeCertificate(entry.certificate, subject);
  log_.Emit(TrustRolesChanged{.roles = words.text(), .subject = subject.text(), .by = by});
  return Ok();
}

Result<void> TrustStore::Remove(uint32_t index, std::string_view by) {
  if (index >= count_) {
    return Error(ErrorCode::kInvalidArgument, "expected a number of xCommand Trust List");
  }
  Entry& entry = entries_[index];
  const auto key = KeyOf(entry.certificate, entry.roles);
  GH_TRY(InTransaction(store_, [&] { return store_.RemoveIn(Table::kTrust, key.view()); }));
  Report("removed", entry.certificate, by);
  const crypto::TlsScope scope(environment_);
  entry.certificate.next = nullptr;
  mbedtls_x509_crt_free(&entry.certificate);
  std::rotate(entries_.begin() + index, entries_.begin() + index + 1, entries_.begin() + count_);
  mbedtls_x509_crt_init(&entries_[--count_].certificate);
  return Ok();
}

void TrustStore::Report(const char* action, const mbedtls_x509_crt& certificate,
                        std::string_view by) {
  uint8_t bytes[255];
  ByteWriter subject(bytes);
  DescribeCertificate(certificate, subject);
  const Fingerprint fingerprint = FingerprintOf(certificate);
  log_.Emit(TrustChanged{
      .action = action, .subject = subject.text(), .fingerprint = fingerprint.view(), .by = by});
}

// --- Lists of revocations -----------------------------------------------------------------------

Result<void> TrustStore::ParseCrl(std::span<const uint8_t> der, mbedtls_x509_crl& out) {
  const crypto::TlsScope scope(environment_);
  mbedtls_x509_crl_init(&out);
  const int status = mbedtls_x509_crl_parse_der(&out, der.data(), der.size());
  if (status == 0) {
    return Ok();
  }
  mbedtls_x509_crl_free(&out);
  return status == MBEDTLS_ERR_X509_ALLOC_FAILED
             ? Error(ErrorCode::kExhausted, "no memory for the revocation list")
             : Error(ErrorCode::kMalformed, "expected a revocation list (X.509 CRL)");
}

// Whoever is trusted and has the issuer's name has to have signed it. An authority that is not in
// the list is known only when a chain brings it: its signature is looked at then.
Result<void> TrustStore::CheckCrl(mbedtls_x509_crl& crl) {
  const crypto::TlsScope scope(environment_);
  bool has_issuer = false;
  for (uint32_t i = 0; i < count_; ++i) {
    mbedtls_x509_crt& issuer = entries_[i].certificate;
    if (!SameName(issuer.subject_raw, crl.issuer_raw)) {
      continue;
    }
    has_issuer = true;
    uint8_t hash[MBEDTLS_MD_MAX_SIZE];
    const mbedtls_md_info_t* kind = mbedtls_md_info_from_type(crl.private_sig_md);
    if (kind != nullptr && mbedtls_md(kind, crl.tbs.p, crl.tbs.len, hash) == 0 &&
        mbedtls_pk_verify_ext(crl.private_sig_pk, crl.private_sig_opts, &issuer.pk,
                              crl.private_sig_md, hash, mbedtls_md_get_size(kind),
                              crl.private_sig.p, crl.private_sig.len) == 0) {
      return Ok();
    }
  }
  return has_issuer
             ? Result<void>(Error(ErrorCode::kUnauthentic, "the list's issuer did not sign it"))
             : Ok();
}

Result<void> TrustStore::StoreCrl(const mbedtls_x509_crl& crl) {
  std::span<const uint8_t> left(crl.raw.p, crl.raw.len);
  for (uint32_t row = 0; row < kCrlRowMax; ++row) {
    const auto piece = left.first(std::min(left.size(), kCrlRowBytes));
    left = left.subspan(piece.size());
    GH_TRY(piece.empty() ? store_.RemoveIn(Table::kCertificates, CrlKey(crl, row).view())
                         : store_.PutIn(Table::kCertificates, CrlKey(crl, row).view(), piece));
  }
  return Ok();
}

Result<void> TrustStore::DropCrlRows(const mbedtls_x509_crl& crl) {
  for (uint32_t row = 0; row < kCrlRowMax; ++row) {
    GH_TRY(store_.RemoveIn(Table::kCertificates, CrlKey(crl, row).view()));
  }
  return Ok();
}

Result<void> TrustStore::AddCrl(std::span<const uint8_t> der, std::string_view by) {
  if (der.size() > kCrlBytesMax) {
    return Error(ErrorCode::kTooLarge, "the revocation list is larger than 64 KiB");
  }
  mbedtls_x509_crl crl;
  GH_TRY(ParseCrl(der, crl));
  uint32_t index = 0;
  while (index < crl_count_ && !SameName(crls_[index].issuer_raw, crl.issuer_raw)) {
    ++index;
  }
  Result<void> done = CheckCrl(crl);
  if (done.ok() && index == kCrlMax) {
    done = Error(ErrorCode::kNoSpace, "there are 8 revocation lists already");
  }
  if (done.ok()) {
    done = InTransaction(store_, [&] { return StoreCrl(crl); });
  }
  const crypto::TlsScope scope(environment_);
  if (!done.ok()) {
    mbedtls_x509_crl_free(&crl);
    return done;
  }
  const bool is_new = index == crl_count_;
  if (is_new) {
    ++crl_count_;
  } else {
    crls_[index].next = nullptr;
    mbedtls_x509_crl_free(&crls_[index]);
  }
  crls_[index] = crl;
  ReportCrl(is_new ? "added" : "replaced", crls_[index], by);
  return Ok();
}

Result<void> TrustStore::RemoveCrl(uint32_t index, std::string_view by) {
  if (index >= crl_count_) {
    return Error(ErrorCode::kInvalidArgument, "expected a number of xCommand CRL List");
  }
  GH_TRY(InTransaction(store_, [&] { return DropCrlRows(crls_[index]); }));
  ReportCrl("removed", crls_[index], by);
  const crypto::TlsScope scope(environment_);
  crls_[index].next = nullptr;
  mbedtls_x509_crl_free(&crls_[index]);
  std::rotate(crls_.begin() + index, crls_.begin() + index + 1, crls_.begin() + crl_count_);
  mbedtls_x509_crl_init(&crls_[--crl_count_]);
  return Ok();
}

void TrustStore::ReportCrl(const char* action, const mbedtls_x509_crl& crl, std::string_view by) {
  uint8_t bytes[220];
  ByteWriter issuer(bytes);
  WriteName(crl.issuer, issuer);
  log_.Emit(CrlChanged{.action = action, .issuer = issuer.text(), .by = by});
}

// --- Checks -------------------------------------------------------------------------------------

// mbedTLS wants a linked list; which entries are in it depends on the role.
mbedtls_x509_crt* TrustStore::Anchors(uint8_t roles) {
  mbedtls_x509_crt* first = nullptr;
  for (uint32_t i = count_; i > 0; --i) {
    Entry& entry = entries_[i - 1];
    if ((entry.roles & roles) != 0) {
      entry.certificate.next = first;
      first = &entry.certificate;
    }
  }
  return first;
}

mbedtls_x509_crl* TrustStore::Crls() {
  for (uint32_t i = 0; i < crl_count_; ++i) {
    crls_[i].next = i + 1 < crl_count_ ? &crls_[i + 1] : nullptr;
  }
  return crl_count_ == 0 ? nullptr : crls_.data();
}

bool TrustStore::TrustsAnyone(crypto::PeerRole role) const {
  return std::any_of(entries_.begin(), entries_.begin() + count_,
                     [role](const Entry& entry) { return (entry.roles & RoleBit(role)) != 0; });
}

crypto::PathReport TrustStore::Examine(const mbedtls_x509_crt& chain,
                                       const crypto::PeerExpectation& expected) {
  auto report =
      crypto::CheckPath(environment_, chain, {Anchors(RoleBit(expected.role)), Crls()}, expected);
  if (report.verdict == crypto::PeerVerdict::kGood && !expected.staple.empty()) {
    JudgeStatus(chain, expected.staple, report);
  }
  return report;
}

// Shown an OCSP response, a client has to be content with it (RFC 6066 section 8); one that says
// nothing about the certificate would else be as good as none to whoever holds a revoked one.
void TrustStore::JudgeStatus(const mbedtls_x509_crt& chain, std::span<const uint8_t> staple,
                             crypto::PathReport& report) {
  report.has_status = true;
  const int64_t now_s = environment_.clock.Wall().unix_seconds();
  const auto answer = ReadOcspResponse(environment_, staple, chain, *report.issuer, now_s);
  if (!answer.ok()) {
    report.verdict = crypto::PeerVerdict::kBadStatus;
    report.status_objection = answer.error().what;
  } else if (answer->status == OcspStatus::kRevoked) {
    report.verdict = crypto::PeerVerdict::kRevoked;
  } else if (answer->status != OcspStatus::kGood) {
    report.verdict = crypto::PeerVerdict::kBadStatus;
    report.status_objection = "the responder does not know the certificate";
  }
}

crypto::PathReport TrustStore::ExamineOwn(const mbedtls_x509_crt& chain, mbedtls_x509_crt* extra,
                                          const crypto::PeerExpectation& expected) {
  mbedtls_x509_crt* anchors = Anchors(kAllRoles);
  if (extra != nullptr) {
    extra->next = anchors;
    anchors = extra;
  }
  const auto report = crypto::CheckPath(environment_, chain, {anchors, Crls()}, expected);
  if (extra != nullptr) {
    extra->next = nullptr;
  }
  return report;
}

}  // namespace gh::keys
