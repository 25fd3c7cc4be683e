#include "crypto/trust_list.h"

#include <mbedtls/base64.h>
#include <mbedtls/x509_crt.h>

#include <algorithm>
#include <cstring>

#include "hal/rt/assert.h"

namespace gh::crypto {
namespace {

constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";
constexpr std::string_view kEnd = "-----END CERTIFICATE-----";

// Parsed for a moment; inside a TlsScope.
class Parsed {
 public:
  explicit Parsed(std::span<const uint8_t> der) {
    mbedtls_x509_crt_init(&certificate);
    good = !der.empty() &&
           mbedtls_x509_crt_parse_der_nocopy(&certificate, der.data(), der.size()) == 0 &&
           certificate.raw.len == der.size();
  }
  Parsed(const Parsed&) = delete;
  Parsed& operator=(const Parsed&) = delete;
  ~Parsed() { mbedtls_x509_crt_free(&certificate); }
  mbedtls_x509_crt certificate;
  bool good = false;
};

}  // namespace

TrustList::TrustList(Arena& arena) {
  for (Anchor& anchor : anchors_) {
    anchor.room = arena.NewArray<uint8_t>(kTrustAnchorBytesMax);
  }
}

Result<void> TrustList::Add(TlsEnvironment& environment, std::span<const uint8_t> der) {
  if (der.size() > kTrustAnchorBytesMax) {
    return Error(ErrorCode::kTooLarge, "the certificate is larger than 3 KiB");
  }
  if (count_ == kTrustAnchorMax) {
    return Error(ErrorCode::kNoSpace, "16 certificates are trusted already");
  }
  for (uint32_t i = 0; i < count_; ++i) {
    if (std::ranges::equal(anchors_[i].der, der)) {
      return Error(ErrorCode::kAlreadyExists, "this certificate is trusted already");
    }
  }
  {
    const TlsScope scope(environment);
    const Parsed parsed(der);
    if (!parsed.good) {
      return Error(ErrorCode::kMalformed, "expected one X.509 certificate");
    }
    // Version 1 certificates have no such mark; they are taken as what the operator says they are.
    if (parsed.certificate.version == 3 && parsed.certificate.private_ca_istrue == 0) {
      return Error(ErrorCode::kInvalidArgument, "the certificate is not one of an authority (CA)");
    }
  }
  Anchor& anchor = anchors_[count_++];
  std::copy(der.begin(), der.end(), anchor.room.begin());
  anchor.der = anchor.room.first(der.size());
  return Ok();
}

void TrustList::Remove(uint32_t index) {
  GH_ASSERT_LT(index, count_);
  std::rotate(anchors_.begin() + index, anchors_.begin() + index + 1, anchors_.begin() + count_);
  anchors_[--count_].der = {};
}

void TrustList::Describe(TlsEnvironment& environment, std::span<const uint8_t> der,
                         ByteWriter& out) {
  const TlsScope scope(environment);
  const Parsed parsed(der);
  if (!parsed.good) {
    out.Text("(not a certificate)");
    return;
  }
  char name[200] = {};
  const int size = mbedtls_x509_dn_gets(name, sizeof(name), &parsed.certificate.subject);
  for (const char c : std::string_view(name, size > 0 ? static_cast<size_t>(size) : 0)) {
    out.Char(c >= ' ' && c < 0x7f ? c : '?');
  }
  const mbedtls_x509_time& until = parsed.certificate.valid_to;
  out.Text(" until=");
  out.SignedDecimal(until.year);
  out.Text(until.mon < 10 ? "-0" : "-");
  out.SignedDecimal(until.mon);
  out.Text(until.day < 10 ? "-0" : "-");
  out.SignedDecimal(until.day);
}

Result<size_t> DecodePemCertificate(std::string_view pem, std::span<uint8_t> der) {
  const Error wrong(ErrorCode::kMalformed,
                    "expected a certificate between BEGIN CERTIFICATE and END CERTIFICATE");
  const size_t begin = pem.find(kBegin);
  if (begin == pem.npos) {
    return wrong;
  }
  const size_t end = pem.find(kEnd, begin + kBegin.size());
  if (end == pem.npos) {
    return wrong;
  }
  // Without the white space that terminals and mailers put between.
  uint8_t text[kPemMax];
  size_t size = 0;
  for (const char c : pem.substr(begin + kBegin.size(), end - begin - kBegin.size())) {
    if (c == '\r' || c == '\n' || c == ' ' || c == '\t') {
      continue;
    }
    if (size == sizeof(text)) {
      return Error(ErrorCode::kTooLarge, "the certificate is larger than 3 KiB");
    }
    text[size++] = static_cast<uint8_t>(c);
  }
  size_t written = 0;
  const int status = mbedtls_base64_decode(der.data(), der.size(), &written, text, size);
  if (status == MBEDTLS_ERR_BASE64_BUFFER_TOO_SMALL) {
    return Error(ErrorCode::kTooLarge, "the certificate is larger than 3 KiB");
  }
  return status == 0 && written > 0 ? Result<size_t>(written) : Result<size_t>(wrong);
}

}  // namespace gh::crypto
