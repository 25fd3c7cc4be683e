// OCSP against OpenSSL's responder, whose answers lie in tests/fuzz/corpus/ocsp_response: whose
// word is taken, about what, and until when.
#include "firmware/keys/ocsp.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/ocsp_chain.h"
#include "tests/unit/crypto/doubles.h"

namespace gh::keys {
namespace {

std::vector<uint8_t> Load(const std::string& name) {
  std::ifstream file("tests/fuzz/corpus/ocsp_response/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class OcspTest : public ::testing::Test {
 protected:
  OcspTest() {
    const crypto::TlsScope scope(environment_);
    mbedtls_x509_crt_init(&leaf_);
    mbedtls_x509_crt_init(&issuer_);
    EXPECT_EQ(mbedtls_x509_crt_parse_der(&leaf_, kOcspLeaf, sizeof(kOcspLeaf)), 0);
    EXPECT_EQ(mbedtls_x509_crt_parse_der(&issuer_, kOcspIssuer, sizeof(kOcspIssuer)), 0);
  }
  ~OcspTest() override {
    const crypto::TlsScope scope(environment_);
    mbedtls_x509_crt_free(&leaf_);
    mbedtls_x509_crt_free(&issuer_);
  }
  Result<OcspAnswer> Read(std::span<const uint8_t> bytes, int64_t now = kOcspNow) {
    return ReadOcspResponse(environment_, bytes, leaf_, issuer_, now);
  }

  std::vector<uint8_t> bytes_ = std::vector<uint8_t>(4 << 20);
  Arena arena_{bytes_};
  Heap heap_{arena_, 1 << 20};
  OcspClock clock_;
  crypto::SeededEntropy entropy_;
  crypto::Random random_{entropy_};
  crypto::TlsEnvironment environment_{heap_, random_, clock_};
  mbedtls_x509_crt leaf_;
  mbedtls_x509_crt issuer_;
};

TEST_F(OcspTest, TheCertificateSaysWhereToAskAndThatItMust) {
  EXPECT_EQ(OcspUrlOf(leaf_), "http://o.example/q");
  EXPECT_TRUE(MustStaple(leaf_));
  EXPECT_EQ(OcspUrlOf(issuer_), "");
  EXPECT_FALSE(MustStaple(issuer_));
}

TEST_F(OcspTest, TheRequestIsWhatOpensslMakes) {
  uint8_t room[kOcspRequestMax];
  const auto request = WriteOcspRequest(leaf_, issuer_, room);
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(std::vector<uint8_t>(request->begin(), request->end()), Load("request"));
  uint8_t small[40];
  EXPECT_EQ(WriteOcspRequest(leaf_, issuer_, small).code(), ErrorCode::kTooLarge);
}

TEST_F(OcspTest, TheIssuerAndWhomItCertifiesForItAreBelieved) {
  for (const char* name : {"direct", "delegated"}) {
    const auto answer = Read(Load(name));
    ASSERT_TRUE(answer.ok()) << name << answer.error().what;
    EXPECT_EQ(answer->status, OcspStatus::kGood);
    EXPECT_GT(answer->next_update_s, kOcspNow);
  }
  const auto revoked = Read(Load("revoked"));
  ASSERT_TRUE(revoked.ok()) << revoked.error().what;
  EXPECT_EQ(revoked->status, OcspStatus::kRevoked);
}

TEST_F(OcspTest, NobodyElseIs) {
  // Signed by the certificate itself, which is of the issuer but not for this; by one whose
  // certificate is of somebody of the issuer's name.
  EXPECT_EQ(Read(Load("imposter")).code(), ErrorCode::kUnauthentic);
  EXPECT_EQ(Read(Load("stranger")).code(), ErrorCode::kUnauthentic);
}

TEST_F(OcspTest, AnAnswerCountsInItsTime) {
  const auto direct = Load("direct");
  const auto answer = Read(direct);
  ASSERT_TRUE(answer.ok());
  EXPECT_TRUE(Read(direct, answer->next_update_s - 1).ok());
  EXPECT_EQ(Read(direct, answer->next_update_s).code(), ErrorCode::kOutOfRange);
  EXPECT_TRUE(Read(direct, answer->this_update_s - kOcspClockSlack).ok());
  EXPECT_EQ(Read(direct, answer->this_update_s - kOcspClockSlack - 1).code(),
            ErrorCode::kOutOfRange);
}

TEST_F(OcspTest, OfAnotherCertificateItIsNoAnswer) {
  EXPECT_EQ(ReadOcspResponse(environment_, Load("direct"), issuer_, issuer_, kOcspNow).code(),
            ErrorCode::kNotFound);
}

TEST_F(OcspTest, NoByteMayBeOtherwiseOrMissing) {
  for (const char* name : {"direct", "delegated"}) {
    const auto good = Load(name);
    ASSERT_GT(good.size(), 100u);
    for (size_t size = 0; size < good.size(); ++size) {
      EXPECT_FALSE(Read(std::span(good).first(size)).ok()) << size;
    }
    // The leading tags, the signed part and the signature; a delegate's own certificate may
    // differ where its signature does not cover it.
    for (size_t i = 0; i < 150; ++i) {
      auto bad = good;
      bad[i] ^= 0x10;
      EXPECT_FALSE(Read(bad).ok()) << name << i;
    }
  }
  EXPECT_EQ(Read(std::vector<uint8_t>(kOcspResponseMax + 1)).code(), ErrorCode::kTooLarge);
  const uint8_t later[] = {0x30, 3, 0x0a, 1, 3};
  EXPECT_EQ(Read(later).code(), ErrorCode::kRefused);
}

}  // namespace
}  // namespace gh::keys
