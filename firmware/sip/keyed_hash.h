// SipHash-2-4 over several parts (Aumasson, Bernstein 2012): table keys an attacker cannot aim at,
// and short tags (nonces, To tags, Record-Route tokens) he cannot make.
//
// Each part is closed by its length, so ("ab","c") and ("a","bc") differ.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "firmware/sip/text.h"

namespace gh::sip {

struct HashKey {
  uint64_t k0 = 0;
  uint64_t k1 = 0;
};

class KeyedHash {
 public:
  // `purpose` separates the uses of one key from each other.
  KeyedHash(const HashKey& key, uint32_t purpose)
      : v0_(key.k0 ^ 0x736f6d6570736575u),
        v1_(key.k1 ^ 0x646f72616e646f6du),
        v2_(key.k0 ^ 0x6c7967656e657261u),
        v3_(key.k1 ^ 0x7465646279746573u) {
    Word(purpose);
  }
  KeyedHash& Add(uint64_t word) {
    Word(word);
    return *this;
  }
  KeyedHash& Add(std::string_view text) {
    Bytes(text, false);
    return *this;
  }
  // As Add, with letters folded to lower case.
  KeyedHash& AddNoCase(std::string_view text) {
    Bytes(text, true);
    return *this;
  }
  KeyedHash& Add(std::span<const uint8_t> bytes) {
    return Add(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
  uint64_t Value() {
    v2_ ^= 0xff;
    for (int i = 0; i < 4; ++i) {
      Round();
    }
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  static constexpr uint64_t Rotate(uint64_t x, int b) { return x << b | x >> (64 - b); }
  void Round() {
    v0_ += v1_;
    v1_ = Rotate(v1_, 13) ^ v0_;
    v0_ = Rotate(v0_, 32);
    v2_ += v3_;
    v3_ = Rotate(v3_, 16) ^ v2_;
    v0_ += v3_;
    v3_ = Rotate(v3_, 21) ^ v0_;
    v2_ += v1_;
    v1_ = Rotate(v1_, 17) ^ v2_;
    v2_ = Rotate(v2_, 32);
  }
  void Word(uint64_t word) {
    v3_ ^= word;
    Round();
    Round();
    v0_ ^= word;
  }
  void Bytes(std::string_view text, bool fold) {
    size_t at = 0;
    for (; text.size() - at >= 8; at += 8) {
      uint64_t word;
      std::memcpy(&word, text.data() + at, 8);
      Word(fold ? Fold(word) : word);
    }
    uint64_t last = static_cast<uint64_t>(text.size()) << 56;
    for (size_t i = 0; at + i < text.size(); ++i) {
      const char c = fold ? Lower(text[at + i]) : text[at + i];
      last |= static_cast<uint64_t>(static_cast<uint8_t>(c)) << (8 * i);
    }
    Word(last);
  }
  static uint64_t Fold(uint64_t word) {
    for (int i = 0; i < 64; i += 8) {
      const auto c = static_cast<uint8_t>(word >> i);
      if (c >= 'A' && c <= 'Z') {
        word |= uint64_t{0x20} << i;
      }
    }
    return word;
  }

  uint64_t v0_, v1_, v2_, v3_;
};

// Purposes of the engine's key.
enum HashPurpose : uint32_t {
  kHashServerKeyHigh = 1,
  kHashServerKeyLow,
  kHashToTag,
  kHashBranch,
  kHashLoop,
  kHashToken,
  kHashAor,
  kHashCallId,
  kHashNonce,
  kHashNonceSlot,
  kHashSource,
  kHashCall,
  kHashConnection,
  kHashOpaque,
  kHashGruu,
  kHashWay,
  kHashPresentity,
  kHashSubscription,
  kHashHop,
  kHashAlgorithm,
};

}  // namespace gh::sip
