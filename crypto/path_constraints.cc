// Name constraints (RFC 5280 section 4.2.1.10): DNS names, addresses and the subject's name. What
// XMPP goes by (other_names.h) is held to what is said of DNS names. Names of other forms that an
// authority constrains are refused where a certificate has them.
#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>

#include <algorithm>

#include "crypto/other_names.h"
#include "crypto/path_check.h"
#include "hal/rt/ascii.h"
#include "hal/rt/bytes.h"

namespace gh::crypto {
namespace {

constexpr int kSequence = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
constexpr int kContext = MBEDTLS_ASN1_CONTEXT_SPECIFIC;
constexpr int kContextConstructed = MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED;

enum class Form : uint8_t {
  kOther = 0,
  kMail = 1,
  kDns = 2,
  kX400 = 3,
  kDirectory = 4,
  kEdi = 5,
  kUri = 6,
  kAddress = 7,
  kRegistered = 8,
};

struct GeneralName {
  Form form = Form::kOther;
  std::span<const uint8_t> value;  // of kDirectory: the whole Name, with its tag
};

// Reads one GeneralName at `p`.
bool ReadName(unsigned char*& p, const unsigned char* end, GeneralName& out) {
  if (end - p < 2 || (*p & kContext) == 0) {
    return false;
  }
  const int tag = *p;
  const int form = tag & 0x1f;
  size_t size = 0;
  if (form > 8 || mbedtls_asn1_get_tag(&p, end, &size, tag) != 0) {
    return false;
  }
  out.form = static_cast<Form>(form);
  out.value = {p, size};
  p += size;
  return true;
}

// "example.com" holds itself and every name below; ".example.com" only those below.
bool DnsWithin(std::string_view base, std::string_view name) {
  if (base.empty()) {
    return true;
  }
  if (base.size() > name.size()) {
    return false;
  }
  if (base.front() == '.') {
    return name.size() > base.size() &&
           EqualsIgnoringCase(name.substr(name.size() - base.size()), base);
  }
  return EqualsIgnoringCase(name.substr(name.size() - base.size()), base) &&
         (name.size() == base.size() || name[name.size() - base.size() - 1] == '.');
}

// Address and mask, twice as long as the address; the mask's bits are in one piece.
bool IsAddressBase(std::span<const uint8_t> base) {
  if (base.size() != 8 && base.size() != 32) {
    return false;
  }
  bool ended = false;
  for (const uint8_t byte : base.subspan(base.size() / 2)) {
    for (int bit = 7; bit >= 0; --bit) {
      const bool one = (byte >> bit & 1) != 0;
      if (one && ended) {
        return false;
      }
      ended = ended || !one;
    }
  }
  return true;
}

bool AddressWithin(std::span<const uint8_t> base, std::span<const uint8_t> address) {
  if (base.size() != address.size() * 2) {
    return false;
  }
  for (size_t i = 0; i < address.size(); ++i) {
    if (((base[i] ^ address[i]) & base[address.size() + i]) != 0) {
      return false;
    }
  }
  return true;
}

// A Name's RDNs, without the outer tag; empty and false when it is none.
bool ReadRdns(std::span<const uint8_t> name, std::span<const uint8_t>& out) {
  auto* p = const_cast<unsigned char*>(name.data());
  const unsigned char* end = p + name.size();
  size_t size = 0;
  if (name.empty() || mbedtls_asn1_get_tag(&p, end, &size, kSequence) != 0 || p + size != end) {
    return false;
  }
  out = {p, size};
  return true;
}

// The base's RDNs are the first of the name's. Compared as bytes: other spellings of the same are
// not within what is permitted, which is safe; for what is excluded, see ExcludedDirectory.
bool DirectoryWithin(std::span<const uint8_t> base, std::span<const uint8_t> name) {
  std::span<const uint8_t> base_rdns;
  std::span<const uint8_t> name_rdns;
  return ReadRdns(base, base_rdns) && ReadRdns(name, name_rdns) &&
         base_rdns.size() <= name_rdns.size() &&
         std::ranges::equal(base_rdns, name_rdns.first(base_rdns.size()));
}

enum class Match : uint8_t { kOtherForm, kWithin, kOutside, kUnknown };

// A wildcard stands for all names it may match: for what is excluded it is within as soon as one
// of them may be.
Match Compare(const GeneralName& base, const GeneralName& name, bool is_excluding) {
  if (base.form != name.form) {
    return Match::kOtherForm;
  }
  switch (base.form) {
    case Form::kDns: {
      std::string_view text = AsText(name.value);
      const std::string_view base_text = AsText(base.value);
      if (text.starts_with("*.")) {
        text.remove_prefix(2);
        if (is_excluding && DnsWithin(text, base_text)) {
          return Match::kWithin;  // "*.example.com" and an excluded "a.example.com"
        }
        if (!base_text.empty() && base_text.front() == '.' &&
            EqualsIgnoringCase(base_text.substr(1), text)) {
          return Match::kWithin;
        }
      }
      return DnsWithin(base_text, text) ? Match::kWithin : Match::kOutside;
    }
    case Form::kAddress:
      return AddressWithin(base.value, name.value) ? Match::kWithin : Match::kOutside;
    case Form::kDirectory:
      return DirectoryWithin(base.value, name.value) ? Match::kWithin : Match::kOutside;
    default:
      return Match::kUnknown;
  }
}

// GeneralSubtrees without the outer tag.
class Subtrees {
 public:
  explicit Subtrees(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  // Every base can be read and is of a form's shape.
  bool AreWellFormed() const {
    uint32_t count = 0;
    GeneralName base;
    auto* p = const_cast<unsigned char*>(bytes_.data());
    const unsigned char* end = p + bytes_.size();
    while (p < end) {
      if (++count > kConstraintSubtreesMax || !Next(p, end, base) ||
          (base.form == Form::kAddress && !IsAddressBase(base.value))) {
        return false;
      }
    }
    return count > 0;
  }

  // kOtherForm: no base is of the name's form.
  Match Find(const GeneralName& name, bool is_excluding, uint32_t& checks_left) const {
    Match found = Match::kOtherForm;
    GeneralName base;
    auto* p = const_cast<unsigned char*>(bytes_.data());
    const unsigned char* end = p + bytes_.size();
    while (p < end) {
      if (checks_left == 0 || !Next(p, end, base)) {
        return Match::kUnknown;
      }
      --checks_left;
      const Match match = Compare(base, name, is_excluding);
      if (match == Match::kWithin || match == Match::kUnknown) {
        return match;
      }
      found = match == Match::kOutside ? match : found;
    }
    return found;
  }

 private:
  // SEQUENCE { base, minimum 0 }: minimum and maximum have no other values (RFC 5280).
  static bool Next(unsigned char*& p, const unsigned char* end, GeneralName& base) {
    size_t size = 0;
    if (mbedtls_asn1_get_tag(&p, end, &size, kSequence) != 0) {
      return false;
    }
    const unsigned char* subtree_end = p + size;
    return ReadName(p, subtree_end, base) && p == subtree_end;
  }

  std::span<const uint8_t> bytes_;
};

struct Constraints {
  std::span<const uint8_t> permitted;
  std::span<const uint8_t> excluded;
  bool has_permitted = false;
  bool has_excluded = false;
};

bool Read(std::span<const uint8_t> bytes, Constraints& out) {
  auto* p = const_cast<unsigned char*>(bytes.data());
  const unsigned char* end = p + bytes.size();
  size_t size = 0;
  if (mbedtls_asn1_get_tag(&p, end, &size, kSequence) != 0 || p + size != end) {
    return false;
  }
  if (p < end && mbedtls_asn1_get_tag(&p, end, &size, kContextConstructed | 0) == 0) {
    out.permitted = {p, size};
    out.has_permitted = true;
    p += size;
  }
  if (p < end && mbedtls_asn1_get_tag(&p, end, &size, kContextConstructed | 1) == 0) {
    out.excluded = {p, size};
    out.has_excluded = true;
    p += size;
  }
  return p == end && (out.has_permitted || out.has_excluded) &&
         (!out.has_permitted || Subtrees(out.permitted).AreWellFormed()) &&
         (!out.has_excluded || Subtrees(out.excluded).AreWellFormed());
}

bool NameIsWithin(const Constraints& constraints, const GeneralName& name, uint32_t& checks_left) {
  if (constraints.has_excluded) {
    const Match match = Subtrees(constraints.excluded).Find(name, true, checks_left);
    if (match == Match::kWithin || match == Match::kUnknown) {
      return false;
    }
    // An excluded name may be spelled in another way: none of that form passes unless its bytes
    // are of another country or organization, which cannot be told from here.
    if (match == Match::kOutside && name.form == Form::kDirectory) {
      return false;
    }
  }
  if (constraints.has_permitted) {
    const Match match = Subtrees(constraints.permitted).Find(name, false, checks_left);
    return match == Match::kWithin || match == Match::kOtherForm;
  }
  return true;
}

}  // namespace

bool WithinConstraints(std::span<const uint8_t> bytes, const mbedtls_x509_crt& certificate,
                       uint32_t& checks_left) {
  Constraints constraints;
  if (!Read(bytes, constraints)) {
    return false;
  }
  GeneralName subject{Form::kDirectory, {certificate.subject_raw.p, certificate.subject_raw.len}};
  std::span<const uint8_t> rdns;
  if (ReadRdns(subject.value, rdns) && !rdns.empty() &&
      !NameIsWithin(constraints, subject, checks_left)) {
    return false;
  }
  if (!mbedtls_x509_crt_has_ext_type(&certificate, MBEDTLS_X509_EXT_SUBJECT_ALT_NAME)) {
    return true;
  }
  for (const mbedtls_x509_sequence* at = &certificate.subject_alt_names; at != nullptr;
       at = at->next) {
    if (at->buf.p == nullptr) {
      continue;
    }
    const int form = at->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK;
    const GeneralName name{static_cast<Form>(form), {at->buf.p, at->buf.len}};
    if (form > 8 || !NameIsWithin(constraints, name, checks_left)) {
      return false;
    }
    const OtherName other = name.form == Form::kOther ? ReadOtherName(name.value) : OtherName();
    if (const std::string_view domain = other.domain();
        !domain.empty() && !NameIsWithin(constraints, {Form::kDns, AsBytes(domain)}, checks_left)) {
      return false;
    }
  }
  return true;
}

}  // namespace gh::crypto
