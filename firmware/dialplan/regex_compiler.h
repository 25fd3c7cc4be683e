// Compiles one regular expression (pattern.h) without recursion: atoms are runs of instructions
// with relative jumps, so a quantifier may move or copy the run before it. Groups that are open
// stand on a stack of fixed depth.
#pragma once

#include "firmware/dialplan/pattern.h"

namespace gh::dialplan {

class RegexCompiler {
 public:
  RegexCompiler(PatternStore& store, std::string_view text) : store_(store), text_(text) {}
  // Appends the program(s) to the store; the size of the whole and of the part for "(?!...)".
  Result<void> Run(uint32_t& size, uint32_t& refused_size);

 private:
  struct Group {
    uint16_t begin = 0;        // of its instructions
    uint16_t alternative = 0;  // where the present one begins
    uint16_t atom = 0;         // the last thing a quantifier would mean
    bool has_atom = false;
    uint8_t slot = 0;         // of its captures; 0: none
    uint16_t jump_count = 0;  // out of alternatives that are done; patched at the end
  };

  Result<void> One();
  Result<void> Open();
  Result<void> Close();
  Result<void> Alternate();
  Result<void> Quantify(uint32_t least, uint32_t most, bool endless);
  Result<void> Counted();
  Result<void> Escape();
  Result<void> Set();
  Result<void> SetItem(CharacterSet& set, uint32_t& last);
  Result<void> AddSet(const CharacterSet& set);
  Result<void> Emit(Instruction instruction);
  Result<void> Insert(uint32_t at, Instruction instruction);
  Result<void> Atom(Instruction instruction);
  Result<void> EndGroup(const Group& group);
  bool at_end() const { return at_ == text_.size(); }
  bool Take(char c) {
    const bool is = !at_end() && text_[at_] == c;
    at_ += is ? 1 : 0;
    return is;
  }
  bool TakeWord(std::string_view word);
  bool TakeNumber(uint32_t& out);

  PatternStore& store_;
  std::string_view text_;
  size_t at_ = 0;
  std::array<Instruction, kInstructionMax> code_ = {};
  uint32_t size_ = 0;
  std::array<Group, kNestingMax + 1> groups_ = {};
  uint32_t depth_ = 0;
  uint32_t capture_count_ = 1;
  std::array<uint16_t, kInstructionMax> jumps_ = {};  // of all open groups
  uint32_t jump_count_ = 0;
};

}  // namespace gh::dialplan
