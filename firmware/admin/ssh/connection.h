// One SSH connection: transport, log-in and channels put together, with the times they may take.
// An engine without I/O; the server moves its bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "firmware/admin/ssh/authentication.h"
#include "firmware/admin/ssh/channels.h"
#include "firmware/admin/ssh/ports.h"
#include "firmware/admin/ssh/transport.h"

namespace gh::ssh {

class Connection;

struct ConnectionSettings {
  TransportSettings transport;
  AuthenticationSettings authentication;
  Duration login_grace = Duration::Seconds(60);
  Duration keepalive_interval = Duration::Seconds(30);  // zero: none are sent
  uint32_t keepalive_max = 3;                           // unanswered ones that end the connection
};

// The server, as its connections know it.
class ConnectionOwner {
 public:
  virtual void OnOutput(Connection& connection) = 0;
  virtual void OnLoggedIn(Connection& connection) = 0;
  virtual void OnLoginRefused(Connection& connection, std::string_view user,
                              std::string_view method) = 0;

 protected:
  ~ConnectionOwner() = default;
};

class Connection final : private PacketHandler, private LoginObserver {
 public:
  struct Parts {
    crypto::TlsEnvironment& environment;
    const HostKeys& keys;
    const ConnectionSettings& settings;
    TransportBuffers buffers;
    ChannelPool& channels;
    Authenticator& authenticator;
    SessionHost& sessions;
    ConnectionOwner& owner;
  };
  // `id` names the connection to the authenticator.
  Connection(const Parts& parts, Handle id, const net::Endpoint& remote, Instant now);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  size_t Receive(std::span<const uint8_t> bytes, Instant now);
  // After output has left, or an answer came: what waited goes on.
  void Pump(Instant now);
  void Tick(Instant now);  // once a second
  void OnPasswordChecked(bool accepted) { authentication_.OnPasswordChecked(accepted); }
  void Disconnect(DisconnectReason reason, std::string_view text) {
    transport_.Disconnect(reason, text);
  }

  Transport& transport() { return transport_; }
  const Transport& transport() const { return transport_; }
  const Authentication& authentication() const { return authentication_; }
  Handle id() const { return id_; }
  const net::Endpoint& remote() const { return remote_; }
  bool is_over() const { return transport_.is_over(); }
  bool is_half_open() const { return !transport_.is_open(); }
  bool is_logged_in() const { return authentication_.done(); }
  uint32_t channel_count() const { return channels_.has_value() ? channels_->count() : 0; }
  Instant opened_at() const { return opened_at_; }

 private:
  bool OnPacket(std::span<const uint8_t> payload) override;
  bool IsReady() const override { return !authentication_.is_pending(); }
  void OnOutput() override { parts_.owner.OnOutput(*this); }
  void OnLoggedIn(std::string_view user, std::string_view method,
                  std::string_view fingerprint) override;
  void OnLoginRefused(std::string_view user, std::string_view method) override {
    parts_.owner.OnLoginRefused(*this, user, method);
  }
  void WatchKeepAlive(Instant now);

  Parts parts_;
  Handle id_;
  net::Endpoint remote_;
  Instant opened_at_;
  Instant heard_at_;
  uint32_t unanswered_ = 0;
  Transport transport_;
  Authentication authentication_;
  std::optional<Channels> channels_;  // once logged in
};

}  // namespace gh::ssh
