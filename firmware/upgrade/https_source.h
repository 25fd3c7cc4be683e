// An update fetched over HTTPS: from the server to the upgrade room at the pace of the disk.
//
// A connection that breaks is made again, with longer and longer pauses, and goes on where it
// ended; kHttpsAttemptsMax in a row that bring nothing new end the upgrade. What is fetched is
// believed by nobody: the upgrade room verifies it as it arrives. The certificate's fingerprint
// keeps others from seeing which update is fetched and from feeding us garbage.
#pragma once

#include <string_view>

#include "firmware/upgrade/console_source.h"
#include "firmware/upgrade/upgrade.h"
#include "hal/rt/event_loop.h"
#include "net/https_download.h"

namespace gh::upgrade {

class HttpsSource final : public Pollable, net::DownloadSink {
 public:
  struct Parts {
    Upgrade& upgrade;
    Intake& intake;
    Observer& observer;
    net::HttpsDownload& download;
    EventLoop& loop;
  };
  explicit HttpsSource(const Parts& parts);
  HttpsSource(const HttpsSource&) = delete;
  HttpsSource& operator=(const HttpsSource&) = delete;

  // kMalformed: the URL or the fingerprint (64 hexadecimal digits, colons allowed), and why.
  Result<void> Start(std::string_view url, std::string_view fingerprint);
  void Cancel();
  bool active() const { return active_; }
  // Under way, and the server has not given the first byte.
  bool is_connecting() const { return active_ && !begun_; }
  uint32_t attempt() const { return attempt_; }  // in a row; 1: the first
  // The server, for status.
  std::string_view host() const { return url_.host.view(); }

  bool Poll(Instant now) override;

 private:
  void OnDownloadSize(std::optional<uint64_t> size) override;
  size_t OnDownloadData(std::span<const uint8_t> bytes) override;
  void OnDownloadEnd(Result<void> outcome) override;

  void Attempt();
  void Fail(const Error& error);
  void Finish();

  Parts parts_;
  net::HttpsUrl url_;
  crypto::CertificateFingerprint fingerprint_ = {};
  Timer retry_;
  bool active_ = false;
  bool begun_ = false;    // the upgrade room has taken it on
  bool is_held_ = false;  // the disk is behind
  uint32_t budget_ = kHttpsBytesPerTurn;
  uint64_t offset_ = 0;  // given to the upgrade room
  uint64_t offset_at_attempt_ = 0;
  uint32_t attempt_ = 0;
};

// "AB:CD:..." or "abcd...": 32 bytes. kMalformed otherwise.
Result<crypto::CertificateFingerprint> ParseFingerprint(std::string_view text);

}  // namespace gh::upgrade
