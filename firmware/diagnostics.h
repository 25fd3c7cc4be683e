// What an operator looks at the network with: ping, traceroute, DNS look-ups, TCP and TLS
// connection tests, packet capture.
//
// A test has the terminal of the session that started it until it is over or Ctrl-C is pressed; one
// test runs at a time. Nothing blocks: each step is an event or a timer. Names are resolved as for
// everything else, IPv4 first. The TLS test shows what the server offers and sends nothing but the
// handshake.
//
// Fault model: hosts are silent, lie, or answer late (late and foreign answers are not counted);
// the operator goes away (the test ends by itself: every test has a last deadline).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "crypto/tls_client.h"
#include "firmware/admin/commands.h"
#include "firmware/admin/file_service.h"
#include "firmware/admin/status.h"
#include "firmware/admin/terminal.h"
#include "firmware/appliance.h"
#include "firmware/config/line.h"
#include "firmware/history.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/timer_wheel.h"
#include "net/capture.h"
#include "net/echo.h"
#include "net/resolver.h"
#include "net/stream.h"

namespace gh {

inline constexpr uint32_t kCaptureBytes = 2u << 20;

// What the capture is to who fetches files: /captures/capture.pcapng, while none is running.
class CaptureFiles final : public admin::FileProvider {
 public:
  explicit CaptureFiles(hal::Clock& clock) : clock_(clock) {}
  void SetCapture(const net::PacketCapture& capture) { capture_ = &capture; }
  void NoteEnd() { ended_s_ = clock_.Wall().unix_ns / 1'000'000'000; }
  admin::Right read_right() const override { return admin::Right::kAdminister; }
  bool List(uint32_t index, admin::FileInfo& out) override;
  Result<void> OpenRead(std::string_view name, admin::FileReading& reading) override;
  Result<size_t> Read(std::string_view name, admin::FileReading& reading,
                      std::span<uint8_t> out) override;

 private:
  bool IsThere() const { return capture_ != nullptr && capture_->packet_count() > 0; }
  hal::Clock& clock_;
  const net::PacketCapture* capture_ = nullptr;
  int64_t ended_s_ = 0;
};

class Diagnostics final : public admin::TerminalGuest,
                          private net::EchoObserver,
                          private net::StreamHandler,
                          private crypto::PeerCheck,
                          private crypto::TlsClientWaker {
 public:
  explicit Diagnostics(Appliance::Rooms& rooms);
  Diagnostics(const Diagnostics&) = delete;
  Diagnostics& operator=(const Diagnostics&) = delete;

  // After the network, before the seal.
  void Build();
  void AddTo(admin::StatusTree& status, admin::CommandTable& commands);
  // A line for each second, minute or hour that is kept, the latest first.
  bool NextHistoryLineOf(Period period, uint64_t& cursor, ByteWriter& out) const;
  // For /captures.
  admin::FileProvider& files() { return files_; }
  // Once a second: counts for the history, reports a capture that is full.
  void Watch();

  // admin::TerminalGuest
  void Enter(Instant now) override;
  bool Serve(admin::Terminal& terminal, Instant now) override;
  void Leave(ByteWriter& out) override;

 private:
  enum class Test : uint8_t { kNone, kPing, kTraceroute, kDns, kTcp, kTls, kTraversal };

  // diagnostics.cc: the frame of a test.
  Result<void> Prepare(Test test, std::string_view value, std::string_view by);
  Result<void> ParseTarget(Test test, std::span<const std::string_view> words);
  template <typename... Pieces>
  void Line(const Pieces&... pieces);
  void Finish(const char* why);
  void OnTimer();
  void Arm(Duration delay);

  // diagnostics_tests.cc: the tests.
  void Resolve();
  static void OnResolved(net::DnsQuery& query, Result<std::span<const net::DnsRecord>> records);
  void OnAddress(const net::IpAddress& address);
  void ShowRecords(std::span<const net::DnsRecord> records);
  void SendProbe();
  void OnEcho(const net::EchoEvent& event) override;
  void OnHop(const net::EchoEvent& event, Duration took);
  void NextHop();
  void OnProbeTimer();
  void SumUpPings();
  void Connect();
  bool OnStreamOpen(net::StreamId id, const net::StreamInfo& info) override;
  size_t OnStreamData(net::StreamId id, std::span<uint8_t> data) override;
  void OnStreamWritable(net::StreamId) override { FlushTls(); }
  void OnStreamClosed(net::StreamId id, net::StreamClose why) override;
  void FlushTls();
  void EndTls(const Error& error);
  void CloseStream();

  // diagnostics_traversal.cc
  Result<void> ParseTraversal(std::span<const std::string_view> words);
  bool ParsePort(std::string_view word);
  bool StartTraversal();
  crypto::PeerVerdict Check(const mbedtls_x509_crt& chain,
                            const crypto::PeerExpectation& expected) override;
  void OnTlsClientReady() override;
  void ReadTraversal(std::span<const uint8_t> in);
  void EndTraversal(const Error& error);
  void PassTraversal();
  void ShowOwn();

  void AddCaptureCommands(admin::CommandTable& commands);
  Result<void> StartCapture(std::string_view value, std::string_view by, ByteWriter& out);
  Result<void> StopCapture(ByteWriter& out);
  void ReportCapture(const char* reason);
  bool NextCaptureLine(uint64_t& cursor, ByteWriter& out);
  Result<void> ChooseHistory(std::string_view value);
  bool NextHistoryLine(uint64_t& cursor, ByteWriter& out) const;
  bool NextHistoryStatus(uint64_t& cursor, ByteWriter& out);
  void WriteReading(const char* unit, uint64_t age, const Reading& reading, ByteWriter& out) const;
  void TakeReading();
  bool NextDumpLine(uint64_t& cursor, ByteWriter& out) const;

  Appliance::Rooms& rooms_;
  net::PacketCapture* capture_ = nullptr;
  bool capture_reported_ = true;
  CaptureFiles files_;
  History* history_ = nullptr;
  Period listed_ = Period::kSeconds;
  crypto::TlsClient* tls_ = nullptr;

  Test test_ = Test::kNone;
  bool over_ = true;
  FixedString<net::kDnsNameMax> host_;
  uint16_t port_ = 0;
  net::DnsType type_ = net::DnsType::kA;
  uint32_t probe_max_ = 4;
  net::IpAddress address_;
  bool resolving_ = false;
  bool tried_v6_ = false;
  net::DnsQuery query_;
  Timer timer_;

  // Ping and traceroute.
  uint16_t sequence_ = 0;
  Instant sent_at_;
  bool answered_ = false;
  uint32_t sent_count_ = 0;
  uint32_t received_count_ = 0;
  Duration time_min_;
  Duration time_max_;
  Duration time_sum_;
  uint8_t hop_ = 0;
  uint32_t hop_try_ = 0;
  uint32_t silent_hops_ = 0;

  net::StreamId stream_;
  bool has_stream_ = false;
  bool connected_ = false;
  FixedString<net::kDnsNameMax> verify_name_;
  crypto::PeerVerdict peer_verdict_ = crypto::PeerVerdict::kGood;

  // Lines the terminal has not taken yet; one that does not fit is lost.
  std::array<uint8_t, 4096> text_ = {};
  uint32_t text_begin_ = 0;
  uint32_t text_end_ = 0;
};

// Pieces: text, whole numbers, durations (as milliseconds with two decimals).
template <typename... Pieces>
void Diagnostics::Line(const Pieces&... pieces) {
  uint8_t bytes[512];
  ByteWriter out(bytes);
  const auto add = [&](const auto& piece) {
    using Piece = std::decay_t<decltype(piece)>;
    if constexpr (std::is_same_v<Piece, Duration>) {
      const auto hundredths = static_cast<uint64_t>(piece.ns / 10'000);
      out.Decimal(hundredths / 100);
      out.Char('.');
      out.Decimal(hundredths / 10 % 10);
      out.Decimal(hundredths % 10);
      out.Text(" ms");
    } else if constexpr (std::is_integral_v<Piece>) {
      out.Decimal(static_cast<uint64_t>(piece));
    } else {
      out.Text(piece);
    }
  };
  (add(pieces), ...);
  out.Text("\r\n");
  if (out.size() <= text_.size() - text_end_) {
    std::memcpy(text_.data() + text_end_, bytes, out.size());
    text_end_ += static_cast<uint32_t>(out.size());
  }
}

}  // namespace gh
