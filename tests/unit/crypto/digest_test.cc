// Digests against FIPS 180-4, RFC 1321 and RFC 7693 values (those of BLAKE2b-256 with parameters
// were computed with another implementation), whole and in parts.
#include "crypto/digest.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/crypto/hex.h"

namespace gh::crypto {
namespace {

using test::ToHex;

const std::string kAbc = "abc";
const std::string k448 = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
const std::string k896 =
    "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopq"
    "rs"
    "mnopqrstnopqrstu";
const std::string kMillion(1000000, 'a');

struct Case {
  const std::string& input;
  const char* digest;
};

// One shot, byte by byte, and in two parts around every block edge.
template <typename Hash>
void Check(const Case& c) {
  EXPECT_EQ(ToHex(Hash::Of(c.input)), c.digest);
  if (c.input.size() < 1000) {
    for (size_t cut = 0; cut <= c.input.size(); ++cut) {
      Hash hash;
      hash.Update(std::string_view(c.input).substr(0, cut));
      hash.Update(std::string_view(c.input).substr(cut));
      EXPECT_EQ(ToHex(hash.Finish()), c.digest) << "cut at " << cut;
    }
    return;
  }
  Hash hash;
  for (size_t at = 0; at < c.input.size(); at += 617) {
    hash.Update(std::string_view(c.input).substr(at, 617));
  }
  EXPECT_EQ(ToHex(hash.Finish()), c.digest);
}

TEST(Digest, Sha256) {
  Check<Sha256>({kAbc, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"});
  Check<Sha256>({k448, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"});
  Check<Sha256>({k896, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"});
  Check<Sha256>({kMillion, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"});
}

TEST(Digest, Sha512) {
  Check<Sha512>({kAbc,
                 "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                 "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"});
  Check<Sha512>({k896,
                 "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018"
                 "501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909"});
  Check<Sha512>({kMillion,
                 "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb"
                 "de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b"});
}

TEST(Digest, Sha512Truncated) {
  Check<Sha512_256>({kAbc, "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"});
  Check<Sha512_256>({k896, "3928e184fb8690f840da3988121d31be65cb9d3ef83ee6146feac861e19b563a"});
  Check<Sha512_256>({kMillion, "9a59a052930187a97038cae692f30708aa6491923ef5194394dc68d56c74fb21"});
}

TEST(Digest, Md5) {
  Check<Md5>({kAbc, "900150983cd24fb0d6963f7d28e17f72"});
  Check<Md5>({k448, "8215ef0796a20bcaaae116d3876c664a"});
  Check<Md5>({kMillion, "7707d6ae4e027c70eea2a935c2296f21"});
  EXPECT_EQ(ToHex(Md5::Of(std::string_view())), "d41d8cd98f00b204e9800998ecf8427e");
  // RFC 2617, 3.5: HA1 of the example.
  EXPECT_EQ(ToHex(Md5::Of("Mufasa:testrealm@host.com:Circle Of Life")),
            "939e7578ed9e3c518a452acee763bce9");
}

TEST(Digest, Blake2b256) {
  Check<Blake2b256>({kAbc, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"});
  Blake2b256 personal("gatehouse");
  personal.Update("abc");
  EXPECT_EQ(ToHex(personal.Finish()),
            "96c290b2b36a748821ecaf136ae548ba92eb25a06452ae108b8174619468c2da");
  Blake2b256 longest("0123456789abcdef");
  std::string all;
  for (int i = 0; i < 5 * 256; ++i) {
    all.push_back(static_cast<char>(i));
  }
  longest.Update(all);
  EXPECT_EQ(ToHex(longest.Finish()),
            "a59af6d6789d3d770fec790f371c3bfeafc97ba1ba96a14728391228730115be");
}

TEST(DigestDeathTest, PersonalisationIsBounded) {
  EXPECT_DEATH(Blake2b256("0123456789abcdefg"), "personalisation");
}

}  // namespace
}  // namespace gh::crypto
