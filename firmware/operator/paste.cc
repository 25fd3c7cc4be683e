#include "firmware/operator/paste.h"

#include <algorithm>

#include "hal/rt/ascii.h"

namespace gh {
namespace {

constexpr Duration kPasteTimeout = Duration::Minutes(2);
constexpr Duration kQuiet = Duration::Seconds(1);
constexpr uint8_t kControlC = 3;
constexpr uint8_t kControlD = 4;

}  // namespace

void Paste::Enter(Instant now) {
  size_ = 0;
  line_start_ = 0;
  is_done_ = false;
  is_given_up_ = false;
  is_too_long_ = false;
  has_end_ = false;
  deadline_ = now + kPasteTimeout;
}

bool Paste::Serve(admin::Terminal& terminal, Instant now) {
  uint8_t bytes[256];
  while (const uint32_t count = terminal.Read(bytes)) {
    for (const uint8_t byte : std::span(bytes).first(count)) {
      if (!TakeByte(byte)) {
        return false;
      }
    }
    deadline_ = now + (has_end_ ? kQuiet : kPasteTimeout);
  }
  if (terminal.at_end()) {
    is_done_ = true;
    return false;
  }
  if (now < deadline_) {
    return true;
  }
  is_done_ = has_end_;
  is_given_up_ = !has_end_;
  return false;
}

// False: that was the last.
bool Paste::TakeByte(uint8_t byte) {
  if (byte == kControlC) {
    is_given_up_ = true;
    return false;
  }
  if (byte == kControlD) {
    is_done_ = true;
    return false;
  }
  if (byte == '\r' || byte == '\n') {
    if (LineIs(".")) {
      size_ = line_start_;
      is_done_ = true;
      return false;
    }
    const std::string_view line = AsText(memory_.first(size_)).substr(line_start_);
    // An empty line says nothing: "\r\n" has one between.
    if (!TrimBlanks(line).empty()) {
      has_end_ = line.find("-----END ") != line.npos;
    }
    byte = '\n';
  }
  if (size_ == memory_.size()) {
    is_too_long_ = true;
    return false;
  }
  memory_[size_++] = byte;
  line_start_ = byte == '\n' ? size_ : line_start_;
  // Whoever pastes without a last line end is done too.
  const std::string_view line = AsText(memory_.first(size_)).substr(line_start_);
  has_end_ =
      has_end_ || (line.starts_with("-----END ") && line.size() > 14 && line.ends_with("-----"));
  return true;
}

bool Paste::LineIs(std::string_view text) const {
  return TrimBlanks(AsText(memory_.first(size_)).substr(line_start_)) == text;
}

void Paste::Leave(ByteWriter& out) {
  if (!is_done_) {
    out.Text(is_too_long_ ? "ERROR: that is too long" : "ERROR: given up");
  } else {
    uint8_t bytes[900];
    ByteWriter said(bytes);
    const auto taken = taker_.OnPasted(memory_.first(size_), said);
    out.Text(taken.ok() ? "OK, " : "ERROR: ");
    out.Text(taken.ok() ? "" : taken.error().what);
    out.Text(said.text());
  }
  SecureZero(memory_.first(size_));
  size_ = 0;
}

}  // namespace gh
