// One operator at one terminal: log-in (or first set-up), then commands until log-out; or one
// command line run over SSH, with an exit status.
//
// The session never waits and never runs long: output goes through a bounded queue, listings are
// pulled line by line while there is room and stop at --More--, and work that takes tens of
// milliseconds (Argon2id) is left in the deferred queue for when nothing else is due.
//
// Sessions come from a pool (sessions.h). Source files, by what they do: session.cc keys to lines,
// session_login.cc who it is, session_commands.cc lines to commands, session_listing.cc pages.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "firmware/admin/accounts.h"
#include "firmware/admin/cli/completion.h"
#include "firmware/admin/cli/feedback.h"
#include "firmware/admin/cli/form.h"
#include "firmware/admin/cli/key_decoder.h"
#include "firmware/admin/cli/line_editor.h"
#include "firmware/admin/cli/setup.h"
#include "firmware/admin/commands.h"
#include "firmware/admin/deferred.h"
#include "firmware/admin/identity.h"
#include "firmware/admin/output_queue.h"
#include "firmware/admin/status.h"
#include "firmware/admin/terminal.h"
#include "firmware/config/configuration.h"
#include "firmware/log/log.h"
#include "hal/rt/fixed_string.h"

namespace gh::admin {

enum class SessionKind : uint8_t {
  kSerial,  // asks who it is; after log-out asks again; never ends
  kShell,   // a terminal of columns x rows: editing, pages
  kScript,  // lines from a pipe: no echo, no prompt, no pages; ends with the input
  kExec,    // one command line: no pages, ends with it
};

// What a script sees of a command.
enum class ExitCode : uint8_t {
  kOk = 0,
  kFailed = 1,         // it ran and did not succeed
  kNotUnderstood = 2,  // no such command, setting or form
  kRefused = 3,        // understood, but the value or the state does not allow it
  kNotPermitted = 4,   // not with this role
  kEnded = 5,          // the session was ended: idle, too long, account gone
};

class Session;

class SessionObserver {
 public:
  // The session is over and its terminal has taken all output; it may be opened for another from
  // here on. Never called from inside Open() or Close().
  virtual void OnSessionEnded(Session& session, ExitCode code) = 0;

 protected:
  ~SessionObserver() = default;
};

struct SessionRequest {
  SessionKind kind = SessionKind::kShell;
  Terminal* terminal = nullptr;         // outlives the session
  SessionObserver* observer = nullptr;  // the same
  Origin origin = {};
  Identity identity = {};  // who it is; nobody (serial): asks
  uint32_t columns = kTerminalColumns;
  uint32_t rows = kTerminalRows;
  std::string_view command_line = {};  // kExec; copied
};

struct SessionParts {
  config::Configuration& configuration;
  log::Log& log;
  const StatusTree& status;
  const CommandTable& commands;
  Accounts& accounts;
  DeferredQueue& deferred;
  Actor& actor;  // who is changing the configuration at the moment, for the audit log
};

class Session final : private PasswordCheck::Observer, private DeferredWork {
 public:
  Session(const SessionParts& parts, OutputQueue& output);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  bool is_open() const { return state_ != State::kIdle; }
  void Open(const SessionRequest& request, Instant now);
  // Ends it at once, without a word to the observer: its terminal is gone.
  void Close();
  void Resize(uint32_t columns, uint32_t rows);

  // A bounded batch of work; true when more is waiting.
  bool Poll(Instant now);
  // Lines for the operator that come by themselves; what is being typed is drawn again.
  void Notice(std::string_view text);

  // A file transfer or a follow has the terminal: Poll soon.
  bool has_guest() const { return state_ == State::kGuest; }
  bool is_waiting() const { return has_guest() || listing_waits_ || feedback_.is_due_soon(); }
  bool has_pending_work() const { return is_deferred() || check_.is_pending(); }
  const TerminalGuest* guest() const { return guest_; }

  const Identity& identity() const { return identity_; }
  const Origin& origin() const { return origin_; }
  SessionKind kind() const { return kind_; }
  Instant opened_at() const { return opened_at_; }
  Instant last_input() const { return last_input_; }
  // How many sessions have the guest `guest` (a guest serves one at a time): set by the pool.
  bool (*guest_is_taken)(void* context, const TerminalGuest* guest) = nullptr;
  void* guest_context = nullptr;
  // Ends the session, telling the operator why: "ended by an administrator".
  void End(const char* why);

 private:
  enum class State : uint8_t {
    kIdle,
    kSetup,
    kName,
    kPassword,
    kPrompt,
    kListing,
    kMore,
    kConfirm,
    kGuest,
    kEnding,  // output is on its way, then it is over
  };
  enum class Deferred : uint8_t { kNone, kSet, kSetup, kCommand };
  using NextLine = bool (Session::*)(ByteWriter& out);

  // The editor draws only where somebody looks.
  class EditorSink final : public TextSink {
   public:
    explicit EditorSink(OutputQueue& output) : output_(output) {}
    void Put(std::string_view text) override {
      if (is_on) {
        output_.Put(text);
      }
    }
    bool is_on = true;

   private:
    OutputQueue& output_;
  };

  // session.cc
  void Put(std::string_view text) { output_.Put(text); }
  void PutLine(std::string_view text) { output_.PutLine(text); }
  bool HasRoom() const { return output_.room() >= kOutputReserve; }
  bool is_interactive() const {
    return kind_ == SessionKind::kSerial || kind_ == SessionKind::kShell;
  }
  bool is_busy() const { return has_pending_work() || state_ == State::kListing; }
  bool ReadInput(Instant now);
  void CheckTimeOuts(Instant now);
  void HandleKey(const KeyPress& press);
  void HandleMore(const KeyPress& press);
  void HandleCancel();
  void HandleLine();
  void AfterLine();
  void HandleTab();
  void ShowCandidates(std::string_view before);
  void ShowPrompt();
  bool HidesFromHistory(std::string_view line) const;
  void Finish(ExitCode code);

  // session_login.cc
  void StartSerial();
  void StartLogin();
  void HandleName(std::string_view name);
  void HandlePassword(std::string_view password);
  void OnPasswordChecked(Verdict verdict, const Identity& identity) override;
  void Welcome();
  void FinishSetup();
  void LogOut(const char* why);
  void Defer(Deferred what);
  void RunDeferred(Instant now) override;

  // session_commands.cc
  void Execute(std::string_view line);
  bool ExecuteVerb(std::string_view verb, std::string_view rest, std::string_view line);
  void ExecuteConfiguration(std::string_view line);
  void ExecuteSet();
  void ExecuteStatus(std::string_view rest);
  void ExecuteCommand(std::string_view rest);
  void ExecuteFeedback(std::string_view rest);
  void ExecutePreferences(std::string_view rest);
  void ExecuteHelp(std::string_view rest);
  void AskOrRun(const Command& command, std::string_view value, bool confirmed);
  void StartCommand();
  void RunCommand(const Command& command, std::string_view value);
  bool Permits(Right right, std::string_view what);
  void Fail(ExitCode code, std::string_view message);
  void Succeed(std::string_view message, std::string_view note = {});
  void ShowCommandOutput(const Command& command, std::string_view text);
  void AssignActor() { parts_.actor = ActorOf(identity_, origin_); }

  // session_listing.cc
  void StartListing(NextLine next, std::string_view root);
  void ContinueListing();
  void ServeGuest();
  void EndListing();
  void CancelListing();
  void WriteForm(std::string_view line);
  bool PollFeedback(Instant now);
  bool NextStatusLine(ByteWriter& out);
  bool NextCommandLine(ByteWriter& out);
  bool NextSettingLine(ByteWriter& out);
  bool NextFeedbackLine(ByteWriter& out);
  void FindWantedInstance();
  bool SettingMatches(config::Selector selector) const;
  bool AdvanceSetting();

  SessionParts parts_;
  OutputQueue& output_;
  EditorSink editor_sink_;
  Terminal* terminal_ = nullptr;
  SessionObserver* observer_ = nullptr;
  Completer completer_;
  KeyDecoder decoder_;
  LineEditor editor_;
  Setup setup_;
  FormWriter form_writer_;
  Feedback feedback_;
  State state_ = State::kIdle;
  SessionKind kind_ = SessionKind::kSerial;
  OutputForm form_ = OutputForm::kTerminal;
  OutputForm form_kept_ = OutputForm::kTerminal;  // of the session; form_ is of the command
  ExitCode exit_ = ExitCode::kOk;
  Origin origin_;
  Identity identity_;
  uint32_t columns_ = kTerminalColumns;
  uint32_t rows_ = kTerminalRows;
  Instant now_;
  Instant opened_at_;
  Instant last_input_;
  Instant not_before_;   // after a failed log-in
  bool starts_ = false;  // kExec: the command line is still to be run

  FixedString<63> login_name_;
  PasswordCheck check_;

  FixedString<kLineBytesMax> command_;  // the line that is being carried out
  std::string_view set_line_;           // of it: "xConfiguration ...: ..."
  Deferred deferred_ = Deferred::kNone;
  TerminalGuest* guest_ = nullptr;
  const Command* asked_ = nullptr;
  FixedString<kLineBytesMax> asked_value_;
  const Command* listed_ = nullptr;
  bool prompted_ = false;

  // The listing in progress.
  NextLine next_line_ = nullptr;
  bool listing_waits_ = false;
  uint32_t rows_left_ = 0;
  uint32_t listing_count_ = 0;
  FixedString<kLineBytesMax> filter_;
  config::Line path_;
  config::Selector position_;
  bool wants_instance_ = false;  // path_ names an instance: shown even when it is not there
  config::Selector wanted_;
  config::Selector listed_setting_;  // of the line just written
  uint32_t node_ = 0;
  uint64_t cursor_ = 0;
};

}  // namespace gh::admin
