// Lists of cipher suites as operators write them, and what they leave under versions and the
// restricted profile.
#include "crypto/tls_policy.h"

#include <gtest/gtest.h>
#include <mbedtls/ssl.h>

#include <string>
#include <vector>

namespace gh::crypto {
namespace {

std::vector<int> SuitesOf(const TlsPolicy& policy) {
  std::array<int, kTlsSuiteMax + 1> out;
  const uint32_t count = policy.Suites(out);
  EXPECT_EQ(out[count], 0);
  return {out.begin(), out.begin() + count};
}

using Ids = std::vector<int>;

TEST(TlsPolicyTest, TheDefaultIsAllOfThem) {
  const TlsPolicy policy;
  EXPECT_EQ(policy.minimum, TlsVersion::kTls12);
  EXPECT_EQ(SuitesOf(policy),
            (Ids{0x1301, 0x1303, 0x1302, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0xc02c, 0xc030}));
  EXPECT_EQ(SuitesOf(policy).size(), TlsSuites().size());
}

TEST(TlsPolicyTest, AListSaysTheOrder) {
  TlsPolicy policy;
  ASSERT_TRUE(policy.SetSuites("ECDHE-RSA-AES256-GCM-SHA384:tls_aes_128_gcm_sha256").ok());
  EXPECT_EQ(SuitesOf(policy), (Ids{0xc030, 0x1301}));
  ASSERT_TRUE(policy.SetSuites(",TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,,DEFAULT,!FIPS,").ok());
  EXPECT_EQ(SuitesOf(policy), (Ids{0x1303, 0xcca9, 0xcca8})) << "barred wherever it stands";
  ASSERT_TRUE(policy.SetSuites("TLS_AES_128_GCM_SHA256:TLS_AES_128_GCM_SHA256").ok());
  EXPECT_EQ(SuitesOf(policy), Ids{0x1301}) << "each once";
}

TEST(TlsPolicyTest, WhatLeavesNothingIsRefusedAndChangesNothing) {
  TlsPolicy policy;
  ASSERT_TRUE(policy.SetSuites("TLS_AES_256_GCM_SHA384").ok());
  for (const char* list : {"", ":", "!DEFAULT", "DEFAULT:!DEFAULT", "AES128-SHA", "NULL",
                           "ECDHE-RSA-AES128-SHA256", "DEFAULT:RC4-MD5", "!", "TLS_AES_128"}) {
    EXPECT_EQ(policy.SetSuites(list).code(), ErrorCode::kInvalidArgument) << list;
    EXPECT_EQ(SuitesOf(policy), Ids{0x1302}) << list;
  }
  policy.minimum = TlsVersion::kTls13;
  EXPECT_FALSE(policy.SetSuites("ECDHE-RSA-AES256-GCM-SHA384").ok()) << "only of TLS 1.2";
  policy.Restrict(true);
  EXPECT_FALSE(policy.SetSuites("TLS_CHACHA20_POLY1305_SHA256").ok()) << "not of FIPS 140";
}

TEST(TlsPolicyTest, VersionsBoundTheSuites) {
  TlsPolicy policy;
  policy.minimum = TlsVersion::kTls13;
  EXPECT_EQ(SuitesOf(policy), (Ids{0x1301, 0x1303, 0x1302}));
  policy.minimum = policy.maximum = TlsVersion::kTls12;
  EXPECT_EQ(SuitesOf(policy).size(), 6u);
}

TEST(TlsPolicyTest, TheRestrictedProfileHoldsWhateverTheListSays) {
  TlsPolicy policy;
  policy.Restrict(true);
  EXPECT_EQ(SuitesOf(policy), (Ids{0x1301, 0x1302, 0xc02b, 0xc02f, 0xc02c, 0xc030}));
  EXPECT_EQ(policy.Groups().front(), MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1);
  EXPECT_EQ(policy.Groups().back(), 0);
  ASSERT_TRUE(policy.SetSuites("DEFAULT").ok());
  EXPECT_EQ(SuitesOf(policy).size(), 6u);
  policy.Restrict(false);
  EXPECT_EQ(policy.Groups().front(), MBEDTLS_SSL_IANA_TLS_GROUP_X25519);
  EXPECT_EQ(SuitesOf(policy).size(), TlsSuites().size());
}

}  // namespace
}  // namespace gh::crypto
