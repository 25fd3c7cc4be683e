// The session: keys to lines, and who has the terminal. Log-in, commands and listings are in the
// files beside this one.
#include "firmware/admin/session.h"

#include <algorithm>

#include "firmware/admin/cli/session_text.h"
#include "firmware/config/line.h"
#include "firmware/config/tree.h"
#include "firmware/config/value.h"

namespace gh::admin {

using config::EqualsIgnoreCase;
using config::Trim;

namespace {

bool NamesSecretSetting(std::string_view line, const config::RawSettings& settings) {
  config::Message ignored;
  const auto parsed = config::ParseLine(line, ignored);
  if (!parsed.ok() || !parsed->has_value) {
    return false;
  }
  const auto selector = config::FindSetting(parsed->path(), settings, ignored);
  return selector.ok() && config::InfoOf(*selector).is_secret();
}

}  // namespace

Session::Session(const SessionParts& parts, OutputQueue& output)
    : parts_(parts),
      output_(output),
      editor_sink_(output),
      completer_(parts.status, parts.commands),
      editor_(editor_sink_) {}

void Session::Open(const SessionRequest& request, Instant now) {
  GH_ASSERT(!is_open() && request.terminal != nullptr);
  GH_ASSERT((request.kind == SessionKind::kSerial) != request.identity.is_known());
  kind_ = request.kind;
  terminal_ = request.terminal;
  observer_ = request.observer;
  origin_ = request.origin;
  identity_ = request.identity;
  now_ = opened_at_ = last_input_ = now;
  not_before_ = {};
  exit_ = ExitCode::kOk;
  form_ = form_kept_ = OutputForm::kTerminal;
  editor_sink_.is_on = is_interactive();
  editor_.Forget();
  decoder_ = {};
  feedback_.Clear();
  command_.Clear();
  listing_waits_ = false;
  state_ = State::kPrompt;
  Resize(request.columns, request.rows);
  if (kind_ != SessionKind::kSerial) {
    output_.Bind(terminal_, is_interactive() ? LineEnd::kCarriageReturn : LineEnd::kPlain);
  }
  if (kind_ == SessionKind::kSerial) {
    StartSerial();
    return;
  }
  if (kind_ == SessionKind::kShell) {
    Welcome();
    ShowPrompt();
  } else if (kind_ == SessionKind::kExec) {
    command_.Assign(request.command_line);
    starts_ = true;
  }
}

void Session::Close() {
  if (!is_open()) {
    return;
  }
  CancelListing();
  if (guest_ != nullptr) {
    uint8_t bytes[kOutputLineMax];
    ByteWriter ignored(bytes);
    guest_->Leave(ignored);
    guest_ = nullptr;
  }
  parts_.accounts.Cancel(check_);
  parts_.deferred.Remove(*this);
  deferred_ = Deferred::kNone;
  starts_ = false;
  identity_ = {};
  editor_.Forget();
  command_.Clear();
  feedback_.Clear();
  if (kind_ != SessionKind::kSerial) {
    output_.Bind(nullptr);
  }
  terminal_ = nullptr;
  state_ = State::kIdle;
}

void Session::Resize(uint32_t columns, uint32_t rows) {
  columns_ = std::clamp(columns == 0 ? kTerminalColumns : columns, kTerminalColumnsMin,
                        kTerminalColumnsMax);
  rows_ = std::clamp(rows == 0 ? kTerminalRows : rows, kTerminalRowsMin, kTerminalRowsMax);
  editor_.SetColumns(columns_);
}

// Ends with `code` when the output is on its way.
void Session::Finish(ExitCode code) {
  exit_ = code;
  state_ = State::kEnding;
}

void Session::Notice(std::string_view text) {
  if (has_guest() || !is_open() || state_ == State::kEnding) {
    return;  // the terminal is not ours
  }
  const bool typing = is_interactive() && !is_busy();
  if (is_interactive()) {
    editor_.Hide();
  }
  PutLine(text);
  if (typing && state_ == State::kMore) {
    Put(kMorePrompt);
  } else if (typing) {
    editor_.Redraw();
  }
}

// --- Input --------------------------------------------------------------------------------------

bool Session::Poll(Instant now) {
  now_ = now;
  if (!is_open()) {
    return false;
  }
  bool more = false;
  if (starts_) {
    starts_ = false;
    HandleLine();
  }
  if (state_ == State::kListing) {
    ContinueListing();
    more = state_ == State::kListing && HasRoom() && !listing_waits_;
  }
  if (state_ == State::kGuest) {
    ServeGuest();
    return false;  // the appliance asks for the next turn soon
  }
  CheckTimeOuts(now);
  more = ReadInput(now) || more;
  more = PollFeedback(now) || more;
  const bool waits = output_.Pump();
  if (state_ == State::kEnding && !waits) {
    SessionObserver* observer = observer_;
    const ExitCode code = exit_;
    Close();
    if (observer != nullptr) {
      observer->OnSessionEnded(*this, code);
    }
    return false;
  }
  return more;
}

void Session::CheckTimeOuts(Instant now) {
  const auto& rules = parts_.configuration.active().administration_session();
  if (!identity_.is_known() || state_ == State::kEnding || has_pending_work()) {
    return;
  }
  if (rules.time_out > 0 && now - last_input_ > Duration::Minutes(rules.time_out)) {
    End("idle");
  } else if (rules.life_time > 0 && now - opened_at_ > Duration::Minutes(rules.life_time)) {
    End("it lasted as long as it may");
  } else if (!parts_.accounts.Refresh(identity_).is_known()) {
    End("the account is gone");
  }
}

// Keys, as many as a turn may take; true when there may be more.
bool Session::ReadInput(Instant now) {
  const bool cancels_only = state_ == State::kListing && listing_waits_;
  uint32_t count = 0;
  std::array<uint8_t, 1> byte;
  while (count < kInputBatch && state_ != State::kIdle && state_ != State::kEnding &&
         !has_pending_work() && (state_ != State::kListing || cancels_only) &&
         state_ != State::kGuest && kind_ != SessionKind::kExec && now >= not_before_ &&
         HasRoom() && terminal_->Read(byte) == 1) {
    ++count;
    last_input_ = now;
    const KeyPress press = decoder_.Feed(byte[0]);
    if (state_ != State::kListing) {
      HandleKey(press);
    } else if (press.key == Key::kCancel || press.text() == "q") {
      Put("\r\n");
      CancelListing();
      state_ = State::kPrompt;
      ShowPrompt();
    }
  }
  const bool ended = count == 0 && state_ == State::kPrompt && !has_pending_work() &&
                     kind_ != SessionKind::kSerial && kind_ != SessionKind::kExec &&
                     terminal_->at_end();
  if (ended && !editor_.empty()) {
    HandleLine();  // the last line had no line end
  } else if (ended) {
    Finish(exit_);
  }
  return count == kInputBatch || (count > 0 && state_ == State::kListing);
}

void Session::HandleKey(const KeyPress& press) {
  if (press.key == Key::kNone) {
    return;
  }
  if (state_ == State::kMore) {
    HandleMore(press);
    return;
  }
  switch (press.key) {
    case Key::kEnter:
      HandleLine();
      return;
    case Key::kTab:
      if (state_ == State::kPrompt && is_interactive()) {
        HandleTab();
      }
      return;
    case Key::kCancel:
      HandleCancel();
      return;
    case Key::kEndOfFile:
      if (state_ == State::kPrompt && editor_.empty()) {
        editor_.Finish();
        LogOut("by the user");
      } else {
        editor_.Handle({Key::kDelete, {}, 0});
      }
      return;
    case Key::kCharacter:
      if (press.text() == "?" && state_ == State::kPrompt && is_interactive() &&
          editor_.before_cursor().find('"') == std::string_view::npos &&
          !HidesFromHistory(editor_.text())) {
        ShowCandidates(editor_.before_cursor());
        return;
      }
      break;
    default:
      break;
  }
  editor_.Handle(press);
}

void Session::HandleCancel() {
  editor_sink_.Put("^C");
  editor_.Finish();
  if (state_ == State::kSetup) {
    setup_.Restart(parts_.configuration.preset_count() > 0);
  }
  state_ = state_ == State::kPassword  ? State::kName
           : state_ == State::kConfirm ? State::kPrompt
                                       : state_;
  ShowPrompt();
}

// A password, a passphrase of a backup: neither recalled nor shown again.
bool Session::HidesFromHistory(std::string_view line) const {
  if (NamesSecretSetting(line, parts_.configuration.active())) {
    return true;
  }
  const std::string_view verb = TakeWord(line);
  return EqualsIgnoreCase(verb, "xCommand") &&
         std::any_of(
             parts_.commands.commands().begin(), parts_.commands.commands().end(),
             [&](const Command& one) { return one.secret_value && WordsBegin(line, one.path); });
}

void Session::HandleLine() {
  if (kind_ != SessionKind::kExec) {
    command_.Assign(editor_.text());
    if (state_ == State::kPrompt && !HidesFromHistory(command_.view())) {
      editor_.AddHistory(command_.view());
    }
    editor_.Finish();
  }
  prompted_ = false;
  config::Message why;
  switch (state_) {
    case State::kSetup:
      if (!setup_.Answer(command_.view(), why)) {
        PutLine(why.view());
      }
      if (setup_.done()) {
        PutLine("One moment.");
        Defer(Deferred::kSetup);
        return;
      }
      break;
    case State::kName:
      HandleName(Trim(command_.view()));
      break;
    case State::kPassword:
      HandlePassword(command_.view());
      return;
    case State::kConfirm: {
      const bool yes = EqualsIgnoreCase(Trim(command_.view()), "yes");
      state_ = State::kPrompt;
      if (yes) {
        StartCommand();
      } else {
        PutLine("Not done.");
      }
      break;
    }
    default:
      form_ = form_kept_;
      exit_ = ExitCode::kOk;
      Execute(Trim(command_.view()));
      break;
  }
  AfterLine();
}

void Session::AfterLine() {
  const bool goes_on =
      state_ == State::kListing || state_ == State::kMore || state_ == State::kGuest;
  if (!prompted_ && !goes_on && !has_pending_work()) {
    ShowPrompt();
  }
}

void Session::ShowPrompt() {
  prompted_ = true;
  if (state_ == State::kEnding) {
    return;
  }
  if (kind_ == SessionKind::kExec) {
    Finish(exit_);
    return;
  }
  if (kind_ == SessionKind::kScript) {
    editor_.Start("", EditMode::kAnswer);
    return;
  }
  uint8_t bytes[80];
  ByteWriter prompt(bytes);
  switch (state_) {
    case State::kSetup:
      editor_.Start(setup_.prompt(), setup_.is_secret() ? EditMode::kSecret : EditMode::kAnswer);
      return;
    case State::kName:
      prompt.Text(parts_.configuration.active().system().name.view());
      prompt.Text(" login: ");
      editor_.Start(prompt.text(), EditMode::kAnswer);
      return;
    case State::kPassword:
      editor_.Start("password: ", EditMode::kSecret);
      return;
    case State::kConfirm:
      editor_.Start("yes or no: ", EditMode::kAnswer);
      return;
    default:
      prompt.Text(parts_.configuration.active().system().name.view());
      prompt.Text("> ");
      editor_.Start(prompt.text(), EditMode::kCommand);
  }
}

// --- Completion ---------------------------------------------------------------------------------

void Session::HandleTab() {
  Completions completions;
  completer_.Complete(editor_.before_cursor(), parts_.configuration.active(), completions);
  const std::string_view common = completions.CommonWord();
  if (common.size() > completions.prefix.size()) {
    // What is typed stays as it is typed; the rest is added.
    editor_.Insert(common.substr(completions.prefix.size()));
  } else if (completions.count != 1 || completions.list[0].word.empty()) {
    ShowCandidates(editor_.before_cursor());
    return;
  }
  if (completions.count == 1 && completions.setting == nullptr) {
    editor_.Insert(completions.list[0].ends_path ? ": " : " ");
  }
}

void Session::ShowCandidates(std::string_view before) {
  Completions completions;
  completer_.Complete(before, parts_.configuration.active(), completions);
  editor_sink_.Put("\r\n");
  if (completions.setting != nullptr) {
    uint8_t bytes[512];
    ByteWriter out(bytes);
    out.Text("  ");
    DescribeSetting(*completions.setting, out);
    PutLine(out.text());
  }
  for (const Candidate& candidate : std::span(completions.list).first(completions.count)) {
    uint8_t bytes[256];
    ByteWriter out(bytes);
    const std::string_view word = candidate.word.empty() ? candidate.shown.view() : candidate.word;
    out.Text("  ");
    out.Text(word);
    for (size_t column = word.size(); column < 18 && !candidate.help.empty(); ++column) {
      out.Char(' ');
    }
    out.Text(candidate.help.empty() ? "" : " ");
    out.Text(candidate.help.substr(0, 140));
    PutLine(out.text());
  }
  if (completions.count == 0 && completions.setting == nullptr) {
    PutLine("  nothing more is expected here");
  }
  if (state_ == State::kPrompt && before.data() == editor_.before_cursor().data()) {
    editor_.Redraw();
  }
}

}  // namespace gh::admin
