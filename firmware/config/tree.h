// The tree of settings as words: which setting a path names, and what may come next.
#pragma once

#include <span>
#include <string_view>

#include "firmware/config/settings.h"
#include "firmware/config/types.h"
#include "hal/rt/result.h"

namespace gh::config {

// How the words of a path go along one setting's own path.
struct PathMatch {
  uint32_t matched = 0;        // words that agree, from the first
  bool all_words = false;      // every given word agrees
  bool complete = false;       // and they are the whole path
  bool has_instance = false;   // the path names an instance
  uint32_t instance = 0;       // 0-based
  std::string_view next_word;  // the setting's word after the matched ones; "" for a number or end
  bool next_is_instance = false;
};

PathMatch MatchPath(uint32_t setting, std::span<const std::string_view> words,
                    const RawSettings& settings);

// The setting that `words` name in full. Otherwise says how far they made sense and what was
// expected there.
Result<Selector> FindSetting(std::span<const std::string_view> words, const RawSettings& settings,
                             Message& expected);

// Calls visit(word, match, setting) once for each different word that may follow `words`.
struct NextWord {
  std::string_view word;        // empty: an instance number
  uint32_t instance_count = 0;  // for a number: 1..instance_count
  bool ends_path = false;       // a value may follow it
  uint32_t setting = 0;         // the setting it ends at, or the first below it
};
inline constexpr uint32_t kNextWordMax = 64;
// Returns how many were written, in the order of declaration.
uint32_t NextWords(std::span<const std::string_view> words, const RawSettings& settings,
                   std::span<NextWord> out);

}  // namespace gh::config
