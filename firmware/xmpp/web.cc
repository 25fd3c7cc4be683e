#include "firmware/xmpp/web.h"

#include <algorithm>
#include <cstring>

#include "hal/rt/ascii.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kSocketPath = "/xmpp-websocket";
constexpr std::string_view kBoshPath = "/http-bind";
constexpr std::string_view kMetaPath = "/.well-known/host-meta";
constexpr size_t kPieceMax = 8192;

// What may stand in an address that is told back to its reader.
bool IsHost(std::string_view text) {
  return !text.empty() && text.size() <= 255 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-.:[]").find(c) != std::string_view::npos;
  });
}

}  // namespace

Web::Capacity Web::Capacity::For(uint32_t sessions) {
  Capacity out;
  out.connections = sessions;
  out.bosh_sessions = std::clamp(sessions / 8, 8u, 512u);
  out.blocks = out.bosh_sessions * 64 + 4096;
  return out;
}

uint64_t Web::ArenaBytes(const Capacity& capacity) {
  return sizeof(Web) + Sources::ArenaBytes(capacity.connections) +
         uint64_t{capacity.connections} * (Pool<Connection>::bytes_per_item() + 16) +
         uint64_t{capacity.bosh_sessions} * Pool<Bosh>::bytes_per_item() +
         ChainPool::ArenaBytes(capacity.blocks) + XmlReader::ArenaBytes(XmlLimits()) +
         XmlReader::ArenaBytes(XmlLimits::Unproven()) + 2 * kParserHeapMax + 4096;
}

Web::Web(const Parts& parts, const Capacity& capacity)
    : parts_(parts),
      sources_(parts.arena, capacity.connections, parts.random),
      connections_(parts.arena, capacity.connections),
      by_stream_(parts.arena, capacity.connections, SipKey{}),  // keys are ours, not the wire's
      boshes_(parts.arena, capacity.bosh_sessions),
      chains_(parts.arena, capacity.blocks),
      heap_(parts.arena, 2 * kParserHeapMax, 2),
      task_([](void* self) { static_cast<Web*>(self)->RunTask(); }, this) {
  reader_.Init(parts.arena, heap_, 0, parts.random, XmlLimits());
  unproven_reader_.Init(parts.arena, heap_, 1, parts.random, XmlLimits::Unproven());
}

// --- Connections ---------------------------------------------------------------------------------

bool Web::OnStreamOpen(net::StreamId id, const net::StreamInfo& info) {
  Source* source = sources_.Enter(info.remote.address);
  if (source == nullptr) {
    return false;
  }
  const uint32_t share = ShareOf(connections_.capacity(), parts_.engine.config().address_percent);
  Connection* connection = source->connections <= share ? connections_.Allocate() : nullptr;
  if (connection == nullptr) {
    sources_.Leave(*source);
    return false;
  }
  connection->source = source;
  connection->web = this;
  connection->stream = id;
  connection->key = KeyOf(id);
  connection->remote = info.remote;
  if (by_stream_.Insert(*connection) != HashInsert::kInserted) {
    connections_.Release(connection);
    sources_.Leave(*source);
    return false;
  }
  ArmIdle(*connection, kWebRequestSeconds);
  return true;
}

void Web::ArmIdle(Connection& connection, int64_t seconds) {
  connection.timer.Set(
      [](Timer&, void* context) {
        auto& fired = *static_cast<Connection*>(context);
        fired.web->OnConnectionTime(fired);
      },
      &connection);
  parts_.loop.timers().Arm(connection.timer, Duration::Seconds(seconds));
}

void Web::OnConnectionTime(Connection& connection) {
  parts_.streams.AbortStream(connection.stream);
}

size_t Web::OnStreamData(net::StreamId id, std::span<uint8_t> data) {
  const size_t all = data.size();
  for (;;) {
    Connection* connection = Find(id);
    if (connection == nullptr || connection->is_over) {
      return all;
    }
    if (connection->is_websocket) {
      return all - data.size() + TakeFrames(*connection, data);
    }
    if (connection->answers || connection->bosh != nullptr || data.empty()) {
      return all - data.size();
    }
    if (connection->drain > 0) {
      data = data.subspan(Drain(*connection, data.size()));
      continue;
    }
    if (connection->transfer != nullptr) {
      const size_t given = parts_.uploads->files().Give(*connection->transfer, data);
      if (given > 0) {
        ArmIdle(*connection, kWebRequestSeconds);
      }
      return all - data.size() + given;
    }
    const size_t taken = TakeRequest(*connection, data);
    if (taken == 0) {
      return all - data.size();
    }
    data = data.subspan(taken);
  }
}

void Web::OnStreamWritable(net::StreamId id) {
  Connection* connection = Find(id);
  if (connection == nullptr) {
    return;
  }
  if (connection->is_websocket) {
    parts_.engine.OnWritable(id);
  } else {
    Pump(*connection);
  }
}

void Web::OnStreamClosed(net::StreamId id, net::StreamClose) {
  Connection* connection = Find(id);
  if (connection == nullptr) {
    return;
  }
  parts_.loop.timers().Cancel(connection->timer);
  if (connection->is_websocket) {
    parts_.engine.OnClosed(id);
  }
  LeaveFile(*connection);
  if (Bosh* bosh = connection->bosh; bosh != nullptr) {  // he will ask again, or stay away
    bosh->held = nullptr;
    parts_.loop.timers().Arm(bosh->timer, Duration::Seconds(kBoshInactivitySeconds));
  }
  if (connection->early != nullptr) {
    connection->early->early = nullptr;
  }
  chains_.Free(connection->out);
  by_stream_.Remove(*connection);
  sources_.Leave(*connection->source);
  connections_.Release(connection);
}

// --- Requests ------------------------------------------------------------------------------------

// How many bytes it took; 0: it is not all there, or it ended the connection.
size_t Web::TakeRequest(Connection& connection, std::span<uint8_t> data) {
  const std::string_view text = AsText(data.first(std::min<size_t>(data.size(), kWebHeadMax)));
  const size_t head_size = net::HttpHeadSize(text);
  if (head_size == 0) {
    if (data.size() >= kWebHeadMax) {
      Refuse(connection, "431 Request Header Fields Too Large", "a head beyond the limit");
      return data.size();
    }
    return 0;
  }
  const auto request = net::ParseHttpRequest(text.substr(0, head_size));
  if (!request.ok() || request->is_chunked) {
    Refuse(connection, request.ok() ? "411 Length Required" : "400 Bad Request",
           "not a request that is understood");
    return data.size();
  }
  if (request->path == kSocketPath) {
    return TakeHandshake(connection, data);
  }
  connection.closes = request->closes;
  if (request->path == kBoshPath && request->method == "POST") {
    return TakeBody(connection, *request, head_size, data);
  }
  if (request->path.starts_with(Uploads::kPath) && parts_.uploads != nullptr &&
      request->method != "OPTIONS") {
    return TakeFileRequest(connection, *request, head_size, data);
  }
  if (request->has_body) {
    Refuse(connection, "413 Content Too Large", "a body nobody asked for");
    return data.size();
  }
  ++counters_.requests;
  const bool is_json = request->path == "/.well-known/host-meta.json";
  if (request->method == "OPTIONS") {
    Answer(connection, "204 No Content",
           "Access-Control-Allow-Methods: GET, HEAD, PUT, POST, OPTIONS\r\n"
           "Access-Control-Allow-Headers: Content-Type\r\nAccess-Control-Max-Age: 86400\r\n",
           "");
  } else if (request->method != "GET") {
    Answer(connection, "405 Method Not Allowed", "Allow: GET, POST, OPTIONS\r\n", "");
  } else if (request->path == kMetaPath || is_json) {
    AnswerHostMeta(connection, *request, is_json);
  } else {
    Answer(connection, "404 Not Found", "", "");
  }
  return head_size;
}

void Web::AnswerHostMeta(Connection& connection, const net::HttpRequest& request, bool is_json) {
  if (!IsHost(request.host)) {
    Refuse(connection, "400 Bad Request", "no host");
    return;
  }
  uint8_t bytes[1536];
  ByteWriter out(bytes);
  const auto link = [&](std::string_view kind, std::string_view scheme, std::string_view path) {
    out.Text(is_json ? "{\"rel\":\"urn:xmpp:alt-connections:"
                     : "<Link rel='urn:xmpp:alt-connections:");
    out.Text(kind);
    out.Text(is_json ? "\",\"href\":\"" : "' href='");
    out.Text(scheme);
    out.Text(request.host);
    out.Text(path);
    out.Text(is_json ? "\"}" : "'/>");
  };
  out.Text(is_json ? "{\"links\":["
                   : "<?xml version='1.0' encoding='utf-8'?>"
                     "<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>");
  link("websocket", "wss://", kSocketPath);
  out.Text(is_json ? "," : "");
  link("xbosh", "https://", kBoshPath);
  out.Text(is_json ? "]}" : "</XRD>");
  GH_ASSERT(out.ok());
  Answer(connection, "200 OK",
         is_json ? "Content-Type: application/json\r\n" : "Content-Type: application/xrd+xml\r\n",
         out.text());
}

void Web::Refuse(Connection& connection, const char* status, const char* why) {
  ++counters_.refused;
  connection.closes = true;
  parts_.observer.OnRefused(connection.remote, "", why);
  Answer(connection, status, "", "");
}

// Bytes of a refused body: without this their sender would see its connection broken instead of the
// answer. The connection has as long for them as for being idle.
size_t Web::Drain(Connection& connection, size_t available) {
  const auto count = static_cast<size_t>(std::min<uint64_t>(available, connection.drain));
  connection.drain -= count;
  if (connection.drain == 0 && connection.closes) {
    connection.is_over = true;
    parts_.streams.CloseStream(connection.stream);
  } else if (connection.drain == 0) {
    ArmIdle(connection, kWebIdleSeconds);
  }
  return count;
}

void Web::Answer(Connection& connection, std::string_view status, std::string_view fields,
                 std::string_view body) {
  uint8_t bytes[2560];
  ByteWriter out(bytes);
  out.Text("HTTP/1.1 ");
  out.Text(status);
  out.Text("\r\nAccess-Control-Allow-Origin: *\r\nCache-Control: no-store\r\n");
  out.Text("X-Content-Type-Options: nosniff\r\n");
  out.Text(fields);
  out.Text(connection.closes ? "Connection: close\r\n" : "");
  if (!status.starts_with("204")) {
    out.Text("Content-Length: ");
    out.Decimal(body.size());
    out.Text("\r\n");
  }
  out.Text("\r\n");
  out.Text(body);
  GH_ASSERT(out.ok());
  Chain answer;
  if (!chains_.Append(answer, out.written())) {
    parts_.streams.AbortStream(connection.stream);
    return;
  }
  SendAnswer(connection, answer);
}

// Takes the chain.
void Web::SendAnswer(Connection& connection, Chain& answer) {
  GH_ASSERT(connection.out.empty());
  connection.out = std::exchange(answer, Chain());
  connection.answers = true;
  Pump(connection);
}

void Web::Pump(Connection& connection) {
  if (!connection.answers || connection.is_over) {
    return;
  }
  while (!connection.out.empty()) {
    uint8_t bytes[kPieceMax];
    const size_t count = chains_.Copy(connection.out, 0, bytes);
    if (!parts_.streams.SendStream(connection.stream, std::span(bytes).first(count)).ok()) {
      ArmIdle(connection, kWebRequestSeconds);  // it is to read what it asked for
      return;
    }
    chains_.Drop(connection.out, static_cast<uint32_t>(count));
  }
  if (connection.transfer != nullptr && !PumpFile(connection)) {
    return;
  }
  ArmIdle(connection, kWebIdleSeconds);
  if (connection.closes && connection.drain == 0) {
    connection.is_over = true;
    parts_.streams.CloseStream(connection.stream);
  } else {
    connection.answers = false;
    parts_.streams.ResumeStream(connection.stream);
  }
}

// --- WebSockets ----------------------------------------------------------------------------------

size_t Web::TakeHandshake(Connection& connection, std::span<uint8_t> data) {
  net::WebSocketRequest request;
  net::WebSocketRefusal refusal = net::ReadWebSocketRequest(data, "xmpp", request);
  if (refusal.status == 0 && request.size == 0) {
    return 0;
  }
  if (refusal.status == 0 &&
      !parts_.engine.OnOpen(connection.stream, connection.remote, true, Framing::kWebSocket)) {
    refusal = {503, "too many streams"};
  }
  uint8_t bytes[512];
  ByteWriter out(bytes);
  if (refusal.status != 0) {
    ++counters_.refused;
    parts_.observer.OnRefused(connection.remote, "", refusal.why);
    net::WriteWebSocketRefusal(out, refusal);
  } else {
    ++counters_.requests;
    ++counters_.websockets;
    net::WriteWebSocketAcceptance(out, request.key, "xmpp");
  }
  GH_ASSERT(out.ok());
  const bool is_sent = parts_.streams.SendStream(connection.stream, out.written()).ok();
  if (refusal.status != 0 || !is_sent) {
    connection.is_over = true;
    is_sent ? parts_.streams.CloseStream(connection.stream)
            : parts_.streams.AbortStream(connection.stream);
    return data.size();
  }
  connection.is_websocket = true;
  parts_.loop.timers().Cancel(connection.timer);
  return request.size;
}

// How many bytes are done with. What is to be kept of the rest comes to lie at the end.
size_t Web::TakeFrames(Connection& connection, std::span<uint8_t> data) {
  using Kind = net::WebSocketReader::Kind;
  const net::StreamId id = connection.stream;
  for (;;) {
    const uint32_t most = parts_.engine.MessageMax(id);
    if (most == 0) {
      return data.size();
    }
    const bool may_take = parts_.engine.MayTakeMessage(id);
    const auto event =
        may_take ? connection.frames.Next(data, most) : net::WebSocketReader::Event();
    if (event.kind == Kind::kNone) {
      break;
    }
    if (!OnFrame(connection, event) || Find(id) != &connection) {
      return data.size();
    }
  }
  const size_t kept = connection.frames.Settle(data);
  std::memmove(data.data() + data.size() - kept, data.data(), kept);
  // A message is whole within this time of its beginning.
  if (kept == 0) {
    parts_.loop.timers().Cancel(connection.timer);
  } else if (!connection.timer.armed()) {
    ArmIdle(connection, kWebRequestSeconds);
  }
  return data.size() - kept;
}

bool Web::OnFrame(Connection& connection, const net::WebSocketReader::Event& event) {
  using Kind = net::WebSocketReader::Kind;
  const net::StreamId id = connection.stream;
  switch (event.kind) {
    case Kind::kMessage:
      parts_.loop.timers().Cancel(connection.timer);
      return parts_.engine.OnMessage(id, event.payload);
    case Kind::kPing:
      SendFrame(id, net::WebSocketOpcode::kPong, event.payload);
      return true;
    case Kind::kClose:
    case Kind::kFault: {
      uint8_t code[2];
      ByteWriter out(code);
      out.U16Be(event.kind == Kind::kFault ? event.fault : net::kWebSocketNormal);
      SendFrame(id, net::WebSocketOpcode::kClose, out.written());
      if (event.kind == Kind::kFault) {
        parts_.observer.OnRefused(connection.remote, "", event.why);
      }
      parts_.engine.OnClosed(id);
      parts_.streams.CloseStream(id);
      return false;
    }
    default:
      return true;
  }
}

// Between two elements of the engine's: a frame is never sent into the middle of another, for what
// the stream does not take at once the engine keeps.
void Web::SendFrame(net::StreamId id, net::WebSocketOpcode opcode,
                    std::span<const uint8_t> payload) {
  uint8_t bytes[net::kWebSocketHeaderMax + net::kWebSocketControlMax];
  ByteWriter out(bytes);
  net::WriteWebSocketHeader(out, opcode, payload.size());
  out.Bytes(payload);
  GH_ASSERT(out.ok());
  parts_.engine.WriteControl(id, out.written());
}

}  // namespace gh::xmpp
