#include "firmware/upgrade/https_source.h"

#include <algorithm>

#include "hal/rt/bytes.h"

namespace gh::upgrade {
namespace {

constexpr std::string_view kSourceName = "https";

bool IsPassing(ErrorCode code) {
  switch (code) {
    case ErrorCode::kTruncated:
    case ErrorCode::kTimeout:
    case ErrorCode::kClosed:
    case ErrorCode::kUnreachable:
    case ErrorCode::kExhausted:
      return true;
    default:
      return false;
  }
}

int HexValue(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

}  // namespace

Result<crypto::CertificateFingerprint> ParseFingerprint(std::string_view text) {
  crypto::CertificateFingerprint out = {};
  size_t digit_count = 0;
  for (char c : text) {
    if (c == ':' && digit_count % 2 == 0 && digit_count > 0) {
      continue;
    }
    const int value = HexValue(c);
    if (value < 0 || digit_count == 2 * out.size()) {
      digit_count = SIZE_MAX;
      break;
    }
    uint8_t& byte = out[digit_count / 2];
    byte = static_cast<uint8_t>(byte << 4 | value);
    ++digit_count;
  }
  if (digit_count != 2 * out.size()) {
    return Error(ErrorCode::kMalformed,
                 "expected a SHA-256 fingerprint: 64 hexadecimal digits, colons allowed");
  }
  return out;
}

HttpsSource::HttpsSource(const Parts& parts) : parts_(parts) {
  retry_.Bind<&HttpsSource::Attempt>(this);
  poll_name = "https";
}

Result<void> HttpsSource::Start(std::string_view url, std::string_view fingerprint) {
  if (active_ || parts_.upgrade.active()) {
    return Error(ErrorCode::kWrongState, "an upgrade is on its way already");
  }
  const auto parsed = net::HttpsUrl::Parse(url);
  if (!parsed.ok()) {
    return parsed.error();
  }
  const auto pin = ParseFingerprint(fingerprint);
  if (!pin.ok()) {
    return pin.error();
  }
  url_ = parsed.value();
  fingerprint_ = pin.value();
  active_ = true;
  begun_ = is_held_ = false;
  offset_ = offset_at_attempt_ = 0;
  attempt_ = 0;
  Attempt();
  return Ok();
}

void HttpsSource::Attempt() {
  attempt_ = offset_ > offset_at_attempt_ ? 1 : attempt_ + 1;
  offset_at_attempt_ = offset_;
  auto started = parts_.download.Start(url_, fingerprint_, offset_, *this);
  if (!started.ok()) {
    OnDownloadEnd(std::move(started));
  }
}

void HttpsSource::OnDownloadSize(std::optional<uint64_t> size) {
  if (begun_) {
    return;
  }
  const auto begun = parts_.intake.BeginUpgrade(kSourceName, size.value_or(0), parts_.loop.now());
  begun_ = begun.ok();
  if (!begun.ok()) {
    Fail(begun.error());
  }
}

size_t HttpsSource::OnDownloadData(std::span<const uint8_t> bytes) {
  if (!active_) {
    return bytes.size();
  }
  // What is more waits for the next turn, behind the packets that have come meanwhile.
  const size_t taken =
      parts_.upgrade.Offer(bytes.first(std::min<size_t>(bytes.size(), budget_)), parts_.loop.now());
  budget_ -= static_cast<uint32_t>(taken);
  offset_ += taken;
  is_held_ = taken < bytes.size();
  if (!parts_.upgrade.active()) {  // refused, or all there: it has said so itself
    Finish();
    return bytes.size();
  }
  return taken;
}

bool HttpsSource::Poll(Instant) {
  budget_ = kHttpsBytesPerTurn;
  if (active_ && begun_ && !parts_.upgrade.active()) {
    Finish();  // cancelled, or failed while we waited
  }
  const bool was_held = is_held_ && parts_.download.active();
  if (was_held) {
    is_held_ = false;
    parts_.download.Resume();
  }
  return was_held;  // what the stream has kept for us comes in the next turn
}

void HttpsSource::OnDownloadEnd(Result<void> outcome) {
  if (!active_) {
    return;
  }
  if (outcome.ok()) {
    parts_.upgrade.End(parts_.loop.now());
    Finish();
    return;
  }
  if (IsPassing(outcome.code()) && attempt_ < kHttpsAttemptsMax) {
    parts_.loop.timers().Arm(retry_, kHttpsRetry * (int64_t{1} << (attempt_ - 1)));
    return;
  }
  Fail(outcome.error());
}

void HttpsSource::Fail(const Error& error) {
  std::array<uint8_t, kReasonMax> buffer;
  ByteWriter reason(buffer);
  reason.Text(error.what);
  if (error.code == ErrorCode::kUnauthentic && parts_.download.peer_fingerprint()) {
    reason.Text("; its fingerprint is ");
    reason.HexBytes(*parts_.download.peer_fingerprint());
  }
  if (begun_) {
    parts_.upgrade.Cancel(error.what, parts_.loop.now());
  } else {
    parts_.observer.OnUpgradeFailed(kSourceName, image::UpdateFault::kNone, reason.text());
  }
  Finish();
}

void HttpsSource::Cancel() {
  if (begun_) {
    parts_.upgrade.Cancel("cancelled by the operator", parts_.loop.now());
  }
  Finish();
}

void HttpsSource::Finish() {
  active_ = is_held_ = false;
  parts_.loop.timers().Cancel(retry_);
  parts_.download.Cancel();
}

}  // namespace gh::upgrade
