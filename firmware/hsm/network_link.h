// The wire to a network HSM: a mutually authenticated TLS stream, opened again whenever it is gone.
//
// The certificate and name checks are those of TLS service kHsm (appliance); this end presents the
// server certificate. Bytes are buffered in bounds; what does not fit holds the peer back.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hal/rt/fixed_string.h"
#include "hal/rt/time.h"
#include "hal/token_link.h"
#include "net/stream.h"

namespace gh::hsm {

class NetworkLink final : public hal::TokenLink, public net::StreamHandler {
 public:
  NetworkLink() = default;
  NetworkLink(const NetworkLink&) = delete;
  NetworkLink& operator=(const NetworkLink&) = delete;

  // A null service: no link. Another address: the stream is closed and opened anew.
  // `name`: that the module's certificate must carry; empty: any that is trusted.
  void Configure(net::StreamService* streams, const net::Endpoint& to, std::string_view name);
  // Opens the stream when there is none; now and then.
  void Poll(Instant now);
  const char* fault() const { return fault_; }  // why it is not open; ""

  bool connected() const override { return is_open_; }
  uint32_t Read(std::span<uint8_t> out) override;
  uint32_t Write(std::span<const uint8_t> data) override;

  bool OnStreamOpen(net::StreamId id, const net::StreamInfo& info) override;
  size_t OnStreamData(net::StreamId id, std::span<uint8_t> data) override;
  void OnStreamWritable(net::StreamId) override {}
  void OnStreamClosed(net::StreamId id, net::StreamClose why) override;

 private:
  static constexpr Duration kRetryPeriod = Duration::Seconds(1);

  net::StreamService* streams_ = nullptr;
  net::Endpoint to_;
  net::StreamOptions options_;
  FixedString<64> name_;  // in the module's certificate
  net::StreamId id_;
  bool has_stream_ = false;  // connecting or open
  bool is_open_ = false;
  bool holds_back_ = false;
  Instant retry_at_;
  const char* fault_ = "";
  std::array<uint8_t, 8192> bytes_ = {};
  uint32_t size_ = 0;
};

}  // namespace gh::hsm
