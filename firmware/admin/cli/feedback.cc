// xFeedback. See feedback.h.
#include "firmware/admin/cli/feedback.h"

#include <algorithm>

#include "firmware/admin/cli/completion.h"
#include "firmware/config/line.h"
#include "firmware/log/render.h"

namespace gh::admin {
namespace {

using config::EqualsIgnoreCase;

constexpr uint32_t kEventsPerCall = 64;
constexpr uint32_t kLinesPerCall = 64;

uint64_t HashOf(std::string_view text) {  // FNV-1a: our own lines, no one to fear
  uint64_t hash = 0xcbf29ce484222325;
  for (char c : text) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  }
  return hash;
}

// "/Status/SIP/Call" -> "Status", "SIP Call"
std::string_view TakeSource(std::string_view text, FixedString<kFeedbackTextMax>& words) {
  text.remove_prefix(text.starts_with('/') ? 1 : 0);
  const size_t slash = std::min(text.find('/'), text.size());
  const std::string_view source = text.substr(0, slash);
  words.Clear();
  for (char c : text.substr(std::min(slash + 1, text.size()))) {
    words.Append(c == '/' ? ' ' : c);
  }
  return source;
}

bool IsEventOrCategory(std::string_view name) {
  return std::any_of(std::begin(log::kEvents), std::end(log::kEvents),
                     [&](const log::EventInfo& info) {
                       return EqualsIgnoreCase(name, info.name) ||
                              EqualsIgnoreCase(name, log::CategoryName(info.category));
                     });
}

bool IsStatusPath(std::string_view words, const StatusTree& status) {
  return std::any_of(status.nodes().begin(), status.nodes().end(), [&](const StatusNode& node) {
    return WordsBegin(node.path, words) || WordsBegin(words, node.path);
  });
}

}  // namespace

void Feedback::Clear() {
  count_ = 0;
  next_event_ = 0;
}

Result<void> Feedback::Register(std::string_view text, const StatusTree& status,
                                const log::Log& log, config::Message& why) {
  for (uint32_t i = 0; i < count_; ++i) {
    if (EqualsIgnoreCase(expressions_[i].text.view(), text)) {
      config::MessageWriter(why).Add("it is registered already");
      return Error{ErrorCode::kAlreadyExists, "registered already"};
    }
  }
  if (count_ == kFeedbackMax) {
    config::MessageWriter(why).Add("there are ").Add(kFeedbackMax).Add(" already, as many as may");
    return Error{ErrorCode::kExhausted, "too many expressions"};
  }
  Expression& expression = expressions_[count_];
  expression = {};
  FixedString<kFeedbackTextMax>& words = expression.words;
  const std::string_view source = TakeSource(text, words);
  bool good = expression.text.Assign(text);
  if (EqualsIgnoreCase(source, "Event")) {
    expression.source = Source::kEvent;
    good = good && (words.empty() || IsEventOrCategory(words.view()));
  } else if (EqualsIgnoreCase(source, "Configuration")) {
    expression.source = Source::kConfiguration;
  } else if (EqualsIgnoreCase(source, "Status")) {
    expression.source = Source::kStatus;
    good = good && !words.empty() && IsStatusPath(words.view(), status);
  } else {
    good = false;
  }
  if (!good) {
    config::MessageWriter(why).Add(
        "expected /Event, /Event/<category or event>, /Configuration[/<words>] or /Status/<words>");
    return Error{ErrorCode::kMalformed, "not an expression"};
  }
  if (next_event_ == 0) {
    next_event_ = log.next_sequence();
  }
  ++count_;
  return Ok();
}

bool Feedback::Deregister(std::string_view text) {
  if (text.empty() || text == "/") {
    const bool any = count_ > 0;
    Clear();
    return any;
  }
  for (uint32_t i = 0; i < count_; ++i) {
    if (EqualsIgnoreCase(expressions_[i].text.view(), text)) {
      for (uint32_t j = i + 1; j < count_; ++j) {
        expressions_[j - 1] = expressions_[j];
      }
      --count_;
      next_event_ = count_ == 0 ? 0 : next_event_;
      return true;
    }
  }
  return false;
}

bool Feedback::Next(const log::Log& log, const StatusTree& status, bool may_read_configuration,
                    Instant now, Item& out) {
  if (count_ == 0) {
    return false;
  }
  if (NextEvent(log, may_read_configuration, out)) {
    return true;
  }
  for (uint32_t i = 0; i < count_; ++i) {
    Expression& expression = expressions_[i];
    if (expression.source == Source::kStatus && NextStatus(expression, status, now, out)) {
      return true;
    }
  }
  return false;
}

bool Feedback::Wants(const log::Record& record, bool may_read_configuration) const {
  const log::EventInfo& info = log::kEvents[record.event];
  const std::string_view setting = log::FieldOf(record, "setting");
  for (uint32_t i = 0; i < count_; ++i) {
    const Expression& one = expressions_[i];
    if (one.source == Source::kEvent &&
        (one.words.empty() || EqualsIgnoreCase(one.words.view(), info.name) ||
         EqualsIgnoreCase(one.words.view(), log::CategoryName(info.category)))) {
      return true;
    }
    if (one.source == Source::kConfiguration && may_read_configuration && !setting.empty() &&
        WordsBegin(setting, one.words.view())) {
      return true;
    }
  }
  return false;
}

bool Feedback::NextEvent(const log::Log& log, bool may_read_configuration, Item& out) {
  out.source = Source::kEvent;
  if (next_event_ < log.first_sequence()) {
    uint8_t bytes[80];
    ByteWriter lost(bytes);
    lost.Decimal(log.first_sequence() - next_event_);
    lost.Text(" events were lost before this session could show them");
    next_event_ = log.first_sequence();
    out.path.Assign("Event Lost");
    out.value.Assign(lost.text());
    return true;
  }
  for (uint32_t i = 0; i < kEventsPerCall && next_event_ < log.next_sequence(); ++i) {
    const log::Record* record = log.Find(next_event_++);
    if (record == nullptr || !Wants(*record, may_read_configuration)) {
      continue;
    }
    uint8_t bytes[kOutputLineMax];
    ByteWriter text(bytes);
    log::FormatText(*record, text);
    out.path.Assign("Event ");
    out.path.Append(log::kEvents[record->event].name);
    out.value.Assign(text.text());
    return true;
  }
  return false;
}

// The next line of xStatus that the expression covers.
bool Feedback::ReadLine(Expression& expression, const StatusTree& status, ByteWriter& line) {
  const auto nodes = status.nodes();
  const std::string_view words = expression.words.view();
  while (expression.node < nodes.size()) {
    const StatusNode& node = nodes[expression.node];
    const bool possible =
        (WordsBegin(node.path, words) && !node.only_named) || WordsBegin(words, node.path);
    if (possible && node.next(node.context, expression.cursor, line)) {
      return true;
    }
    ++expression.node;
    expression.cursor = 0;
  }
  return false;
}

// True when the line is new or its value differs from the last reading.
bool Feedback::NoteLine(Expression& expression, std::string_view line) {
  const size_t colon = std::min(line.find(": "), line.size());
  const uint64_t path = HashOf(line.substr(0, colon));
  const uint64_t value = HashOf(line.substr(colon));
  for (Line& known : std::span(expression.lines).first(expression.line_count)) {
    if (known.path_hash == path) {
      const bool changed = known.value_hash != value;
      known.value_hash = value;
      return changed;
    }
  }
  if (expression.line_count == expression.lines.size()) {
    return false;  // more lines than are followed
  }
  expression.lines[expression.line_count++] = {path, value};
  return expression.is_primed;
}

bool Feedback::NextStatus(Expression& expression, const StatusTree& status, Instant now,
                          Item& out) {
  if (!expression.is_reading) {
    if (now < expression.next_reading) {
      return false;
    }
    expression.is_reading = true;
    expression.node = 0;
    expression.cursor = 0;
    expression.lines_read = 0;
    expression.next_reading = now + Duration::Milliseconds(kFeedbackPeriodMilliseconds);
  }
  for (uint32_t i = 0; i < kLinesPerCall; ++i) {
    uint8_t bytes[kOutputLineMax];
    ByteWriter line(bytes);
    if (expression.lines_read == kFeedbackLineMax * 4 || !ReadLine(expression, status, line)) {
      expression.is_reading = false;
      expression.is_primed = true;
      return false;
    }
    ++expression.lines_read;
    if (!WordsBegin(line.text(), expression.words.view()) || !NoteLine(expression, line.text())) {
      continue;
    }
    const size_t colon = std::min(line.text().find(": "), line.text().size());
    out.source = Source::kStatus;
    out.path.Assign("Status ");
    out.path.Append(line.text().substr(0, colon));
    out.value.Assign(line.text().substr(std::min(colon + 2, line.text().size())));
    return true;
  }
  return false;
}

}  // namespace gh::admin
