// The session: what a line does. See session.h.
#include <algorithm>

#include "firmware/admin/cli/line_end_sink.h"
#include "firmware/admin/cli/session_text.h"
#include "firmware/admin/session.h"
#include "firmware/config/line.h"
#include "firmware/config/tree.h"
#include "firmware/config/value.h"

namespace gh::admin {

using config::EqualsIgnoreCase;
using config::Trim;

namespace {

constexpr std::string_view kHelp =
    "xConfiguration                          all settings\n"
    "xConfiguration SIP UDP                  settings below these words\n"
    "xConfiguration SIP UDP Mode: On         changes a setting, at once and for good\n"
    "xConfiguration // port                  settings that have \"port\" in path or help\n"
    "xStatus [SIP]                           state of the system, or of a part\n"
    "xStatus Log                             the latest events\n"
    "xCommand Restart                        runs a command (xCommand ? lists them)\n"
    "xFeedback Register /Event               tells events and changes as they happen\n"
    "xPreferences OutputMode json            terminal, json or xml for this session\n"
    "xHelp SIP UDP Mode                      what a setting, command or state is\n"
    "exit                                    logs out\n"
    "\n"
    "Tab completes, ? shows what may follow. Up and Down recall lines. Ctrl-A, Ctrl-E, Ctrl-K,\n"
    "Ctrl-U, Ctrl-W, Ctrl-Y and the arrow keys edit as in other shells.";

const char* NameOf(ExitCode code) {
  static constexpr const char* kNames[] = {"ok",      "failed",        "not understood",
                                           "refused", "not permitted", "ended"};
  return kNames[static_cast<uint8_t>(code)];
}

// Takes " Confirm: Yes" from the end of a command line; whether it was there.
bool TakeConfirmation(std::string_view& rest) {
  const size_t colon = rest.rfind(':');
  if (colon == rest.npos || !EqualsIgnoreCase(Trim(rest.substr(colon + 1)), "Yes")) {
    return false;
  }
  const std::string_view before = Trim(rest.substr(0, colon));
  constexpr std::string_view kWord = "Confirm";
  if (before.size() < kWord.size() ||
      !EqualsIgnoreCase(before.substr(before.size() - kWord.size()), kWord)) {
    return false;
  }
  rest = Trim(before.substr(0, before.size() - kWord.size()));
  return true;
}

// json, xml, terminal
bool ReadForm(std::string_view word, OutputForm& form) {
  if (EqualsIgnoreCase(word, "json")) {
    form = OutputForm::kJson;
  } else if (EqualsIgnoreCase(word, "xml")) {
    form = OutputForm::kXml;
  } else if (EqualsIgnoreCase(word, "terminal")) {
    form = OutputForm::kTerminal;
  } else {
    return false;
  }
  return true;
}

}  // namespace

bool Session::Permits(Right right, std::string_view what) {
  identity_ = parts_.accounts.Refresh(identity_);
  if (identity_.May(right)) {
    return true;
  }
  parts_.log.Emit(
      log::event::CommandRefused{.command = what, .by = ActorOf(identity_, origin_).view()});
  Fail(ExitCode::kNotPermitted,
       right == Right::kAdminister ? "only the role Administrator may do this"
       : right == Right::kChange   ? "your role may look but not change"
                                   : "your role may not read the configuration");
  return false;
}

void Session::Fail(ExitCode code, std::string_view message) {
  exit_ = code;
  if (form_ == OutputForm::kTerminal) {
    Put("ERROR: ");
    PutLine(message);
    return;
  }
  LineEndSink sink(output_);
  form_writer_.Begin(form_, "Error", sink);
  form_writer_.Number("Code", static_cast<uint64_t>(code));
  form_writer_.Value("Kind", NameOf(code));
  form_writer_.Value("Message", message);
  form_writer_.End();
}

void Session::Succeed(std::string_view message, std::string_view note) {
  if (form_ == OutputForm::kTerminal) {
    PutLine(message);
    if (!note.empty()) {
      PutLine(note);
    }
    return;
  }
  LineEndSink sink(output_);
  form_writer_.Begin(form_, "CommandResponse", sink);
  form_writer_.Value("Status", "OK");
  if (message != "OK") {
    form_writer_.Value("Message", message);
  }
  if (!note.empty()) {
    form_writer_.Value("Note", note);
  }
  form_writer_.End();
}

void Session::Execute(std::string_view line) {
  std::string_view rest = line;
  std::string_view verb = TakeWord(rest);
  if (verb.empty() || verb.front() == '#') {
    return;
  }
  // "json xStatus System": the form for this command alone.
  if (ReadForm(verb, form_)) {
    line = rest;
    verb = TakeWord(rest);
  }
  if (ExecuteVerb(verb, rest, line)) {
    return;
  }
  uint8_t bytes[160];
  ByteWriter out(bytes);
  out.Char('"');
  out.Text(verb.substr(0, 40));
  out.Text("\" is not a command; expected xConfiguration, xStatus, xCommand, xFeedback, ");
  out.Text("xPreferences, xHelp or exit");
  Fail(ExitCode::kNotUnderstood, out.text());
}

bool Session::ExecuteVerb(std::string_view verb, std::string_view rest, std::string_view line) {
  if (EqualsIgnoreCase(verb, "help") || EqualsIgnoreCase(verb, "xHelp")) {
    ExecuteHelp(rest);
  } else if (EqualsIgnoreCase(verb, "xConfiguration") || EqualsIgnoreCase(verb, "*c")) {
    ExecuteConfiguration(line);
  } else if (EqualsIgnoreCase(verb, "xStatus")) {
    ExecuteStatus(rest);
  } else if (EqualsIgnoreCase(verb, "xCommand")) {
    ExecuteCommand(rest);
  } else if (EqualsIgnoreCase(verb, "xFeedback")) {
    ExecuteFeedback(rest);
  } else if (EqualsIgnoreCase(verb, "xPreferences")) {
    ExecutePreferences(rest);
  } else if (EqualsIgnoreCase(verb, "exit") || EqualsIgnoreCase(verb, "quit") ||
             EqualsIgnoreCase(verb, "bye") || EqualsIgnoreCase(verb, "logout")) {
    LogOut("by the user");
  } else {
    return false;
  }
  return true;
}

// "xHelp", "xHelp SIP UDP Mode", "xHelp xCommand Restart"
void Session::ExecuteHelp(std::string_view rest) {
  if (rest.empty()) {
    if (form_ == OutputForm::kTerminal) {
      output_.Print(kHelp);
      return;
    }
    Succeed(kHelp);
    return;
  }
  config::Message why;
  std::string_view path = rest;
  std::string_view words = rest;
  if (EqualsIgnoreCase(TakeWord(words), "xConfiguration")) {
    path = words;
  }
  const auto line = config::ParsePath(path, why);
  const auto selector = line.ok()
                            ? config::FindSetting(line->path(), parts_.configuration.active(), why)
                            : Result<config::Selector>(ErrorCode::kMalformed);
  if (selector.ok()) {
    uint8_t bytes[512];
    ByteWriter out(bytes);
    DescribeSetting(config::InfoOf(*selector), out);
    Succeed(out.text());
    return;
  }
  words = rest;
  TakeWord(words);
  for (const Command& command : parts_.commands.commands()) {
    if (EqualsIgnoreCase(command.path, rest) || EqualsIgnoreCase(command.path, words)) {
      uint8_t bytes[400];
      ByteWriter out(bytes);
      out.Text(command.help);
      out.Text(command.value_help[0] != '\0' ? "; takes a value: " : "");
      out.Text(command.value_help);
      Succeed(out.text());
      return;
    }
  }
  FixedString<kLineBytesMax> before(rest);
  const bool has_verb = rest.front() == 'x' || rest.front() == 'X';
  if (!has_verb) {
    before.Assign("xConfiguration ");
    before.Append(rest);
  }
  before.Append(' ');
  Completions completions;
  completer_.Complete(before.view(), parts_.configuration.active(), completions);
  if (completions.count == 0) {
    Fail(ExitCode::kNotUnderstood, "expected words of a setting, a command or a state");
    return;
  }
  ShowCandidates(before.view());
}

void Session::ExecutePreferences(std::string_view rest) {
  const std::string_view what = TakeWord(rest);
  if (!EqualsIgnoreCase(what, "OutputMode") && !EqualsIgnoreCase(what, "OutputMode:")) {
    Fail(ExitCode::kNotUnderstood, "expected xPreferences OutputMode terminal, json or xml");
    return;
  }
  if (!ReadForm(rest, form_kept_)) {
    Fail(ExitCode::kRefused, "expected one of terminal, json, xml");
    return;
  }
  form_ = form_kept_;
  Succeed("OK");
}

// --- Settings -----------------------------------------------------------------------------------

void Session::ExecuteConfiguration(std::string_view text) {
  config::Message expected;
  const auto line = config::ParseLine(text, expected);
  if (!line.ok()) {
    Fail(ExitCode::kNotUnderstood, expected.view());
    return;
  }
  if (line->has_value) {
    set_line_ = text;
    const auto selector =
        config::FindSetting(line->path(), parts_.configuration.active(), expected);
    const bool slow = selector.ok() && !line->value.empty() &&
                      config::InfoOf(*selector).kind == config::Kind::kAdminPassword;
    if (slow) {
      Defer(Deferred::kSet);
      return;
    }
    ExecuteSet();
    return;
  }
  if (!Permits(Right::kReadConfiguration, text)) {
    return;
  }
  if (!line->is_search && line->word_count > 0) {
    // Words that lead nowhere are an error with what was expected, not an empty listing.
    std::array<config::NextWord, 1> next;
    const bool leads =
        config::NextWords(line->path(), parts_.configuration.active(), next) > 0 ||
        config::FindSetting(line->path(), parts_.configuration.active(), expected).ok();
    if (!leads) {
      Fail(ExitCode::kNotUnderstood, expected.view());
      return;
    }
  }
  filter_.Assign(text);
  const auto kept = config::ParseLine(filter_.view(), expected);
  GH_ASSERT(kept.ok());
  path_ = *kept;
  position_ = {};
  FindWantedInstance();
  StartListing(&Session::NextSettingLine, "Configuration");
}

// Carries out set_line_, an xConfiguration line with a value.
void Session::ExecuteSet() {
  config::Message message;
  config::Configuration& configuration = parts_.configuration;
  const auto line = config::ParseLine(set_line_, message);
  const auto found = line.ok() ? config::FindSetting(line->path(), configuration.active(), message)
                               : Result<config::Selector>(line.error());
  if (!found.ok()) {
    Fail(ExitCode::kNotUnderstood, message.view());
    command_.Clear();
    return;
  }
  const bool guarded = config::GroupOf(*found).administrator_only;
  uint8_t path_bytes[config::kPathTextMax];
  ByteWriter path(path_bytes);
  config::FormatPath(*found, path);
  if (!Permits(guarded ? Right::kAdminister : Right::kChange, path.text())) {
    command_.Clear();
    return;
  }
  AssignActor();
  configuration.Begin();
  const auto selector = configuration.Apply(set_line_, message);
  if (!selector.ok()) {
    configuration.Abort();
    Fail(ExitCode::kRefused, message.view());
  } else if (const auto done = configuration.Commit(message); !done.ok()) {
    const bool broken = done.code() == ErrorCode::kIoError || done.code() == ErrorCode::kNoSpace;
    Fail(broken ? ExitCode::kFailed : ExitCode::kRefused, message.view());
  } else {
    const bool restart = config::InfoOf(*selector).needs_restart();
    Succeed(restart ? "OK, in force after a restart" : "OK", message.view());
  }
  SecureZero({reinterpret_cast<uint8_t*>(const_cast<char*>(command_.c_str())), command_.size()});
  command_.Clear();
}

void Session::ExecuteStatus(std::string_view rest) {
  filter_.Assign(rest);
  node_ = 0;
  cursor_ = 0;
  StartListing(&Session::NextStatusLine, "Status");
}

// --- Commands -----------------------------------------------------------------------------------

// "<path>", "<path>: <value>", each with or without " Confirm: Yes" behind it.
void Session::ExecuteCommand(std::string_view rest) {
  const bool confirmed = TakeConfirmation(rest);
  const size_t colon = std::min(rest.find(':'), rest.size());
  const std::string_view path = Trim(rest.substr(0, colon));
  std::string_view value = Trim(rest.substr(std::min(colon + 1, rest.size())));
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    value = value.substr(1, value.size() - 2);
  }
  for (const Command& command : parts_.commands.commands()) {
    if (!EqualsIgnoreCase(command.path, path)) {
      continue;
    }
    if (!Permits(command.needs(), command.path)) {
      return;
    }
    if (value.empty() == (command.run_value != nullptr)) {
      uint8_t bytes[300];
      ByteWriter out(bytes);
      out.Text("expected: xCommand ");
      out.Text(command.path);
      out.Text(command.run_value != nullptr ? ": " : "");
      out.Text(command.value_help);
      Fail(ExitCode::kNotUnderstood, out.text());
      return;
    }
    AskOrRun(command, value, confirmed);
    return;
  }
  uint8_t bytes[kOutputLineMax];
  ByteWriter out(bytes);
  out.Text("expected one of:");
  const std::string_view first_word = path.substr(0, path.find(' '));
  const auto begins = [&](const Command& one) { return WordsBegin(one.path, first_word); };
  const auto commands = parts_.commands.commands();
  const bool is_known = std::any_of(commands.begin(), commands.end(), begins);
  bool is_first = true;
  for (const Command& command : commands) {
    if (!is_known || begins(command)) {
      out.Text(is_first ? " " : ", ");
      out.Text(command.path);
      is_first = false;
    }
  }
  Fail(ExitCode::kNotUnderstood, out.text());
}

void Session::AskOrRun(const Command& command, std::string_view value, bool confirmed) {
  asked_ = &command;
  asked_value_.Assign(value);
  if (command.question[0] != '\0' && !confirmed) {
    if (!is_interactive() || form_ != OutputForm::kTerminal) {
      uint8_t bytes[300];
      ByteWriter out(bytes);
      out.Text(command.question);
      out.Text(" Expected: Confirm: Yes");
      Fail(ExitCode::kRefused, out.text());
      return;
    }
    PutLine(command.question);
    state_ = State::kConfirm;
    return;
  }
  StartCommand();
}

// asked_, at once or when nothing else is due.
void Session::StartCommand() {
  if (asked_->slow) {
    Defer(Deferred::kCommand);
    return;
  }
  RunCommand(*asked_, asked_value_.view());
}

void Session::RunCommand(const Command& command, std::string_view value) {
  const bool taken = command.guest != nullptr && guest_is_taken != nullptr &&
                     guest_is_taken(guest_context, command.guest);
  if (taken) {
    Fail(ExitCode::kRefused, "another session is doing this");
    return;
  }
  AssignActor();
  parts_.log.Emit(log::event::CommandRun{.command = command.path,
                                         .by = parts_.actor.view(),
                                         .value = command.secret_value ? "********" : value});
  uint8_t bytes[kOutputLineMax];
  ByteWriter out(bytes);
  const auto done = command.run_value != nullptr
                        ? command.run_value(command.context, parts_.actor.view(), value, out)
                        : command.run(command.context, parts_.actor.view(), out);
  if (command.secret_value) {
    asked_value_.Clear();
  }
  if (!done.ok()) {
    Fail(done.code() == ErrorCode::kInvalidArgument || done.code() == ErrorCode::kWrongState ||
                 done.code() == ErrorCode::kNotFound
             ? ExitCode::kRefused
             : ExitCode::kFailed,
         done.error().what);
    return;
  }
  if (command.guest != nullptr) {
    output_.Print(out.text());
    guest_ = command.guest;
    guest_->Enter(now_);
    state_ = State::kGuest;
    return;
  }
  if (command.next != nullptr) {
    if (!out.text().empty() && form_ == OutputForm::kTerminal) {
      output_.Print(out.text());
    }
    listed_ = &command;
    cursor_ = 0;
    StartListing(&Session::NextCommandLine, "CommandResponse");
    return;
  }
  ShowCommandOutput(command, out.text());
}

void Session::ShowCommandOutput(const Command& command, std::string_view text) {
  if (form_ == OutputForm::kTerminal) {
    output_.Print(text.empty() ? "OK" : text);
    return;
  }
  LineEndSink sink(output_);
  form_writer_.Begin(form_, "CommandResponse", sink);
  form_writer_.Value("Command", command.path);
  form_writer_.Value("Status", "OK");
  form_writer_.BeginList("Output");
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    form_writer_.Text(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  form_writer_.End();
}

// --- Feedback -----------------------------------------------------------------------------------

void Session::ExecuteFeedback(std::string_view rest) {
  const std::string_view verb = TakeWord(rest);
  if (EqualsIgnoreCase(verb, "List")) {
    cursor_ = 0;
    StartListing(&Session::NextFeedbackLine, "CommandResponse");
    return;
  }
  if (EqualsIgnoreCase(verb, "Register")) {
    config::Message why;
    if (!is_interactive() && kind_ != SessionKind::kScript) {
      Fail(ExitCode::kRefused, "feedback needs a session that goes on");
    } else if (const auto done = feedback_.Register(rest, parts_.status, parts_.log, why);
               !done.ok()) {
      Fail(done.code() == ErrorCode::kMalformed ? ExitCode::kNotUnderstood : ExitCode::kRefused,
           why.view());
    } else {
      Succeed("OK");
    }
    return;
  }
  if (EqualsIgnoreCase(verb, "Deregister")) {
    if (feedback_.Deregister(rest)) {
      Succeed("OK");
    } else {
      Fail(ExitCode::kRefused, "nothing of that name is registered (xFeedback List)");
    }
    return;
  }
  Fail(ExitCode::kNotUnderstood,
       "expected xFeedback Register <expression>, Deregister [<expression>] or List");
}

}  // namespace gh::admin
