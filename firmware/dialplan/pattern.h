// Patterns of aliases: exact, prefix, suffix, or a regular expression; and what a match makes of
// the alias. Letters match in either case, as aliases do.
//
// A regular expression must match the whole alias. It is compiled to a small program and run on all
// its states at once (Thompson, Pike): time is at most instructions x characters, whatever the
// pattern and the alias are. There is no backtracking, so there are no back-references; of
// look-ahead there is "(?!...)" at the very beginning: "does not begin like that".
//
//   .  [a-z]  [^0-9]  \d \D \w \W \s \S  (...)  (?:...)  |  *  +  ?  {n} {n,} {n,m}  ^  $
//
// A pattern that is too large, nested too deep or not well formed is refused when it is compiled.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "firmware/dialplan/limits.h"
#include "firmware/dialplan/pattern_key.h"
#include "hal/rt/arena.h"
#include "hal/rt/bytes.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::dialplan {

enum class PatternType : uint8_t { kExact, kPrefix, kSuffix, kRegex };
enum class PatternBehavior : uint8_t { kStrip, kLeave, kReplace };

struct Instruction {
  enum class Op : uint8_t { kByte, kAny, kClass, kSplit, kJump, kSave, kBegin, kEnd, kMatch };
  Op op = Op::kMatch;
  uint8_t value = 0;   // kByte: the character, lower case; kSave: the slot; kSplit: 1: jump first
  int16_t offset = 0;  // kSplit, kJump: from here; kClass: of the set in the store
};

struct CharacterSet {
  std::array<uint32_t, 8> bits = {};
  void Add(uint8_t c) { bits[c / 32] |= uint32_t{1} << c % 32; }
  bool Has(uint8_t c) const { return (bits[c / 32] >> c % 32 & 1) != 0; }
};

// Where the compiled expressions are, and the place they are run in.
class PatternStore {
 public:
  explicit PatternStore(Arena& arena, uint32_t instruction_total = kInstructionTotal,
                        uint32_t class_total = kClassTotal);
  void Clear() { instruction_count_ = class_count_ = 0; }  // no Pattern of before may be used
  uint32_t instruction_count() const { return instruction_count_; }

 private:
  friend class Pattern;
  friend class RegexCompiler;
  friend class RegexRun;

  // Whether an instruction that is one character is this one, which is lower case.
  bool Takes(const Instruction& one, uint8_t c) const {
    using Op = Instruction::Op;
    return one.op == Op::kAny || (one.op == Op::kByte && one.value == c) ||
           (one.op == Op::kClass && classes_[static_cast<size_t>(one.offset)].Has(c));
  }

  struct Threads {  // states in order of preference, each once
    std::span<uint16_t> dense;
    std::span<uint16_t> sparse;
    std::span<uint16_t> slots;  // kGroupMax * 2 for each state
    uint32_t count = 0;
  };
  struct Pending {  // of following jumps: a state, or a slot to be put back
    uint16_t state = 0;
    uint16_t slot = UINT16_MAX;
    uint16_t value = 0;
  };

  std::span<Instruction> instructions_;
  std::span<CharacterSet> classes_;
  uint32_t instruction_count_ = 0;
  uint32_t class_count_ = 0;
  std::array<Threads, 2> threads_;
  std::span<Pending> pending_;
};

class Pattern {
 public:
  Pattern() = default;
  // kMalformed, kTooLarge, kUnsupported, kExhausted (the store is full), with what was wrong.
  static Result<Pattern> Compile(PatternStore& store, PatternType type, std::string_view text);
  bool Matches(std::string_view alias) const;
  PatternKey Key() const;
  // What `behavior` makes of an alias that matches; false when it does not match or does not fit.
  // Strip takes the prefix or suffix away (nothing of an exact or regular match is left);
  // in a replacement for a regular expression \0 to \9 are its groups.
  bool Apply(std::string_view alias, PatternBehavior behavior, std::string_view replacement,
             FixedString<kAliasBytesMax>& out) const;
  PatternType type() const { return type_; }
  std::string_view text() const { return text_.view(); }

 private:
  bool BeginsAndEndsAsItMust(std::string_view alias) const;

  PatternStore* store_ = nullptr;
  FixedString<kPatternBytesMax> text_;  // lower case, unless it is a regular expression
  uint32_t first_ = 0;                  // of the program
  uint16_t size_ = 0;
  uint16_t refused_size_ = 0;  // of the program for "(?!...)", which comes first
  // Of a regular expression: instructions at its ends that every match goes through, and
  // characters.
  uint16_t head_size_ = 0;
  uint16_t tail_size_ = 0;
  uint16_t tail_characters_ = 0;
  uint16_t least_ = 0;  // in the longer of both
  PatternType type_ = PatternType::kExact;
};

}  // namespace gh::dialplan
