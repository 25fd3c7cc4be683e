// Chains that are good, and chains that are bad in one way each (bad_certificates.py), each with
// the verdict it has to get. The clock stands at 2026-06-01.
#include "crypto/path_check.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "crypto/certificate_file.h"
#include "crypto/other_names.h"
#include "hal/rt/bytes.h"
#include "tests/unit/crypto/doubles.h"

namespace gh::crypto {
namespace {

struct Case {
  std::string name;
  PeerRole role = PeerRole::kServer;
  std::string host;
  std::string verdict;
};

const char* WordOf(PeerVerdict verdict) {
  switch (verdict) {
    case PeerVerdict::kGood:
      return "good";
    case PeerVerdict::kUnknownAuthority:
      return "unknown-authority";
    case PeerVerdict::kExpired:
      return "expired";
    case PeerVerdict::kNotYetValid:
      return "not-yet-valid";
    case PeerVerdict::kRevoked:
      return "revoked";
    case PeerVerdict::kWrongName:
      return "wrong-name";
    case PeerVerdict::kWrongUsage:
      return "wrong-usage";
    case PeerVerdict::kNameConstraint:
      return "name-constraint";
    case PeerVerdict::kWeak:
      return "weak";
    case PeerVerdict::kBadStatus:
      return "bad-status";
    default:
      return "malformed";
  }
}

class PathCheckTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new std::string("/tmp/gatehouse-path-XXXXXX");
    ASSERT_NE(mkdtemp(folder_->data()), nullptr);
    const std::string make =
        "/usr/bin/python3 tests/unit/crypto/bad_certificates.py " + *folder_ + " 2>/dev/null";
    ASSERT_EQ(std::system(make.c_str()), 0);
  }
  static void TearDownTestSuite() {
    EXPECT_EQ(std::system(("rm -r " + *folder_).c_str()), 0);
    delete folder_;
  }
  static std::vector<uint8_t> Bytes(const std::string& name) {
    std::ifstream file(*folder_ + "/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static std::vector<Case> Cases() {
    std::ifstream file(*folder_ + "/cases");
    std::vector<Case> cases;
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      Case one;
      std::string role;
      words >> one.name >> role >> one.host >> one.verdict;
      one.role = role == "client"       ? PeerRole::kClient
                 : role == "federation" ? PeerRole::kFederation
                                        : PeerRole::kServer;
      one.host = one.host == "-" ? "" : one.host;
      cases.push_back(one);
    }
    return cases;
  }

  // As a session gets them: a chain that cannot be read is refused before anybody is asked.
  bool Parse(const std::string& name, mbedtls_x509_crt& out) {
    const auto bytes = Bytes(name);
    std::vector<uint8_t> room(bytes.size());
    CertificateFile file;
    mbedtls_x509_crt_init(&out);
    if (bytes.empty()) {
      return true;
    }
    EXPECT_TRUE(ReadCertificateFile(bytes, room, file).ok()) << name;
    const TlsScope scope(environment_);
    for (const auto der : file.chain()) {
      if (mbedtls_x509_crt_parse_der(&out, der.data(), der.size()) != 0) {
        return false;
      }
    }
    return true;
  }
  PathReport Check(const Case& one) {
    mbedtls_x509_crt chain;
    mbedtls_x509_crt roots;
    mbedtls_x509_crl crl;
    mbedtls_x509_crl_init(&crl);
    PathReport report;
    const bool parsed = Parse(one.name + ".pem", chain);
    EXPECT_TRUE(Parse(one.name + ".roots", roots));
    const auto crl_bytes = Bytes(one.name + ".crl");
    {
      const TlsScope scope(environment_);
      if (!crl_bytes.empty()) {
        EXPECT_EQ(mbedtls_x509_crl_parse_der(&crl, crl_bytes.data(), crl_bytes.size()), 0);
      }
    }
    if (parsed) {
      report =
          CheckPath(environment_, chain,
                    {roots.raw.p == nullptr ? nullptr : &roots, crl_bytes.empty() ? nullptr : &crl},
                    {one.role, one.host});
    }
    const TlsScope scope(environment_);
    mbedtls_x509_crt_free(&chain);
    mbedtls_x509_crt_free(&roots);
    mbedtls_x509_crl_free(&crl);
    report.last = nullptr;
    return report;
  }

  static std::string* folder_;
  FixedClock clock_;
  CountingEntropy entropy_;
  Random random_{entropy_};
  std::vector<uint8_t> memory_ = std::vector<uint8_t>(512 * 1024 + 16);
  HeapOwner owner_;
  Heap heap_{{reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(memory_.data()) + 15) & ~15),
              512 * 1024},
             {&owner_, 1}};
  TlsEnvironment environment_{heap_, random_, clock_};
};
std::string* PathCheckTest::folder_ = nullptr;

TEST_F(PathCheckTest, EveryChainGetsItsVerdict) {
  const auto cases = Cases();
  ASSERT_GT(cases.size(), 70u);
  for (const Case& one : cases) {
    EXPECT_EQ(WordOf(Check(one).verdict), one.verdict) << one.name;
    EXPECT_EQ(heap_.used_bytes(), 0u) << one.name;
  }
}

TEST_F(PathCheckTest, TheReportSaysWhichCertificateItWas) {
  for (const Case& one : Cases()) {
    if (one.name == "expired-intermediate") {
      EXPECT_EQ(Check(one).depth, 1u);
    } else if (one.name == "expired") {
      EXPECT_EQ(Check(one).depth, 0u);
    } else if (one.name == "gap") {
      EXPECT_EQ(Check(one).length, 1u);
    } else if (one.name == "good") {
      EXPECT_EQ(Check(one).length, 3u);
    }
  }
}

TEST_F(PathCheckTest, NamesThatXmppGoesBy) {
  mbedtls_x509_crt chain;
  ASSERT_TRUE(Parse("other-names.pem", chain));
  EXPECT_TRUE(NamesXmppDomain(chain, "example.com"));
  EXPECT_FALSE(NamesXmppDomain(chain, "alice@example.com.evil.example"));
  EXPECT_FALSE(NamesXmppDomain(chain, "example.org"));  // only for a service
  EXPECT_FALSE(NamesXmppDomain(chain, ""));
  EXPECT_TRUE(NamesService(chain, "_xmpp-server", "example.org"));
  EXPECT_TRUE(NamesService(chain, "_xmpp-server", "a.example.net"));
  EXPECT_FALSE(NamesService(chain, "_xmpp-server", "a.b.example.net"));
  EXPECT_FALSE(NamesService(chain, "_xmpp-server", "example.com"));
  EXPECT_FALSE(NamesService(chain, "_xmpp-client", "example.org"));
  EXPECT_FALSE(NamesService(chain, "_xmpp", "example.org"));
  std::array<std::string_view, 4> names;
  ASSERT_EQ(XmppUsersOf(chain, names), 2u);  // not the one with a NUL in it
  EXPECT_EQ(names[0], "alice@example.com");
  EXPECT_EQ(names[1], "bob@example.com");
  EXPECT_EQ(XmppUsersOf(chain, std::span(names).first(1)), 1u);
  ASSERT_EQ(MailAddressesOf(chain, names), 1u);
  EXPECT_EQ(names[0], "carol@example.com");
  const TlsScope scope(environment_);
  mbedtls_x509_crt_free(&chain);
}

TEST_F(PathCheckTest, WithoutMemoryNothingIsBelieved) {
  Case good;
  for (const Case& one : Cases()) {
    good = one.name == "good" ? one : good;
  }
  mbedtls_x509_crt chain;
  mbedtls_x509_crt roots;
  ASSERT_TRUE(Parse("good.pem", chain));
  ASSERT_TRUE(Parse("good.roots", roots));
  heap_.SetOwnerLimit(0, heap_.used_bytes() + 64);
  EXPECT_NE(CheckPath(environment_, chain, {&roots, nullptr}, {good.role, good.host}).verdict,
            PeerVerdict::kGood);
  heap_.SetOwnerLimit(0, UINT64_MAX);
  EXPECT_EQ(CheckPath(environment_, chain, {&roots, nullptr}, {good.role, good.host}).verdict,
            PeerVerdict::kGood);
  const TlsScope scope(environment_);
  mbedtls_x509_crt_free(&chain);
  mbedtls_x509_crt_free(&roots);
}

TEST(MatchesNameTest, WildcardsStandForOneLabel) {
  EXPECT_TRUE(MatchesName("a.b.c", "A.B.C"));
  EXPECT_TRUE(MatchesName("*.b.c", "a.b.c"));
  EXPECT_FALSE(MatchesName("*.b.c", "b.c"));
  EXPECT_FALSE(MatchesName("*.b.c", ".b.c"));
  EXPECT_FALSE(MatchesName("*.b.c", "x.a.b.c"));
  EXPECT_FALSE(MatchesName("*.c", "b.c"));
  EXPECT_FALSE(MatchesName("*", "b"));
  EXPECT_FALSE(MatchesName("", ""));
}

}  // namespace
}  // namespace gh::crypto
