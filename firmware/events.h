// Between engines and the log: what the network and SIP observe, as events and alarms; and the SIP
// users of the configuration as the engine's credentials.
#pragma once

#include <array>

#include "firmware/alarm/alarms.h"
#include "firmware/config/configuration.h"
#include "firmware/log/log.h"
#include "firmware/sip/credentials.h"
#include "firmware/sip/observer.h"
#include "hal/machine.h"
#include "net/observer.h"

namespace gh {

class SipGuard;

// "LAN1" for port 0.
const char* PortName(uint8_t port_index);

class NetEvents final : public net::Observer {
 public:
  NetEvents(log::Log& log, alarm::Alarms& alarms) : log_(log), alarms_(alarms) {}
  // Whether the appliance's addresses changed since the last call.
  bool TakeAddressesChanged();
  bool TakeServersChanged();
  // Ports that are configured: their being down is an alarm.
  void SetWanted(uint8_t port_index, bool wanted);
  // Raises or lowers that alarm; now and then, so that a blink of a link is an event only.
  void UpdateAlarm();

  void OnLink(uint8_t port_index, bool up) override;
  void OnAddressAcquired(uint8_t port_index, const net::IpAddress& address,
                         net::AddressSource source) override;
  void OnAddressLost(uint8_t port_index, const net::IpAddress& address) override;
  void OnAddressConflict(uint8_t port_index, const net::IpAddress& address) override;
  void OnDrops(uint64_t count, net::DropReason reason, const net::Endpoint& source,
               const net::Endpoint& destination) override;
  void OnServersChanged() override { servers_changed_ = true; }

 private:
  log::Log& log_;
  alarm::Alarms& alarms_;
  std::array<bool, hal::kEthernetPortMax> up_ = {};
  std::array<bool, hal::kEthernetPortMax> wanted_ = {};
  bool addresses_changed_ = false;
  bool servers_changed_ = false;
};

class SipEvents final : public sip::Observer {
 public:
  explicit SipEvents(log::Log& log) : log_(log) {}
  void SetGuard(SipGuard& guard) { guard_ = &guard; }
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
  SipGuard* guard_ = nullptr;
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
