// Handshakes and frames of a WebSocket client. The first byte says where the stream is cut: however
// it is, the same messages come out, and no more is kept than came.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "net/websocket.h"

using gh::net::WebSocketReader;

namespace {

constexpr size_t kMessageMax = 600;

void Check(bool holds) {
  if (!holds) {
    abort();
  }
}

std::string Events(std::span<const uint8_t> bytes, size_t step) {
  WebSocketReader reader;
  std::vector<uint8_t> kept;
  std::string said;
  for (size_t at = 0; at < bytes.size(); at += step) {
    const auto piece = bytes.subspan(at, std::min(step, bytes.size() - at));
    kept.insert(kept.end(), piece.begin(), piece.end());
    while (true) {
      const auto event = reader.Next(kept, kMessageMax);
      if (event.kind == WebSocketReader::Kind::kNone) {
        const size_t size = reader.Settle(kept);
        Check(size <= kept.size() && size <= 2 * kMessageMax + 16 + piece.size());
        kept.resize(size);
        break;
      }
      if (event.kind == WebSocketReader::Kind::kFragment) {
        continue;
      }
      Check(event.payload.size() <= kMessageMax);
      said += static_cast<char>('0' + static_cast<int>(event.kind));
      said += std::to_string(event.fault);
      said += gh::AsText(event.payload);
      if (event.kind == WebSocketReader::Kind::kFault ||
          event.kind == WebSocketReader::Kind::kClose) {
        return said;
      }
    }
  }
  return said;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::span<const uint8_t> bytes(data + 1, size - 1);
  gh::net::WebSocketRequest request;
  const auto refusal = gh::net::ReadWebSocketRequest(bytes, "sip", request);
  if (refusal.status == 0 && request.size != 0) {
    uint8_t out_bytes[400];
    gh::ByteWriter out(out_bytes);
    gh::net::WriteWebSocketAcceptance(out, request.key, "sip");
    Check(out.ok() && request.size <= bytes.size());
  }
  Check(Events(bytes, data[0] % 32 + 1) == Events(bytes, bytes.size() + 1));
  return 0;
}
