// The session: first set-up, log-in and log-out. See session.h.
#include <algorithm>

#include "firmware/admin/session.h"

namespace gh::admin {

void Session::StartSerial() {
  if (parts_.configuration.is_factory()) {
    output_.Print("\nFirst set-up: there is no configuration yet. Ctrl-C begins anew.\n");
    setup_.Restart(parts_.configuration.preset_count() > 0);
    state_ = State::kSetup;
    ShowPrompt();
    return;
  }
  StartLogin();
}

void Session::StartLogin() {
  identity_ = {};
  feedback_.Clear();
  editor_.Forget();
  form_ = form_kept_ = OutputForm::kTerminal;
  state_ = State::kName;
  Put("\r\n");
  const auto& banner = parts_.configuration.active().administration().banner;
  if (!banner.empty()) {
    PutLine(banner.view());
  }
  ShowPrompt();
}

void Session::Defer(Deferred what) {
  deferred_ = what;
  parts_.deferred.Add(*this, now_);
}

void Session::RunDeferred(Instant now) {
  now_ = now;
  const Deferred what = deferred_;
  deferred_ = Deferred::kNone;
  switch (what) {
    case Deferred::kNone:
      return;
    case Deferred::kSetup:
      FinishSetup();
      return;
    case Deferred::kSet:
      ExecuteSet();
      break;
    case Deferred::kCommand:
      RunCommand(*asked_, asked_value_.view());
      break;
  }
  AfterLine();
}

void Session::HandleName(std::string_view name) {
  if (name.empty()) {
    return;
  }
  login_name_.Assign(name);
  state_ = State::kPassword;
}

void Session::HandlePassword(std::string_view password) {
  parts_.accounts.BeginPasswordCheck(check_, origin_, login_name_.view(), password, *this);
  command_.Clear();
}

void Session::OnPasswordChecked(Verdict verdict, const Identity& identity) {
  state_ = State::kName;
  if (verdict != Verdict::kAccepted) {
    not_before_ = now_ + parts_.accounts.WaitFor(origin_, login_name_.view());
    PutLine("Log-in refused.");
    ShowPrompt();
    return;
  }
  identity_ = identity;
  state_ = State::kPrompt;
  opened_at_ = last_input_ = now_;
  Welcome();
  ShowPrompt();
}

void Session::Welcome() {
  uint8_t bytes[400];
  ByteWriter out(bytes);
  parts_.accounts.WriteWelcome(identity_, out);
  if (!out.text().empty()) {
    output_.Print(out.text());
  }
  PutLine("Type ? or help for help.");
}

void Session::FinishSetup() {
  config::Message why;
  parts_.actor.Assign("first set-up");
  const bool good = setup_.Commit(parts_.configuration, why).ok();
  setup_.Restart(parts_.configuration.preset_count() > 0);
  if (!good) {
    PutLine(why.view());
    ShowPrompt();
    return;
  }
  PutLine("Saved. Log in with the name and password you chose.");
  StartLogin();
}

void Session::LogOut(const char* why) {
  parts_.log.Emit(log::event::LoggedOut{
      .user = identity_.user.view(), .from = origin_.text().view(), .reason = why});
  CancelListing();
  if (state_ == State::kMore || state_ == State::kListing) {
    Put("\r\n");
  }
  editor_.Finish();
  if (is_interactive()) {
    PutLine("Logged out.");
  }
  if (kind_ == SessionKind::kSerial) {
    StartLogin();
  } else {
    Finish(exit_);
  }
}

void Session::End(const char* why) {
  if (!is_open() || !identity_.is_known() || state_ == State::kEnding) {
    return;
  }
  if (guest_ != nullptr) {
    uint8_t bytes[kOutputLineMax];
    ByteWriter ignored(bytes);
    guest_->Leave(ignored);
    guest_ = nullptr;
    state_ = State::kPrompt;
  }
  exit_ = ExitCode::kEnded;
  LogOut(why);
}

}  // namespace gh::admin
