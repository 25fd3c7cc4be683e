// Text of addresses as code points: UTF-8, what PRECIS makes of it (RFC 8264, RFC 8265): width and
// case mapped, Unicode's form C, properties with their contextual rules (RFC 5892 appendix A), the
// Bidi rule (RFC 5893); and labels of domains for DNS (RFC 5891, RFC 3492).
//
// Fault model: the text is anybody's. It is never longer than kCodesMax code points, decomposed.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/xmpp/limits.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::xmpp {

enum class PartKind : uint8_t { kLocal, kDomain, kResource };

// A part of an address as code points.
class CodeText {
 public:
  // False: no UTF-8 (RFC 3629), or too many. Mapped as the kind wants it, in form C.
  bool Read(std::string_view text, PartKind kind);
  // Whether all of it may be in such a part: properties and what is beside them.
  bool IsAllowed(PartKind kind) const;
  // The Bidi rule holds, or nothing in it goes from right to left.
  bool IsOneDirection() const;
  bool HasRightToLeft() const;
  bool BeginsWithMark() const;
  std::span<const uint32_t> codes() const { return {codes_.data(), count_}; }

 private:
  bool Append(uint32_t code);
  bool AppendDecomposed(uint32_t code);
  void Compose();
  bool FitsContext(uint32_t at) const;
  bool JoinsAcross(uint32_t at) const;

  std::array<uint32_t, kCodesMax> codes_;
  uint32_t count_ = 0;
};

// One code point off the front of `text`; false: no UTF-8.
bool NextCode(std::string_view& text, uint32_t& code);
// False: there is no room.
bool AppendCode(uint32_t code, std::span<char> out, size_t& size);

// A label between dots: what "xn--..." stands for, or that form of what is not ASCII. False: it has
// none that comes back as the same (RFC 5891 section 5.4), or it is too long.
bool LabelFromDns(std::string_view label, FixedString<kDomainMax>& out);
bool LabelForDns(std::string_view label, FixedString<kLabelMax>& out);

}  // namespace gh::xmpp
