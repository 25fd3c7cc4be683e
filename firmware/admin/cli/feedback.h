// xFeedback: what a session wants to be told as it happens.
//
//   /Event                 every event              /Event/sip      a category of events
//   /Event/login-refused   one kind of event        /Configuration[/SIP/UDP]  changed settings
//   /Status/SIP/Call       lines of xStatus below these words, when they change
//
// Events are read from the log's ring, so that one that comes while the operator reads something
// else is shown later; what the ring has lost meanwhile is said. Lines of xStatus are compared once
// a second, at most kFeedbackLineMax of an expression.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "firmware/admin/limits.h"
#include "firmware/admin/status.h"
#include "firmware/config/types.h"
#include "firmware/log/log.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"
#include "hal/rt/time.h"

namespace gh::admin {

class Feedback {
 public:
  enum class Source : uint8_t { kEvent, kConfiguration, kStatus };

  // Forgets every expression.
  void Clear();
  // kMalformed: `why` says what was expected; kExhausted, kAlreadyExists.
  Result<void> Register(std::string_view text, const StatusTree& status, const log::Log& log,
                        config::Message& why);
  bool Deregister(std::string_view text);  // "" or "/": all
  uint32_t count() const { return count_; }
  std::string_view TextOf(uint32_t index) const { return expressions_[index].text.view(); }
  bool is_due_soon() const { return count_ > 0; }

  // The next thing to tell, as a line ("*e ..." without the mark), and its form: path and value.
  // False: nothing more now. Reads a bounded number of events and lines a call.
  struct Item {
    Source source = Source::kEvent;
    FixedString<120> path;
    FixedString<kOutputLineMax> value;
  };
  bool Next(const log::Log& log, const StatusTree& status, bool may_read_configuration, Instant now,
            Item& out);

 private:
  struct Line {
    uint64_t path_hash = 0;
    uint64_t value_hash = 0;
  };
  struct Expression {
    Source source = Source::kEvent;
    FixedString<kFeedbackTextMax> text;   // as registered
    FixedString<kFeedbackTextMax> words;  // "SIP Call", "login-refused"
    std::array<Line, kFeedbackLineMax> lines = {};
    uint32_t line_count = 0;
    bool is_primed = false;  // the lines of the first reading are not told
    Instant next_reading;
    // The reading in progress.
    bool is_reading = false;
    uint32_t node = 0;
    uint64_t cursor = 0;
    uint32_t lines_read = 0;
  };
  bool NextEvent(const log::Log& log, bool may_read_configuration, Item& out);
  bool NextStatus(Expression& expression, const StatusTree& status, Instant now, Item& out);
  static bool ReadLine(Expression& expression, const StatusTree& status, ByteWriter& line);
  static bool NoteLine(Expression& expression, std::string_view line);
  bool Wants(const log::Record& record, bool may_read_configuration) const;

  std::array<Expression, kFeedbackMax> expressions_ = {};
  uint32_t count_ = 0;
  uint64_t next_event_ = 0;
};

}  // namespace gh::admin
