// A WebSocket client's handshake and frames, for tests of whoever serves them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gh::net::test {

// A browser's, with the line that begins with `without` left out or replaced by `with`.
inline std::string ClientHandshake(const std::string& without = {}, const std::string& with = {}) {
  const std::vector<std::string> lines = {"GET /chat HTTP/1.1",
                                          "Host: server.example.com",
                                          "Upgrade: websocket",
                                          "Connection: keep-alive, Upgrade",
                                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                                          "Origin: https://example.com",
                                          "Sec-WebSocket-Protocol: chat, sip",
                                          "Sec-WebSocket-Version: 13"};
  std::string text;
  for (const std::string& line : lines) {
    const bool is_changed = !without.empty() && line.starts_with(without);
    if (!is_changed) {
      text += line + "\r\n";
    } else if (!with.empty()) {
      text += with + "\r\n";
    }
  }
  return text + "\r\n";
}

// `first`: FIN and opcode, 0x81 for text.
inline std::string ClientFrame(uint8_t first, const std::string& payload, bool masked = true) {
  std::string out(1, static_cast<char>(first));
  const uint8_t mask_bit = masked ? 0x80 : 0;
  const size_t size = payload.size();
  if (size < 126) {
    out += static_cast<char>(mask_bit | size);
  } else if (size < 65536) {
    out += static_cast<char>(mask_bit | 126);
    out += static_cast<char>(size >> 8);
    out += static_cast<char>(size);
  } else {
    out += static_cast<char>(mask_bit | 127);
    for (int shift = 56; shift >= 0; shift -= 8) {
      out += static_cast<char>(uint64_t{size} >> shift);
    }
  }
  const std::string mask = masked ? "\x37\xfa\x21\x3d" : "";
  out += mask;
  for (size_t i = 0; i < size; ++i) {
    out += static_cast<char>(payload[i] ^ (masked ? mask[i % 4] : 0));
  }
  return out;
}

// The payload of a whole frame from a server that is not masked; empty when it is none.
inline std::string ServerFramePayload(const std::string& frame, uint8_t first = 0x81) {
  if (frame.size() < 2 || static_cast<uint8_t>(frame[0]) != first) {
    return {};
  }
  const auto size = static_cast<uint8_t>(frame[1]);
  return frame.substr(size < 126 ? 2 : size == 126 ? 4 : 10);
}

}  // namespace gh::net::test
