// Bytes from a terminal as keys: UTF-8 characters, control keys, and the escape sequences of ANSI
// and xterm-like terminals. Pure; every byte advances it, no sequence is waited for longer than
// kEscapeBytesMax bytes, what is not known is skipped.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "firmware/admin/limits.h"

namespace gh::admin {

enum class Key : uint8_t {
  kNone,
  kCharacter,
  kEnter,
  kTab,
  kBackspace,
  kDelete,
  kLeft,
  kRight,
  kUp,
  kDown,
  kHome,
  kEnd,
  kWordLeft,
  kWordRight,
  kKillToEnd,
  kKillToStart,
  kKillWord,
  kYank,
  kTranspose,
  kRedraw,
  kCancel,     // Ctrl-C
  kEndOfFile,  // Ctrl-D
};

struct KeyPress {
  Key key = Key::kNone;
  std::array<char, 4> bytes = {};  // kCharacter: its UTF-8
  uint8_t size = 0;
  std::string_view text() const { return {bytes.data(), size}; }
};

class KeyDecoder {
 public:
  // kNone: the byte belongs to a sequence that is not complete, or means nothing.
  KeyPress Feed(uint8_t byte);

 private:
  enum class State : uint8_t { kGround, kEscape, kCsi, kSs3, kUtf8 };
  KeyPress FeedGround(uint8_t byte);
  KeyPress FeedEscape(uint8_t byte);
  KeyPress FeedCsi(uint8_t byte);
  KeyPress FeedUtf8(uint8_t byte);
  static KeyPress Press(Key key) { return {key, {}, 0}; }

  State state_ = State::kGround;
  bool after_return_ = false;
  uint8_t count_ = 0;  // bytes of the sequence so far
  std::array<char, kEscapeBytesMax> sequence_ = {};
  KeyPress character_;
  uint8_t missing_ = 0;
};

}  // namespace gh::admin
