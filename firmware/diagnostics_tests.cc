// The tests themselves: what is sent, what its answers mean, what the operator reads.
#include <algorithm>

#include "firmware/diagnostics.h"
#include "firmware/rooms.h"

namespace gh {
namespace {

constexpr Duration kProbePeriod = Duration::Seconds(1);
constexpr Duration kProbeWait = Duration::Seconds(2);
constexpr Duration kConnectWait = Duration::Seconds(10);
constexpr uint8_t kHopMax = 30;
constexpr uint32_t kTriesPerHop = 2;
constexpr uint32_t kSilentHopMax = 5;  // in a row: nobody further on will answer either
constexpr uint16_t kProbeSize = 56;
constexpr uint8_t kHopLimit = 64;

const char* CloseText(net::StreamClose why) {
  switch (why) {
    case net::StreamClose::kByPeer:
      return "closed by the host";
    case net::StreamClose::kReset:
      return "reset by the host";
    case net::StreamClose::kTimeout:
      return "no answer";
    case net::StreamClose::kRefused:
      return "refused or unreachable";
    case net::StreamClose::kNoResource:
      return "no free connection";
    default:
      return "closed";
  }
}

}  // namespace

void Diagnostics::Finish(const char* why) {
  if (why[0] != '\0') {
    Line(why);
  }
  over_ = true;
  rooms_.loop.timers().Cancel(timer_);
  if (resolving_) {
    rooms_.resolver->Cancel(query_);
    resolving_ = false;
  }
  rooms_.stack->SetEchoObserver(nullptr, 0);
  CloseStream();
}

void Diagnostics::OnTimer() {
  if (over_) {
    return;
  }
  if (resolving_) {
    Finish("FAILED: the DNS servers do not answer");
  } else if (test_ == Test::kPing || test_ == Test::kTraceroute) {
    OnProbeTimer();
  } else if (test_ == Test::kTraversal && tls_->is_open()) {
    PassTraversal();
  } else {
    Finish(connected_ ? "FAILED: the TLS handshake is not completed" : "FAILED: no answer");
  }
}

// --- Names --------------------------------------------------------------------------------------

void Diagnostics::Resolve() {
  const auto literal = net::IpAddress::Parse(host_.view());
  if (literal.ok() && test_ != Test::kDns) {
    OnAddress(*literal);
    return;
  }
  const net::DnsType type = test_ == Test::kDns ? type_
                            : tried_v6_         ? net::DnsType::kAaaa
                                                : net::DnsType::kA;
  if (const auto asked = rooms_.resolver->Resolve(host_.view(), type, query_); !asked.ok()) {
    Finish("FAILED: the resolver takes no question");
    return;
  }
  resolving_ = true;
  sent_at_ = rooms_.machine.clock.Now();
  Arm(Duration::Seconds(30));
}

void Diagnostics::OnResolved(net::DnsQuery& query,
                             Result<std::span<const net::DnsRecord>> records) {
  auto& self = *static_cast<Diagnostics*>(query.context);
  self.resolving_ = false;
  if (self.over_) {
    return;
  }
  if (records.ok() && !records->empty()) {
    if (self.test_ == Test::kDns) {
      self.ShowRecords(*records);
      return;
    }
    self.OnAddress(records->front().address);
    return;
  }
  const ErrorCode code = records.code();
  if (self.test_ != Test::kDns && !self.tried_v6_) {
    self.tried_v6_ = true;
    self.Resolve();
    return;
  }
  self.Finish(code == ErrorCode::kTimeout   ? "FAILED: the DNS servers do not answer"
              : code == ErrorCode::kRefused ? "FAILED: the DNS servers refuse to answer"
                                            : "FAILED: there is no such name or no such record");
}

void Diagnostics::ShowRecords(std::span<const net::DnsRecord> records) {
  for (const net::DnsRecord& record : records) {
    switch (record.type) {
      case net::DnsType::kSrv:
        Line(host_.view(), " SRV priority=", record.priority, " weight=", record.weight,
             " port=", record.port, " target=", record.target, " ttl=", record.ttl_s);
        break;
      case net::DnsType::kNaptr:
        Line(host_.view(), " NAPTR order=", record.priority, " preference=", record.weight,
             " flags=", record.flags, " service=", record.service, " replacement=", record.target,
             " ttl=", record.ttl_s);
        break;
      default:
        Line(host_.view(), record.type == net::DnsType::kA ? " A " : " AAAA ",
             net::ToText(record.address).view(), " ttl=", record.ttl_s);
    }
  }
  Line(records.size(), " records, ", rooms_.machine.clock.Now() - sent_at_);
  Finish("");
}

void Diagnostics::OnAddress(const net::IpAddress& address) {
  address_ = address;
  rooms_.loop.timers().Cancel(timer_);
  if (test_ == Test::kTcp || test_ == Test::kTls || test_ == Test::kTraversal) {
    Connect();
    return;
  }
  Line(test_ == Test::kPing ? "Ping to " : "Route to ", host_.view(), " (",
       net::ToText(address).view(), ")");
  rooms_.stack->SetEchoObserver(this, static_cast<uint16_t>(rooms_.random.U32()));
  SendProbe();
}

// --- Ping and traceroute ------------------------------------------------------------------------

void Diagnostics::SendProbe() {
  answered_ = false;
  ++sequence_;
  const uint8_t hop_limit = test_ == Test::kPing ? kHopLimit : hop_;
  sent_at_ = rooms_.machine.clock.Now();
  const auto sent = rooms_.stack->SendEcho(address_, sequence_, hop_limit, kProbeSize);
  if (!sent.ok()) {
    Finish("FAILED: there is no route to this address");
    return;
  }
  ++sent_count_;
  Arm(test_ == Test::kPing && sent_count_ < probe_max_ ? kProbePeriod : kProbeWait);
}

void Diagnostics::OnEcho(const net::EchoEvent& event) {
  if (over_ || event.sequence != sequence_ || answered_) {
    return;  // late
  }
  answered_ = true;
  const Duration took = rooms_.machine.clock.Now() - sent_at_;
  if (test_ == Test::kTraceroute) {
    OnHop(event, took);
    return;
  }
  if (event.outcome != net::EchoOutcome::kReply) {
    Line("from ", net::ToText(event.from).view(), ": seq=", event.sequence,
         event.outcome == net::EchoOutcome::kTimeExceeded ? " time to live exceeded"
                                                          : " destination unreachable");
  } else {
    ++received_count_;
    time_min_ = std::min(time_min_, took);
    time_max_ = std::max(time_max_, took);
    time_sum_ = time_sum_ + took;
    Line(event.size, " bytes from ", net::ToText(event.from).view(), ": seq=", event.sequence,
         " ttl=", event.hop_limit, " time=", took);
  }
  if (sent_count_ >= probe_max_) {
    SumUpPings();
  }
}

void Diagnostics::OnProbeTimer() {
  if (test_ == Test::kPing) {
    if (!answered_) {
      Line("no answer: seq=", sequence_);
    }
    if (sent_count_ < probe_max_) {
      SendProbe();
    } else {
      SumUpPings();
    }
    return;
  }
  if (++hop_try_ < kTriesPerHop) {
    SendProbe();
    return;
  }
  Line(hop_, "  *");
  if (++silent_hops_ == kSilentHopMax) {
    Finish("FAILED: nobody further on answers");
    return;
  }
  NextHop();
}

void Diagnostics::SumUpPings() {
  Line(sent_count_, " sent, ", received_count_, " received");
  if (received_count_ > 0) {
    Line("min ", time_min_, ", average ", Duration::Nanoseconds(time_sum_.ns / received_count_),
         ", max ", time_max_);
  }
  Finish(received_count_ > 0 ? "" : "FAILED: no answer");
}

void Diagnostics::OnHop(const net::EchoEvent& event, Duration took) {
  silent_hops_ = 0;
  Line(hop_, "  ", net::ToText(event.from).view(), "  ", took,
       event.outcome == net::EchoOutcome::kUnreachable ? "  unreachable" : "");
  if (event.outcome != net::EchoOutcome::kTimeExceeded) {
    Finish(event.outcome == net::EchoOutcome::kReply ? "" : "FAILED: the host is unreachable");
    return;
  }
  NextHop();
}

void Diagnostics::NextHop() {
  if (hop_ == kHopMax) {
    Finish("FAILED: more than 30 hops");
    return;
  }
  ++hop_;
  hop_try_ = 0;
  SendProbe();
}

// --- TCP and TLS --------------------------------------------------------------------------------

void Diagnostics::Connect() {
  sent_at_ = rooms_.machine.clock.Now();
  const auto stream = rooms_.stack->streams().Connect({address_, port_}, {}, *this);
  if (!stream.ok()) {
    Finish("FAILED: there is no route to this address, or no free connection");
    return;
  }
  stream_ = *stream;
  has_stream_ = true;
  Arm(kConnectWait);
}

bool Diagnostics::OnStreamOpen(net::StreamId, const net::StreamInfo& info) {
  if (over_) {
    return false;
  }
  connected_ = true;
  Line("Connected to ", net::ToText(info.remote).view(), " from ", net::ToText(info.local).view(),
       " (", PortName(info.port_index), ") in ", rooms_.machine.clock.Now() - sent_at_);
  if (test_ == Test::kTcp) {
    Finish("");
    return true;
  }
  if (test_ == Test::kTraversal) {
    if (StartTraversal()) {
      FlushTls();
      Arm(kConnectWait);
    }
    return true;
  }
  // No certificate has this fingerprint: the handshake ends where the server has shown its own.
  const crypto::CertificateFingerprint nobody = {};
  if (const auto started = tls_->Start(host_.view(), nobody); !started.ok()) {
    Finish("FAILED: no memory for a TLS session");
    return true;
  }
  FlushTls();
  Arm(kConnectWait);
  return true;
}

void Diagnostics::FlushTls() {
  if (over_ || !has_stream_ || tls_->output().empty()) {
    return;
  }
  if (rooms_.stack->streams().SendStream(stream_, tls_->output()).ok()) {
    tls_->ConsumeOutput(tls_->output().size());
  }
}

size_t Diagnostics::OnStreamData(net::StreamId, std::span<uint8_t> data) {
  if (!over_ && test_ == Test::kTraversal) {
    ReadTraversal(data);
    return data.size();
  }
  if (over_ || test_ != Test::kTls) {
    return data.size();
  }
  std::span<const uint8_t> in = data;
  uint8_t plain[64];
  while (!over_) {
    const size_t before = in.size();
    const auto read = tls_->Read(in, plain);
    FlushTls();
    if (!read.ok()) {
      EndTls(read.error());
      break;
    }
    if (in.empty() || (*read == 0 && in.size() == before)) {
      break;
    }
  }
  return data.size();
}

void Diagnostics::EndTls(const Error& error) {
  if (!tls_->peer_fingerprint().has_value()) {
    Line("FAILED: ", error.what);
    Finish("");
    return;
  }
  uint8_t hex_bytes[64];
  ByteWriter hex(hex_bytes);
  hex.HexBytes(*tls_->peer_fingerprint());
  Line("TLS: ", tls_->version(), " ", tls_->cipher());
  Line("Certificate SHA-256: ", hex.text());
  Line("The certificate was not verified; the connection was closed behind it.");
  Finish("");
}

void Diagnostics::OnStreamClosed(net::StreamId id, net::StreamClose why) {
  if (!has_stream_ || id != stream_) {
    return;  // of a test that is over
  }
  has_stream_ = false;
  if (!over_ && test_ == Test::kTraversal && tls_->is_open()) {
    EndTraversal(ErrorCode::kClosed);
    return;
  }
  if (!over_) {
    Line("FAILED: ", CloseText(why), " after ", rooms_.machine.clock.Now() - sent_at_);
    Finish("");
  }
}

void Diagnostics::CloseStream() {
  if (std::exchange(has_stream_, false)) {
    if (connected_) {
      rooms_.stack->streams().CloseStream(stream_);  // an alert goes out first
    } else {
      rooms_.stack->streams().AbortStream(stream_);
    }
  }
  tls_->Reset();
}

}  // namespace gh
