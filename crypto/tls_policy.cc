// The suites we speak, and lists of them.
#include "crypto/tls_policy.h"

#include <mbedtls/ssl.h>

#include <algorithm>

#include "hal/rt/ascii.h"

namespace gh::crypto {
namespace {

constexpr TlsSuite kSuites[] = {
    {0x1301, TlsVersion::kTls13, true, "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"},
    {0x1303, TlsVersion::kTls13, false, "TLS_CHACHA20_POLY1305_SHA256",
     "TLS_CHACHA20_POLY1305_SHA256"},
    {0x1302, TlsVersion::kTls13, true, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"},
    {0xc02b, TlsVersion::kTls12, true, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
     "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {0xc02f, TlsVersion::kTls12, true, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
     "ECDHE-RSA-AES128-GCM-SHA256"},
    {0xcca9, TlsVersion::kTls12, false, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
     "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {0xcca8, TlsVersion::kTls12, false, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
     "ECDHE-RSA-CHACHA20-POLY1305"},
    {0xc02c, TlsVersion::kTls12, true, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
     "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {0xc030, TlsVersion::kTls12, true, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
     "ECDHE-RSA-AES256-GCM-SHA384"},
};
static_assert(std::size(kSuites) == kTlsSuiteMax);

constexpr uint16_t kGroups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
                                MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
                                MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, 0};

bool Named(const TlsSuite& suite, std::string_view word) {
  return EqualsIgnoringCase(suite.name, word) || EqualsIgnoringCase(suite.openssl, word);
}

struct Choice {
  std::array<uint8_t, kTlsSuiteMax> order = {};
  uint8_t count = 0;
  std::array<bool, kTlsSuiteMax> barred = {};

  void Add(uint8_t index) {
    if (std::find(order.begin(), order.begin() + count, index) == order.begin() + count) {
      order[count++] = index;
    }
  }
  bool Take(std::string_view word) {
    const bool out = word.starts_with('!');
    word.remove_prefix(out ? 1 : 0);
    const bool all = EqualsIgnoringCase(word, "DEFAULT");
    const bool fips = EqualsIgnoringCase(word, "FIPS");
    bool known = all || fips;
    for (uint8_t i = 0; i < kTlsSuiteMax; ++i) {
      if (!(all || (fips && kSuites[i].fips) || Named(kSuites[i], word))) {
        continue;
      }
      known = true;
      if (out) {
        barred[i] = true;
      } else {
        Add(i);
      }
    }
    return known;
  }
};

}  // namespace

std::span<const TlsSuite> TlsSuites() { return kSuites; }

void TlsPolicy::SetDefault() {
  count_ = kTlsSuiteMax;
  for (uint8_t i = 0; i < kTlsSuiteMax; ++i) {
    order_[i] = i;
  }
}

Result<void> TlsPolicy::SetSuites(std::string_view list) {
  Choice choice;
  for (std::string_view rest = list; !rest.empty();) {
    const size_t end = std::min(rest.find_first_of(":,"), rest.size());
    const std::string_view word = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!word.empty() && !choice.Take(word)) {
      return Error(ErrorCode::kInvalidArgument, "not a cipher suite this device speaks");
    }
  }
  const TlsPolicy before = *this;
  count_ = 0;
  for (uint8_t i = 0; i < choice.count; ++i) {
    if (!choice.barred[choice.order[i]]) {
      order_[count_++] = choice.order[i];
    }
  }
  std::array<int, kTlsSuiteMax + 1> offered;
  if (Suites(offered) == 0) {
    *this = before;
    return Error(ErrorCode::kInvalidArgument, "the list leaves no cipher suite");
  }
  return Ok();
}

uint32_t TlsPolicy::Suites(std::span<int, kTlsSuiteMax + 1> out) const {
  uint32_t count = 0;
  for (uint8_t i = 0; i < count_; ++i) {
    const TlsSuite& suite = kSuites[order_[i]];
    if (suite.version >= minimum && suite.version <= maximum && (suite.fips || !restricted_)) {
      out[count++] = suite.id;
    }
  }
  out[count] = 0;
  return count;
}

std::span<const uint16_t> TlsPolicy::Groups() const {
  return std::span(kGroups).subspan(restricted_ ? 1 : 0);
}

}  // namespace gh::crypto
