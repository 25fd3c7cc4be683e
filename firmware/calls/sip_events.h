// What SIP observes, as events; and the SIP users of the configuration as the engine's credentials.
#pragma once

#include "firmware/config/configuration.h"
#include "firmware/log/log.h"
#include "firmware/sip/credentials.h"
#include "firmware/sip/observer.h"

namespace gh {

class GuessGuard;

class SipEvents final : public sip::Observer {
 public:
  explicit SipEvents(log::Log& log) : log_(log) {}
  void SetGuard(GuessGuard& guard) { guard_ = &guard; }
  void OnRegistered(const sip::RegistrationEvent& event) override;
  void OnRefreshed(const sip::RegistrationEvent&) override {}  // nothing new
  void OnUnregistered(const sip::RegistrationEvent& event) override;
  void OnExpired(const sip::RegistrationEvent& event) override;
  void OnRefused(const sip::RefusalEvent& event) override;
  void OnCallStarted(const sip::CallEvent& event) override;
  void OnCallEnded(const sip::CallEvent& event) override;
  void OnCallFailed(const sip::CallEvent& event, uint16_t status) override;
  void OnPublished(const sip::PublicationEvent& event) override;
  void OnPublicationEnded(const sip::PublicationEvent& event) override;
  void OnWatchBegan(const sip::WatchEvent& event) override;
  void OnWatchEnded(const sip::WatchEvent& event) override;
  void OnListenFailed(const sip::Listener& listener, const char* why) override;
  void OnZonePeer(const sip::ZonePeerEvent& event) override;
  void OnBandwidth(const sip::BandwidthEvent& event) override;
  void OnOverload(const sip::OverloadEvent& event) override;
  void OnThrottle(const sip::ThrottleEvent& event) override;

 private:
  log::Log& log_;
  GuessGuard* guard_ = nullptr;
};

class UserCredentials final : public sip::Credentials {
 public:
  explicit UserCredentials(const config::Configuration& configuration)
      : configuration_(configuration) {}
  bool FindHa1(std::string_view realm, std::string_view user, sip::DigestAlgorithm algorithm,
               sip::Ha1& out) override;

 private:
  const config::Configuration& configuration_;
};

}  // namespace gh
