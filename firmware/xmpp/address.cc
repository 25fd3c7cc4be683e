#include "firmware/xmpp/address.h"

#include <algorithm>

#include "firmware/xmpp/unicode.h"
#include "hal/rt/ascii.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kNotInLocal = "\"&'/:<>@";
constexpr Error kBad{ErrorCode::kMalformed, "not an XMPP address"};
constexpr Error kLong{ErrorCode::kTooLarge, "the XMPP address is too long"};

// Nearly all addresses are ASCII, where nothing composes or reorders and every visible character
// is allowed; false: whoever looks closer decides.
template <uint32_t N>
bool PrepareAscii(std::string_view text, PartKind kind, FixedString<N>& out) {
  const bool may_encode = kind == PartKind::kDomain && text.find("--") != std::string_view::npos;
  if (text.empty() || text.size() > N || may_encode) {
    return false;
  }
  char bytes[N];
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool is_visible = c > ' ' && c < 0x7F;
    const bool is_refused =
        kind == PartKind::kLocal && kNotInLocal.find(c) != std::string_view::npos;
    if (!is_visible || is_refused) {
      return false;
    }
    bytes[i] = kind == PartKind::kResource ? c : AsciiLower(c);
  }
  out.Clear();
  return out.Append(std::string_view(bytes, text.size()));
}

template <uint32_t N>
Result<void> Prepare(std::string_view text, PartKind kind, FixedString<N>& out) {
  if (PrepareAscii(text, kind, out)) {
    return Ok();
  }
  out.Clear();
  CodeText codes;
  if (!codes.Read(text, kind)) {
    return text.size() > kCodesMax ? kLong : kBad;
  }
  if (codes.codes().empty() || !codes.IsAllowed(kind) ||
      (kind == PartKind::kLocal && codes.HasRightToLeft() && !codes.IsOneDirection())) {
    return kBad;
  }
  char bytes[N];
  size_t size = 0;
  for (const uint32_t code : codes.codes()) {
    if (!AppendCode(code, bytes, size)) {
      return kLong;
    }
  }
  return out.Append(std::string_view(bytes, size)) ? Ok() : Result<void>(kLong);
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

// Calls `each` with the labels of a domain until it says no.
template <typename Each>
bool ForLabels(std::string_view domain, const Each& each) {
  for (;;) {
    const size_t dot = domain.find('.');
    if (!each(domain.substr(0, dot))) {
      return false;
    }
    if (dot == std::string_view::npos) {
      return true;
    }
    domain.remove_prefix(dot + 1);
  }
}

// Labels of a domain as RFC 7622 wants them: none in the form that DNS has; where one goes from
// right to left, all of one direction.
Result<void> PrepareLabels(std::string_view domain, FixedString<kDomainMax>& out) {
  FixedString<kDomainMax> whole;
  bool has_right_to_left = false;
  const bool is_good = ForLabels(domain, [&](std::string_view label) {
    FixedString<kDomainMax> decoded;
    const bool is_other = LabelFromDns(label, decoded) && IsDomain(decoded.view());
    const std::string_view its = is_other ? decoded.view() : label;
    FixedString<kLabelMax> encoded;
    CodeText codes;
    const bool fits =
        LabelForDns(its, encoded) && codes.Read(its, PartKind::kDomain) && !codes.BeginsWithMark();
    has_right_to_left = has_right_to_left || (fits && codes.HasRightToLeft());
    return fits && (whole.empty() || whole.Append('.')) && whole.Append(its);
  });
  const auto is_one_direction = [](std::string_view label) {
    CodeText codes;
    return codes.Read(label, PartKind::kDomain) && codes.IsOneDirection();
  };
  if (!is_good || (has_right_to_left && !ForLabels(whole.view(), is_one_direction))) {
    return whole.truncated() ? kLong : kBad;
  }
  out.Assign(whole.view());
  return Ok();
}

}  // namespace

Result<void> PrepareLocal(std::string_view text, FixedString<kLocalMax>& out) {
  return Prepare(text, PartKind::kLocal, out);
}

Result<void> PrepareResource(std::string_view text, FixedString<kResourceMax>& out) {
  return Prepare(text, PartKind::kResource, out);
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
  constexpr Error kNone{ErrorCode::kMalformed, "not a domain name"};
  if (PrepareAscii(text, PartKind::kDomain, out)) {
    return IsDomain(out.view()) ? Ok() : Result<void>(kNone);
  }
  FixedString<kDnsDomainMax> mapped;  // it is measured when its labels are themselves
  GH_TRY(Prepare(text, PartKind::kDomain, mapped));
  return IsDomain(mapped.view()) ? PrepareLabels(mapped.view(), out) : Result<void>(kNone);
}

bool IsOldForm(std::string_view kept, Address& now) {
  if (kept.find("xn--") == std::string_view::npos) {
    return false;
  }
  const auto parsed = Address::Parse(kept);
  if (!parsed.ok() || parsed->full() == kept) {
    return false;
  }
  now = *parsed;
  return true;
}

bool DomainForDns(std::string_view domain, FixedString<kDnsDomainMax>& out) {
  out.Clear();
  return ForLabels(domain, [&](std::string_view label) {
    FixedString<kLabelMax> encoded;
    return LabelForDns(label, encoded) && (out.empty() || out.Append('.')) &&
           out.Append(encoded.view());
  });
}

Result<Address> Address::Parse(std::string_view text) {
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
