// SIP in WebSocket frames (RFC 7118), the server's end. Clients keep the stream alive by pings of
// either kind: a frame, or a message of CRLFs as on any stream (RFC 5626 3.5.1).
#include <algorithm>
#include <cstring>

#include "firmware/sip/transport.h"
#include "hal/rt/ascii.h"
#include "hal/rt/utf8.h"

namespace gh::sip {
namespace {

constexpr std::string_view kProtocol = "sip";
constexpr uint8_t kCrlf[] = {'\r', '\n'};

bool IsKeepAlive(std::span<const uint8_t> message) {
  return std::ranges::all_of(message, [](uint8_t c) { return c == '\r' || c == '\n'; });
}

}  // namespace

// Frames that came with nothing before them.
void SipTransport::TakeFramesOf(Connection& connection, std::span<uint8_t> data) {
  const auto left = TakeFrames(connection.id, data);
  Connection* still = left.value_or(0) == 0 ? nullptr : Find(connection.id);
  if (still != nullptr && !Keep(*still, data.first(*left))) {
    ++core_.statistics.overload;
    Drop(*still, true);
  }
}

void SipTransport::TakeKeptFrames(Connection& connection, Buffer* assembly) {
  const net::StreamId id = connection.id;
  const auto left = TakeFrames(id, assembly->bytes());
  Connection* still = Find(id);
  if (left.value_or(0) == 0 || still == nullptr) {
    core_.buffers.Release(assembly);
    return;
  }
  if (*left == kBufferSizes.back()) {  // nothing that a frame holds is that long
    core_.buffers.Release(assembly);
    Drop(*still, true);
    return;
  }
  assembly->size = static_cast<uint32_t>(*left);
  still->assembly = assembly;
}

std::optional<size_t> SipTransport::TakeFrames(net::StreamId id, std::span<uint8_t> data) {
  Connection* connection = Find(id);
  if (!connection->is_upgraded) {
    const auto used = TakeHandshake(*connection, data);
    if (!used || *used == 0) {
      return used ? std::optional(data.size()) : std::nullopt;
    }
    std::memmove(data.data(), data.data() + *used, data.size() - *used);
    data = data.first(data.size() - *used);
  }
  while (connection != nullptr) {
    const auto event = connection->frames.Next(data, kWebSocketMessageMax);
    if (event.kind == net::WebSocketReader::Kind::kNone) {
      return connection->frames.Settle(data);
    }
    if (event.kind == net::WebSocketReader::Kind::kMessage) {
      connection->message_began = core_.now();  // of the next one
    }
    connection = OnFrame(*connection, event) ? Find(id) : nullptr;
  }
  return std::nullopt;
}

bool SipTransport::IsOriginAllowed(std::string_view origin) const {
  const auto allowed = std::span(core_.config.origins).first(core_.config.origin_count);
  return allowed.empty() || std::ranges::any_of(allowed, [origin](const auto& one) {
           return EqualsIgnoringCase(one.view(), origin);
         });
}

// The count of bytes the handshake took; 0: it has not all come.
std::optional<size_t> SipTransport::TakeHandshake(Connection& connection, std::span<uint8_t> data) {
  net::WebSocketRequest request;
  net::WebSocketRefusal refusal = net::ReadWebSocketRequest(data, kProtocol, request);
  if (refusal.status == 0 && request.size == 0) {
    return 0;
  }
  if (refusal.status == 0 && !IsOriginAllowed(request.origin)) {
    refusal = {403, "this origin is not allowed"};
  }
  if (refusal.status != 0) {
    Refuse(connection, refusal);
    return std::nullopt;
  }
  uint8_t bytes[256];
  ByteWriter out(bytes);
  net::WriteWebSocketAcceptance(out, request.key, kProtocol);
  GH_ASSERT(out.ok());
  if (!streams_.SendStream(connection.id, out.written()).ok()) {
    Drop(connection, true);
    return std::nullopt;
  }
  connection.is_upgraded = true;
  return request.size;
}

void SipTransport::Refuse(Connection& connection, const net::WebSocketRefusal& refusal) {
  uint8_t bytes[400];
  ByteWriter out(bytes);
  net::WriteWebSocketRefusal(out, refusal);
  GH_ASSERT(out.ok());
  streams_.SendStream(connection.id, out.written()).ignore("it is closed all the same");
  const net::StreamId id = connection.id;
  const Flow flow = connection.flow;
  user_.OnUnframed(flow, refusal.why);
  if (Connection* still = Find(id)) {
    Drop(*still, false);
  }
}

// Whether there is more to expect from the stream.
bool SipTransport::OnFrame(Connection& connection, const net::WebSocketReader::Event& event) {
  using Kind = net::WebSocketReader::Kind;
  switch (event.kind) {
    case Kind::kMessage:
      if (IsKeepAlive(event.payload)) {
        ++core_.statistics.keep_alives;
        if (event.payload.size() >= 4) {
          SendControl(connection, net::WebSocketOpcode::kText, kCrlf);
        }
      } else {
        user_.OnPacket(connection.flow, event.payload);
      }
      return true;
    case Kind::kPing:
      ++core_.statistics.keep_alives;
      SendControl(connection, net::WebSocketOpcode::kPong, event.payload);
      return true;
    case Kind::kClose:
      SendControl(connection, net::WebSocketOpcode::kClose,
                  event.payload.first(std::min<size_t>(event.payload.size(), 2)));
      Drop(connection, false);
      return false;
    case Kind::kFault: {
      uint8_t bytes[4];
      ByteWriter out(bytes);
      net::WriteWebSocketClose(out, event.fault);
      streams_.SendStream(connection.id, out.written()).ignore("it is closed all the same");
      const net::StreamId id = connection.id;
      const Flow flow = connection.flow;
      user_.OnUnframed(flow, event.why);
      if (Connection* still = Find(id)) {
        Drop(*still, false);
      }
      return false;
    }
    default:
      return true;
  }
}

void SipTransport::SendControl(Connection& connection, net::WebSocketOpcode opcode,
                               std::span<const uint8_t> payload) {
  uint8_t bytes[net::kWebSocketHeaderMax + net::kWebSocketControlMax];
  ByteWriter out(bytes);
  net::WriteWebSocketHeader(out, opcode, payload.size());
  out.Bytes(payload);
  GH_ASSERT(out.ok());
  streams_.SendStream(connection.id, out.written()).ignore("a peer that does not read gets none");
}

std::span<const uint8_t> SipTransport::Framed(std::span<const uint8_t> data) {
  if (data.size() > kWebSocketMessageMax) {
    return {};
  }
  ByteWriter out(frame_);
  // Text where it can be (RFC 6455 5.6), a script gets a string then.
  net::WriteWebSocketHeader(
      out, IsUtf8(AsText(data)) ? net::WebSocketOpcode::kText : net::WebSocketOpcode::kBinary,
      data.size());
  out.Bytes(data);
  GH_ASSERT(out.ok());
  return out.written();
}

}  // namespace gh::sip
