// What may be typed next: for tab completion and for '?'. Pure, from the tables alone.
#pragma once

#include <array>
#include <string_view>

#include "firmware/admin/commands.h"
#include "firmware/admin/limits.h"
#include "firmware/admin/status.h"
#include "firmware/config/settings.h"
#include "hal/rt/fixed_string.h"

namespace gh::admin {

struct Verb {
  const char* word;
  const char* help;
};
inline constexpr Verb kVerbs[] = {
    {"help", "Shows this"},
    {"xConfiguration", "Shows, searches (//) and changes settings"},
    {"xStatus", "Shows the state of the system"},
    {"xCommand", "Runs a command"},
    {"exit", "Logs out"},
};

struct Candidate {
  std::string_view word;  // to be inserted; empty: `shown` is only a description
  FixedString<24> shown;  // "1..3" for numbers
  std::string_view help;
  bool ends_path = false;  // ':' follows
};

struct Completions {
  std::string_view prefix;  // the part of the word that is typed already
  std::array<Candidate, kCandidateMax> list = {};
  uint32_t count = 0;
  const config::SettingInfo* setting = nullptr;  // the setting whose value is being typed

  // The longest text all insertable candidates begin with.
  std::string_view CommonWord() const;
  void Add(const Candidate& candidate);
};

class Completer {
 public:
  Completer(const StatusTree& status, const CommandTable& commands)
      : status_(status), commands_(commands) {}
  // `before` is the line up to the cursor.
  void Complete(std::string_view before, const config::RawSettings& settings,
                Completions& out) const;

 private:
  static void CompleteSettings(std::string_view rest, const config::RawSettings& settings,
                               Completions& out);
  const StatusTree& status_;
  const CommandTable& commands_;
};

// Whether the words of `filter` are the first words of `text` (case does not matter).
bool WordsBegin(std::string_view text, std::string_view filter);

}  // namespace gh::admin
