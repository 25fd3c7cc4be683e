#include "net/websocket.h"

#include <array>
#include <cstring>

#include "crypto/legacy.h"
#include "hal/rt/base64.h"
#include "hal/rt/utf8.h"
#include "net/http/field.h"

namespace gh::net {
namespace {

constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455 1.3
constexpr size_t kKeyBytes = 16;
constexpr uint8_t kFinal = 0x80;
constexpr uint8_t kReserved = 0x70;
constexpr uint8_t kMasked = 0x80;

// The text in front of `separator`, which is taken too; all of it when there is none.
std::string_view TakeUntil(std::string_view& text, std::string_view separator) {
  const size_t at = text.find(separator);
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + separator.size());
  return taken;
}

bool HasToken(std::string_view list, std::string_view token) {
  while (!list.empty()) {
    if (EqualsIgnoringCase(TrimBlanks(TakeUntil(list, ",")), token)) {
      return true;
    }
  }
  return false;
}

bool IsFieldText(std::string_view text) {
  for (const char c : text) {
    if ((static_cast<uint8_t>(c) < ' ' && c != '\t') || c == 0x7f) {
      return false;
    }
  }
  return true;
}

struct Fields {
  bool upgrade = false;
  bool connection = false;
  bool protocol = false;
  bool body = false;
  uint32_t hosts = 0;
  uint32_t keys = 0;
  std::string_view version;
};

bool TakeField(std::string_view line, std::string_view protocol, Fields& fields,
               WebSocketRequest& out) {
  const auto field = ParseHttpField(line);
  if (!field || !IsFieldText(line)) {
    return false;
  }
  const auto [name, value] = *field;
  if (EqualsIgnoringCase(name, "Upgrade")) {
    fields.upgrade = fields.upgrade || HasToken(value, "websocket");
  } else if (EqualsIgnoringCase(name, "Connection")) {
    fields.connection = fields.connection || HasToken(value, "upgrade");
  } else if (EqualsIgnoringCase(name, "Sec-WebSocket-Protocol")) {
    fields.protocol = fields.protocol || HasToken(value, protocol);
  } else if (EqualsIgnoringCase(name, "Sec-WebSocket-Version")) {
    fields.version = value;
  } else if (EqualsIgnoringCase(name, "Sec-WebSocket-Key")) {
    ++fields.keys;
    out.key = value;
  } else if (EqualsIgnoringCase(name, "Host")) {
    ++fields.hosts;
    out.host = value;
  } else if (EqualsIgnoringCase(name, "Origin")) {
    out.origin = value;
  } else if (EqualsIgnoringCase(name, "Transfer-Encoding") ||
             (EqualsIgnoringCase(name, "Content-Length") && value != "0")) {
    fields.body = true;
  }
  return true;
}

bool IsKey(std::string_view key) {
  uint8_t bytes[kKeyBytes];
  ByteWriter out(bytes);
  return ReadBase64(key, out) && out.size() == kKeyBytes;
}

WebSocketRefusal CheckFields(const Fields& fields, const WebSocketRequest& request) {
  if (fields.hosts != 1 || request.host.empty()) {
    return {400, "one Host field is needed"};
  }
  if (fields.body) {
    return {400, "a handshake has no body"};
  }
  if (!fields.upgrade || !fields.connection) {
    return {426, "not a WebSocket handshake"};
  }
  if (fields.version != "13") {
    return {426, "WebSocket version 13 only"};
  }
  if (fields.keys != 1 || !IsKey(request.key)) {
    return {400, "bad Sec-WebSocket-Key"};
  }
  if (!fields.protocol) {
    return {400, "the subprotocol is not offered"};
  }
  return {};
}

std::string_view ReasonOf(uint16_t status) {
  switch (status) {
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 426:
      return "Upgrade Required";
    case 503:
      return "Service Unavailable";
    default:
      return "Bad Request";
  }
}

void Unmask(std::span<uint8_t> bytes, const uint8_t* mask) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] ^= mask[i % 4];
  }
}

}  // namespace

WebSocketRefusal ReadWebSocketRequest(std::span<const uint8_t> bytes, std::string_view protocol,
                                      WebSocketRequest& out) {
  out = {};
  const std::string_view text = AsText(bytes);
  // Whatever cannot become a request is refused at its first bytes.
  constexpr std::string_view kMethod = "GET ";
  if (text.substr(0, kMethod.size()) != kMethod.substr(0, text.size())) {
    return {405, "only GET opens a WebSocket"};
  }
  const size_t end = text.find("\r\n\r\n");
  if (end == std::string_view::npos || end + 4 > kWebSocketHandshakeMax) {
    return bytes.size() < kWebSocketHandshakeMax ? WebSocketRefusal{}
                                                 : WebSocketRefusal{400, "request too large"};
  }
  std::string_view head = text.substr(0, end);
  std::string_view line = TakeUntil(head, "\r\n");
  line.remove_prefix(kMethod.size());
  out.target = TakeUntil(line, " ");
  if (line != "HTTP/1.1" || !out.target.starts_with('/') || !IsFieldText(out.target)) {
    return {400, "bad request line"};
  }
  Fields fields;
  while (!head.empty()) {
    if (!TakeField(TakeUntil(head, "\r\n"), protocol, fields, out)) {
      return {400, "bad header field"};
    }
  }
  const WebSocketRefusal refusal = CheckFields(fields, out);
  out.size = end + 4;
  return refusal;
}

void WriteWebSocketAcceptance(ByteWriter& out, std::string_view key, std::string_view protocol) {
  crypto::Sha1 sha1;
  sha1.Add(AsBytes(key));
  sha1.Add(AsBytes(kGuid));
  out.Text(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: ");
  WriteBase64(sha1.Finish(), out);
  out.Text("\r\nSec-WebSocket-Protocol: ");
  out.Text(protocol);
  out.Text("\r\n\r\n");
}

void WriteWebSocketRefusal(ByteWriter& out, const WebSocketRefusal& refusal) {
  out.Text("HTTP/1.1 ");
  out.Decimal(refusal.status);
  out.Char(' ');
  out.Text(ReasonOf(refusal.status));
  if (refusal.status == 426) {
    out.Text("\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13");
  } else if (refusal.status == 405) {
    out.Text("\r\nAllow: GET");
  }
  out.Text("\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ");
  const std::string_view why = refusal.why;
  out.Decimal(why.size() + 1);
  out.Text("\r\n\r\n");
  out.Text(why);
  out.Char('\n');
}

void WriteWebSocketHeader(ByteWriter& out, WebSocketOpcode opcode, size_t payload_size) {
  out.U8(static_cast<uint8_t>(kFinal | static_cast<uint8_t>(opcode)));
  if (payload_size <= kWebSocketControlMax) {
    out.U8(static_cast<uint8_t>(payload_size));
  } else if (payload_size <= UINT16_MAX) {
    out.U8(126);
    out.U16Be(static_cast<uint16_t>(payload_size));
  } else {
    out.U8(127);
    out.U64Be(payload_size);
  }
}

void WriteWebSocketClose(ByteWriter& out, uint16_t code) {
  WriteWebSocketHeader(out, WebSocketOpcode::kClose, 2);
  out.U16Be(code);
}

WebSocketReader::Event WebSocketReader::Next(std::span<uint8_t> bytes, size_t message_max) {
  ByteReader reader(bytes.subspan(read_));
  const uint8_t first = reader.U8();
  const uint8_t second = reader.U8();
  if (!reader.ok()) {
    return {};
  }
  const bool is_control = (first & 0x08) != 0;
  const uint8_t code = first & 0x0f;
  if ((first & kReserved) != 0 || (second & kMasked) == 0 || code > 10 || (code > 2 && code < 8)) {
    return {Kind::kFault, {}, kWebSocketProtocolError, "bad frame header"};
  }
  uint64_t size = second & 0x7f;
  if (is_control && (size > kWebSocketControlMax || (first & kFinal) == 0)) {
    return {Kind::kFault, {}, kWebSocketProtocolError, "bad control frame"};
  }
  if (!is_control && (code == 0) != (opcode_ != WebSocketOpcode::kContinuation)) {
    return {Kind::kFault, {}, kWebSocketProtocolError, "fragments out of order"};
  }
  const bool is_long = size == 127;
  if (size >= 126) {
    const uint64_t shortest = is_long ? uint64_t{UINT16_MAX} + 1 : 126;
    size = is_long ? reader.U64Be() : reader.U16Be();
    if (!reader.ok()) {
      return {};
    }
    if (size < shortest) {
      return {Kind::kFault, {}, kWebSocketProtocolError, "length not in its shortest form"};
    }
  }
  if (!is_control && (size > message_max || size + held_ > message_max)) {
    return {Kind::kFault, {}, kWebSocketTooLarge, "message too large"};
  }
  const std::span<const uint8_t> mask = reader.Take(4);
  if (!reader.ok() || reader.remaining() < size) {
    return {};
  }
  const size_t begin = read_ + reader.offset();
  const std::span<uint8_t> payload = bytes.subspan(begin, size);
  Unmask(payload, mask.data());
  read_ = static_cast<uint32_t>(begin + size);
  return OnFrame(bytes, first, payload);
}

WebSocketReader::Event WebSocketReader::OnFrame(std::span<uint8_t> bytes, uint8_t first,
                                                std::span<uint8_t> payload) {
  const auto opcode = static_cast<WebSocketOpcode>(first & 0x0f);
  switch (opcode) {
    case WebSocketOpcode::kPing:
      return {Kind::kPing, payload};
    case WebSocketOpcode::kPong:
      return {Kind::kPong, payload};
    case WebSocketOpcode::kClose:
      return {Kind::kClose, payload};
    default:
      break;
  }
  const bool is_final = (first & kFinal) != 0;
  const WebSocketOpcode kind = opcode_ == WebSocketOpcode::kContinuation ? opcode : opcode_;
  if (!is_final || held_ != 0) {
    std::memmove(bytes.data() + held_, payload.data(), payload.size());
    held_ += static_cast<uint32_t>(payload.size());
    payload = bytes.first(held_);
  }
  opcode_ = is_final ? WebSocketOpcode::kContinuation : kind;
  if (!is_final) {
    return {Kind::kFragment, payload};
  }
  held_ = 0;
  if (kind == WebSocketOpcode::kText && !IsUtf8(AsText(payload))) {
    return {Kind::kFault, {}, kWebSocketBadText, "text is not UTF-8"};
  }
  return {Kind::kMessage, payload};
}

size_t WebSocketReader::Settle(std::span<uint8_t> bytes) {
  const size_t rest = bytes.size() - read_;
  if (read_ != held_ && rest != 0) {
    std::memmove(bytes.data() + held_, bytes.data() + read_, rest);
  }
  read_ = held_;
  return held_ + rest;
}

}  // namespace gh::net
