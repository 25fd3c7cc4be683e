// The keys room against OpenSSL as the authority: requests and their names, certificates brought
// for them and refused for the right reason, the choice by name, exchange under use, trust lists,
// revocation lists, all of it again after a restart.
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "crypto/certificate_file.h"
#include "crypto/pkcs12.h"
#include "firmware/keys/backup_rows.h"
#include "firmware/keys/key_store.h"
#include "firmware/keys/path_words.h"
#include "firmware/keys/request.h"
#include "firmware/keys/trust_store.h"
#include "firmware/keys/upload.h"
#include "firmware/keys/x509_text.h"
#include "tests/unit/crypto/doubles.h"

namespace gh::keys {
namespace {

// Rows in memory, with transactions; `refuses` makes every commit fail.
class MapStore final : public store::Store {
 public:
  using Rows = std::map<std::pair<store::Table, std::string>, std::string>;
  Result<void> ForEach(store::EntryVisitor&) override { return Ok(); }
  Result<void> Begin() override {
    before = rows;
    return Ok();
  }
  Result<void> Put(std::string_view, std::span<const uint8_t>) override { return Ok(); }
  Result<void> Remove(std::string_view) override { return Ok(); }
  Result<void> RemoveAll() override { return Ok(); }
  Result<void> Commit() override {
    if (refuses) {
      rows = before;
      return Error(ErrorCode::kNoSpace, "full");
    }
    return Ok();
  }
  void Rollback() override { rows = before; }
  store::StoreStatus status() const override { return {}; }
  Result<void> PutIn(store::Table table, std::string_view key,
                     std::span<const uint8_t> value) override {
    EXPECT_LE(key.size(), store::kKeyMax);
    EXPECT_LE(value.size(), store::kValueMax);
    rows[{table, std::string(key)}] = std::string(AsText(value));
    return Ok();
  }
  Result<void> RemoveIn(store::Table table, std::string_view key) override {
    rows.erase({table, std::string(key)});
    return Ok();
  }
  Result<uint32_t> ForEachIn(store::Table table, std::string_view after, uint32_t limit,
                             store::EntryVisitor& visitor) override {
    uint32_t count = 0;
    for (const auto& [key, value] : rows) {
      if (key.first == table && key.second > after && count < limit) {
        ++count;
        visitor.OnEntry(key.second, AsBytes(value));
      }
    }
    return count;
  }
  Rows rows;
  Rows before;
  bool refuses = false;
};

struct Memory {
  Memory() : bytes(16 << 20), arena(bytes) {}
  std::vector<uint8_t> bytes;
  Arena arena;
};

// One run of the device on the store.
struct Device {
  explicit Device(MapStore& store)
      : heap(memory.arena, kHeapBytes),
        environment{heap, random, clock},
        log(memory.arena, clock, 64),
        keys(memory.arena, environment, store, log),
        trust(environment, store, log),
        requests(memory.arena, environment, store, log) {
    EXPECT_EQ(keys.Load().value_or(99), 0u);
    EXPECT_EQ(trust.Load().value_or(99), 0u);
    EXPECT_TRUE(requests.Load(nullptr).ok());
  }
  UploadParts parts() { return {environment, keys, trust, requests, log, password}; }

  Memory memory;
  crypto::WallClock clock;
  crypto::SystemEntropy entropy;
  crypto::Random random{entropy};
  Heap heap;
  crypto::TlsEnvironment environment;
  log::Log log;
  KeyStore keys;
  TrustStore trust;
  Requests requests;
  FilePassword password;
};

class KeysTest : public ::testing::Test {
 protected:
  KeysTest() : folder_("/tmp/gatehouse-keys-XXXXXX") {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    // A root, an intermediate, another root.
    Run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=Test Root'"
        " -days 30 -keyout root.key -out root.pem");
    Run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
        "-subj '/CN=Other Root' -days 30 -keyout other.key -out other.pem");
    Run("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=Middle' "
        "-keyout middle.key -out middle.csr && "
        "printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n' "
        ">ca.ext && openssl x509 -req -in middle.csr -CA root.pem -CAkey root.key -days 20 "
        "-extfile ca.ext -out middle.pem");
    Boot();
  }
  ~KeysTest() override { EXPECT_EQ(std::system(("rm -r " + folder_).c_str()), 0); }

  void Boot() {
    device_.reset();
    device_ = std::make_unique<Device>(store_);
  }
  void Run(const std::string& command) {
    ASSERT_EQ(std::system(("cd " + folder_ + " && { " + command + "; } >log 2>&1").c_str()), 0)
        << command << "\n"
        << Read("log");
  }
  std::string Read(const std::string& name) {
    std::ifstream file(folder_ + "/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Write(const std::string& name, std::span<const uint8_t> bytes) {
    std::ofstream(folder_ + "/" + name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  std::vector<uint8_t> Der(const std::string& pem_name) {
    const std::string pem = Read(pem_name);
    std::vector<uint8_t> room(pem.size());
    crypto::CertificateFile file;
    EXPECT_TRUE(crypto::ReadCertificateFile(AsBytes(pem), room, file).ok()) << pem_name;
    const auto der = file.crl.empty() ? file.certificates[0] : file.crl;
    return {der.begin(), der.end()};
  }
  // The request in progress, signed: leaf.pem.
  void SignRequest(const std::string& extensions = "", const std::string& options = "-days 9") {
    Write("request.der", device_->requests.request());
    std::ofstream(folder_ + "/leaf.ext")
        << (extensions.empty() ? "extendedKeyUsage=serverAuth,clientAuth\n"
                                 "subjectAltName=DNS:edge.example.com\n"
                               : extensions);
    Run("openssl req -inform DER -in request.der -verify -out request.pem && openssl x509 -req "
        "-in request.pem -CA middle.pem -CAkey middle.key " +
        options + " -extfile leaf.ext -out leaf.pem");
  }
  void Ask(std::string_view domain = {}, RequestKey key = RequestKey::kEcP256) {
    RequestPlan plan;
    plan.name = "edge.example.com";
    const auto begun = device_->requests.Begin(plan, domain, key,
                                               crypto::SignatureScheme::kRsaPkcs1Sha256, "test");
    ASSERT_TRUE(begun.ok()) << begun.error().what;
    while (device_->requests.Step()) {
    }
    ASSERT_EQ(device_->requests.state(), Requests::State::kReady);
  }
  void Password(std::string_view text) {
    ASSERT_TRUE(device_->password.Set(text, device_->clock.Now()).ok());
  }
  // "" when it is taken, else why not.
  std::string Upload(const std::string& bytes, std::string_view domain = {}) {
    std::vector<uint8_t> room(bytes.size());
    uint8_t said_bytes[900];
    ByteWriter said(said_bytes);
    const auto done = TakeUpload(device_->parts(), domain, AsBytes(bytes), room, "test", said);
    said_ = std::string(said.text());
    for (const uint8_t byte : room) {
      EXPECT_EQ(byte, 0) << "what was decoded is wiped";
    }
    return done.ok() ? "" : done.error().what;
  }
  Result<void> Trust(const std::string& pem, uint8_t roles = kAllRoles) {
    return device_->trust.Add(Der(pem), roles, "test");
  }
  std::string Served(std::string_view name) {
    const crypto::Identity* identity = device_->keys.Acquire(name);
    if (identity == nullptr) {
      return "none";
    }
    uint8_t bytes[300];
    ByteWriter out(bytes);
    WriteAlternativeNames(*identity->chain, out);
    device_->keys.Release(*identity);
    return std::string(out.text());
  }

  std::string folder_;
  std::string said_;
  MapStore store_;
  std::unique_ptr<Device> device_;
};

TEST_F(KeysTest, ARequestBecomesTheServerCertificate) {
  ASSERT_TRUE(Trust("root.pem").ok());
  Ask();
  SignRequest();
  Boot();  // the request outlives a restart
  ASSERT_EQ(device_->requests.state(), Requests::State::kReady);
  EXPECT_EQ(Upload(Read("leaf.pem") + Read("middle.pem")), "");
  EXPECT_EQ(device_->requests.state(), Requests::State::kNone);
  EXPECT_EQ(Served(""), "DNS:edge.example.com");
  EXPECT_EQ(Served("anything.example"), "DNS:edge.example.com");
  Boot();
  EXPECT_EQ(Served(""), "DNS:edge.example.com");
  Installed installed;
  ASSERT_TRUE(device_->keys.Find("", installed));
  EXPECT_NE(installed.identity->chain->next, nullptr) << "the intermediate is sent too";
  EXPECT_EQ(Upload(Read("leaf.pem") + Read("middle.pem")), "") << "again, for the same key";
}

TEST_F(KeysTest, RsaKeysAreSearchedInSteps) {
  ASSERT_TRUE(Trust("root.pem").ok());
  Ask({}, RequestKey::kRsa2048);
  SignRequest();
  EXPECT_EQ(Upload(Read("middle.pem") + Read("leaf.pem")), "") << "in any order";
}

TEST_F(KeysTest, OneRequestAtATime) {
  Ask();
  RequestPlan plan;
  plan.name = "edge.example.com";
  EXPECT_EQ(device_->requests
                .Begin(plan, {}, RequestKey::kEcP256, crypto::SignatureScheme::kRsaPkcs1Sha256, "t")
                .code(),
            ErrorCode::kWrongState);
  EXPECT_TRUE(device_->requests.Discard("test").ok());
  EXPECT_EQ(device_->requests.Discard("test").code(), ErrorCode::kNotFound);
  Ask();
  EXPECT_EQ(store_.rows.count({store::Table::kKeys, "csr"}), 1u);
}

TEST_F(KeysTest, WhatIsWrongIsSaid) {
  ASSERT_TRUE(Trust("root.pem").ok());
  EXPECT_EQ(Upload(Read("root.pem")),
            "there is no key for it: make a request first (Certificate CSR Generate)");
  Ask();
  SignRequest();
  const std::string good = Read("leaf.pem");
  const std::string middle = Read("middle.pem");
  EXPECT_EQ(Upload(middle),
            "wrong key: no certificate in it belongs to the private key that is "
            "here");
  EXPECT_EQ(Upload(good), "the chain has a gap");
  EXPECT_NE(said_.find("CN=Middle"), said_.npos) << said_;
  EXPECT_EQ(Upload("nothing"),
            "expected certificates as PEM, DER, PKCS #7 or PKCS #12 (BEGIN CERTIFICATE)");
  EXPECT_EQ(Upload(good.substr(0, good.size() / 2)), "a block's END line is missing");
  EXPECT_EQ(Upload(good + middle + Read("root.key")),
            "a private key is not taken while a request is in progress");
  const auto refused = [&](const std::string& extensions, const std::string& options = "-days 9") {
    SignRequest(extensions, options);
    return Upload(Read("leaf.pem") + middle);
  };
  EXPECT_EQ(refused("extendedKeyUsage=serverAuth\nsubjectAltName=DNS:a.example\n"),
            "the certificate lacks the extended key usage client authentication");
  EXPECT_EQ(refused("extendedKeyUsage=clientAuth\nsubjectAltName=DNS:a.example\n"),
            "the certificate lacks the extended key usage server authentication");
  EXPECT_EQ(refused("extendedKeyUsage=serverAuth,clientAuth\n"),
            "the certificate has no subject alternative name (SAN)");
  EXPECT_EQ(refused("", "-days -1"), "the certificate has expired");
  EXPECT_EQ(refused("", "-days 9 -sha1"), "the key is too short or the signature's hash too weak");
  EXPECT_EQ(Upload(good + middle), "");
}

TEST_F(KeysTest, APkcs7FileIsTakenAndAKeyWithItsCertificate) {
  ASSERT_TRUE(Trust("root.pem").ok());
  Ask();
  SignRequest();
  Run("openssl crl2pkcs7 -nocrl -certfile leaf.pem -certfile middle.pem -certfile root.pem "
      "-out all.p7b && openssl crl2pkcs7 -nocrl -certfile leaf.pem -certfile middle.pem "
      "-outform DER -out all.der");
  EXPECT_EQ(Upload(Read("all.p7b")), "");
  EXPECT_EQ(Upload(Read("all.der")), "");
  Run("openssl req -newkey rsa:2048 -nodes -keyout own.key -out own.csr -subj /CN=own && "
      "printf 'extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=DNS:own.example\n' >o.ext && "
      "openssl x509 -req -in own.csr -CA middle.pem -CAkey middle.key -days 9 -extfile o.ext "
      "-out own.pem && openssl pkcs8 -topk8 -in own.key -out locked.key -passout pass:x");
  EXPECT_EQ(Upload(Read("own.pem") + Read("middle.pem") + Read("locked.key")),
            "it is protected: give the password first (xCommand Certificate Password)");
  Password("y");
  EXPECT_EQ(Upload(Read("own.pem") + Read("middle.pem") + Read("locked.key")),
            "the password is wrong, or the file is damaged");
  Password("x");
  EXPECT_EQ(Upload(Read("own.pem") + Read("middle.pem") + Read("locked.key")), "");
  EXPECT_EQ(Upload(Read("own.pem") + Read("middle.pem") + Read("own.key")), "");
  EXPECT_EQ(Served(""), "DNS:own.example");
}

// One of 256 wrong passwords leaves padding that looks right.
TEST_F(KeysTest, AWrongPasswordIsToldAsOneWhateverItLeaves) {
  Run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.key && "
      "openssl pkcs8 -topk8 -iter 1 -in ec.key -outform DER -out ec.der -passout pass:x");
  const std::string locked = Read("ec.der");
  const auto open = [&](const std::string& guess) {
    std::vector<uint8_t> der(locked.begin(), locked.end());
    const auto key = crypto::OpenPrivateKey(device_->environment, der, guess);
    return key.ok() ? std::string() : std::string(key.error().what);
  };
  EXPECT_EQ(open("x"), "");
  for (int i = 0; i < 3000; ++i) {
    ASSERT_EQ(open("y" + std::to_string(i)), "the password is wrong, or the file is damaged") << i;
  }
}

// What OpenSSL, Windows ("-iter 2000") and Java (10,000) make.
TEST_F(KeysTest, APkcs12FileIsOpenedByItsPassword) {
  ASSERT_TRUE(Trust("root.pem").ok());
  Run("openssl req -newkey rsa:2048 -nodes -keyout own.key -out own.csr -subj /CN=own && "
      "printf 'extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=DNS:own.example\n' >o.ext "
      "&& openssl x509 -req -in own.csr -CA middle.pem -CAkey middle.key -days 9 -extfile o.ext "
      "-out own.pem");
  const auto make = [&](const std::string& options) {
    Run("openssl pkcs12 -export -inkey own.key -in own.pem -certfile middle.pem "
        "-passout 'pass:a Secret-1' -out own.p12 " +
        options);
    return Read("own.p12");
  };
  const std::string file = make("");
  EXPECT_EQ(Upload(file),
            "it is protected: give the password first (xCommand Certificate Password)");
  Password("another");
  EXPECT_EQ(Upload(file), "the password is wrong, or the file is damaged");
  for (const char* options :
       {"", "-iter 2000 -maciter -macalg sha1 -keypbe AES-128-CBC -certpbe AES-128-CBC",
        "-iter 10000", "-certpbe NONE", "-keypbe NONE -certpbe NONE", "-nomaciter"}) {
    Password("a Secret-1");
    EXPECT_EQ(Upload(make(options)), "") << options;
    EXPECT_EQ(Served(""), "DNS:own.example");
    EXPECT_EQ(Upload(file),
              "it is protected: give the password first (xCommand Certificate "
              "Password)")
        << "a password is used once";
  }
  Installed installed;
  ASSERT_TRUE(device_->keys.Find("", installed));
  EXPECT_NE(installed.identity->chain->next, nullptr) << "the chain comes with it";
  Password("a Secret-1");
  EXPECT_EQ(Upload(make("-iter 10001")), "its password is derived in more than 10000 steps");
  EXPECT_EQ(Upload(make("-nomac")), "the PKCS #12 file's integrity is not protected");
  EXPECT_EQ(Upload(make("-legacy -descert")),
            "it is encrypted in an old way (3DES or RC2): export it with AES-256 and SHA-256");
  std::string damaged = file;
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 1);
  EXPECT_NE(Upload(damaged), "");
  EXPECT_NE(Upload(file.substr(0, file.size() - 1)), "");
  make("");
  Run("(echo -----BEGIN PKCS12-----; base64 own.p12; echo -----END PKCS12-----) | tee own.text");
  EXPECT_EQ(Upload(Read("own.text")), "") << "as text, with the password of before";
}

TEST_F(KeysTest, APasswordIsForgottenInTime) {
  FilePassword password;
  const Instant now;
  EXPECT_FALSE(password.IsSet(now));
  EXPECT_EQ(password.Set("", now).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(password.Set(std::string(65, 'x'), now).code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(password.Set(std::string(64, 'x'), now).ok());
  EXPECT_TRUE(password.IsSet(now + FilePassword::kLife - Duration::Nanoseconds(1)));
  EXPECT_FALSE(password.IsSet(now + FilePassword::kLife));
  password.Forget();
  EXPECT_FALSE(password.IsSet(now));
}

TEST_F(KeysTest, DomainsAreChosenByName) {
  ASSERT_TRUE(Trust("root.pem").ok());
  const auto install = [&](std::string_view domain, const std::string& names) {
    Ask(domain);
    SignRequest("extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=" + names + "\n");
    EXPECT_EQ(Upload(Read("leaf.pem") + Read("middle.pem"), domain), "");
  };
  install("", "DNS:edge.example.com,DNS:exact.wild.example");
  install("one.example", "DNS:one.example");
  install("*.wild.example", "DNS:*.wild.example");
  EXPECT_EQ(Served("one.example"), "DNS:one.example");
  EXPECT_EQ(Served("ONE.example."), "DNS:one.example");
  EXPECT_EQ(Served("a.wild.example"), "DNS:*.wild.example");
  EXPECT_EQ(Served("a.b.wild.example"), "DNS:edge.example.com, DNS:exact.wild.example");
  EXPECT_EQ(Served("exact.wild.example"), "DNS:edge.example.com, DNS:exact.wild.example");
  EXPECT_EQ(Served("unknown.example"), "DNS:edge.example.com, DNS:exact.wild.example");
  Ask("two.example");
  SignRequest();
  EXPECT_EQ(Upload(Read("leaf.pem") + Read("middle.pem"), "two.example"),
            "the domain is not among the certificate's subject alternative names");
  Boot();
  EXPECT_EQ(Served("one.example"), "DNS:one.example");
  EXPECT_TRUE(device_->keys.Remove("one.example", "test").ok());
  EXPECT_EQ(Served("one.example"), "DNS:edge.example.com, DNS:exact.wild.example");
  EXPECT_EQ(device_->keys.Remove("", "test").code(), ErrorCode::kNotFound);
}

TEST_F(KeysTest, ACertificateInUseStaysWhole) {
  ASSERT_TRUE(Trust("root.pem").ok());
  Ask();
  SignRequest();
  ASSERT_EQ(Upload(Read("leaf.pem") + Read("middle.pem")), "");
  std::vector<const crypto::Identity*> held;
  // Each is used by a session when the next takes its place, until there is no room.
  std::string outcome;
  while (outcome.empty() && held.size() <= kIdentityMax) {
    held.push_back(device_->keys.Acquire(""));
    outcome = Upload(Read("leaf.pem") + Read("middle.pem"));
  }
  EXPECT_EQ(held.size(), kIdentityMax);
  EXPECT_EQ(outcome,
            "sessions still use too many certificates that were replaced; try again later");
  EXPECT_TRUE(PublicKeyIs(*held[0]->chain, held[0]->key->public_key()));
  for (const crypto::Identity* identity : held) {
    device_->keys.Release(*identity);
  }
  EXPECT_EQ(device_->keys.identity_count(), 1u);
  EXPECT_EQ(Upload(Read("leaf.pem") + Read("middle.pem")), "");
}

TEST_F(KeysTest, AStoreThatRefusesChangesNothing) {
  ASSERT_TRUE(Trust("root.pem").ok());
  Ask();
  SignRequest();
  store_.refuses = true;
  EXPECT_EQ(Upload(Read("leaf.pem") + Read("middle.pem")), "full");
  EXPECT_EQ(Served(""), "none");
  EXPECT_EQ(Trust("other.pem").code(), ErrorCode::kNoSpace);
  EXPECT_EQ(device_->trust.count(), 1u);
  store_.refuses = false;
  EXPECT_EQ(Upload(Read("leaf.pem") + Read("middle.pem")), "");
}

TEST_F(KeysTest, DamagedRowsAreLeftOut) {
  ASSERT_TRUE(Trust("root.pem").ok());
  Ask();
  SignRequest();
  ASSERT_EQ(Upload(Read("leaf.pem") + Read("middle.pem")), "");
  store_.rows[{store::Table::kKeys, "00"}][40] ^= 1;
  Memory memory;
  KeyStore keys(memory.arena, device_->environment, store_, device_->log);
  EXPECT_EQ(keys.Load().value_or(99), 1u);
  EXPECT_FALSE(keys.has_server_certificate());
  EXPECT_EQ(keys.Acquire(""), nullptr);
}

TEST_F(KeysTest, TrustIsUniqueAndByRole) {
  ASSERT_TRUE(Trust("root.pem", RoleBit(crypto::PeerRole::kClient)).ok());
  EXPECT_EQ(Trust("root.pem").code(), ErrorCode::kAlreadyExists);
  Run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=TEST root' "
      "-days 30 -keyout twin.key -out twin.pem");
  EXPECT_STREQ(Trust("twin.pem").error().what,
               "a self-signed certificate of the same common name is trusted already");
  Run("openssl req -newkey rsa:2048 -nodes -keyout l.key -out l.csr -subj /CN=l && openssl x509 "
      "-req -in l.csr -CA root.pem -CAkey root.key -days 9 -out l.pem && printf "
      "'subjectAltName=DNS:l.example\n' >l.ext && openssl x509 -req -in l.csr -CA root.pem -CAkey "
      "root.key -days 9 -extfile l.ext -out l3.pem");
  EXPECT_STREQ(Trust("l3.pem").error().what, "the certificate is not one of an authority (CA)");
  EXPECT_TRUE(device_->trust.TrustsAnyone(crypto::PeerRole::kClient));
  EXPECT_FALSE(device_->trust.TrustsAnyone(crypto::PeerRole::kServer));
  EXPECT_TRUE(device_->trust.SetRoles(0, ParseRoles("Server, federation"), "test").ok());
  Boot();
  EXPECT_FALSE(device_->trust.TrustsAnyone(crypto::PeerRole::kClient));
  EXPECT_TRUE(device_->trust.TrustsAnyone(crypto::PeerRole::kFederation));
  EXPECT_TRUE(device_->trust.Remove(0, "test").ok());
  EXPECT_EQ(device_->trust.Remove(0, "test").code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(store_.rows.empty());
  EXPECT_EQ(ParseRoles("All"), kAllRoles);
  EXPECT_EQ(ParseRoles("Server,"), 0);
  EXPECT_EQ(ParseRoles("Nobody"), 0);
}

TEST_F(KeysTest, RowsOfBeforeRolesAreForServers) {
  ASSERT_TRUE(Trust("root.pem", RoleBit(crypto::PeerRole::kServer)).ok());
  EXPECT_EQ(store_.rows.begin()->first.second.size(), 64u);
  Boot();
  EXPECT_TRUE(device_->trust.TrustsAnyone(crypto::PeerRole::kServer));
}

TEST_F(KeysTest, RevocationListsAreKept) {
  ASSERT_TRUE(Trust("root.pem").ok());
  Run("touch index.txt && printf '01' >number && printf '[ca]\ndefault_ca=d\n[d]\ndatabase="
      "index.txt\ncrlnumber=number\ndefault_md=sha256\n' >ca.conf && openssl ca -config ca.conf "
      "-revoke middle.pem -cert root.pem -keyfile root.key && openssl ca -config ca.conf -gencrl "
      "-crldays 5 -cert root.pem -keyfile root.key -out root.crl && openssl ca -config ca.conf "
      "-gencrl -crldays 5 -cert root.pem -keyfile other.key -out forged.crl; true");
  ASSERT_TRUE(device_->trust.AddCrl(Der("root.crl"), "test").ok());
  EXPECT_EQ(device_->trust.crl_count(), 1u);
  ASSERT_TRUE(device_->trust.AddCrl(Der("root.crl"), "test").ok());
  EXPECT_EQ(device_->trust.crl_count(), 1u) << "it takes the place of the former one";
  Boot();
  EXPECT_EQ(device_->trust.crl_count(), 1u);
  Ask();
  SignRequest();
  EXPECT_EQ(Upload(Read("leaf.pem") + Read("middle.pem")), "the certificate is revoked");
  EXPECT_TRUE(device_->trust.RemoveCrl(0, "test").ok());
  EXPECT_EQ(Upload(Read("leaf.pem") + Read("middle.pem")), "");
}

// The issuer's word that a server shows with its certificate, made by OpenSSL.
TEST_F(KeysTest, AnOcspResponseJudgesThePeersCertificate) {
  ASSERT_TRUE(Trust("root.pem").ok());
  Run("printf 'extendedKeyUsage=serverAuth\nsubjectAltName=DNS:peer.example\n' >peer.ext && "
      "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=peer' -keyout "
      "peer.key -out peer.csr && openssl x509 -req -in peer.csr -CA root.pem -CAkey root.key "
      "-set_serial 0x77 -days 9 -extfile peer.ext -out peer.pem && printf "
      "'V\\t480101000000Z\\t\\t77\\tunknown\\t/CN=peer\\n' >good.idx && printf "
      "'R\\t480101000000Z\\t260101000000Z\\t77\\tunknown\\t/CN=peer\\n' >revoked.idx && "
      ": >unknown.idx && for i in good revoked unknown; do for d in sha1 sha256; do openssl ocsp "
      "-$d -issuer root.pem -cert peer.pem -no_nonce -reqout q && openssl ocsp -index $i.idx -CA "
      "root.pem -rsigner root.pem -rkey root.key -ndays 1 -reqin q -respout $i.$d || exit; done; "
      "done; openssl ocsp -index good.idx -CA root.pem -rsigner other.pem -rkey other.key -ndays 1 "
      "-reqin q -respout forged.sha1; : >none.sha1");
  const crypto::TlsScope scope(device_->environment);
  mbedtls_x509_crt peer;
  mbedtls_x509_crt_init(&peer);
  const auto der = Der("peer.pem");
  ASSERT_EQ(mbedtls_x509_crt_parse_der(&peer, der.data(), der.size()), 0);
  const auto judge = [&](const std::string& name) {
    const std::string staple = Read(name);
    const crypto::PeerExpectation expected{crypto::PeerRole::kServer, "peer.example",
                                           AsBytes(staple)};
    uint8_t bytes[300];
    ByteWriter words(bytes);
    const auto report = device_->trust.Examine(peer, expected);
    ExplainPath(report, peer, expected, words);
    said_ = std::string(words.text());
    EXPECT_EQ(device_->trust.Check(peer, expected), report.verdict);
    return report.verdict;
  };
  using crypto::PeerVerdict;
  EXPECT_EQ(judge("none.sha1"), PeerVerdict::kGood);
  EXPECT_EQ(said_.find("OCSP"), said_.npos) << said_;
  for (const char* hash : {".sha1", ".sha256"}) {
    EXPECT_EQ(judge(std::string("good") + hash), PeerVerdict::kGood);
    EXPECT_NE(said_.find("its OCSP response says that it is not revoked"), said_.npos) << said_;
    EXPECT_EQ(judge(std::string("revoked") + hash), PeerVerdict::kRevoked);
    EXPECT_NE(said_.find("is revoked by"), said_.npos) << said_;
    EXPECT_EQ(judge(std::string("unknown") + hash), PeerVerdict::kBadStatus);
    EXPECT_NE(said_.find("does not know the certificate"), said_.npos) << said_;
  }
  EXPECT_EQ(judge("forged.sha1"), PeerVerdict::kBadStatus);
  EXPECT_EQ(judge("peer.pem"), PeerVerdict::kBadStatus);  // nonsense
  EXPECT_NE(said_.find("makes no sense"), said_.npos) << said_;
  mbedtls_x509_crt_free(&peer);
}

// --- Limits at their edges ----------------------------------------------------------------------

TEST_F(KeysTest, TrustUpToItsLimitAndAllOfItAgainAtTheNextStart) {
  const std::string count = std::to_string(kTrustMax);
  Run("for i in $(seq 0 " + count +
      "); do openssl req -x509 -key root.key -subj \"/CN=Root $i\" "
      "-days 30 -out r$i.pem; done");
  for (uint32_t i = 0; i < kTrustMax; ++i) {
    ASSERT_TRUE(Trust("r" + std::to_string(i) + ".pem").ok()) << i;
  }
  EXPECT_EQ(Trust("r" + count + ".pem").code(), ErrorCode::kNoSpace);
  Boot();
  EXPECT_EQ(device_->trust.count(), kTrustMax);
  ASSERT_TRUE(device_->trust.Remove(0, "test").ok());
  EXPECT_TRUE(Trust("r" + count + ".pem").ok());
}

TEST_F(KeysTest, RevocationListsUpToTheirLimit) {
  Run("touch index.txt && printf '01' >number && printf '[ca]\ndefault_ca=d\n[d]\ndatabase="
      "index.txt\ncrlnumber=number\ndefault_md=sha256\n' >ca.conf && for i in $(seq 0 " +
      std::to_string(kCrlMax) +
      "); do openssl req -x509 -key root.key -subj \"/CN=Issuer $i\" -days 30 -out i.pem && "
      "openssl "
      "ca -config ca.conf -gencrl -crldays 5 -cert i.pem -keyfile root.key -out c$i.crl; done");
  for (uint32_t i = 0; i < kCrlMax; ++i) {
    ASSERT_TRUE(device_->trust.AddCrl(Der("c" + std::to_string(i) + ".crl"), "test").ok()) << i;
  }
  const auto more = Der("c" + std::to_string(kCrlMax) + ".crl");
  EXPECT_EQ(device_->trust.AddCrl(more, "test").code(), ErrorCode::kNoSpace);
  Boot();
  EXPECT_EQ(device_->trust.crl_count(), kCrlMax);
}

TEST_F(KeysTest, DomainsUpToTheirLimit) {
  ASSERT_TRUE(Trust("root.pem").ok());
  Run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out k.pem && openssl req "
      "-new -key k.pem -subj /CN=k -out k.csr && for i in $(seq 0 " +
      std::to_string(kDomainMax) +
      "); do printf \"extendedKeyUsage=serverAuth,clientAuth\\nsubjectAltName=DNS:d$i.example\\n\" "
      ">x && openssl x509 -req -in k.csr -CA middle.pem -CAkey middle.key -days 9 -extfile x -out "
      "d$i.pem; done");
  const auto upload = [&](uint32_t i) {
    const std::string name = "d" + std::to_string(i);
    return Upload(Read(name + ".pem") + Read("middle.pem") + Read("k.pem"), name + ".example");
  };
  for (uint32_t i = 0; i < kDomainMax; ++i) {
    ASSERT_EQ(upload(i), "") << i;
  }
  EXPECT_EQ(upload(kDomainMax), "16 domains have certificates already");
  EXPECT_EQ(upload(3), "") << "one that is there can still be exchanged";
  Boot();
  for (uint32_t i = 0; i < kDomainMax; ++i) {
    Installed installed;
    EXPECT_TRUE(device_->keys.Find("d" + std::to_string(i) + ".example", installed)) << i;
  }
}

TEST_F(KeysTest, LengthOfAChainAndSizeOfACertificate) {
  std::vector<std::vector<uint8_t>> ders(kChainMax + 1, Der("root.pem"));
  std::vector<std::span<const uint8_t>> chain(ders.begin(), ders.end());
  crypto::SoftwareKey key(device_->environment);
  const SlotInfo server;
  // Of another key: what is refused first is the length, one shorter it is the key.
  EXPECT_EQ(device_->keys.Install(server, chain, key, "test").code(), ErrorCode::kTooLarge);
  chain.pop_back();
  EXPECT_EQ(device_->keys.Install(server, chain, key, "test").code(), ErrorCode::kInvalidArgument);
  std::vector<uint8_t> large(kCertificateBytesMax + 1, 0x30);
  EXPECT_EQ(device_->trust.Add(large, kAllRoles, "test").code(), ErrorCode::kTooLarge);
  large.pop_back();
  EXPECT_EQ(device_->trust.Add(large, kAllRoles, "test").code(), ErrorCode::kMalformed);
  const std::vector<uint8_t> list(kCrlBytesMax + 1, 0x30);
  EXPECT_EQ(device_->trust.AddCrl(list, "test").code(), ErrorCode::kTooLarge);
  EXPECT_EQ(device_->trust.AddCrl(std::span(list).first(kCrlBytesMax), "test").code(),
            ErrorCode::kMalformed);
}

// --- Rows of a backup ---------------------------------------------------------------------------

TEST_F(KeysTest, RowsOfABackupAreKnownByTheirShape) {
  const std::vector<uint8_t> most(store::kValueMax, 1);
  const std::vector<uint8_t> more(store::kValueMax + 1, 1);
  const std::string key(store::kKeyMax, 'k');
  EXPECT_FALSE(BackupRows::IsOne("SIP UDP Port"));
  EXPECT_TRUE(BackupRows::IsOne("/keys/00"));
  EXPECT_TRUE(BackupRows::Check("/trust/" + key, most).ok());
  EXPECT_EQ(BackupRows::Check("/trust/" + key + "k", most).code(), ErrorCode::kTooLarge);
  EXPECT_EQ(BackupRows::Check("/trust/" + key, more).code(), ErrorCode::kTooLarge);
  for (const char* bad : {"/trust/", "/keys/a b", "/keys/\n", "/other/1", "keys/00", ""}) {
    EXPECT_EQ(BackupRows::Check(bad, most).code(), ErrorCode::kMalformed) << bad;
  }
}

TEST_F(KeysTest, WhatABackupBringsTakesThePlaceOfWhatWasThere) {
  ASSERT_TRUE(Trust("root.pem").ok());
  Ask();
  SignRequest();
  ASSERT_EQ(Upload(Read("leaf.pem") + Read("middle.pem")), "");
  std::vector<std::pair<std::string, std::vector<uint8_t>>> backup;
  BackupRows source(store_);
  for (;;) {
    uint8_t path_bytes[192];
    uint8_t value_bytes[store::kValueMax];
    ByteWriter path(path_bytes);
    ByteWriter value(value_bytes);
    const auto row = source.Next(path, value);
    ASSERT_TRUE(row.ok());
    if (!*row) {
      break;
    }
    const auto bytes = value.written();
    backup.emplace_back(path.text(), std::vector<uint8_t>(bytes.begin(), bytes.end()));
  }
  EXPECT_EQ(backup.size(), 5u);  // leaf, intermediate, its info, the key, the root
  const std::string before = Served("edge.example.com");
  // Something else meanwhile.
  ASSERT_TRUE(device_->trust.Remove(0, "test").ok());
  ASSERT_TRUE(Trust("other.pem").ok());
  Ask();
  SignRequest();
  const crypto::Identity* held = device_->keys.Acquire("edge.example.com");
  BackupRows target(store_);
  ASSERT_TRUE(store_.Begin().ok());
  ASSERT_TRUE(target.RemoveAll().ok());
  for (const auto& [path, value] : backup) {
    ASSERT_TRUE(target.Put(path, value).ok()) << path;
  }
  ASSERT_TRUE(store_.Commit().ok());
  EXPECT_EQ(device_->keys.Load().value_or(99), 0u);
  EXPECT_EQ(device_->trust.Load().value_or(99), 0u);
  EXPECT_TRUE(device_->requests.Load(nullptr).ok());
  EXPECT_EQ(device_->requests.state(), Requests::State::kNone);
  EXPECT_EQ(device_->trust.count(), 1u);
  EXPECT_EQ(Served("edge.example.com"), before);
  device_->keys.Release(*held);
  EXPECT_EQ(device_->keys.identity_count(), 1u);
}

TEST(RequestNamesTest, NamesFollowTheRole) {
  RequestPlan plan;
  plan.name = "vcse.example.com";
  plan.cluster_name = "cluster.example.com";
  plan.additional_names = "alias.example.com, 192.0.2.5";
  plan.registration_domains = "example.com,example.org";
  plan.collab_edge_prefix = true;
  plan.federation_domains = "example.com";
  plan.chat_aliases = "chat1.example.com";
  plan.phone_profiles = "profile.example.com";
  const auto text = [&](std::string_view domain = {}) {
    RequestNames names;
    const auto filled = names.Fill(plan, domain);
    std::string out;
    for (const auto& name : names.names()) {
      out += (out.empty() ? "" : " ") + (name.dns.empty() ? "address" : std::string(name.dns));
    }
    return filled.ok() ? out : "ERROR " + std::string(filled.error().what);
  };
  EXPECT_EQ(text(),
            "vcse.example.com cluster.example.com alias.example.com address "
            "collab-edge.example.com collab-edge.example.org example.com chat1.example.com");
  plan.is_edge = false;
  EXPECT_EQ(text(),
            "vcse.example.com cluster.example.com alias.example.com address chat1.example.com "
            "profile.example.com");
  plan.phone_profiles = "profile";
  EXPECT_EQ(text(), "ERROR a phone security profile is not a full name (profile.example.com)");
  EXPECT_EQ(text("tenant.example"), "tenant.example alias.example.com address");
  plan.additional_names = "bad name";
  EXPECT_EQ(text(), "ERROR an additional name is not a DNS name");
  std::string many;
  for (int i = 0; i < 80; ++i) {
    many += "n" + std::to_string(i) + ".example,";
  }
  plan.additional_names = many;
  EXPECT_EQ(text(), "ERROR there are more than 64 names to certify");
  EXPECT_TRUE(IsFullName("a.b-1.example"));
  for (const char* bad : {"a", "a.1", "a.-b", "a..b", "a_b.c", "a.b."}) {
    EXPECT_FALSE(IsFullName(bad)) << bad;
  }
}

}  // namespace
}  // namespace gh::keys
