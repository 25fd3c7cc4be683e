// Named maxima of HTTP.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gh::net {

inline constexpr size_t kHttpHeadMax = 8 * 1024;  // status line and header fields of one response
inline constexpr size_t kHttpLineMax = 2 * 1024;
inline constexpr uint32_t kHttpInterimMax = 4;  // 1xx responses before the final one
inline constexpr size_t kHttpUrlMax = 1024;
inline constexpr uint32_t kHttpRedirectMax = 3;
inline constexpr size_t kWebSocketHandshakeMax = 4 * 1024;  // a client's request for a WebSocket
inline constexpr size_t kWebSocketHeaderMax = 10;           // of a frame from us
inline constexpr size_t kWebSocketControlMax = 125;         // RFC 6455 5.5
inline constexpr size_t kHttpRequestMax = kHttpUrlMax + 512;

}  // namespace gh::net
