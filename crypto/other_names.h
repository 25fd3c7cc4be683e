// Names in certificates that XMPP goes by beside DNS names: SRVName (RFC 4985), "_xmpp-server" and
// a domain; xmppAddr (RFC 6120 section 13.7.1.4), a user or a domain; and e-mail addresses. Pure.
//
// Fault model: a certificate is anybody's until its path is good, and is read without trust in its
// shape after that: what stands behind kAlternativeNamesMax names is not looked at. Name
// constraints hold for the domain in such a name as for a DNS name (path_check.h).
#pragma once

#include <mbedtls/x509_crt.h>

#include <cstdint>
#include <span>
#include <string_view>

namespace gh::crypto {

// Of one certificate; real ones have some hundred.
inline constexpr uint32_t kAlternativeNamesMax = 512;

enum class OtherNameKind : uint8_t { kNone, kXmppAddress, kService };

struct OtherName {
  OtherNameKind kind = OtherNameKind::kNone;
  std::string_view text;
  // Behind the service, or the user; empty: it has none.
  std::string_view domain() const;
};

// What an otherName holds inside its tag; kNone: something else, or malformed.
OtherName ReadOtherName(std::span<const uint8_t> value);
// Whether there is an SRVName of this service at this domain; wildcards as in NamesHost.
bool NamesService(const mbedtls_x509_crt& certificate, std::string_view service,
                  std::string_view domain);
// Whether there is an xmppAddr that is this domain.
bool NamesXmppDomain(const mbedtls_x509_crt& certificate, std::string_view domain);
// Addresses of users: xmppAddr, and e-mail. At most as many as there is room for; how many.
uint32_t XmppUsersOf(const mbedtls_x509_crt& certificate, std::span<std::string_view> out);
uint32_t MailAddressesOf(const mbedtls_x509_crt& certificate, std::span<std::string_view> out);

}  // namespace gh::crypto
