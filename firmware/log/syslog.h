// Remote syslog: events to up to four servers, as RFC 5424 or RFC 3164 messages over UDP (RFC
// 5426), TCP with octet counting (RFC 6587 3.4.1) or TLS (RFC 5425: the same framing).
//
// Each server reads the event log at its own pace: the log on the disk is the queue while a server
// is away, in order and over restarts; when it has overtaken a reader the number of lost events is
// itself an event. Nothing here waits but for one page of the log: a batch goes out per turn while
// the network takes it; connections are tried again with growing pauses.
//
// Octet counting has no acknowledgement (RFC 6587 5.2). When a connection breaks, what TCP had not
// been acknowledged a moment before is sent again on the next: a server may see events twice, with
// the same [meta sequenceId], but misses none. UDP tells nothing of an outage.
//
// A TLS server is checked before the first event is sent: by the fingerprint of its certificate, or
// by the trusted authorities and its name (crypto/tls_client.h).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/tls_client.h"
#include "crypto/tls_identity.h"
#include "firmware/log/log.h"
#include "firmware/log/render.h"
#include "hal/rt/arena.h"
#include "hal/rt/event_loop.h"
#include "hal/rt/fixed_string.h"
#include "net/datagram.h"
#include "net/resolver.h"
#include "net/stream.h"

namespace gh::log {

enum class SyslogTransport : uint8_t { kUdp, kTcp, kTls };
enum class SyslogFormat : uint8_t { kIetf, kBsd };

struct SyslogServerConfig {
  bool enabled = false;
  FixedString<127> address;  // host name or address
  uint16_t port = 514;
  SyslogTransport transport = SyslogTransport::kUdp;
  Severity severity = Severity::kInformational;  // this and graver
  SyslogFormat format = SyslogFormat::kIetf;
  uint32_t categories = kAllCategories;  // bit c: Category c
  bool has_fingerprint = false;          // TLS: pinned; else by the trust list
  crypto::CertificateFingerprint fingerprint = {};
  friend bool operator==(const SyslogServerConfig&, const SyslogServerConfig&) = default;
  // Whether it is the same server, whatever it is told: the queue goes on.
  uint32_t Identity() const;
};

// "sip, audit"; empty: all. kInvalidArgument: a word is no category.
Result<uint32_t> ParseCategories(std::string_view text);
// "AB:CD:..." or without colons. kInvalidArgument.
Result<crypto::CertificateFingerprint> ParseFingerprint(std::string_view text);

// Where events come from that memory does not have any more, and what is remembered of servers.
class EventSource {
 public:
  // The event of that number, or the next one that there is; null: none.
  virtual const Record* FindFrom(uint64_t sequence) = 0;
  virtual uint64_t MarkOf(uint32_t server) = 0;
  virtual void SetMark(uint32_t index, uint32_t server, uint64_t next) = 0;

 protected:
  ~EventSource() = default;
};

enum class SyslogState : uint8_t { kOff, kResolving, kConnecting, kWaiting, kSending, kSecuring };
const char* SyslogStateName(SyslogState state);

struct SyslogServerStatus {
  SyslogState state = SyslogState::kOff;
  net::Endpoint endpoint;
  uint64_t sent = 0;
  uint64_t dropped = 0;
  uint64_t waiting = 0;  // events in the ring that it has not had
  const char* last_error = "";
};

class Syslog final : public Pollable, net::StreamHandler, net::DatagramHandler {
 public:
  struct Parts {
    Log& log;
    EventLoop& loop;
    net::DatagramService& datagrams;
    net::StreamService& streams;
    net::Resolver* resolver;                // null: addresses only
    EventSource* source = nullptr;          // null: what memory holds
    crypto::TlsEnvironment* tls = nullptr;  // null: no TLS
    crypto::PeerCheck* trust = nullptr;
    Arena* arena = nullptr;  // with `tls`
  };
  explicit Syslog(const Parts& parts);
  Syslog(const Syslog&) = delete;
  Syslog& operator=(const Syslog&) = delete;

  // Servers whose entry did not change are left alone.
  void Configure(std::span<const SyslogServerConfig> servers);
  void SetIdentity(std::string_view host_name, std::string_view proc_id);
  SyslogServerStatus status(uint32_t server) const;

  bool Poll(Instant now) override;

 private:
  struct Server {
    SyslogServerConfig config;
    SyslogState state = SyslogState::kOff;
    uint64_t next = 0;  // sequence of the next event for it
    net::Endpoint endpoint;
    net::StreamId stream;
    net::DnsQuery query;
    net::DnsType query_type = net::DnsType::kA;
    bool query_pending = false;
    bool blocked = false;  // TCP: until OnStreamWritable
    bool told_lost = false;
    Instant retry_at;
    Instant deadline;
    crypto::TlsClient* tls = nullptr;
    size_t room_full = 0;       // of the stream when it was opened
    uint64_t acknowledged = 0;  // a connection that breaks goes on here
    uint64_t candidate = 0;     // all before it was acknowledged at candidate_at
    Instant candidate_at;
    int64_t pause_s = kReconnectMinSeconds;
    uint64_t sent = 0;
    uint64_t dropped = 0;
    uint64_t dropped_told = 0;
    const char* last_error = "";
    Syslog* owner = nullptr;
  };

  bool OnStreamOpen(net::StreamId id, const net::StreamInfo& info) override;
  size_t OnStreamData(net::StreamId id, std::span<uint8_t> data) override;
  void OnStreamWritable(net::StreamId id) override;
  void OnStreamClosed(net::StreamId id, net::StreamClose why) override;
  void OnDatagram(const net::DatagramInfo&, std::span<uint8_t>) override {}

  static void OnResolved(net::DnsQuery& query, Result<std::span<const net::DnsRecord>> records);
  void HandleAnswer(Server& server, const Result<std::span<const net::DnsRecord>>& records);
  void Start(Server& server);
  void Resolve(Server& server, net::DnsType type);
  void Connect(Server& server);
  void Begin(Server& server);
  void Secure(Server& server);
  void PumpTls(Server& server);
  void Break(Server& server, const char* why);
  void NoteAcknowledged(Server& server);
  bool Wants(const Server& server, const Record& record) const;
  Result<void> SendFrame(Server& server, std::span<const uint8_t> frame);
  const Record* Next(Server& server);
  void SaveMark(Server& server);
  void Fail(Server& server, const char* why);
  void Stop(Server& server);
  bool SendBatch(Server& server);
  Result<void> SendOne(Server& server, const Record& record);
  Result<void> SendDatagram(const Server& server, std::span<const uint8_t> message);
  void CountLost(Server& server);
  FixedString<192> NameOf(const Server& server) const;
  Server* FindByStream(net::StreamId id);

  Parts parts_;
  std::array<Server, kSyslogServerMax> servers_ = {};
  net::SocketId socket_v4_;
  net::SocketId socket_v6_;
  FixedString<64> host_name_;
  FixedString<32> proc_id_;
  Instant now_;
};

}  // namespace gh::log
