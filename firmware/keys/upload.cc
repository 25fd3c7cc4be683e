#include "firmware/keys/upload.h"

#include <mbedtls/oid.h>

#include <algorithm>

#include "crypto/path_check.h"
#include "firmware/keys/x509_text.h"
#include "hal/rt/secret.h"

namespace gh::keys {
namespace {

// Everything that was in the file, parsed, on the heap while it is looked at.
class Parsed {
 public:
  explicit Parsed(crypto::TlsEnvironment& environment) : environment_(environment) {
    for (mbedtls_x509_crt& certificate : certificates_) {
      mbedtls_x509_crt_init(&certificate);
    }
  }
  Parsed(const Parsed&) = delete;
  Parsed& operator=(const Parsed&) = delete;
  ~Parsed() {
    const crypto::TlsScope scope(environment_);
    for (mbedtls_x509_crt& certificate : certificates_) {
      certificate.next = nullptr;
      mbedtls_x509_crt_free(&certificate);
    }
  }

  Result<void> Parse(const crypto::CertificateFile& file) {
    if (file.certificate_count > kMax) {
      return Error(ErrorCode::kTooLarge, "there are more than 12 certificates in it");
    }
    const crypto::TlsScope scope(environment_);
    for (const auto der : file.chain()) {
      mbedtls_x509_crt& certificate = certificates_[count_];
      const int status = mbedtls_x509_crt_parse_der(&certificate, der.data(), der.size());
      if (status != 0) {
        return status == MBEDTLS_ERR_X509_ALLOC_FAILED
                   ? Error(ErrorCode::kExhausted, "no memory for the certificates")
                   : Error(ErrorCode::kMalformed, "one of the certificates cannot be read");
      }
      ++count_;
    }
    return Ok();
  }
  std::span<mbedtls_x509_crt> certificates() { return {certificates_.data(), count_}; }

 private:
  static constexpr uint32_t kMax = 2 * kChainMax;
  crypto::TlsEnvironment& environment_;
  std::array<mbedtls_x509_crt, kMax> certificates_;
  uint32_t count_ = 0;
};

// Leaf first, linked by `next`; the root apart.
struct Chain {
  std::array<mbedtls_x509_crt*, kChainMax> certificates = {};
  uint32_t count = 0;
  mbedtls_x509_crt* root = nullptr;
};

bool Issued(const mbedtls_x509_crt& issuer, const mbedtls_x509_crt& certificate) {
  return std::ranges::equal(std::span(issuer.subject_raw.p, issuer.subject_raw.len),
                            std::span(certificate.issuer_raw.p, certificate.issuer_raw.len));
}

// Whoever brings them may bring them in any order.
Result<void> Order(std::span<mbedtls_x509_crt> all, mbedtls_x509_crt& leaf, Chain& out) {
  mbedtls_x509_crt* at = &leaf;
  while (true) {
    if (out.count == kChainMax) {
      return Error(ErrorCode::kTooLarge, "the chain has more than 6 certificates");
    }
    out.certificates[out.count++] = at;
    if (IsSelfIssued(*at)) {
      break;
    }
    const auto issuer = std::ranges::find_if(
        all, [&](const mbedtls_x509_crt& one) { return &one != at && Issued(one, *at); });
    if (issuer == all.end() ||
        std::find(out.certificates.begin(), out.certificates.begin() + out.count, &*issuer) !=
            out.certificates.begin() + out.count) {
      break;
    }
    at = &*issuer;
  }
  if (out.count > 1 && IsSelfIssued(*out.certificates[out.count - 1])) {
    out.root = out.certificates[--out.count];
  }
  for (uint32_t i = 0; i < out.count; ++i) {
    out.certificates[i]->next = i + 1 < out.count ? out.certificates[i + 1] : nullptr;
  }
  return Ok();
}

void SayPath(const crypto::PathReport& report, ByteWriter& out) {
  if (report.last == nullptr) {
    return;
  }
  if (report.verdict == crypto::PeerVerdict::kUnknownAuthority) {
    out.Text(": the issuer \"");
    WriteName(report.last->issuer, out);
    out.Text("\" of \"");
    WriteName(report.last->subject, out);
    out.Text("\" is neither in the file nor trusted");
  } else if (report.depth > 0) {
    out.Text(", in the certificate ");
    out.Decimal(report.depth);
    out.Text(" above");
  }
}

Result<void> Refusal(const crypto::PathReport& report, ByteWriter& out) {
  using crypto::PeerVerdict;
  const char* why = "the certificate is not acceptable";
  switch (report.verdict) {
    case PeerVerdict::kGood:
      return Ok();
    case PeerVerdict::kUnknownAuthority:
      why = "the chain has a gap";
      break;
    case PeerVerdict::kExpired:
      why = "the certificate has expired";
      break;
    case PeerVerdict::kNotYetValid:
      why = "the certificate is not valid yet";
      break;
    case PeerVerdict::kRevoked:
      why = "the certificate is revoked";
      break;
    case PeerVerdict::kNameConstraint:
      why = "a name is outside of its authority's name constraints";
      break;
    case PeerVerdict::kWeak:
      why = "the key is too short or the signature's hash too weak";
      break;
    case PeerVerdict::kWrongUsage:
      why = "the certificate is not for digital signatures, or its authority not for this use";
      break;
    default:
      break;
  }
  SayPath(report, out);
  return Error(ErrorCode::kInvalidArgument, why);
}

// What a path check does not say clearly enough.
Result<void> CheckLeaf(const mbedtls_x509_crt& leaf, const SlotInfo& info) {
  const std::string_view domain = info.domain.view();
  if (!mbedtls_x509_crt_has_ext_type(&leaf, MBEDTLS_X509_EXT_SUBJECT_ALT_NAME)) {
    return Error(ErrorCode::kInvalidArgument,
                 "the certificate has no subject alternative name (SAN)");
  }
  if (!crypto::HasUsage(leaf, true, false, true)) {
    return Error(ErrorCode::kInvalidArgument,
                 "the certificate lacks the extended key usage server authentication");
  }
  if (!info.is_acme && !crypto::HasUsage(leaf, false, true, true)) {
    return Error(ErrorCode::kInvalidArgument,
                 "the certificate lacks the extended key usage client authentication");
  }
  if (!domain.empty() && !crypto::NamesHost(leaf, domain) &&
      !crypto::NamesHostExactly(leaf, domain)) {
    return Error(ErrorCode::kInvalidArgument,
                 "the domain is not among the certificate's subject alternative names");
  }
  return Ok();
}

// Whose key the certificate may hold.
struct KeyChoice {
  explicit KeyChoice(crypto::TlsEnvironment& environment) : key(environment) {}
  crypto::SoftwareKey key;
  std::string_view token_label;
  std::span<const uint8_t> public_key;
  bool is_of_request = false;
};

Result<void> ChooseKey(const UploadParts& parts, std::string_view domain,
                       const crypto::CertificateFile& file, KeyChoice& out) {
  Requests& requests = parts.requests;
  if (!file.key.empty()) {
    if (requests.state() != Requests::State::kNone) {
      return Error(ErrorCode::kWrongState,
                   "a private key is not taken while a request is in progress");
    }
    GH_TRY(out.key.Load(file.key));
    out.public_key = out.key.public_key();
    return Ok();
  }
  if (requests.state() == Requests::State::kReady && requests.domain() == domain &&
      requests.signing_key() != nullptr) {
    out.is_of_request = true;
    out.token_label = requests.token_label();
    out.public_key = requests.signing_key()->public_key();
    return Ok();
  }
  Installed installed;
  if (!parts.keys.Find(domain, installed) || installed.identity->key == nullptr) {
    return Error(ErrorCode::kWrongState,
                 "there is no key for it: make a request first (Certificate CSR Generate)");
  }
  out.token_label = installed.token_label;
  if (installed.token_label.empty()) {
    GH_TRY(parts.keys.CopyKey(domain, out.key));
  }
  out.public_key = installed.identity->key->public_key();
  return Ok();
}

Result<void> Install(const UploadParts& parts, const SlotInfo& info, const Chain& chain,
                     KeyChoice& choice, std::string_view by) {
  std::array<std::span<const uint8_t>, kChainMax> ders;
  for (uint32_t i = 0; i < chain.count; ++i) {
    ders[i] = {chain.certificates[i]->raw.p, chain.certificates[i]->raw.len};
  }
  const std::span<const std::span<const uint8_t>> in_order(ders.data(), chain.count);
  if (!choice.token_label.empty()) {
    return parts.keys.InstallToken(info, in_order, choice.token_label, by);
  }
  return parts.keys.Install(info, in_order,
                            choice.is_of_request ? parts.requests.key() : choice.key, by);
}

Result<void> Take(const UploadParts& parts, const SlotInfo& info,
                  const crypto::CertificateFile& file, std::string_view by, ByteWriter& out) {
  if (file.certificate_count == 0) {
    return Error(ErrorCode::kMalformed, "there is no certificate in it");
  }
  const std::string_view domain = info.domain.view();
  KeyChoice choice(parts.environment);
  GH_TRY(ChooseKey(parts, domain, file, choice));
  Parsed parsed(parts.environment);
  GH_TRY(parsed.Parse(file));
  const auto all = parsed.certificates();
  const auto leaf = std::ranges::find_if(
      all, [&](const mbedtls_x509_crt& one) { return PublicKeyIs(one, choice.public_key); });
  if (leaf == all.end()) {
    return Error(ErrorCode::kInvalidArgument,
                 "wrong key: no certificate in it belongs to the private key that is here");
  }
  Chain chain;
  GH_TRY(Order(all, *leaf, chain));
  GH_TRY(CheckLeaf(*leaf, info));
  // The topmost certificate of an authority that was believed stands in for the root.
  mbedtls_x509_crt* root = chain.root;
  if (info.is_acme && root == nullptr && chain.count > 1) {
    root = chain.certificates[--chain.count];
    chain.certificates[chain.count - 1]->next = nullptr;
  }
  const auto role = info.is_acme ? crypto::PeerRole::kServer : crypto::PeerRole::kFederation;
  GH_TRY(Refusal(parts.trust.ExamineOwn(*leaf, root, {role, std::string_view()}), out));
  if (root != chain.root) {
    ++chain.count;
  }
  GH_TRY(Install(parts, info, chain, choice, by));
  out.Text("in force: ");
  DescribeCertificate(*leaf, out);
  out.Text(", chain of ");
  out.Decimal(chain.count);
  if (choice.is_of_request) {
    return parts.requests.Discard(by, "fulfilled");
  }
  return Ok();
}

// What a password protects, opened in place.
Result<void> OpenFile(const UploadParts& parts, crypto::CertificateFile& file) {
  if (file.pkcs12.empty() && file.encrypted_key.empty()) {
    return Ok();
  }
  if (!parts.password.IsSet(parts.environment.clock.Now())) {
    return Error(ErrorCode::kWrongState,
                 "it is protected: give the password first (xCommand Certificate Password)");
  }
  if (!file.pkcs12.empty()) {
    GH_TRY(crypto::OpenPkcs12(parts.environment, file.pkcs12, parts.password.text(), file));
  } else {
    GH_TRY_ASSIGN(file.key, crypto::OpenPrivateKey(parts.environment, file.encrypted_key,
                                                   parts.password.text()));
  }
  parts.password.Forget();
  return Ok();
}

}  // namespace

Result<void> FilePassword::Set(std::string_view password, Instant now) {
  Forget();
  if (password.empty() || password.size() > bytes_.size()) {
    return Error(ErrorCode::kInvalidArgument, "expected a password of 1 to 64 characters");
  }
  std::ranges::copy(password, bytes_.begin());
  size_ = password.size();
  until_ = now + kLife;
  return Ok();
}

void FilePassword::Forget() {
  SecureZero(bytes_);
  size_ = 0;
}

namespace {

Result<void> TakeFile(const UploadParts& parts, SlotInfo& info, std::string_view domain,
                      std::span<const uint8_t> bytes, std::span<uint8_t> room, std::string_view by,
                      ByteWriter& out) {
  if (!info.domain.Assign(domain)) {
    return Error(ErrorCode::kInvalidArgument, "a domain has at most 100 characters");
  }
  crypto::CertificateFile file;
  Result<void> done = crypto::ReadCertificateFile(bytes, room, file);
  if (done.ok()) {
    done = OpenFile(parts, file);
  }
  if (done.ok()) {
    done = Take(parts, info, file, by, out);
  }
  SecureZero(room.first(std::min(room.size(), bytes.size())));
  if (!done.ok()) {
    parts.log.Emit(log::event::CertificateRefused{
        .domain = domain.empty() ? std::string_view("server") : domain,
        .reason = done.error().what,
        .by = by});
  }
  return done;
}

}  // namespace

Result<void> TakeUpload(const UploadParts& parts, std::string_view domain,
                        std::span<const uint8_t> bytes, std::span<uint8_t> room,
                        std::string_view by, ByteWriter& out) {
  SlotInfo info;
  return TakeFile(parts, info, domain, bytes, room, by, out);
}

Result<void> TakeIssued(const UploadParts& parts, std::string_view domain,
                        std::span<const uint8_t> bytes, std::span<uint8_t> room, ByteWriter& out) {
  SlotInfo info;
  info.is_acme = true;
  return TakeFile(parts, info, domain, bytes, room, "ACME", out);
}

}  // namespace gh::keys
