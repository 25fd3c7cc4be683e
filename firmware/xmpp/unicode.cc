#include "firmware/xmpp/unicode.h"

#include <algorithm>
#include <iterator>

#include "hal/rt/ascii.h"
#include "hal/rt/utf8.h"

namespace gh::xmpp {
namespace {

// Of RFC 8264 section 8; what is in no range is disallowed.
enum class Property : uint8_t { kNo, kValid, kFree, kArabicDigit, kExtendedDigit, kContext };
// Of RFC 5893; what is in no range is kL.
enum class Direction : uint8_t { kL, kR, kAL, kAN, kEN, kES, kCS, kET, kON, kBN, kNSM };
enum class Joining : uint8_t { kNone, kDual, kLeft, kRight, kTransparent };
enum class Script : uint8_t { kOther, kGreek, kHebrew, kKana };  // kKana: and Han

template <typename Value>
struct Range {
  uint32_t first;
  uint32_t last;
  Value value;
};
using PropertyRange = Range<Property>;
using CombiningRange = Range<uint8_t>;
using DirectionRange = Range<Direction>;
using JoiningRange = Range<Joining>;
using ScriptRange = Range<Script>;
struct Mapping {
  uint32_t from;
  uint32_t to;
};
struct Decomposition {
  uint32_t from;
  uint32_t first;
  uint32_t second;  // 0: none
};
struct Composition {
  uint32_t first;
  uint32_t second;
  uint32_t to;
};

#include "firmware/xmpp/precis_tables.inc"

template <typename Value, size_t N>
Value ValueOf(const Range<Value> (&ranges)[N], uint32_t code) {
  const auto* at =
      std::upper_bound(std::begin(ranges), std::end(ranges), code,
                       [](uint32_t c, const Range<Value>& range) { return c < range.first; });
  return at != std::begin(ranges) && code <= (at - 1)->last ? (at - 1)->value : Value{};
}

uint8_t ClassOf(uint32_t code) { return code < 0x300 ? uint8_t{0} : ValueOf(kCombining, code); }

uint32_t Mapped(uint32_t code) {
  if (code < 0x80) {
    return static_cast<uint8_t>(AsciiLower(static_cast<char>(code)));
  }
  const Mapping* at = std::lower_bound(std::begin(kMapped), std::end(kMapped), code,
                                       [](const Mapping& m, uint32_t c) { return m.from < c; });
  return at != std::end(kMapped) && at->from == code ? at->to : code;
}

bool IsSpace(uint32_t code) {
  return code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x202F ||
         code == 0x205F || code == 0x3000;
}

// Syllables of Hangul are composed by counting (Unicode 3.12).
constexpr uint32_t kSyllable = 0xAC00, kLead = 0x1100, kVowel = 0x1161, kTail = 0x11A7;
constexpr uint32_t kLeads = 19, kVowels = 21, kTails = 28;

// 0: the two stay two.
uint32_t Composed(uint32_t first, uint32_t second) {
  if (first - kLead < kLeads && second - kVowel < kVowels) {
    return kSyllable + ((first - kLead) * kVowels + (second - kVowel)) * kTails;
  }
  const bool is_open =
      first - kSyllable < kLeads * kVowels * kTails && (first - kSyllable) % kTails == 0;
  if (is_open && second > kTail && second - kTail < kTails) {
    return first + (second - kTail);
  }
  const Composition* at =
      std::lower_bound(std::begin(kComposed), std::end(kComposed), Mapping{first, second},
                       [](const Composition& c, Mapping m) {
                         return c.first != m.from ? c.first < m.from : c.second < m.to;
                       });
  const bool is_it = at != std::end(kComposed) && at->first == first && at->second == second;
  return is_it ? at->to : 0;
}

constexpr std::string_view kNotInLocal = "\"&'/:<>@";

bool IsRightToLeft(Direction d) {
  return d == Direction::kR || d == Direction::kAL || d == Direction::kAN;
}

}  // namespace

bool NextCode(std::string_view& text, uint32_t& code) {
  const size_t size = Utf8Size(text);
  if (size == 0) {
    return false;
  }
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(text[at]); };
  code = size == 1 ? byte(0) : byte(0) & (0x7Fu >> size);
  for (size_t i = 1; i < size; ++i) {
    code = code << 6 | (byte(i) & 0x3Fu);
  }
  text.remove_prefix(size);
  return true;
}

bool AppendCode(uint32_t code, std::span<char> out, size_t& size) {
  const uint32_t tail = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  if (out.size() - size < tail + 1) {
    return false;
  }
  out[size++] = tail == 0 ? static_cast<char>(code)
                          : static_cast<char>((0xFF00u >> (tail + 1) & 0xFFu) | code >> (6 * tail));
  for (uint32_t i = tail; i > 0; --i) {
    out[size++] = static_cast<char>(0x80 | (code >> (6 * (i - 1)) & 0x3F));
  }
  return true;
}

bool CodeText::Read(std::string_view text, PartKind kind) {
  count_ = 0;
  while (!text.empty()) {
    uint32_t code = 0;
    if (!NextCode(text, code)) {
      return false;
    }
    // The one capital whose small letter is two code points.
    if (kind != PartKind::kResource && code == 0x130) {
      if (!Append('i') || !Append(0x307)) {
        return false;
      }
      continue;
    }
    const bool is_space = kind == PartKind::kResource && IsSpace(code);
    code = is_space ? ' ' : kind == PartKind::kResource ? code : Mapped(code);
    if (!AppendDecomposed(code)) {
      return false;
    }
  }
  Compose();
  return true;
}

// In canonical order: a mark goes before those of a higher class.
bool CodeText::Append(uint32_t code) {
  if (count_ == kCodesMax) {
    return false;
  }
  uint32_t at = count_++;
  const uint8_t its_class = ClassOf(code);
  for (; its_class != 0 && at > 0 && ClassOf(codes_[at - 1]) > its_class; --at) {
    codes_[at] = codes_[at - 1];
  }
  codes_[at] = code;
  return true;
}

bool CodeText::AppendDecomposed(uint32_t code) {
  if (code - kSyllable < kLeads * kVowels * kTails) {
    const uint32_t index = code - kSyllable;
    const uint32_t tail = index % kTails;
    return Append(kLead + index / (kVowels * kTails)) &&
           Append(kVowel + index / kTails % kVowels) && (tail == 0 || Append(kTail + tail));
  }
  // What is behind never decomposes further (the tables' maker sees to that), what is before may.
  std::array<uint32_t, 4> behind;
  size_t depth = 0;
  while (code >= 0xC0) {
    const Decomposition* at =
        std::lower_bound(std::begin(kDecomposed), std::end(kDecomposed), code,
                         [](const Decomposition& d, uint32_t c) { return d.from < c; });
    if (at == std::end(kDecomposed) || at->from != code) {
      break;
    }
    code = at->first;
    if (at->second != 0) {
      GH_ASSERT(depth < behind.size());
      behind[depth++] = at->second;
    }
  }
  bool is_in = Append(code);
  while (is_in && depth > 0) {
    is_in = Append(behind[--depth]);
  }
  return is_in;
}

void CodeText::Compose() {
  uint32_t kept = 0;
  uint32_t starter = kCodesMax;  // where the last one is; none
  uint8_t before = 0;
  for (uint32_t i = 0; i < count_; ++i) {
    const uint32_t code = codes_[i];
    const uint8_t its_class = ClassOf(code);
    const bool is_free =
        starter < kept && (kept == starter + 1 || (before != 0 && before < its_class));
    const uint32_t both = is_free ? Composed(codes_[starter], code) : 0;
    if (both != 0) {
      codes_[starter] = both;
      continue;
    }
    if (its_class == 0) {
      starter = kept;
    }
    before = its_class;
    codes_[kept++] = code;
  }
  count_ = kept;
}

bool CodeText::IsAllowed(PartKind kind) const {
  bool has_arabic = false;
  bool has_extended = false;
  for (uint32_t i = 0; i < count_; ++i) {
    const uint32_t code = codes_[i];
    const Property property = ValueOf(kProperties, code);
    has_arabic = has_arabic || property == Property::kArabicDigit;
    has_extended = has_extended || property == Property::kExtendedDigit;
    if (property == Property::kNo || (property == Property::kContext && !FitsContext(i)) ||
        (property == Property::kFree && kind != PartKind::kResource)) {
      return false;
    }
    if (kind == PartKind::kLocal && code < 0x80 &&
        kNotInLocal.find(static_cast<char>(code)) != std::string_view::npos) {
      return false;
    }
  }
  return !(has_arabic && has_extended);
}

// RFC 5892 appendix A.1 to A.7.
bool CodeText::FitsContext(uint32_t at) const {
  constexpr uint8_t kVirama = 9;
  const uint32_t before = at > 0 ? codes_[at - 1] : 0;
  const uint32_t after = at + 1 < count_ ? codes_[at + 1] : 0;
  switch (codes_[at]) {
    case 0x200C:  // zero width non-joiner
      return ClassOf(before) == kVirama || JoinsAcross(at);
    case 0x200D:  // zero width joiner
      return ClassOf(before) == kVirama;
    case 0xB7:  // middle dot
      return before == 'l' && after == 'l';
    case 0x375:  // Greek lower numeral sign
      return ValueOf(kScripts, after) == Script::kGreek;
    case 0x5F3:  // Hebrew geresh, gershayim
    case 0x5F4:
      return ValueOf(kScripts, before) == Script::kHebrew;
    case 0x30FB:  // Katakana middle dot
      return std::any_of(codes_.begin(), codes_.begin() + count_,
                         [](uint32_t c) { return ValueOf(kScripts, c) == Script::kKana; });
    default:
      return false;
  }
}

// Letters that would join are on both sides, marks between them.
bool CodeText::JoinsAcross(uint32_t at) const {
  uint32_t before = at;
  Joining left = Joining::kTransparent;
  while (left == Joining::kTransparent && before > 0) {
    left = ValueOf(kJoining, codes_[--before]);
  }
  uint32_t after = at + 1;
  Joining right = Joining::kTransparent;
  while (right == Joining::kTransparent && after < count_) {
    right = ValueOf(kJoining, codes_[after++]);
  }
  return (left == Joining::kDual || left == Joining::kLeft) &&
         (right == Joining::kDual || right == Joining::kRight);
}

bool CodeText::HasRightToLeft() const {
  return std::any_of(codes_.begin(), codes_.begin() + count_,
                     [](uint32_t c) { return IsRightToLeft(ValueOf(kDirections, c)); });
}

bool CodeText::BeginsWithMark() const {
  return count_ > 0 && ValueOf(kDirections, codes_[0]) == Direction::kNSM;
}

// RFC 5893 section 2, its six conditions.
bool CodeText::IsOneDirection() const {
  const Direction first = count_ > 0 ? ValueOf(kDirections, codes_[0]) : Direction::kON;
  const bool from_right = first == Direction::kR || first == Direction::kAL;
  if (!from_right && first != Direction::kL) {
    return false;
  }
  bool ends_well = false;
  bool has_european = false;
  bool has_arabic = false;
  for (uint32_t i = 0; i < count_; ++i) {
    const Direction d = ValueOf(kDirections, codes_[i]);
    const bool is_letter =
        from_right ? d == Direction::kR || d == Direction::kAL : d == Direction::kL;
    const bool is_number = d == Direction::kEN || (from_right && d == Direction::kAN);
    const bool is_neutral = d >= Direction::kES;
    if (!is_letter && !is_number && !is_neutral) {
      return false;
    }
    has_european = has_european || d == Direction::kEN;
    has_arabic = has_arabic || d == Direction::kAN;
    if (d != Direction::kNSM) {
      ends_well = is_letter || is_number;
    }
  }
  return ends_well && !(from_right && has_european && has_arabic);
}

}  // namespace gh::xmpp
