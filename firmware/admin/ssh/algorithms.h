// The algorithms this server has, by name, and lists of them: what the operator allows, and what a
// client and we agree on (RFC 4253 section 7.1).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/admin/ssh/limits.h"
#include "hal/rt/bytes.h"
#include "hal/rt/result.h"

namespace gh::ssh {

enum class Kex : uint8_t {
  kMlKem768X25519,
  kSntrup761X25519,
  kSntrup761X25519Old,  // the same under OpenSSH's name
  kCurve25519,
  kCurve25519Old,  // the same under libssh's name
  kNistP256,
};
enum class HostKeyKind : uint8_t { kEd25519, kEcdsaP256 };
enum class Cipher : uint8_t {
  kChaChaPoly,
  kAes256Gcm,
  kAes128Gcm,
  kAes256Ctr,
  kAes192Ctr,
  kAes128Ctr,
  kNone  // before the first keys
};
enum class Mac : uint8_t { kHmacSha256Etm, kHmacSha512Etm, kOfCipher };

enum class AlgorithmKind : uint8_t { kKex, kHostKey, kCipher, kMac };

// In the order of the enumerations above.
std::span<const std::string_view> AlgorithmNames(AlgorithmKind kind);
std::string_view AlgorithmName(AlgorithmKind kind, uint8_t index);
inline std::string_view NameOf(Kex kex) {
  return AlgorithmName(AlgorithmKind::kKex, static_cast<uint8_t>(kex));
}
inline std::string_view NameOf(HostKeyKind kind) {
  return AlgorithmName(AlgorithmKind::kHostKey, static_cast<uint8_t>(kind));
}
inline std::string_view NameOf(Cipher cipher) {
  return AlgorithmName(AlgorithmKind::kCipher, static_cast<uint8_t>(cipher));
}
inline std::string_view NameOf(Mac mac) {
  return AlgorithmName(AlgorithmKind::kMac, static_cast<uint8_t>(mac));
}

inline bool IsAead(Cipher cipher) {
  return cipher == Cipher::kChaChaPoly || cipher == Cipher::kAes256Gcm ||
         cipher == Cipher::kAes128Gcm;
}

// Algorithms of one kind in order of preference.
struct AlgorithmList {
  std::array<uint8_t, kAlgorithmsMax> items = {};
  uint32_t count = 0;

  std::span<const uint8_t> view() const { return {items.data(), count}; }
  bool Has(uint8_t item) const;
  void Format(AlgorithmKind kind, ByteWriter& out) const;  // comma-separated
};

// "a,b,c" as an operator gives it. kUnsupported, kInvalidArgument, kAlreadyExists: `expected` says
// what was wrong and what there is.
Result<AlgorithmList> ParseAlgorithms(AlgorithmKind kind, std::string_view text,
                                      ByteWriter& expected);
// The lists in force when the operator sets none.
AlgorithmList DefaultAlgorithms(AlgorithmKind kind);

// The first of the client's names that we allow; kNotFound.
Result<uint8_t> Negotiate(AlgorithmKind kind, const AlgorithmList& ours, std::string_view theirs);

}  // namespace gh::ssh
