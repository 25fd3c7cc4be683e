// The server's end of a WebSocket (RFC 6455): the opening handshake and the frames, as functions
// over bytes. Whoever owns the stream keeps the bytes and sends what is written here.
//
// Strict: GET and HTTP/1.1 only, version 13 only, the subprotocol must be offered, frames must be
// masked, no extensions, no reserved bits, control frames whole, text in UTF-8. Bounded:
// kWebSocketHandshakeMax for the request, the caller's limit for a message.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "hal/rt/bytes.h"
#include "hal/rt/result.h"
#include "net/http/limits.h"

namespace gh::net {

// What the client asked for; the texts lie in the bytes that were parsed.
struct WebSocketRequest {
  size_t size = 0;  // of the request; 0: it has not all arrived
  std::string_view target;
  std::string_view host;
  std::string_view origin;  // empty: not a browser
  std::string_view key;
};

// Why a handshake is refused, and the status that says so.
struct WebSocketRefusal {
  uint16_t status = 0;  // 400, 403, 404, 405, 426; 0: not refused
  const char* why = "";
};

// Reads a handshake that offers `protocol` (one token, as IANA writes it). On a refusal `out` is
// not to be used.
WebSocketRefusal ReadWebSocketRequest(std::span<const uint8_t> bytes, std::string_view protocol,
                                      WebSocketRequest& out);
void WriteWebSocketAcceptance(ByteWriter& out, std::string_view key, std::string_view protocol);
// The stream is to be closed after it.
void WriteWebSocketRefusal(ByteWriter& out, const WebSocketRefusal& refusal);

enum class WebSocketOpcode : uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10,
};

// RFC 6455 7.4.1.
inline constexpr uint16_t kWebSocketNormal = 1000;
inline constexpr uint16_t kWebSocketGoingAway = 1001;
inline constexpr uint16_t kWebSocketProtocolError = 1002;
inline constexpr uint16_t kWebSocketBadText = 1007;
inline constexpr uint16_t kWebSocketTooLarge = 1009;

// In front of `payload_size` bytes from us (never masked): at most kWebSocketHeaderMax bytes.
void WriteWebSocketHeader(ByteWriter& out, WebSocketOpcode opcode, size_t payload_size);
// A whole close frame.
void WriteWebSocketClose(ByteWriter& out, uint16_t code);

// Frames from a client, taken apart in the place where they lie.
class WebSocketReader {
 public:
  enum class Kind : uint8_t { kNone, kFragment, kMessage, kPing, kPong, kClose, kFault };
  struct Event {
    Kind kind = Kind::kNone;
    std::span<uint8_t> payload;  // unmasked; in the bytes given
    uint16_t fault = 0;          // kFault: the code to close with
    const char* why = "";
  };

  // What comes next in `bytes`: all that was kept since the last Settle(), and what arrived since.
  // To be called again until kNone, kClose or kFault. A message of more than `message_max` bytes is
  // a fault as soon as its length is told.
  Event Next(std::span<uint8_t> bytes, size_t message_max);
  // After kNone: moves what must be kept to the front of the same `bytes`; returns its size.
  size_t Settle(std::span<uint8_t> bytes);

 private:
  Event OnFrame(std::span<uint8_t> bytes, uint8_t first, std::span<uint8_t> payload);

  uint32_t held_ = 0;  // of a message in fragments: so many bytes of payload, at the front
  uint32_t read_ = 0;  // frames before this are done with
  WebSocketOpcode opcode_ = WebSocketOpcode::kContinuation;  // of the message in fragments
};

}  // namespace gh::net
