// What mbedTLS computes by OpenSSL's assembly (mbedtls-patches/0006 and 0009): known answers, and
// the same by two ways, with what the processor has and without it.
#include <gatehouse_openssl.h>
#include <gtest/gtest.h>
#include <mbedtls/aes.h>
#include <mbedtls/bignum.h>
#include <mbedtls/ecdh.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/gcm.h>
#include <mbedtls/sha256.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "crypto/init.h"
#include "crypto/tls_environment.h"
#include "tests/unit/crypto/doubles.h"

namespace gh::crypto {
namespace {

using Scalar = std::array<uint64_t, 4>;
using Point = std::array<uint64_t, 8>;

constexpr Scalar kOrder = {0xf3b9cac2fc632551, 0xbce6faada7179e84, 0xffffffffffffffff,
                           0xffffffff00000000};
constexpr Scalar kPrime = {0xffffffffffffffff, 0x00000000ffffffff, 0, 0xffffffff00000001};

Scalar Less(Scalar value, uint64_t by) {  // of numbers whose lowest limb is large enough
  value[0] -= by;
  return value;
}

class Mpi {
 public:
  Mpi() { mbedtls_mpi_init(&value_); }
  explicit Mpi(const char* hex) : Mpi() { EXPECT_EQ(mbedtls_mpi_read_string(&value_, 16, hex), 0); }
  explicit Mpi(const Scalar& words) : Mpi() {
    EXPECT_EQ(mbedtls_mpi_read_binary_le(&value_, reinterpret_cast<const uint8_t*>(words.data()),
                                         sizeof(words)),
              0);
  }
  Mpi(const Mpi&) = delete;
  Mpi& operator=(const Mpi&) = delete;
  ~Mpi() { mbedtls_mpi_free(&value_); }
  mbedtls_mpi* operator&() { return &value_; }
  bool operator==(Mpi& other) { return mbedtls_mpi_cmp_mpi(&value_, &other.value_) == 0; }

 private:
  mbedtls_mpi value_;
};

// True: with what the processor has; false: without.
class AssemblyTest : public testing::TestWithParam<bool> {
 protected:
  AssemblyTest() {
    Initialise();
    if (!GetParam()) {
      gh_openssl_choose(0, 0);
    }
  }
  ~AssemblyTest() override { Initialise(); }

  WallClock clock_;
  SeededEntropy entropy_;
  Random random_{entropy_};
  alignas(16) std::array<uint8_t, 512 * 1024> memory_;
  HeapOwner owner_;
  Heap heap_{memory_, {&owner_, 1}};
  TlsEnvironment environment_{heap_, random_, clock_};
  TlsScope scope_{environment_};
};

// RFC 6979, A.2.5.
TEST_P(AssemblyTest, SignaturesAreThoseOfTheRfc) {
  mbedtls_ecp_group group;
  mbedtls_ecp_group_init(&group);
  ASSERT_EQ(mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1), 0);
  Mpi key("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721");
  Mpi wanted_r("EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716");
  Mpi wanted_s("F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8");
  uint8_t digest[32];
  ASSERT_EQ(mbedtls_sha256(reinterpret_cast<const uint8_t*>("sample"), 6, digest, 0), 0);
  Mpi r;
  Mpi s;
  ASSERT_EQ(mbedtls_ecdsa_sign_det_ext(&group, &r, &s, &key, digest, 32, MBEDTLS_MD_SHA256,
                                       Random::MbedtlsCallback, &random_),
            0);
  EXPECT_TRUE(r == wanted_r);
  EXPECT_TRUE(s == wanted_s);
  mbedtls_ecp_point point;
  mbedtls_ecp_point_init(&point);
  ASSERT_EQ(mbedtls_ecp_mul(&group, &point, &key, &group.G, Random::MbedtlsCallback, &random_), 0);
  EXPECT_EQ(mbedtls_ecdsa_verify(&group, digest, 32, &point, &r, &s), 0);
  digest[31] ^= 1;
  EXPECT_NE(mbedtls_ecdsa_verify(&group, digest, 32, &point, &r, &s), 0);
  mbedtls_ecp_point_free(&point);
  mbedtls_ecp_group_free(&group);
}

// NIST's KAS vectors, ECC CDH, P-256, count 0.
TEST_P(AssemblyTest, AgreementsAreThoseOfNist) {
  mbedtls_ecp_group group;
  mbedtls_ecp_point theirs;
  mbedtls_ecp_group_init(&group);
  mbedtls_ecp_point_init(&theirs);
  ASSERT_EQ(mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1), 0);
  ASSERT_EQ(mbedtls_ecp_point_read_string(
                &theirs, 16, "700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287",
                "db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac"),
            0);
  Mpi key("7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534");
  Mpi wanted("46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b");
  Mpi shared;
  EXPECT_EQ(mbedtls_ecdh_compute_shared(&group, &shared, &theirs, &key, Random::MbedtlsCallback,
                                        &random_),
            0);
  EXPECT_TRUE(shared == wanted);
  // Not on the curve: refused before anything is computed with it.
  ASSERT_EQ(mbedtls_ecp_point_read_string(&theirs, 16, "1", "2"), 0);
  EXPECT_NE(mbedtls_ecdh_compute_shared(&group, &shared, &theirs, &key, Random::MbedtlsCallback,
                                        &random_),
            0);
  mbedtls_ecp_point_free(&theirs);
  mbedtls_ecp_group_free(&group);
}

// The generator by its table, and as any other point.
TEST_P(AssemblyTest, BothWaysToMultiplyGiveTheSamePoint) {
  Point generator;
  ASSERT_EQ(gh_p256_multiply(generator.data(), Scalar{1}.data(), nullptr), 0);
  std::vector<Scalar> scalars = {{1},
                                 {2},
                                 {15},
                                 {16},
                                 {17},
                                 {63},
                                 {64},
                                 {127},
                                 {128},
                                 {~0ull},
                                 {0, 1},
                                 {0, 0, 0, 1ull << 63},
                                 {~0ull, ~0ull, ~0ull, ~0ull >> 1},
                                 Less(kOrder, 1),
                                 Less(kOrder, 2)};
  for (int i = 0; i < 200; ++i) {
    Scalar scalar;
    random_.Fill({reinterpret_cast<uint8_t*>(scalar.data()), sizeof(scalar)});
    scalar[3] >>= 1;  // below the order
    scalars.push_back(scalar);
  }
  for (const Scalar& scalar : scalars) {
    Point by_table;
    Point by_window;
    EXPECT_EQ(gh_p256_multiply(by_table.data(), scalar.data(), nullptr), 0);
    EXPECT_EQ(gh_p256_multiply(by_window.data(), scalar.data(), generator.data()), 0);
    EXPECT_EQ(by_table, by_window) << scalar[0];
  }
  // (n - 1) G = -G: the same x, and y that makes the prime with the other.
  Point minus;
  ASSERT_EQ(gh_p256_multiply(minus.data(), Less(kOrder, 1).data(), nullptr), 0);
  EXPECT_TRUE(std::equal(minus.begin(), minus.begin() + 4, generator.begin()));
  Scalar y;
  Scalar minus_y;
  std::copy_n(generator.begin() + 4, 4, y.begin());
  std::copy_n(minus.begin() + 4, 4, minus_y.begin());
  Mpi sum;
  Mpi first(y);
  Mpi second(minus_y);
  Mpi prime(kPrime);
  ASSERT_EQ(mbedtls_mpi_add_mpi(&sum, &first, &second), 0);
  EXPECT_TRUE(sum == prime);
  // n G and 0 G are at infinity: no point.
  EXPECT_NE(gh_p256_multiply(minus.data(), kOrder.data(), nullptr), 0);
  EXPECT_NE(gh_p256_multiply(minus.data(), kOrder.data(), generator.data()), 0);
  EXPECT_NE(gh_p256_multiply(minus.data(), Scalar{}.data(), nullptr), 0);
}

TEST_P(AssemblyTest, InversesOfScalarsAreInverses) {
  Mpi order(kOrder);
  Mpi one("1");
  for (int i = 0; i < 50; ++i) {
    Scalar scalar = i == 0 ? Scalar{1} : Less(kOrder, 1);
    if (i > 1) {
      random_.Fill({reinterpret_cast<uint8_t*>(scalar.data()), sizeof(scalar)});
      scalar[3] >>= 1;
    }
    Scalar inverse;
    gh_p256_invert_scalar(inverse.data(), scalar.data());
    Mpi a(scalar);
    Mpi b(inverse);
    Mpi product;
    ASSERT_EQ(mbedtls_mpi_mul_mpi(&product, &a, &b), 0);
    ASSERT_EQ(mbedtls_mpi_mod_mpi(&product, &product, &order), 0);
    EXPECT_TRUE(product == one);
  }
}

// a^(x + y) = a^x a^y, and (n - 1)^2 = 1: powers are made by the assembly where the modulus has a
// size it takes, products and remainders never are.
TEST_P(AssemblyTest, PowersAgreeWithProducts) {
  for (const size_t limbs : {1, 8, 15, 16, 17, 20, 24, 31, 32, 33, 40, 48, 56, 63, 64, 65, 72}) {
    Mpi n;
    Mpi a;
    Mpi x;
    Mpi y;
    Mpi sum;
    Mpi product;
    Mpi power;
    Mpi other;
    for (mbedtls_mpi* value : {&n, &a, &x, &y}) {
      ASSERT_EQ(mbedtls_mpi_fill_random(value, limbs * 8, Random::MbedtlsCallback, &random_), 0);
    }
    ASSERT_EQ(mbedtls_mpi_set_bit(&n, 0, 1), 0);
    ASSERT_EQ(mbedtls_mpi_set_bit(&n, limbs * 64 - 1, 1), 0);
    ASSERT_EQ(mbedtls_mpi_add_mpi(&sum, &x, &y), 0);
    ASSERT_EQ(mbedtls_mpi_exp_mod(&power, &a, &sum, &n, nullptr), 0);
    ASSERT_EQ(mbedtls_mpi_exp_mod(&other, &a, &x, &n, nullptr), 0);
    ASSERT_EQ(mbedtls_mpi_exp_mod(&product, &a, &y, &n, nullptr), 0);
    ASSERT_EQ(mbedtls_mpi_mul_mpi(&product, &product, &other), 0);
    ASSERT_EQ(mbedtls_mpi_mod_mpi(&product, &product, &n), 0);
    EXPECT_TRUE(power == product) << limbs;
    ASSERT_EQ(mbedtls_mpi_sub_int(&a, &n, 1), 0);
    Mpi two("2");
    Mpi one("1");
    ASSERT_EQ(mbedtls_mpi_exp_mod(&power, &a, &two, &n, nullptr), 0);
    EXPECT_TRUE(power == one) << limbs;
  }
}

std::vector<uint8_t> FromHex(const std::string& text) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < text.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

class Gcm {
 public:
  explicit Gcm(const std::vector<uint8_t>& key) {
    mbedtls_gcm_init(&context_);
    EXPECT_EQ(mbedtls_gcm_setkey(&context_, MBEDTLS_CIPHER_ID_AES, key.data(),
                                 static_cast<unsigned>(key.size() * 8)),
              0);
  }
  Gcm(const Gcm&) = delete;
  Gcm& operator=(const Gcm&) = delete;
  ~Gcm() { mbedtls_gcm_free(&context_); }

  // The tag lies behind the data. In pieces of so many bytes.
  std::vector<uint8_t> Crypt(int mode, const std::vector<uint8_t>& nonce,
                             const std::vector<uint8_t>& associated, std::vector<uint8_t> data,
                             size_t piece = SIZE_MAX) {
    size_t done = 0;
    EXPECT_EQ(mbedtls_gcm_starts(&context_, mode, nonce.data(), nonce.size()), 0);
    EXPECT_EQ(mbedtls_gcm_update_ad(&context_, associated.data(), associated.size()), 0);
    for (size_t at = 0; at < data.size(); at += done) {  // in place
      const size_t size = std::min(piece, data.size() - at);
      EXPECT_EQ(mbedtls_gcm_update(&context_, &data[at], size, &data[at], size, &done), 0);
    }
    std::array<uint8_t, 16> tag;
    EXPECT_EQ(mbedtls_gcm_finish(&context_, nullptr, 0, &done, tag.data(), tag.size()), 0);
    data.insert(data.end(), tag.begin(), tag.end());
    return data;
  }

 private:
  mbedtls_gcm_context context_;
};

// "The Galois/Counter Mode of Operation" (McGrew, Viega), test cases 4, 6 (a nonce of 60
// bytes), 16.
TEST_P(AssemblyTest, GcmGivesTheKnownAnswers) {
  const std::string text =
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
      "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
  const std::string long_nonce =
      "9313225df88406e555909c5aff5269aa6a7a9538534f7da1e4c303d2a318a728"
      "c3c0c95156809539fcf0e2429a6b525416aedbf5a0de6a57a637b39b";
  const std::string key = "feffe9928665731c6d6a8f9467308308";
  struct Case {
    std::string key;
    std::string nonce;
    std::string sealed;
  };
  for (const Case& known : {Case{key, "cafebabefacedbaddecaf888",
                                 "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
                                 "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
                                 "5bc94fbc3221a5db94fae95ae7121a47"},
                            Case{key, long_nonce,
                                 "8ce24998625615b603a033aca13fb894be9112a5c3a211a8ba262a3cca7e2ca7"
                                 "01e4a9a4fba43c90ccdcb281d48c7c6fd62875d2aca417034c34aee5"
                                 "619cc5aefffe0bfa462af43c1699d050"},
                            Case{key + key, "cafebabefacedbaddecaf888",
                                 "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                                 "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
                                 "76fc6ece0f4e1768cddf8853bb2d551b"}}) {
    Gcm gcm(FromHex(known.key));
    const std::vector<uint8_t> associated = FromHex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    EXPECT_EQ(gcm.Crypt(MBEDTLS_GCM_ENCRYPT, FromHex(known.nonce), associated, FromHex(text)),
              FromHex(known.sealed));
  }
}

// Every length up to some rounds of eight blocks, whole and in pieces that end within a block.
TEST_P(AssemblyTest, GcmIsTheSameByBothWays) {
  for (const size_t key_size : {16, 24, 32}) {
    std::vector<uint8_t> key(key_size);
    std::vector<uint8_t> nonce(12);
    random_.Fill(key);
    random_.Fill(nonce);
    Gcm gcm(key);
    gh_openssl_choose(0, 0);
    Gcm plain(key);
    Initialise();
    for (size_t size = 0; size < 400; ++size) {
      std::vector<uint8_t> data(size);
      random_.Fill(data);
      const std::vector<uint8_t> associated(size % 40, 7);
      const auto sealed = gcm.Crypt(MBEDTLS_GCM_ENCRYPT, nonce, associated, data);
      ASSERT_EQ(sealed, plain.Crypt(MBEDTLS_GCM_ENCRYPT, nonce, associated, data)) << size;
      ASSERT_EQ(sealed, gcm.Crypt(MBEDTLS_GCM_ENCRYPT, nonce, associated, data, 47)) << size;
      std::vector<uint8_t> opened(sealed.begin(), sealed.end() - 16);
      opened = gcm.Crypt(MBEDTLS_GCM_DECRYPT, nonce, associated, opened, 64);
      data.insert(data.end(), sealed.end() - 16, sealed.end());
      ASSERT_EQ(opened, data) << size;
    }
  }
}

// Also where the counter's last word goes round (RFC 3686 counts 128 bits), and off the boundary.
TEST_P(AssemblyTest, CounterModeIsTheSameByBothWays) {
  std::vector<uint8_t> key(32);
  random_.Fill(key);
  mbedtls_aes_context aes;
  mbedtls_aes_init(&aes);
  ASSERT_EQ(mbedtls_aes_setkey_enc(&aes, key.data(), 256), 0);
  const auto crypt = [&aes](uint8_t last, std::vector<uint8_t> data, size_t piece) {
    std::array<uint8_t, 16> counter;
    counter.fill(0xff);
    counter[0] = 1;
    counter[15] = last;
    std::array<uint8_t, 16> stream = {};
    size_t offset = 0;
    for (size_t at = 0; at < data.size(); at += piece) {
      const size_t size = std::min(piece, data.size() - at);
      EXPECT_EQ(mbedtls_aes_crypt_ctr(&aes, size, &offset, counter.data(), stream.data(), &data[at],
                                      &data[at]),
                0);
    }
    data.insert(data.end(), counter.begin(), counter.end());
    return data;
  };
  for (size_t size = 1; size < 300; ++size) {
    std::vector<uint8_t> data(size);
    random_.Fill(data);
    for (const uint8_t last : {0, 0xf0, 0xfd, 0xff}) {
      const auto out = crypt(last, data, size);
      ASSERT_EQ(out, crypt(last, data, 33)) << size;
      gh_openssl_choose(0, 0);
      ASSERT_EQ(out, crypt(last, data, size)) << size;
      Initialise();
    }
  }
  mbedtls_aes_free(&aes);
}

INSTANTIATE_TEST_SUITE_P(Processors, AssemblyTest, testing::Bool(), [](const auto& test) {
  return test.param ? "WithWhatThereIs" : "WithoutIt";
});

}  // namespace
}  // namespace gh::crypto
