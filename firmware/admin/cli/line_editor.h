// One line being typed: editing as in readline's emacs mode, drawn on a terminal of one row.
//
// The text is UTF-8 and edits go by whole characters; a line longer than the row scrolls sideways.
// It owns the history of lines and the kill buffer, and knows nothing of what lines mean.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "firmware/admin/cli/key_decoder.h"
#include "firmware/admin/limits.h"
#include "firmware/admin/output_queue.h"
#include "hal/rt/fixed_string.h"

namespace gh::admin {

enum class EditMode : uint8_t {
  kCommand,  // history
  kAnswer,   // echo only
  kSecret,   // nothing is shown
};

class LineEditor {
 public:
  explicit LineEditor(TextSink& sink) : sink_(sink) {}
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // Begins an empty line and draws the prompt.
  void Start(std::string_view prompt, EditMode mode);
  // Handles every key but kEnter, kTab, kCancel, kEndOfFile, which are its owner's. True: the line
  // changed.
  bool Handle(const KeyPress& press);
  void Insert(std::string_view text);
  // Draws prompt and line anew, on an empty row.
  void Redraw();
  // Wipes the row, for output that comes between.
  void Hide();
  // Ends the row and forgets the line's text (a secret is zeroed).
  void Finish();

  std::string_view text() const { return {line_.data(), size_}; }
  std::string_view before_cursor() const { return {line_.data(), cursor_}; }
  bool empty() const { return size_ == 0; }
  void AddHistory(std::string_view line);
  void SetColumns(uint32_t columns) { columns_ = columns; }
  // Line, history and what was cut are gone: the next user is somebody else.
  void Forget();

 private:
  struct HistoryLine {
    uint16_t size = 0;
    std::array<char, kLineBytesMax> text;
  };
  size_t Previous(size_t at) const;
  size_t Next(size_t at) const;
  size_t WordStart(size_t at) const;
  size_t WordEnd(size_t at) const;
  static uint32_t ColumnsOf(std::string_view text);
  void Remove(size_t from, size_t to, bool keep);
  void Replace(std::string_view text);
  void Recall(int direction);
  bool Move(size_t to);
  bool Transpose();

  TextSink& sink_;
  FixedString<80> prompt_;
  EditMode mode_ = EditMode::kCommand;
  uint32_t columns_ = kTerminalColumns;
  std::array<char, kLineBytesMax> line_ = {};
  size_t size_ = 0;
  size_t cursor_ = 0;
  std::array<char, kLineBytesMax> killed_ = {};
  size_t killed_size_ = 0;
  std::array<HistoryLine, kHistoryLines> history_ = {};
  uint32_t history_count_ = 0;  // all lines ever added
  uint32_t history_back_ = 0;   // 0: the line being typed
  HistoryLine unfinished_;
};

}  // namespace gh::admin
