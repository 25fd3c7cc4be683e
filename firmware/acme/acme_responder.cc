#include "firmware/acme/acme_responder.h"

#include <algorithm>

#include "hal/rt/bytes.h"

namespace gh {
namespace {

constexpr Duration kRequestTime = Duration::Seconds(10);
constexpr std::string_view kFolder = "/.well-known/acme-challenge/";

}  // namespace

Result<void> AcmeResponder::Listen(uint16_t port, net::StreamKind kind, Instant now) {
  Close();
  now_ = now;
  is_open_ = true;
  is_tls_ = kind == net::StreamKind::kTls;
  uint32_t count = 0;
  for (uint32_t i = 0; i < listeners_.size(); ++i) {
    net::IpAddress any;
    any.family = i == 0 ? net::IpFamily::kIpv4 : net::IpFamily::kIpv6;
    const auto listener =
        streams_.Listen({any, port}, {.kind = kind, .service = net::TlsService::kAcme}, *this);
    if (listener.ok()) {
      listeners_[i] = *listener;
      ++count;
    }
  }
  if (count == 0) {
    is_open_ = false;
    return Error(ErrorCode::kExhausted, "the port of the challenge is in use");
  }
  return Ok();
}

Result<void> AcmeResponder::OpenHttp(std::string_view token, std::string_view text, Instant now) {
  GH_TRY(Listen(kHttpPort, net::StreamKind::kTcp, now));
  token_.Assign(token);
  text_.Assign(text);
  return Ok();
}

Result<void> AcmeResponder::OpenTls(Instant now) {
  return Listen(kTlsPort, net::StreamKind::kTls, now);
}

// What is being answered goes on to its end.
void AcmeResponder::Close() {
  for (net::ListenerId& listener : listeners_) {
    if (listener.valid()) {
      streams_.CloseListener(listener);
      listener = {};
    }
  }
  is_open_ = false;
}

void AcmeResponder::Watch(Instant now) {
  now_ = now;
  for (Connection& connection : connections_) {
    if (connection.used && now > connection.deadline) {
      streams_.AbortStream(connection.stream);
    }
  }
}

AcmeResponder::Connection* AcmeResponder::Find(net::StreamId id) {
  const auto found = std::ranges::find_if(
      connections_, [&](const Connection& one) { return one.used && one.stream == id; });
  return found == connections_.end() ? nullptr : &*found;
}

bool AcmeResponder::OnStreamOpen(net::StreamId id, const net::StreamInfo& info) {
  const auto free =
      std::ranges::find_if(connections_, [](const Connection& one) { return !one.used; });
  if (free == connections_.end()) {
    return false;
  }
  free->stream = id;
  free->used = true;
  free->head.Clear();
  free->deadline = now_ + kRequestTime;
  // The certificate was all there was to see (RFC 8737 section 3).
  free->answered = info.kind == net::StreamKind::kTls;
  if (free->answered) {
    ++answered_;
    streams_.CloseStream(id);
  }
  return true;
}

size_t AcmeResponder::OnStreamData(net::StreamId id, std::span<uint8_t> data) {
  Connection* connection = Find(id);
  if (connection == nullptr || connection->answered) {
    return data.size();
  }
  if (const std::string_view head = connection->head.Add(data); !head.empty()) {
    Answer(*connection, head);
  } else if (connection->head.is_full()) {
    streams_.AbortStream(id);
  }
  return data.size();
}

void AcmeResponder::Answer(Connection& connection, std::string_view head) {
  connection.answered = true;
  const auto request = net::ParseHttpRequest(head);
  const bool is_get = request.ok() && !request->has_body && request->method == "GET";
  const bool is_asked = is_get && request->path.starts_with(kFolder) && is_open_ && !is_tls_ &&
                        request->path.substr(kFolder.size()) == token_.view();
  uint8_t buffer[512];
  ByteWriter out(buffer);
  if (is_asked) {
    ++answered_;
    out.Text("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: ");
    out.Decimal(text_.size());
    out.Text("\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n");
    out.Text(text_.view());
  } else {
    out.Text(is_get ? "HTTP/1.1 404 Not Found" : "HTTP/1.1 400 Bad Request");
    out.Text("\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  }
  if (!streams_.SendStream(connection.stream, out.written()).ok()) {
    streams_.AbortStream(connection.stream);
    return;
  }
  streams_.CloseStream(connection.stream);
}

void AcmeResponder::OnStreamClosed(net::StreamId id, net::StreamClose) {
  if (Connection* connection = Find(id); connection != nullptr) {
    connection->used = false;
  }
}

}  // namespace gh
