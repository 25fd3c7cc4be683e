// What the network observes, as events and alarms.
#pragma once

#include <array>

#include "firmware/alarm/alarms.h"
#include "firmware/log/log.h"
#include "hal/machine.h"
#include "net/observer.h"

namespace gh {

inline constexpr uint8_t kManagementPort = 2;  // LAN3

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

}  // namespace gh
