// Password hashing with Argon2id (RFC 9106), in memory reserved at boot.
//
// Records are PHC strings, "$argon2id$v=19$m=12288,t=3,p=1$<salt>$<hash>": what a record costs is
// in the record, so costs can be raised later. A record that asks for more memory than this hasher
// reserved, or for more passes than kPasswordPassesMax, is refused: a record is outside data.
// libsodium allocates for Argon2; its malloc is compiled to our hook, which carves this hasher's
// working memory and nothing else. One call runs to its end: tens of milliseconds at the default
// cost. The caller limits how often.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/limits.h"
#include "crypto/random.h"
#include "hal/rt/arena.h"
#include "hal/rt/result.h"

namespace gh::crypto {

struct PasswordCost {
  uint32_t memory_kib = 12 * 1024;
  uint32_t passes = 3;
};

class PasswordRecord {
 public:
  std::string_view text() const { return {bytes_.data(), size_}; }

 private:
  friend class PasswordHasher;
  std::array<char, kPasswordRecordSizeMax> bytes_ = {};
  size_t size_ = 0;
};

class PasswordHasher {
 public:
  PasswordHasher(Arena& arena, PasswordCost cost);
  PasswordHasher(const PasswordHasher&) = delete;
  PasswordHasher& operator=(const PasswordHasher&) = delete;

  // kTooLarge: longer than kPasswordSizeMax.
  Result<PasswordRecord> Hash(std::string_view password, Random& random);
  // kUnauthentic: wrong password. kMalformed, kTooLarge, kUnsupported: the record is at fault.
  Result<void> Verify(std::string_view password, std::string_view record);
  // Whether a valid record was made with less than this hasher's cost and should be renewed.
  bool IsWeak(std::string_view record) const;

  PasswordCost cost() const { return cost_; }

  static constexpr size_t kSaltSize = 16;
  static constexpr size_t kHashSize = 32;
  // The primitive, for tests against published vectors.
  Result<void> Derive(std::string_view password, std::span<const uint8_t, kSaltSize> salt,
                      PasswordCost cost, std::span<uint8_t> out);

 private:
  PasswordCost cost_;
  std::span<uint8_t> memory_;
};

}  // namespace gh::crypto
