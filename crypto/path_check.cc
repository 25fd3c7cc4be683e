#include "crypto/path_check.h"

#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>

#include <algorithm>

#include "hal/rt/ascii.h"
#include "hal/rt/bytes.h"
#include "hal/rt/fixed_string.h"

namespace gh::crypto {
namespace {

// SHA-256 and better; RSA of 2048 bits and more, the curves P-256, P-384 and P-521.
const mbedtls_x509_crt_profile kProfile = {
    MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA256) | MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA384) |
        MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA512),
    MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_RSA) | MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_RSASSA_PSS) |
        MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_ECKEY) | MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_ECDSA),
    MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP256R1) |
        MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP384R1) |
        MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP521R1),
    2048,
};

// The path as mbedTLS has built it, root last.
struct Path {
  std::array<const mbedtls_x509_crt*, kPathMax> certificates = {};
  std::array<uint32_t, kPathMax> flags = {};
  uint32_t length = 0;
  bool is_too_long = false;
};

// Called from the root down.
int OnCertificate(void* context, mbedtls_x509_crt* certificate, int depth, uint32_t* flags) {
  auto& path = *static_cast<Path*>(context);
  if (depth < 0 || depth >= static_cast<int>(kPathMax)) {
    path.is_too_long = true;
    return 0;
  }
  const auto index = static_cast<uint32_t>(depth);
  path.certificates[index] = certificate;
  path.flags[index] = *flags;
  path.length = std::max(path.length, index + 1);
  return 0;
}

bool Is(const mbedtls_x509_buf& oid, std::string_view text) {
  return AsText({oid.p, oid.len}) == text;
}

// Of what mbedTLS has found. A list of revocations that is out of date still revokes what it
// names, and the operator is told; one that cannot be believed refuses.
PeerVerdict VerdictOf(uint32_t flags) {
  if ((flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0) {
    return PeerVerdict::kUnknownAuthority;
  }
  if ((flags & (MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCERT_BAD_PK |
                MBEDTLS_X509_BADCERT_BAD_KEY)) != 0) {
    return PeerVerdict::kWeak;
  }
  if ((flags & MBEDTLS_X509_BADCERT_EXPIRED) != 0) {
    return PeerVerdict::kExpired;
  }
  if ((flags & MBEDTLS_X509_BADCERT_FUTURE) != 0) {
    return PeerVerdict::kNotYetValid;
  }
  if ((flags & (MBEDTLS_X509_BADCERT_REVOKED | MBEDTLS_X509_BADCRL_NOT_TRUSTED)) != 0) {
    return PeerVerdict::kRevoked;
  }
  const uint32_t harmless = MBEDTLS_X509_BADCRL_EXPIRED | MBEDTLS_X509_BADCRL_FUTURE |
                            MBEDTLS_X509_BADCRL_BAD_MD | MBEDTLS_X509_BADCRL_BAD_PK |
                            MBEDTLS_X509_BADCRL_BAD_KEY;
  return (flags & ~harmless) == 0 ? PeerVerdict::kGood : PeerVerdict::kMalformed;
}

bool UsagesFit(const Path& path, PeerRole role) {
  const bool server = role != PeerRole::kClient;
  const bool client = role != PeerRole::kServer;
  const mbedtls_x509_crt& leaf = *path.certificates[0];
  if (!HasUsage(leaf, server, client, role == PeerRole::kFederation) ||
      mbedtls_x509_crt_check_key_usage(&leaf, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) != 0) {
    return false;
  }
  // An authority that is kept to some uses vouches for no others; roots are believed for all.
  for (uint32_t i = 1; i + 1 < path.length; ++i) {
    if (!HasUsage(*path.certificates[i], server, client, false)) {
      return false;
    }
  }
  return true;
}

// The depth of the certificate outside of its authority's constraints; 0 with `good`: none.
bool NamesAreWithin(const Path& path, uint32_t& depth) {
  uint32_t checks_left = kNameChecksMax;
  for (uint32_t authority = path.length - 1; authority > 0; --authority) {
    const auto constraints =
        FindExtension(*path.certificates[authority], MBEDTLS_OID_NAME_CONSTRAINTS);
    if (constraints.empty()) {
      continue;
    }
    for (uint32_t below = 0; below < authority; ++below) {
      const mbedtls_x509_crt& certificate = *path.certificates[below];
      const bool is_self_issued =
          AsText({certificate.subject_raw.p, certificate.subject_raw.len}) ==
          AsText({certificate.issuer_raw.p, certificate.issuer_raw.len});
      if (below > 0 && is_self_issued) {
        continue;  // RFC 5280 section 6.1.3 (b)
      }
      if (!WithinConstraints(constraints, certificate, checks_left)) {
        depth = below;
        return false;
      }
    }
  }
  return true;
}

template <typename Visit>
bool AnyName(const mbedtls_x509_crt& certificate, Visit visit) {
  if (!mbedtls_x509_crt_has_ext_type(&certificate, MBEDTLS_X509_EXT_SUBJECT_ALT_NAME)) {
    return false;
  }
  for (const mbedtls_x509_sequence* name = &certificate.subject_alt_names; name != nullptr;
       name = name->next) {
    if (name->buf.p != nullptr && visit(name->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK,
                                        std::span<const uint8_t>(name->buf.p, name->buf.len))) {
      return true;
    }
  }
  return false;
}

constexpr int kDnsTag = 2;
constexpr int kAddressTag = 7;

}  // namespace

bool HasUsage(const mbedtls_x509_crt& certificate, bool server, bool client, bool explicitly) {
  if (explicitly &&
      !mbedtls_x509_crt_has_ext_type(&certificate, MBEDTLS_X509_EXT_EXTENDED_KEY_USAGE)) {
    return false;
  }
  const auto has = [&certificate](const char* oid, size_t size) {
    return mbedtls_x509_crt_check_extended_key_usage(&certificate, oid, size) == 0;
  };
  return (!server || has(MBEDTLS_OID_SERVER_AUTH, MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH))) &&
         (!client || has(MBEDTLS_OID_CLIENT_AUTH, MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH)));
}

bool MatchesName(std::string_view pattern, std::string_view name) {
  if (!name.empty() && name.back() == '.') {
    name.remove_suffix(1);
  }
  if (!pattern.starts_with("*.")) {
    return !name.empty() && EqualsIgnoringCase(pattern, name);
  }
  // The whole first label, and a domain of two labels at least behind it.
  pattern.remove_prefix(1);
  const size_t dot = name.find('.');
  return dot != name.npos && dot > 0 && pattern.find('.', 1) != pattern.npos &&
         EqualsIgnoringCase(pattern, name.substr(dot));
}

bool NamesHost(const mbedtls_x509_crt& certificate, std::string_view name) {
  std::array<uint8_t, 16> address = {};
  const FixedString<64> text(name);
  const size_t size =
      text.truncated() ? 0 : mbedtls_x509_crt_parse_cn_inet_pton(text.c_str(), address.data());
  return AnyName(certificate, [&](int tag, std::span<const uint8_t> value) {
    return size > 0
               ? tag == kAddressTag && std::ranges::equal(value, std::span(address).first(size))
               : tag == kDnsTag && MatchesName(AsText(value), name);
  });
}

bool NamesHostExactly(const mbedtls_x509_crt& certificate, std::string_view name) {
  if (!name.empty() && name.back() == '.') {
    name.remove_suffix(1);
  }
  return AnyName(certificate, [&](int tag, std::span<const uint8_t> value) {
    return tag == kDnsTag && !name.empty() && EqualsIgnoringCase(AsText(value), name);
  });
}

std::span<const uint8_t> FindExtension(const mbedtls_x509_crt& certificate, std::string_view oid) {
  // Parsed once already; read again without trust in that.
  unsigned char* p = certificate.v3_ext.p;
  if (p == nullptr) {
    return {};
  }
  const unsigned char* end = p + certificate.v3_ext.len;
  size_t size = 0;
  constexpr int kSequence = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
  if (mbedtls_asn1_get_tag(&p, end, &size, kSequence) != 0) {
    return {};
  }
  end = p + size;
  while (p < end) {
    if (mbedtls_asn1_get_tag(&p, end, &size, kSequence) != 0) {
      return {};
    }
    const unsigned char* next = p + size;
    if (mbedtls_asn1_get_tag(&p, next, &size, MBEDTLS_ASN1_OID) != 0) {
      return {};
    }
    const mbedtls_x509_buf id = {MBEDTLS_ASN1_OID, size, p};
    p += size;
    int critical = 0;
    (void)mbedtls_asn1_get_bool(&p, next, &critical);
    if (mbedtls_asn1_get_tag(&p, next, &size, MBEDTLS_ASN1_OCTET_STRING) != 0) {
      return {};
    }
    if (Is(id, oid)) {
      return {p, size};
    }
    p += size;
  }
  return {};
}

PathReport CheckPath(TlsEnvironment& environment, const mbedtls_x509_crt& chain,
                     const TrustView& trust, const PeerExpectation& expected) {
  PathReport report;
  const TlsScope scope(environment);
  Path path;
  uint32_t flags = 0;
  // mbedTLS does not change what it is shown.
  const int status = mbedtls_x509_crt_verify_with_profile(const_cast<mbedtls_x509_crt*>(&chain),
                                                          trust.anchors, trust.crls, &kProfile,
                                                          nullptr, &flags, OnCertificate, &path);
  if (path.is_too_long || path.length == 0 ||
      (status != 0 && status != MBEDTLS_ERR_X509_CERT_VERIFY_FAILED)) {
    // Without a root, a chain that is too long, or no memory.
    report.verdict = PeerVerdict::kUnknownAuthority;
    report.last = &chain;
    return report;
  }
  report.flags = flags;
  report.length = path.length;
  report.last = path.certificates[path.length - 1];
  report.verdict = VerdictOf(flags);
  if (report.verdict != PeerVerdict::kGood) {
    while (report.depth + 1 < path.length &&
           VerdictOf(path.flags[report.depth]) != report.verdict) {
      ++report.depth;
    }
    report.culprit = path.certificates[report.depth];
    return report;
  }
  if (!NamesAreWithin(path, report.depth)) {
    report.verdict = PeerVerdict::kNameConstraint;
  } else if (!UsagesFit(path, expected.role)) {
    report.verdict = PeerVerdict::kWrongUsage;
  } else if (!expected.name.empty() && !NamesHost(chain, expected.name)) {
    report.verdict = PeerVerdict::kWrongName;
  }
  report.culprit = path.certificates[report.depth];
  report.issuer = path.certificates[path.length > 1 ? 1 : 0];
  return report;
}

}  // namespace gh::crypto
