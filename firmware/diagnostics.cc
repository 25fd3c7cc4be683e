#include "firmware/diagnostics.h"

#include <algorithm>
#include <charconv>

#include "firmware/rooms.h"
#include "hal/rt/base64.h"

namespace gh {
namespace {

using namespace gh::log::event;

constexpr uint8_t kCtrlC = 0x03;
constexpr uint32_t kWordMax = 12;
constexpr uint32_t kPingMax = 100;
constexpr uint32_t kKibibyte = 1024;

struct Words {
  std::array<std::string_view, kWordMax> words;
  uint32_t count = 0;
  bool fits = true;
  std::span<const std::string_view> all() const { return std::span(words).first(count); }
};

Words Split(std::string_view text) {
  Words out;
  while (!text.empty()) {
    const size_t begin = text.find_first_not_of(' ');
    if (begin == text.npos) {
      break;
    }
    const size_t end = std::min(text.find(' ', begin), text.size());
    if (out.count == kWordMax) {
      out.fits = false;
      break;
    }
    out.words[out.count++] = text.substr(begin, end - begin);
    text.remove_prefix(end);
  }
  return out;
}

bool ParseNumber(std::string_view text, uint32_t max, uint32_t& out) {
  uint32_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end || number == 0 || number > max) {
    return false;
  }
  out = number;
  return true;
}

struct TypeName {
  const char* name;
  net::DnsType type;
};
constexpr TypeName kTypes[] = {{"A", net::DnsType::kA},
                               {"AAAA", net::DnsType::kAaaa},
                               {"SRV", net::DnsType::kSrv},
                               {"NAPTR", net::DnsType::kNaptr}};

bool ParseProtocol(std::string_view word, uint8_t& out) {
  out = config::EqualsIgnoreCase(word, "udp")    ? net::kProtocolUdp
        : config::EqualsIgnoreCase(word, "tcp")  ? net::kProtocolTcp
        : config::EqualsIgnoreCase(word, "icmp") ? net::kProtocolIcmp
                                                 : 0;
  return out != 0;
}

}  // namespace

// --- The capture as a file ----------------------------------------------------------------------

bool CaptureFiles::List(uint32_t index, admin::FileInfo& out) {
  if (index != 0 || !IsThere()) {
    return false;
  }
  out = {};
  out.name.Assign("capture.pcapng");
  out.size = capture_->file_size();
  out.modified_s = ended_s_;
  return true;
}

Result<void> CaptureFiles::OpenRead(std::string_view, admin::FileReading& reading) {
  if (capture_->active()) {
    return Error(ErrorCode::kWrongState, "the capture is running: xCommand Capture Stop");
  }
  reading.size = capture_->file_size();
  reading.notes[0] = capture_->serial();
  return Ok();
}

Result<size_t> CaptureFiles::Read(std::string_view, admin::FileReading& reading,
                                  std::span<uint8_t> out) {
  if (capture_->active() || capture_->serial() != reading.notes[0]) {
    return Error(ErrorCode::kWrongState, "another capture was started");
  }
  return capture_->Read(reading.offset, out);
}

// --- Diagnostics --------------------------------------------------------------------------------

Diagnostics::Diagnostics(Appliance::Rooms& rooms) : rooms_(rooms), files_(rooms.machine.clock) {}

void Diagnostics::Build() {
  Arena& arena = rooms_.machine.arena;
  arena.OpenAccount("firmware/diagnostics");
  history_ = arena.New<History>();
  capture_ = arena.New<net::PacketCapture>(arena, rooms_.machine.clock, kCaptureBytes);
  auto* heap = arena.New<Heap>(arena, crypto::kTlsClientHeap);
  auto* environment = arena.New<crypto::TlsEnvironment>(*heap, rooms_.random, rooms_.machine.clock);
  tls_ = arena.New<crypto::TlsClient>(*environment);
  rooms_.stack->SetCapture(capture_);
  files_.SetCapture(*capture_);
  timer_.Bind<&Diagnostics::OnTimer>(this);
  query_.context = this;
  query_.done = OnResolved;
}

void Diagnostics::AddTo(admin::StatusTree& status, admin::CommandTable& commands) {
  status.AddMember<&Diagnostics::NextCaptureLine>("Capture", "The packet capture", this);
  status.AddMember<&Diagnostics::NextHistoryStatus>(
      "History", "The last second, minute and hour: work, packets, pools", this);
  struct Row {
    const char* path;
    const char* help;
    const char* value_help;
    Result<void> (*run)(void*, std::string_view, std::string_view, ByteWriter&);
  };
  static constexpr Row kRows[] = {
      {"Diagnostics Ping", "Sends echo requests", "HOST [how many]",
       [](void* self, std::string_view by, std::string_view value, ByteWriter&) {
         return static_cast<Diagnostics*>(self)->Prepare(Test::kPing, value, by);
       }},
      {"Diagnostics Traceroute", "Shows the routers on the way to a host", "HOST",
       [](void* self, std::string_view by, std::string_view value, ByteWriter&) {
         return static_cast<Diagnostics*>(self)->Prepare(Test::kTraceroute, value, by);
       }},
      {"Diagnostics Lookup", "Asks the DNS servers", "NAME [A, AAAA, SRV or NAPTR]",
       [](void* self, std::string_view by, std::string_view value, ByteWriter&) {
         return static_cast<Diagnostics*>(self)->Prepare(Test::kDns, value, by);
       }},
      {"Diagnostics Connect", "Tests a TCP connection", "HOST PORT",
       [](void* self, std::string_view by, std::string_view value, ByteWriter&) {
         return static_cast<Diagnostics*>(self)->Prepare(Test::kTcp, value, by);
       }},
      {"Diagnostics TLS", "Tests a TLS connection and shows the server's certificate", "HOST PORT",
       [](void* self, std::string_view by, std::string_view value, ByteWriter&) {
         return static_cast<Diagnostics*>(self)->Prepare(Test::kTls, value, by);
       }},
      {"SecureTraversalTest", "Tests TLS with a peer, certificates of both sides included",
       "HOST [PORT, else 5061] [name the peer's certificate must have, else HOST]",
       [](void* self, std::string_view by, std::string_view value, ByteWriter&) {
         return static_cast<Diagnostics*>(self)->Prepare(Test::kTraversal, value, by);
       }},
  };
  for (const Row& row : kRows) {
    admin::Command command = {row.path, row.help};
    command.value_help = row.value_help;
    command.context = this;
    command.guest = this;
    command.run_value = row.run;
    commands.Add(command);
  }
  AddCaptureCommands(commands);
}

void Diagnostics::AddCaptureCommands(admin::CommandTable& commands) {
  admin::Command start = {"Capture Start", "Captures packets into memory (pcapng)"};
  start.value_help =
      "Any, or of: Interface LAN1, Host ADDRESS, Port N, Protocol udp|tcp|icmp, "
      "SizeLimit KIB, Ring";
  start.context = this;
  start.administrator_only = true;
  start.run_value = [](void* self, std::string_view by, std::string_view value, ByteWriter& out) {
    return static_cast<Diagnostics*>(self)->StartCapture(value, by, out);
  };
  commands.Add(start);
  admin::Command history = {"Diagnostics History", "Counters over time, the latest first"};
  history.value_help = "Seconds, Minutes or Hours";
  history.context = this;
  history.only_looks = true;
  history.run_value = [](void* self, std::string_view, std::string_view value, ByteWriter&) {
    return static_cast<Diagnostics*>(self)->ChooseHistory(value);
  };
  history.next = [](void* self, uint64_t& cursor, ByteWriter& out) {
    return static_cast<Diagnostics*>(self)->NextHistoryLine(cursor, out);
  };
  commands.Add(history);
  admin::Command dump = {"Capture Dump", "Prints the capture in base64, for base64 -d"};
  dump.context = this;
  dump.administrator_only = true;
  dump.run = [](void* self, std::string_view, ByteWriter&) -> Result<void> {
    const auto& diagnostics = *static_cast<Diagnostics*>(self);
    if (diagnostics.capture_->active() || diagnostics.capture_->packet_count() == 0) {
      return Error(ErrorCode::kWrongState, "there is no capture, or it is still running");
    }
    return Ok();
  };
  dump.next = [](void* self, uint64_t& cursor, ByteWriter& out) {
    return static_cast<Diagnostics*>(self)->NextDumpLine(cursor, out);
  };
  commands.Add(dump);
  commands.Add({"Capture Stop", "Ends the packet capture", "",
                [](void* self, std::string_view, ByteWriter& out) {
                  return static_cast<Diagnostics*>(self)->StopCapture(out);
                },
                this});
}

// --- The frame of a test ------------------------------------------------------------------------

Result<void> Diagnostics::ParseTarget(Test test, std::span<const std::string_view> words) {
  net::DnsName name;
  const size_t word_max = test == Test::kTraversal ? 3 : 2;
  if (words.empty() || words.size() > word_max || !net::NormalizeDnsName(words[0], name).ok()) {
    return Error(ErrorCode::kInvalidArgument, "expected a host name or an IP address first");
  }
  host_.Assign(words[0]);
  if (test == Test::kTraversal) {
    return ParseTraversal(words);
  }
  if (test == Test::kTcp || test == Test::kTls) {
    if (words.size() != 2 || !ParsePort(words[1])) {
      return Error(ErrorCode::kInvalidArgument, "expected a port, 1 to 65535, behind the host");
    }
    return Ok();
  }
  if (test == Test::kDns) {
    type_ = net::DnsType::kA;
    const auto found =
        words.size() == 1
            ? std::begin(kTypes)
            : std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeName& type) {
                return config::EqualsIgnoreCase(words[1], type.name);
              });
    if (found == std::end(kTypes)) {
      return Error(ErrorCode::kInvalidArgument, "expected A, AAAA, SRV or NAPTR behind the name");
    }
    type_ = found->type;
    return Ok();
  }
  probe_max_ = 4;
  if (words.size() == 2 && (test != Test::kPing || !ParseNumber(words[1], kPingMax, probe_max_))) {
    return Error(ErrorCode::kInvalidArgument, "expected HOST, and for a ping how many: 1 to 100");
  }
  return Ok();
}

bool Diagnostics::ParsePort(std::string_view word) {
  uint32_t port = 0;
  if (!ParseNumber(word, 65535, port)) {
    return false;
  }
  port_ = static_cast<uint16_t>(port);
  return true;
}

Result<void> Diagnostics::Prepare(Test test, std::string_view value, std::string_view by) {
  if (!over_) {
    return Error(ErrorCode::kWrongState, "another test is running");
  }
  const Words words = Split(value);
  GH_TRY(ParseTarget(test, words.fits ? words.all() : std::span<const std::string_view>()));
  static constexpr const char* kNames[] = {"",
                                           "a ping",
                                           "a traceroute",
                                           "a DNS look-up",
                                           "a TCP connection test",
                                           "a TLS connection test",
                                           "a secure traversal test"};
  rooms_.log.Emit(
      DiagnosticRun{.by = by, .test = kNames[static_cast<size_t>(test)], .target = host_.view()});
  test_ = test;
  return Ok();
}

void Diagnostics::Enter(Instant) {
  over_ = false;
  text_begin_ = text_end_ = 0;
  address_ = {};
  tried_v6_ = answered_ = connected_ = false;
  sequence_ = 0;
  sent_count_ = received_count_ = hop_try_ = silent_hops_ = 0;
  hop_ = 1;
  time_min_ = Duration::Hours(1);
  time_max_ = time_sum_ = {};
  Resolve();
}

bool Diagnostics::Serve(admin::Terminal& terminal, Instant) {
  uint8_t typed[16];
  const uint32_t count = terminal.Read(typed);
  if (!over_ && std::find(typed, typed + count, kCtrlC) != typed + count) {
    Finish("Stopped.");
  }
  if (text_begin_ < text_end_) {
    text_begin_ += terminal.Write(std::span(text_).subspan(text_begin_, text_end_ - text_begin_));
  }
  if (text_begin_ == text_end_) {
    text_begin_ = text_end_ = 0;
  }
  return !over_ || text_end_ != 0;
}

void Diagnostics::Leave(ByteWriter&) {
  if (!over_) {
    Finish("");
  }
  test_ = Test::kNone;
}

void Diagnostics::Arm(Duration delay) {
  rooms_.loop.timers().Arm(timer_, rooms_.loop.now() + delay);
}

// --- Capture ------------------------------------------------------------------------------------

Result<void> Diagnostics::StartCapture(std::string_view value, std::string_view by,
                                       ByteWriter& out) {
  if (capture_->active()) {
    return Error(ErrorCode::kWrongState, "a capture is running: xCommand Capture Stop");
  }
  const Words words = Split(value);
  net::CaptureFilter filter;
  auto when_full = net::WhenFull::kStop;
  uint32_t size_kib = capture_->buffer_size() / kKibibyte;
  bool good = words.fits;
  const auto is = [](std::string_view word, std::string_view name) {
    return config::EqualsIgnoreCase(word, name);
  };
  for (uint32_t i = 0; i < words.count && good; ++i) {
    const std::string_view word = words.words[i];
    if (is(word, "Any") && words.count == 1) {
      break;
    }
    if (is(word, "Ring")) {
      when_full = net::WhenFull::kForget;
      continue;
    }
    const std::string_view next = ++i < words.count ? words.words[i] : std::string_view();
    uint32_t number = 0;
    if (is(word, "Interface")) {
      good = next.size() == 4 && is(next.substr(0, 3), "LAN") && next[3] >= '1' && next[3] <= '3';
      filter.port_mask = good ? static_cast<uint8_t>(1u << (next[3] - '1')) : uint8_t{0};
    } else if (is(word, "Host")) {
      const auto host = net::IpAddress::Parse(next);
      good = host.ok();
      filter.host = good ? *host : net::IpAddress();
    } else if (is(word, "Port")) {
      good = ParseNumber(next, 65535, number);
      filter.port = static_cast<uint16_t>(number);
    } else if (is(word, "Protocol")) {
      good = ParseProtocol(next, filter.protocol);
    } else if (is(word, "SizeLimit")) {
      good = ParseNumber(next, size_kib, number) && number * kKibibyte >= net::kCaptureSizeMin;
      size_kib = number;
    } else {
      good = false;
    }
  }
  if (!good || words.count == 0) {
    return Error(ErrorCode::kInvalidArgument,
                 "expected Any, or of: Interface LAN1, Host ADDRESS, Port N, "
                 "Protocol udp|tcp|icmp, SizeLimit 4..2048 (KiB), Ring");
  }
  capture_->Start(filter, size_kib * kKibibyte, when_full);
  capture_reported_ = false;
  rooms_.log.Emit(CaptureStarted{.by = by, .what = value});
  out.Text("Capturing; xCommand Capture Stop ends it, the file is /captures/capture.pcapng.");
  return Ok();
}

Result<void> Diagnostics::StopCapture(ByteWriter& out) {
  if (!capture_->active()) {
    return Error(ErrorCode::kWrongState, "no capture is running");
  }
  capture_->Stop();
  ReportCapture("stopped by the operator");
  out.Decimal(capture_->packet_count());
  out.Text(" packets, ");
  out.Decimal(capture_->file_size());
  out.Text(" bytes");
  return Ok();
}

void Diagnostics::ReportCapture(const char* reason) {
  capture_reported_ = true;
  files_.NoteEnd();
  rooms_.log.Emit(CaptureEnded{.packets = capture_->packet_count(), .reason = reason});
}

void Diagnostics::Watch() {
  TakeReading();
  if (!capture_reported_ && !capture_->active()) {
    ReportCapture("its size limit is reached");
  }
}

bool Diagnostics::NextDumpLine(uint64_t& cursor, ByteWriter& out) const {
  uint8_t bytes[57];
  const size_t count = capture_->active() ? 0 : capture_->Read(cursor, bytes);
  cursor += count;
  WriteBase64(std::span(bytes).first(count), out);
  return count > 0;
}

bool Diagnostics::NextCaptureLine(uint64_t& cursor, ByteWriter& out) {
  static constexpr const char* kNames[] = {"State", "Packets", "Forgotten", "FileSize",
                                           "SizeLimit"};
  const uint64_t at = cursor++;
  if (at >= std::size(kNames)) {
    return false;
  }
  out.Text("Capture ");
  out.Text(kNames[at]);
  out.Text(": ");
  if (at == 0) {
    out.Text(capture_->active()              ? "Running"
             : capture_->filled()            ? "Full"
             : capture_->packet_count() == 0 ? "Empty"
                                             : "Stopped");
    return true;
  }
  const uint64_t values[] = {0, capture_->packet_count(), capture_->forgotten_count(),
                             capture_->file_size(), capture_->size_max()};
  out.Decimal(values[at]);
  out.Text(at >= 3 ? " bytes" : "");
  return true;
}

}  // namespace gh
