#include "tests/sim/hash.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace gh::sim {
namespace {

uint32_t RotateLeft(uint32_t x, uint32_t n) { return x << n | x >> (32 - n); }
uint32_t RotateRight(uint32_t x, uint32_t n) { return x >> n | x << (32 - n); }

std::vector<uint8_t> Padded(std::string_view text, bool big_endian) {
  std::vector<uint8_t> bytes(text.begin(), text.end());
  bytes.push_back(0x80);
  while (bytes.size() % 64 != 56) {
    bytes.push_back(0);
  }
  const uint64_t bits = text.size() * 8;
  for (uint32_t i = 0; i < 8; ++i) {
    bytes.push_back(static_cast<uint8_t>(bits >> (big_endian ? 56 - i * 8 : i * 8)));
  }
  return bytes;
}

template <size_t kWords>
std::string Hex(const std::array<uint32_t, kWords>& words, bool big_endian) {
  std::string out;
  for (uint32_t word : words) {
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t byte = word >> (big_endian ? 24 - i * 8 : i * 8) & 0xff;
      out += "0123456789abcdef"[byte >> 4];
      out += "0123456789abcdef"[byte & 15];
    }
  }
  return out;
}

void Md5Block(std::array<uint32_t, 4>& state, const uint8_t* block) {
  static constexpr uint32_t kShift[4][4] = {
      {7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
  auto [a, b, c, d] = state;
  for (uint32_t i = 0; i < 64; ++i) {
    const uint32_t round = i / 16;
    const uint32_t f = round == 0   ? (b & c) | (~b & d)
                       : round == 1 ? (d & b) | (~d & c)
                       : round == 2 ? b ^ c ^ d
                                    : c ^ (b | ~d);
    const uint32_t index = (round == 0   ? i
                            : round == 1 ? 5 * i + 1
                            : round == 2 ? 3 * i + 5
                                         : 7 * i) %
                           16;
    uint32_t word;
    std::memcpy(&word, block + index * 4, 4);
    const auto constant = static_cast<uint32_t>(
        static_cast<uint64_t>(std::fabs(std::sin(static_cast<double>(i + 1))) * 4294967296.0));
    const uint32_t next = b + RotateLeft(a + f + constant + word, kShift[round][i % 4]);
    a = d;
    d = c;
    c = b;
    b = next;
  }
  state = {state[0] + a, state[1] + b, state[2] + c, state[3] + d};
}

// The fractional parts of the roots of the first primes, which is what SHA-256's constants are.
template <size_t kCount>
std::array<uint32_t, kCount> PrimeRoots(bool cube) {
  std::array<uint32_t, kCount> out = {};
  size_t count = 0;
  for (uint32_t n = 2; count < kCount; ++n) {
    bool prime = true;
    for (uint32_t d = 2; d * d <= n; ++d) {
      prime = prime && n % d != 0;
    }
    if (prime) {
      const long double root =
          cube ? std::cbrt(static_cast<long double>(n)) : std::sqrt(static_cast<long double>(n));
      out[count++] = static_cast<uint32_t>((root - std::floor(root)) * 4294967296.0L);
    }
  }
  return out;
}

void Sha256Block(std::array<uint32_t, 8>& state, const uint8_t* block,
                 const std::array<uint32_t, 64>& constants) {
  std::array<uint32_t, 64> w = {};
  for (size_t i = 0; i < 16; ++i) {
    const uint8_t* p = block + i * 4;
    w[i] = uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
  }
  for (size_t i = 16; i < 64; ++i) {
    const uint32_t s0 = RotateRight(w[i - 15], 7) ^ RotateRight(w[i - 15], 18) ^ w[i - 15] >> 3;
    const uint32_t s1 = RotateRight(w[i - 2], 17) ^ RotateRight(w[i - 2], 19) ^ w[i - 2] >> 10;
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (size_t i = 0; i < 64; ++i) {
    const uint32_t s1 = RotateRight(e, 6) ^ RotateRight(e, 11) ^ RotateRight(e, 25);
    const uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + constants[i] + w[i];
    const uint32_t s0 = RotateRight(a, 2) ^ RotateRight(a, 13) ^ RotateRight(a, 22);
    const uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + t2;
  }
  const std::array<uint32_t, 8> mixed = {a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < 8; ++i) {
    state[i] += mixed[i];
  }
}

}  // namespace

std::string Md5Hex(std::string_view text) {
  std::array<uint32_t, 4> state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  const std::vector<uint8_t> bytes = Padded(text, false);
  for (size_t at = 0; at < bytes.size(); at += 64) {
    Md5Block(state, bytes.data() + at);
  }
  return Hex(state, false);
}

std::string Sha256Hex(std::string_view text) {
  static const std::array<uint32_t, 64> constants = PrimeRoots<64>(true);
  std::array<uint32_t, 8> state = PrimeRoots<8>(false);
  const std::vector<uint8_t> bytes = Padded(text, true);
  for (size_t at = 0; at < bytes.size(); at += 64) {
    Sha256Block(state, bytes.data() + at, constants);
  }
  return Hex(state, true);
}

}  // namespace gh::sim
