#include "firmware/keys/ocsp.h"

#include <mbedtls/asn1.h>
#include <mbedtls/md.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>

#include <algorithm>

#include "crypto/der_writer.h"
#include "crypto/digest.h"
#include "crypto/legacy.h"
#include "crypto/path_check.h"
#include "firmware/keys/x509_text.h"
#include "hal/rt/bytes.h"

namespace gh::keys {
namespace {

constexpr std::string_view kOidAccess = "\x2b\x06\x01\x05\x05\x07\x01\x01";
constexpr std::string_view kOidOcsp = "\x2b\x06\x01\x05\x05\x07\x30\x01";
constexpr std::string_view kOidBasic = "\x2b\x06\x01\x05\x05\x07\x30\x01\x01";
constexpr std::string_view kOidFeatures = "\x2b\x06\x01\x05\x05\x07\x01\x18";
constexpr std::string_view kOidSha1 = "\x2b\x0e\x03\x02\x1a";
constexpr std::string_view kOidSha256 = "\x60\x86\x48\x01\x65\x03\x04\x02\x01";
constexpr int kStatusRequest = 5;  // the feature, as TLS numbers extensions
constexpr int kSequence = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
constexpr int Context(int number) {
  return MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED | number;
}

const Error kNonsense(ErrorCode::kMalformed, "the responder's answer makes no sense");
const Error kNotHis(ErrorCode::kUnauthentic,
                    "the answer is signed by nobody who may speak for the issuer");

// Values one behind the other; a failure stays.
class Der {
 public:
  explicit Der(std::span<const uint8_t> bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }
  bool Is(int tag) const { return ok_ && !rest_.empty() && rest_[0] == tag; }
  // The content of the next value, which has to have this tag; all of it with `whole`.
  std::span<const uint8_t> Take(int tag, std::span<const uint8_t>* whole = nullptr) {
    // mbedTLS reads through a pointer that is not const and does not write.
    auto* p = const_cast<unsigned char*>(rest_.data());
    const unsigned char* end = p + rest_.size();
    size_t size = 0;
    if (!ok_ || mbedtls_asn1_get_tag(&p, end, &size, tag) != 0) {
      ok_ = false;
      return {};
    }
    const auto head = static_cast<size_t>(p - rest_.data());
    if (whole != nullptr) {
      *whole = rest_.first(head + size);
    }
    const auto content = rest_.subspan(head, size);
    rest_ = rest_.subspan(head + size);
    return content;
  }
  void SkipIf(int tag) {
    if (Is(tag)) {
      (void)Take(tag);
    }
  }

 private:
  std::span<const uint8_t> rest_;
  bool ok_ = true;
};

bool Same(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  return std::ranges::equal(a, b);
}
bool Same(std::span<const uint8_t> a, std::string_view b) { return AsText(a) == b; }
std::span<const uint8_t> Of(const mbedtls_x509_buf& buffer) { return {buffer.p, buffer.len}; }

// What a responder knows a certificate by.
struct Id {
  std::span<const uint8_t> name;  // of the issuer
  std::span<const uint8_t> key;   // of the issuer, its bits alone
  std::span<const uint8_t> serial;

  template <typename Hash>
  bool Is(std::span<const uint8_t> name_hash, std::span<const uint8_t> key_hash) const {
    return Same(name_hash, Hash::Of(name)) && Same(key_hash, Hash::Of(key));
  }
};

Result<Id> IdOf(const mbedtls_x509_crt& certificate, const mbedtls_x509_crt& issuer) {
  Der info(Of(issuer.pk_raw));
  Der inside(info.Take(kSequence));
  (void)inside.Take(kSequence);
  const auto bits = inside.Take(MBEDTLS_ASN1_BIT_STRING);
  if (!info.ok() || !inside.ok() || bits.empty() || bits[0] != 0) {
    return Error(ErrorCode::kMalformed, "the issuer's key cannot be read");
  }
  return Id{Of(issuer.subject_raw), bits.subspan(1), Of(certificate.serial)};
}

// "20261121193000Z", fractions are not allowed (RFC 5280 section 4.1.2.5.2). 0: it is none.
int64_t TimeOf(std::span<const uint8_t> text) {
  if (text.size() != 15 || text[14] != 'Z' ||
      !std::all_of(text.begin(), text.begin() + 14,
                   [](uint8_t c) { return c >= '0' && c <= '9'; })) {
    return 0;
  }
  const auto two = [&text](size_t at) { return (text[at] - '0') * 10 + (text[at + 1] - '0'); };
  mbedtls_x509_time time = {};
  time.year = two(0) * 100 + two(2);
  time.mon = two(4);
  time.day = two(6);
  time.hour = two(8);
  time.min = two(10);
  time.sec = two(12);
  if (time.mon < 1 || time.mon > 12 || time.day < 1 || time.day > 31 || time.hour > 23 ||
      time.min > 59 || time.sec > 60) {
    return 0;
  }
  return UnixSecondsOf(time);
}

// The parts of a BasicOCSPResponse (RFC 6960 section 4.2.1).
struct Basic {
  std::span<const uint8_t> signed_part;
  std::span<const uint8_t> answers;
  std::span<const uint8_t> algorithm;  // OID
  std::span<const uint8_t> signature;
  std::span<const uint8_t> certificate;  // the first that came along
};

Result<Basic> Open(std::span<const uint8_t> bytes) {
  Der outer(bytes);
  Der response(outer.Take(kSequence));
  const auto status = response.Take(MBEDTLS_ASN1_ENUMERATED);
  if (!outer.ok() || !outer.at_end() || !response.ok() || status.size() != 1) {
    return kNonsense;
  }
  if (status[0] != 0) {
    return Error(ErrorCode::kRefused, status[0] == 6   ? "the responder does not know the issuer"
                                      : status[0] == 3 ? "the responder says: try later"
                                                       : "the responder gives no answer");
  }
  Der tagged(response.Take(Context(0)));
  Der typed(tagged.Take(kSequence));
  const auto type = typed.Take(MBEDTLS_ASN1_OID);
  Der inner(typed.Take(MBEDTLS_ASN1_OCTET_STRING));
  Der basic(inner.Take(kSequence));
  Basic out;
  Der data(basic.Take(kSequence, &out.signed_part));
  Der algorithm(basic.Take(kSequence));
  out.algorithm = algorithm.Take(MBEDTLS_ASN1_OID);
  const auto bits = basic.Take(MBEDTLS_ASN1_BIT_STRING);
  data.SkipIf(Context(0));  // version
  if (data.Is(Context(1))) {
    (void)data.Take(Context(1));  // responder: by name
  } else {
    (void)data.Take(Context(2));  // or by key; who signed is found out by verifying
  }
  (void)data.Take(MBEDTLS_ASN1_GENERALIZED_TIME);
  out.answers = data.Take(kSequence);
  if (!typed.ok() || !inner.ok() || !basic.ok() || !data.ok() || !algorithm.ok() ||
      !Same(type, kOidBasic) || bits.empty() || bits[0] != 0) {
    return kNonsense;
  }
  out.signature = bits.subspan(1);
  if (basic.Is(Context(0))) {
    Der certificates(basic.Take(Context(0)));
    Der list(certificates.Take(kSequence));
    if (!list.at_end()) {
      (void)list.Take(kSequence, &out.certificate);
    }
    if (!certificates.ok() || !list.ok()) {
      return kNonsense;
    }
  }
  return out;
}

bool Verifies(const Basic& basic, mbedtls_pk_context& key) {
  const mbedtls_asn1_buf oid = {MBEDTLS_ASN1_OID, basic.algorithm.size(),
                                const_cast<unsigned char*>(basic.algorithm.data())};
  mbedtls_md_type_t md = MBEDTLS_MD_NONE;
  mbedtls_pk_type_t type = MBEDTLS_PK_NONE;
  if (mbedtls_oid_get_sig_alg(&oid, &md, &type) != 0 ||
      (md != MBEDTLS_MD_SHA256 && md != MBEDTLS_MD_SHA384 && md != MBEDTLS_MD_SHA512) ||
      (type != MBEDTLS_PK_RSA && type != MBEDTLS_PK_ECDSA) || mbedtls_pk_can_do(&key, type) == 0) {
    return false;
  }
  const mbedtls_md_info_t* info = mbedtls_md_info_from_type(md);
  uint8_t digest[MBEDTLS_MD_MAX_SIZE];
  return mbedtls_md(info, basic.signed_part.data(), basic.signed_part.size(), digest) == 0 &&
         mbedtls_pk_verify_ext(type, nullptr, &key, md, digest, mbedtls_md_get_size(info),
                               basic.signature.data(), basic.signature.size()) == 0;
}

// Of somebody whom the issuer has certified for it.
bool IsDelegated(const Basic& basic, mbedtls_x509_crt& issuer) {
  mbedtls_x509_crt certificate;
  mbedtls_x509_crt_init(&certificate);
  uint32_t flags = 0;
  // The issuer alone, not what is above it in our chain.
  mbedtls_x509_crt* above = issuer.next;
  issuer.next = nullptr;
  const bool is_good =
      mbedtls_x509_crt_parse_der(&certificate, basic.certificate.data(),
                                 basic.certificate.size()) == 0 &&
      mbedtls_x509_crt_has_ext_type(&certificate, MBEDTLS_X509_EXT_EXTENDED_KEY_USAGE) &&
      mbedtls_x509_crt_check_extended_key_usage(&certificate, MBEDTLS_OID_OCSP_SIGNING,
                                                MBEDTLS_OID_SIZE(MBEDTLS_OID_OCSP_SIGNING)) == 0 &&
      mbedtls_x509_crt_verify(&certificate, &issuer, nullptr, nullptr, &flags, nullptr, nullptr) ==
          0 &&
      Verifies(basic, certificate.pk);
  issuer.next = above;
  mbedtls_x509_crt_free(&certificate);
  return is_good;
}

// One SingleResponse; false: about another certificate.
Result<bool> TakeAnswer(Der& single, const Id& id, OcspAnswer& out) {
  Der subject(single.Take(kSequence));
  Der algorithm(subject.Take(kSequence));
  const auto hash = algorithm.Take(MBEDTLS_ASN1_OID);
  const auto name = subject.Take(MBEDTLS_ASN1_OCTET_STRING);
  const auto key = subject.Take(MBEDTLS_ASN1_OCTET_STRING);
  const auto serial = subject.Take(MBEDTLS_ASN1_INTEGER);
  if (single.Is(MBEDTLS_ASN1_CONTEXT_SPECIFIC | 0)) {
    (void)single.Take(MBEDTLS_ASN1_CONTEXT_SPECIFIC | 0);
    out.status = OcspStatus::kGood;
  } else if (single.Is(Context(1))) {
    (void)single.Take(Context(1));
    out.status = OcspStatus::kRevoked;
  } else {
    (void)single.Take(MBEDTLS_ASN1_CONTEXT_SPECIFIC | 2);
    out.status = OcspStatus::kUnknown;
  }
  out.this_update_s = TimeOf(single.Take(MBEDTLS_ASN1_GENERALIZED_TIME));
  out.next_update_s = out.this_update_s + kOcspLifeDefault;
  if (single.Is(Context(0))) {
    Der next(single.Take(Context(0)));
    out.next_update_s = TimeOf(next.Take(MBEDTLS_ASN1_GENERALIZED_TIME));
  }
  if (!single.ok() || !subject.ok() || !algorithm.ok() || out.this_update_s == 0 ||
      out.next_update_s == 0) {
    return kNonsense;
  }
  const bool is_issuer = Same(hash, kOidSha1)     ? id.Is<crypto::Sha1>(name, key)
                         : Same(hash, kOidSha256) ? id.Is<crypto::Sha256>(name, key)
                                                  : false;
  return is_issuer && Same(serial, id.serial);
}

}  // namespace

std::string_view OcspUrlOf(const mbedtls_x509_crt& certificate) {
  Der value(crypto::FindExtension(certificate, kOidAccess));
  Der list(value.Take(kSequence));
  while (list.ok() && !list.at_end()) {
    Der access(list.Take(kSequence));
    const auto method = access.Take(MBEDTLS_ASN1_OID);
    if (!Same(method, kOidOcsp) || !access.Is(MBEDTLS_ASN1_CONTEXT_SPECIFIC | 6)) {
      continue;
    }
    const std::string_view url = AsText(access.Take(MBEDTLS_ASN1_CONTEXT_SPECIFIC | 6));
    if (access.ok() && url.starts_with("http://")) {
      return url;
    }
  }
  return {};
}

bool MustStaple(const mbedtls_x509_crt& certificate) {
  Der value(crypto::FindExtension(certificate, kOidFeatures));
  Der list(value.Take(kSequence));
  while (list.ok() && !list.at_end()) {
    const auto feature = list.Take(MBEDTLS_ASN1_INTEGER);
    if (feature.size() == 1 && feature[0] == kStatusRequest) {
      return true;
    }
  }
  return false;
}

Result<std::span<const uint8_t>> WriteOcspRequest(const mbedtls_x509_crt& certificate,
                                                  const mbedtls_x509_crt& issuer,
                                                  std::span<uint8_t> out) {
  GH_TRY_ASSIGN(const Id id, IdOf(certificate, issuer));
  crypto::DerWriter writer(out);
  writer.Tagged(MBEDTLS_ASN1_INTEGER, id.serial);
  writer.Tagged(MBEDTLS_ASN1_OCTET_STRING, crypto::Sha1::Of(id.key));
  writer.Tagged(MBEDTLS_ASN1_OCTET_STRING, crypto::Sha1::Of(id.name));
  const size_t mark = writer.size();
  writer.Null();
  writer.Oid(kOidSha1);
  writer.WrapSequence(mark);
  for (int i = 0; i < 5; ++i) {  // CertID, Request, requestList, TBSRequest, OCSPRequest
    writer.WrapSequence(0);
  }
  return writer.ToFront("the certificate's serial number is too long");
}

Result<OcspAnswer> ReadOcspResponse(crypto::TlsEnvironment& environment,
                                    std::span<const uint8_t> bytes,
                                    const mbedtls_x509_crt& certificate,
                                    const mbedtls_x509_crt& issuer, int64_t now_s) {
  if (bytes.size() > kOcspResponseMax) {
    return Error(ErrorCode::kTooLarge, "the responder's answer is larger than 4096 bytes");
  }
  GH_TRY_ASSIGN(const Basic basic, Open(bytes));
  const crypto::TlsScope scope(environment);
  // Verifying does not change a key; mbedTLS's interface does not say so.
  auto& signer = const_cast<mbedtls_x509_crt&>(issuer);
  if (!Verifies(basic, signer.pk) && (basic.certificate.empty() || !IsDelegated(basic, signer))) {
    return kNotHis;
  }
  GH_TRY_ASSIGN(const Id id, IdOf(certificate, issuer));
  Der answers(basic.answers);
  for (uint32_t i = 0; !answers.at_end() && i < kOcspAnswersMax; ++i) {
    Der single(answers.Take(kSequence));
    OcspAnswer answer;
    GH_TRY_ASSIGN(const bool is_it, TakeAnswer(single, id, answer));
    if (!is_it) {
      continue;
    }
    if (answer.this_update_s > now_s + kOcspClockSlack || answer.next_update_s <= now_s) {
      return Error(ErrorCode::kOutOfRange, "the responder's answer is not valid now");
    }
    return answer;
  }
  return Error(ErrorCode::kNotFound, "the responder's answer is about another certificate");
}

}  // namespace gh::keys
