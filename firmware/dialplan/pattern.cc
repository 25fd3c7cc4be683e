#include "firmware/dialplan/pattern.h"

#include <algorithm>

#include "firmware/dialplan/regex_compiler.h"
#include "hal/rt/ascii.h"

namespace gh::dialplan {

using Op = Instruction::Op;

PatternStore::PatternStore(Arena& arena, uint32_t instruction_total, uint32_t class_total)
    : instructions_(arena.NewArray<Instruction>(instruction_total)),
      classes_(arena.NewArray<CharacterSet>(std::min<uint32_t>(class_total, INT16_MAX))),
      pending_(arena.NewArray<Pending>(size_t{kInstructionMax} * 3)) {
  for (Threads& threads : threads_) {
    threads.dense = arena.NewArray<uint16_t>(kInstructionMax);
    threads.sparse = arena.NewArray<uint16_t>(kInstructionMax);
    threads.slots = arena.NewArray<uint16_t>(size_t{kInstructionMax} * kGroupMax * 2);
  }
}

// All states of one program over one alias, character by character.
class RegexRun {
 public:
  using Slots = std::array<uint16_t, size_t{kGroupMax} * 2>;
  static constexpr uint16_t kUnset = UINT16_MAX;

  RegexRun(PatternStore& store, std::span<const Instruction> program, std::string_view alias)
      : store_(store), program_(program), alias_(alias) {}

  // Whether it matches: the whole alias, or (`is_prefix`) any beginning of it.
  bool Run(bool is_prefix, Slots* slots) {
    Threads* now = &store_.threads_[0];
    Threads* next = &store_.threads_[1];
    keeps_ = slots != nullptr;
    current_.fill(kUnset);
    now->count = 0;
    Follow(*now, 0, 0);
    for (size_t at = 0;; ++at) {
      if ((is_prefix || at == alias_.size()) && FindMatch(*now, slots)) {
        return true;
      }
      if (at == alias_.size() || now->count == 0) {
        return false;
      }
      next->count = 0;
      const auto c = static_cast<uint8_t>(AsciiLower(alias_[at]));
      for (uint32_t i = 0; i < now->count; ++i) {
        const uint16_t state = now->dense[i];
        if (store_.Takes(program_[state], c)) {
          if (keeps_) {
            std::copy_n(now->slots.begin() + state * current_.size(), current_.size(),
                        current_.begin());
          }
          Follow(*next, static_cast<uint16_t>(state + 1), at + 1);
        }
      }
      std::swap(now, next);
    }
  }

 private:
  using Threads = PatternStore::Threads;

  bool FindMatch(const Threads& threads, Slots* slots) const {
    for (uint32_t i = 0; i < threads.count; ++i) {
      const uint16_t state = threads.dense[i];
      if (program_[state].op == Op::kMatch) {
        if (slots != nullptr) {
          std::copy_n(threads.slots.begin() + state * slots->size(), slots->size(), slots->begin());
        }
        return true;
      }
    }
    return false;
  }

  void PushSlot(uint16_t slot) { store_.pending_[pending_++] = {0, slot, current_[slot]}; }

  // Adds `state` and all it leads to without a character, the preferred first.
  void Follow(Threads& threads, uint16_t state, size_t at) {
    pending_ = 0;
    store_.pending_[pending_++] = {state, kUnset, 0};
    while (pending_ != 0) {
      const PatternStore::Pending one = store_.pending_[--pending_];
      if (one.slot != kUnset) {
        current_[one.slot] = one.value;
        continue;
      }
      const uint16_t seen = threads.sparse[one.state];
      if (seen < threads.count && threads.dense[seen] == one.state) {
        continue;
      }
      threads.sparse[one.state] = static_cast<uint16_t>(threads.count);
      threads.dense[threads.count++] = one.state;
      Step(threads, one.state, at);
    }
  }

  void Step(Threads& threads, uint16_t state, size_t at) {
    const Instruction& one = program_[state];
    const auto next = static_cast<uint16_t>(state + 1);
    const auto target = static_cast<uint16_t>(state + one.offset);
    const auto push = [&](uint16_t to) { store_.pending_[pending_++] = {to, kUnset, 0}; };
    switch (one.op) {
      case Op::kJump:
        push(target);
        break;
      case Op::kSplit:
        push(one.value == 0 ? target : next);
        push(one.value == 0 ? next : target);
        break;
      case Op::kSave:
        PushSlot(one.value);
        current_[one.value] = static_cast<uint16_t>(at);
        push(next);
        break;
      case Op::kBegin:
        if (at == 0) {
          push(next);
        }
        break;
      case Op::kEnd:
        if (at == alias_.size()) {
          push(next);
        }
        break;
      default:
        if (keeps_) {
          std::copy_n(current_.begin(), current_.size(),
                      threads.slots.begin() + state * current_.size());
        }
        break;
    }
  }

  PatternStore& store_;
  std::span<const Instruction> program_;
  std::string_view alias_;
  Slots current_ = {};
  uint32_t pending_ = 0;
  bool keeps_ = false;
};

namespace {

bool IsCharacter(Op op) { return op == Op::kByte || op == Op::kAny || op == Op::kClass; }

// What every match begins with, as far as each instruction is one character or none.
std::span<const Instruction> HeadOf(std::span<const Instruction> program) {
  size_t end = 0;
  while (IsCharacter(program[end].op) || program[end].op == Op::kSave ||
         program[end].op == Op::kBegin) {
    ++end;
  }
  return program.first(end);
}

// What every match ends in: of such instructions before the end those that no jump leads past.
std::span<const Instruction> TailOf(std::span<const Instruction> program) {
  const size_t end = program.size() - 1;  // kMatch
  size_t begin = end;
  while (begin > 0 && (IsCharacter(program[begin - 1].op) || program[begin - 1].op == Op::kSave ||
                       program[begin - 1].op == Op::kEnd)) {
    --begin;
  }
  for (size_t i = 0; i < program.size(); ++i) {
    if (program[i].op == Op::kSplit || program[i].op == Op::kJump) {
      const auto target = static_cast<size_t>(static_cast<ptrdiff_t>(i) + program[i].offset);
      begin = std::max(begin, std::min(target, end));
    }
  }
  return program.subspan(begin, end - begin);
}

size_t CharactersOf(std::span<const Instruction> part) {
  return static_cast<size_t>(std::count_if(
      part.begin(), part.end(), [](const Instruction& one) { return IsCharacter(one.op); }));
}

// The longest run of plain characters; its offset from the beginning of the part, or from the end.
PatternKey LongestRun(std::span<const Instruction> part, bool is_tail) {
  const size_t count = CharactersOf(part);
  PatternKey best;
  PatternKey run;
  TextSum sum;
  size_t at = 0;
  for (const Instruction& one : part) {
    if (!IsCharacter(one.op)) {
      continue;
    }
    ++at;
    if (one.op != Op::kByte || run.size == UINT8_MAX) {
      run.size = 0;
      sum = {};
      continue;
    }
    sum.Add(static_cast<char>(one.value));
    ++run.size;
    const size_t offset = is_tail ? count - at : at - run.size;
    if (run.size > best.size && offset <= UINT8_MAX) {
      best = {.sum = sum.value(), .size = run.size, .offset = static_cast<uint8_t>(offset)};
      best.part = is_tail ? PatternKey::Part::kTail : PatternKey::Part::kHead;
    }
  }
  return best;
}

}  // namespace

Result<Pattern> Pattern::Compile(PatternStore& store, PatternType type, std::string_view text) {
  Pattern out;
  out.store_ = &store;
  out.type_ = type;
  if (text.empty()) {
    return Error(ErrorCode::kMalformed, "the pattern is empty");
  }
  if (text.size() > kPatternBytesMax) {
    return Error(ErrorCode::kTooLarge, "the pattern is too long");
  }
  if (type != PatternType::kRegex) {
    for (const char c : text) {
      out.text_.Append(AsciiLower(c));
    }
    return out;
  }
  out.text_.Assign(text);
  out.first_ = store.instruction_count_;
  uint32_t size = 0;
  uint32_t refused_size = 0;
  RegexCompiler compiler(store, text);
  GH_TRY(compiler.Run(size, refused_size));
  out.size_ = static_cast<uint16_t>(size);
  out.refused_size_ = static_cast<uint16_t>(refused_size);
  const auto program = store.instructions_.subspan(out.first_, size).subspan(refused_size);
  const auto head = HeadOf(program);
  const auto tail = TailOf(program);
  out.head_size_ = static_cast<uint16_t>(head.size());
  out.tail_size_ = static_cast<uint16_t>(tail.size());
  out.tail_characters_ = static_cast<uint16_t>(CharactersOf(tail));
  out.least_ = std::max(static_cast<uint16_t>(CharactersOf(head)), out.tail_characters_);
  return out;
}

// Most expressions are ruled out by this alone, without running anything.
bool Pattern::BeginsAndEndsAsItMust(std::string_view alias) const {
  if (alias.size() < least_) {
    return false;
  }
  const auto program = store_->instructions_.subspan(first_, size_).subspan(refused_size_);
  const auto takes = [&](std::span<const Instruction> part, const char* at) {
    for (const Instruction& one : part) {
      if (IsCharacter(one.op) && !store_->Takes(one, static_cast<uint8_t>(AsciiLower(*at++)))) {
        return false;
      }
    }
    return true;
  };
  const auto tail = program.subspan(program.size() - 1 - tail_size_, tail_size_);
  return takes(program.first(head_size_), alias.data()) &&
         takes(tail, alias.data() + alias.size() - tail_characters_);
}

bool Pattern::Matches(std::string_view alias) const {
  const std::string_view text = text_.view();
  if (alias.size() > kAliasBytesMax || text.empty()) {
    return false;
  }
  switch (type_) {
    case PatternType::kExact:
      return EqualsIgnoringCase(alias, text);
    case PatternType::kPrefix:
      return EqualsIgnoringCase(alias.substr(0, text.size()), text);
    case PatternType::kSuffix:
      return alias.size() >= text.size() &&
             EqualsIgnoringCase(alias.substr(alias.size() - text.size()), text);
    case PatternType::kRegex:
      break;
  }
  const std::span<const Instruction> program = store_->instructions_.subspan(first_, size_);
  if (!BeginsAndEndsAsItMust(alias)) {
    return false;
  }
  if (refused_size_ != 0 &&
      RegexRun(*store_, program.first(refused_size_), alias).Run(true, nullptr)) {
    return false;
  }
  return RegexRun(*store_, program.subspan(refused_size_), alias).Run(false, nullptr);
}

PatternKey Pattern::Key() const {
  if (type_ == PatternType::kRegex) {
    const auto program = store_->instructions_.subspan(first_, size_).subspan(refused_size_);
    const PatternKey head = LongestRun(HeadOf(program), false);
    const PatternKey tail = LongestRun(TailOf(program), true);
    return head.size > tail.size ? head : tail;
  }
  TextSum sum;
  for (const char c : text_.view()) {
    sum.Add(c);
  }
  PatternKey key = {.sum = sum.value(), .size = static_cast<uint8_t>(text_.size())};
  key.part = type_ == PatternType::kExact    ? PatternKey::Part::kWhole
             : type_ == PatternType::kPrefix ? PatternKey::Part::kHead
                                             : PatternKey::Part::kTail;
  return key;
}

namespace {

// Text with \0 to \9 for groups; false when it does not fit.
bool Expand(std::string_view text, std::string_view alias, const RegexRun::Slots& slots,
            FixedString<kAliasBytesMax>& out) {
  bool fits = true;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c != '\\' || i + 1 == text.size()) {
      fits = out.Append(c) && fits;
      continue;
    }
    const char name = text[++i];
    if (name < '0' || name > '9') {
      fits = out.Append(name) && fits;
      continue;
    }
    const auto group = static_cast<size_t>(name - '0') * 2;
    const uint16_t begin = group == 0 ? uint16_t{0} : slots[group];
    const uint16_t end = group == 0 ? static_cast<uint16_t>(alias.size()) : slots[group + 1];
    if (begin != RegexRun::kUnset && end != RegexRun::kUnset && begin <= end) {
      fits = out.Append(alias.substr(begin, end - begin)) && fits;
    }
  }
  return fits;
}

}  // namespace

bool Pattern::Apply(std::string_view alias, PatternBehavior behavior, std::string_view replacement,
                    FixedString<kAliasBytesMax>& out) const {
  out.Clear();
  if (!Matches(alias)) {
    return false;
  }
  if (behavior == PatternBehavior::kLeave) {
    return out.Append(alias);
  }
  const std::string_view put =
      behavior == PatternBehavior::kReplace ? replacement : std::string_view();
  const size_t size = text_.size();
  switch (type_) {
    case PatternType::kExact:
      return out.Append(put);
    case PatternType::kPrefix:
      return out.Append(put) && out.Append(alias.substr(size));
    case PatternType::kSuffix:
      return out.Append(alias.substr(0, alias.size() - size)) && out.Append(put);
    case PatternType::kRegex:
      break;
  }
  RegexRun::Slots slots;
  slots.fill(RegexRun::kUnset);
  const auto program = store_->instructions_.subspan(first_, size_).subspan(refused_size_);
  return RegexRun(*store_, program, alias).Run(false, &slots) && Expand(put, alias, slots, out);
}

}  // namespace gh::dialplan
