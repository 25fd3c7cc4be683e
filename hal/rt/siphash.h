// SipHash, the keyed hash of every table that outsiders can fill (Aumasson and Bernstein, 2012).
//
// SipHash-1-3 for tables: without the key nobody can choose colliding keys. The key is drawn from
// crypto/random at boot, one for each table. Not a MAC for the wire: use crypto/ for that.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace gh {

struct SipKey {
  uint64_t k0 = 0;
  uint64_t k1 = 0;

  // From 16 random bytes.
  static SipKey FromBytes(std::span<const uint8_t, 16> bytes);
};

namespace internal {

inline uint64_t LoadLe64(const uint8_t* p) {
  static_assert(std::endian::native == std::endian::little);
  uint64_t word;
  std::memcpy(&word, p, sizeof(word));
  return word;
}

struct SipState {
  uint64_t v0, v1, v2, v3;

  explicit SipState(const SipKey& key)
      : v0(key.k0 ^ 0x736f6d6570736575),
        v1(key.k1 ^ 0x646f72616e646f6d),
        v2(key.k0 ^ 0x6c7967656e657261),
        v3(key.k1 ^ 0x7465646279746573) {}
  void Round() {
    v0 += v1;
    v2 += v3;
    v1 = std::rotl(v1, 13) ^ v0;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 = std::rotl(v0, 32) + v3;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 = std::rotl(v2, 32);
  }
  template <int kRounds>
  void Absorb(uint64_t word) {
    v3 ^= word;
    for (int i = 0; i < kRounds; ++i) {
      Round();
    }
    v0 ^= word;
  }
  template <int kRounds>
  uint64_t Finish() {
    v2 ^= 0xff;
    for (int i = 0; i < kRounds; ++i) {
      Round();
    }
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

}  // namespace internal

inline SipKey SipKey::FromBytes(std::span<const uint8_t, 16> bytes) {
  return {internal::LoadLe64(bytes.data()), internal::LoadLe64(bytes.data() + 8)};
}

// SipHash-c-d with a 64-bit result.
template <int kBlockRounds = 1, int kFinalRounds = 3>
inline uint64_t SipHash(const SipKey& key, std::span<const uint8_t> bytes) {
  internal::SipState state(key);
  const uint8_t* p = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; left -= 8, p += 8) {
    state.Absorb<kBlockRounds>(internal::LoadLe64(p));
  }
  uint64_t last = static_cast<uint64_t>(bytes.size()) << 56;
  for (size_t i = 0; i < left; ++i) {
    last |= static_cast<uint64_t>(p[i]) << (8 * i);
  }
  state.Absorb<kBlockRounds>(last);
  return state.Finish<kFinalRounds>();
}

inline uint64_t SipHash13(const SipKey& key, std::span<const uint8_t> bytes) {
  return SipHash<1, 3>(key, bytes);
}
inline uint64_t SipHash13(const SipKey& key, std::string_view text) {
  return SipHash<1, 3>(key, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}
// The same value as hashing the number's eight little-endian bytes.
inline uint64_t SipHash13(const SipKey& key, uint64_t number) {
  internal::SipState state(key);
  state.Absorb<1>(number);
  state.Absorb<1>(uint64_t{8} << 56);
  return state.Finish<3>();
}

}  // namespace gh
