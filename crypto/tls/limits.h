// Stated maxima of TLS sessions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gh::crypto {

// Records we have made and the stream has not taken yet: a handshake flight or one record of 4 KiB
// with its header and tag, twice.
inline constexpr size_t kTlsOutputMax = 12 * 1024;
// What mbedTLS may take for one client session: its two record buffers, the handshake, the peer's
// chain.
inline constexpr uint64_t kTlsClientHeap = 192 * 1024;
inline constexpr size_t kTlsServerNameMax = 253;

}  // namespace gh::crypto
