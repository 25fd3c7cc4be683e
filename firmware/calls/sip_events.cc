#include "firmware/calls/sip_events.h"

#include <algorithm>

#include "firmware/network/guess_guard.h"
#include "hal/rt/fixed_string.h"

namespace gh {
namespace {

using namespace gh::log::event;
using Address = FixedString<240>;

// "alice@example.com"
Address AorOf(const sip::RegistrationEvent& event) {
  Address aor(event.user);
  aor.Append('@');
  aor.Append(event.domain);
  return aor;
}

}  // namespace

void SipEvents::OnRegistered(const sip::RegistrationEvent& event) {
  const Address aor = AorOf(event);
  log_.Emit(SipRegistered{.aor = aor.view(),
                          .contact = event.contact,
                          .source = net::ToText(event.source).view(),
                          .transport = sip::TransportName(event.transport),
                          .expires_s = event.expires_s});
}

void SipEvents::OnUnregistered(const sip::RegistrationEvent& event) {
  const Address aor = AorOf(event);
  log_.Emit(SipUnregistered{
      .aor = aor.view(), .contact = event.contact, .source = net::ToText(event.source).view()});
}

void SipEvents::OnExpired(const sip::RegistrationEvent& event) {
  const Address aor = AorOf(event);
  log_.Emit(SipRegistrationExpired{.aor = aor.view(), .contact = event.contact});
}

void SipEvents::OnRefused(const sip::RefusalEvent& event) {
  if (event.is_guess && guard_ != nullptr) {
    guard_->OnGuess(event.source.address);
  }
  // A first request without credentials is how digest begins, and no refusal.
  if (event.reason == sip::RefusalReason::kUnauthenticated ||
      event.reason == sip::RefusalReason::kStaleNonce) {
    return;
  }
  log_.Emit(SipRefused{.method = event.method,
                       .source = net::ToText(event.source).view(),
                       .transport = sip::TransportName(event.transport),
                       .status = event.status,
                       .reason = sip::RefusalReasonName(event.reason),
                       .detail = event.detail,
                       .user = event.user,
                       .from = event.from,
                       .to = event.to});
}

void SipEvents::OnCallStarted(const sip::CallEvent& event) {
  log_.Emit(SipCallStarted{.call = event.id,
                           .caller = event.caller,
                           .callee = event.callee,
                           .call_id = event.call_id,
                           .caller_address = net::ToText(event.caller_address).view(),
                           .callee_address = net::ToText(event.callee_address).view()});
}

void SipEvents::OnCallEnded(const sip::CallEvent& event) {
  log_.Emit(SipCallEnded{.call = event.id,
                         .caller = event.caller,
                         .callee = event.callee,
                         .call_id = event.call_id,
                         .duration_ms = static_cast<uint64_t>(event.duration.milliseconds()),
                         .reason = sip::CallEndName(event.end),
                         .caller_address = net::ToText(event.caller_address).view(),
                         .callee_address = net::ToText(event.callee_address).view(),
                         .setup_ms = static_cast<uint64_t>(event.setup.milliseconds()),
                         .bandwidth_kbps = event.kbps});
}

void SipEvents::OnCallFailed(const sip::CallEvent& event, uint16_t status) {
  log_.Emit(SipCallFailed{
      .caller = event.caller, .callee = event.callee, .call_id = event.call_id, .status = status});
}

void SipEvents::OnBandwidth(const sip::BandwidthEvent& event) {
  log_.Emit(SipCallBandwidth{.caller = event.caller,
                             .callee = event.callee,
                             .call_id = event.call_id,
                             .wanted_kbps = event.wanted_kbps,
                             .granted_kbps = event.granted_kbps,
                             .reason = event.why});
}

void SipEvents::OnOverload(const sip::OverloadEvent& event) {
  if (event.began) {
    log_.Emit(SipOverloadBegan{.occupancy = event.occupancy_percent});
  } else {
    log_.Emit(SipOverloadEnded{.refused = event.refused,
                               .seconds = static_cast<uint64_t>(event.duration.seconds()),
                               .unanswered = event.unanswered});
  }
}

void SipEvents::OnThrottle(const sip::ThrottleEvent& event) {
  const auto address = net::ToText(event.remote);
  if (event.zone.empty()) {
    log_.Emit(SipHopThrottled{.address = address.view(), .percent = event.percent});
    return;
  }
  log_.Emit(SipZoneThrottled{
      .zone = event.zone, .peer = event.peer, .address = address.view(), .percent = event.percent});
}

void SipEvents::OnZonePeer(const sip::ZonePeerEvent& event) {
  const auto address = net::ToText(event.remote);
  if (event.is_up) {
    log_.Emit(SipZoneUp{.zone = event.zone, .peer = event.peer, .address = address.view()});
  } else {
    log_.Emit(SipZoneDown{
        .zone = event.zone, .peer = event.peer, .address = address.view(), .reason = event.why});
  }
}

void SipEvents::OnPublished(const sip::PublicationEvent& event) {
  log_.Emit(SipPublished{.user = event.user,
                         .source = net::ToText(event.source).view(),
                         .transport = sip::TransportName(event.transport),
                         .expires = event.expires_s});
}

void SipEvents::OnPublicationEnded(const sip::PublicationEvent& event) {
  log_.Emit(SipPublicationEnded{.user = event.user, .reason = event.why});
}

void SipEvents::OnWatchBegan(const sip::WatchEvent& event) {
  log_.Emit(SipWatchBegan{.watcher = event.watcher,
                          .user = event.user,
                          .source = net::ToText(event.source).view(),
                          .transport = sip::TransportName(event.transport),
                          .policy = event.why});
}

void SipEvents::OnWatchEnded(const sip::WatchEvent& event) {
  log_.Emit(SipWatchEnded{.watcher = event.watcher, .user = event.user, .reason = event.why});
}

void SipEvents::OnListenFailed(const sip::Listener& listener, const char* why) {
  FixedString<80> service("SIP ");
  service.Append(sip::TransportName(listener.transport));
  service.Append(' ');
  service.Append(net::ToText(listener.bind).view());
  log_.Emit(ServiceFailed{.service = service.view(), .reason = why});
}

// --- Users --------------------------------------------------------------------------------------

bool UserCredentials::FindHa1(std::string_view realm, std::string_view user,
                              sip::DigestAlgorithm algorithm, sip::Ha1& out) {
  const config::AuthenticationUser* found = configuration_.FindUser(user);
  if (found == nullptr || realm != config::Configuration::RealmOf(configuration_.active())) {
    return false;
  }
  const config::DigestSecret& secret = found->password;
  if (algorithm == sip::DigestAlgorithm::kMd5) {
    std::ranges::copy(secret.ha1_md5, out.bytes.begin());
  } else if (algorithm == sip::DigestAlgorithm::kSha256) {
    out.bytes = secret.ha1_sha256;
  } else {
    out.bytes = secret.ha1_sha512_256;
  }
  return algorithm != sip::DigestAlgorithm::kSha512_256 || secret.has_sha512_256();
}

}  // namespace gh
