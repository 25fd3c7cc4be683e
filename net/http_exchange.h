// One HTTP/1.1 request and its response, small and whole: for protocols that talk in documents
// (ACME, OCSP). Over TLS to a server that a trusted authority vouches for, or in the clear where
// the document itself is signed.
//
// In: method, URL, a body in the caller's buffer. Out: the status, fields one by one as they come,
// the body in the buffer given at the start. One connection for each; bounded by kExchangeTime from
// beginning to end, and by the buffer. Redirections are not followed: they come as they are.
//
// Fault model: network and server are hostile; every fault ends the exchange with one clear line.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "crypto/tls_client.h"
#include "hal/rt/result.h"
#include "hal/rt/timer_wheel.h"
#include "net/http/response.h"
#include "net/http/url.h"
#include "net/resolver.h"
#include "net/stream.h"

namespace gh::net {

inline constexpr Duration kExchangeTime = Duration::Seconds(30);
inline constexpr size_t kExchangeHeadMax = kHttpUrlMax + 768;

struct HttpAsk {
  std::string_view method = "GET";
  HttpsUrl url;
  std::string_view content_type;  // of the body; static
  std::string_view accept = "*/*";
  std::string_view authorization = {};  // of the field; empty: none is sent
  std::span<const uint8_t> body;  // stays until the end
};

class HttpExchangeListener {
 public:
  virtual void OnHttpField(std::string_view /*name*/, std::string_view /*value*/) {}
  // Always the last call, from the event loop: the status, or why there is none.
  virtual void OnHttpEnd(Result<uint32_t> status, std::span<const uint8_t> body) = 0;

 protected:
  ~HttpExchangeListener() = default;
};

class HttpExchange final : StreamHandler {
 public:
  // `room`: as much of a body is taken. `trust`: whom servers' certificates have to be of.
  HttpExchange(StreamService& streams, Resolver& resolver, TimerWheel& timers,
               crypto::TlsEnvironment& environment, crypto::PeerCheck& trust,
               std::span<uint8_t> room);
  HttpExchange(const HttpExchange&) = delete;
  HttpExchange& operator=(const HttpExchange&) = delete;

  // kWrongState: one is under way. The listener is never called from inside.
  Result<void> Start(const HttpAsk& ask, HttpExchangeListener& listener);
  void Cancel();  // without a further call
  bool active() const { return listener_ != nullptr; }

 private:
  bool OnStreamOpen(StreamId id, const StreamInfo& info) override;
  size_t OnStreamData(StreamId id, std::span<uint8_t> data) override;
  void OnStreamWritable(StreamId id) override;
  void OnStreamClosed(StreamId id, StreamClose why) override;
  static void OnAddresses(DnsQuery& query, Result<std::span<const DnsRecord>> records);
  static void OnField(void* self, std::string_view name, std::string_view value);
  void OnTime();
  Result<void> Begin();
  Result<void> Resolve(DnsType type);
  Result<void> Connect(const IpAddress& address);
  Result<void> WriteHead();
  Result<void> SendRequest();
  Result<bool> SendPiece(std::span<const uint8_t>& left);
  Result<void> OpenRecords(std::span<const uint8_t> in);
  Result<void> TakeBody(std::span<const uint8_t> bytes);
  void FlushTls();
  void End(Result<uint32_t> outcome);
  void Release();

  StreamService& streams_;
  Resolver& resolver_;
  TimerWheel& timers_;
  crypto::PeerCheck& trust_;
  crypto::TlsClient tls_;
  std::span<uint8_t> room_;
  HttpExchangeListener* listener_ = nullptr;
  HttpAsk ask_;
  DnsQuery query_;
  DnsType asked_ = DnsType::kA;
  bool is_resolving_ = false;
  StreamId stream_;
  bool has_stream_ = false;
  bool is_connected_ = false;
  std::array<uint8_t, kExchangeHeadMax> head_;
  std::span<const uint8_t> head_left_;
  std::span<const uint8_t> body_left_;
  HttpResponse response_;
  size_t body_size_ = 0;
  Timer timer_;
};

}  // namespace gh::net
