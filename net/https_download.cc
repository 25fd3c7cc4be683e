#include "net/https_download.h"

#include <algorithm>
#include <cstring>

#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

namespace gh::net {
namespace {

Error WhyClosed(StreamClose why, bool is_connected) {
  switch (why) {
    case StreamClose::kRefused:
      return {ErrorCode::kRefused, "the server refuses the connection"};
    case StreamClose::kTimeout:
      return {ErrorCode::kTimeout, "the server does not answer"};
    case StreamClose::kNoResource:
      return {ErrorCode::kExhausted, "no connection is free"};
    default:
      return {ErrorCode::kTruncated, is_connected ? "the connection ended before the file did"
                                                  : "the server refuses the connection"};
  }
}

Error WhyStatus(uint32_t status) {
  switch (status) {
    case 401:
    case 403:
      return {ErrorCode::kPermissionDenied, "the server does not give this file"};
    case 404:
    case 410:
      return {ErrorCode::kNotFound, "the server has no such file"};
    case 416:
      return {ErrorCode::kOutOfRange, "the server's file is shorter than what came before"};
    default:
      return {ErrorCode::kRefused, "the server answers with an error"};
  }
}

}  // namespace

HttpsDownload::HttpsDownload(StreamService& streams, Resolver& resolver, TimerWheel& timers,
                             crypto::TlsEnvironment& environment)
    : streams_(streams), resolver_(resolver), timers_(timers), tls_(environment) {
  idle_.Bind<&HttpsDownload::OnIdle>(this);
  query_.done = OnAddresses;
  query_.context = this;
}

Result<void> HttpsDownload::Start(const HttpsUrl& url,
                                  const crypto::CertificateFingerprint& fingerprint,
                                  uint64_t offset, DownloadSink& sink) {
  if (active()) {
    return Error(ErrorCode::kWrongState, "a download is under way");
  }
  url_ = url;
  fingerprint_ = fingerprint;
  offset_ = offset;
  redirect_count_ = 0;
  shown_.reset();
  sink_ = &sink;
  auto begun = Begin();
  if (!begun.ok()) {
    Cancel();
  }
  return begun;
}

Result<void> HttpsDownload::Begin() {
  response_.Reset();
  is_connected_ = was_requested_ = head_seen_ = false;
  skip_ = 0;
  plain_left_ = piece_ = {};
  closed_.reset();
  Alive();
  const auto address = IpAddress::Parse(url_.host.view());
  return address.ok() ? Connect(address.value()) : Ask(DnsType::kA);
}

Result<void> HttpsDownload::Ask(DnsType type) {
  asked_ = type;
  auto asked = resolver_.Resolve(url_.host.view(), type, query_);
  is_resolving_ = asked.ok();
  return asked;
}

void HttpsDownload::OnAddresses(DnsQuery& query, Result<std::span<const DnsRecord>> records) {
  auto& self = *static_cast<HttpsDownload*>(query.context);
  self.is_resolving_ = false;
  self.Alive();
  if (records.ok()) {
    for (const DnsRecord& record : records.value()) {
      if (record.type == self.asked_) {
        auto connected = self.Connect(record.address);
        return connected.ok() ? void() : self.End(std::move(connected));
      }
    }
  }
  if (self.asked_ == DnsType::kA && self.Ask(DnsType::kAaaa).ok()) {
    return;
  }
  self.End(Error(ErrorCode::kUnreachable, "the server's name has no address"));
}

Result<void> HttpsDownload::Connect(const IpAddress& address) {
  auto stream = streams_.Connect({address, url_.port}, {.keep_until_read = true}, *this);
  if (!stream.ok()) {
    return stream.error();
  }
  stream_ = stream.value();
  has_stream_ = true;
  return Ok();
}

bool HttpsDownload::OnStreamOpen(StreamId id, const StreamInfo&) {
  if (!has_stream_ || id != stream_) {
    return false;
  }
  is_connected_ = true;
  Alive();
  auto started = tls_.Start(url_.host.view(), fingerprint_);
  Flush();
  if (!started.ok()) {
    has_stream_ = false;  // refused below, and not told of again
    End(std::move(started));
    return false;
  }
  return true;
}

size_t HttpsDownload::OnStreamData(StreamId id, std::span<uint8_t> data) {
  if (!has_stream_ || id != stream_) {
    return data.size();
  }
  Alive();
  std::span<const uint8_t> in = data;
  if (auto pumped = Pump(in); !pumped.ok()) {
    End(std::move(pumped));
    return data.size();
  }
  // Of a stream that was left meanwhile nothing more is wanted.
  return has_stream_ && id == stream_ ? data.size() - in.size() : data.size();
}

void HttpsDownload::OnStreamWritable(StreamId id) {
  if (has_stream_ && id == stream_) {
    Flush();
    Resume();
  }
}

void HttpsDownload::OnStreamClosed(StreamId id, StreamClose why) {
  if (!has_stream_ || id != stream_) {
    return;
  }
  has_stream_ = false;
  closed_ = WhyClosed(why, is_connected_);
  EndWhenRead();
}

// Once the stream is gone, what it has brought still waits for the sink. Without close_notify the
// end of a body that has no length cannot be told from a cut.
void HttpsDownload::EndWhenRead() {
  if (closed_ && piece_.empty()) {
    End(*closed_);
  }
}

void HttpsDownload::Resume() {
  if (!active() || !is_connected_) {
    return;
  }
  const StreamId stream = stream_;
  std::span<const uint8_t> none;
  if (auto pumped = Pump(none); !pumped.ok()) {
    return End(std::move(pumped));
  }
  if (has_stream_ && stream == stream_ && piece_.empty()) {
    streams_.ResumeStream(stream_);
  }
  EndWhenRead();
}

Result<void> HttpsDownload::Pump(std::span<const uint8_t>& in) {
  const uint32_t redirect_count = redirect_count_;
  while (active() && redirect_count == redirect_count_) {
    if (!DeliverPiece()) {
      return Ok();
    }
    if (!plain_left_.empty() || response_.complete()) {
      if (auto read = OnPlain(); !read.ok()) {
        return read;
      }
      continue;
    }
    const size_t before = in.size();
    const auto opened = tls_.Read(in, plain_);
    if (tls_.peer_fingerprint()) {
      shown_ = tls_.peer_fingerprint();
    }
    Flush();
    if (!opened.ok()) {
      // close_notify: the only proof that a body without a length is whole.
      if (opened.code() == ErrorCode::kClosed && response_.End().ok()) {
        continue;
      }
      return opened.error();
    }
    plain_left_ = std::span(plain_).first(opened.value());
    if (tls_.is_open() && !was_requested_) {
      if (auto sent = SendRequest(); !sent.ok()) {
        return sent;
      }
    } else if (opened.value() == 0 && (in.empty() || in.size() == before)) {
      return Ok();
    }
  }
  return Ok();
}

Result<void> HttpsDownload::SendRequest() {
  std::array<uint8_t, kHttpRequestMax> buffer;
  ByteWriter request(buffer);
  request.Text("GET ");
  request.Text(url_.target.view());
  request.Text(" HTTP/1.1\r\nHost: ");
  request.Text(url_.is_ipv6() ? "[" : "");
  request.Text(url_.host.view());
  request.Text(url_.is_ipv6() ? "]" : "");
  if (url_.port != 443) {
    request.Text(":");
    request.Decimal(url_.port);
  }
  request.Text("\r\nUser-Agent: Gatehouse\r\nAccept: */*\r\nAccept-Encoding: identity\r\n");
  if (offset_ > 0) {
    request.Text("Range: bytes=");
    request.Decimal(offset_);
    request.Text("-\r\n");
  }
  request.Text("Connection: close\r\n\r\n");
  if (!request.ok()) {
    return Error(ErrorCode::kTooLarge, "the URL is too long");
  }
  was_requested_ = true;
  auto written = tls_.Write(request.written());
  Flush();
  return written;
}

void HttpsDownload::Flush() {
  if (has_stream_ && !tls_.output().empty()) {
    const size_t count = std::min(streams_.SendRoom(stream_), tls_.output().size());
    if (count > 0 && streams_.SendStream(stream_, tls_.output().first(count)).ok()) {
      tls_.ConsumeOutput(count);
    }
  }
}

Result<void> HttpsDownload::OnPlain() {
  const auto piece = response_.Feed(plain_left_);
  if (!piece.ok()) {
    return piece.error();
  }
  if (response_.has_head() && !head_seen_) {
    head_seen_ = true;
    const uint32_t redirect_count = redirect_count_;
    if (auto accepted = OnHead(); !accepted.ok() || redirect_count != redirect_count_) {
      return accepted;
    }
  }
  const auto skipped = std::min<uint64_t>(skip_, piece.value().size());
  skip_ -= skipped;
  piece_ = piece.value().subspan(skipped);
  if (response_.complete() && piece_.empty()) {
    End(Ok());
  }
  return Ok();
}

Result<void> HttpsDownload::OnHead() {
  const uint32_t status = response_.status();
  if (status / 100 == 3 && status != 304) {
    return Redirect();
  }
  if (status == 206 && response_.range_start() == offset_) {
    sink_->OnDownloadSize(response_.range_total());
    return Ok();
  }
  if (status == 206) {
    return Error(ErrorCode::kMalformed, "the server sends another part than was asked for");
  }
  if (status != 200) {
    return WhyStatus(status);
  }
  skip_ = offset_;
  sink_->OnDownloadSize(response_.content_length());
  return Ok();
}

Result<void> HttpsDownload::Redirect() {
  if (redirect_count_ == kHttpRedirectMax) {
    return Error(ErrorCode::kRefused, "the server redirects without end");
  }
  const auto url = url_.Follow(response_.location());
  if (!url.ok()) {
    return Error(ErrorCode::kMalformed, "the server redirects to something that is not https");
  }
  ++redirect_count_;
  url_ = url.value();
  Release();
  return Begin();
}

// False: the sink holds back.
bool HttpsDownload::DeliverPiece() {
  if (piece_.empty()) {
    return true;
  }
  const size_t taken = sink_->OnDownloadData(piece_);
  if (!active()) {
    return false;  // cancelled by the sink
  }
  GH_ASSERT_LE(taken, piece_.size());
  piece_ = piece_.subspan(taken);
  Alive();
  return piece_.empty();
}

void HttpsDownload::OnIdle() {
  if (!piece_.empty()) {
    return Alive();  // it is we who wait
  }
  End(Error(ErrorCode::kTimeout, "the server is silent"));
}

void HttpsDownload::Alive() { timers_.Arm(idle_, kDownloadIdle); }

void HttpsDownload::End(Result<void> outcome) {
  DownloadSink* sink = sink_;
  tls_.Close();
  Flush();
  Cancel();
  if (sink != nullptr) {
    sink->OnDownloadEnd(std::move(outcome));
  }
}

void HttpsDownload::Cancel() {
  Release();
  timers_.Cancel(idle_);
  sink_ = nullptr;
}

void HttpsDownload::Release() {
  if (is_resolving_) {
    resolver_.Cancel(query_);
    is_resolving_ = false;
  }
  if (has_stream_) {
    has_stream_ = false;
    streams_.CloseStream(stream_);
  }
  is_connected_ = false;
  plain_left_ = piece_ = {};
  closed_.reset();
  tls_.Reset();
}

}  // namespace gh::net
