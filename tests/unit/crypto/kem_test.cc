// The two post-quantum KEMs. ML-KEM-768 against the accumulated vectors of C2SP's CCTV (a hundred
// keys, cipher texts and secrets, among them rejected ones, in one digest), sntrup761 by agreement
// (its known answers are OpenSSH's client, in tests/system/test_ssh.py), and what is refused.
#include "crypto/kem.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "crypto/init.h"
#include "tests/unit/crypto/hex.h"

namespace gh::crypto {
namespace {

// SHAKE128 (FIPS 202), for the vectors' stream and digest.
class Shake128 {
 public:
  void Add(std::span<const uint8_t> bytes) {
    for (const uint8_t byte : bytes) {
      Mix(byte);
    }
  }
  void Read(std::span<uint8_t> out) {
    if (!reads_) {
      state_[at_ / 8] ^= uint64_t{0x1f} << (8 * (at_ % 8));
      state_[(kRate - 1) / 8] ^= uint64_t{0x80} << 56;
      Permute();
      reads_ = true;
    }
    for (uint8_t& byte : out) {
      if (at_ == kRate) {
        Permute();
      }
      byte = static_cast<uint8_t>(state_[at_ / 8] >> (8 * (at_ % 8)));
      ++at_;
    }
  }

 private:
  static constexpr size_t kRate = 168;
  void Mix(uint8_t byte) {
    state_[at_ / 8] ^= uint64_t{byte} << (8 * (at_ % 8));
    if (++at_ == kRate) {
      Permute();
    }
  }
  static uint64_t Turn(uint64_t value, unsigned by) {
    return by == 0 ? value : value << by | value >> (64 - by);
  }
  void Permute() {
    at_ = 0;
    unsigned lfsr = 1;
    for (int round = 0; round < 24; ++round) {
      uint64_t columns[5];
      for (size_t x = 0; x < 5; ++x) {
        columns[x] = state_[x] ^ state_[x + 5] ^ state_[x + 10] ^ state_[x + 15] ^ state_[x + 20];
      }
      for (size_t i = 0; i < 25; ++i) {
        state_[i] ^= columns[(i % 5 + 4) % 5] ^ Turn(columns[(i % 5 + 1) % 5], 1);
      }
      uint64_t moving = state_[1];
      size_t x = 1;
      size_t y = 0;
      for (unsigned step = 0; step < 24; ++step) {
        const size_t next_y = (2 * x + 3 * y) % 5;
        x = y;
        y = next_y;
        const uint64_t kept = state_[x + 5 * y];
        state_[x + 5 * y] = Turn(moving, (step + 1) * (step + 2) / 2 % 64);
        moving = kept;
      }
      for (size_t row = 0; row < 25; row += 5) {
        const std::array<uint64_t, 5> old = {state_[row], state_[row + 1], state_[row + 2],
                                             state_[row + 3], state_[row + 4]};
        for (size_t i = 0; i < 5; ++i) {
          state_[row + i] = old[i] ^ (~old[(i + 1) % 5] & old[(i + 2) % 5]);
        }
      }
      for (unsigned bit = 0; bit < 7; ++bit) {
        if ((lfsr & 1) != 0) {
          state_[0] ^= uint64_t{1} << ((1u << bit) - 1);
        }
        lfsr = lfsr << 1 ^ ((lfsr & 0x80) != 0 ? 0x171u : 0u);
      }
    }
  }

  std::array<uint64_t, 25> state_ = {};
  size_t at_ = 0;
  bool reads_ = false;
};

class CountingEntropy final : public hal::Entropy {
 public:
  void Fill(std::span<uint8_t> out) override {
    for (uint8_t& byte : out) {
      byte = next_++;
    }
  }
  const char* source() const override { return "counting"; }

 private:
  uint8_t next_ = 7;
};

std::string Hex(Shake128& shake, size_t size) {
  std::vector<uint8_t> bytes(size);
  shake.Read(bytes);
  return test::ToHex(bytes);
}

TEST(Kem, TheTestsOwnShakeIsShake128) {
  Shake128 empty;
  EXPECT_EQ(Hex(empty, 32), "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26");
}

TEST(Kem, MlKem768GivesTheAccumulatedVectors) {
  Shake128 stream;
  Shake128 digest;
  std::array<uint8_t, kMlKem768SeedSize> seed;
  std::array<uint8_t, kMlKem768MessageSize> message;
  std::array<uint8_t, kMlKem768PublicSize> public_key;
  std::array<uint8_t, kMlKem768SecretSize> secret;
  std::array<uint8_t, kMlKem768CipherSize> cipher;
  std::array<uint8_t, kKemSharedSize> ours;
  std::array<uint8_t, kKemSharedSize> theirs;
  for (int i = 0; i < 100; ++i) {
    stream.Read(seed);
    MlKem768MakeKey(seed, public_key, secret);
    digest.Add(public_key);
    stream.Read(message);
    ASSERT_TRUE(MlKem768Encapsulate(message, public_key, cipher, ours).ok());
    digest.Add(cipher);
    digest.Add(ours);
    MlKem768Decapsulate(secret, cipher, theirs);
    ASSERT_EQ(ours, theirs);
    stream.Read(cipher);  // nobody's: rejected implicitly
    MlKem768Decapsulate(secret, cipher, theirs);
    digest.Add(theirs);
  }
  EXPECT_EQ(Hex(digest, 32), "1114b1b6699ed191734fa339376afa7e285c9e6acf6ff0177d346696ce564415");
}

TEST(Kem, MlKem768RefusesAKeyThatIsNotReduced) {
  std::array<uint8_t, kMlKem768MessageSize> message = {};
  std::array<uint8_t, kMlKem768PublicSize> public_key = {};
  std::array<uint8_t, kMlKem768CipherSize> cipher;
  std::array<uint8_t, kKemSharedSize> shared;
  // The first coefficient, twelve bits: q - 1 = 3328 is the last that stands.
  public_key[0] = 0x00;
  public_key[1] = 0x0d;
  EXPECT_TRUE(MlKem768Encapsulate(message, public_key, cipher, shared).ok());
  public_key[0] = 0x01;
  EXPECT_EQ(MlKem768Encapsulate(message, public_key, cipher, shared).code(), ErrorCode::kMalformed);
}

TEST(Kem, Sntrup761AgreesAndIsRepeatablePerGenerator) {
  Initialise();
  std::array<uint8_t, kSntrup761PublicSize> public_key;
  std::array<uint8_t, kSntrup761SecretSize> secret;
  std::array<uint8_t, kSntrup761CipherSize> cipher[2];
  std::array<uint8_t, kKemSharedSize> ours[2];
  std::array<uint8_t, kKemSharedSize> theirs;
  for (int run = 0; run < 2; ++run) {
    CountingEntropy entropy;
    Random random(entropy);
    Sntrup761MakeKey(random, public_key, secret);
    Sntrup761Encapsulate(random, public_key, cipher[run], ours[run]);
    Sntrup761Decapsulate(secret, cipher[run], theirs);
    EXPECT_EQ(ours[run], theirs);
  }
  EXPECT_EQ(cipher[0], cipher[1]);
  EXPECT_EQ(ours[0], ours[1]);
  cipher[0][500] ^= 1;
  Sntrup761Decapsulate(secret, cipher[0], theirs);
  EXPECT_NE(ours[0], theirs);
}

TEST(Kem, Sntrup761TakesAnyBytesForAKey) {
  Initialise();
  CountingEntropy entropy;
  Random random(entropy);
  std::array<uint8_t, kSntrup761PublicSize> public_key;
  std::array<uint8_t, kSntrup761CipherSize> cipher;
  std::array<uint8_t, kKemSharedSize> shared;
  for (const int filler : {0, 0x55, 0xff}) {
    public_key.fill(static_cast<uint8_t>(filler));
    Sntrup761Encapsulate(random, public_key, cipher, shared);
  }
}

}  // namespace
}  // namespace gh::crypto
