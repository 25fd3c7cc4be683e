#include "crypto/other_names.h"

#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>

#include <algorithm>

#include "crypto/path_check.h"
#include "hal/rt/ascii.h"
#include "hal/rt/bytes.h"

namespace gh::crypto {
namespace {

constexpr std::string_view kXmppAddressOid = "\x2b\x06\x01\x05\x05\x07\x08\x05";
constexpr std::string_view kServiceOid = "\x2b\x06\x01\x05\x05\x07\x08\x07";
constexpr int kContextConstructed = MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED;

bool IsText(std::string_view text) {
  return !text.empty() && std::ranges::none_of(text, [](char c) {
    return static_cast<unsigned char>(c) < ' ' || c == '\x7f';
  });
}

template <typename Visit>
void ForEachName(const mbedtls_x509_crt& certificate, Visit visit) {
  if (!mbedtls_x509_crt_has_ext_type(&certificate, MBEDTLS_X509_EXT_SUBJECT_ALT_NAME)) {
    return;
  }
  uint32_t count = 0;
  for (const mbedtls_x509_sequence* at = &certificate.subject_alt_names;
       at != nullptr && count < kAlternativeNamesMax; at = at->next, ++count) {
    if (at->buf.p != nullptr) {
      visit(at->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK,
            std::span<const uint8_t>(at->buf.p, at->buf.len));
    }
  }
}

template <typename Matches>
bool AnyOtherName(const mbedtls_x509_crt& certificate, Matches matches) {
  bool any = false;
  ForEachName(certificate, [&](int form, std::span<const uint8_t> value) {
    any = any || (form == MBEDTLS_X509_SAN_OTHER_NAME && matches(ReadOtherName(value)));
  });
  return any;
}

}  // namespace

std::string_view OtherName::domain() const {
  const size_t at = kind == OtherNameKind::kService ? text.find('.') : text.rfind('@');
  if (at != text.npos) {
    return text.substr(at + 1);
  }
  return kind == OtherNameKind::kXmppAddress ? text : std::string_view();
}

// OID, then [0] with the text in it, to the last byte.
OtherName ReadOtherName(std::span<const uint8_t> value) {
  auto* p = const_cast<unsigned char*>(value.data());
  const unsigned char* end = p + value.size();
  size_t size = 0;
  if (value.empty() || mbedtls_asn1_get_tag(&p, end, &size, MBEDTLS_ASN1_OID) != 0) {
    return {};
  }
  const std::string_view oid = AsText({p, size});
  p += size;
  const bool is_service = oid == kServiceOid;
  const int string_tag = is_service ? MBEDTLS_ASN1_IA5_STRING : MBEDTLS_ASN1_UTF8_STRING;
  if ((!is_service && oid != kXmppAddressOid) ||
      mbedtls_asn1_get_tag(&p, end, &size, kContextConstructed) != 0 || p + size != end ||
      mbedtls_asn1_get_tag(&p, end, &size, string_tag) != 0 || p + size != end) {
    return {};
  }
  const std::string_view text = AsText({p, size});
  if (!IsText(text)) {
    return {};
  }
  return {is_service ? OtherNameKind::kService : OtherNameKind::kXmppAddress, text};
}

bool NamesService(const mbedtls_x509_crt& certificate, std::string_view service,
                  std::string_view domain) {
  return AnyOtherName(certificate, [&](const OtherName& name) {
    return name.kind == OtherNameKind::kService && name.text.size() > service.size() &&
           EqualsIgnoringCase(name.text.substr(0, service.size()), service) &&
           name.text[service.size()] == '.' &&
           MatchesName(name.text.substr(service.size() + 1), domain);
  });
}

bool NamesXmppDomain(const mbedtls_x509_crt& certificate, std::string_view domain) {
  return AnyOtherName(certificate, [&](const OtherName& name) {
    return name.kind == OtherNameKind::kXmppAddress && !domain.empty() &&
           EqualsIgnoringCase(name.text, domain);
  });
}

uint32_t XmppUsersOf(const mbedtls_x509_crt& certificate, std::span<std::string_view> out) {
  uint32_t count = 0;
  (void)AnyOtherName(certificate, [&](const OtherName& name) {
    if (name.kind == OtherNameKind::kXmppAddress && name.text.find('@') != name.text.npos &&
        count < out.size()) {
      out[count++] = name.text;
    }
    return false;
  });
  return count;
}

uint32_t MailAddressesOf(const mbedtls_x509_crt& certificate, std::span<std::string_view> out) {
  uint32_t count = 0;
  ForEachName(certificate, [&](int form, std::span<const uint8_t> value) {
    if (form == MBEDTLS_X509_SAN_RFC822_NAME && IsText(AsText(value)) && count < out.size()) {
      out[count++] = AsText(value);
    }
  });
  return count;
}

}  // namespace gh::crypto
