// Answers an ACME authority that comes to see whether a name is ours: the text of http-01 on TCP
// port 80, the certificate of tls-alpn-01 on 443 (firmware/keys/key_store.h shows it). Both ports
// are open only between Open and Close, while an authorisation is pending.
//
// Fault model: anybody may come in that time: a few connections, one bounded request each, a
// deadline; whoever asks for anything else is told 404.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "firmware/acme/limits.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"
#include "hal/rt/time.h"
#include "net/http_request.h"
#include "net/stream.h"

namespace gh {

class AcmeResponder final : net::StreamHandler {
 public:
  static constexpr uint16_t kHttpPort = 80;
  static constexpr uint16_t kTlsPort = 443;

  explicit AcmeResponder(net::StreamService& streams) : streams_(streams) {}
  AcmeResponder(const AcmeResponder&) = delete;
  AcmeResponder& operator=(const AcmeResponder&) = delete;

  Result<void> OpenHttp(std::string_view token, std::string_view text, Instant now);
  Result<void> OpenTls(Instant now);
  void Close();
  void Watch(Instant now);
  bool is_http_open() const { return is_open_ && !is_tls_; }
  bool is_tls_open() const { return is_open_ && is_tls_; }
  uint64_t answered() const { return answered_; }

 private:
  static constexpr uint32_t kConnectionMax = 8;
  static constexpr size_t kHeadMax = 2048;
  struct Connection {
    net::StreamId stream;
    bool used = false;
    bool answered = false;
    Instant deadline;
    net::HttpHeadBuffer<kHeadMax> head;
  };

  bool OnStreamOpen(net::StreamId id, const net::StreamInfo& info) override;
  size_t OnStreamData(net::StreamId id, std::span<uint8_t> data) override;
  void OnStreamWritable(net::StreamId) override {}
  void OnStreamClosed(net::StreamId id, net::StreamClose why) override;
  Result<void> Listen(uint16_t port, net::StreamKind kind, Instant now);
  Connection* Find(net::StreamId id);
  void Answer(Connection& connection, std::string_view head);

  net::StreamService& streams_;
  std::array<net::ListenerId, 2> listeners_;
  std::array<Connection, kConnectionMax> connections_;
  FixedString<acme::kTokenMax> token_;
  FixedString<acme::kKeyAuthorizationMax> text_;
  Instant now_;
  bool is_open_ = false;
  bool is_tls_ = false;
  uint64_t answered_ = 0;
};

}  // namespace gh
