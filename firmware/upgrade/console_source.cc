#include "firmware/upgrade/console_source.h"

namespace gh::upgrade {

namespace {
constexpr uint8_t kCtrlC = 0x03;
}

void ConsoleSource::Enter(Instant now) {
  engine_.emplace().Start(now);
  input_begin_ = input_end_ = replied_ = 0;
  offered_ = 0;
  had_file_ = is_over_ = false;
  failure_ = "";
  now_ = now;
}

bool ConsoleSource::FlushReply(admin::Terminal& terminal) {
  const auto reply = engine_->reply();
  if (replied_ < reply.size()) {
    replied_ += terminal.Write(reply.subspan(replied_));
  }
  if (replied_ < reply.size()) {
    return false;
  }
  engine_->ClearReply();
  replied_ = 0;
  return true;
}

bool ConsoleSource::Serve(admin::Terminal& terminal, Instant now) {
  now_ = now;
  for (uint32_t i = 0; i < kStepsPerTurn && Step(terminal, now); ++i) {
  }
  if (!is_over_) {
    engine_->Tick(now);
    (void)FlushReply(terminal);
    return true;
  }
  // What the sender still says is not meant for the prompt.
  if (terminal.Read(input_) > 0) {
    over_at_ = now;
  }
  return !FlushReply(terminal) || now - over_at_ < kSettle || upgrade_.active();
}

// True when there may be more to do at once.
bool ConsoleSource::Step(admin::Terminal& terminal, Instant now) {
  if (is_over_ || !FlushReply(terminal)) {
    return false;
  }
  if (engine_->event() != image::YmodemEvent::kNone) {
    const auto before = engine_->event();
    HandleEvent(now);
    return engine_->event() != before;
  }
  if (input_begin_ == input_end_) {
    input_begin_ = 0;
    input_end_ = terminal.Read(input_);
    if (input_end_ == 0) {
      return false;
    }
    if (!had_file_ && input_[0] == kCtrlC) {
      engine_->Cancel(ErrorCode::kCancelled, "cancelled at the console");
      return true;
    }
  }
  input_begin_ += static_cast<uint32_t>(
      engine_->Receive(std::span(input_).subspan(input_begin_, input_end_ - input_begin_), now));
  return true;
}

void ConsoleSource::HandleEvent(Instant now) {
  switch (engine_->event()) {
    case image::YmodemEvent::kNone:
      return;
    case image::YmodemEvent::kFile: {
      const auto begun = had_file_
                             ? Result<void>(Error(ErrorCode::kUnsupported, "one update at a time"))
                             : intake_.BeginUpgrade("console", engine_->size().value_or(0), now);
      if (!begun.ok()) {
        engine_->Cancel(begun.code(), begun.error().what);
        return;
      }
      had_file_ = true;
      engine_->Continue(now);
      return;
    }
    case image::YmodemEvent::kData:
      HandleData(now);
      return;
    case image::YmodemEvent::kFileEnd:
      upgrade_.End(now);
      // Refused only now: the transfer ends as it should all the same. A sender that waits for the
      // end to be acknowledged does not listen to a refusal, and would swallow the words of it.
      if (!upgrade_.active()) {
        engine_->Continue(now);
      }
      return;
    case image::YmodemEvent::kFailed:
      failure_ = engine_->failure().ok() ? "" : engine_->failure().error().what;
      upgrade_.Cancel(failure_, now);
      [[fallthrough]];
    case image::YmodemEvent::kDone:
      is_over_ = true;
      over_at_ = now;
      return;
  }
}

void ConsoleSource::HandleData(Instant now) {
  const auto data = engine_->data();
  offered_ += upgrade_.Offer(data.subspan(offered_), now);
  if (upgrade_.phase() == Phase::kFailed) {
    Refuse();
    return;
  }
  if (offered_ == data.size()) {
    offered_ = 0;
    engine_->Continue(now);
  }
}

void ConsoleSource::Refuse() { engine_->Cancel(ErrorCode::kRefused, "the update was refused"); }

void ConsoleSource::Leave(ByteWriter& out) {
  if (!is_over_ && had_file_) {
    upgrade_.Cancel("the terminal went away", now_);
  }
  out.Text("\n");  // behind what the protocol has left on the line
  if (!had_file_) {
    out.Text("No update was received");
    out.Text(failure_[0] == '\0' ? "" : ": ");
    out.Text(failure_);
    out.Text("\n");
    return;
  }
  const Status status = upgrade_.status(now_);
  if (status.phase == Phase::kInstalled && status.is_key_list) {
    out.Text("Installed ");
    out.Text(status.version.view());
    out.Text(": it is in force. xStatus Boot KeyList shows which keys count.\n");
    return;
  }
  if (status.phase == Phase::kInstalled) {
    out.Text("Installed in slot ");
    out.Char(status.slot);
    out.Text(": version ");
    out.Text(status.version.view());
    out.Text(", build ");
    out.Text(status.build_id.view());
    out.Text(". xCommand Restart starts it on trial.\n");
    return;
  }
  out.Text("ERROR: upgrade refused: ");
  out.Text(status.reason.view());
  out.Text(status.is_key_list ? ". The keys are what they were.\n"
                              : ". The running image is untouched.\n");
}

}  // namespace gh::upgrade
