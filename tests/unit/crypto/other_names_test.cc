// Names in certificates: so many are looked at.
#include "crypto/other_names.h"

#include <gtest/gtest.h>
#include <mbedtls/oid.h>

#include <array>
#include <string>

namespace gh::crypto {
namespace {

// id-on-xmppAddr, and a UTF-8 string.
std::string XmppAddress(const std::string& text) {
  const auto sized = [](char tag, const std::string& value) {
    return std::string(1, tag) + static_cast<char>(value.size()) + value;
  };
  return sized('\x06', "\x2b\x06\x01\x05\x05\x07\x08\x05") + sized('\xa0', sized('\x0c', text));
}

TEST(OtherNames, SoManyAreLookedAt) {
  std::string user = XmppAddress("alice@example.com");
  std::string other = "example.org";
  for (const uint32_t at : {kAlternativeNamesMax - 1, kAlternativeNamesMax}) {
    std::array<mbedtls_x509_sequence, kAlternativeNamesMax + 1> names = {};
    for (uint32_t i = 0; i < names.size(); ++i) {
      std::string& text = i == at ? user : other;
      names[i].buf.tag = MBEDTLS_ASN1_CONTEXT_SPECIFIC |
                         (i == at ? MBEDTLS_X509_SAN_OTHER_NAME : MBEDTLS_X509_SAN_DNS_NAME);
      names[i].buf.p = reinterpret_cast<unsigned char*>(text.data());
      names[i].buf.len = text.size();
      names[i].next = i + 1 < names.size() ? &names[i + 1] : nullptr;
    }
    mbedtls_x509_crt certificate;
    mbedtls_x509_crt_init(&certificate);
    certificate.MBEDTLS_PRIVATE(ext_types) = MBEDTLS_X509_EXT_SUBJECT_ALT_NAME;
    certificate.subject_alt_names = names[0];
    std::array<std::string_view, 2> users;
    EXPECT_EQ(XmppUsersOf(certificate, users), at < kAlternativeNamesMax ? 1u : 0u);
  }
}

}  // namespace
}  // namespace gh::crypto
