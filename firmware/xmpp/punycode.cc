// Labels of domains that are not ASCII, and what DNS has in their place (RFC 3492, RFC 5891).
#include <algorithm>

#include "firmware/xmpp/unicode.h"
#include "hal/rt/ascii.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kPrefix = "xn--";
constexpr uint32_t kBase = 36, kLeast = 1, kMost = 26, kSkew = 38, kDamp = 700;
constexpr uint32_t kFirstBias = 72, kFirstCode = 0x80;

uint32_t Adapt(uint32_t delta, uint32_t count, bool is_first) {
  delta = is_first ? delta / kDamp : delta / 2;
  delta += delta / count;
  uint32_t k = 0;
  for (; delta > (kBase - kLeast) * kMost / 2; k += kBase) {
    delta /= kBase - kLeast;
  }
  return k + (kBase - kLeast + 1) * delta / (delta + kSkew);
}

uint32_t Threshold(uint32_t k, uint32_t bias) {
  return k <= bias ? kLeast : std::min(k - bias, kMost);
}

char DigitOf(uint32_t value) {
  return static_cast<char>(value < 26 ? 'a' + value : '0' + (value - 26));
}

uint32_t ValueOf(char digit) {
  const char c = AsciiLower(digit);
  return c >= 'a' && c <= 'z'   ? static_cast<uint32_t>(c - 'a')
         : c >= '0' && c <= '9' ? static_cast<uint32_t>(c - '0') + 26
                                : kBase;
}

bool Encode(std::span<const uint32_t> codes, FixedString<kLabelMax>& out) {
  uint32_t done = 0;
  for (const uint32_t code : codes) {
    done += code < 0x80 && out.Append(static_cast<char>(code)) ? 1 : 0;
  }
  const uint32_t basic = done;
  if (basic > 0) {
    out.Append('-');
  }
  uint32_t code = kFirstCode, delta = 0, bias = kFirstBias;
  while (done < codes.size() && !out.truncated()) {
    uint32_t next = UINT32_MAX;
    for (const uint32_t c : codes) {
      next = c >= code ? std::min(next, c) : next;
    }
    delta += (next - code) * (done + 1);  // 512 codes of 21 bits: no overflow
    code = next;
    for (const uint32_t c : codes) {
      delta += c < code ? 1 : 0;
      if (c != code) {
        continue;
      }
      uint32_t rest = delta;
      for (uint32_t k = kBase; rest >= Threshold(k, bias); k += kBase) {
        const uint32_t t = Threshold(k, bias);
        out.Append(DigitOf(t + (rest - t) % (kBase - t)));
        rest = (rest - t) / (kBase - t);
      }
      out.Append(DigitOf(rest));
      bias = Adapt(delta, done + 1, done == basic);
      delta = 0;
      ++done;
    }
    ++delta;
    ++code;
  }
  return !out.truncated();
}

// How many code points; 0: it is no punycode.
uint32_t Decode(std::string_view text, std::span<uint32_t, kLabelMax> out) {
  const size_t mark = text.rfind('-');
  uint32_t count = 0;
  for (; mark != std::string_view::npos && count < mark; ++count) {
    out[count] = static_cast<uint8_t>(text[count]);
  }
  text.remove_prefix(mark == std::string_view::npos ? 0 : mark + 1);
  uint64_t code = kFirstCode, at = 0;
  uint32_t bias = kFirstBias;
  while (!text.empty()) {
    const uint64_t before = at;
    uint64_t weight = 1;
    for (uint32_t k = kBase;; k += kBase) {
      const uint32_t digit = text.empty() ? kBase : ValueOf(text.front());
      if (digit == kBase || weight > UINT32_MAX) {
        return 0;
      }
      text.remove_prefix(1);
      at += digit * weight;
      if (digit < Threshold(k, bias)) {
        break;
      }
      weight *= kBase - Threshold(k, bias);
    }
    if (at > UINT32_MAX || count == out.size()) {
      return 0;
    }
    bias = Adapt(static_cast<uint32_t>(at - before), count + 1, before == 0);
    code += at / (count + 1);
    at %= count + 1;
    if (code >= 0x110000 || (code >= 0xD800 && code <= 0xDFFF)) {
      return 0;
    }
    std::copy_backward(out.begin() + at, out.begin() + count, out.begin() + count + 1);
    out[at++] = static_cast<uint32_t>(code);
    ++count;
  }
  return count;
}

}  // namespace

bool LabelForDns(std::string_view label, FixedString<kLabelMax>& out) {
  out.Clear();
  const bool is_ascii = std::all_of(label.begin(), label.end(),
                                    [](char c) { return static_cast<uint8_t>(c) < 0x80; });
  if (is_ascii) {
    return out.Append(label);
  }
  CodeText text;
  return out.Append(kPrefix) && text.Read(label, PartKind::kDomain) && Encode(text.codes(), out);
}

bool LabelFromDns(std::string_view label, FixedString<kDomainMax>& out) {
  out.Clear();
  if (label.size() > kLabelMax || !label.starts_with(kPrefix)) {
    return false;
  }
  std::array<uint32_t, kLabelMax> codes;
  const uint32_t count = Decode(label.substr(kPrefix.size()), codes);
  char bytes[4 * kLabelMax];
  size_t size = 0;
  for (uint32_t i = 0; i < count; ++i) {
    (void)AppendCode(codes[i], bytes, size);
  }
  const std::string_view decoded(bytes, size);
  CodeText text;
  FixedString<kLabelMax> again;
  return count > 0 && text.Read(decoded, PartKind::kDomain) && text.IsAllowed(PartKind::kDomain) &&
         LabelForDns(decoded, again) && again.view() == label && out.Append(decoded);
}

}  // namespace gh::xmpp
