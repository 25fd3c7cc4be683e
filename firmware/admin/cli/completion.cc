#include "firmware/admin/cli/completion.h"

#include <algorithm>

#include "firmware/config/line.h"
#include "firmware/config/tree.h"

namespace gh::admin {
namespace {

using config::EqualsIgnoreCase;
using config::StartsWithIgnoreCase;
using config::Trim;

std::string_view TakeWord(std::string_view& rest) {
  rest = Trim(rest);
  const size_t size = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, size);
  rest.remove_prefix(size);
  return word;
}

// Splits "SIP UDP Mo" into the words before and the word being typed.
std::string_view LastWord(std::string_view text) {
  const size_t space = text.rfind(' ');
  return space == text.npos ? text : text.substr(space + 1);
}

// The word of `path` after the words of `typed`, which all agree with it; "" when they do not.
std::string_view WordAfter(std::string_view path, std::string_view typed) {
  for (;;) {
    std::string_view wanted = TakeWord(typed);
    const std::string_view word = TakeWord(path);
    if (wanted.empty()) {
      return word;
    }
    if (!EqualsIgnoreCase(wanted, word)) {
      return {};
    }
  }
}

template <typename Items>
void CompletePaths(const Items& items, std::string_view rest, Completions& out) {
  out.prefix = LastWord(rest);
  const std::string_view typed = rest.substr(0, rest.size() - out.prefix.size());
  for (const auto& item : items) {
    const std::string_view word = WordAfter(item.path, typed);
    const bool known = std::any_of(out.list.begin(), out.list.begin() + out.count,
                                   [&](const Candidate& c) { return c.word == word; });
    if (!word.empty() && !known && StartsWithIgnoreCase(word, out.prefix)) {
      out.Add({word, {}, item.help, false});
    }
  }
}

}  // namespace

bool WordsBegin(std::string_view text, std::string_view filter) {
  for (;;) {
    const std::string_view wanted = TakeWord(filter);
    if (wanted.empty()) {
      return true;
    }
    std::string_view word = TakeWord(text);
    if (!word.empty() && word.back() == ':') {
      word.remove_suffix(1);
    }
    if (!EqualsIgnoreCase(wanted, word)) {
      return false;
    }
  }
}

void Completions::Add(const Candidate& candidate) {
  if (count < list.size()) {
    list[count++] = candidate;
  }
}

std::string_view Completions::CommonWord() const {
  std::string_view common;
  bool first = true;
  for (const Candidate& candidate : std::span(list).first(count)) {
    if (candidate.word.empty()) {
      return {};
    }
    if (first) {
      common = candidate.word;
      first = false;
      continue;
    }
    size_t same = std::min(common.size(), candidate.word.size());
    while (!StartsWithIgnoreCase(candidate.word, common.substr(0, same))) {
      --same;
    }
    common = common.substr(0, same);
  }
  return common;
}

void Completer::CompleteSettings(std::string_view rest, const config::RawSettings& settings,
                                 Completions& out) {
  config::Message ignored;
  const size_t colon = rest.find(':');
  const bool in_value = colon != rest.npos;
  if (in_value) {
    out.prefix = Trim(rest.substr(colon + 1));
    rest = rest.substr(0, colon);
  } else {
    out.prefix = LastWord(rest);
    rest = rest.substr(0, rest.size() - out.prefix.size());
  }
  const auto line = config::ParsePath(rest, ignored);
  if (!line.ok() || line->is_search) {
    return;
  }
  if (in_value) {
    const auto selector = config::FindSetting(line->path(), settings, ignored);
    if (!selector.ok()) {
      return;
    }
    out.setting = &config::InfoOf(*selector);
    const config::EnumInfo* words = out.setting->enum_info;
    for (uint32_t i = 0; words != nullptr && i < words->count; ++i) {
      if (StartsWithIgnoreCase(words->words[i], out.prefix)) {
        out.Add({words->words[i], {}, "", false});
      }
    }
    return;
  }
  std::array<config::NextWord, config::kNextWordMax> next;
  const uint32_t count = config::NextWords(line->path(), settings, next);
  for (const config::NextWord& one : std::span(next).first(count)) {
    if (one.word.empty()) {
      uint8_t bytes[24];
      ByteWriter shown(bytes);
      shown.Text("1..");
      shown.Decimal(one.instance_count);
      out.Add({{}, FixedString<24>(shown.text()), "Number", false});
    } else if (StartsWithIgnoreCase(one.word, out.prefix)) {
      const char* help = one.ends_path ? config::kSettings[one.setting].help : "";
      out.Add({one.word, {}, help, one.ends_path});
    }
  }
}

void Completer::Complete(std::string_view before, const config::RawSettings& settings,
                         Completions& out) const {
  std::string_view rest = before;
  while (!rest.empty() && rest.front() == ' ') {
    rest.remove_prefix(1);
  }
  const size_t space = rest.find(' ');
  if (space == rest.npos) {
    out.prefix = rest;
    for (const Verb& verb : kVerbs) {
      if (StartsWithIgnoreCase(verb.word, rest)) {
        out.Add({verb.word, {}, verb.help, false});
      }
    }
    return;
  }
  const std::string_view verb = rest.substr(0, space);
  rest.remove_prefix(space + 1);
  if (EqualsIgnoreCase(verb, "xConfiguration")) {
    CompleteSettings(rest, settings, out);
  } else if (EqualsIgnoreCase(verb, "xStatus")) {
    CompletePaths(status_.nodes(), rest, out);
  } else if (EqualsIgnoreCase(verb, "xCommand")) {
    CompletePaths(commands_.commands(), rest, out);
  }
}

}  // namespace gh::admin
