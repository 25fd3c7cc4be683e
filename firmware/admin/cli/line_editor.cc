#include "firmware/admin/cli/line_editor.h"

#include <algorithm>
#include <cstring>

#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "hal/rt/secret.h"

namespace gh::admin {
namespace {

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

}  // namespace

uint32_t LineEditor::ColumnsOf(std::string_view text) {
  return static_cast<uint32_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !IsContinuation(c); }));
}

size_t LineEditor::Previous(size_t at) const {
  while (at > 0 && IsContinuation(line_[--at])) {
  }
  return at;
}

size_t LineEditor::Next(size_t at) const {
  if (at < size_) {
    ++at;
  }
  while (at < size_ && IsContinuation(line_[at])) {
    ++at;
  }
  return at;
}

size_t LineEditor::WordStart(size_t at) const {
  while (at > 0 && line_[at - 1] == ' ') {
    --at;
  }
  while (at > 0 && line_[at - 1] != ' ') {
    --at;
  }
  return at;
}

size_t LineEditor::WordEnd(size_t at) const {
  while (at < size_ && line_[at] == ' ') {
    ++at;
  }
  while (at < size_ && line_[at] != ' ') {
    ++at;
  }
  return at;
}

void LineEditor::Start(std::string_view prompt, EditMode mode) {
  prompt_.Assign(prompt);
  mode_ = mode;
  size_ = cursor_ = 0;
  history_back_ = 0;
  sink_.Put(prompt_.view());
}

void LineEditor::Hide() { sink_.Put("\r\x1b[K"); }

void LineEditor::Redraw() {
  sink_.Put("\r");
  sink_.Put(prompt_.view());
  if (mode_ == EditMode::kSecret) {
    sink_.Put("\x1b[K");
    return;
  }
  // The row shows a window of the line around the cursor; the last column stays free.
  const uint32_t room = columns_ - 1 - std::min(ColumnsOf(prompt_.view()), columns_ * 3 / 4);
  size_t from = 0;
  while (ColumnsOf({line_.data() + from, cursor_ - from}) > room) {
    from = Next(from);
  }
  size_t to = cursor_;
  while (to < size_ && ColumnsOf({line_.data() + from, Next(to) - from}) <= room) {
    to = Next(to);
  }
  sink_.Put({line_.data() + from, to - from});
  sink_.Put("\x1b[K");
  const uint32_t back = ColumnsOf({line_.data() + cursor_, to - cursor_});
  if (back > 0) {
    uint8_t bytes[16];
    ByteWriter out(bytes);
    out.Text("\x1b[");
    out.Decimal(back);
    out.Char('D');
    sink_.Put(out.text());
  }
}

void LineEditor::Finish() {
  sink_.Put("\r\n");
  SecureZero({reinterpret_cast<uint8_t*>(line_.data()), size_});
  size_ = cursor_ = 0;
}

void LineEditor::Forget() {
  SecureZero({reinterpret_cast<uint8_t*>(line_.data()), line_.size()});
  size_ = cursor_ = killed_size_ = 0;
  history_count_ = history_back_ = 0;
}

void LineEditor::Insert(std::string_view text) {
  if (text.size() > kLineBytesMax - size_) {
    sink_.Put("\a");
    return;
  }
  std::memmove(line_.data() + cursor_ + text.size(), line_.data() + cursor_, size_ - cursor_);
  std::memcpy(line_.data() + cursor_, text.data(), text.size());
  size_ += text.size();
  cursor_ += text.size();
  if (mode_ == EditMode::kSecret) {
    return;
  }
  const bool fits = ColumnsOf(prompt_.view()) + ColumnsOf(this->text()) < columns_ - 1;
  if (cursor_ == size_ && fits) {
    sink_.Put(text);
    return;
  }
  Redraw();
}

void LineEditor::Remove(size_t from, size_t to, bool keep) {
  GH_ASSERT(from <= to && to <= size_);
  if (keep && from < to && mode_ != EditMode::kSecret) {
    killed_size_ = to - from;
    std::memcpy(killed_.data(), line_.data() + from, killed_size_);
  }
  std::memmove(line_.data() + from, line_.data() + to, size_ - to);
  size_ -= to - from;
  cursor_ = from;
  if (mode_ != EditMode::kSecret) {
    Redraw();
  }
}

void LineEditor::Replace(std::string_view text) {
  size_ = std::min<size_t>(text.size(), kLineBytesMax);
  std::memcpy(line_.data(), text.data(), size_);
  cursor_ = size_;
  Redraw();
}

void LineEditor::AddHistory(std::string_view line) {
  if (line.empty() || line.size() > kLineBytesMax) {
    return;
  }
  const HistoryLine& last = history_[(history_count_ + kHistoryLines - 1) % kHistoryLines];
  if (history_count_ > 0 && std::string_view(last.text.data(), last.size) == line) {
    return;
  }
  HistoryLine& entry = history_[history_count_ % kHistoryLines];
  entry.size = static_cast<uint16_t>(line.size());
  std::memcpy(entry.text.data(), line.data(), line.size());
  ++history_count_;
}

void LineEditor::Recall(int direction) {
  const uint32_t kept = std::min(history_count_, kHistoryLines);
  if (mode_ != EditMode::kCommand || (direction > 0 && history_back_ == kept) ||
      (direction < 0 && history_back_ == 0)) {
    sink_.Put("\a");
    return;
  }
  if (history_back_ == 0) {
    unfinished_.size = static_cast<uint16_t>(size_);
    std::memcpy(unfinished_.text.data(), line_.data(), size_);
  }
  history_back_ = static_cast<uint32_t>(static_cast<int>(history_back_) + direction);
  const HistoryLine& entry =
      history_back_ == 0 ? unfinished_ : history_[(history_count_ - history_back_) % kHistoryLines];
  Replace({entry.text.data(), entry.size});
}

bool LineEditor::Move(size_t to) {
  cursor_ = to;
  if (mode_ != EditMode::kSecret) {
    Redraw();
  }
  return false;
}

// Swaps the characters around the cursor, at the end of the line the last two.
bool LineEditor::Transpose() {
  const size_t right = cursor_ == size_ ? Previous(size_) : cursor_;
  const size_t left = Previous(right);
  if (mode_ == EditMode::kSecret || left == right) {
    return false;
  }
  const size_t end = Next(right);
  std::rotate(line_.data() + left, line_.data() + right, line_.data() + end);
  cursor_ = end;
  Redraw();
  return true;
}

bool LineEditor::Handle(const KeyPress& press) {
  switch (press.key) {
    case Key::kCharacter:
      Insert(press.text());
      return true;
    case Key::kBackspace:
      if (cursor_ > 0) {
        Remove(Previous(cursor_), cursor_, false);
      }
      return true;
    case Key::kDelete:
      if (cursor_ < size_) {
        Remove(cursor_, Next(cursor_), false);
      }
      return true;
    case Key::kLeft:
      return Move(Previous(cursor_));
    case Key::kRight:
      return Move(Next(cursor_));
    case Key::kHome:
      return Move(0);
    case Key::kEnd:
      return Move(size_);
    case Key::kWordLeft:
      return Move(WordStart(cursor_));
    case Key::kWordRight:
      return Move(WordEnd(cursor_));
    case Key::kUp:
      Recall(1);
      return true;
    case Key::kDown:
      Recall(-1);
      return true;
    case Key::kKillToEnd:
      Remove(cursor_, size_, true);
      return true;
    case Key::kKillToStart:
      Remove(0, cursor_, true);
      return true;
    case Key::kKillWord:
      Remove(WordStart(cursor_), cursor_, true);
      return true;
    case Key::kYank:
      Insert({killed_.data(), killed_size_});
      return true;
    case Key::kTranspose:
      return Transpose();
    case Key::kRedraw:
      sink_.Put("\x1b[H\x1b[2J");
      Redraw();
      return false;
    default:
      return false;
  }
}

}  // namespace gh::admin
