// Where the engine finds the passwords' digests. The appliance implements it over its user store.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace gh::sip {

enum class DigestAlgorithm : uint8_t { kMd5, kSha256, kSha512_256 };

// H(user:realm:password): 16 bytes for MD5, 32 for the others.
struct Ha1 {
  std::array<uint8_t, 32> bytes = {};
};

class Credentials {
 public:
  // Whether that user exists with a digest of that algorithm; fills `out`. Should take the same
  // time either way; the engine does the same work either way.
  virtual bool FindHa1(std::string_view realm, std::string_view user, DigestAlgorithm algorithm,
                       Ha1& out) = 0;

 protected:
  ~Credentials() = default;
};

}  // namespace gh::sip
