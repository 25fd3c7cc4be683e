// Small questions to Linux about a network interface. All of them work on a descriptor opened
// before the sandbox closes.
#pragma once

#include "hal/clock.h"
#include "hal/ethernet_port.h"
#include "hal/rt/result.h"

namespace gh::board {

// An interface's state, asked at most every kLinkPollInterval.
class LinkState {
 public:
  static constexpr Duration kLinkPollInterval = Duration::Milliseconds(250);

  Result<void> Open(const char* interface, hal::Clock& clock);
  bool up();  // administratively up with carrier
  uint16_t mtu() const { return mtu_; }
  hal::MacAddress mac() const { return mac_; }
  int index() const { return index_; }
  const char* name() const { return name_; }
  // The interface takes UDP segmentation (ethtool's tx-udp-segmentation is on).
  bool CutsUdp() const;
  // Brings the interface up; `address` "192.0.2.1/24" is set first when not empty (IPv4).
  Result<void> Raise(const char* address);

 private:
  char name_[16] = {};
  int socket_ = -1;
  int index_ = 0;
  uint16_t mtu_ = 1500;
  hal::MacAddress mac_ = {};
  hal::Clock* clock_ = nullptr;
  Instant asked_ = {};
  bool up_ = false;
  bool known_ = false;
};

}  // namespace gh::board
