// The session: input to lines, lines to commands, listings to pages. In the order of its header.
#include "firmware/admin/session.h"

#include <algorithm>

#include "firmware/config/line.h"
#include "firmware/config/tree.h"
#include "firmware/config/value.h"

namespace gh::admin {
namespace {

using config::EqualsIgnoreCase;
using config::Trim;

// A record nobody has the password of: an unknown name costs the same time as a wrong password.
constexpr std::string_view kNobodysRecord =
    "$argon2id$v=19$m=12288,t=3,p=1$AAECAwQFBgcICQoLDA0ODw$"
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
constexpr std::string_view kMorePrompt = "--More-- (space: page, Enter: line, q: quit)";

std::string_view TakeWord(std::string_view& rest) {
  rest = Trim(rest);
  const size_t size = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, size);
  rest = Trim(rest.substr(size));
  return word;
}

bool NamesSecret(std::string_view line, const config::RawSettings& settings) {
  config::Message ignored;
  const auto parsed = config::ParseLine(line, ignored);
  if (!parsed.ok() || !parsed->has_value) {
    return false;
  }
  const auto selector = config::FindSetting(parsed->path(), settings, ignored);
  return selector.ok() && config::InfoOf(*selector).is_secret();
}

}  // namespace

Session::Session(const SessionParts& parts)
    : parts_(parts),
      output_(parts.output),
      terminal_(parts.output.terminal()),
      completer_(parts.status, parts.commands),
      editor_(parts.output) {
  poll_name = "console";
}

void Session::Notice(std::string_view text) {
  if (has_guest()) {
    return;  // the terminal is not ours
  }
  const bool typing = started_ && state_ != State::kListing && !has_deferred();
  if (started_) {
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
  bool more = false;
  if (state_ == State::kListing) {
    ContinueListing();
    more = state_ == State::kListing && HasRoom();
  }
  if (state_ == State::kGuest) {
    ServeGuest();
    return false;  // the board asks for the next turn soon
  }
  const int64_t minutes = parts_.configuration.active().administration_session().time_out;
  if (!user_.empty() && minutes > 0 && now - last_input_ > Duration::Minutes(minutes)) {
    LogOut("idle");
  }
  const bool ready =
      started_ && state_ != State::kListing && !has_deferred() && HasRoom() && now >= not_before_;
  if (ready) {
    std::array<uint8_t, 1> byte;
    uint32_t count = 0;
    while (count < kInputBatch && !has_deferred() && state_ != State::kListing &&
           now >= not_before_ && HasRoom() && terminal_.Read(byte) == 1) {
      ++count;
      last_input_ = now;
      HandleKey(decoder_.Feed(byte[0]));
    }
    more = more || count == kInputBatch || state_ == State::kListing;
  }
  output_.Pump();
  return more;
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
      if (state_ == State::kPrompt) {
        HandleTab();
      }
      return;
    case Key::kCancel:
      Put("^C");
      editor_.Finish();
      if (state_ == State::kSetup) {
        setup_.Restart();
      }
      state_ = state_ == State::kPassword  ? State::kName
               : state_ == State::kConfirm ? State::kPrompt
                                           : state_;
      ShowPrompt();
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
      if (press.text() == "?" && state_ == State::kPrompt &&
          editor_.before_cursor().find('"') == std::string_view::npos &&
          !NamesSecret(editor_.text(), parts_.configuration.active())) {
        HandleQuestion();
        return;
      }
      break;
    default:
      break;
  }
  editor_.Handle(press);
}

void Session::HandleLine() {
  command_.Assign(editor_.text());
  if (state_ == State::kPrompt && !NamesSecret(command_.view(), parts_.configuration.active())) {
    editor_.AddHistory(command_.view());
  }
  editor_.Finish();
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
        RunCommand(*asked_, asked_value_.view());
      } else {
        PutLine("Not done.");
      }
      break;
    }
    default:
      Execute(Trim(command_.view()));
      break;
  }
  const bool listing =
      state_ == State::kListing || state_ == State::kMore || state_ == State::kGuest;
  if (!prompted_ && !listing && !has_deferred()) {
    ShowPrompt();
  }
}

void Session::ShowPrompt() {
  prompted_ = true;
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

void Session::HandleTab() {
  Completions completions;
  completer_.Complete(editor_.before_cursor(), parts_.configuration.active(), completions);
  const std::string_view common = completions.CommonWord();
  if (common.size() > completions.prefix.size()) {
    // What is typed stays as it is typed; the rest is added.
    editor_.Insert(common.substr(completions.prefix.size()));
  } else if (completions.count != 1 || completions.list[0].word.empty()) {
    ShowCandidates(completions);
    return;
  }
  if (completions.count == 1 && completions.setting == nullptr) {
    editor_.Insert(completions.list[0].ends_path ? ": " : " ");
  }
}

void Session::HandleQuestion() {
  Completions completions;
  completer_.Complete(editor_.before_cursor(), parts_.configuration.active(), completions);
  ShowCandidates(completions);
}

void Session::ShowCandidates(const Completions& completions) {
  Put("\r\n");
  if (completions.setting != nullptr) {
    uint8_t bytes[512];
    ByteWriter out(bytes);
    out.Text("  ");
    out.Text(completions.setting->help);
    out.Text("; expected ");
    config::DescribeExpected(*completions.setting, out);
    if (completions.setting->default_text[0] != '\0') {
      out.Text("; default ");
      out.Text(completions.setting->default_text);
    }
    out.Text(completions.setting->needs_restart() ? "; needs a restart" : "");
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
  editor_.Redraw();
}

// --- Log-in and set-up --------------------------------------------------------------------------

void Session::Start() {
  started_ = true;
  last_input_ = now_;
  if (parts_.configuration.is_factory()) {
    output_.Print("\nFirst set-up: there is no configuration yet. Ctrl-C begins anew.\n");
    setup_.Restart();
    state_ = State::kSetup;
    ShowPrompt();
    return;
  }
  StartLogin();
}

void Session::StartLogin() {
  user_.Clear();
  state_ = State::kName;
  Put("\r\n");
  ShowPrompt();
}

void Session::Defer(Deferred what) {
  deferred_ = what;
  deferred_since_ = now_;
}

void Session::RunDeferred() {
  const Deferred what = deferred_;
  deferred_ = Deferred::kNone;
  switch (what) {
    case Deferred::kNone:
      return;
    case Deferred::kLogin:
      FinishLogin();
      return;
    case Deferred::kSetup:
      FinishSetup();
      return;
    case Deferred::kSet:
      ExecuteSet();
      ShowPrompt();
      return;
  }
}

void Session::HandleName(std::string_view name) {
  if (name.empty()) {
    return;
  }
  login_name_.Assign(name);
  state_ = State::kPassword;
}

void Session::HandlePassword(std::string_view password) {
  password_size_ = std::min<size_t>(password.size(), config::kPasswordMax);
  std::memcpy(password_.Expose().data(), password.data(), password_size_);
  command_.Clear();
  const Duration wait = parts_.guard.WaitFor(login_name_.view(), now_);
  not_before_ = now_ + wait;
  Defer(Deferred::kLogin);
  deferred_since_ = now_ + wait;
}

void Session::FinishLogin() {
  const config::Administrator* account = parts_.configuration.FindAdministrator(login_name_.view());
  const std::string_view record =
      account != nullptr ? account->password.hash.view() : kNobodysRecord;
  const std::string_view password =
      AsText(std::span<const uint8_t>(password_.Expose()).first(password_size_));
  const bool good = parts_.hasher.Verify(password, record).ok() && account != nullptr;
  password_.Zero();
  password_size_ = 0;
  state_ = State::kName;
  if (!good) {
    const uint32_t failures = parts_.guard.Failed(login_name_.view(), now_);
    parts_.log.Emit(log::event::LoginRefused{
        .user = login_name_.view(), .from = terminal_.name(), .failures = failures});
    not_before_ = now_ + parts_.guard.WaitFor(login_name_.view(), now_);
    PutLine("Log-in refused.");
    ShowPrompt();
    return;
  }
  parts_.guard.Succeeded(login_name_.view());
  user_ = login_name_;
  role_ = account->role;
  state_ = State::kPrompt;
  last_input_ = now_;
  parts_.log.Emit(log::event::LoggedIn{.user = user_.view(), .from = terminal_.name()});
  PutLine("Type ? or help for help.");
  ShowPrompt();
}

void Session::FinishSetup() {
  config::Message why;
  parts_.actor.Assign("first set-up");
  const bool good = setup_.Commit(parts_.configuration, why).ok();
  setup_.Restart();
  if (!good) {
    PutLine(why.view());
    ShowPrompt();
    return;
  }
  PutLine("Saved. Log in with the name and password you chose.");
  StartLogin();
}

void Session::LogOut(const char* why) {
  parts_.log.Emit(
      log::event::LoggedOut{.user = user_.view(), .from = terminal_.name(), .reason = why});
  if (state_ == State::kMore || state_ == State::kListing) {
    Put("\r\n");
  }
  editor_.Finish();
  PutLine("Logged out.");
  StartLogin();
}

// --- Commands -----------------------------------------------------------------------------------

bool Session::MayChange() const {
  return role_ == config::Role::kAdministrator || role_ == config::Role::kReadWrite;
}

void Session::Fail(std::string_view message) {
  Put("ERROR: ");
  PutLine(message);
}

void Session::Execute(std::string_view line) {
  std::string_view rest = line;
  const std::string_view verb = TakeWord(rest);
  if (verb.empty()) {
    return;
  }
  if (EqualsIgnoreCase(verb, "help") || EqualsIgnoreCase(verb, "xHelp")) {
    ShowHelp();
  } else if (EqualsIgnoreCase(verb, "xConfiguration") || EqualsIgnoreCase(verb, "*c")) {
    ExecuteConfiguration(line);
  } else if (EqualsIgnoreCase(verb, "xStatus")) {
    ExecuteStatus(rest);
  } else if (EqualsIgnoreCase(verb, "xCommand")) {
    ExecuteCommand(rest);
  } else if (EqualsIgnoreCase(verb, "exit") || EqualsIgnoreCase(verb, "quit") ||
             EqualsIgnoreCase(verb, "bye") || EqualsIgnoreCase(verb, "logout")) {
    LogOut("by the user");
  } else {
    Put("ERROR: \"");
    Put(verb.substr(0, 40));
    PutLine("\" is not a command; expected help, xConfiguration, xStatus, xCommand or exit");
  }
}

void Session::ShowHelp() {
  output_.Print(
      "xConfiguration                          all settings\n"
      "xConfiguration SIP UDP                  settings below these words\n"
      "xConfiguration SIP UDP Mode: On         changes a setting, at once and for good\n"
      "xConfiguration // port                  settings that have \"port\" in path or help\n"
      "xStatus [SIP]                           state of the system, or of a part\n"
      "xStatus Log                             the latest events\n"
      "xCommand Restart                        runs a command (xCommand ? lists them)\n"
      "exit                                    logs out\n"
      "\n"
      "Tab completes, ? shows what may follow. Up and Down recall lines. Ctrl-A, Ctrl-E, Ctrl-K,\n"
      "Ctrl-U, Ctrl-W, Ctrl-Y and the arrow keys edit as in other shells.");
}

void Session::ExecuteConfiguration(std::string_view text) {
  config::Message expected;
  const auto line = config::ParseLine(text, expected);
  if (!line.ok()) {
    Fail(expected.view());
    return;
  }
  if (line->has_value) {
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
  if (!line->is_search && line->word_count > 0) {
    // Words that lead nowhere are an error with what was expected, not an empty listing.
    std::array<config::NextWord, 1> next;
    const bool leads =
        config::NextWords(line->path(), parts_.configuration.active(), next) > 0 ||
        config::FindSetting(line->path(), parts_.configuration.active(), expected).ok();
    if (!leads) {
      Fail(expected.view());
      return;
    }
  }
  filter_.Assign(text);
  const auto kept = config::ParseLine(filter_.view(), expected);
  GH_ASSERT(kept.ok());
  path_ = *kept;
  position_ = {};
  FindWantedInstance();
  StartListing(&Session::NextSettingLine);
}

// Carries out command_, an xConfiguration line with a value.
void Session::ExecuteSet() {
  config::Message message;
  if (!MayChange()) {
    Fail("your role may look but not change");
    return;
  }
  config::Configuration& configuration = parts_.configuration;
  uint8_t bytes[96];
  ByteWriter actor(bytes);
  actor.Text(user_.view());
  actor.Char('@');
  actor.Text(terminal_.name());
  parts_.actor.Assign(actor.text());
  configuration.Begin();
  const auto selector = configuration.Apply(command_.view(), message);
  if (!selector.ok()) {
    configuration.Abort();
    Fail(message.view());
  } else if (!configuration.Commit(message).ok()) {
    Fail(message.view());
  } else {
    const bool restart = config::InfoOf(*selector).needs_restart();
    PutLine(restart ? "OK, in force after a restart" : "OK");
    if (!message.empty()) {
      PutLine(message.view());
    }
  }
  command_.Clear();
}

void Session::ExecuteStatus(std::string_view rest) {
  filter_.Assign(rest);
  node_ = 0;
  cursor_ = 0;
  StartListing(&Session::NextStatusLine);
}

// "<path>", "<path>: <value>", each with or without " Confirm: Yes" behind it.
void Session::ExecuteCommand(std::string_view rest) {
  const size_t confirm = rest.find("Confirm:");
  const std::string_view typed = Trim(rest.substr(0, confirm));
  const bool confirmed =
      confirm != rest.npos && EqualsIgnoreCase(Trim(rest.substr(confirm + 8)), "Yes");
  const size_t colon = std::min(typed.find(':'), typed.size());
  const std::string_view path = Trim(typed.substr(0, colon));
  std::string_view value = Trim(typed.substr(std::min(colon + 1, typed.size())));
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    value = value.substr(1, value.size() - 2);
  }
  for (const Command& command : parts_.commands.commands()) {
    if (!EqualsIgnoreCase(command.path, path)) {
      continue;
    }
    if (!command.only_looks && !MayChange()) {
      Fail("your role may look but not run commands");
      return;
    }
    if (value.empty() == (command.run_value != nullptr)) {
      Put("ERROR: expected: xCommand ");
      Put(command.path);
      Put(command.run_value != nullptr ? ": " : "");
      PutLine(command.value_help);
      return;
    }
    if (command.question[0] != '\0' && !confirmed) {
      PutLine(command.question);
      asked_ = &command;
      asked_value_.Assign(value);
      state_ = State::kConfirm;
      return;
    }
    RunCommand(command, value);
    return;
  }
  Put("ERROR: expected one of:");
  for (const Command& command : parts_.commands.commands()) {
    Put(&command == parts_.commands.commands().data() ? " " : ", ");
    Put(command.path);
  }
  Put("\r\n");
}

void Session::RunCommand(const Command& command, std::string_view value) {
  parts_.log.Emit(log::event::CommandRun{.command = command.path, .by = user_.view()});
  uint8_t bytes[kOutputLineMax];
  ByteWriter out(bytes);
  const auto done = command.run_value != nullptr
                        ? command.run_value(command.context, user_.view(), value, out)
                        : command.run(command.context, user_.view(), out);
  if (!done.ok()) {
    Fail(done.error().what);
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
    if (!out.text().empty()) {
      output_.Print(out.text());
    }
    listed_ = &command;
    cursor_ = 0;
    StartListing(&Session::NextCommandLine);
    return;
  }
  output_.Print(out.text().empty() ? "OK" : out.text());
}

void Session::ServeGuest() {
  last_input_ = now_;
  if (output_.Pump() || guest_->Serve(terminal_, now_)) {
    return;
  }
  uint8_t bytes[kOutputLineMax];
  ByteWriter out(bytes);
  guest_->Leave(out);
  guest_ = nullptr;
  state_ = State::kPrompt;
  output_.Print(out.text());
  ShowPrompt();
}

// --- Listings -----------------------------------------------------------------------------------

void Session::StartListing(NextLine next) {
  next_line_ = next;
  rows_left_ = kTerminalRows - 1;
  listing_count_ = 0;
  state_ = State::kListing;
  ContinueListing();
}

void Session::EndListing() {
  state_ = State::kPrompt;
  if (listing_count_ == 0) {
    Fail("nothing matches");
  } else {
    PutLine("** end");
  }
  ShowPrompt();
}

void Session::ContinueListing() {
  while (state_ == State::kListing && HasRoom()) {
    uint8_t bytes[kOutputLineMax];
    ByteWriter out(bytes);
    if (!(this->*next_line_)(out)) {
      EndListing();
      return;
    }
    ++listing_count_;
    PutLine(out.text());
    const auto rows = static_cast<uint32_t>(1 + (out.size() + 1) / (kTerminalColumns + 1));
    rows_left_ -= std::min(rows, rows_left_);
    if (rows_left_ <= 1) {
      Put(kMorePrompt);
      state_ = State::kMore;
    }
  }
}

void Session::HandleMore(const KeyPress& press) {
  const bool quit = press.key == Key::kCancel || press.text() == "q" || press.text() == "Q";
  const bool page = press.text() == " ";
  const bool line = press.key == Key::kEnter || press.key == Key::kDown;
  if (!quit && !page && !line) {
    return;
  }
  editor_.Hide();
  if (quit) {
    state_ = State::kPrompt;
    ShowPrompt();
    return;
  }
  rows_left_ = page ? kTerminalRows - 1 : 2;
  state_ = State::kListing;
  ContinueListing();
}

bool Session::NextStatusLine(ByteWriter& out) {
  const auto nodes = parts_.status.nodes();
  while (node_ < nodes.size()) {
    const StatusNode& node = nodes[node_];
    const bool possible = (WordsBegin(node.path, filter_.view()) && !node.only_named) ||
                          WordsBegin(filter_.view(), node.path);
    uint8_t bytes[kOutputLineMax];
    ByteWriter line(bytes);
    if (!possible || !node.next(node.context, cursor_, line)) {
      ++node_;
      cursor_ = 0;
      continue;
    }
    if (WordsBegin(line.text(), filter_.view())) {
      out.Text("*s ");
      out.Text(line.text());
      return true;
    }
  }
  return false;
}

bool Session::NextCommandLine(ByteWriter& out) {
  return listed_->next(listed_->context, cursor_, out);
}

void Session::FindWantedInstance() {
  wants_instance_ = false;
  for (uint32_t s = 0; s < config::kSettingCount && !wants_instance_; ++s) {
    const auto match = config::MatchPath(s, path_.path(), parts_.configuration.active());
    wants_instance_ = match.all_words && match.has_instance;
    wanted_ = {s, match.instance};
  }
}

bool Session::SettingMatches(config::Selector selector) const {
  const config::SettingInfo& info = config::InfoOf(selector);
  uint8_t bytes[config::kPathTextMax];
  ByteWriter path(bytes);
  config::FormatPath(selector, path);
  if (path_.is_search) {
    return config::ContainsIgnoreCase(path.text(), path_.search) ||
           config::ContainsIgnoreCase(info.help, path_.search);
  }
  uint32_t matched = 0;
  std::string_view rest = path.text();
  while (matched < path_.word_count) {
    if (!EqualsIgnoreCase(TakeWord(rest), path_.words[matched])) {
      return false;
    }
    ++matched;
  }
  return true;
}

// The next setting in order of group, instance, setting; absent instances are passed over.
bool Session::AdvanceSetting() {
  const config::RawSettings& settings = parts_.configuration.active();
  const uint32_t group = config::InfoOf(position_).group;
  const config::GroupInfo& info = config::kGroups[group];
  if (position_.setting + 1 < uint32_t{info.setting_first} + info.setting_count) {
    ++position_.setting;
    return true;
  }
  position_.setting = info.setting_first;
  while (++position_.instance < settings.instance_count(group)) {
    const bool wanted = wants_instance_ && config::InfoOf(wanted_).group == group &&
                        wanted_.instance == position_.instance;
    if (wanted || settings.IsPresent(group, position_.instance)) {
      return true;
    }
  }
  position_ = {uint32_t{info.setting_first} + info.setting_count, 0};
  return position_.setting < config::kSettingCount;
}

bool Session::NextSettingLine(ByteWriter& out) {
  const config::RawSettings& settings = parts_.configuration.active();
  while (position_.setting < config::kSettingCount) {
    const config::Selector here = position_;
    const config::GroupInfo& group = config::GroupOf(here);
    // The first instance stands for all when the words name none that is there.
    const bool shown = !group.is_table() || path_.word_count > 0 ||
                       settings.IsPresent(config::InfoOf(here).group, here.instance);
    const bool matches = shown && SettingMatches(here);
    AdvanceSetting();
    if (!matches) {
      continue;
    }
    out.Text("*c xConfiguration ");
    config::FormatPath(here, out);
    out.Text(": ");
    const config::SettingInfo& info = config::InfoOf(here);
    uint8_t bytes[256];
    ByteWriter value(bytes);
    config::FormatValue(info, settings.Field(here), value);
    if (info.kind == config::Kind::kEnum || info.kind == config::Kind::kInteger) {
      out.Text(value.text());
    } else {
      config::WriteQuoted(out, value.text());
    }
    return true;
  }
  return false;
}

}  // namespace gh::admin
