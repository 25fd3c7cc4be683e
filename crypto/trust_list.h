// Certificates of authorities an operator trusts: a few, as DER, in memory of fixed size.
//
// Whoever keeps them (the store) gives them at the start; sessions are checked against all of them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/digest.h"
#include "crypto/limits.h"
#include "crypto/tls_environment.h"
#include "hal/rt/arena.h"
#include "hal/rt/bytes.h"
#include "hal/rt/result.h"

namespace gh::crypto {

class TrustList {
 public:
  explicit TrustList(Arena& arena);
  TrustList(const TrustList&) = delete;
  TrustList& operator=(const TrustList&) = delete;

  // kMalformed: not a certificate; kInvalidArgument: not one of an authority; kAlreadyExists;
  // kTooLarge; kNoSpace.
  Result<void> Add(TlsEnvironment& environment, std::span<const uint8_t> der);
  void Remove(uint32_t index);
  uint32_t count() const { return count_; }
  std::span<const uint8_t> der(uint32_t index) const { return anchors_[index].der; }
  Sha256::Digest fingerprint(uint32_t index) const { return Sha256::Of(der(index)); }
  // "C=NO, O=Example, CN=Example Root" and until when it is valid ("2031-11-21").
  static void Describe(TlsEnvironment& environment, std::span<const uint8_t> der, ByteWriter& out);

 private:
  struct Anchor {
    std::span<uint8_t> room;
    std::span<uint8_t> der;
  };
  std::array<Anchor, kTrustAnchorMax> anchors_ = {};
  uint32_t count_ = 0;
};

// One certificate between BEGIN and END lines (RFC 7468), anything around it. kMalformed;
// kTooLarge.
Result<size_t> DecodePemCertificate(std::string_view pem, std::span<uint8_t> der);

}  // namespace gh::crypto
