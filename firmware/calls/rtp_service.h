// Media of SIP calls in the appliance: the RTP room on the media plane, tied to the SIP engine by
// its anchor; settings in, events and status out.
#pragma once

#include <optional>
#include <span>

#include "firmware/admin/status.h"
#include "firmware/config/configuration.h"
#include "firmware/log/log.h"
#include "firmware/media/plane.h"
#include "firmware/rtp/anchor.h"
#include "firmware/rtp/relay.h"
#include "firmware/sip/engine.h"
#include "firmware/sip/routes.h"
#include "net/stack.h"

namespace gh {

struct RtpParts {
  Arena& arena;
  hal::Clock& clock;
  TimerWheel& timers;
  crypto::Random& random;
  net::Stack& stack;
  log::Log& log;
  const config::Configuration& configuration;
  media::Plane& plane;
  sip::Engine& sip;
};

class RtpService final : rtp::Observer, sip::Routes {
 public:
  RtpService(const RtpParts& parts, const rtp::Capacity& capacity);

  // Settings or addresses have changed. `addresses`: those SIP listens at; the listeners'
  // encryption modes are put into `sip`.
  void Apply(std::span<const net::IpAddress> addresses, sip::Config& sip);
  void AddTo(admin::StatusTree& status);
  const rtp::Relay& relay() const { return *relay_; }

 private:
  net::IpAddress SourceFor(const net::IpAddress& destination) override {
    return parts_.stack.SourceFor(destination);
  }
  void OnMediaEnded(const rtp::Session& session, bool by_silence) override;
  void OnMediaKeysFailed(const rtp::Session& session, const net::Endpoint& remote,
                         const char* why) override;
  void OnPartySilent(const rtp::Session& session, uint32_t end, Duration silence) override;
  void OnIceAgreed(const rtp::Session& session, const net::Endpoint& local,
                   const net::Endpoint& remote, bool is_relayed) override;
  void OnIceLost(const rtp::Session& session, const char* why) override;
  void OnTurnServerLost(const char* why) override;
  void OnMuxLost(const rtp::Session& session, const net::Endpoint& server) override;
  // What peers are told of this address of ours.
  net::IpAddress ShownFor(const net::IpAddress& address) const;
  std::optional<uint8_t> PortOf(const net::IpAddress& address) const;
  bool PrepareDtls();
  rtp::Config ConfigOf(std::span<const net::IpAddress> addresses) const;
  sip::MediaEncryption EncryptionAt(const net::IpAddress& address) const;
  bool NextStatus(uint64_t& cursor, ByteWriter& out);
  bool NextStream(uint64_t& cursor, ByteWriter& out);
  void WriteStream(const rtp::Stream& stream, ByteWriter& out) const;

  RtpParts parts_;
  rtp::Dtls* dtls_ = nullptr;
  rtp::Relay* relay_ = nullptr;
  rtp::Anchor* anchor_ = nullptr;
};

}  // namespace gh
