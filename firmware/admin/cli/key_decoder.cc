#include "firmware/admin/cli/key_decoder.h"

namespace gh::admin {
namespace {

constexpr uint8_t kEscapeByte = 0x1b;

Key ControlKey(uint8_t byte) {
  switch (byte) {
    case 0x01:
      return Key::kHome;  // Ctrl-A
    case 0x02:
      return Key::kLeft;  // Ctrl-B
    case 0x03:
      return Key::kCancel;  // Ctrl-C
    case 0x04:
      return Key::kEndOfFile;  // Ctrl-D
    case 0x05:
      return Key::kEnd;  // Ctrl-E
    case 0x06:
      return Key::kRight;  // Ctrl-F
    case 0x08:
      return Key::kBackspace;  // Ctrl-H
    case 0x09:
      return Key::kTab;
    case 0x0a:
      return Key::kEnter;
    case 0x0b:
      return Key::kKillToEnd;  // Ctrl-K
    case 0x0c:
      return Key::kRedraw;  // Ctrl-L
    case 0x0d:
      return Key::kEnter;
    case 0x0e:
      return Key::kDown;  // Ctrl-N
    case 0x10:
      return Key::kUp;  // Ctrl-P
    case 0x14:
      return Key::kTranspose;  // Ctrl-T
    case 0x15:
      return Key::kKillToStart;  // Ctrl-U
    case 0x17:
      return Key::kKillWord;  // Ctrl-W
    case 0x19:
      return Key::kYank;  // Ctrl-Y
    case 0x7f:
      return Key::kBackspace;
    default:
      return Key::kNone;
  }
}

Key FinalKey(uint8_t final, std::string_view parameters) {
  const bool with_modifier = parameters.find(';') != parameters.npos;
  switch (final) {
    case 'A':
      return Key::kUp;
    case 'B':
      return Key::kDown;
    case 'C':
      return with_modifier ? Key::kWordRight : Key::kRight;
    case 'D':
      return with_modifier ? Key::kWordLeft : Key::kLeft;
    case 'H':
      return Key::kHome;
    case 'F':
      return Key::kEnd;
    case '~':
      return parameters == "1" || parameters == "7"   ? Key::kHome
             : parameters == "4" || parameters == "8" ? Key::kEnd
             : parameters == "3"                      ? Key::kDelete
                                                      : Key::kNone;
    default:
      return Key::kNone;
  }
}

}  // namespace

KeyPress KeyDecoder::Feed(uint8_t byte) {
  if (byte == kEscapeByte) {  // begins a sequence, and ends whatever was unfinished
    state_ = State::kEscape;
    count_ = 0;
    return {};
  }
  switch (state_) {
    case State::kGround:
      return FeedGround(byte);
    case State::kEscape:
      return FeedEscape(byte);
    case State::kCsi:
      return FeedCsi(byte);
    case State::kSs3:
      state_ = State::kGround;
      return Press(FinalKey(byte, ""));
    case State::kUtf8:
      return FeedUtf8(byte);
  }
  return {};
}

KeyPress KeyDecoder::FeedGround(uint8_t byte) {
  const bool second_of_crlf = after_return_ && byte == '\n';
  after_return_ = byte == '\r';
  if (second_of_crlf) {
    return {};
  }
  if (byte < 0x20 || byte == 0x7f) {
    return Press(ControlKey(byte));
  }
  if (byte < 0x80) {
    return {Key::kCharacter, {static_cast<char>(byte)}, 1};
  }
  missing_ = byte >= 0xc2 && byte < 0xe0   ? 1
             : byte >= 0xe0 && byte < 0xf0 ? 2
             : byte >= 0xf0 && byte < 0xf5 ? 3
                                           : 0;
  if (missing_ == 0) {
    return {};
  }
  character_ = {Key::kCharacter, {static_cast<char>(byte)}, 1};
  state_ = State::kUtf8;
  return {};
}

KeyPress KeyDecoder::FeedUtf8(uint8_t byte) {
  if ((byte & 0xc0) != 0x80) {  // broken off: this byte is on its own
    state_ = State::kGround;
    return FeedGround(byte);
  }
  character_.bytes[character_.size++] = static_cast<char>(byte);
  if (--missing_ > 0) {
    return {};
  }
  state_ = State::kGround;
  const auto lead = static_cast<uint8_t>(character_.bytes[0]);
  const auto next = static_cast<uint8_t>(character_.bytes[1]);
  const bool bad = (lead == 0xe0 && next < 0xa0) || (lead == 0xed && next >= 0xa0) ||
                   (lead == 0xf0 && next < 0x90) || (lead == 0xf4 && next >= 0x90) ||
                   (lead == 0xc2 && next < 0xa0);  // C1 controls
  return bad ? KeyPress{} : character_;
}

KeyPress KeyDecoder::FeedEscape(uint8_t byte) {
  state_ = State::kGround;
  switch (byte) {
    case '[':
      state_ = State::kCsi;
      return {};
    case 'O':
      state_ = State::kSs3;
      return {};
    case 'b':
      return Press(Key::kWordLeft);
    case 'f':
      return Press(Key::kWordRight);
    case 0x7f:
      return Press(Key::kKillWord);
    default:
      return {};
  }
}

KeyPress KeyDecoder::FeedCsi(uint8_t byte) {
  if (byte >= 0x40 && byte <= 0x7e) {
    state_ = State::kGround;
    return Press(FinalKey(byte, {sequence_.data(), count_}));
  }
  if (byte < 0x20 || byte > 0x3f || count_ == kEscapeBytesMax) {
    state_ = State::kGround;  // no sequence of ours: given up
    return {};
  }
  sequence_[count_++] = static_cast<char>(byte);
  return {};
}

}  // namespace gh::admin
