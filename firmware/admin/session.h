// One operator at one terminal: log-in (or first set-up), then commands until log-out.
//
// The session never waits and never runs long: output goes through a bounded queue, listings are
// pulled line by line while there is room and stop at --More--, and work that takes tens of
// milliseconds (Argon2id) is left for the appliance to run when nothing else is due (RunDeferred).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "crypto/password.h"
#include "firmware/admin/cli/completion.h"
#include "firmware/admin/cli/key_decoder.h"
#include "firmware/admin/cli/line_editor.h"
#include "firmware/admin/cli/setup.h"
#include "firmware/admin/commands.h"
#include "firmware/admin/login.h"
#include "firmware/admin/status.h"
#include "firmware/admin/terminal.h"
#include "firmware/config/configuration.h"
#include "firmware/log/log.h"
#include "hal/rt/event_loop.h"
#include "hal/rt/fixed_string.h"

namespace gh::admin {

// Who is changing the configuration at the moment, for the audit log.
using Actor = FixedString<96>;

struct SessionParts {
  OutputQueue& output;
  config::Configuration& configuration;
  log::Log& log;
  const StatusTree& status;
  const CommandTable& commands;
  crypto::PasswordHasher& hasher;
  LoginGuard& guard;
  Actor& actor;
};

class Session final : public Pollable {
 public:
  explicit Session(const SessionParts& parts);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Begins with set-up or log-in.
  void Start();
  // Lines for the operator that come by themselves; what is being typed is drawn again.
  void Notice(std::string_view text);
  bool Poll(Instant now) override;

  bool has_deferred() const { return deferred_ != Deferred::kNone; }
  Instant deferred_since() const { return deferred_since_; }
  // Runs what was put off: tens of milliseconds.
  void RunDeferred();
  Duration deferred_max() const { return deferred_max_; }
  void NoteDeferred(Duration took) { deferred_max_ = took > deferred_max_ ? took : deferred_max_; }

  // A file transfer has the terminal.
  bool has_guest() const { return state_ == State::kGuest; }

  std::string_view user() const { return user_.view(); }

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
    kGuest
  };
  enum class Deferred : uint8_t { kNone, kLogin, kSet, kSetup };
  using NextLine = bool (Session::*)(ByteWriter& out);

  void Put(std::string_view text) { output_.Put(text); }
  void PutLine(std::string_view text) { output_.PutLine(text); }
  bool HasRoom() const { return output_.room() >= kOutputReserve; }

  void HandleKey(const KeyPress& press);
  void HandleMore(const KeyPress& press);
  void HandleLine();
  void HandleTab();
  void HandleQuestion();
  void ShowCandidates(const Completions& completions);
  void ShowPrompt();

  void StartLogin();
  void HandleName(std::string_view name);
  void HandlePassword(std::string_view password);
  void FinishLogin();
  void FinishSetup();
  void LogOut(const char* why);
  void Defer(Deferred what);

  void Execute(std::string_view line);
  void ExecuteConfiguration(std::string_view line);
  void ExecuteSet();
  void ExecuteStatus(std::string_view rest);
  void ExecuteCommand(std::string_view rest);
  void RunCommand(const Command& command, std::string_view value);
  void ShowHelp();
  bool MayChange() const;
  void Fail(std::string_view message);

  void StartListing(NextLine next);
  void ContinueListing();
  void ServeGuest();
  void EndListing();
  bool NextStatusLine(ByteWriter& out);
  bool NextCommandLine(ByteWriter& out);
  bool NextSettingLine(ByteWriter& out);
  void FindWantedInstance();
  bool SettingMatches(config::Selector selector) const;
  bool AdvanceSetting();

  SessionParts parts_;
  OutputQueue& output_;
  Terminal& terminal_;
  Completer completer_;
  KeyDecoder decoder_;
  LineEditor editor_;
  Setup setup_;
  State state_ = State::kIdle;
  bool started_ = false;
  Instant now_;
  Instant last_input_;
  Instant not_before_;  // after a failed log-in

  FixedString<63> user_;
  FixedString<63> login_name_;
  SecretBytes<config::kPasswordMax> password_;
  size_t password_size_ = 0;
  config::Role role_ = config::Role::kAuditor;

  FixedString<kLineBytesMax> command_;  // the line that is being carried out
  Deferred deferred_ = Deferred::kNone;
  Instant deferred_since_;
  Duration deferred_max_;
  TerminalGuest* guest_ = nullptr;
  const Command* asked_ = nullptr;
  FixedString<kLineBytesMax> asked_value_;
  const Command* listed_ = nullptr;
  bool prompted_ = false;

  // The listing in progress.
  NextLine next_line_ = nullptr;
  uint32_t rows_left_ = 0;
  uint32_t listing_count_ = 0;
  FixedString<kLineBytesMax> filter_;
  config::Line path_;
  config::Selector position_;
  bool wants_instance_ = false;  // path_ names an instance: shown even when it is not there
  config::Selector wanted_;
  uint32_t node_ = 0;
  uint64_t cursor_ = 0;
};

}  // namespace gh::admin
