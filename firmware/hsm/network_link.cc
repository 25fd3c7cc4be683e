#include "firmware/hsm/network_link.h"

#include <algorithm>

#include "hal/rt/secret.h"

namespace gh::hsm {
namespace {

const char* TextOf(net::StreamClose why) {
  switch (why) {
    case net::StreamClose::kTimeout:
      return "the HSM's address does not answer";
    case net::StreamClose::kRefused:
      return "the HSM's address refuses the connection";
    case net::StreamClose::kTlsFailure:
      return "the TLS handshake with the HSM failed";
    case net::StreamClose::kNoResource:
      return "no free connection";
    default:
      return "the HSM closed the connection";
  }
}

}  // namespace

void NetworkLink::Configure(net::StreamService* streams, const net::Endpoint& to,
                            std::string_view name) {
  if (streams == streams_ && to == to_ && name_ == name) {
    return;
  }
  if (has_stream_) {
    streams_->AbortStream(id_);
    has_stream_ = is_open_ = false;
  }
  streams_ = streams;
  to_ = to;
  name_.Assign(name);
  options_.kind = net::StreamKind::kTls;
  options_.service = net::TlsService::kHsm;
  options_.server_name = name_.view();
  size_ = 0;
  retry_at_ = Instant();
}

void NetworkLink::Poll(Instant now) {
  if (streams_ == nullptr || has_stream_ || now < retry_at_) {
    return;
  }
  retry_at_ = now + kRetryPeriod;
  const auto connecting = streams_->Connect(to_, options_, *this);
  if (!connecting.ok()) {
    fault_ = connecting.error().what;
    return;
  }
  id_ = *connecting;
  has_stream_ = true;
}

uint32_t NetworkLink::Read(std::span<uint8_t> out) {
  const auto count = static_cast<uint32_t>(std::min<size_t>(size_, out.size()));
  std::copy_n(bytes_.begin(), count, out.begin());
  std::copy(bytes_.begin() + count, bytes_.begin() + size_, bytes_.begin());
  size_ -= count;
  SecureZero(std::span(bytes_).subspan(size_, count));
  if (holds_back_ && count != 0 && is_open_) {
    holds_back_ = false;
    streams_->ResumeStream(id_);
  }
  return count;
}

uint32_t NetworkLink::Write(std::span<const uint8_t> data) {
  if (!is_open_) {
    return 0;
  }
  const size_t size = std::min(data.size(), streams_->SendRoom(id_));
  if (size == 0 || !streams_->SendStream(id_, data.first(size)).ok()) {
    return 0;
  }
  return static_cast<uint32_t>(size);
}

bool NetworkLink::OnStreamOpen(net::StreamId id, const net::StreamInfo&) {
  if (!has_stream_ || !(id == id_)) {
    return false;
  }
  is_open_ = true;
  fault_ = "";
  size_ = 0;
  return true;
}

size_t NetworkLink::OnStreamData(net::StreamId id, std::span<uint8_t> data) {
  if (!(id == id_)) {
    return data.size();
  }
  const size_t count = std::min(data.size(), bytes_.size() - size_);
  std::copy_n(data.begin(), count, bytes_.begin() + size_);
  size_ += static_cast<uint32_t>(count);
  holds_back_ = count < data.size();
  return count;
}

void NetworkLink::OnStreamClosed(net::StreamId id, net::StreamClose why) {
  if (has_stream_ && id == id_) {
    has_stream_ = is_open_ = false;
    fault_ = TextOf(why);
  }
}

}  // namespace gh::hsm
