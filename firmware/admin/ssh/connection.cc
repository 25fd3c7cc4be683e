#include "firmware/admin/ssh/connection.h"

namespace gh::ssh {

Connection::Connection(const Parts& parts, Handle id, const net::Endpoint& remote, Instant now)
    : parts_(parts),
      id_(id),
      remote_(remote),
      opened_at_(now),
      heard_at_(now),
      transport_(parts.environment, parts.keys, parts.settings.transport, parts.buffers, *this),
      authentication_(id, remote.address, parts.environment, parts.settings.authentication,
                      transport_, parts.authenticator, *this) {
  transport_.Start(now);
}

size_t Connection::Receive(std::span<const uint8_t> bytes, Instant now) {
  heard_at_ = now;
  unanswered_ = 0;
  const size_t taken = transport_.Receive(bytes, now);
  if (!is_logged_in() && transport_.exchange_count() > kExchangesBeforeLogIn) {
    transport_.Disconnect(DisconnectReason::kProtocolError, "new keys again before log-in");
  }
  return taken;
}

void Connection::Pump(Instant now) {
  if (channels_.has_value()) {
    channels_->Pump();
  }
  transport_.Resume(now);
}

void Connection::Tick(Instant now) {
  const Duration age = now - opened_at_;
  if (is_half_open() && age >= Duration::Seconds(kHalfOpenSeconds)) {
    transport_.Drop("no key exchange in time");
    return;
  }
  if (!is_logged_in() && age >= parts_.settings.login_grace) {
    transport_.Disconnect(DisconnectReason::kByApplication, "no log-in in time");
    return;
  }
  transport_.Tick(now);
  WatchKeepAlive(now);
}

void Connection::WatchKeepAlive(Instant now) {
  const Duration interval = parts_.settings.keepalive_interval;
  if (!channels_.has_value() || interval <= Duration{} || transport_.is_rekeying() ||
      now - heard_at_ < interval * (int64_t{unanswered_} + 1)) {
    return;
  }
  if (unanswered_ >= parts_.settings.keepalive_max) {
    transport_.Drop("the client no longer answers");
    return;
  }
  ++unanswered_;
  if (transport_.data_room() > 0) {
    channels_->SendKeepAlive();
  }
}

bool Connection::OnPacket(std::span<const uint8_t> payload) {
  const uint8_t message = payload[0];
  if (message < kMsgGlobalRequest) {
    return authentication_.OnPacket(payload);
  }
  if (!channels_.has_value()) {
    transport_.Disconnect(DisconnectReason::kProtocolError, "a request before log-in");
    return true;
  }
  return channels_->OnPacket(payload);
}

void Connection::OnLoggedIn(std::string_view user, std::string_view, std::string_view) {
  channels_.emplace(transport_, parts_.channels, parts_.sessions, id_, user, remote_.address);
  parts_.owner.OnLoggedIn(*this);
}

}  // namespace gh::ssh
