// Remote syslog: events of the ring to up to four servers, RFC 5424 messages over UDP (RFC 5426) or
// TCP with octet counting (RFC 6587 3.4.1).
//
// Each server reads the ring at its own pace: the ring is the queue while a server is away, and
// when it has overtaken a reader the number of lost events is itself an event. Nothing here waits:
// a batch goes out per turn while the network takes it; TCP connects with growing pauses.
//
// What TCP had taken when a connection broke is lost without notice: octet counting has no
// acknowledgement (RFC 6587 5.2). Servers see the gap in [meta sequenceId].
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/log/log.h"
#include "firmware/log/render.h"
#include "hal/rt/event_loop.h"
#include "hal/rt/fixed_string.h"
#include "net/datagram.h"
#include "net/resolver.h"
#include "net/stream.h"

namespace gh::log {

enum class SyslogTransport : uint8_t { kUdp, kTcp };

struct SyslogServerConfig {
  bool enabled = false;
  FixedString<127> address;  // host name or address
  uint16_t port = 514;
  SyslogTransport transport = SyslogTransport::kUdp;
  Severity severity = Severity::kInformational;  // this and graver
  friend bool operator==(const SyslogServerConfig& a, const SyslogServerConfig& b) {
    return a.enabled == b.enabled && a.address == b.address && a.port == b.port &&
           a.transport == b.transport && a.severity == b.severity;
  }
};

enum class SyslogState : uint8_t { kOff, kResolving, kConnecting, kWaiting, kSending };
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
    net::Resolver* resolver;  // null: addresses only
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
