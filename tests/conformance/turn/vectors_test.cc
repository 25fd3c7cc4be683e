// The published vectors: RFC 5769 2.1 to 2.4, RFC 8489 B.1 (as corrected by erratum 6268), RFC
// 2202.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "crypto/legacy.h"
#include "firmware/turn/stun.h"

namespace gh::turn {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes FromHex(std::string_view hex) {
  Bytes out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<uint8_t>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return out;
}

const Bytes kRequest = FromHex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74"
    "002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf");
const Bytes kResponseIpv4 = FromHex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96");
const Bytes kResponseIpv6 = FromHex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275"
    "bfe3ed4180280004c8fb0b4c");
const Bytes kLongTerm = FromHex(
    "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b90000"
    "0015001c662f2f3439396b39353464364f4c33346f4c39465354767936347341"
    "0014000b6578616d706c652e6f72670000080014f67024656dd64a3e02b8e0712e85c9a28ca89666");
const Bytes kSha256 = FromHex(
    "000100902112a44278ad3433c6ad72c029da412e"
    "001e00204a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704"
    "001500296f624d61744a6f7332414141"
    "43662f2f3439396b39353464364f4c33346f4c39465354767936347341000000"
    "0014000b6578616d706c652e6f726700001d000400020000"
    "001c0020b5c7bf005b6c52a21c51c5e892f81924136296cb927c43149309278cc6518e65");
constexpr std::string_view kShortPassword = "VOkJxbRl1RmTxUk/WvJxBt";
const std::string kMatrix =
    "\xe3\x83\x9e\xe3\x83\x88\xe3\x83\xaa\xe3\x83\x83\xe3\x82\xaf\xe3\x82\xb9";

Message Parsed(const Bytes& bytes) {
  auto message = Message::Parse(bytes);
  EXPECT_TRUE(message.ok());
  return message.ok() ? *message : Message();
}

TEST(Rfc5769, Request) {
  const Message message = Parsed(kRequest);
  EXPECT_EQ(message.cls(), Class::kRequest);
  EXPECT_EQ(message.method(), Method::kBinding);
  EXPECT_EQ(message.Text(kSoftware), "STUN test client");
  EXPECT_EQ(message.Text(kUserName), "evtj:h6vY");
  EXPECT_TRUE(message.IsAuthentic(AsBytes(kShortPassword)));
  EXPECT_FALSE(message.IsAuthentic(AsBytes("VOkJxbRl1RmTxUk/WvJxBu")));
  ASSERT_EQ(message.unknown().size(), 1u);  // PRIORITY is ICE's
  EXPECT_EQ(message.unknown()[0], 0x0024);
}

TEST(Rfc5769, ResponseIpv4) {
  const Message message = Parsed(kResponseIpv4);
  EXPECT_EQ(message.cls(), Class::kSuccess);
  EXPECT_TRUE(message.IsAuthentic(AsBytes(kShortPassword)));
  const auto mapped = message.XorAddress(kXorMappedAddress);
  ASSERT_TRUE(mapped.ok());
  EXPECT_EQ(net::ToText(*mapped).view(), "192.0.2.1:32853");
}

TEST(Rfc5769, ResponseIpv6) {
  const Message message = Parsed(kResponseIpv6);
  EXPECT_TRUE(message.IsAuthentic(AsBytes(kShortPassword)));
  const auto mapped = message.XorAddress(kXorMappedAddress);
  ASSERT_TRUE(mapped.ok());
  EXPECT_EQ(net::ToText(*mapped).view(), "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
}

TEST(Rfc5769, LongTermRequest) {
  const Message message = Parsed(kLongTerm);
  EXPECT_EQ(message.Text(kUserName), kMatrix);
  EXPECT_EQ(message.Text(kRealm), "example.org");
  EXPECT_EQ(message.integrity(), Integrity::kSha1);
  EXPECT_TRUE(message.IsAuthentic(crypto::Md5::Of(kMatrix + ":example.org:TheMatrIX")));
  EXPECT_FALSE(message.IsAuthentic(crypto::Md5::Of(kMatrix + ":example.org:TheMatrix")));
}

TEST(Rfc8489, Sha256Request) {
  const Message message = Parsed(kSha256);
  EXPECT_EQ(message.integrity(), Integrity::kSha256);
  EXPECT_TRUE(message.IsAuthentic(crypto::Sha256::Of(kMatrix + ":example.org:TheMatrIX")));
  const auto hash = crypto::Sha256::Of(kMatrix + ":example.org");
  const auto value = message.Value(kUserHash);
  EXPECT_TRUE(std::equal(hash.begin(), hash.end(), value.begin(), value.end()));
}

// What we write is what the RFC shows.
TEST(Rfc8489, Sha256RequestWritten) {
  TransactionId id;
  std::copy_n(kSha256.begin() + 8, id.size(), id.begin());
  uint8_t out[256];
  Builder builder(out, Class::kRequest, Method::kBinding, id);
  builder.Bytes(kUserHash, crypto::Sha256::Of(kMatrix + ":example.org"));
  builder.Text(kNonce, "obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA");
  builder.Text(kRealm, "example.org");
  builder.U32(kPasswordAlgorithm, 2u << 16);
  builder.Sign(Integrity::kSha256, crypto::Sha256::Of(kMatrix + ":example.org:TheMatrIX"));
  const auto written = builder.Finish();
  EXPECT_EQ(Bytes(written.begin(), written.end()), kSha256);
}

TEST(Rfc5769, LongTermRequestWritten) {
  TransactionId id;
  std::copy_n(kLongTerm.begin() + 8, id.size(), id.begin());
  uint8_t out[256];
  Builder builder(out, Class::kRequest, Method::kBinding, id);
  builder.Text(kUserName, kMatrix);
  builder.Text(kNonce, "f//499k954d6OL34oL9FSTvy64sA");
  builder.Text(kRealm, "example.org");
  builder.Sign(Integrity::kSha1, crypto::Md5::Of(kMatrix + ":example.org:TheMatrIX"));
  const auto written = builder.Finish();
  EXPECT_EQ(Bytes(written.begin(), written.end()), kLongTerm);
}

// Every bit before FINGERPRINT counts.
constexpr size_t kFingerprintAt = 100;
TEST(Rfc5769, EveryBitIsCovered) {
  for (size_t bit = 0; bit < kFingerprintAt * 8; ++bit) {
    Bytes damaged = kRequest;
    damaged[bit / 8] = static_cast<uint8_t>(damaged[bit / 8] ^ 1u << bit % 8);
    const auto message = Message::Parse(damaged);
    EXPECT_FALSE(message.ok() && message->IsAuthentic(AsBytes(kShortPassword)) &&
                 message->Has(kUserName) && message->cls() == Class::kRequest)
        << bit;
  }
}

TEST(Rfc2202, HmacSha1) {
  const Bytes key(20, 0x0b);
  const auto tag = crypto::HmacSha1(key, AsBytes("Hi There"));
  EXPECT_EQ(Bytes(tag.begin(), tag.end()), FromHex("b617318655057264e28bc0b6fb378c8ef146be00"));
  const Bytes long_key(80, 0xaa);
  const auto other =
      crypto::HmacSha1(long_key, AsBytes("Test Using Larger Than Block-Size Key - Hash Key First"));
  EXPECT_EQ(Bytes(other.begin(), other.end()), FromHex("aa4ae5e15272d00e95705637ce8a3b55ed402112"));
}

}  // namespace
}  // namespace gh::turn
