#include "firmware/calls/rtp_service.h"

#include <algorithm>

#include "firmware/admin/status_text.h"

namespace gh {
namespace {

using namespace gh::log::event;

struct Direction {
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t expected = 0;
  uint64_t lost = 0;
  uint64_t jitter_us = 0;
};

// Of all streams, what this end sent.
Direction SumOf(const rtp::Session& session, uint32_t end) {
  Direction sum;
  for (const rtp::Stream* stream : session.streams) {
    if (stream != nullptr) {
      const rtp::StreamCounters& counters = stream->paths[end].meter.counters;
      sum.packets += stream->paths[end].passed.packets();
      sum.bytes += stream->paths[end].passed.bytes();
      sum.expected += counters.expected;
      sum.lost += counters.lost();
      sum.jitter_us = std::max<uint64_t>(sum.jitter_us, counters.jitter_us);
    }
  }
  return sum;
}

const char* IceName(const rtp::End& end) {
  switch (end.ice->agent.state()) {
    case rtp::IceAgent::State::kIdle:
      return "awaited";
    case rtp::IceAgent::State::kChecking:
      return "checking";
    case rtp::IceAgent::State::kFailed:
      return "failed";
    case rtp::IceAgent::State::kAgreed:
      break;
  }
  return end.via() != nullptr ? "relayed" : "straight";
}

const char* NameOf(const rtp::End& end) {
  if (end.now.is_dtls) {
    return end.awaits_keys() ? "awaited" : "dtls-srtp";
  }
  const bool in = end.now.is_encrypted;
  const bool out = end.sends_encrypted;
  return in && out ? "srtp" : in || out ? "one-way" : "as-agreed";
}

}  // namespace

RtpService::RtpService(const RtpParts& parts, const rtp::Capacity& capacity) : parts_(parts) {
  Arena& arena = parts.arena;
  arena.OpenAccount("firmware/rtp", capacity.sessions);
  dtls_ = arena.New<rtp::Dtls>(rtp::Dtls::Parts{arena, parts.timers, parts.random, parts.clock},
                               capacity.handshakes());
  relay_ = arena.New<rtp::Relay>(
      rtp::Ports{arena, parts.plane, parts.timers, parts.random, *this, dtls_}, capacity);
  anchor_ = arena.New<rtp::Anchor>(arena, *relay_, parts.random);
  parts.sip.SetMediaAnchor(*anchor_);
  parts.sip.SetRoutes(*this);
}

rtp::Config RtpService::ConfigOf(std::span<const net::IpAddress> addresses) const {
  const config::Settings& settings = parts_.configuration.active();
  const config::SipMedia& media = settings.sip_media();
  const config::TraversalMedia& ports = settings.traversal_media();
  rtp::Config out;
  out.when = media.mode == config::MediaRelayMode::kOn    ? rtp::Config::When::kAlways
             : media.mode == config::MediaRelayMode::kOff ? rtp::Config::When::kNever
                                                          : rtp::Config::When::kNeeded;
  out.port_first = static_cast<uint16_t>(ports.port_start);
  out.port_last = static_cast<uint16_t>(ports.port_end);
  out.port_rest = Duration::Seconds(ports.port_rest);
  out.inactivity = Duration::Seconds(media.inactivity);
  out.dscp = static_cast<int8_t>(media.dscp);
  out.party_inactivity = Duration::Seconds(media.party_inactivity);
  if (!media.turn_address.is_none() && !media.turn_user.empty()) {
    out.turn.at = {media.turn_address, static_cast<uint16_t>(media.turn_port)};
    out.turn.user.Assign(media.turn_user.view());
    out.turn.password.Assign(media.turn_password.view());
    out.turn_local = parts_.stack.SourceFor(media.turn_address);
  }
  if (ports.multiplex == config::OnOff::kOn) {
    out.mux_port = ports.multiplex_port != 0 ? static_cast<uint16_t>(ports.multiplex_port)
                                             : rtp::UsualMuxPort(relay_->session_capacity());
  }
  out.address_count =
      static_cast<uint32_t>(std::min(addresses.size(), size_t{rtp::kLocalAddressMax}));
  std::copy_n(addresses.begin(), out.address_count, out.addresses.begin());
  out.enabled = out.address_count != 0 && !parts_.configuration.is_factory() &&
                out.when != rtp::Config::When::kNever && out.port_first < out.port_last;
  return out;
}

std::optional<uint8_t> RtpService::PortOf(const net::IpAddress& address) const {
  for (uint8_t i = 0; i < net::kPortMax; ++i) {
    const net::PortStatus port = parts_.stack.port_status(i);
    for (const net::PortAddress& own : std::span(port.addresses).first(port.address_count)) {
      if (own.address == address) {
        return i;
      }
    }
  }
  return std::nullopt;
}

sip::MediaEncryption RtpService::EncryptionAt(const net::IpAddress& address) const {
  const config::SipMedia& media = parts_.configuration.active().sip_media();
  const auto port = PortOf(address);
  if (!port || *port > 1) {
    return sip::MediaEncryption::kAuto;
  }
  return static_cast<sip::MediaEncryption>(*port == 0 ? media.lan1_encryption
                                                      : media.lan2_encryption);
}

net::IpAddress RtpService::ShownFor(const net::IpAddress& address) const {
  const auto port = PortOf(address);
  const auto ports = parts_.configuration.active().network_port();
  if (!port || *port >= ports.size()) {
    return address;
  }
  const net::IpAddress& shown = address.is_v4() ? ports[*port].nat_ipv4 : ports[*port].nat_ipv6;
  return shown.is_none() ? address : shown;
}

// True: there is a certificate for media.
bool RtpService::PrepareDtls() {
  const auto ready = dtls_->Prepare();
  if (!ready.ok()) {
    parts_.log.Emit(ServiceFailed{.service = "WebRTC", .reason = ready.error().what});
  }
  return ready.ok();
}

void RtpService::Apply(std::span<const net::IpAddress> addresses, sip::Config& sip) {
  rtp::Config config = ConfigOf(addresses);
  const auto& turn = parts_.configuration.active().traversal_server_turn();
  const bool meets_turn = turn.mode == config::OnOff::kOn &&
                          config.port_first <= turn.media_port_end &&
                          turn.media_port_start <= config.port_last;
  if (config.enabled && meets_turn) {
    parts_.log.Emit(
        ServiceFailed{.service = "SIP media", .reason = "its ports meet those of TURN"});
    config.enabled = false;
  }
  const bool is_taken =
      (config.port_first <= config.mux_port && config.mux_port <= config.port_last) ||
      (turn.mode == config::OnOff::kOn && turn.media_port_start <= config.mux_port &&
       config.mux_port <= turn.media_port_end);
  if (config.mux_port != 0 && is_taken) {
    parts_.log.Emit(ServiceFailed{.service = "multiplexed media",
                                  .reason = "its port is among those of other media"});
    config.mux_port = 0;
  }
  config.ends_dtls = config.enabled &&
                     parts_.configuration.active().sip_media().webrtc == config::OnOff::kOn &&
                     PrepareDtls();
  for (sip::Listener& listener : std::span(sip.listeners).first(sip.listener_count)) {
    listener.media =
        config.enabled ? EncryptionAt(listener.bind.address) : sip::MediaEncryption::kAuto;
    listener.advertise.address = ShownFor(listener.bind.address);
  }
  relay_->Apply(config);
  parts_.plane.SetRelayPorts(config.enabled ? relay_ : nullptr,
                             std::span(config.addresses).first(config.address_count),
                             config.port_first, config.port_last, media::Plane::kRtpRange);
  parts_.plane.SetRelayPorts(config.enabled && config.mux_port != 0 ? relay_ : nullptr,
                             std::span(config.addresses).first(config.address_count),
                             config.mux_port, config.mux_port, media::Plane::kMuxRange);
  parts_.plane.SetDscp(config.dscp, media::Plane::kRtpRange);
  parts_.plane.SetDscp(config.dscp, media::Plane::kMuxRange);
}

void RtpService::OnMediaEnded(const rtp::Session& session, bool by_silence) {
  const Direction out = SumOf(session, rtp::kCaller);
  const Direction back = SumOf(session, rtp::kCallee);
  const uint64_t expected = out.expected + back.expected;
  const uint64_t lost = expected == 0 ? 0 : (out.lost + back.lost) * 1000 / expected;
  const uint64_t jitter = std::max(out.jitter_us, back.jitter_us);
  const uint32_t quality =
      expected == 0 ? 0
                    : rtp::EstimateMos(static_cast<uint32_t>(lost), static_cast<uint32_t>(jitter));
  parts_.log.Emit(SipMediaEnded{
      .media = session.id,
      .call_id = session.call_id.view(),
      .duration_ms = static_cast<uint64_t>((relay_->now() - session.began_at).milliseconds()),
      .streams = session.stream_count,
      .packets_out = out.packets,
      .packets_back = back.packets,
      .bytes_out = out.bytes,
      .bytes_back = back.bytes,
      .lost_permille = lost,
      .jitter_us = jitter,
      .quality = quality,
      .reason = by_silence             ? "given up after silence"
                : session.is_confirmed ? "the call ended"
                                       : "the call was not answered"});
}

void RtpService::OnMediaKeysFailed(const rtp::Session& session, const net::Endpoint& remote,
                                   const char* why) {
  const auto where = net::ToText(remote);
  parts_.log.Emit(SipMediaKeysFailed{.media = session.id,
                                     .call_id = session.call_id.view(),
                                     .remote = where.view(),
                                     .reason = why});
}

void RtpService::OnPartySilent(const rtp::Session& session, uint32_t end, Duration silence) {
  const auto where = net::ToText(session.sides[end].remote);
  parts_.log.Emit(SipMediaSilent{.media = session.id,
                                 .call_id = session.call_id.view(),
                                 .party = end == rtp::kCaller ? "the caller" : "the callee",
                                 .remote = where.view(),
                                 .seconds = static_cast<uint64_t>(silence.seconds())});
  parts_.sip.EndCalls(session.call, sip::CallEnd::kMediaLost);
}

void RtpService::OnIceAgreed(const rtp::Session& session, const net::Endpoint& local,
                             const net::Endpoint& remote, bool is_relayed) {
  const auto from = net::ToText(local);
  const auto to = net::ToText(remote);
  parts_.log.Emit(SipMediaIce{.media = session.id,
                              .call_id = session.call_id.view(),
                              .local = from.view(),
                              .remote = to.view(),
                              .kind = is_relayed ? "by the TURN server" : "straight"});
}

void RtpService::OnIceLost(const rtp::Session& session, const char* why) {
  parts_.log.Emit(
      SipMediaIceFailed{.media = session.id, .call_id = session.call_id.view(), .reason = why});
}

void RtpService::OnTurnServerLost(const char* why) {
  parts_.log.Emit(ServiceFailed{.service = "relayed candidates of SIP media", .reason = why});
}

void RtpService::OnMuxLost(const rtp::Session& session, const net::Endpoint& server) {
  const auto where = net::ToText(server);
  parts_.log.Emit(SipMediaLinkDown{.call_id = session.call_id.view(),
                                   .remote = where.view(),
                                   .reason = "the traversal server does not answer by UDP"});
}

// --- Status -------------------------------------------------------------------------------------

void RtpService::AddTo(admin::StatusTree& status) {
  status.AddMember<&RtpService::NextStatus>("SIP Media", "Media of calls that is relayed", this);
  status.AddMember<&RtpService::NextStream>("SIP Media Stream", "Streams that are relayed", this);
}

bool RtpService::NextStatus(uint64_t& cursor, ByteWriter& out) {
  const rtp::Counters& counters = relay_->counters();
  switch (cursor++) {
    case 0:
      out.Text("SIP Media Relay:");
      Tell(out, "mode", relay_->config().enabled ? "On" : "Off");
      Tell(out, "calls", relay_->session_count());
      Tell(out, "capacity", relay_->session_capacity());
      Tell(out, "streams", relay_->stream_count());
      Tell(out, "ports", relay_->port_count());
      Tell(out, "srtp_contexts", relay_->context_count());
      Tell(out, "multiplex_port", relay_->config().mux_port);
      Tell(out, "multiplexed", relay_->mux_count());
      Tell(out, "webrtc", relay_->config().ends_dtls ? "On" : "Off");
      Tell(out, "webrtc_ends", relay_->web_count());
      Tell(out, "dtls_handshakes", dtls_->handshake_count());
      Tell(out, "ice_ends", relay_->ice_count());
      Tell(out, "turn_allocations", relay_->turn_count());
      return true;
    case 1:
      out.Text("SIP Media Counters:");
      Tell(out, "calls", counters.sessions);
      Tell(out, "latched", counters.latched);
      Tell(out, "by_engine", counters.by_engine);
      Tell(out, "silent", counters.silent);
      Tell(out, "ice_checks", counters.checks);
      Tell(out, "ice_agreed", counters.agreed);
      Tell(out, "ice_failed", counters.ice_failed);
      Tell(out, "party_silent", counters.party_silent);
      Tell(out, "dtls_keyed", counters.keyed);
      Tell(out, "dtls_failed", counters.keys_failed);
      Tell(out, "dropped_source", counters.dropped_source);
      Tell(out, "dropped_other", counters.dropped_other + parts_.plane.counters().by_processor);
      Tell(out, "refused_capacity", counters.refused_capacity);
      Tell(out, "refused_description", anchor_->refused_count());
      Tell(out, "malformed_description", anchor_->malformed_count());
      return true;
    default:
      return false;
  }
}

void RtpService::WriteStream(const rtp::Stream& stream, ByteWriter& out) const {
  for (uint32_t end = 0; end < 2; ++end) {
    const rtp::End& own = stream.ends[end];
    const rtp::Path& path = stream.paths[end];
    const rtp::StreamCounters& counters = path.meter.counters;
    out.Text(end == rtp::kCaller ? " caller=" : " callee=");
    const net::Endpoint& seen = own.seen[rtp::Path::kRtpTag];
    out.Text(net::ToText(seen.port != 0 ? seen : own.now.rtp).view());
    Tell(out, "latched", seen.port != 0 ? "yes" : "no");
    Tell(out, "port", own.now.uses_mux ? relay_->config().mux_port : own.port);
    if (own.now.uses_mux) {
      Tell(out, "channel", own.mux->channel);
    }
    Tell(out, "keys", NameOf(own));
    if (own.ice != nullptr) {
      Tell(out, "ice", IceName(own));
    }
    Tell(out, "flow", path.flows[rtp::Path::kRtpTag] != nullptr ? "yes" : "no");
    Tell(out, "packets", path.passed.packets());
    Tell(out, "bytes", path.passed.bytes());
    Tell(out, "rtcp", counters.rtcp);
    Tell(out, "lost", counters.lost());
    Tell(out, "jitter_us", counters.jitter_us);
    Tell(out, "quality",
         counters.expected == 0
             ? 0
             : rtp::EstimateMos(counters.lost_permille(),
                                static_cast<uint32_t>(counters.jitter_us.value())));
    Tell(out, "refused", counters.unauthentic + counters.repeated + counters.malformed);
  }
}

bool RtpService::NextStream(uint64_t& cursor, ByteWriter& out) {
  while (true) {
    auto at = static_cast<uint32_t>(cursor / sdp::kMediaMax);
    const auto index = static_cast<uint32_t>(cursor % sdp::kMediaMax);
    const uint32_t before = at;
    const rtp::Session* session = relay_->Next(at);
    if (session == nullptr) {
      return false;
    }
    // Next() passes over what is free: the cursor follows it.
    const uint32_t place = at - 1;
    const uint32_t first = place == before ? index : 0;
    for (uint32_t i = first; i < sdp::kMediaMax; ++i) {
      if (session->streams[i] != nullptr) {
        cursor = uint64_t{place} * sdp::kMediaMax + i + 1;
        out.Text("SIP Media Stream ");
        out.Decimal(session->id);
        out.Char('.');
        out.Decimal(i + 1);
        out.Text(": ");
        out.Text(session->call_id.view());
        WriteStream(*session->streams[i], out);
        return true;
      }
    }
    cursor = uint64_t{at} * sdp::kMediaMax;
  }
}

}  // namespace gh
