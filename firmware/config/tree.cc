#include "firmware/config/tree.h"

#include <charconv>

#include "firmware/config/line.h"

namespace gh::config {
namespace {

// Walks the words of a path text: "IPv4 Address" -> "IPv4", "Address".
std::string_view FirstWord(std::string_view text) { return text.substr(0, text.find(' ')); }
std::string_view AfterFirstWord(std::string_view text) {
  const size_t space = text.find(' ');
  return space == text.npos ? std::string_view() : text.substr(space + 1);
}

bool ParseInstance(std::string_view word, uint32_t count, uint32_t& instance) {
  uint32_t number = 0;
  const char* end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, number);
  if (error != std::errc() || stop != end || number == 0 || number > count) {
    return false;
  }
  instance = number - 1;
  return true;
}

// One setting's path as steps; pure bookkeeping for MatchPath.
class Steps {
 public:
  Steps(const GroupInfo& group, const SettingInfo& setting)
      : rest_(group.path), tail_(setting.path), wants_number_(group.is_table()) {}
  bool at_end() const { return rest_.empty() && !wants_number_ && tail_.empty(); }
  bool at_number() const { return rest_.empty() && wants_number_; }
  std::string_view word() const { return FirstWord(rest_.empty() ? tail_ : rest_); }
  void Advance() {
    if (at_number()) {
      wants_number_ = false;
    } else if (!rest_.empty()) {
      rest_ = AfterFirstWord(rest_);
    } else {
      tail_ = AfterFirstWord(tail_);
    }
  }

 private:
  std::string_view rest_;
  std::string_view tail_;
  bool wants_number_;
};

}  // namespace

PathMatch MatchPath(uint32_t setting, std::span<const std::string_view> words,
                    const RawSettings& settings) {
  const SettingInfo& info = kSettings[setting];
  Steps steps(kGroups[info.group], info);
  PathMatch match;
  for (std::string_view word : words) {
    if (steps.at_end()) {
      break;
    }
    if (steps.at_number()) {
      if (!ParseInstance(word, settings.instance_count(info.group), match.instance)) {
        break;
      }
      match.has_instance = true;
    } else if (!EqualsIgnoreCase(word, steps.word())) {
      break;
    }
    steps.Advance();
    ++match.matched;
  }
  match.all_words = match.matched == words.size();
  match.complete = match.all_words && steps.at_end();
  match.next_is_instance = !steps.at_end() && steps.at_number();
  match.next_word = steps.at_end() || steps.at_number() ? std::string_view() : steps.word();
  return match;
}

uint32_t NextWords(std::span<const std::string_view> words, const RawSettings& settings,
                   std::span<NextWord> out) {
  uint32_t count = 0;
  for (uint32_t s = 0; s < kSettingCount; ++s) {
    const PathMatch match = MatchPath(s, words, settings);
    if (!match.all_words || match.complete) {
      continue;
    }
    bool known = false;
    for (const NextWord& seen : out.first(count)) {
      known = known || EqualsIgnoreCase(seen.word, match.next_word);
    }
    if (known || count == out.size()) {
      continue;
    }
    NextWord& next = out[count++];
    next = {match.next_word, 0, false, s};
    if (match.next_is_instance) {
      next.instance_count = settings.instance_count(kSettings[s].group);
      continue;
    }
    std::array<std::string_view, kPathWordMax> longer;
    if (words.size() < longer.size()) {
      std::copy(words.begin(), words.end(), longer.begin());
      longer[words.size()] = match.next_word;
      next.ends_path = MatchPath(s, {longer.data(), words.size() + 1}, settings).complete;
    }
  }
  return count;
}

Result<Selector> FindSetting(std::span<const std::string_view> words, const RawSettings& settings,
                             Message& expected) {
  uint32_t deepest = 0;
  for (uint32_t s = 0; s < kSettingCount; ++s) {
    const PathMatch match = MatchPath(s, words, settings);
    if (match.complete) {
      return Selector{s, match.instance};
    }
    deepest = match.matched > deepest ? match.matched : deepest;
  }
  std::array<NextWord, kNextWordMax> next;
  const uint32_t count = NextWords(words.first(deepest), settings, next);
  MessageWriter writer(expected);
  if (deepest < words.size()) {
    writer.Add("\"").Add(words[deepest]).Add("\" is not known here: ");
  }
  if (count == 0) {
    writer.Add("expected \":\" and a value");
    return Error{ErrorCode::kNotFound, "no such setting"};
  }
  writer.Add("expected ").Add(count > 1 ? "one of " : "");
  for (uint32_t i = 0; i < count; ++i) {
    writer.Add(i == 0 ? "" : ", ");
    if (next[i].word.empty()) {
      writer.Add("a number 1..").Add(next[i].instance_count);
    } else {
      writer.Add(next[i].word);
    }
  }
  if (deepest > 0) {
    writer.Add(" after \"").Add(words[deepest - 1]).Add("\"");
  }
  return Error{ErrorCode::kNotFound, "no such setting"};
}

}  // namespace gh::config
