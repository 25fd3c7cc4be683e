// SRTP against the vectors of RFC 3711 (B.3) and of libsrtp's own test driver, and against what a
// hostile wire does: damage, repeats, strangers' packets, numbers that roll over.
#include "firmware/rtp/srtp.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace gh::rtp {
namespace {

std::vector<uint8_t> Hex(const std::string& text) {
  std::vector<uint8_t> out;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    out.push_back(static_cast<uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
  }
  return out;
}

void SetMaster(Master& out, const std::string& hex) {
  const auto bytes = Hex(hex);
  out.Zero();
  std::copy(bytes.begin(), bytes.end(), out.Expose().begin());
}

const std::string kKey = "e1f97a0d3e018be0d64fa32c06de4139";
const std::string kSalt = "0ec675ad498afeebb6960b3aabe6";

std::vector<uint8_t> Rtp(uint16_t sequence, uint32_t ssrc = 0xcafebabe, size_t payload = 16) {
  std::vector<uint8_t> p = {0x80,
                            0x0f,
                            uint8_t(sequence >> 8),
                            uint8_t(sequence),
                            0xde,
                            0xca,
                            0xfb,
                            0xad,
                            uint8_t(ssrc >> 24),
                            uint8_t(ssrc >> 16),
                            uint8_t(ssrc >> 8),
                            uint8_t(ssrc)};
  p.resize(12 + payload, 0xab);
  return p;
}

// With room behind it.
struct Packet {
  explicit Packet(std::vector<uint8_t> from)
      : bytes(std::move(from)), size(uint32_t(bytes.size())) {
    bytes.resize(size + kTagBytesMax);
  }
  std::vector<uint8_t> now() const { return {bytes.begin(), bytes.begin() + size}; }
  std::vector<uint8_t> bytes;
  uint32_t size;
};

struct Pair {
  explicit Pair(Suite suite = Suite::kAesCm128_80) {
    Master master;
    SetMaster(master, KeySizeOf(suite) == 16 ? kKey + kSalt : kKey + kKey + kSalt);
    sender.SetKey(suite, master);
    receiver.SetKey(suite, master);
  }
  Packet Sealed(uint16_t sequence, uint32_t ssrc = 0xcafebabe) {
    Packet p(Rtp(sequence, ssrc));
    const auto size = sender.Protect(p.bytes, p.size);
    EXPECT_TRUE(size.ok());
    p.size = size.ok() ? *size : 0;
    return p;
  }
  ErrorCode Open(Packet p) { return receiver.Unprotect(p.bytes, p.size).code(); }
  SrtpContext sender, receiver;
};

// libsrtp, test/srtp_driver.c: srtp_validate().
TEST(Srtp, TheReferencePacketIsTheSame) {
  Pair pair;
  Packet p = pair.Sealed(0x1234);
  EXPECT_EQ(p.now(),
            Hex("800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8d"
                "bb"));
  const auto size = pair.receiver.Unprotect(p.bytes, p.size);
  ASSERT_TRUE(size.ok());
  p.size = *size;
  EXPECT_EQ(p.now(), Rtp(0x1234));
}

TEST(Srtp, TheReferenceRtcpPacketIsTheSame) {
  Pair pair;
  Packet p(Hex("81c8000bcafebabeabababababababababababababababab"));
  // The reference counts from 1.
  Packet first = p;
  ASSERT_TRUE(pair.sender.ProtectRtcp(first.bytes, first.size).ok());
  const auto size = pair.sender.ProtectRtcp(p.bytes, p.size);
  ASSERT_TRUE(size.ok());
  p.size = *size;
  EXPECT_EQ(p.now(),
            Hex("81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798"));
  const auto plain = pair.receiver.UnprotectRtcp(p.bytes, p.size);
  ASSERT_TRUE(plain.ok());
  p.size = *plain;
  EXPECT_EQ(p.now(), Hex("81c8000bcafebabeabababababababababababababababab"));
}

TEST(Srtp, EverySuiteRoundsTripAndIsItsOwn) {
  for (uint8_t i = 0; i < kSuiteCount; ++i) {
    const auto suite = static_cast<Suite>(i);
    EXPECT_EQ(SuiteOf(NameOf(suite)), suite);
    Pair pair(suite);
    const Packet sealed = pair.Sealed(7);
    const bool is_short = suite == Suite::kAes256Cm32 || suite == Suite::kAesCm128_32;
    EXPECT_EQ(sealed.size, 28u + (is_short ? 4u : 10u));
    EXPECT_EQ(pair.Open(sealed), ErrorCode::kOk);
    EXPECT_EQ(pair.Open(sealed), ErrorCode::kAlreadyExists);
  }
  EXPECT_FALSE(SuiteOf("AES_CM_128_NULL_AUTH"));
}

TEST(Srtp, EveryBitIsGuarded) {
  Pair pair;
  const Packet sealed = pair.Sealed(1);
  for (uint32_t bit = 0; bit < sealed.size * 8; ++bit) {
    Packet damaged = sealed;
    damaged.bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_NE(pair.Open(damaged), ErrorCode::kOk) << bit;
  }
  EXPECT_EQ(pair.Open(sealed), ErrorCode::kOk);
  for (uint32_t size = 0; size < sealed.size; ++size) {
    Packet cut = sealed;
    cut.size = size;
    EXPECT_NE(pair.Open(cut), ErrorCode::kOk);
  }
}

TEST(Srtp, NumbersRollOverAndComeOutOfOrder) {
  Pair pair;
  std::vector<Packet> sealed;
  for (uint32_t i = 0; i < 70'000; ++i) {
    sealed.clear();
    sealed.push_back(pair.Sealed(static_cast<uint16_t>(65'000 + i)));
    ASSERT_EQ(pair.Open(sealed[0]), ErrorCode::kOk) << i;
  }
  Pair other;
  for (uint16_t i = 0; i < 100; ++i) {
    sealed.push_back(other.Sealed(static_cast<uint16_t>(65'500 + i)));
  }
  sealed.erase(sealed.begin());
  for (size_t i = 0; i + 1 < sealed.size(); i += 2) {
    ASSERT_EQ(other.Open(sealed[i + 1]), ErrorCode::kOk) << i;
    ASSERT_EQ(other.Open(sealed[i]), ErrorCode::kOk) << i;
  }
  EXPECT_EQ(other.Open(sealed[99]), ErrorCode::kAlreadyExists);
  EXPECT_EQ(other.Open(sealed[99 - 63]), ErrorCode::kAlreadyExists);
  EXPECT_EQ(other.Open(sealed[99 - 64]), ErrorCode::kAlreadyExists);  // beyond the window
}

TEST(Srtp, ANumberIsNeverSentTwice) {
  Pair pair;
  (void)pair.Sealed(5);
  Packet again(Rtp(5));
  EXPECT_EQ(pair.sender.Protect(again.bytes, again.size).code(), ErrorCode::kAlreadyExists);
}

TEST(Srtp, AStrangerPushesNoSenderOut) {
  Pair pair;
  Master wrong;
  SetMaster(wrong, kSalt + kKey);
  SrtpContext stranger;
  stranger.SetKey(Suite::kAesCm128_80, wrong);
  const Packet first = pair.Sealed(1);
  EXPECT_EQ(pair.Open(first), ErrorCode::kOk);
  for (uint32_t ssrc = 1; ssrc < 20; ++ssrc) {
    Packet p(Rtp(1, ssrc));
    p.size = stranger.Protect(p.bytes, p.size).value_or(0);
    EXPECT_EQ(pair.Open(p), ErrorCode::kUnauthentic);
  }
  EXPECT_EQ(pair.Open(first), ErrorCode::kAlreadyExists);
}

TEST(Srtp, TheSameKeyAgainForgetsNothing) {
  Pair pair;
  const Packet first = pair.Sealed(1);
  EXPECT_EQ(pair.Open(first), ErrorCode::kOk);
  Master master;
  SetMaster(master, kKey + kSalt);
  pair.receiver.SetKey(Suite::kAesCm128_80, master);
  EXPECT_EQ(pair.Open(first), ErrorCode::kAlreadyExists);
}

}  // namespace
}  // namespace gh::rtp
