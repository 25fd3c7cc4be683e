// Keys in memory, and what they sign of themselves, held against OpenSSL: every scheme verifies,
// requests and self-signed certificates are read and believed by it.
#include "crypto/software_key.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include "crypto/x509_writer.h"
#include "hal/rt/bytes.h"
#include "tests/unit/crypto/doubles.h"

namespace gh::crypto {
namespace {

struct Listener final : SignListener {
  void OnSigned(SignRequest&) override { ++calls; }
  int calls = 0;
};

class SoftwareKeyTest : public ::testing::Test {
 protected:
  SoftwareKeyTest() : folder_("/tmp/gatehouse-key-XXXXXX") {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
  }
  ~SoftwareKeyTest() override { EXPECT_EQ(std::system(("rm -r " + folder_).c_str()), 0); }

  void Write(const std::string& name, std::span<const uint8_t> bytes) {
    std::ofstream(folder_ + "/" + name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  bool Run(const std::string& command) {
    return std::system(("cd " + folder_ + " && " + command + " >log 2>&1").c_str()) == 0;
  }
  std::string Log() {
    std::ifstream file(folder_ + "/log");
    return {(std::istreambuf_iterator<char>(file)), {}};
  }
  std::vector<uint8_t> Sign(SoftwareKey& key, SignatureScheme scheme,
                            std::span<const uint8_t> message) {
    uint8_t digest[kSignDigestMax];
    const size_t size = DigestFor(scheme, message, digest);
    request_.Prepare(scheme, std::span(digest).first(size), listener_, Instant{});
    key.Start(request_);
    EXPECT_EQ(request_.state(), SignRequest::State::kDone);
    const auto signature = request_.signature();
    return {signature.begin(), signature.end()};
  }
  void ExpectOpenSslVerifies(SoftwareKey& key, SignatureScheme scheme, const std::string& options) {
    const auto message = AsBytes("what is signed");
    Write("message", message);
    Write("key", key.public_key());
    Write("signature", Sign(key, scheme, message));
    EXPECT_TRUE(
        Run("openssl dgst " + options + " -keyform DER -verify key -signature signature message"))
        << options << ": " << Log();
  }
  bool Generate(SoftwareKey& key, uint32_t bits) {
    RsaGenerator generator(environment_);
    EXPECT_TRUE(generator.Start(bits).ok());
    while (generator.is_running()) {
      const auto found = generator.Step(key);
      if (!found.ok()) {
        return false;
      }
    }
    return key.is_set();
  }

  std::string folder_;
  WallClock clock_;
  SeededEntropy entropy_;
  Random random_{entropy_};
  std::vector<uint8_t> memory_ = std::vector<uint8_t>(512 * 1024 + 16);
  HeapOwner owner_;
  Heap heap_{{reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(memory_.data()) + 15) & ~15),
              512 * 1024},
             {&owner_, 1}};
  TlsEnvironment environment_{heap_, random_, clock_};
  Listener listener_;
  SignRequest request_;
};

TEST_F(SoftwareKeyTest, EcSignaturesVerify) {
  SoftwareKey key(environment_);
  ASSERT_TRUE(key.GenerateEc(KeyType::kEcP256).ok());
  EXPECT_EQ(key.bits(), 256u);
  ExpectOpenSslVerifies(key, SignatureScheme::kEcdsaSecp256r1Sha256, "-sha256");
  ASSERT_TRUE(key.GenerateEc(KeyType::kEcP384).ok());
  EXPECT_EQ(key.bits(), 384u);
  ExpectOpenSslVerifies(key, SignatureScheme::kEcdsaSecp384r1Sha384, "-sha384");
  EXPECT_EQ(listener_.calls, 0) << "a key in memory answers inside Start";
}

TEST_F(SoftwareKeyTest, RsaSignaturesVerify) {
  SoftwareKey key(environment_);
  ASSERT_TRUE(Generate(key, 2048));
  EXPECT_EQ(key.bits(), 2048u);
  const std::string pss = " -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest";
  ExpectOpenSslVerifies(key, SignatureScheme::kRsaPkcs1Sha256, "-sha256");
  ExpectOpenSslVerifies(key, SignatureScheme::kRsaPkcs1Sha384, "-sha384");
  ExpectOpenSslVerifies(key, SignatureScheme::kRsaPkcs1Sha512, "-sha512");
  ExpectOpenSslVerifies(key, SignatureScheme::kRsaPssSha256, "-sha256" + pss);
  ExpectOpenSslVerifies(key, SignatureScheme::kRsaPssSha384, "-sha384" + pss);
  ExpectOpenSslVerifies(key, SignatureScheme::kRsaPssSha512, "-sha512" + pss);
}

TEST_F(SoftwareKeyTest, KeysAreSavedAndLoaded) {
  SoftwareKey key(environment_);
  ASSERT_TRUE(Generate(key, 2048));
  uint8_t der[kPrivateKeyDerMax];
  const auto size = key.Save(der);
  ASSERT_TRUE(size.ok());
  Write("private", std::span(der).first(*size));
  EXPECT_TRUE(Run("openssl rsa -inform DER -in private -check -noout")) << Log();
  SoftwareKey other(environment_);
  ASSERT_TRUE(other.Load(std::span(der).first(*size)).ok());
  EXPECT_EQ(AsText(other.public_key()), AsText(key.public_key()));
  uint8_t small[100];
  EXPECT_EQ(key.Save(small).code(), ErrorCode::kTooLarge);
  EXPECT_EQ(other.Load(std::span(der).first(*size - 1)).code(), ErrorCode::kMalformed);
  EXPECT_FALSE(other.is_set());
}

TEST_F(SoftwareKeyTest, OtherKindsOfKeysAreRefused) {
  SoftwareKey key(environment_);
  const auto load = [&](const std::string& make) {
    EXPECT_TRUE(Run(make)) << Log();
    std::ifstream file(folder_ + "/made", std::ios::binary);
    const std::string der((std::istreambuf_iterator<char>(file)), {});
    return key.Load(AsBytes(der)).code();
  };
  EXPECT_EQ(load("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -outform DER "
                 "-out made"),
            ErrorCode::kUnsupported);
  EXPECT_EQ(load("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -outform DER "
                 "-out made"),
            ErrorCode::kUnsupported);
  EXPECT_EQ(load("openssl genpkey -algorithm ED25519 -outform DER -out made"),
            ErrorCode::kMalformed);
  EXPECT_EQ(load("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -outform DER "
                 "-out made"),
            ErrorCode::kOk);
}

TEST_F(SoftwareKeyTest, SchemesOfOtherKeysFail) {
  SoftwareKey key(environment_);
  ASSERT_TRUE(key.GenerateEc(KeyType::kEcP256).ok());
  uint8_t digest[48] = {};
  for (const auto scheme :
       {SignatureScheme::kRsaPssSha256, SignatureScheme::kEcdsaSecp384r1Sha384}) {
    request_.Prepare(scheme, std::span(digest).first(DigestSizeOf(scheme)), listener_, Instant{});
    key.Start(request_);
    ASSERT_EQ(request_.state(), SignRequest::State::kFailed);
    EXPECT_EQ(request_.error().code, ErrorCode::kUnsupported);
  }
  key.Clear();
  EXPECT_FALSE(key.is_available());
  EXPECT_EQ(heap_.used_bytes(), 0u);
}

TEST_F(SoftwareKeyTest, RequestsAreReadByOpenSsl) {
  SoftwareKey key(environment_);
  ASSERT_TRUE(key.GenerateEc(KeyType::kEcP256).ok());
  const Subject subject = {
      .common_name = "edge.example.com", .organization = "Example", .country = "NO"};
  AlternativeName names[2];
  names[0].dns = "edge.example.com";
  names[1].address = {192, 0, 2, 7};
  names[1].address_size = 4;
  uint8_t info[2048];
  const auto written = WriteRequestInfo(subject, names, key, info);
  ASSERT_TRUE(written.ok());
  const auto scheme = CertificateSchemeOf(key.type());
  uint8_t request[4096];
  const auto size = WriteSigned(*written, scheme, Sign(key, scheme, *written), request);
  ASSERT_TRUE(size.ok());
  Write("request", std::span(request).first(*size));
  ASSERT_TRUE(Run("openssl req -inform DER -in request -verify -noout -text")) << Log();
  const std::string text = Log();
  for (const char* part :
       {"self-signature verify OK", "DNS:edge.example.com, IP Address:192.0.2.7",
        "TLS Web Server Authentication, TLS Web Client Authentication", "C = NO, O = Example"}) {
    EXPECT_NE(text.find(part), text.npos) << part << " in\n" << text;
  }
}

TEST_F(SoftwareKeyTest, SelfSignedCertificatesAreBelieved) {
  SoftwareKey key(environment_);
  ASSERT_TRUE(Generate(key, 2048));
  AlternativeName name;
  name.dns = "gatehouse.example";
  SelfSigned terms;
  terms.valid_from_s = time(nullptr) - 3600;
  terms.valid_until_s = terms.valid_from_s + int64_t{86400} * 365 * 30;  // behind 2049
  const auto scheme = SignatureScheme::kRsaPkcs1Sha384;
  uint8_t info[4096];
  const auto written = WriteCertificateInfo({.common_name = "gatehouse.example"}, {&name, 1}, terms,
                                            key, scheme, info);
  ASSERT_TRUE(written.ok());
  uint8_t certificate[4096];
  const auto size = WriteSigned(*written, scheme, Sign(key, scheme, *written), certificate);
  ASSERT_TRUE(size.ok());
  Write("certificate", std::span(certificate).first(*size));
  EXPECT_TRUE(
      Run("openssl x509 -inform DER -in certificate -out pem && openssl verify "
          "-x509_strict -purpose sslserver -verify_hostname gatehouse.example "
          "-CAfile pem pem"))
      << Log();
}

TEST_F(SoftwareKeyTest, WhatIsNoNameIsRefused) {
  EXPECT_TRUE(IsDnsName("a.b-c.example", false));
  EXPECT_TRUE(IsDnsName("*.example.com", true));
  EXPECT_TRUE(IsDnsName(std::string(63, 'a') + ".b", false));
  for (const std::string_view bad :
       {"", ".", "a..b", "-a.b", "a-.b", "a b", "*.example.com", "a.*.b", "a.b.", "ä.b"}) {
    EXPECT_FALSE(IsDnsName(bad, false)) << bad;
  }
  EXPECT_FALSE(IsDnsName(std::string(64, 'a') + ".b", false));
  EXPECT_FALSE(IsDnsName(std::string(252, 'a'), false));
  SoftwareKey key(environment_);
  ASSERT_TRUE(key.GenerateEc(KeyType::kEcP256).ok());
  AlternativeName name;
  uint8_t info[2048];
  EXPECT_EQ(WriteRequestInfo({.common_name = "x"}, {}, key, info).code(),
            ErrorCode::kInvalidArgument);
  name.dns = "ok.example";
  EXPECT_EQ(WriteRequestInfo({.common_name = "x", .country = "NOR"}, {&name, 1}, key, info).code(),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(
      WriteRequestInfo({.common_name = "x"}, {&name, 1}, key, std::span(info).first(100)).code(),
      ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace gh::crypto
