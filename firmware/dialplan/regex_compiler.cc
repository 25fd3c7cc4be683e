#include "firmware/dialplan/regex_compiler.h"

#include <algorithm>

#include "hal/rt/ascii.h"

namespace gh::dialplan {
namespace {

using Op = Instruction::Op;

bool IsDigit(uint8_t c) { return c >= '0' && c <= '9'; }
bool IsWord(uint8_t c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool IsBlank(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Both cases of a letter.
void AddFolded(CharacterSet& set, uint8_t c) {
  set.Add(c);
  if (c >= 'a' && c <= 'z') {
    set.Add(static_cast<uint8_t>(c - 'a' + 'A'));
  } else if (c >= 'A' && c <= 'Z') {
    set.Add(static_cast<uint8_t>(c - 'A' + 'a'));
  }
}

// \d, \w, \s and their opposites; false: not one of them.
bool AddNamed(CharacterSet& set, char name) {
  const char lower = static_cast<char>(name | 0x20);
  if (lower != 'd' && lower != 'w' && lower != 's') {
    return false;
  }
  const bool inverse = name != lower;
  for (uint32_t c = 0; c < 256; ++c) {
    const auto byte = static_cast<uint8_t>(c);
    const bool in = lower == 'd' ? IsDigit(byte) : lower == 'w' ? IsWord(byte) : IsBlank(byte);
    if (in != inverse) {
      set.Add(byte);
    }
  }
  return true;
}

uint8_t Lower(char c) { return static_cast<uint8_t>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); }

}  // namespace

Result<void> RegexCompiler::Emit(Instruction instruction) { return Insert(size_, instruction); }

// Everything from `at` on moves by one: jumps inside it are relative and stay right.
Result<void> RegexCompiler::Insert(uint32_t at, Instruction instruction) {
  if (size_ + 1 >= kInstructionMax) {  // one is kept for kMatch
    return Error(ErrorCode::kTooLarge, "the pattern is too large");
  }
  std::copy_backward(code_.begin() + at, code_.begin() + size_, code_.begin() + size_ + 1);
  code_[at] = instruction;
  ++size_;
  return Ok();
}

Result<void> RegexCompiler::Atom(Instruction instruction) {
  Group& group = groups_[depth_];
  group.atom = static_cast<uint16_t>(size_);
  group.has_atom = true;
  return Emit(instruction);
}

bool RegexCompiler::TakeWord(std::string_view word) {
  const bool is = text_.substr(at_).starts_with(word);
  at_ += is ? word.size() : 0;
  return is;
}

bool RegexCompiler::TakeNumber(uint32_t& out) {
  const size_t begin = at_;
  out = 0;
  while (!at_end() && IsDigit(static_cast<uint8_t>(text_[at_])) && at_ - begin < 4) {
    out = out * 10 + static_cast<uint32_t>(text_[at_++] - '0');
  }
  return at_ != begin;
}

Result<void> RegexCompiler::Open() {
  if (depth_ == kNestingMax) {
    return Error(ErrorCode::kTooLarge, "parentheses are nested too deep");
  }
  uint8_t slot = 0;
  if (!TakeWord("?:")) {
    if (Take('?')) {
      return Error(ErrorCode::kUnsupported,
                   "of (?...) there is (?:...), and (?!...) at the beginning");
    }
    if (capture_count_ < kGroupMax) {
      slot = static_cast<uint8_t>(capture_count_++ * 2);
    }
  }
  const auto begin = static_cast<uint16_t>(size_);
  if (slot != 0) {
    GH_TRY(Emit({Op::kSave, slot, 0}));
  }
  const auto inside = static_cast<uint16_t>(size_);
  groups_[++depth_] = {begin, inside, inside, false, slot, 0};
  return Ok();
}

// The jumps out of its alternatives go to where it ends.
Result<void> RegexCompiler::EndGroup(const Group& group) {
  for (uint32_t i = 0; i < group.jump_count; ++i) {
    const uint16_t at = jumps_[--jump_count_];
    code_[at].offset = static_cast<int16_t>(size_ - at);
  }
  if (group.slot != 0) {
    GH_TRY(Emit({Op::kSave, static_cast<uint8_t>(group.slot + 1), 0}));
  }
  return Ok();
}

Result<void> RegexCompiler::Close() {
  if (depth_ == 0) {
    return Error(ErrorCode::kMalformed, "a ')' without its '('");
  }
  const Group group = groups_[depth_--];
  GH_TRY(EndGroup(group));
  groups_[depth_].atom = group.begin;
  groups_[depth_].has_atom = true;
  return Ok();
}

// "a|b": split to a or b; a, jump to the end; b.
Result<void> RegexCompiler::Alternate() {
  Group& group = groups_[depth_];
  const uint32_t count = size_ - group.alternative;
  GH_TRY(Insert(group.alternative, {Op::kSplit, 0, static_cast<int16_t>(count + 2)}));
  GH_TRY(Emit({Op::kJump, 0, 0}));
  jumps_[jump_count_++] = static_cast<uint16_t>(size_ - 1);
  ++group.jump_count;
  group.alternative = static_cast<uint16_t>(size_);
  group.has_atom = false;
  return Ok();
}

// The last atom, `least` to `most` times; endless: `least` times or more.
Result<void> RegexCompiler::Quantify(uint32_t least, uint32_t most, bool endless) {
  Group& group = groups_[depth_];
  if (!group.has_atom) {
    return Error(ErrorCode::kMalformed, "nothing stands before the repetition");
  }
  const uint8_t is_lazy = Take('?') ? 1 : 0;
  const uint32_t at = group.atom;
  const uint32_t count = size_ - at;
  group.has_atom = false;
  std::array<Instruction, kInstructionMax> atom;
  std::copy_n(code_.begin() + at, count, atom.begin());
  size_ = at;
  const auto put = [&]() -> Result<void> {
    for (uint32_t i = 0; i < count; ++i) {
      GH_TRY(Emit(atom[i]));
    }
    return Ok();
  };
  for (uint32_t i = 0; i < least; ++i) {
    GH_TRY(put());
  }
  if (endless) {  // L: split L1 or out; atom; jump L
    GH_TRY(Emit({Op::kSplit, is_lazy, static_cast<int16_t>(count + 2)}));
    GH_TRY(put());
    return Emit({Op::kJump, 0, static_cast<int16_t>(-static_cast<int32_t>(count) - 1)});
  }
  for (uint32_t i = least; i < most; ++i) {  // each may end it all
    const auto rest = static_cast<int16_t>((most - i) * (count + 1));
    GH_TRY(Emit({Op::kSplit, is_lazy, rest}));
    GH_TRY(put());
  }
  return Ok();
}

Result<void> RegexCompiler::Counted() {
  uint32_t least = 0;
  uint32_t most = 0;
  const bool has_least = TakeNumber(least);
  const bool comma = Take(',');
  const bool has_most = comma && TakeNumber(most);
  if (!has_least || !Take('}')) {
    return Error(ErrorCode::kMalformed, "expected {n}, {n,} or {n,m}");
  }
  most = comma ? most : least;
  if (least > kRepeatMax || most > kRepeatMax || (has_most && most < least)) {
    return Error(ErrorCode::kTooLarge, "a repetition is 0 to 100, the smaller number first");
  }
  return Quantify(least, most, comma && !has_most);
}

Result<void> RegexCompiler::AddSet(const CharacterSet& set) {
  if (store_.class_count_ == store_.classes_.size()) {
    return Error(ErrorCode::kExhausted, "too many character sets in all patterns");
  }
  store_.classes_[store_.class_count_] = set;
  return Atom({Op::kClass, 0, static_cast<int16_t>(store_.class_count_++)});
}

Result<void> RegexCompiler::Escape() {
  if (at_end()) {
    return Error(ErrorCode::kMalformed, "nothing stands behind the '\\'");
  }
  const char c = text_[at_++];
  CharacterSet set;
  if (AddNamed(set, c)) {
    return AddSet(set);
  }
  if (IsWord(static_cast<uint8_t>(c))) {
    return Error(ErrorCode::kUnsupported, "of \\x there are \\d \\w \\s \\D \\W \\S and signs");
  }
  return Atom({Op::kByte, Lower(c), 0});
}

// One character, range or name inside [...]. `last` is the character a range may begin with.
Result<void> RegexCompiler::SetItem(CharacterSet& set, uint32_t& last) {
  constexpr uint32_t kNone = 256;
  char c = text_[at_++];
  if (c == '\\') {
    if (at_end()) {
      return Error(ErrorCode::kMalformed, "nothing stands behind the '\\'");
    }
    c = text_[at_++];
    if (AddNamed(set, c)) {
      last = kNone;
      return Ok();
    }
  } else if (c == '-' && last != kNone && !at_end() && text_[at_] != ']') {
    c = text_[at_++];
    if (c == '\\' && !at_end()) {
      c = text_[at_++];
    }
    if (static_cast<uint8_t>(c) < last) {
      return Error(ErrorCode::kMalformed, "a range goes from the smaller character to the larger");
    }
    for (uint32_t i = last; i <= static_cast<uint8_t>(c); ++i) {
      AddFolded(set, static_cast<uint8_t>(i));
    }
    last = kNone;
    return Ok();
  }
  last = static_cast<uint8_t>(c);
  AddFolded(set, static_cast<uint8_t>(c));
  return Ok();
}

Result<void> RegexCompiler::Set() {
  CharacterSet set;
  const bool inverse = Take('^');
  uint32_t last = 256;
  bool first = true;
  while (true) {
    if (at_end()) {
      return Error(ErrorCode::kMalformed, "a '[' without its ']'");
    }
    if (!first && Take(']')) {
      break;
    }
    first = false;
    GH_TRY(SetItem(set, last));
  }
  for (uint32_t& bits : set.bits) {
    bits = inverse ? ~bits : bits;
  }
  return AddSet(set);
}

Result<void> RegexCompiler::One() {
  const char c = text_[at_++];
  switch (c) {
    case '(':
      return Open();
    case ')':
      return Close();
    case '|':
      return Alternate();
    case '*':
      return Quantify(0, 0, true);
    case '+':
      return Quantify(1, 1, true);
    case '?':
      return Quantify(0, 1, false);
    case '{':
      return Counted();
    case '[':
      return Set();
    case '\\':
      return Escape();
    case '.':
      return Atom({Op::kAny, 0, 0});
    case '^':
      return Atom({Op::kBegin, 0, 0});
    case '$':
      return Atom({Op::kEnd, 0, 0});
    default:
      return Atom({Op::kByte, Lower(c), 0});
  }
}

Result<void> RegexCompiler::Run(uint32_t& size, uint32_t& refused_size) {
  refused_size = 0;
  bool is_refusing = TakeWord("(?!");
  groups_[0] = {};
  while (true) {
    if (is_refusing && depth_ == 0 && Take(')')) {
      GH_TRY(EndGroup(groups_[0]));
      GH_TRY(Emit({Op::kMatch, 0, 0}));
      refused_size = size_;
      is_refusing = false;
      groups_[0] = {};
      groups_[0].begin = groups_[0].alternative = static_cast<uint16_t>(size_);
      capture_count_ = 1;
      continue;
    }
    if (at_end()) {
      break;
    }
    GH_TRY(One());
  }
  if (depth_ != 0 || is_refusing) {
    return Error(ErrorCode::kMalformed, "a '(' without its ')'");
  }
  GH_TRY(EndGroup(groups_[0]));
  code_[size_++] = {Op::kMatch, 0, 0};
  if (store_.instructions_.size() - store_.instruction_count_ < size_) {
    return Error(ErrorCode::kExhausted, "too much in all patterns");
  }
  std::copy_n(code_.begin(), size_, store_.instructions_.begin() + store_.instruction_count_);
  store_.instruction_count_ += size_;
  size = size_;
  return Ok();
}

}  // namespace gh::dialplan
