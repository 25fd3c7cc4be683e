// The session: listings line by line, page by page, and what comes by itself. See session.h.
#include <algorithm>

#include "firmware/admin/cli/line_end_sink.h"
#include "firmware/admin/cli/session_text.h"
#include "firmware/admin/session.h"
#include "firmware/config/line.h"
#include "firmware/config/tree.h"
#include "firmware/config/value.h"

namespace gh::admin {

using config::EqualsIgnoreCase;

void Session::ServeGuest() {
  last_input_ = now_;
  if (output_.Pump() || guest_->Serve(*terminal_, now_)) {
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

void Session::StartListing(NextLine next, std::string_view root) {
  next_line_ = next;
  listing_waits_ = false;
  rows_left_ = rows_ - 1;
  listing_count_ = 0;
  state_ = State::kListing;
  if (form_ != OutputForm::kTerminal) {
    LineEndSink sink(output_);
    form_writer_.Begin(form_, root, sink);
    if (next == &Session::NextCommandLine || next == &Session::NextFeedbackLine) {
      if (next == &Session::NextCommandLine) {
        form_writer_.Value("Command", listed_->path);
      }
      form_writer_.Value("Status", "OK");
      form_writer_.BeginList("Output");
    }
  }
  ContinueListing();
}

void Session::EndListing() {
  state_ = State::kPrompt;
  listing_waits_ = false;
  if (form_ != OutputForm::kTerminal) {
    LineEndSink sink(output_);
    form_writer_.SetSink(sink);
    form_writer_.End();
  }
  const bool is_command =
      next_line_ == &Session::NextCommandLine || next_line_ == &Session::NextFeedbackLine;
  if (listing_count_ == 0 && !is_command) {
    exit_ = ExitCode::kNotUnderstood;
    if (form_ == OutputForm::kTerminal) {
      Fail(ExitCode::kNotUnderstood, "nothing matches");
    }
  } else if (form_ == OutputForm::kTerminal && is_interactive()) {
    PutLine("** end");
  }
  ShowPrompt();
}

// A listing that is given up while it runs.
void Session::CancelListing() {
  if ((state_ == State::kListing || state_ == State::kMore) &&
      next_line_ == &Session::NextCommandLine && listed_->cancel != nullptr) {
    listed_->cancel(listed_->context);
  }
  listing_waits_ = false;
}

void Session::ContinueListing() {
  while (state_ == State::kListing && HasRoom()) {
    uint8_t bytes[kOutputLineMax];
    ByteWriter out(bytes);
    if (!(this->*next_line_)(out)) {
      listing_waits_ = next_line_ == &Session::NextCommandLine && listed_->pending != nullptr &&
                       listed_->pending(listed_->context, cursor_);
      if (!listing_waits_) {
        EndListing();
      } else {
        last_input_ = now_;
      }
      return;
    }
    ++listing_count_;
    if (form_ != OutputForm::kTerminal) {
      WriteForm(out.text());
      continue;
    }
    PutLine(out.text());
    if (!is_interactive() || listing_waits_) {
      continue;  // a pipe, or one that follows: it does not stop by itself
    }
    const auto rows = static_cast<uint32_t>(1 + out.size() / (columns_ + 1));
    rows_left_ -= std::min(rows, rows_left_);
    if (rows_left_ <= 1) {
      Put(kMorePrompt);
      state_ = State::kMore;
    }
  }
}

// One line of a listing as a value of the document.
void Session::WriteForm(std::string_view line) {
  LineEndSink sink(output_);
  form_writer_.SetSink(sink);
  if (next_line_ == &Session::NextCommandLine || next_line_ == &Session::NextFeedbackLine) {
    form_writer_.Text(line);
    return;
  }
  if (next_line_ == &Session::NextSettingLine) {
    uint8_t path_bytes[config::kPathTextMax];
    uint8_t value_bytes[260];
    ByteWriter path(path_bytes);
    ByteWriter value(value_bytes);
    config::FormatPath(listed_setting_, path);
    config::FormatValue(config::InfoOf(listed_setting_),
                        parts_.configuration.active().Field(listed_setting_), value);
    form_writer_.Value(path.text(), value.text());
    return;
  }
  line.remove_prefix(std::string_view("*s ").size());
  const size_t colon = line.find(": ");
  if (colon != line.npos) {
    form_writer_.Value(line.substr(0, colon), line.substr(colon + 2));
  } else if (!line.empty() && line.back() == ':') {
    form_writer_.Value(line.substr(0, line.size() - 1), "");
  } else {
    form_writer_.Value(parts_.status.nodes()[node_].path, line);
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
    CancelListing();
    state_ = State::kPrompt;
    ShowPrompt();
    return;
  }
  rows_left_ = page ? rows_ - 1 : 2;
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

bool Session::NextFeedbackLine(ByteWriter& out) {
  if (cursor_ >= feedback_.count()) {
    return false;
  }
  out.Text(feedback_.TextOf(static_cast<uint32_t>(cursor_++)));
  return true;
}

// --- What comes by itself -----------------------------------------------------------------------

// Shown at the prompt only, so that no answer is torn apart; what comes meanwhile comes later.
bool Session::PollFeedback(Instant now) {
  const bool listens =
      state_ == State::kPrompt && identity_.is_known() && !has_pending_work() && HasRoom();
  Feedback::Item item;
  if (!listens || !feedback_.Next(parts_.log, parts_.status,
                                  identity_.May(Right::kReadConfiguration), now, item)) {
    return false;
  }
  if (form_kept_ == OutputForm::kTerminal) {
    uint8_t bytes[kOutputLineMax + 160];
    ByteWriter out(bytes);
    out.Text(item.source == Feedback::Source::kStatus ? "*s " : "*e ");
    out.Text(item.path.view());
    out.Text(": ");
    out.Text(item.value.view());
    Notice(out.text());
    return true;
  }
  if (is_interactive()) {
    editor_.Hide();
  }
  LineEndSink sink(output_);
  form_writer_.Begin(form_kept_, "Feedback", sink);
  form_writer_.Value(item.path.view(), item.value.view());
  form_writer_.End();
  if (is_interactive()) {
    editor_.Redraw();
  }
  return true;
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
    listed_setting_ = here;
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
