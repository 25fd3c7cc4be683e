// Addresses of XMPP (RFC 7622): local@domain/resource, each part prepared as PRECIS says (RFC 8264,
// 8265), so that two addresses are the same when their texts are.
//
// Local part and domain have width and case mapped, every part is brought into Unicode's form C and
// held to its rules (unicode.h). Labels of domains stand as themselves, never in the form that DNS
// has ("xn--..."); one of that form which stands for nothing stays. Parts are bounded below what
// the RFC allows (limits.h).
#pragma once

#include <cstdint>
#include <string_view>

#include "firmware/xmpp/limits.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::xmpp {

// Of an address that was prepared: what stands before its resource.
inline std::string_view BareOf(std::string_view address) {
  return address.substr(0, address.find('/'));
}

class Address {
 public:
  // kMalformed: no address; kTooLarge: a part is longer than its bound.
  static Result<Address> Parse(std::string_view text);
  // Of prepared parts.
  static Address Of(std::string_view local, std::string_view domain,
                    std::string_view resource = {});

  std::string_view full() const { return text_.view(); }
  std::string_view bare() const { return full().substr(0, bare_size_); }
  std::string_view local() const { return full().substr(0, local_size_); }
  std::string_view domain() const { return bare().substr(local_size_ == 0 ? 0 : local_size_ + 1u); }
  std::string_view resource() const {
    return has_resource() ? full().substr(bare_size_ + 1u) : std::string_view();
  }
  bool has_resource() const { return bare_size_ < text_.size(); }
  bool empty() const { return text_.empty(); }

 private:
  FixedString<kAddressMax> text_;
  uint16_t local_size_ = 0;
  uint16_t bare_size_ = 0;
};

// Parts alone, prepared; into `out`, which is emptied first.
Result<void> PrepareLocal(std::string_view text, FixedString<kLocalMax>& out);
Result<void> PrepareDomain(std::string_view text, FixedString<kDomainMax>& out);
Result<void> PrepareResource(std::string_view text, FixedString<kResourceMax>& out);

// Of an address that was kept, prepared: what it is called now. False: just so. (Once, domains were
// kept in DNS's form.)
bool IsOldForm(std::string_view kept, Address& now);

// A prepared domain as DNS and certificates have it. False: it is too long.
bool DomainForDns(std::string_view domain, FixedString<kDnsDomainMax>& out);

}  // namespace gh::xmpp
