#include "firmware/xmpp/address.h"

#include <algorithm>
#include <iterator>

#include "hal/rt/ascii.h"

namespace gh::xmpp {
namespace {

// Of RFC 8264 section 8; what is in no range is disallowed.
enum class Property : uint8_t { kNo, kValid, kFree, kArabicDigit, kExtendedDigit };
struct PropertyRange {
  uint32_t first;
  uint32_t last;
  Property property;
};
struct CombiningRange {
  uint32_t first;
  uint32_t last;
  uint8_t combining_class;
};
struct Mapping {
  uint32_t from;
  uint32_t to;
};

#include "firmware/xmpp/precis_tables.inc"

template <typename Range, size_t N>
const Range* FindRange(const Range (&ranges)[N], uint32_t code) {
  const Range* at =
      std::upper_bound(std::begin(ranges), std::end(ranges), code,
                       [](uint32_t c, const Range& range) { return c < range.first; });
  return at != std::begin(ranges) && code <= (at - 1)->last ? at - 1 : nullptr;
}

Property PropertyOf(uint32_t code) {
  const PropertyRange* range = FindRange(kProperties, code);
  return range != nullptr ? range->property : Property::kNo;
}

uint8_t CombiningClassOf(uint32_t code) {
  const CombiningRange* range = FindRange(kCombining, code);
  return range != nullptr ? range->combining_class : uint8_t{0};
}

uint32_t Mapped(uint32_t code) {
  if (code < 0x80) {
    return static_cast<uint8_t>(AsciiLower(static_cast<char>(code)));
  }
  const Mapping* at = std::lower_bound(std::begin(kMapped), std::end(kMapped), code,
                                       [](const Mapping& m, uint32_t c) { return m.from < c; });
  return at != std::end(kMapped) && at->from == code ? at->to : code;
}

bool Composes(uint32_t a, uint32_t b) {
  return std::binary_search(
      std::begin(kComposing), std::end(kComposing), Mapping{a, b},
      [](Mapping x, Mapping y) { return x.from != y.from ? x.from < y.from : x.to < y.to; });
}

// One code point off the front of `text`; false: no UTF-8 (RFC 3629).
bool Next(std::string_view& text, uint32_t& code) {
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(text[at]); };
  const uint8_t head = byte(0);
  const size_t size = head < 0x80   ? 1
                      : head < 0xC2 ? 0
                      : head < 0xE0 ? 2
                      : head < 0xF0 ? 3
                      : head < 0xF5 ? 4
                                    : 0;
  if (size == 0 || size > text.size()) {
    return false;
  }
  code = size == 1 ? head : head & (0x7Fu >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) {
      return false;
    }
    code = code << 6 | (byte(i) & 0x3Fu);
  }
  text.remove_prefix(size);
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  return code >= kLeast[size] && code < 0x110000 && (code < 0xD800 || code > 0xDFFF);
}

template <uint32_t N>
bool Append(FixedString<N>& out, uint32_t code) {
  char bytes[4];
  size_t size = 0;
  if (code < 0x80) {
    bytes[size++] = static_cast<char>(code);
  } else {
    const uint32_t tail = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    bytes[size++] = static_cast<char>((0xFF00u >> (tail + 1) & 0xFFu) | code >> (6 * tail));
    for (uint32_t i = tail; i > 0; --i) {
      bytes[size++] = static_cast<char>(0x80 | (code >> (6 * (i - 1)) & 0x3F));
    }
  }
  return out.Append(std::string_view(bytes, size));
}

// What goes before a code point, for rules about neighbours.
struct Neighbours {
  uint32_t code = 0;
  uint8_t combining_class = 0;
  bool has_arabic = false;
  bool has_extended = false;

  // Whether `next` may follow: in canonical order, in form C, digits of one kind.
  bool Take(uint32_t next, Property property) {
    const uint8_t its_class = CombiningClassOf(next);
    const bool in_order = its_class == 0 || combining_class <= its_class;
    const bool composes = next >= 0x80 && Composes(code, next);
    has_arabic = has_arabic || property == Property::kArabicDigit;
    has_extended = has_extended || property == Property::kExtendedDigit;
    code = next;
    combining_class = its_class;
    return in_order && !composes && !(has_arabic && has_extended);
  }
};

constexpr std::string_view kNotInLocal = "\"&'/:<>@";

enum class Kind : uint8_t { kLocal, kDomain, kResource };

// Nearly all addresses are ASCII, where nothing composes or reorders and every visible character
// is allowed; false: whoever looks closer decides.
template <uint32_t N>
bool PrepareAscii(std::string_view text, Kind kind, FixedString<N>& out) {
  if (text.empty() || text.size() > N) {
    return false;
  }
  char bytes[N];
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool is_visible = c > ' ' && c < 0x7F;
    const bool is_refused = kind == Kind::kLocal && kNotInLocal.find(c) != std::string_view::npos;
    if (!is_visible || is_refused) {
      return false;
    }
    bytes[i] = kind == Kind::kResource ? c : AsciiLower(c);
  }
  out.Clear();
  return out.Append(std::string_view(bytes, text.size()));
}

template <uint32_t N>
Result<void> Prepare(std::string_view text, Kind kind, FixedString<N>& out) {
  if (PrepareAscii(text, kind, out)) {
    return Ok();
  }
  constexpr Error kBad{ErrorCode::kMalformed, "not an XMPP address"};
  constexpr Error kLong{ErrorCode::kTooLarge, "the XMPP address is too long"};
  out.Clear();
  Neighbours before;
  while (!text.empty()) {
    uint32_t code = 0;
    if (!Next(text, code)) {
      return kBad;
    }
    if (kind != Kind::kResource) {
      code = Mapped(code);
    } else if (code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
               code == 0x202F || code == 0x205F || code == 0x3000) {
      code = ' ';
    }
    const Property property = code == ' ' ? Property::kFree : PropertyOf(code);
    if (property == Property::kNo || (property == Property::kFree && kind != Kind::kResource) ||
        !before.Take(code, property)) {
      return kBad;
    }
    if (kind == Kind::kLocal && code < 0x80 &&
        kNotInLocal.find(static_cast<char>(code)) != std::string_view::npos) {
      return kBad;
    }
    if (!Append(out, code)) {
      return kLong;
    }
  }
  return out.empty() ? Result<void>(kBad) : Ok();
}

// An address literal of IPv6 in brackets; what is in it is not looked into further.
bool IsLiteral(std::string_view text) {
  return text.size() > 2 && text.front() == '[' && text.back() == ']' &&
         text.substr(1, text.size() - 2).find_first_not_of("0123456789abcdefABCDEF:.") ==
             std::string_view::npos;
}

bool IsDomain(std::string_view text) {
  char before = '.';
  for (const char c : text) {
    const bool is_edge = c == '.' || c == '-';
    const bool is_ascii_other = static_cast<uint8_t>(c) < 0x80 && !is_edge &&
                                !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_';
    if (is_ascii_other || (is_edge && before == '.') || (c == '.' && before == '-')) {
      return false;
    }
    before = c;
  }
  return before != '.' && before != '-';
}

}  // namespace

Result<void> PrepareLocal(std::string_view text, FixedString<kLocalMax>& out) {
  return Prepare(text, Kind::kLocal, out);
}

Result<void> PrepareResource(std::string_view text, FixedString<kResourceMax>& out) {
  return Prepare(text, Kind::kResource, out);
}

Result<void> PrepareDomain(std::string_view text, FixedString<kDomainMax>& out) {
  if (!text.empty() && text.back() == '.') {
    text.remove_suffix(1);
  }
  if (IsLiteral(text)) {
    out.Clear();
    for (const char c : text) {
      out.Append(AsciiLower(c));
    }
    return out.truncated() ? Result<void>(ErrorCode::kTooLarge) : Ok();
  }
  GH_TRY(Prepare(text, Kind::kDomain, out));
  return IsDomain(out.view()) ? Ok()
                              : Result<void>(Error{ErrorCode::kMalformed, "not a domain name"});
}

Result<Address> Address::Parse(std::string_view text) {
  constexpr Error kBad{ErrorCode::kMalformed, "not an XMPP address"};
  const size_t slash = text.find('/');
  const std::string_view bare = text.substr(0, slash);
  const size_t at = bare.find('@');
  Address out;
  if (at != std::string_view::npos) {
    FixedString<kLocalMax> local;
    GH_TRY(PrepareLocal(bare.substr(0, at), local));
    out.local_size_ = static_cast<uint16_t>(local.size());
    out.text_.Append(local.view());
    out.text_.Append('@');
  }
  FixedString<kDomainMax> domain;
  GH_TRY(PrepareDomain(at == std::string_view::npos ? bare : bare.substr(at + 1), domain));
  out.text_.Append(domain.view());
  out.bare_size_ = static_cast<uint16_t>(out.text_.size());
  if (slash != std::string_view::npos) {
    FixedString<kResourceMax> resource;
    GH_TRY(PrepareResource(text.substr(slash + 1), resource));
    out.text_.Append('/');
    out.text_.Append(resource.view());
  }
  return out.text_.truncated() ? Result<Address>(kBad) : Result<Address>(std::move(out));
}

Address Address::Of(std::string_view local, std::string_view domain, std::string_view resource) {
  Address out;
  if (!local.empty()) {
    out.text_.Append(local);
    out.local_size_ = static_cast<uint16_t>(out.text_.size());
    out.text_.Append('@');
  }
  out.text_.Append(domain);
  out.bare_size_ = static_cast<uint16_t>(out.text_.size());
  if (!resource.empty()) {
    out.text_.Append('/');
    out.text_.Append(resource);
  }
  GH_ASSERT(!out.text_.truncated());
  return out;
}

}  // namespace gh::xmpp
