// Fetches one file over HTTPS (HTTP/1.1 over TLS 1.3 or 1.2), in order, from any offset on.
//
// In: a URL, the server certificate's fingerprint, a sink. Out: the body's bytes, as fast as the
// sink takes them: what it leaves is held back from the server by TCP's window, never staged.
// Name resolution, connecting, TLS, the request, up to kHttpRedirectMax redirections (https only)
// and the response are all bounded by kDownloadIdle between signs of life.
// The caller resumes after a failure by starting again with a later offset (RFC 9110 section 14).
//
// Fault model: the network and the server are hostile; every fault ends the download with one clear
// line. The file is not believed: whoever takes it verifies it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "crypto/tls_client.h"
#include "hal/rt/result.h"
#include "hal/rt/timer_wheel.h"
#include "net/http/response.h"
#include "net/http/url.h"
#include "net/resolver.h"
#include "net/stream.h"

namespace gh::net {

inline constexpr Duration kDownloadIdle = Duration::Seconds(30);
inline constexpr size_t kDownloadPiece = 4096;  // plain text opened at a time

class DownloadSink {
 public:
  // Before the first byte: the file's whole size, if the server tells it.
  virtual void OnDownloadSize(std::optional<uint64_t> size) = 0;
  // Returns how many were taken, from the front; the rest come again after Resume().
  virtual size_t OnDownloadData(std::span<const uint8_t> bytes) = 0;
  // Always the last call: the file came whole, or why not.
  virtual void OnDownloadEnd(Result<void> outcome) = 0;

 protected:
  ~DownloadSink() = default;
};

class HttpsDownload final : StreamHandler {
 public:
  HttpsDownload(StreamService& streams, Resolver& resolver, TimerWheel& timers,
                crypto::TlsEnvironment& environment);
  HttpsDownload(const HttpsDownload&) = delete;
  HttpsDownload& operator=(const HttpsDownload&) = delete;

  // Calls to `sink` come from the event loop, never from inside Start().
  Result<void> Start(const HttpsUrl& url, const crypto::CertificateFingerprint& fingerprint,
                     uint64_t offset, DownloadSink& sink);
  void Resume();  // may call the sink before it returns
  // Ends it without a further call to the sink.
  void Cancel();

  bool active() const { return sink_ != nullptr; }
  uint32_t http_status() const { return response_.status(); }
  // The certificate the server showed, for an operator who has to compare it.
  const std::optional<crypto::CertificateFingerprint>& peer_fingerprint() const { return shown_; }
  const char* tls_version() const { return tls_.version(); }
  const char* tls_cipher() const { return tls_.cipher(); }

 private:
  bool OnStreamOpen(StreamId id, const StreamInfo& info) override;
  size_t OnStreamData(StreamId id, std::span<uint8_t> data) override;
  void OnStreamWritable(StreamId id) override;
  void OnStreamClosed(StreamId id, StreamClose why) override;

  static void OnAddresses(DnsQuery& query, Result<std::span<const DnsRecord>> records);
  void OnIdle();
  Result<void> Begin();
  Result<void> Ask(DnsType type);
  Result<void> Connect(const IpAddress& address);
  Result<void> SendRequest();
  void Flush();
  // Opens what came, up to where the sink holds back. An error ends the download.
  Result<void> Pump(std::span<const uint8_t>& in);
  Result<void> OnPlain();
  Result<void> OnHead();
  Result<void> Redirect();
  bool DeliverPiece();
  void EndWhenRead();
  void End(Result<void> outcome);
  void Release();
  void Alive();

  StreamService& streams_;
  Resolver& resolver_;
  TimerWheel& timers_;
  crypto::TlsClient tls_;
  DownloadSink* sink_ = nullptr;
  HttpsUrl url_;
  crypto::CertificateFingerprint fingerprint_ = {};
  std::optional<crypto::CertificateFingerprint> shown_;
  uint64_t offset_ = 0;
  uint64_t skip_ = 0;  // of a server that sends the whole file when asked for a part
  uint32_t redirect_count_ = 0;
  DnsQuery query_;
  DnsType asked_ = DnsType::kA;
  bool is_resolving_ = false;
  StreamId stream_;
  bool has_stream_ = false;
  bool is_connected_ = false;
  std::optional<Error> closed_;  // how the stream ended, while the sink still holds back
  bool was_requested_ = false;
  bool head_seen_ = false;
  HttpResponse response_;
  std::array<uint8_t, kDownloadPiece> plain_;
  std::span<const uint8_t> plain_left_;  // opened, and not yet read as HTTP
  std::span<const uint8_t> piece_;       // of the body, and not yet taken by the sink
  Timer idle_;
};

}  // namespace gh::net
