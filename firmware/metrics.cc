#include "firmware/metrics.h"

#include <algorithm>
#include <cstring>

#include "firmware/rooms.h"
#include "version.h"

namespace gh {
namespace {

using namespace gh::log::event;

constexpr Duration kRequestTime = Duration::Seconds(10);
constexpr uint32_t kFamilyShift = 16;

struct Family {
  const char* name;
  const char* type;
  const char* help;
};

enum : uint64_t {
  kBuild,
  kUptime,
  kTurns,
  kTurnMax,
  kArena,
  kFrames,
  kEvents,
  kAlarms,
  kReceivedPackets,
  kReceivedBytes,
  kReceivedDropped,
  kSentPackets,
  kSentBytes,
  kSentDropped,
  kLinkUp,
  kFirewall,
  kConnections,
  kConnectionMax,
  kBuffers,
  kRegistrations,
  kCalls,
  kSipMessages,
  kSipRefused,
  kPoolUsed,
  kPoolCapacity,
  kSyslogSent,
  kSyslogDropped,
  kClockGood,
  kClockOffset,
  kFamilyCount
};

constexpr Family kFamilies[] = {
    {"gatehouse_build_info", "gauge", "The running image"},
    {"gatehouse_uptime_seconds", "gauge", "Time since the start"},
    {"gatehouse_loop_turns_total", "counter", "Turns of the control plane"},
    {"gatehouse_loop_turn_longest_seconds", "gauge", "The longest turn since the start"},
    {"gatehouse_memory_bytes", "gauge", "Memory carved at the start, by account"},
    {"gatehouse_frames", "gauge", "Ethernet frames in use and there are"},
    {"gatehouse_events_total", "counter", "Events logged"},
    {"gatehouse_alarm_raised", "gauge", "Alarms that are raised"},
    {"gatehouse_network_receive_packets_total", "counter", "Frames received"},
    {"gatehouse_network_receive_bytes_total", "counter", "Bytes received"},
    {"gatehouse_network_receive_dropped_total", "counter", "Frames dropped by the device"},
    {"gatehouse_network_transmit_packets_total", "counter", "Frames sent"},
    {"gatehouse_network_transmit_bytes_total", "counter", "Bytes sent"},
    {"gatehouse_network_transmit_dropped_total", "counter", "Frames that could not be sent"},
    {"gatehouse_network_up", "gauge", "Whether the port has a link"},
    {"gatehouse_firewall_dropped_total", "counter", "Packets dropped, by reason"},
    {"gatehouse_tcp_connections", "gauge", "Open TCP connections"},
    {"gatehouse_tcp_connections_max", "gauge", "TCP connections there can be"},
    {"gatehouse_tcp_buffer_bytes", "gauge", "Bytes queued in TCP"},
    {"gatehouse_sip_registrations", "gauge", "Registered contacts"},
    {"gatehouse_sip_calls", "gauge", "Calls in progress"},
    {"gatehouse_sip_messages_total", "counter", "SIP messages, by direction"},
    {"gatehouse_sip_refused_total", "counter", "SIP requests refused"},
    {"gatehouse_pool_used", "gauge", "Items in use, by pool"},
    {"gatehouse_pool_capacity", "gauge", "Items there are, by pool"},
    {"gatehouse_syslog_sent_total", "counter", "Messages sent, by syslog server"},
    {"gatehouse_syslog_dropped_total", "counter", "Messages lost, by syslog server"},
    {"gatehouse_clock_synchronised", "gauge", "Whether a time server is followed"},
    {"gatehouse_clock_offset_seconds", "gauge", "Offset found in the last round"},
};
static_assert(std::size(kFamilies) == kFamilyCount);

void Number(ByteWriter& out, uint64_t value) {
  out.Char(' ');
  out.Decimal(value);
}

// Seconds from nanoseconds.
void Seconds(ByteWriter& out, int64_t ns) {
  out.Text(ns < 0 ? " -" : " ");
  const auto magnitude = static_cast<uint64_t>(ns < 0 ? -ns : ns);
  out.Decimal(magnitude / 1'000'000'000);
  out.Char('.');
  for (uint64_t unit = 100'000'000; unit > 0; unit /= 10) {
    out.Decimal(magnitude / unit % 10);
  }
}

// {name="value"}, escaped as the format wants it.
void Label(ByteWriter& out, std::string_view name, std::string_view value) {
  out.Char('{');
  out.Text(name);
  out.Text("=\"");
  for (const char c : value) {
    if (c == '\\' || c == '"') {
      out.Char('\\');
    }
    out.Char(c == '\n' ? ' ' : c);
  }
  out.Text("\"}");
}

}  // namespace

void Metrics::ApplySettings() {
  const config::Metrics& settings = rooms_.configuration->active().metrics();
  const bool wanted = settings.mode == config::OnOff::kOn && !rooms_.configuration->is_factory();
  const uint16_t port = wanted ? static_cast<uint16_t>(settings.port) : uint16_t{0};
  rooms_.services.Open(ServiceId::kMetrics, port);
  if (port == port_) {
    return;
  }
  port_ = port;
  for (uint32_t i = 0; i < listeners_.size(); ++i) {
    if (listeners_[i].valid()) {
      rooms_.stack->streams().CloseListener(listeners_[i]);
      listeners_[i] = {};
    }
    if (port == 0) {
      continue;
    }
    net::IpAddress any;
    any.family = i == 0 ? net::IpFamily::kIpv4 : net::IpFamily::kIpv6;
    const auto listener = rooms_.stack->streams().Listen({any, port}, {}, *this);
    if (!listener.ok()) {
      rooms_.log.Emit(ServiceFailed{.service = "metrics", .reason = listener.error().what});
      continue;
    }
    listeners_[i] = *listener;
    rooms_.stack->SetListenerLimit(*listener, kConnectionMax);
  }
}

void Metrics::Watch(Instant now) {
  for (Connection& connection : connections_) {
    if (connection.used && now > connection.deadline) {
      rooms_.stack->streams().AbortStream(connection.stream);
    }
  }
}

// --- Connections --------------------------------------------------------------------------------

Metrics::Connection* Metrics::Find(net::StreamId id) {
  const auto found = std::find_if(connections_.begin(), connections_.end(),
                                  [&](const Connection& c) { return c.used && c.stream == id; });
  return found == connections_.end() ? nullptr : &*found;
}

bool Metrics::OnStreamOpen(net::StreamId id, const net::StreamInfo&) {
  const auto free = std::find_if(connections_.begin(), connections_.end(),
                                 [](const Connection& c) { return !c.used; });
  if (free == connections_.end()) {
    ++refused_count_;
    return false;
  }
  free->stream = id;
  free->used = true;
  free->answering = free->closing = false;
  free->head.Clear();
  free->deadline = rooms_.loop.now() + kRequestTime;
  return true;
}

size_t Metrics::OnStreamData(net::StreamId id, std::span<uint8_t> data) {
  Connection* connection = Find(id);
  if (connection == nullptr || connection->answering) {
    return data.size();  // one request a connection
  }
  if (const std::string_view head = connection->head.Add(data); !head.empty()) {
    Answer(*connection, head);
  } else if (connection->head.is_full()) {
    ++refused_count_;
    connection->answering = connection->closing = true;
    Send(*connection, "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n");
  }
  return data.size();
}

void Metrics::Answer(Connection& connection, std::string_view head) {
  connection.answering = true;
  const auto request = net::ParseHttpRequest(head);
  const char* refusal = nullptr;
  if (!request.ok() || request->has_body) {
    refusal = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  } else if (request->method != "GET" && request->method != "HEAD") {
    refusal =
        "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\nContent-Length: 0\r\n"
        "Connection: close\r\n\r\n";
  } else if (request->path != "/metrics") {
    refusal = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  }
  connection.closing = refusal != nullptr || request->method == "HEAD";
  refused_count_ += refusal != nullptr ? 1 : 0;
  page_count_ += refusal == nullptr ? 1 : 0;
  connection.cursor = 0;
  Send(connection, refusal != nullptr
                       ? refusal
                       : "HTTP/1.1 200 OK\r\n"
                         "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                         "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                         "Connection: close\r\n\r\n");
  Continue(connection);
}

void Metrics::Send(Connection& connection, std::string_view text) {
  const auto sent = rooms_.stack->streams().SendStream(connection.stream, AsBytes(text));
  if (!sent.ok()) {
    rooms_.stack->streams().AbortStream(connection.stream);
  }
  if (connection.closing) {
    rooms_.stack->streams().CloseStream(connection.stream);
  }
}

void Metrics::Continue(Connection& connection) {
  net::StreamService& streams = rooms_.stack->streams();
  while (connection.used && !connection.closing) {
    uint8_t bytes[kPieceMax];
    ByteWriter out(bytes);
    uint64_t cursor = connection.cursor;
    bool more = true;
    while (out.room() > kPieceMax / 2 && more) {
      more = NextLine(cursor, out);
    }
    if (out.size() > 0) {
      if (const auto sent = streams.SendStream(connection.stream, out.written()); !sent.ok()) {
        if (sent.code() != ErrorCode::kWouldBlock) {
          connection.closing = true;
          streams.AbortStream(connection.stream);
        }
        return;  // this piece is made again when there is room
      }
    }
    connection.cursor = cursor;
    if (!more) {
      connection.closing = true;
      streams.CloseStream(connection.stream);
    }
  }
}

void Metrics::OnStreamWritable(net::StreamId id) {
  Connection* connection = Find(id);
  if (connection != nullptr && connection->answering) {
    Continue(*connection);
  }
}

void Metrics::OnStreamClosed(net::StreamId id, net::StreamClose) {
  if (Connection* connection = Find(id); connection != nullptr) {
    connection->used = false;
  }
}

// --- The page -----------------------------------------------------------------------------------

// One sample, and in front of a family's first its help and type. The cursor is the family and the
// index within it.
bool Metrics::NextLine(uint64_t& cursor, ByteWriter& out) const {
  while (true) {
    const uint64_t family = cursor >> kFamilyShift;
    const uint64_t index = cursor & ((1u << kFamilyShift) - 1);
    if (family >= kFamilyCount) {
      return false;
    }
    uint8_t bytes[400];
    ByteWriter sample(bytes);
    sample.Text(kFamilies[family].name);
    const bool wrote = family < kReceivedPackets ? WriteSystem(family, index, sample)
                       : family < kRegistrations ? WriteNetwork(family, index, sample)
                                                 : WriteRooms(family, index, sample);
    if (!wrote) {
      cursor = (family + 1) << kFamilyShift;
      continue;
    }
    ++cursor;
    if (index == 0) {
      out.Text("# HELP ");
      out.Text(kFamilies[family].name);
      out.Char(' ');
      out.Text(kFamilies[family].help);
      out.Text("\n# TYPE ");
      out.Text(kFamilies[family].name);
      out.Char(' ');
      out.Text(kFamilies[family].type);
      out.Char('\n');
    }
    out.Text(sample.text());
    out.Char('\n');
    return true;
  }
}

bool Metrics::WriteSystem(uint64_t family, uint64_t index, ByteWriter& out) const {
  const hal::FramePool& frames = rooms_.machine.frames;
  const auto accounts = rooms_.machine.arena.accounts();
  if (family == kArena) {
    if (index >= accounts.size()) {
      return false;
    }
    Label(out, "account", accounts[index].name);
    Number(out, accounts[index].bytes);
    return true;
  }
  if (family == kFrames) {
    Label(out, "state", index == 0 ? "used" : "all");
    Number(out, index == 0 ? frames.frame_count() - frames.free_count() : frames.frame_count());
    return index < 2;
  }
  if (family == kAlarms) {
    if (index >= log::kAlarmCount) {
      return false;
    }
    uint8_t id_bytes[12];
    ByteWriter id(id_bytes);
    id.Decimal(log::kAlarms[index].id);
    Label(out, "id", id.text());
    Number(out, rooms_.alarms.state(static_cast<uint32_t>(index)).raised ? 1 : 0);
    return true;
  }
  switch (family) {
    case kBuild:
      Label(out, "version", kVersion);
      Number(out, 1);
      break;
    case kUptime:
      Seconds(out, (rooms_.loop.now() - rooms_.started_at).ns);
      break;
    case kTurns:
      Number(out, rooms_.loop.turn_count());
      break;
    case kTurnMax:
      Seconds(out, rooms_.loop.turn_max().ns);
      break;
    default:
      Number(out, rooms_.log.next_sequence() - 1);
  }
  return index == 0;
}

bool Metrics::WriteNetwork(uint64_t family, uint64_t index, ByteWriter& out) const {
  if (family == kFirewall) {
    if (index >= static_cast<uint64_t>(net::DropReason::kCount)) {
      return false;
    }
    const auto reason = static_cast<net::DropReason>(index);
    Label(out, "reason", net::DropReasonName(reason));
    Number(out, rooms_.stack->firewall().drops(reason));
    return true;
  }
  if (family > kFirewall) {
    const net::StackStatus status = rooms_.stack->status();
    Number(out, family == kConnections     ? status.connection_count
                : family == kConnectionMax ? status.connection_max
                                           : status.buffer_bytes_used);
    return index == 0;
  }
  if (index >= net::kPortMax) {
    return false;
  }
  // A port that is not there counts nothing; leaving it out would end the family here.
  const net::PortStatus port = rooms_.stack->port_status(static_cast<uint8_t>(index));
  const hal::EthernetCounters& counters = port.counters;
  const uint64_t values[] = {counters.rx_frames,
                             counters.rx_bytes,
                             counters.rx_dropped,
                             counters.tx_frames,
                             counters.tx_bytes,
                             counters.tx_dropped,
                             port.link_up ? uint64_t{1} : uint64_t{0}};
  Label(out, "port", PortName(static_cast<uint8_t>(index)));
  Number(out, values[family - kReceivedPackets]);
  return true;
}

bool Metrics::WriteRooms(uint64_t family, uint64_t index, ByteWriter& out) const {
  if (family == kPoolUsed || family == kPoolCapacity) {
    const auto pools = rooms_.sip->Pools();
    if (index >= pools.size()) {
      return false;
    }
    Label(out, "pool", pools[index].name);
    Number(out, family == kPoolUsed ? pools[index].used : pools[index].capacity);
    return true;
  }
  if (family == kSyslogSent || family == kSyslogDropped) {
    if (index >= log::kSyslogServerMax) {
      return false;
    }
    const auto status = rooms_.syslog->status(static_cast<uint32_t>(index));
    const char number[] = {static_cast<char>('1' + index), '\0'};
    Label(out, "server", number);
    Number(out, family == kSyslogSent ? status.sent : status.dropped);
    return true;
  }
  const auto& sip = rooms_.sip->statistics();
  if (family == kSipMessages) {
    Label(out, "direction", index == 0 ? "in" : "out");
    Number(out, index == 0 ? sip.messages_in : sip.messages_out);
    return index < 2;
  }
  switch (family) {
    case kRegistrations:
      Number(out, rooms_.sip->registration_count());
      break;
    case kCalls:
      Number(out, rooms_.sip->call_count());
      break;
    case kSipRefused:
      Number(out, sip.refused);
      break;
    case kClockGood:
      Number(out, rooms_.sntp->status().synchronised ? 1 : 0);
      break;
    default:
      Seconds(out, rooms_.sntp->status().offset.ns);
  }
  return index == 0;
}

// --- Status -------------------------------------------------------------------------------------

void Metrics::AddTo(admin::StatusTree& status) {
  status.AddMember<&Metrics::NextStatusLine>("Metrics", "The page of counters", this);
}

bool Metrics::NextStatusLine(uint64_t& cursor, ByteWriter& out) {
  if (cursor++ != 0) {
    return false;
  }
  out.Text("Metrics Page: ");
  out.Text(port_ == 0 ? "Off" : "On");
  out.Text(" served=");
  out.Decimal(page_count_);
  out.Text(" refused=");
  out.Decimal(refused_count_);
  return true;
}

}  // namespace gh
